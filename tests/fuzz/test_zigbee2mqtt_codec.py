"""Anything at all into the codec of Zigbee2MQTT: facts of the table, or DecodeError."""

import json
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from devices.errors import DecodeError
from devices.kinds import HAPPENINGS
from devices.kinds import LOCK as KIND
from devices.reading import Reading
from vendors.api import Fact, Frame
from vendors.zigbee2mqtt import bridge, codec
from vendors.zigbee2mqtt.news import Heard, Question

NOW_MS: Final = 1_767_225_600_000
DEVICE: Final = "0x000d6f0000000510"
#: The only pairs that may ever read as locked or unlocked: written out, not the codec's table.
#: An absent `lock_state` is left out of the pair.
PROMISES: Final = {
    "Locked": {("LOCK", "locked"), ("LOCKED", "locked"), ("LOCK",), ("LOCKED",), (None, "locked")},
    "Unlocked": {("UNLOCK", "unlocked"), ("UNLOCKED", "unlocked"), (None, "unlocked")},
    "DoorClosed": {"closed"},
}

words = st.sampled_from(
    [
        *("LOCK", "UNLOCK", "LOCKED", "UNLOCKED", "locked", "unlocked", "not_fully_locked"),
        *("open", "closed", "undefined", "enabled", "available", "online", "offline"),
        *("manual_unlock", "auto_lock", "pin_code_added", "keypad", "rf"),
        "unlock_failure_invalid_schedule",
    ]
)
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), words, st.text()
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
users = st.dictionaries(
    st.one_of(st.integers(-1, 1_500).map(str), st.text(max_size=4)),
    st.one_of(values, st.fixed_dictionaries({"status": values})),
    max_size=4,
)
documents = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            (
                *("state", "lock_state", "door_state", "battery", "battery_low", "last_seen"),
                *("action", "action_user", "action_source", "action_source_name", "linkquality"),
            ),
            values,
        ),
        "users": users | values,
    },
)
hows = st.sampled_from(["report", "poll", "cached", "doubt"])
sources = st.one_of(
    st.text(max_size=60),
    st.builds("lock/{}/{}?*={}".format, st.just(DEVICE), st.just("state"), hows),
    st.builds(
        "lock/{}/state?bolt={}&door_state={}&users.3={}".format, st.just(DEVICE), hows, hows, hows
    ),
    st.builds("lock/{}/{}".format, st.just(DEVICE), st.sampled_from(["bridge", "availability"])),
    st.sampled_from(["bridge/state", "bridge/devices", f"lock/{DEVICE}/silent"]),
)


def in_the_tables(fact: Fact) -> None:
    if isinstance(fact, Reading):
        axis = KIND.axis(fact.axis)
        assert axis is not None
        assert axis.holds(fact.value) if fact.value is not None else fact.reason
    else:
        spec = HAPPENINGS[fact.type]
        assert spec.required.keys() <= fact.data.keys() <= (spec.required | spec.optional).keys()


def decode(source: str, payload: bytes, retained: bool) -> list[Fact]:
    try:
        return list(codec.decode(Frame(source, payload, NOW_MS, retained)))
    except DecodeError:
        return []


# Beside the codec: conversations and long lists, which cost ten times what a frame costs.
FEWER = settings(max_examples=max(20, settings.default.max_examples // 5))


@given(source=sources, payload=st.binary(max_size=80), retained=st.booleans())
@example(f"lock/{DEVICE}/state?*=report", b"[" * 100_000, False)
@example(f"lock/{DEVICE}/state?*=report", b'{"users":' * 1_000, False)
@example("bridge/devices", b"[" * 100_000, False)
@example(f"lock/{DEVICE}/state?*=report", b'{"state":"LOCK","battery":1e999}', False)
def test_any_bytes_anywhere(source: str, payload: bytes, retained: bool) -> None:
    for fact in decode(source, payload, retained):
        in_the_tables(fact)


@given(source=sources, told=documents, retained=st.booleans())
@example(
    f"lock/{DEVICE}/state?*=report", {"state": "LOCK", "lock_state": "locked", "action": ""}, False
)
def test_any_document_promises_nothing_that_it_does_not_say(
    source: str, told: dict[str, Any], retained: bool
) -> None:
    for fact in decode(source, json.dumps(told).encode(), retained):
        in_the_tables(fact)
        if not isinstance(fact, Reading):
            continue
        if fact.axis == "lock_state" and fact.value in PROMISES:
            said = tuple(told[key] for key in ("state", "lock_state") if key in told)
            said = (None, *said) if "state" not in told else said
            assert said in PROMISES[str(fact.value)], told
        if fact.axis == "door_state" and fact.value == "DoorClosed":
            assert told["door_state"] in PROMISES["DoorClosed"]


@FEWER
@given(first=documents, second=documents, asked=st.sampled_from(["bolt", "users.3", None]))
def test_whatever_is_compared_is_read_again(
    first: dict[str, Any], second: dict[str, Any], asked: str | None
) -> None:
    heard = Heard()
    for number, told in enumerate((first, second, second)):
        if asked is not None:
            heard.question = Question(asked, number)
        news = heard.take(told, None, number)
        how = "&".join(f"{part}={came}" for part, came in news.how.items())
        source = f"lock/{DEVICE}/state" + (f"?{how}" if how else "")
        for fact in decode(source, json.dumps(told).encode(), False):
            in_the_tables(fact)
        assert set(news.how) <= set(codec.parts(told))


@FEWER
@given(payload=st.one_of(st.binary(max_size=80), documents.map(lambda d: json.dumps(d).encode())))
@example(
    b'[{"friendly_name":"a","ieee_address":"0x000d6f0000000510","definition":{"exposes":[1]}}]'
)
def test_what_the_bridge_says_of_itself_is_read_or_not(payload: bytes) -> None:
    bridge.failure(payload)
    bridge.locks(payload)
    bridge.link(payload)
    bridge.without_codes(payload)
