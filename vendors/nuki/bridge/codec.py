"""What a bridge says of its locks: JSON, a number and its name side by side.

    http/<device>/list      one entry of `/list`: what the bridge last heard, however long ago
    http/<device>/state     the lock's own answer to `/lockState`
    http/<device>/callback  the body that the bridge posts when a lock has come to rest
    http/<device>/silent    ours, empty: the bridge or the lock does not answer

`<device>` is the Nuki ID as the app shows it, 8 upper-case hex digits. A state counts only if
the name beside its number agrees: bridges are asked by people who have seen them differ.

Source: Bridge HTTP API 1.13 (2021-11-30); pynuki 1.6.3; recordings of bridges 1.17.1 and 2.17.0
(ebaauw/homebridge-nb#3, #133); names of states from the same document.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeGuard

import orjson

from devices.errors import DecodeError
from devices.health import PowerLevel, Reachability
from devices.reading import Provenance, Reading, Value
from vendors.api import Fact, Frame
from vendors.nuki.bridge import auth
from vendors.nuki.codec import DOOR_SENSOR, STATE, Row, unmapped

VENDOR: Final = "nuki_bridge"
#: Source of what cannot be laid to any lock: always a dead letter.
NOBODY: Final = "http/bridge"

# Smart Lock 1 to 4 and Smart Door. 2 is the Opener, whose numbers mean other things: its 1 is
# `online`. A bridge from before the Opener says no type.
LOCKS: Final = frozenset({0, 3, 4})
_SOURCE: Final = re.compile(r"http/(bridge|[0-9A-F]{8})/(list|state|callback|silent)")
_SOURCE_CHARS_MAX: Final = 64
_ID_MAX: Final = 0xFFFF_FFFF
# An entry is below 1 KiB; the name in it is people's.
_BODY_MAX: Final = 64 * 1024
_PERCENT_MAX: Final = 100
# No bridge is older, whatever its clock says.
_FIRST_MS: Final = 1_388_534_400_000
_AHEAD_MS: Final = 60_000
_NAME_CHARS_MAX: Final = 64

#: Number: its names, letters only and small (`unlocked (lock 'n' go)` is written in many ways).
STATE_NAMES: Final[Mapping[int, tuple[str, ...]]] = {
    0: ("uncalibrated",),
    1: ("locked",),
    2: ("unlocking",),
    3: ("unlocked",),
    4: ("locking",),
    5: ("unlatched",),
    6: ("unlockedlockngo",),
    7: ("unlatching",),
    252: ("calibration", "calibrating"),
    253: ("bootrun",),
    254: ("motorblocked",),
    255: ("undefined",),
}
DOOR_NAMES: Final[Mapping[int, tuple[str, ...]]] = {
    1: ("deactivated",),
    2: ("doorclosed",),
    3: ("dooropened",),
    4: ("doorstateunknown",),
    5: ("calibrating",),
    16: ("uncalibrated",),
    240: ("tampered", "removed"),
    255: ("unknown",),
}
_FLAGS: Final[Mapping[str, tuple[str, Value, Value]]] = {
    "batteryCritical": ("power_level", PowerLevel.CRITICAL, PowerLevel.OK),
    "keypadBatteryCritical": ("keypad_power_level", PowerLevel.CRITICAL, PowerLevel.OK),
    "doorsensorBatteryCritical": ("door_sensor_power_level", PowerLevel.CRITICAL, PowerLevel.OK),
    "batteryCharging": ("charging", True, False),
}


class Entry(NamedTuple):
    """One lock of `/list`. `stamp_ms` is the bridge's clock when it last heard of it, if ever."""

    device: str
    nuki_id: int
    type: int
    body: bytes
    stamp_ms: int | None


def decode(frame: Frame) -> Sequence[Fact]:
    """Read one frame; what is no lock yields nothing.

    Raises:
        DecodeError: a source of ours, carrying what no bridge can send.
    """
    source, payload, received_at_ms, *_ = frame
    found = _SOURCE.fullmatch(source) if len(source) <= _SOURCE_CHARS_MAX else None
    if found is None:
        return ()
    device, what = found[1], found[2]
    if device == "bridge":
        raise DecodeError(VENDOR, f"{what}: not about a lock")
    if what == "silent":
        if payload:
            raise DecodeError(VENDOR, "silent: ours, and empty")
        return (Reading(device, "reachability", Reachability.OFFLINE, Provenance.POLL),)
    said = _object(payload, what)
    if what == "state":
        return _answer(device, said)
    if device_of(said) != device:
        raise DecodeError(VENDOR, f"{what}: of another lock")
    if not _is_lock(said):
        return ()
    if what == "callback":
        online = Reading(device, "reachability", Reachability.ONLINE, Provenance.REPORT)
        return (*_readings(device, said, Provenance.REPORT, None), online)
    last = said.get("lastKnownState")
    if last is not None and not isinstance(last, dict):
        raise DecodeError(VENDOR, "lastKnownState: not an object")
    observed_at_ms = _heard_ms(last or {}, received_at_ms + _AHEAD_MS)
    return _readings(device, last or {}, Provenance.CACHED, observed_at_ms)


def _answer(device: str, said: Mapping[str, Any]) -> Sequence[Fact]:
    """The lock was woken and asked; `success` false says that it did not answer the bridge."""
    match said.get("success"):
        case True:
            online = Reading(device, "reachability", Reachability.ONLINE, Provenance.POLL)
            return (*_readings(device, said, Provenance.POLL, None), online)
        case False:
            return (Reading(device, "reachability", Reachability.OFFLINE, Provenance.POLL),)
    raise DecodeError(VENDOR, "state: neither a success nor none")


def entries(body: bytes) -> Sequence[Entry]:
    """The locks of a `/list`; Openers and what is yet to be invented are left out.

    Raises:
        DecodeError: no list of devices.
    """
    listed = _json(body, "list")
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise DecodeError(VENDOR, "list: not a list of objects")
    return [
        Entry(
            device_of(each),
            each["nukiId"],
            each.get("deviceType", 0),
            orjson.dumps(each),
            _heard_ms(each.get("lastKnownState"), None),
        )
        for each in listed
        if _is_lock(each)
    ]


def callback_device(body: bytes) -> str:
    """Whose state was posted.

    Raises:
        DecodeError: nobody's.
    """
    return device_of(_object(body, "callback"))


def device_of(said: Mapping[str, Any]) -> str:
    """The device's name by its `nukiId`.

    Raises:
        DecodeError: it has none.
    """
    number = said.get("nukiId")
    if not _is_number(number) or not 0 < number <= _ID_MAX:
        raise DecodeError(VENDOR, "nukiId: none")
    return f"{number:08X}"


def succeeded(body: bytes) -> bool:
    """What the bridge says became of an action or of a registration.

    Raises:
        DecodeError: it does not say.
    """
    success = _object(body, "answer").get("success")
    if not isinstance(success, bool):
        raise DecodeError(VENDOR, "answer: neither a success nor none")
    return success


def callbacks(body: bytes) -> Sequence[tuple[int, str]]:
    """(id, url) of each registered callback.

    Raises:
        DecodeError: no list of callbacks.
    """
    listed = _object(body, "callbacks").get("callbacks")
    if not isinstance(listed, list):
        raise DecodeError(VENDOR, "callbacks: not a list")
    found = []
    for each in listed:
        if not isinstance(each, dict) or not _is_number(each.get("id")):
            raise DecodeError(VENDOR, "callbacks: one without an id")
        if not isinstance(each.get("url"), str):
            raise DecodeError(VENDOR, "callbacks: one without a url")
        found.append((int(each["id"]), each["url"]))
    return found


# --- fields -----------------------------------------------------------------------------------


def _readings(
    device: str, said: Mapping[str, Any], provenance: Provenance, observed_at_ms: int | None
) -> Sequence[Fact]:
    rows = [*_numbered(said, "state", STATE, STATE_NAMES)]
    if "doorsensorState" in said:
        rows += _numbered(said, "doorsensorState", DOOR_SENSOR, DOOR_NAMES)
    for key, (axis, yes, no) in _FLAGS.items():
        match said.get(key):
            case bool() as flag:
                rows.append((axis, yes if flag else no, None))
            case None if key in said:
                rows.append((axis, None, "no_report"))
            case None:
                pass
            case _:
                raise DecodeError(VENDOR, f"{key}: neither true nor false")
    if "batteryChargeState" in said:
        rows.append(_percent(said["batteryChargeState"]))
    return [
        Reading(device, axis, value, provenance, observed_at_ms, why) for axis, value, why in rows
    ]


def _numbered(
    said: Mapping[str, Any],
    key: str,
    table: Mapping[int, tuple[Row, ...]],
    names: Mapping[int, tuple[str, ...]],
) -> Sequence[Row]:
    """The rows of a number, if the name beside it does not speak against it."""
    number = said.get(key)
    if number is None:
        return _unknown(table, "no_report")
    if not _is_number(number) or number < 0:
        raise DecodeError(VENDOR, f"{key}: not a number")
    rows = table.get(number)
    if rows is None:
        return unmapped(table, number)
    name = said.get(f"{key}Name")
    if not isinstance(name, str) or len(name) > _NAME_CHARS_MAX:
        return _unknown(table, "unnamed")
    letters = "".join(letter for letter in name.lower() if "a" <= letter <= "z")
    if letters in names[number]:
        return rows
    another = any(letters in each for each in names.values())
    # What tells of no position anyway may be spelled in a way that we have not seen.
    tells = rows[0][1] is not None
    return _unknown(table, "contradictory") if tells or another else rows


def _unknown(table: Mapping[int, tuple[Row, ...]], reason: str) -> Sequence[Row]:
    return [(axis, None, reason) for axis, _, _ in next(iter(table.values()))]


def _percent(percent: object) -> Row:
    if percent is None:
        return ("battery_pct", None, "no_report")
    if not _is_number(percent) or percent < 0:
        raise DecodeError(VENDOR, "batteryChargeState: not a number")
    if percent > _PERCENT_MAX:
        return ("battery_pct", None, f"unmapped:{str(percent)[:20]}")
    return ("battery_pct", percent, None)


def _heard_ms(state: object, latest_ms: int | None) -> int | None:
    """When the bridge heard it, by its own clock; None if it does not say, or cannot mean it."""
    stamp = state.get("timestamp") if isinstance(state, dict) else None
    if not isinstance(stamp, str) or len(stamp) > _NAME_CHARS_MAX:
        return None
    at_ms = auth.moment_ms(stamp)
    if at_ms is None or at_ms < _FIRST_MS or (latest_ms is not None and at_ms > latest_ms):
        return None
    return at_ms


def _is_lock(said: Mapping[str, Any]) -> bool:
    kind = said.get("deviceType", 0)
    return _is_number(kind) and kind in LOCKS


def _is_number(value: Any) -> TypeGuard[int]:  # noqa: ANN401 -- whatever stands in the JSON
    return isinstance(value, int) and not isinstance(value, bool)


def _object(payload: bytes, what: str) -> Mapping[str, Any]:
    said = _json(payload, what)
    if not isinstance(said, dict):
        raise DecodeError(VENDOR, f"{what}: not an object")
    return said


def _json(payload: bytes, what: str) -> Any:  # noqa: ANN401 -- JSON
    """JSON, although a lock's name may hold bytes that are no UTF-8 (technyon/nuki_hub#344)."""
    if len(payload) > _BODY_MAX:
        raise DecodeError(VENDOR, f"{what}: more than {_BODY_MAX} bytes")
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        pass
    try:
        return orjson.loads(payload.decode("utf-8", "replace"))
    except orjson.JSONDecodeError as failure:
        raise DecodeError(VENDOR, f"{what}: not JSON at byte {failure.pos}") from None
