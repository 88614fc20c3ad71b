"""The words of SwitchBot's locks, and what each of them tells; pure.

One enum has three spellings: the README's status (`lock`, `unlock`), the status that is seen in
the field (`locked`, `unlocked`), the webhook (`LOCKED`); the door's contact has three as well.

Source: OpenWonderLabs/SwitchBotAPI README.md 0214825b; values seen as listed by switchbot-api
2.13.1 `SwitchbotCloudDeviceLockState`; home-assistant/core#179206 and #181113 (webhooks with
`doorState`); hsakoh/switchbot-mqtt#96 (`latchBoltLocked`: bolt open, latch engaged).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from devices.errors import DecodeError
from devices.health import PowerLevel
from devices.lock import DoorState, Fault, LockState, Motion
from devices.reading import Value

VENDOR: Final = "switchbot"
#: (axis, value, reason) of one fact.
Row = tuple[str, Value, str | None]

#: First generation: four steps instead of a percentage, by its names in replies and webhooks.
STEPPED: Final = frozenset({"Smart Lock", "WoLock"})
_DEVICE: Final = re.compile(r"[0-9A-Za-z-]{1,40}")
_RAW_CHARS_MAX: Final = 24
_PERCENT_MAX: Final = 100
# Steps of the first generation: below 10 % is shown as 10, 10-20 % as 20 (README, "Lock").
_CRITICAL_PCT: Final = 10
_WARNING_PCT: Final = 20

STATE_AXES: Final = ("lock_state", "motion", "fault")


def state_rows(
    lock_state: LockState | None,
    motion: Motion | None = Motion.IDLE,
    fault: Fault | None = Fault.NONE,
    reason: str | None = None,
) -> tuple[Row, ...]:
    """The rows of one state; the reason goes with what is unknown."""
    return tuple(
        (axis, value, reason if value is None else None)
        for axis, value in zip(STATE_AXES, (lock_state, motion, fault), strict=True)
    )


_LOCKED: Final = state_rows(LockState.LOCKED)
_UNLOCKED: Final = state_rows(LockState.UNLOCKED)
_JAMMED: Final = state_rows(None, Motion.IDLE, Fault.LOCK_JAMMED, "jammed")
#: Written out in each spelling that somebody documented or saw: another case is another word.
STATE: Final[Mapping[str, tuple[Row, ...]]] = {
    "lock": _LOCKED,
    "locked": _LOCKED,
    "LOCKED": _LOCKED,
    "unlock": _UNLOCKED,
    "unlocked": _UNLOCKED,
    "UNLOCKED": _UNLOCKED,
    "latchBoltLocked": _UNLOCKED,
    "halfLocked": state_rows(LockState.NOT_FULLY_LOCKED),
    "locking": state_rows(None, Motion.LOCKING, reason="moving"),
    "unlocking": state_rows(None, Motion.UNLOCKING, reason="moving"),
    "jammed": _JAMMED,
    "JAMMED": _JAMMED,
}
DOOR: Final[Mapping[str, DoorState]] = {
    "open": DoorState.DOOR_OPEN,
    "opened": DoorState.DOOR_OPEN,
    "OPENED": DoorState.DOOR_OPEN,
    "close": DoorState.DOOR_CLOSED,
    "closed": DoorState.DOOR_CLOSED,
    "CLOSED": DoorState.DOOR_CLOSED,
}


def meaning(raw: object) -> str | None:
    """The canonical lock state of one spelling; None if it stands for none."""
    rows = STATE.get(raw) if isinstance(raw, str) else None
    return None if rows is None else text_of(rows[0][1])


def lock_rows(raw: object) -> tuple[Row, ...]:
    """What one spelling tells of the bolt; unknown on every axis if nobody knows it."""
    rows = STATE.get(raw) if isinstance(raw, str) else None
    return rows if rows is not None else state_rows(None, None, None, why(raw))


def door_row(raw: object) -> Row:
    """What one spelling tells of the contact."""
    value = DOOR.get(raw) if isinstance(raw, str) else None
    return "door_state", value, None if value is not None else why(raw)


def battery(device_type: object, raw: object) -> Iterator[Row]:
    """Steps are no percentage: only the level is told of them. Absent: nothing is."""
    if raw is None:
        return
    good = type(raw) is int and 0 <= raw <= _PERCENT_MAX
    stepped = device_type in STEPPED if isinstance(device_type, str) else False
    if not good:
        yield "power_level", None, why(raw)
        if not stepped:
            yield "battery_pct", None, why(raw)
        return
    assert isinstance(raw, int)
    # The step 10 stands for less than 10, the step 20 for less than 20.
    percent = raw - 1 if stepped else raw
    level = (
        PowerLevel.CRITICAL
        if percent < _CRITICAL_PCT
        else PowerLevel.WARNING
        if percent < _WARNING_PCT
        else PowerLevel.OK
    )
    yield "power_level", level, None
    if not stepped:
        yield "battery_pct", raw, None


def object_of(what: str, payload: bytes, bytes_max: int) -> Mapping[str, Any]:
    """A JSON object.

    Raises:
        DecodeError: it is none, or longer than anything that is sent there.
    """
    if len(payload) > bytes_max:
        raise DecodeError(VENDOR, f"{what}: {len(payload)} bytes")
    try:
        document = orjson.loads(payload)
    except ValueError:
        raise DecodeError(VENDOR, f"{what}: not JSON") from None
    if not isinstance(document, dict):
        raise DecodeError(VENDOR, f"{what}: not an object")
    return document


def is_id(raw: object) -> bool:
    """Whether this can be the id of a device."""
    return isinstance(raw, str) and _DEVICE.fullmatch(raw) is not None


def text_of(raw: object) -> str:
    """A text, empty if it is none."""
    return raw if isinstance(raw, str) else ""


def why(raw: object) -> str:
    """Why a value means nothing to us."""
    if raw is None:
        return "no_report"
    shown = raw if isinstance(raw, str) else repr(raw) if isinstance(raw, int) else type(raw)
    return f"unmapped:{str(shown)[:_RAW_CHARS_MAX]}"
