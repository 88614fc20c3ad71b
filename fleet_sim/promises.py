"""What must never be said of what nobody knows: "unknown is never read as unlocked or closed"."""

from collections.abc import Mapping
from typing import Final

from devices.reading import Value

#: By axis, what somebody may rely on who stands at the door.
PROMISES: Final[Mapping[str, frozenset[str]]] = {
    "position": frozenset({"FullyClosed", "FullyOpened"}),
    "lock_state": frozenset({"Locked", "Unlocked", "Unlatched"}),
    "door_state": frozenset({"DoorClosed"}),
    "physical_state": frozenset({"Closed"}),
    "remote_lockout": frozenset({"Locked"}),
}


def is_promise(key: str, value: Value) -> bool:
    """Whether this of an axis (`position`, `door.1.lock_state`) is such."""
    return value in PROMISES.get(key.rpartition(".")[2], ())
