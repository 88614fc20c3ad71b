"""Anything at all into SwitchBot's codec: facts of the table, or DecodeError, no false promise."""

import json
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from devices.errors import DecodeError
from devices.kinds import HAPPENINGS, LOCK
from devices.reading import Reading
from vendors.api import Frame
from vendors.switchbot import codec

NOW_MS: Final = 1_767_225_600_000
#: The only words that may ever read as this: written out, not taken from the codec's tables.
PROMISES: Final = {
    ("lock_state", "Locked"): ("lockState", {"lock", "locked", "LOCKED"}),
    ("lock_state", "Unlocked"): (
        "lockState",
        {"unlock", "unlocked", "UNLOCKED", "latchBoltLocked"},
    ),
    ("door_state", "DoorClosed"): ("doorState", {"close", "closed", "CLOSED"}),
    ("door_state", "DoorOpen"): ("doorState", {"open", "opened", "OPENED"}),
}
LOCK_ID: Final = "E1A2B3C4D5E6"
SOURCES: Final = [
    "hook",
    *(f"hook/{LOCK_ID}/{what}" for what in ("lock", "door", "key", "other")),
    *(
        f"http/{LOCK_ID}/{what}"
        for what in ("status", "early", "doubt", "silent", "unseen", "keys/3")
    ),
    f"http/{LOCK_ID}/keys/99",
    f"http/{LOCK_ID}/keys",
]
WORDS: Final = """
    lock locked LOCKED unlock unlocked UNLOCKED Locked jammed JAMMED latchBoltLocked halfLocked
    locking unlocking open opened OPENED close closed CLOSED Closed normal expired success
"""
FIELDS: Final = """
    lockState doorState battery deviceType deviceMac timeOfSample eventName result commandId
"""
words = st.sampled_from(WORDS.split())
numbers = st.one_of(
    st.integers(-1, 110),
    st.sampled_from([123_456_789, NOW_MS, 2**31, 2**53, 2**63 - 1, 2**63, 10**30]),
)
anything = st.recursive(
    st.one_of(words, numbers, st.none(), st.booleans(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
bodies = st.dictionaries(
    st.sampled_from(["lockState", "doorState", "battery", "calibrate", "deviceId", "deviceType"]),
    st.one_of(words, numbers, anything),
)
contexts = st.dictionaries(
    st.sampled_from(FIELDS.split()),
    st.one_of(words, numbers, st.just("createKey"), st.just("deleteKey "), anything),
)


def check(source: str, payload: bytes) -> None:
    try:
        facts = codec.decode(Frame(source, payload, NOW_MS))
    except DecodeError:
        return
    for fact in facts:
        if not isinstance(fact, Reading):
            spec = HAPPENINGS[fact.type]
            known = spec.required | spec.optional
            assert spec.required.keys() <= fact.data.keys() <= known.keys()
            continue
        axis = LOCK.axis(fact.axis)
        assert axis is not None
        assert axis.holds(fact.value) if fact.value is not None else fact.reason
        name, spellings = PROMISES.get((fact.axis, str(fact.value)), ("", set()))
        if name:
            document = json.loads(payload)
            said = document.get("context") if source.startswith("hook") else document.get("body")
            assert said[name] in spellings, (source, payload)
        if fact.axis == "lock_state" and fact.value == "Locked":
            assert source.endswith("/status"), "a webhook or a doubt"
            assert document["body"].get("calibrate") is not False


def dumped(document: Any) -> bytes:
    return json.dumps(document).encode("utf-8", "surrogatepass")


@given(source=st.one_of(st.text(max_size=60), st.sampled_from(SOURCES)), payload=st.binary())
@example(f"http/{LOCK_ID}/status", b"[" * 10_000)
@example(f"http/{LOCK_ID}/status", b'{"statusCode":100' + b" " * 1_000_000)
@example(f"http/{LOCK_ID}/status", b'{"statusCode":NaN,"body":{}}')
@example(
    f"hook/{LOCK_ID}/lock", b'{"eventType":"changeReport","context":{"deviceMac":"\xed\xa0\x80"}}'
)
@example(f"http/{LOCK_ID}/keys/00", b'{"keyList":[]}')
def test_any_source_and_any_bytes(source: str, payload: bytes) -> None:
    check(source, payload)


@given(
    body=st.one_of(bodies, anything),
    code=st.one_of(st.just(100), numbers, anything),
    what=st.sampled_from(["status", "early", "doubt"]),
)
def test_any_reply(body: Any, code: Any, what: str) -> None:
    check(f"http/{LOCK_ID}/{what}", dumped({"statusCode": code, "body": body}))


@given(context=contexts, what=st.sampled_from(["lock", "door", "key"]))
def test_any_webhook(context: dict[str, Any], what: str) -> None:
    check(
        f"hook/{LOCK_ID}/{what}",
        dumped({"eventType": "changeReport", "context": {"deviceMac": LOCK_ID, **context}}),
    )


@given(
    keys=st.one_of(
        anything,
        st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["doorfleet 1", "doorfleet 2", "Guest"])},
                optional={"status": anything, "id": anything},
            ),
            max_size=4,
        ),
    )
)
def test_any_keypad(keys: Any) -> None:
    check(f"http/{LOCK_ID}/keys/3", dumped({"keyList": keys}))
    try:
        codec.key_ids(dumped({"keyList": keys}))
    except DecodeError:
        return


# Beside the codec: long lists, which cost ten times what a frame costs.
FEWER = settings(max_examples=max(20, settings.default.max_examples // 5))


@FEWER
@given(
    entries=st.one_of(
        anything,
        st.lists(
            st.fixed_dictionaries(
                {
                    "deviceType": st.one_of(
                        st.sampled_from(["Smart Lock", "Keypad", "Hub Mini"]), anything
                    )
                },
                optional={
                    "deviceId": st.one_of(st.just(LOCK_ID), anything),
                    "lockDeviceId": st.one_of(st.just(LOCK_ID), anything),
                    "keyList": anything,
                },
            ),
            max_size=4,
        ),
    )
)
def test_any_device_list(entries: Any) -> None:
    try:
        codec.listed(dumped({"statusCode": 100, "body": {"deviceList": entries}}))
    except DecodeError:
        return
