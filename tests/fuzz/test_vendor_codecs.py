"""Anything at all into the codecs of the MQTT vendors: facts of the table, or DecodeError."""

from collections.abc import Callable
from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from devices.errors import DecodeError
from devices.kinds import HAPPENINGS
from devices.reading import Reading
from vendors import registry
from vendors.api import Fact, Frame

NOW_MS: Final = 1_767_225_600_000
#: The only bytes that may ever read as shut, locked or unlocked: written out, not taken from the
#: codecs' own tables.
PROMISES: Final = {
    "ratgdo": {
        ("position", "FullyClosed"): {("door", b"closed")},
        ("position", "FullyOpened"): {("door", b"open")},
        ("remote_lockout", "Locked"): {("lock", b"locked")},
        ("remote_lockout", "Unlocked"): {("lock", b"unlocked")},
        ("obstruction", "Clear"): {("obstruction", b"clear")},
    },
    "nuki": {
        ("lock_state", "Locked"): {("state", b"1")},
        ("lock_state", "Unlocked"): {("state", b"3"), ("state", b"6")},
        ("lock_state", "Unlatched"): {("state", b"5")},
        ("door_state", "DoorClosed"): {("doorsensorState", b"2")},
        ("door_state", "DoorOpen"): {("doorsensorState", b"3")},
    },
}
SETTINGS: Final = {"url": "mqtt://broker.example"}
TOPICS: Final = {
    "ratgdo": [
        f"home/garage/Left/status/{what}"
        for what in ("door", "light", "lock", "obstruction", "availability", "motion", "other")
    ],
    "nuki": [
        f"nuki/398172F4/{what}"
        for what in (
            "state",
            "doorsensorState",
            "lockActionEvent",
            "connected",
            "batteryCritical",
            "batteryCharging",
            "batteryChargeState",
            "commandResponse",
            "name",
        )
    ],
}
REAL: Final = {
    "ratgdo": b"unknown open closed stopped opening closing syncing on off locked unlocked"
    b" obstructed clear online offline detected".split(),
    "nuki": b"0 1 2 3 4 5 6 7 16 240 252 253 254 255 100 true false 3,0,54321,12345,1"
    b" 90,2,0,0,2 3,3,54322,0,3".split(),
}
DECODE: Final = {
    name: registry.vendor(name).decoder(registry.vendor(name).settings.model_validate(SETTINGS))
    for name in PROMISES
}

mutations = st.sampled_from(
    [
        lambda p, _: p,
        lambda p, x: p + x,
        lambda p, x: x + p,
        lambda p, x: p[: len(x) % (len(p) + 1)],
        lambda p, _: p.upper(),
        lambda p, x: p * (1 + len(x)),
        lambda p, x: p[:1] + x + p[1:],
        lambda p, x: p.replace(b",", x or b";"),
        lambda p, x: bytes(byte ^ (x[0] if x else 1) for byte in p),
    ]
)
payloads = st.one_of(
    st.binary(max_size=80),
    st.text(max_size=40).map(str.encode),
    st.integers().map(lambda number: str(number).encode()),
    st.sampled_from([b"NaN", b"Infinity", b"1e999", b"null", b"[" * 3_000, b"\xed\xa0\x80", b"\0"]),
)


def check(name: str, topic: str, payload: bytes, retained: bool) -> None:
    try:
        facts = DECODE[name](Frame(topic, payload, NOW_MS, retained))
    except DecodeError:
        return
    for fact in facts:
        in_the_tables(name, fact)
        if isinstance(fact, Reading) and (fact.axis, fact.value) in PROMISES[name]:
            said = (topic.rpartition("/")[2], payload)
            assert said in PROMISES[name][fact.axis, fact.value], (topic, payload, fact)


def in_the_tables(name: str, fact: Fact) -> None:
    if isinstance(fact, Reading):
        axis = registry.vendor(name).kind.axis(fact.axis)
        assert axis is not None
        assert axis.holds(fact.value) if fact.value is not None else fact.reason
    else:
        spec = HAPPENINGS[fact.type]
        assert spec.required.keys() <= fact.data.keys() <= (spec.required | spec.optional).keys()


@given(
    name=st.sampled_from(sorted(PROMISES)),
    topic=st.text(max_size=60),
    payload=payloads,
    retained=st.booleans(),
)
@example("nuki", "nuki/398172F4/state", b"\xd9\xa1", False)
@example("nuki", "nuki/398172F4/state", "1".encode("utf-16"), False)
@example("ratgdo", "home/garage//status/door", b"closed", False)
def test_any_topic_and_any_payload(name: str, topic: str, payload: bytes, retained: bool) -> None:
    check(name, topic, payload, retained)


@given(data=st.data(), name=st.sampled_from(sorted(PROMISES)), retained=st.booleans())
def test_real_topics_with_anything_in_them(data: st.DataObject, name: str, retained: bool) -> None:
    topic = data.draw(st.sampled_from(TOPICS[name]))

    check(name, topic, data.draw(payloads), retained)


@given(
    data=st.data(),
    name=st.sampled_from(sorted(PROMISES)),
    mutate=mutations,
    extra=st.binary(max_size=4),
    retained=st.booleans(),
)
def test_real_messages_bent(
    data: st.DataObject,
    name: str,
    mutate: Callable[[bytes, bytes], bytes],
    extra: bytes,
    retained: bool,
) -> None:
    topic = data.draw(st.sampled_from(TOPICS[name]))
    payload = mutate(data.draw(st.sampled_from(REAL[name])), extra)

    check(name, topic, payload, retained)
