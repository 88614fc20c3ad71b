"""Anything at all into Meross's codec: facts of the table, or DecodeError, and shut only by 0."""

import json
from hashlib import md5
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from devices.errors import DecodeError
from devices.kinds import CLOSURE
from devices.reading import Reading
from vendors.api import Frame
from vendors.meross import codec

NOW_MS: Final = 1_767_225_600_000
KEY: Final = "a key"
UNIT: Final = "18000000000000000000000000000001"
SOURCES: Final = [
    f"/appliance/{UNIT}/publish",
    "/app/0-doorfleet/subscribe",
    f"http/{UNIT}/config",
]
DECODE: Final = {
    "signed": codec.decoder(codec.Dialect(KEY, {UNIT: frozenset({1, 2})})),
    "open": codec.decoder(codec.Dialect()),
}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "channel": st.sampled_from([0, 1, 2, 3, -1, "1", True]) | anything,
        "open": st.sampled_from([0, 1, 2, True, False, "0", 0.0, None]) | anything,
        "doorEnable": st.sampled_from([0, 1]) | anything,
        "lmTime": anything,
    },
)
doors = entries | st.lists(entries | anything, max_size=3) | anything
payloads = st.one_of(
    st.fixed_dictionaries({"state": doors}),
    st.fixed_dictionaries({"all": st.fixed_dictionaries({"digest": anything})}),
    st.builds(lambda told: {"all": {"digest": {"garageDoor": told}}}, doors),
    anything,
)


def check(which: str, frame: Frame) -> list[Any]:
    try:
        facts = list(DECODE[which](frame))
    except DecodeError:
        return []
    for fact in facts:
        assert isinstance(fact, Reading)
        axis = CLOSURE.axis(fact.axis)
        assert axis is not None
        assert axis.holds(fact.value) if fact.value is not None else fact.reason
        assert fact.device.partition("-")[0] == UNIT or which == "open"
    return facts


@given(
    which=st.sampled_from(sorted(DECODE)),
    source=st.sampled_from(SOURCES) | st.text(max_size=60),
    payload=st.binary(max_size=200)
    | st.text(max_size=60).map(str.encode)
    | anything.map(lambda value: json.dumps(value).encode()),
    retained=st.booleans(),
)
def test_any_source_and_any_bytes(which: str, source: str, payload: bytes, retained: bool) -> None:
    check(which, Frame(source, payload, NOW_MS, retained))


@given(
    payload=payloads,
    source=st.sampled_from(SOURCES),
    namespace=st.sampled_from([codec.STATE, codec.ALL, codec.BIND]),
    method=st.sampled_from(["PUSH", "GETACK", "SETACK", "ERROR", "SET"]),
    extra=st.dictionaries(
        st.sampled_from(["from", "timestamp", "timestampMs", "messageId", "sign"]), anything
    ),
)
def test_a_message_with_anything_in_it(
    payload: Any, source: str, namespace: str, method: str, extra: dict[str, Any]
) -> None:
    at_s = NOW_MS // 1_000
    header = {
        "messageId": "0" * 32,
        "namespace": namespace,
        "method": method,
        "from": f"/appliance/{UNIT}/publish",
        "timestamp": at_s,
        "sign": md5(f"{'0' * 32}{KEY}{at_s}".encode()).hexdigest(),
        **extra,
    }
    whole = json.dumps({"header": header, "payload": payload}).encode()

    for which in DECODE:
        facts = check(which, Frame(source, whole, NOW_MS))
        positions = [fact for fact in facts if fact.axis == "position"]
        if any(fact.value == "FullyClosed" for fact in positions):
            assert method in {"PUSH", "GETACK"}
            assert b'"open": 0' in whole
        assert all(fact.value != "FullyOpened" for fact in positions)
