"""Tedee's dialect: lock objects of `GET /v1.0/lock`, and webhooks in their three forms.

    http/<id>/lock       one lock object, as the bridge answered it        asked for
    http/<id>/silent     empty: the adapter's word that nobody answers for it
    http/locks           an answer that was no list of locks: always refused
    webhook/post         {"event", "timestamp", "data": {...}}             told by itself
    webhook/query        event=...&timestamp=...&deviceId=...              method GET
    webhook/path         event=.../timestamp=.../deviceId=...              method GET+NO_PARAMS

A webhook tells of a state, and no event follows from it: that the motor runs is said again when
the door's contact changes meanwhile. `source` and `user_id`, by which somebody could be named,
are explained nowhere.

Source: tedee-com/tedee-documentation 2ea1f38, `bridge-api/spec.json` (API 1.2) and
`webhooks/events.md`; meaning of the states and of the jam flag: tedee-com/tedee-lock-ble-api-doc,
`notifications/operations/lock-state.rst`; state 18: aiotedee 0.3.0; `source` and `user_id` of a
webhook: a real bridge's, in openHAB's Tedee binding README (85502e0).
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import orjson

from devices.errors import DecodeError
from devices.health import Reachability
from devices.lock import DoorState, Fault, LockState, Motion
from devices.reading import NO_SENSOR, Provenance, Reading, Value
from vendors.api import Fact, Frame

VENDOR: Final = "tedee"
#: (axis, value, reason) of one fact.
Row = tuple[str, Value, str | None]

_SOURCE: Final = re.compile(r"http/([1-9][0-9]{0,9})/(lock|silent)")
# The longest is `http/<10 digits>/silent`.
_SOURCE_CHARS_MAX: Final = 32
# A lock object is below 1 KiB, with all its settings.
_PAYLOAD_BYTES_MAX: Final = 16 * 1024
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,9}")
#: Fields of the text forms that are numbers; the others are text.
_NUMBERS: Final = frozenset(
    {
        "deviceType", "deviceId", "isConnected", "state", "jammed", "doorState", "batteryLevel",
    }
)  # fmt: skip
_ID_MAX: Final = 2**31 - 1
_PERCENT_MAX: Final = 100
_BATTERY_UNKNOWN: Final = 255
_STAMP_CHARS_MAX: Final = 40


class State(NamedTuple):
    """What a state number says when no jam is reported beside it; `reason` of what is unknown."""

    lock_state: LockState | None
    motion: Motion | None
    fault: Fault | None
    reason: str | None = None


#: While the bolt moves its position is nobody's. 255 is what a bridge says while the spring
#: returns, and of locks that are too far away as well (home-assistant/core#121778): it tells
#: nothing. 9: the lock has lost its angle.
STATE: Final[Mapping[int, State]] = {
    0: State(None, None, Fault.NOT_CALIBRATED, "uncalibrated"),
    1: State(None, None, None, "calibrating"),
    2: State(LockState.UNLOCKED, Motion.IDLE, Fault.NONE),
    3: State(LockState.NOT_FULLY_LOCKED, Motion.IDLE, Fault.NONE),
    4: State(None, Motion.UNLOCKING, Fault.NONE, "moving"),
    5: State(None, Motion.LOCKING, Fault.NONE, "moving"),
    6: State(LockState.LOCKED, Motion.IDLE, Fault.NONE),
    7: State(LockState.UNLATCHED, Motion.IDLE, Fault.NONE),
    8: State(None, Motion.UNLATCHING, Fault.NONE, "moving"),
    9: State(None, None, None, "position_lost"),
    18: State(None, None, None, "updating"),
    255: State(None, None, None, "unpulling"),
}
_NOT_JAMMED, _JAMMED = 0, 1
DOOR: Final[Mapping[int, tuple[DoorState | None, str | None]]] = {
    0: (None, NO_SENSOR),
    1: (None, "sensor_disconnected"),
    2: (DoorState.DOOR_OPEN, None),
    3: (DoorState.DOOR_CLOSED, None),
    4: (None, "uncalibrated"),
}
CONNECTED: Final[Mapping[int, Reachability]] = {0: Reachability.OFFLINE, 1: Reachability.ONLINE}
#: Events that tell of no axis of ours.
SILENT_EVENTS: Final = frozenset({"backend-connection-changed", "device-settings-changed"})


class Event(NamedTuple):
    """One webhook. `device` is empty if it is about the bridge; `at_ms` by the bridge's clock."""

    name: str
    device: str
    at_ms: int | None
    data: Mapping[str, Any]


def decode(frame: Frame) -> Sequence[Fact]:
    """Read one frame; a source we do not model yields nothing.

    Raises:
        DecodeError: what no bridge can have sent.
    """
    source, payload, _, _, _ = frame
    if len(source) > _SOURCE_CHARS_MAX:
        return ()
    form = source.removeprefix("webhook/")
    if form != source and form in FORMS:
        return _readings(read_event(form, payload))
    if source == "http/locks":
        raise DecodeError(VENDOR, "locks: no list of locks")
    found = _SOURCE.fullmatch(source)
    if found is None:
        return ()
    device = found[1]
    if found[2] == "silent":
        if payload:
            raise DecodeError(VENDOR, "silent: with a payload")
        return (Reading(device, "reachability", Reachability.OFFLINE, Provenance.POLL),)
    return _lock(device, _object(payload, "lock"))


def id_of(found: object) -> str | None:
    """The device that an id in an answer names; None if it is none."""
    return str(found) if type(found) is int and 0 < found <= _ID_MAX else None


# --- what was asked for -----------------------------------------------------------------------


def _lock(device: str, lock: Mapping[str, Any]) -> Sequence[Fact]:
    if id_of(lock.get("id")) != device:
        raise DecodeError(VENDOR, "lock: another id than was asked for")
    connected = _number(lock, "isConnected")
    # Of a lock that it does not reach, a bridge says what it remembers (core#169379).
    provenance = Provenance.POLL if connected == 1 else Provenance.CACHED
    axis, value, why = _reachability(connected)
    facts = [Reading(device, axis, value, Provenance.POLL, None, why)]
    facts += [
        Reading(device, axis, value, provenance, None, why)
        for axis, value, why in (
            *_status(lock),
            _battery(_number(lock, "batteryLevel")),
            _flag("charging", _number(lock, "isCharging")),
        )
    ]
    return facts


def _reachability(connected: int) -> Row:
    value = CONNECTED.get(connected)
    return ("reachability", value, None if value is not None else f"unmapped:{connected}")


def _status(fields: Mapping[str, Any]) -> Sequence[Row]:
    """Bolt, motor, fault and, if it is told of, the door's contact."""
    number, jammed = _number(fields, "state"), _number(fields, "jammed")
    state = STATE.get(number) or State(None, None, None, f"unmapped:{number}")
    lock_state, motion, fault, reason = state
    if jammed != _NOT_JAMMED:
        # The flag is about the last change of state, and the angle that was counted in it is not
        # to be trusted (meltingice1337/tedee_ble#12). Halfway, though, promises nothing.
        why = "jammed" if jammed == _JAMMED else f"unmapped:{jammed}"
        if lock_state is not None and lock_state is not LockState.NOT_FULLY_LOCKED:
            lock_state, reason = None, why
        fault = Fault.LOCK_JAMMED if jammed == _JAMMED else None
        rows: list[Row] = [("fault", fault, None if fault is not None else why)]
    else:
        rows = [("fault", fault, reason if fault is None else None)]
    rows += [
        ("lock_state", lock_state, reason if lock_state is None else None),
        ("motion", motion, reason if motion is None else None),
    ]
    if "doorState" in fields:
        contact = _number(fields, "doorState")
        rows.append(("door_state", *DOOR.get(contact, (None, f"unmapped:{contact}"))))
    return rows


def _battery(percent: int) -> Row:
    if percent <= _PERCENT_MAX:
        return ("battery_pct", percent, None)
    reason = "unknown" if percent == _BATTERY_UNKNOWN else f"unmapped:{percent}"
    return ("battery_pct", None, reason)


def _flag(axis: str, number: int) -> Row:
    return (axis, bool(number), None) if number in (0, 1) else (axis, None, f"unmapped:{number}")


# --- what was told ----------------------------------------------------------------------------


def read_event(form: str, payload: bytes) -> Event:
    """One webhook, whichever of `FORMS` it came in.

    Raises:
        DecodeError: it is none.
    """
    fields = FORMS[form](payload)
    name, stamp, data = fields.get("event"), fields.get("timestamp"), fields.get("data")
    if not isinstance(name, str) or not isinstance(data, dict):
        raise DecodeError(VENDOR, "webhook: no event with its data")
    if not isinstance(stamp, str) or len(stamp) > _STAMP_CHARS_MAX:
        raise DecodeError(VENDOR, "webhook: no timestamp")
    if name == "lock-status-changed" and form != "post" and "doorState" not in data:
        raise DecodeError(VENDOR, "webhook: cut short")
    device = id_of(data.get("deviceId")) if "deviceId" in data else ""
    if device is None:
        raise DecodeError(VENDOR, "webhook: deviceId is none")
    return Event(name, device, _unix_ms(stamp), data)


def _unix_ms(stamp: str) -> int | None:
    try:
        at = datetime.fromisoformat(stamp)
        return round(at.timestamp() * 1000) if at.tzinfo is not None else None
    except (ValueError, OverflowError, OSError):
        return None  # a time that cannot be read makes the news no less true


def _readings(event: Event) -> Sequence[Reading]:
    device, data = event.device, event.data
    rows: Sequence[Row]
    match event.name:
        case "lock-status-changed":
            rows = _status(data)
        case "device-connection-changed":
            rows = [_reachability(_number(data, "isConnected"))]
        case "device-battery-level-changed":
            rows = [_battery(_number(data, "batteryLevel"))]
        case "device-battery-start-charging":
            rows = [("charging", True, None)]
        case "device-battery-stop-charging":
            rows = [("charging", False, None)]
        case "device-battery-fully-charged":
            rows = [("charging", False, None), ("battery_pct", _PERCENT_MAX, None)]
        case _:
            return ()
    if not device:
        raise DecodeError(VENDOR, f"{event.name}: of no device")
    return [
        Reading(device, axis, value, Provenance.REPORT, event.at_ms, why)
        for axis, value, why in rows
    ]


# --- bytes ------------------------------------------------------------------------------------


def _object(payload: bytes, what: str) -> dict[str, Any]:
    if len(payload) > _PAYLOAD_BYTES_MAX:
        raise DecodeError(VENDOR, f"{what}: {len(payload)} bytes")
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise DecodeError(VENDOR, f"{what}: no JSON") from error
    if not isinstance(found, dict):
        raise DecodeError(VENDOR, f"{what}: no object")
    return found


def _post(payload: bytes) -> Mapping[str, Any]:
    return _object(payload, "webhook")


def _pairs(payload: bytes, between: str) -> Mapping[str, Any]:
    if len(payload) > _PAYLOAD_BYTES_MAX or not payload.isascii():
        raise DecodeError(VENDOR, "webhook: no text of a webhook")
    flat: dict[str, Any] = {}
    for pair in payload.decode().split(between):
        name, is_one, value = pair.partition("=")
        if not is_one or name in flat:
            raise DecodeError(VENDOR, "webhook: no pairs, or one of them twice")
        flat[name] = unquote(value)
    for name in _NUMBERS & flat.keys():
        if _NUMBER.fullmatch(flat[name]) is None:
            raise DecodeError(VENDOR, f"webhook: {name} is no number")
        flat[name] = int(flat[name])
    event, stamp = flat.pop("event", None), flat.pop("timestamp", None)
    return {"event": event, "timestamp": stamp, "data": flat}


def _query(payload: bytes) -> Mapping[str, Any]:
    return _pairs(payload, "&")


def _path(payload: bytes) -> Mapping[str, Any]:
    return _pairs(payload, "/")


#: The three methods that a callback can be registered with.
FORMS: Final = {"post": _post, "query": _query, "path": _path}


def _number(fields: Mapping[str, Any], name: str) -> int:
    """A whole number that is not negative; the API has neither booleans nor numbers as text."""
    found = fields.get(name)
    if type(found) is not int or not 0 <= found <= _ID_MAX:
        raise DecodeError(VENDOR, f"{name}: no number")
    return found
