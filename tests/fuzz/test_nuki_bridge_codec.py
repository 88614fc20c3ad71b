"""Anything at all into the bridge's codec: facts of the table, or DecodeError."""

import json
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from devices.errors import DecodeError
from devices.kinds import LOCK
from devices.reading import Reading
from vendors.api import Frame
from vendors.nuki.bridge import codec

NOW_MS: Final = 1_767_225_600_000
DEVICE: Final = "11E1A301"
KINDS: Final = ("list", "state", "callback", "silent")
#: The only number and name that may ever read so: written out, not taken from the codec.
PROMISES: Final = {
    ("lock_state", "Locked"): {("state", 1, "locked")},
    ("lock_state", "Unlocked"): {("state", 3, "unlocked"), ("state", 6, "unlockedlockngo")},
    ("lock_state", "Unlatched"): {("state", 5, "unlatched")},
    ("door_state", "DoorClosed"): {("doorsensorState", 2, "doorclosed")},
    ("door_state", "DoorOpen"): {("doorsensorState", 3, "dooropened")},
}
KEYS: Final = (
    "nukiId", "deviceType", "success", "mode", "state", "stateName", "doorsensorState",
    "doorsensorStateName", "batteryCritical", "batteryCharging", "batteryChargeState",
    "keypadBatteryCritical", "doorsensorBatteryCritical", "timestamp", "lastKnownState", "name",
)  # fmt: skip
NAMES: Final = (
    "locked", "unlocked", "unlatched", "unlocked (lock 'n' go)", "motor blocked", "undefined",
    "door closed", "door opened", "calibrating", "online", "LOCKED ", "",
)  # fmt: skip

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-1, max_value=8),
    st.sampled_from([16, 240, 252, 253, 254, 255, 0x11E1A301, 2**32, 2**70]),
    st.integers(),
    st.floats(allow_nan=False),
    st.sampled_from(NAMES),
    st.text(max_size=20),
)
states = st.dictionaries(st.sampled_from(KEYS), scalars, max_size=14)
bodies = st.one_of(
    states,
    states.map(lambda state: {"nukiId": 0x11E1A301, "success": True, **state}),
    states.map(lambda state: {"nukiId": 0x11E1A301, "lastKnownState": state}),
    st.lists(states, max_size=3),
    scalars,
)


def check(source: str, payload: bytes) -> None:
    try:
        facts = codec.decode(Frame(source, payload, NOW_MS))
    except DecodeError:
        return
    for fact in facts:
        assert isinstance(fact, Reading)
        axis = LOCK.axis(fact.axis)
        assert axis is not None
        assert axis.holds(fact.value) if fact.value is not None else fact.reason
        if (fact.axis, fact.value) in PROMISES:
            assert any(said(payload, *each) for each in PROMISES[fact.axis, str(fact.value)])


def said(payload: bytes, key: str, number: int, name: str) -> bool:
    """Whether the body holds this number with this name, read in another way."""
    body: dict[str, Any] = json.loads(payload.decode("utf-8", "replace"))
    body = body.get("lastKnownState", body)
    letters = "".join(
        each for each in str(body[f"{key}Name"]).lower() if each.isascii() and each.isalpha()
    )
    return type(body[key]) is int and (body[key], letters) == (number, name)


@given(source=st.text(max_size=80), payload=st.binary(max_size=200))
def test_any_source_and_any_body(source: str, payload: bytes) -> None:
    check(source, payload)


@given(what=st.sampled_from(KINDS), payload=st.binary(max_size=400))
def test_real_sources_with_anything_in_them(what: str, payload: bytes) -> None:
    check(f"http/{DEVICE}/{what}", payload)


@given(what=st.sampled_from(KINDS), body=bodies, bad=st.binary(max_size=3), at=st.integers(0, 400))
def test_real_fields_with_wrong_values_and_bent_bytes(
    what: str, body: object, bad: bytes, at: int
) -> None:
    payload = json.dumps(body).encode()

    check(f"http/{DEVICE}/{what}", payload)
    check(f"http/{DEVICE}/{what}", payload[:at] + bad + payload[at:])


@given(
    payload=st.one_of(st.binary(max_size=300), bodies.map(lambda body: json.dumps(body).encode()))
)
def test_any_answer_of_a_bridge(payload: bytes) -> None:
    for read in (codec.entries, codec.callbacks, codec.succeeded, codec.callback_device):
        try:
            read(payload)
        except DecodeError:
            continue
