"""The names that server, codec and memory share; numbers are Z-Wave command classes.

Source: zwave-js 15.29.0 `CommandClasses.ts`, `_CCValues.generated.ts`.
"""

import re
from typing import Final

VENDOR: Final = "zwave_js"

DOOR_LOCK: Final = 98
USER_CODE: Final = 99
NOTIFICATION: Final = 113
BATTERY: Final = 128

ACCESS_CONTROL: Final = "Access Control"
LOCK_STATE: Final = "Lock state"
DOOR_STATE: Final = "Door state"
#: A lock's own report always has them; what the driver assumes never does.
HANDLES: Final = frozenset({"insideHandlesCanOpenDoor", "outsideHandlesCanOpenDoor"})

_DEVICE: Final = re.compile(r"nodeID_([1-9][0-9]{0,4})")
_SLOT: Final = re.compile(r"[0-9]{1,5}")


def device_of(node: int) -> str:
    """A node's name on our bus: as Z-Wave JS UI writes a node without a name into its topics."""
    return f"nodeID_{node}"


def node_of(device: str) -> int | None:
    """The node of that name; None if it is none."""
    found = _DEVICE.fullmatch(device)
    return int(found[1]) if found else None


def same_slot(key: object) -> int | None:
    """The slot that a property key names, be it written as number or text; None if none."""
    if isinstance(key, int) and not isinstance(key, bool):
        return key
    return int(key) if isinstance(key, str) and _SLOT.fullmatch(key) else None
