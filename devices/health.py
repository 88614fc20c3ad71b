"""How a device is reached and powered, and how a cell of the gateway fares."""

from enum import StrEnum


class Reachability(StrEnum):
    """Whether the device can be spoken to."""

    ONLINE = "Online"
    SLEEPING = "Sleeping"
    OFFLINE = "Offline"


class PowerLevel(StrEnum):
    """Matter Power Source BatChargeLevel."""

    OK = "OK"
    WARNING = "Warning"
    CRITICAL = "Critical"


class CellState(StrEnum):
    """What a cell says of itself on its retained health topic."""

    STARTING = "starting"
    UP = "up"
    DEGRADED = "degraded"  #: works, but something it needs (vendor link, disk, bus) is missing
    STOPPED = "stopped"
    DOWN = "down"  #: said by its will, or by the supervisor in its name
