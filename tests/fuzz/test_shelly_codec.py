"""Anything at all into Shelly's codec: facts of the table or DecodeError; shut only by a word."""

import json
from typing import Any, Final

from hypothesis import example, given
from hypothesis import strategies as st

from devices.errors import DecodeError
from devices.reading import Reading
from vendors.api import Frame
from vendors.shelly import VENDOR, adapter
from vendors.shelly.settings import ShellySettings

NOW_MS: Final = 1_767_225_600_000
DECODE: Final = adapter.decoder(
    ShellySettings.model_validate(
        {
            "mqtt": {"url": "mqtt://broker.example"},
            "openers": {"reed": {}, "reeds": {"open_input": 1}},
        }
    )
)
SOURCES: Final = [
    f"{pattern.format(name)}"
    for name in ("garage", "reed", "reeds")
    for pattern in (
        "{}/events/rpc",
        "{}/online",
        "{}/status/cover:0",
        "{}/status/input:0",
        "doorfleet-shelly/{}/rpc",
        "ws/{}",
        "http/{}",
        "silent/{}",
    )
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["open", "closed", "stopped", "opening", "limit_switch", "timeout"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
covers = st.fixed_dictionaries(
    {},
    optional={
        "state": json_values,
        "current_pos": json_values | st.integers(-5, 105),
        "target_pos": json_values,
        "pos_control": json_values,
        "source": json_values,
        "errors": json_values | st.lists(st.sampled_from(["obstruction", "overtemp", "x"])),
    },
)
components = st.fixed_dictionaries(
    {},
    optional={
        "cover:0": json_values | covers,
        "input:0": json_values | st.fixed_dictionaries({"state": json_values}),
        "input:1": json_values | st.fixed_dictionaries({"state": json_values}),
        "ts": json_values,
        "sys": json_values | st.just({"uptime": 1, "unixtime": 1_767_225_600}),
    },
)
frames = st.one_of(
    covers,
    st.fixed_dictionaries(
        {"method": st.sampled_from(["NotifyStatus", "NotifyFullStatus", "NotifyEvent"])},
        optional={"params": json_values | components},
    ),
    st.fixed_dictionaries({"id": json_values, "result": json_values | components}),
    st.fixed_dictionaries({"id": json_values, "error": json_values}),
    json_values,
)


def statuses(said: Any) -> list[dict[str, Any]]:
    """Every object in it, however deep."""
    if isinstance(said, list):
        return [found for each in said for found in statuses(each)]
    if not isinstance(said, dict):
        return []
    return [said, *(found for each in said.values() for found in statuses(each))]


def check(source: str, payload: bytes, retained: bool) -> None:
    try:
        facts = DECODE(Frame(source, payload, NOW_MS, retained))
    except DecodeError:
        return
    for fact in facts:
        assert isinstance(fact, Reading)
        axis = VENDOR.kind.axis(fact.axis)
        assert axis is not None
        assert axis.holds(fact.value) if fact.value is not None else fact.reason
        if fact.axis == "position" and fact.value in ("FullyClosed", "FullyOpened"):
            word = {"FullyClosed": "closed", "FullyOpened": "open"}[str(fact.value)]
            said = statuses(json.loads(payload))
            cover = any(
                each.get("state") == word and each.get("source") != "timeout" for each in said
            )
            reed = fact.device != "garage" and any(each.get("state") is True for each in said)
            assert cover or reed


@given(source=st.text(max_size=40), payload=st.binary(max_size=60), retained=st.booleans())
@example("a/b/online", b"true", False)
@example("garage/online", b"\xff", True)
def test_any_source_and_any_payload(source: str, payload: bytes, retained: bool) -> None:
    check(source, payload, retained)


@given(
    source=st.sampled_from(SOURCES),
    payload=st.binary(max_size=60)
    | st.sampled_from([b"NaN", b"1e999", b"null", b"[" * 3_000, b'{"a":' * 3_000, b"\xed\xa0\x80"]),
    retained=st.booleans(),
)
def test_real_sources_with_anything_in_them(source: str, payload: bytes, retained: bool) -> None:
    check(source, payload, retained)


@given(source=st.sampled_from(SOURCES), said=frames, retained=st.booleans())
@example("garage/status/cover:0", {"state": "closed", "current_pos": 0}, False)
@example("garage/status/cover:0", {"state": "closed", "source": "timeout", "current_pos": 0}, False)
def test_frames_of_any_shape(source: str, said: Any, retained: bool) -> None:
    check(source, json.dumps(said).encode(), retained)
