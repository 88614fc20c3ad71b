"""What people do with Zigbee locks, and what locks and bridge are known to do wrong."""

from collections.abc import Mapping
from typing import Final

#: Rates per device and day.
HABITS: Final[Mapping[str, float]] = {
    "keypad_unlock": 3.0,
    "one_touch_lock": 2.0,
    "turn_by_hand": 2.0,
    "key": 0.5,
    "wrong_pin": 0.3,
    "door": 6.0,
    "program_pin": 0.05,
    "battery": 4.0,
}
#: What these locks and their bridge are known to do wrong, each with where it was seen.
FAULTS: Final[Mapping[str, str]] = {
    "set_times_out": "G1: the bolt moves, the set times out, no report until asked"
    " (Koenkk/zigbee2mqtt#2541, #2456, #13077)",
    "silent_hand": "G2: no report after manual or auto lock (hassio-zigbee2mqtt#234;"
    " Koenkk/zigbee2mqtt#3018)",
    "bounces": "G3: LOCK, and seconds later UNLOCK with nulls (Koenkk/zigbee2mqtt#18852)",
    "works_sometimes": "G4: no response received, with a perfect signal (Koenkk/zigbee2mqtt#8138)",
    "pin_times_out": "G5: a PIN command times out, works later, and no event tells"
    " (Koenkk/zigbee2mqtt#17205; bharat/homeassistant-lockly#49)",
    "dead_battery": "G6: mute, and online for 25 h to the bridge (Koenkk/zigbee2mqtt#3942, #27652)",
    "action_twice": "G7: the action, and in the same ms a copy without it"
    " (Koenkk/zigbee2mqtt#3290)",
    "phantom_event": "G8: operation events while the bolt does not move"
    " (zigbee-herdsman-converters yale.ts, Solis)",
    "half_thrown": "G9: a bolt half thrown reads UNLOCK (converter table: lockState 0)",
    "null_state": "lockState null reads UNLOCK, without lock_state (converter table)",
    "state_lags": "the event comes, the state stays until asked (Koenkk/zigbee2mqtt#22779)",
}
#: Which kinds of the catalogue these are.
KINDS: Final[Mapping[str, str]] = {
    "bounce": "bounces",
    "phantom_event": "phantom_event",
    "stale_state": "state_lags",
    "contradictory_state": "half_thrown",
    "executed_not_answered": "set_times_out",
}
#: What of the world around them they tell.
WORLD: Final = frozenset({"battery"})
#: How somebody at the door opens and closes it.
COURIER: Final = ("keypad_unlock", "one_touch_lock")
