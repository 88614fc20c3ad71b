"""Anything at all into Tedee's codec: facts of the table, or DecodeError, and no false promise."""

import json
from typing import Any, Final
from urllib.parse import parse_qsl

from hypothesis import example, given
from hypothesis import strategies as st

from devices.errors import DecodeError
from devices.kinds import LOCK
from devices.reading import Reading
from vendors.api import Frame
from vendors.tedee import codec

NOW_MS: Final = 1_767_225_600_000
#: The only numbers that may ever read as this: written out, not taken from the codec's tables.
PROMISES: Final = {
    ("lock_state", "Locked"): {"state": 6, "jammed": 0},
    ("lock_state", "Unlocked"): {"state": 2, "jammed": 0},
    ("lock_state", "Unlatched"): {"state": 7, "jammed": 0},
    ("door_state", "DoorClosed"): {"doorState": 3},
    ("door_state", "DoorOpen"): {"doorState": 2},
    ("reachability", "Online"): {"isConnected": 1},
}
SOURCES: Final = [
    "http/10/lock",
    "http/10/silent",
    "http/locks",
    "webhook/post",
    "webhook/query",
    "webhook/path",
]
EVENTS: Final = [
    "backend-connection-changed",
    "device-connection-changed",
    "device-settings-changed",
    "lock-status-changed",
    "device-battery-level-changed",
    "device-battery-start-charging",
    "device-battery-stop-charging",
    "device-battery-fully-charged",
    "other",
]
FIELDS: Final = [
    "id",
    "deviceId",
    "isConnected",
    "state",
    "jammed",
    "doorState",
    "batteryLevel",
    "isCharging",
    "source",
    "user_id",
]
numbers = st.one_of(
    st.integers(-1, 10),
    st.sampled_from([18, 100, 101, 255, 256, 2**31 - 1, 2**31, 2**53, 2**63, 2**64, 10**30]),
)
anything = st.recursive(
    st.one_of(numbers, st.none(), st.booleans(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
fields = st.dictionaries(
    st.sampled_from(FIELDS), st.one_of(numbers, anything), max_size=len(FIELDS)
)
whole = st.fixed_dictionaries({name: st.integers(0, 10) for name in FIELDS})
stamps = st.one_of(st.just("2026-01-01T00:00:00.250Z"), st.text(max_size=50), anything)


def said(source: str, payload: bytes) -> dict[str, Any]:
    """What the bytes say, read without the codec."""
    if source.startswith("http") or "post" in source:
        found = json.loads(payload)
        return dict(found.get("data", found))
    separator = "&" if "query" in source else "/"
    pairs = parse_qsl(payload.decode(), separator=separator, strict_parsing=True)
    return {name: int(value) if value.isdigit() else value for name, value in pairs}


def check(source: str, payload: bytes, retained: bool = False) -> None:
    try:
        facts = codec.decode(Frame(source, payload, NOW_MS, retained))
    except DecodeError:
        return
    for fact in facts:
        assert isinstance(fact, Reading)
        axis = LOCK.axis(fact.axis)
        assert axis is not None
        assert axis.holds(fact.value) if fact.value is not None else fact.reason
        wanted = PROMISES.get((fact.axis, str(fact.value)), {})
        if wanted:
            found = said(source, payload)
            assert {name: found.get(name) for name in wanted} == wanted, (source, payload)


@given(source=st.one_of(st.text(max_size=40), st.sampled_from(SOURCES)), payload=st.binary())
@example("http/10/lock", b"[" * 10_000)
@example("http/10/lock", b'{"id":10' + b" " * 1_000_000)
@example("webhook/post", b'{"event":"lock-status-changed","timestamp":"","data":NaN}')
@example("webhook/query", b"=" * 5_000)
@example("webhook/path", b"\xed\xa0\x80")
@example("http/2147483648/lock", b'{"id":2147483648}')
def test_any_source_and_any_bytes(source: str, payload: bytes) -> None:
    check(source, payload)


@given(lock=st.one_of(fields, whole), retained=st.booleans())
def test_any_lock_object(lock: dict[str, Any], retained: bool) -> None:
    check("http/10/lock", json.dumps({**lock, "id": 10}).encode(), retained)
    check("http/10/lock", json.dumps(lock).encode(), retained)


@given(
    event=st.one_of(st.sampled_from(EVENTS), anything),
    stamp=stamps,
    data=st.one_of(fields, whole, anything),
)
def test_any_posted_webhook(event: Any, stamp: Any, data: Any) -> None:
    body = {"event": event, "timestamp": stamp, "data": data}
    check("webhook/post", json.dumps(body).encode())


@given(
    form=st.sampled_from(["query", "path"]),
    event=st.sampled_from(EVENTS),
    data=st.one_of(fields, whole),
    cut=st.integers(0, 200),
    extra=st.binary(max_size=4),
)
def test_any_webhook_of_the_text_forms_whole_or_cut(
    form: str, event: str, data: dict[str, Any], cut: int, extra: bytes
) -> None:
    pairs = {"event": event, "timestamp": "2026-01-01T00:00:00.250Z", **data}
    text = ("&" if form == "query" else "/").join(
        f"{name}={value}" for name, value in pairs.items()
    )
    payload = text.encode("utf-8", "surrogatepass")
    for bent in (payload, payload[:cut], payload[:cut] + extra, payload + extra):
        check(f"webhook/{form}", bent)
