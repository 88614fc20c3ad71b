"""The models of simulated SwitchBot locks, how they spell, and what is to be seen of them; pure.

Source: OpenWonderLabs/SwitchBotAPI README.md 0214825b; home-assistant/core#179206 (what webhooks
of an Ultra carry); where a deadbolt command leaves the bolt is a guess (switchbot-mqtt#96).
"""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Model(NamedTuple):
    """How a model is called and spells; `long` is `locked` where others say `lock`."""

    name: str
    hook_name: str
    long: bool
    stepped: bool = False
    contact: bool = True
    hook_contact: bool = True


#: Dealt out in turn. Source: README; core#179206 for what webhooks of Ultra carry.
MODELS: Final = (
    Model("Smart Lock Pro", "WoLockPro", long=True),
    Model("Smart Lock Ultra", "Lock Ultra", long=True),
    Model("Smart Lock", "WoLock", long=True, stepped=True, hook_contact=False),
    Model("Smart Lock Pro Wifi", "WoLockProWifi", long=False),
    Model("Smart Lock Lite", "WoLockLite", long=True, contact=False, hook_contact=False),
)
#: What a consumer must come to see: the simulator's own table, not the codec's.
SEEN: Final[Mapping[str, tuple[str | None, str | None, str | None]]] = {
    "locked": ("Locked", "Idle", "None"),
    "unlocked": ("Unlocked", "Idle", "None"),
    "latchBoltLocked": ("Unlocked", "Idle", "None"),
    "locking": (None, "Locking", "None"),
    "unlocking": (None, "Unlocking", "None"),
    "jammed": (None, "Idle", "LockJammed"),
}
UNCALIBRATED: Final = (None, None, "NotCalibrated")
UNKNOWN: Final = (None, None, None)
AXES: Final = ("lock_state", "motion", "fault")
SHORT: Final = {"locked": "lock", "unlocked": "unlock"}
HOOKED: Final = {
    "locked": "LOCKED",
    "unlocked": "UNLOCKED",
    "latchBoltLocked": "UNLOCKED",
    "jammed": "JAMMED",
}
#: Command: where the bolt ends.
VERBS: Final = {"lock": "locked", "unlock": "unlocked", "deadbolt": "latchBoltLocked"}
SWAPPED: Final = {"unlocked": "latchBoltLocked", "latchBoltLocked": "unlocked"}
