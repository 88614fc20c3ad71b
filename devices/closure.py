"""A garage door or gate in the words of Matter's Closure device family.

Source: Matter 1.5 ClosureControl (0x0104): MainState, position of OverallCurrentState and
OverallTargetState, CurrentErrorList. `light` and `remote_lockout` are opener extras of ours.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class MainState(StrEnum):
    """Whether the closure moves. Direction is read from `TargetPosition`, place from `Position`."""

    STOPPED = "Stopped"
    MOVING = "Moving"
    WAITING_FOR_MOTION = "WaitingForMotion"
    ERROR = "Error"
    CALIBRATING = "Calibrating"
    PROTECTED = "Protected"
    DISENGAGED = "Disengaged"
    SETUP_REQUIRED = "SetupRequired"


class Position(StrEnum):
    """Where the closure is. A moving one is `PartiallyOpened`: neither shut nor fully open.

    `NotFullyClosed` is ours: all that a device can say whose only sensor is a contact of the shut
    door. It may be open by a crack or all the way.
    """

    FULLY_CLOSED = "FullyClosed"
    FULLY_OPENED = "FullyOpened"
    PARTIALLY_OPENED = "PartiallyOpened"
    OPENED_FOR_PEDESTRIAN = "OpenedForPedestrian"
    OPENED_FOR_VENTILATION = "OpenedForVentilation"
    OPENED_AT_SIGNATURE = "OpenedAtSignature"
    NOT_FULLY_CLOSED = "NotFullyClosed"


class TargetPosition(StrEnum):
    """Where a moving closure is heading; `None` (the value, as a string) while it rests."""

    MOVE_TO_FULLY_CLOSED = "MoveToFullyClosed"
    MOVE_TO_FULLY_OPEN = "MoveToFullyOpen"
    NONE = "None"


class Obstruction(StrEnum):
    """The photo eye. Matter lists it as the error `BlockedBySensor`; a sensor is not an error."""

    CLEAR = "Clear"
    BLOCKED_BY_SENSOR = "BlockedBySensor"


class ClosureError(StrEnum):
    """Why the closure cannot move: Matter CurrentErrorList, `None` (the string) for no error."""

    NONE = "None"
    PHYSICALLY_BLOCKED = "PhysicallyBlocked"
    BLOCKED_BY_SENSOR = "BlockedBySensor"
    TEMPERATURE_LIMITED = "TemperatureLimited"
    MAINTENANCE_REQUIRED = "MaintenanceRequired"
    INTERNAL_INTERFERENCE = "InternalInterference"
    UNSPECIFIED = "Unspecified"


class Light(StrEnum):
    """The opener's lamp."""

    OFF = "Off"
    ON = "On"


class RemoteLockout(StrEnum):
    """Whether the opener ignores its radio remotes. Not a door lock."""

    UNLOCKED = "Unlocked"
    LOCKED = "Locked"


#: The positions a healthy closure reaches from each one. A pair that is absent is a jump: frames
#: were lost. A jump is believed and marked, never refused: the door is where it is.
WALK: Final[Mapping[str, frozenset[str]]] = {
    Position.FULLY_CLOSED: frozenset({Position.PARTIALLY_OPENED, Position.NOT_FULLY_CLOSED}),
    Position.FULLY_OPENED: frozenset({Position.PARTIALLY_OPENED}),
    Position.PARTIALLY_OPENED: frozenset(Position) - {Position.PARTIALLY_OPENED},
    Position.NOT_FULLY_CLOSED: frozenset({Position.FULLY_CLOSED}),
}
