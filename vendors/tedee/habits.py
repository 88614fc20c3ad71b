"""What people do with Tedee locks, and what locks and bridges are known to do wrong."""

from collections.abc import Mapping
from typing import Final

#: Rates per device and day.
HABITS: Final[Mapping[str, float]] = {
    "come_home": 3.0,
    "leave": 3.0,
    "turn_by_hand": 1.0,
    "half_turn": 0.1,
    "door": 6.0,
    "pull": 1.0,
    "charge": 0.02,
}
#: What these locks and their bridges are known to do wrong, each with where it was seen.
FAULTS: Final[Mapping[str, str]] = {
    "half_locked": "locking ends between the positions, and is no jam (tedee_hass_integration#50)",
    "ble_error": "an operation is answered 406, and nothing moves (home-assistant/core#112593)",
    "clock_skew": "the bridge's clock drifts: every token is refused (home-assistant/core#121778)",
    "far_lock": "out of reach: state 255, battery 255, 405 (home-assistant/core#121778)",
    "battery_unknown": "battery 255 of a lock that works (home-assistant/core#169379)",
    "updating": "firmware update: state 18, battery 255, busy (home-assistant/core#169379)",
    "updates_midway": "an update begins while the bolt moves (home-assistant/core#169379)",
    "webhook_lost": "webhooks vanish on the way, no error anywhere (home-assistant/core#121201)",
    "falls_back": "says locking, then unlocked again, no error (tedee_hass_integration#33)",
    "bridge_down": "nobody answers, nothing is told (home-assistant/core#112403, #113681)",
    "key_moved": "a key moved the bolt: wrong position, every motion jams (tedee_ble#12)",
    "executed_but_error": "it moves and the answer is an error (tedee_hass_integration#41)",
    "jams": "the bolt stops halfway, `jammed` is 1 (tedee-lock-ble-api-doc, lock-state.rst)",
    "uncalibrated": "state 0, operations are answered 406/5 (tedee-lock-ble-api-doc, unlock.rst)",
    "bare_204": "a 204 without Content-Type, which breaks a client's reading (aiotedee 0.3.0)",
    "storage_busy": "callbacks are answered 409 (tedee-documentation, bridge-api/spec.json)",
}
#: Which kinds of the catalogue these are.
KINDS: Final[Mapping[str, str]] = {
    "jam": "jams",
    "accepted_not_executed": "falls_back",
    "executed_not_answered": "executed_but_error",
    "firmware_during_command": "updates_midway",
    "clock_skew": "clock_skew",
}
#: Those that a gateway at work cannot notice at the first device of a fleet.
QUIET_FAULTS: Final[Mapping[str, str]] = {
    "storage_busy": "a gateway that is registered already writes no callback",
}
#: What of the world around them locks tell.
WORLD: Final = frozenset({"battery", "firmware"})
#: How somebody at the door opens and closes it.
COURIER: Final = ("come_home", "leave")
#: Those of the bridge, shared by all of its locks.
BRIDGE_FAULTS: Final = frozenset(
    {"clock_skew", "webhook_lost", "bridge_down", "bare_204", "storage_busy"}
)
