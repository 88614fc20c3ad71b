"""What SwitchBot's cloud and locks are known to do wrong, each with where it was seen; pure."""

from collections.abc import Mapping
from typing import Final

FAULTS: Final[Mapping[str, str]] = {
    "webhook_lost": "70 % of its webhooks never arrive (SwitchBotAPI#299: 25-70 %)",
    "webhook_doubled": "each webhook comes twice, 3 s apart (home-assistant/core#181113)",
    "webhook_late": "webhooks come 70-120 s late (delivery without promise or retry, README)",
    "webhook_stale_locked": (
        "no webhook of an unlocking; a door's carries LOCKED, and comes again 35 s later"
        " (home-assistant/core#181113)"
    ),
    "bounce_0p9s": "UNLOCKED, and 0.87 s later a false LOCKED (hsakoh/switchbot-mqtt#90)",
    "status_stays_locked": "the status stays locked after an unlocking (SwitchBotAPI#221)",
    "enum_mismatch": "words in another case (home-assistant/core#179206, switchbot-mqtt#96)",
    "accepted_not_executed": "100, and the bolt does not move (home-assistant/core#179738)",
    "verbs_swapped": "unlock frees the bolt only, deadbolt the latch (home-assistant/core#178177)",
    "door_sensor_inverted": "the contact says the opposite (home-assistant/core#148396)",
    "door_sensor_stuck": "the contact stays where it was (home-assistant/core#148396)",
    "rate_429": "429 with JSON after bursts (home-assistant/core#157221)",
    "rate_429_text": "429 with a body that is no JSON (seen by switchbot-api 2.13.1's reader)",
    "unauthorized_401": "401 Unauthorized: over the quota, or bad token or clock (README)",
    "status_190": "190 for unrelated causes (SwitchBotAPI#296)",
    "status_300": "an undocumented statusCode (homebridge-switchbot#1010)",
    "device_offline": "161: the lock is out of its hub's reach (README, Errors)",
    "hub_offline": "171: the hub is away (README, Errors)",
    "jammed": "the motor is jammed while rotating (README, webhook of Lock)",
    "uncalibrated": "calibrate is false: its states mean nothing (README, status of Lock)",
    "key_fails": "a passcode's result is failed (README, webhook of Keypad)",
    "key_times_out": "a passcode's result is timeout, after a minute (README, Keypad)",
}
#: Which kinds of the catalogue these are.
KINDS: Final[Mapping[str, str]] = {
    "jam": "jammed",
    "bounce": "bounce_0p9s",
    "sensor_latched": "door_sensor_stuck",
    "stale_state": "status_stays_locked",
    "contradictory_state": "webhook_stale_locked",
    "accepted_not_executed": "accepted_not_executed",
}
#: These make what a reader sees of the bolt unknown, rightly.
CLOUDED: Final = frozenset({"status_stays_locked", "enum_mismatch", "bounce_0p9s"})
#: Nothing gets through between cloud and lock.
AWAY: Final[Mapping[str, int]] = {"device_offline": 161, "hub_offline": 171}
#: The cloud answers every question about the lock with an error of its own.
ODD: Final[Mapping[str, int]] = {"status_190": 190, "status_300": 300}
#: What of the world around them locks tell.
WORLD: Final = frozenset({"battery", "firmware"})
#: How somebody at the door opens and closes it.
COURIER: Final = ("come_home", "leave")
