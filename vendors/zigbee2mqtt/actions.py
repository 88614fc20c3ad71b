"""What took place at a lock: `action` and its companions, each in exactly one message.

An action is never a state: locks tell of operations without any motion of the bolt (Yale Solis
after a reboot, zigbee-herdsman-converters `yale.ts`), and before or without the state that
follows (Koenkk/zigbee2mqtt#3290, #22779).

Source: zigbee-herdsman-converters 26.112.0 `converters/fromZigbee.js` (operation and programming
events), `devices/yale.js` (C4, YMC, Solis), `lib/constants.js` (`lockSourceName`).
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from devices.lock import (
    DataOperation,
    LockOperationType,
    LockState,
    OperationError,
    OperationSource,
)
from devices.reading import Happening, Value

_LOCK, _UNLOCK = LockOperationType.LOCK, LockOperationType.UNLOCK
_WORD: Final = re.compile(r"[a-z_][a-z0-9_]{0,39}")
#: ZCL: no user, or one that the lock does not know.
_NO_USER: Final = 0xFFFF

#: Action: what was done, and by what means if the action itself says so.
OPERATIONS: Final[Mapping[str, tuple[LockOperationType, OperationSource | None]]] = {
    "lock": (_LOCK, None),
    "unlock": (_UNLOCK, None),
    "one_touch_lock": (_LOCK, None),
    "key_lock": (_LOCK, OperationSource.MANUAL),
    "key_unlock": (_UNLOCK, OperationSource.MANUAL),
    "auto_lock": (_LOCK, OperationSource.AUTO),
    "schedule_lock": (_LOCK, OperationSource.SCHEDULE),
    "schedule_unlock": (_UNLOCK, OperationSource.SCHEDULE),
    "manual_lock": (_LOCK, OperationSource.MANUAL),
    "manual_unlock": (_UNLOCK, OperationSource.MANUAL),
    "keypad_lock": (_LOCK, OperationSource.KEYPAD),
    "keypad_unlock": (_UNLOCK, OperationSource.KEYPAD),
    "password_unlock": (_UNLOCK, OperationSource.KEYPAD),
    "rfid_lock": (_LOCK, OperationSource.RFID),
    "rfid_unlock": (_UNLOCK, OperationSource.RFID),
    "fingerprint_lock": (_LOCK, OperationSource.BIOMETRIC),
    "fingerprint_unlock": (_UNLOCK, OperationSource.BIOMETRIC),
    "zigbee_unlock": (_UNLOCK, OperationSource.REMOTE),
    "lock_module": (_LOCK, OperationSource.REMOTE),
    "unlock_module": (_UNLOCK, OperationSource.REMOTE),
    "manual_lock_key_or_thumbturn": (_LOCK, OperationSource.MANUAL),
    "manual_unlock_key_or_thumbturn": (_UNLOCK, OperationSource.MANUAL),
    "manual_lock_touch": (_LOCK, OperationSource.MANUAL),
}
ERRORS: Final[Mapping[str, tuple[LockOperationType, OperationError]]] = {
    "lock_failure_invalid_pin_or_id": (_LOCK, OperationError.INVALID_CREDENTIAL),
    "lock_failure_invalid_schedule": (_LOCK, OperationError.RESTRICTED),
    "unlock_failure_invalid_pin_or_id": (_UNLOCK, OperationError.INVALID_CREDENTIAL),
    "unlock_failure_invalid_schedule": (_UNLOCK, OperationError.RESTRICTED),
    # A bolt jams on its way out.
    "error_jammed": (_LOCK, OperationError.UNSPECIFIED),
}
#: The bolt did not move in these, whatever else they are.
PROGRAMMING: Final[Mapping[str, DataOperation]] = {
    "master_code_changed": DataOperation.MODIFY,
    "pin_code_added": DataOperation.ADD,
    "pin_code_deleted": DataOperation.CLEAR,
    "pin_code_changed": DataOperation.MODIFY,
    "rfid_code_added": DataOperation.ADD,
    "rfid_code_deleted": DataOperation.CLEAR,
}
SOURCE_NAMES: Final[Mapping[str, OperationSource]] = {
    "keypad": OperationSource.KEYPAD,
    "rf": OperationSource.REMOTE,
    "manual": OperationSource.MANUAL,
    "rfid": OperationSource.RFID,
    "fingerprint": OperationSource.BIOMETRIC,
}
SOURCE_NUMBERS: Final[Mapping[int, OperationSource]] = dict(enumerate(SOURCE_NAMES.values()))


def read(device: str, told: Mapping[str, Any]) -> Happening | None:
    """What took place, if anything did."""
    action = told.get("action")
    if not isinstance(action, str) or not action:  # null and "" wipe what was (#3290)
        return None
    data: dict[str, Value] = {}
    user = told.get("action_user")
    if isinstance(user, int) and not isinstance(user, bool) and 0 <= user < _NO_USER:
        data["user"] = user
    if action in PROGRAMMING:
        found: dict[str, Value] = {"operation": PROGRAMMING[action], "detail": action}
        if "user" in data and action != "master_code_changed":
            found["credential"] = data["user"]
        return Happening(device, "credential.changed", found)
    if action in ERRORS:
        operation, error = ERRORS[action]
        data |= {"operation": operation, "source": source(told), "error": error}
        return Happening(device, "lock.operation_error", data | {"detail": action})
    operation, by = OPERATIONS.get(action, (LockOperationType.NON_ACCESS_USER_EVENT, None))
    data |= {"operation": operation, "source": by or source(told)}
    if action not in OPERATIONS:
        # No text of unknown meaning: it may be a code.
        data["detail"] = f"unmapped:{action}" if _WORD.fullmatch(action) else "unmapped"
    elif action not in {"lock", "unlock"}:
        data["detail"] = action
    return Happening(device, "lock.operation", data)


def source(told: Mapping[str, Any]) -> OperationSource:
    """By what means; the name counts before the number, whose 4 means two things."""
    name, number = told.get("action_source_name"), told.get("action_source")
    if isinstance(name, str) and name:
        return SOURCE_NAMES.get(name, OperationSource.UNSPECIFIED)
    if isinstance(number, int) and not isinstance(number, bool):
        return SOURCE_NUMBERS.get(number, OperationSource.UNSPECIFIED)
    return OperationSource.UNSPECIFIED


def contradicts(told: Mapping[str, Any], place: object) -> bool:
    """Whether what took place does not go together with where the bolt is said to be."""
    action = told.get("action")
    operation = OPERATIONS.get(action, (None, None))[0] if isinstance(action, str) else None
    return (operation is _LOCK and place is LockState.UNLOCKED) or (
        operation is _UNLOCK and place is LockState.LOCKED
    )
