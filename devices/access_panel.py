"""A commercial access controller with its doors, in ONVIF's words (Door Control, Access Control).

A panel is one device with parts: axes of the controller itself (`tamper`), and of each door
under `door.<number>.` (`door.1.lock_state`). Our extensions are marked +.
Source: ONVIF ver10/pacs doorcontrol.wsdl, accesscontrol.wsdl, types.xsd.
"""

from enum import StrEnum


class DoorMode(StrEnum):
    """ONVIF DoorMode without its `Unknown`, which here is None with a reason."""

    LOCKED = "Locked"
    UNLOCKED = "Unlocked"
    ACCESSED = "Accessed"
    BLOCKED = "Blocked"
    LOCKED_DOWN = "LockedDown"
    LOCKED_OPEN = "LockedOpen"
    DOUBLE_LOCKED = "DoubleLocked"


class DoorPhysicalState(StrEnum):
    """The door contact."""

    OPEN = "Open"
    CLOSED = "Closed"
    FAULT = "Fault"


class LockPhysicalState(StrEnum):
    """What the strike or magnet is doing."""

    LOCKED = "Locked"
    UNLOCKED = "Unlocked"
    FAULT = "Fault"


class DoorAlarm(StrEnum):
    """ONVIF DoorAlarmState."""

    NORMAL = "Normal"
    DOOR_FORCED_OPEN = "DoorForcedOpen"
    DOOR_OPEN_TOO_LONG = "DoorOpenTooLong"


class Tamper(StrEnum):
    """ONVIF DoorTamperState."""

    NOT_IN_TAMPER = "NotInTamper"
    TAMPER_DETECTED = "TamperDetected"


class FaultState(StrEnum):
    """ONVIF DoorFaultState; for a UHPPOTE panel, its system error byte."""

    NOT_IN_FAULT = "NotInFault"
    FAULT_DETECTED = "FaultDetected"


class DenyReason(StrEnum):
    """Why access was denied: ONVIF's seven, its two extra topics, and ours (`x:`)."""

    CREDENTIAL_NOT_ENABLED = "CredentialNotEnabled"
    CREDENTIAL_NOT_ACTIVE = "CredentialNotActive"
    CREDENTIAL_EXPIRED = "CredentialExpired"
    INVALID_PIN = "InvalidPIN"
    NOT_PERMITTED_AT_THIS_TIME = "NotPermittedAtThisTime"
    UNAUTHORIZED = "Unauthorized"
    OTHER = "Other"
    CREDENTIAL_NOT_FOUND = "CredentialNotFound"
    INVALID_IDENTIFIER_VALUE = "pt:InvalidIdentifierValue"
    ANTI_PASSBACK = "x:AntiPassback"
    INTERLOCK = "x:Interlock"
    DOOR_BLOCKED = "x:DoorBlocked"
    FIRST_CARD_REQUIRED = "x:FirstCardRequired"
    MORE_CARDS_REQUIRED = "x:MoreCardsRequired"
    HOST_CONTROL = "x:HostControl"
    LOCKDOWN = "x:Lockdown"
