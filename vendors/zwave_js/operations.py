"""Notifications of type 6, Access Control: who did what to a lock, and what came of it.

Source: zwave-js 15.29.0 `Notifications.ts`, type 0x06; Matter's words as in `devices.lock`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from devices.errors import DecodeError
from devices.lock import (
    DataOperation,
    Fault,
    LockOperationType,
    LockState,
    Motion,
    OperationError,
    OperationSource,
)
from devices.reading import Happening, Provenance, Reading, Value
from vendors.api import Fact
from vendors.zwave_js.names import VENDOR

ACCESS_CONTROL_TYPE: Final = 6
#: The value of the variable `Lock state`.
JAMMED: Final = 11

_LOCK, _UNLOCK = LockOperationType.LOCK, LockOperationType.UNLOCK
#: What was done, and by what means.
OPERATIONS: Final[Mapping[int, tuple[LockOperationType, OperationSource]]] = {
    1: (_LOCK, OperationSource.MANUAL),
    2: (_UNLOCK, OperationSource.MANUAL),
    3: (_LOCK, OperationSource.REMOTE),
    4: (_UNLOCK, OperationSource.REMOTE),
    5: (_LOCK, OperationSource.KEYPAD),
    6: (_UNLOCK, OperationSource.KEYPAD),
    9: (_LOCK, OperationSource.AUTO),
    33: (_LOCK, OperationSource.KEYPAD),
    34: (_UNLOCK, OperationSource.KEYPAD),
}
#: Events upon which the driver sets `currentMode` by itself. Source: `handleKnownNotification`.
MODES: Final[Mapping[int, int]] = {1: 255, 3: 255, 5: 255, 9: 255, 2: 0, 4: 0, 6: 0}
_Failure = tuple[LockOperationType, OperationSource, OperationError, str]
#: What was tried and did not come about. After the first three the bolt is half out.
NOT_FULLY: Final = frozenset({7, 8, 10})
FAILURES: Final[Mapping[int, _Failure]] = {
    7: (_LOCK, OperationSource.MANUAL, OperationError.UNSPECIFIED, "not_fully_locked"),
    8: (_LOCK, OperationSource.REMOTE, OperationError.UNSPECIFIED, "not_fully_locked"),
    10: (_LOCK, OperationSource.AUTO, OperationError.UNSPECIFIED, "not_fully_locked"),
    19: (_UNLOCK, OperationSource.KEYPAD, OperationError.INVALID_CREDENTIAL, "too_many_codes"),
    20: (_UNLOCK, OperationSource.REMOTE, OperationError.INVALID_CREDENTIAL, "invalid_code"),
    21: (_LOCK, OperationSource.REMOTE, OperationError.INVALID_CREDENTIAL, "invalid_code"),
    47: (_UNLOCK, OperationSource.UNSPECIFIED, OperationError.DISABLED_USER_DENIED, "disabled"),
    48: (_UNLOCK, OperationSource.UNSPECIFIED, OperationError.RESTRICTED, "schedule"),
    49: (_UNLOCK, OperationSource.UNSPECIFIED, OperationError.INVALID_CREDENTIAL, "not_enough"),
    50: (_UNLOCK, OperationSource.UNSPECIFIED, OperationError.INVALID_CREDENTIAL, "invalid"),
}
#: What became of codes.
CREDENTIALS: Final[Mapping[int, tuple[DataOperation, str]]] = {
    12: (DataOperation.CLEAR, "all"),
    13: (DataOperation.CLEAR, ""),
    14: (DataOperation.ADD, ""),
    18: (DataOperation.MODIFY, "program_code"),
}
#: What the driver calls them. Source: `Notifications.ts`.
LABELS: Final[Mapping[str, int]] = {
    "Manual lock operation": 1,
    "Manual unlock operation": 2,
    "RF lock operation": 3,
    "RF unlock operation": 4,
    "Keypad lock operation": 5,
    "Keypad unlock operation": 6,
    "Manual not fully locked operation": 7,
    "RF not fully locked operation": 8,
    "Auto lock locked operation": 9,
    "Auto lock not fully locked operation": 10,
    "All user codes deleted": 12,
    "Single user code deleted": 13,
    "New user code added": 14,
    "New user code not added due to duplicate code": 15,
    "New program code entered: unique code for lock configuration": 18,
    "Manually enter user access code exceeds code limit": 19,
    "Unlock by RF with invalid user code": 20,
    "Locked by RF with invalid user code": 21,
    "Lock operation with User Code": 33,
    "Unlock operation with User Code": 34,
    "Valid credential access denied: User Active State set to Occupied Disabled": 47,
    "Valid credential access denied: Schedule inactive": 48,
    "Valid credential access denied: Not enough credentials entered": 49,
    "Invalid credential used": 50,
    "Non-Access credential entered via local interface": 51,
}
#: Below are locks, from here on barriers.
_BARRIERS: Final = 64


def mode_of(args: Mapping[str, Any]) -> int | None:
    """The mode that the driver sets because of this notification; None if it sets none."""
    event = args.get("event")
    if args.get("type") != ACCESS_CONTROL_TYPE or not isinstance(event, int):
        return None
    return MODES.get(event)


def facts(device: str, args: Mapping[str, Any]) -> Sequence[Fact]:
    """What one notification tells; of other types, nothing.

    Raises:
        DecodeError: no type, or no event.
    """
    kind, event = args.get("type"), args.get("event")
    if not isinstance(kind, int) or not isinstance(event, int) or isinstance(event, bool):
        raise DecodeError(VENDOR, "notification: no type or event")
    if kind != ACCESS_CONTROL_TYPE or not 0 < event < _BARRIERS:
        return ()
    more = _user(args.get("parameters"))
    if event in CREDENTIALS:
        operation, detail = CREDENTIALS[event]
        data: dict[str, Value] = {"operation": operation}
        data |= {"detail": detail} if detail else {}
        data |= {"credential": more["user"]} if "user" in more else {}
        return (Happening(device, "credential.changed", data),)
    if event in FAILURES:
        wanted, source, error, why = FAILURES[event]
        data = {"operation": wanted, "source": source, "error": error, "detail": why, **more}
        failed = Happening(device, "lock.operation_error", data)
        if event not in NOT_FULLY:
            return (failed,)
        return (*_readings(device, ("lock_state", LockState.NOT_FULLY_LOCKED)), failed)
    operated, source = OPERATIONS.get(
        event, (LockOperationType.NON_ACCESS_USER_EVENT, OperationSource.UNSPECIFIED)
    )
    data = {"operation": operated, "source": source, **more}
    if event not in OPERATIONS:
        data["detail"] = f"unmapped:{event}"
        return (Happening(device, "lock.operation", data),)
    # The bolt went all the way: whatever was stuck is so no longer, though the variable may not
    # say so for as long as nobody sets it back (zwave-js/zwave-js#2856).
    done = Happening(device, "lock.operation", data)
    return (*_readings(device, ("fault", Fault.NONE)), done)


def _readings(device: str, first: tuple[str, Value]) -> Sequence[Reading]:
    rows = (first, ("motion", Motion.IDLE))
    return [Reading(device, axis, value, Provenance.EVENT) for axis, value in rows]


def _user(parameters: object) -> dict[str, Value]:
    user = parameters.get("userId") if isinstance(parameters, dict) else None
    whole = isinstance(user, int) and not isinstance(user, bool) and user > 0
    return {"user": user} if whole else {}
