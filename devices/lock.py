"""A door lock in the words of Matter's Door Lock cluster (0x0101); our extensions marked +.

Bolt, motion, fault, door contact and power are separate axes: a jammed lock has a bolt
position too, and an unlocked lock says nothing about whether the door is open.
"""

from enum import StrEnum


class LockState(StrEnum):
    """Matter LockState; unknown is None with a reason, never a member."""

    NOT_FULLY_LOCKED = "NotFullyLocked"
    LOCKED = "Locked"
    UNLOCKED = "Unlocked"
    UNLATCHED = "Unlatched"


class Motion(StrEnum):
    """+ What the motor is doing."""

    IDLE = "Idle"
    LOCKING = "Locking"
    UNLOCKING = "Unlocking"
    UNLATCHING = "Unlatching"


class Fault(StrEnum):
    """+ Why the lock cannot do its work; `LockJammed` is Matter's alarm code 0."""

    NONE = "None"
    LOCK_JAMMED = "LockJammed"
    NOT_CALIBRATED = "NotCalibrated"
    CLUTCH_FAILURE = "ClutchFailure"
    MOTOR_POWER = "MotorPower"
    DISMOUNTED = "Dismounted"
    UNSPECIFIED = "Unspecified"


class DoorState(StrEnum):
    """Matter DoorState: the contact, not the bolt."""

    DOOR_OPEN = "DoorOpen"
    DOOR_CLOSED = "DoorClosed"
    DOOR_JAMMED = "DoorJammed"
    DOOR_FORCED_OPEN = "DoorForcedOpen"
    DOOR_UNSPECIFIED_ERROR = "DoorUnspecifiedError"
    DOOR_AJAR = "DoorAjar"


class OperatingMode(StrEnum):
    """Matter OperatingMode: who may operate the lock by which means."""

    NORMAL = "Normal"
    VACATION = "Vacation"
    PRIVACY = "Privacy"
    NO_REMOTE_LOCK_UNLOCK = "NoRemoteLockUnlock"
    PASSAGE = "Passage"


class CredentialStatus(StrEnum):
    """Matter UserStatus, of the credential in one slot. Its value is never kept."""

    AVAILABLE = "Available"
    OCCUPIED_ENABLED = "OccupiedEnabled"
    OCCUPIED_DISABLED = "OccupiedDisabled"


class OperationError(StrEnum):
    """Matter OperationError, carried by `lock.operation_error`."""

    UNSPECIFIED = "Unspecified"
    INVALID_CREDENTIAL = "InvalidCredential"
    DISABLED_USER_DENIED = "DisabledUserDenied"
    RESTRICTED = "Restricted"
    INSUFFICIENT_BATTERY = "InsufficientBattery"


class DataOperation(StrEnum):
    """Matter DataOperationType, carried by `credential.changed`."""

    ADD = "Add"
    CLEAR = "Clear"
    MODIFY = "Modify"


class LockOperationType(StrEnum):
    """Matter LockOperationType, carried by `lock.operation`."""

    LOCK = "Lock"
    UNLOCK = "Unlock"
    NON_ACCESS_USER_EVENT = "NonAccessUserEvent"
    FORCED_USER_EVENT = "ForcedUserEvent"
    UNLATCH = "Unlatch"


class OperationSource(StrEnum):
    """Matter OperationSource: by what means somebody operated the lock."""

    UNSPECIFIED = "Unspecified"
    MANUAL = "Manual"
    PROPRIETARY_REMOTE = "ProprietaryRemote"
    KEYPAD = "Keypad"
    AUTO = "Auto"
    BUTTON = "Button"
    SCHEDULE = "Schedule"
    REMOTE = "Remote"
    RFID = "RFID"
    BIOMETRIC = "Biometric"
    ALIRO = "Aliro"
