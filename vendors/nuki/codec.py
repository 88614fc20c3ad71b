"""Nuki's MQTT dialect: bare strings under `nuki/<8 hex digits>/<what>`.

Source: Nuki MQTT API announcements for spec 1.0, 1.3 and 1.4 (developer.nuki.io topics 16248,
17626, 19223); constants of spec 1.5 as restated in ubittner's Symcon module and in Gladys;
technyon/nuki_hub 5cbb7e25 `src/NukiOfficial.cpp`; BLE table of I-Connect/NukiBleEsp32.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from devices.access_panel import Tamper
from devices.errors import DecodeError
from devices.health import PowerLevel, Reachability
from devices.lock import (
    DoorState,
    Fault,
    LockOperationType,
    LockState,
    Motion,
    OperationSource,
)
from devices.reading import Happening, Provenance, Reading, Value
from vendors.api import Fact, Frame

VENDOR: Final = "nuki"
#: (axis, value, reason) of one fact.
Row = tuple[str, Value, str | None]

_TOPIC: Final = re.compile(r"nuki/([0-9A-F]{8})/([A-Za-z]+)")
_TOPICS_MAX: Final = 65_536
# The longest is `nuki/<8>/doorsensorBatteryCritical`; a longer one would only fill the cache.
_TOPIC_CHARS_MAX: Final = 64
# Names and firmware versions aside, the longest value is five numbers of an event.
_VALUE_BYTES_MAX: Final = 64
_EVENT_FIELDS: Final = 5
_PERCENT_MAX: Final = 100
_ZERO: Final = ord("0")


def _state(
    lock_state: LockState | None,
    motion: Motion | None = Motion.IDLE,
    fault: Fault | None = Fault.NONE,
    reason: str | None = None,
) -> tuple[Row, ...]:
    why = reason if lock_state is None else None
    return (
        ("lock_state", lock_state, why),
        ("motion", motion, reason if motion is None else None),
        ("fault", fault, reason if fault is None else None),
    )


#: While the bolt moves its position is nobody's: not the old one, and not yet the new one.
#: 254 says that the motor is blocked, not where the bolt stopped.
STATE: Final[Mapping[int, tuple[Row, ...]]] = {
    0: _state(None, None, Fault.NOT_CALIBRATED, "uncalibrated"),
    1: _state(LockState.LOCKED),
    2: _state(None, Motion.UNLOCKING, reason="moving"),
    3: _state(LockState.UNLOCKED),
    4: _state(None, Motion.LOCKING, reason="moving"),
    5: _state(LockState.UNLATCHED),
    6: _state(LockState.UNLOCKED),
    7: _state(None, Motion.UNLATCHING, reason="moving"),
    252: _state(None, None, None, "calibrating"),
    253: _state(None, None, None, "boot"),
    254: _state(None, Motion.IDLE, Fault.LOCK_JAMMED, "jammed"),
    255: _state(None, None, None, "undefined"),
}
_NO_TAMPER: Final = ("door_sensor_tamper", Tamper.NOT_IN_TAMPER, None)
DOOR_SENSOR: Final[Mapping[int, tuple[Row, ...]]] = {
    1: (("door_state", None, "no_sensor"), _NO_TAMPER),
    2: (("door_state", DoorState.DOOR_CLOSED, None), _NO_TAMPER),
    3: (("door_state", DoorState.DOOR_OPEN, None), _NO_TAMPER),
    4: (("door_state", None, "unknown"), _NO_TAMPER),
    5: (("door_state", None, "calibrating"), _NO_TAMPER),
    16: (("door_state", None, "uncalibrated"), _NO_TAMPER),
    240: (
        ("door_state", None, "tampered"),
        ("door_sensor_tamper", Tamper.TAMPER_DETECTED, None),
    ),
    255: (("door_state", None, "unknown"), _NO_TAMPER),
}
#: Number topics: their table, and the axes that an unmapped number makes unknown.
NUMBERS: Final[Mapping[str, Mapping[int, tuple[Row, ...]]]] = {
    "state": STATE,
    "doorsensorState": DOOR_SENSOR,
}


def _critical(axis: str) -> Mapping[bytes, Row]:
    return {b"true": (axis, PowerLevel.CRITICAL, None), b"false": (axis, PowerLevel.OK, None)}


FLAGS: Final[Mapping[str, Mapping[bytes, Row]]] = {
    "connected": {
        b"true": ("reachability", Reachability.ONLINE, None),
        b"false": ("reachability", Reachability.OFFLINE, None),
    },
    "batteryCritical": _critical("power_level"),
    "keypadBatteryCritical": _critical("keypad_power_level"),
    "doorsensorBatteryCritical": _critical("door_sensor_power_level"),
    "batteryCharging": {b"true": ("charging", True, None), b"false": ("charging", False, None)},
}

_OPERATION: Final[Mapping[int, LockOperationType]] = {
    1: LockOperationType.UNLOCK,
    2: LockOperationType.LOCK,
    3: LockOperationType.UNLATCH,
    4: LockOperationType.UNLOCK,
    5: LockOperationType.UNLATCH,
    6: LockOperationType.LOCK,
}
_DETAIL: Final[Mapping[int, str]] = {4: "lock_n_go", 5: "lock_n_go_unlatch", 6: "full_lock"}
_AUTOMATIC: Final = 3
_FINGERPRINT: Final = 2
_SOURCE: Final[Mapping[int, OperationSource]] = {
    0: OperationSource.PROPRIETARY_REMOTE,
    1: OperationSource.MANUAL,
    2: OperationSource.BUTTON,
    _AUTOMATIC: OperationSource.SCHEDULE,
    6: OperationSource.AUTO,
    171: OperationSource.REMOTE,
    172: OperationSource.REMOTE,
}
#: A fob (80) or the button (90) was pressed, and nothing follows from it.
_WITHOUT_ACTION: Final = frozenset({80, 90})


@lru_cache(maxsize=_TOPICS_MAX)
def split(topic: str) -> tuple[str, str] | None:
    """(device, what) of a lock's topic; None for any other."""
    found = _TOPIC.fullmatch(topic)
    return None if found is None else (found[1], found[2])


def decode(frame: Frame) -> Sequence[Fact]:
    """Read one frame; a topic we do not model yields nothing.

    Raises:
        DecodeError: a topic we model, carrying what no lock can send.
    """
    topic, payload, _, retained, _ = frame
    found = split(topic) if len(topic) <= _TOPIC_CHARS_MAX else None
    if found is None or not payload:
        return ()
    device, what = found
    provenance = Provenance.RETAINED if retained else Provenance.REPORT
    if (numbers := NUMBERS.get(what)) is not None:
        number = _number(what, payload)
        rows = numbers.get(number) or unmapped(numbers, number)
        return [Reading(device, axis, value, provenance, None, why) for axis, value, why in rows]
    if (flags := FLAGS.get(what)) is not None:
        row = flags.get(payload)
        if row is None:
            raise DecodeError(VENDOR, f"{what}: neither true nor false")
        return (Reading(device, row[0], row[1], provenance),)
    if what == "batteryChargeState":
        percent = _number(what, payload)
        reason = None if percent <= _PERCENT_MAX else f"unmapped:{percent}"
        value = percent if reason is None else None
        return (Reading(device, "battery_pct", value, provenance, None, reason),)
    if what == "lockActionEvent":
        # An event that a broker kept is no news: it is not known when it took place.
        return () if retained else (_event(device, payload),)
    if what == "commandResponse":
        _number(what, payload)  # the adapter's business, but no lock answers with anything else
    return ()


def _number(what: str, payload: bytes) -> int:
    if len(payload) > _VALUE_BYTES_MAX or not payload.isdigit():
        raise DecodeError(VENDOR, f"{what}: not a number")
    if payload[0] == _ZERO and len(payload) > 1:
        # No lock writes `02`: it may be the rest of something else.
        raise DecodeError(VENDOR, f"{what}: a number with a leading zero")
    return int(payload)


def unmapped(table: Mapping[int, tuple[Row, ...]], number: int) -> tuple[Row, ...]:
    """Every axis of the table, unknown: a state nobody knows says nothing about the bolt."""
    axes = next(iter(table.values()))
    return tuple((axis, None, f"unmapped:{str(number)[:20]}") for axis, _, _ in axes)


def _source(action: int, trigger: int, user: int, code: int, extra: int) -> OperationSource:
    """By what means; `extra` counts presses of a fob, or tells a keypad's code from a finger."""
    if trigger == 0 and code:
        return OperationSource.BIOMETRIC if extra == _FINGERPRINT else OperationSource.KEYPAD
    if trigger == 0 and extra == 1 and action == 1:
        return OperationSource.AUTO
    if trigger == _AUTOMATIC and user:
        # The vendor's own sample of a fob, `3,3,54322,0,3`, has this trigger, and a user.
        return OperationSource.PROPRIETARY_REMOTE
    return _SOURCE.get(trigger, OperationSource.UNSPECIFIED)


def _event(device: str, payload: bytes) -> Happening:
    """`action,trigger,authId,codeId,extra`: an action is about to run. Never a state."""
    fields = payload.split(b",")
    if len(payload) > _VALUE_BYTES_MAX or len(fields) != _EVENT_FIELDS:
        raise DecodeError(VENDOR, f"lockActionEvent: {len(fields)} fields")
    if not all(field.isdigit() for field in fields):
        raise DecodeError(VENDOR, "lockActionEvent: not numbers")
    action, trigger, user, code, extra = (int(field) for field in fields)
    source = _source(action, trigger, user, code, extra)
    if action in _WITHOUT_ACTION:
        return Happening(device, "lock.button", {"source": source, "presses": extra})
    operation = _OPERATION.get(action, LockOperationType.NON_ACCESS_USER_EVENT)
    data: dict[str, Value] = {"operation": operation, "source": source}
    if user:
        data["user"] = user
    if code:
        data["credential"] = code
    if action in _DETAIL:
        data["detail"] = _DETAIL[action]
    elif action not in _OPERATION:
        data["detail"] = f"unmapped:{action}"
    return Happening(device, "lock.operation", data)
