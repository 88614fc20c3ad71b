"""Z-Wave JS: what its server and its gateway told of one lock, as facts.

Shape: a frame is a JSON object that the adapter made of messages as they came, see `nodes`.

    ws/<node>/lock           {"events": [args, ...], "knows": {...}}  one Door Lock report
    ws/<node>/value/<what>   {"event": {"args": ...}, "knows": {...}} one value of another class
    ws/<node>/notification   {"event": {"args": ...}}                 one notification
    ws/<node>/status         {"event": {"event": "dead"}}             alive, dead, asleep
    ws/<node>/node           {"node": {...}, "knows": {...}}          what the server remembers
    mqtt/<name>/...          likewise, of the MQTT gateway's topics, see `topics`

Source: zwave-js/zwave-js-server (npm 3.10.2, schema 50) `forward.ts`, `state.ts`; zwave-js 15.29.0
`DoorLockCC.ts`, `NotificationCC.ts`, `Notifications.ts`; traces of both with a mock lock
(`tests/interop/zwave_js_server`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

import orjson

from devices.errors import DecodeError
from devices.health import PowerLevel, Reachability
from devices.lock import CredentialStatus, DoorState, Fault, LockState, Motion, OperatingMode
from devices.reading import Provenance, Reading, Value
from vendors.api import Fact, Frame
from vendors.zwave_js import operations
from vendors.zwave_js.names import (
    ACCESS_CONTROL,
    BATTERY,
    DOOR_LOCK,
    DOOR_STATE,
    HANDLES,
    LOCK_STATE,
    NOTIFICATION,
    USER_CODE,
    VENDOR,
    device_of,
    same_slot,
)

#: (axis, value, reason) of one fact.
Row = tuple[str, Value, str | None]

_SOURCE: Final = re.compile(
    r"(?:ws/([1-9][0-9]{0,4})|mqtt/([^/]+))/(lock|value|notification|status|node)(?:/.*)?"
)
_SOURCE_CHARS_MAX: Final = 320
_SLOT_MAX: Final = 999
_PERCENT_MAX: Final = 100

_SECURED: Final = 255
_UNKNOWN: Final = 254
#: Wire values of `currentMode`. One handle that opens (16 to 33) is neither: whoever stands on the
#: other side finds the door locked. Source: zwave-js `DoorLockMode`; the constants 2 to 5 of
#: zwave-js-server-python are not what a server says.
MODES: Final[Mapping[int, LockState | None]] = {
    0: LockState.UNLOCKED,
    1: LockState.UNLOCKED,
    16: LockState.NOT_FULLY_LOCKED,
    17: LockState.NOT_FULLY_LOCKED,
    32: LockState.NOT_FULLY_LOCKED,
    33: LockState.NOT_FULLY_LOCKED,
    _UNKNOWN: None,
    _SECURED: LockState.LOCKED,
}
#: What the bolt must be for these modes to be believed.
BOLTS: Final[Mapping[int, str]] = {0: "unlocked", 1: "unlocked", _SECURED: "locked"}
_BOLT_WORDS: Final = frozenset(BOLTS.values())
DOOR_STATUS: Final[Mapping[str, DoorState]] = {
    "open": DoorState.DOOR_OPEN,
    "closed": DoorState.DOOR_CLOSED,
}
#: The Notification variable; with its enum where the sensor sends one.
DOOR_VARIABLE: Final[Mapping[int, DoorState]] = {
    22: DoorState.DOOR_OPEN,
    23: DoorState.DOOR_CLOSED,
    0x1600: DoorState.DOOR_OPEN,
    0x1601: DoorState.DOOR_AJAR,
}
USER_STATUS: Final[Mapping[int, CredentialStatus]] = {
    0: CredentialStatus.AVAILABLE,
    1: CredentialStatus.OCCUPIED_ENABLED,
    2: CredentialStatus.OCCUPIED_DISABLED,
}
KEYPAD_MODES: Final[Mapping[int, OperatingMode]] = {
    0: OperatingMode.NORMAL,
    1: OperatingMode.VACATION,
    2: OperatingMode.PRIVACY,
}
NODE_STATUS: Final[Mapping[int, Reachability | None]] = {
    0: None,
    1: Reachability.SLEEPING,
    2: Reachability.ONLINE,
    3: Reachability.OFFLINE,
    4: Reachability.ONLINE,
}
NODE_EVENTS: Final[Mapping[str, Reachability]] = {
    "alive": Reachability.ONLINE,
    "wake up": Reachability.ONLINE,
    "sleep": Reachability.SLEEPING,
    "dead": Reachability.OFFLINE,
    "node removed": Reachability.OFFLINE,
    "gateway gone": Reachability.OFFLINE,
}
#: A jam that went idle by itself just so long after it began was ended by a timer, not by the lock.
#: Source: `scheduleNotificationIdleReset`, 5 minutes; zwave-js/zwave-js#1543.
TIMER_MS: Final = range(298_000, 305_000)


def decode(frame: Frame, boltless: frozenset[str] = frozenset()) -> Sequence[Fact]:
    """Read one frame; what we do not model yields nothing.

    Args:
        frame: see the module.
        boltless: devices whose `boltStatus` is not believed.

    Raises:
        DecodeError: what no server can have said.
    """
    source = frame.source
    if source in {"ws/message", "mqtt/message"}:
        raise DecodeError(VENDOR, "a message that is no JSON object")
    found = _SOURCE.fullmatch(source) if len(source) <= _SOURCE_CHARS_MAX else None
    if found is None:
        return ()
    device = device_of(int(found[1])) if found[1] else unquote(found[2])
    what = found[3]
    body = _object(what, frame.payload)
    knows = _mapping(what, body.get("knows", {}), "knows")
    believed = device not in boltless
    match what:
        case "lock":
            events = body.get("events")
            if not isinstance(events, list) or not events:
                raise DecodeError(VENDOR, "lock: no list of events")
            said, provenance = _said(events)
            rows = _lock(said, knows, provenance, believed=believed)
        case "value":
            event = _mapping(what, body.get("event"), "event")
            args = _mapping(what, event.get("args"), "args")
            provenance = Provenance.REPORT
            rows = _value(args, args.get("newValue"), knows)
        case "notification":
            event = _mapping(what, body.get("event"), "event")
            return operations.facts(device, _mapping(what, event.get("args"), "args"))
        case "status":
            event = _mapping(what, body.get("event"), "event")
            provenance = Provenance.REPORT
            rows = _status(event.get("event"))
        case _:
            provenance = Provenance.RETAINED if frame.retained else Provenance.CACHED
            node = _mapping(what, body.get("node"), "node")
            return list(_node(device, node, knows, provenance, believed=believed))
    return [Reading(device, axis, value, provenance, None, why) for axis, value, why in rows]


def _object(what: str, payload: bytes) -> Mapping[str, Any]:
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise DecodeError(VENDOR, f"{what}: no JSON") from None
    return _mapping(what, body, "a frame")


def _mapping(what: str, value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError(VENDOR, f"{what}: {name} is no object")
    return value


def _whole(what: str, value: object) -> int | None:
    """A number, or None for a value that the server does not have."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise DecodeError(VENDOR, f"{what}: not a whole number")
    return value


# --- the bolt ---------------------------------------------------------------------------------


def _said(events: Sequence[object]) -> tuple[Mapping[str, Any], Provenance]:
    """What a row of Door Lock values says, and who says it.

    A lock's report tells the handles along with the mode. The driver alone sets the mode alone:
    either because of a notification, which then follows, or because it assumes that what it was
    asked for has come about.
    """
    said: dict[str, Any] = {}
    because: set[int | None] = set()
    for each in events:
        args = _mapping("lock", each, "an event")
        if "property" in args:
            said[str(args["property"])] = args.get("newValue")
        else:
            because.add(operations.mode_of(args))
    if HANDLES & said.keys():
        return said, Provenance.REPORT
    mode = _whole("currentMode", said.get("currentMode"))
    caused = mode is not None and mode in because
    return said, Provenance.EVENT if caused else Provenance.OPTIMISTIC


def _lock(
    said: Mapping[str, Any], knows: Mapping[str, Any], provenance: Provenance, *, believed: bool
) -> Iterator[Row]:
    bolt = said.get("boltStatus") if believed else None
    if bolt is not None and (not isinstance(bolt, str) or bolt not in _BOLT_WORDS):
        raise DecodeError(VENDOR, "boltStatus: neither locked nor unlocked")
    if "currentMode" in said:
        mode = _whole("currentMode", said["currentMode"])
        if provenance is Provenance.OPTIMISTIC and mode is not None:
            yield from _assumed(mode)
        else:
            yield from _mode(mode, bolt, said, knows)
    elif bolt is not None:
        mode = _whole("mode", knows.get("mode"))
        if mode is not None and BOLTS.get(mode, bolt) != bolt:
            yield ("lock_state", None, "contradictory")
    yield from _door_status(said.get("doorStatus"), knows)


def _assumed(mode: int) -> Iterator[Row]:
    """The driver's word alone: the bolt is on its way, if anything. Never a position."""
    yield ("lock_state", None, "moving")
    yield _motion(mode)


def _motion(mode: int) -> Row:
    if MODES.get(mode) is None:
        return ("motion", None, f"unmapped:{str(mode)[:20]}")
    return ("motion", Motion.LOCKING if mode == _SECURED else Motion.UNLOCKING, None)


def _mode(
    mode: int | None, bolt: str | None, said: Mapping[str, Any], knows: Mapping[str, Any]
) -> Iterator[Row]:
    """A report of the lock itself, or what the server remembers of one."""
    if mode is None:
        for axis in ("lock_state", "motion"):
            yield (axis, None, "no_report")
        return
    if mode not in MODES:
        for axis in ("lock_state", "motion", "fault"):
            yield (axis, None, f"unmapped:{str(mode)[:20]}")
        return
    target = _whole("targetMode", said.get("targetMode"))
    if target is not None and target != mode and _seconds(said.get("duration")):
        # A target alone is no sign of motion: it stays where the last remote command put it.
        yield ("lock_state", None, "moving")
        yield _motion(target)
        return
    jammed = bool(knows.get("jammed"))
    agrees = bolt is None or BOLTS.get(mode, bolt) == bolt
    if mode == _UNKNOWN:
        yield ("lock_state", None, "unknown_mode")
    elif not agrees:
        yield ("lock_state", None, "contradictory")
    else:
        yield ("lock_state", MODES[mode], None)
    yield ("motion", Motion.IDLE, None)
    if jammed and not (mode == _SECURED and agrees):
        # A bolt that is all the way out is not stuck, whatever the variable goes on to say.
        yield ("fault", Fault.LOCK_JAMMED, None)
    else:
        yield ("fault", Fault.UNSPECIFIED if mode == _UNKNOWN else Fault.NONE, None)


def _seconds(duration: object) -> bool:
    """Whether some time is left; an unknown duration is no sign of motion either."""
    left = duration.get("value") if isinstance(duration, dict) else None
    return isinstance(left, int | float) and not isinstance(left, bool) and left > 0


def _door_status(status: object, knows: Mapping[str, Any]) -> Iterator[Row]:
    """The contact as the lock's report has it, if nothing better is there.

    Only version 4 says whether there is a contact at all; a lock of an older one without it says
    `open` for ever (recording of a BE469). A Notification variable, where there is one, is better.
    """
    if status is None or knows.get("door") or not _at_least_4(knows.get("version")):
        return
    if not isinstance(status, str) or status not in DOOR_STATUS:
        raise DecodeError(VENDOR, "doorStatus: neither open nor closed")
    yield ("door_state", DOOR_STATUS[status], None)


def _at_least_4(version: object) -> bool:
    return isinstance(version, int) and version >= 4  # noqa: PLR2004 -- as the name says


# --- other values -----------------------------------------------------------------------------


def _value(args: Mapping[str, Any], value: object, knows: Mapping[str, Any]) -> Iterator[Row]:
    cc, name, key = args.get("commandClass"), args.get("property"), args.get("propertyKey")
    if cc == NOTIFICATION and name == ACCESS_CONTROL and key == LOCK_STATE:
        yield from _jam(_whole(LOCK_STATE, value), knows)
    elif cc == NOTIFICATION and name == ACCESS_CONTROL and key == DOOR_STATE:
        yield _looked_up("door_state", DOOR_VARIABLE, _whole(DOOR_STATE, value))
    elif cc == USER_CODE and name == "userIdStatus":
        slot = same_slot(key)
        if slot is None:
            raise DecodeError(VENDOR, "userIdStatus: no slot")
        if 1 <= slot <= _SLOT_MAX:
            axis = f"credential.{slot}.status"
            yield _looked_up(axis, USER_STATUS, _whole("userIdStatus", value))
    elif cc == USER_CODE and name == "keypadMode":
        yield _looked_up("operating_mode", KEYPAD_MODES, _whole("keypadMode", value))
    elif cc == BATTERY and name == "level":
        percent = _whole("level", value)
        known = percent is not None and 0 <= percent <= _PERCENT_MAX
        yield ("battery_pct", percent if known else None, None if known else _why(percent))
    elif cc == BATTERY and name == "isLow":
        if value is not None and not isinstance(value, bool):
            raise DecodeError(VENDOR, "isLow: neither true nor false")
        level = None if value is None else PowerLevel.CRITICAL if value else PowerLevel.OK
        yield ("power_level", level, None if level else "no_report")


def _why(value: int | None) -> str:
    return "no_report" if value is None else f"unmapped:{str(value)[:20]}"


def _looked_up(axis: str, table: Mapping[int, Value], value: int | None) -> Row:
    found = None if value is None else table.get(value)
    return (axis, found, None if found is not None else _why(value))


def _jam(value: int | None, knows: Mapping[str, Any]) -> Iterator[Row]:
    """The variable `Lock state`: what it says of the fault, and what that does to the bolt."""
    age_ms = knows.get("jam_age_ms")
    if value == operations.JAMMED:
        yield ("lock_state", None, "jammed")
        yield ("motion", Motion.IDLE, None)
        yield ("fault", Fault.LOCK_JAMMED, None)
    elif value == 0 and isinstance(age_ms, int) and age_ms in TIMER_MS:
        yield ("fault", None, "idle_by_timer")
    elif value == 0:
        # Idle after an operation, or because the lock says so; where the bolt is, it must report.
        yield ("fault", Fault.NONE, None)
    else:
        yield ("fault", None, _why(value))


# --- the node ---------------------------------------------------------------------------------


def _status(word: object) -> Iterator[Row]:
    if not isinstance(word, str) or word not in NODE_EVENTS:
        raise DecodeError(VENDOR, "status: an event that no node has")
    yield ("reachability", NODE_EVENTS[word], None)


def _node(
    device: str,
    node: Mapping[str, Any],
    knows: Mapping[str, Any],
    provenance: Provenance,
    *,
    believed: bool,
) -> Iterator[Fact]:
    """What the server remembers of a node: its own verdict on it is of now, the rest is not."""
    verdict = Provenance.REPORT if provenance is Provenance.CACHED else provenance
    if "status" in node:
        status = _whole("node status", node["status"])
        reach = NODE_STATUS.get(-1 if status is None else status)
        why = None if reach else _why(status or None)
        yield Reading(device, "reachability", reach, verdict, None, why)
    values = node.get("values", [])
    if not isinstance(values, list):
        raise DecodeError(VENDOR, "node: values is no list")
    said: dict[str, Any] = {}
    rows: list[Row] = []
    for each in values:
        args = _mapping("node", each, "a value")
        if args.get("value") is None and not args.get("forgotten"):
            continue  # supported, and never told
        if args.get("commandClass") == DOOR_LOCK and not args.get("endpoint"):
            said[str(args.get("property"))] = args["value"]
        else:
            rows += _value(args, args.get("value"), {})
    if said:
        rows = [*_lock(said, knows, provenance, believed=believed), *rows]
    for axis, value, why in _merged(rows):
        yield Reading(device, axis, value, provenance, None, why)


def _merged(rows: Sequence[Row]) -> Sequence[Row]:
    """One row an axis: a jam that stands speaks last of the bolt, an idle variable first."""
    jammed = ("fault", Fault.LOCK_JAMMED, None) in rows
    last = {row[0]: row for row in rows}
    if not jammed:
        last |= {row[0]: row for row in reversed(rows) if row[0] == "fault"}
    return list(last.values())
