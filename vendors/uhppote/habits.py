"""What people do with panels, and what panels and their networks are known to do wrong."""

from collections.abc import Mapping
from typing import Final

#: Rates per panel and day.
HABITS: Final[Mapping[str, float]] = {
    "enter": 8.0,
    "exit_button": 5.0,
    "stranger": 1.0,
    "no_rights": 1.0,
    "hold_open": 0.3,
    "force": 0.1,
}

#: What these panels, and the networks they hang on, are known to do wrong.
FAULTS: Final[Mapping[str, str]] = {
    "power_failure": "dead until the power is back; then record 28 (uhppoted reasons)",
    "pushes_lost": "events are recorded and no push arrives (uhppoted FAQ 3: container bridges)",
    "forgets_settings": "factory defaults: no listener, no door records (uhppote-core#2)",
    "ring_full": "the oldest block of records is erased (uhppote-simulator events.log)",
    "ring_erased": "all records are gone and the index begins at 1 (a replaced board)",
    "clock_wrong": "the clock is an hour behind: local time without a zone, set by hosts",
    "clock_reset": "the clock stands in the year 2000 (an empty buffer battery)",
    "dead_strike": "a door is opened, granted and recorded, and its relay does not move",
    "refuses": "0x40 is answered with a no",
    "repeats": "every reply arrives twice (UDP)",
    "strays": "a reply of another panel arrives before each reply (uhppoted FAQ 2)",
    "system_error": "the system error byte is set",
}
#: Which kinds of the catalogue these are.
KINDS: Final[Mapping[str, str]] = {
    "accepted_not_executed": "dead_strike",
    "epoch_clock": "clock_reset",
    "dst_jump": "clock_wrong",
}
#: Those that a gateway at work cannot notice at the first device of a fleet.
QUIET_FAULTS: Final[Mapping[str, str]] = {
    "ring_full": "records are erased that a gateway at work has long read",
}
#: What of the world around them they tell.
WORLD: Final = frozenset({"clock", "firmware"})
#: How somebody at the door opens it; it falls shut by itself.
COURIER: Final = ("enter", "")
