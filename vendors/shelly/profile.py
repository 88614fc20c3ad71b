"""What the two kinds of simulated device have in common: components, calls, plans; pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

Status = dict[str, Any]
Plans = dict[str, int]

NO_HANDLER: Final = 404
NOT_FOUND: Final = -105
INVALID: Final = -103
PRECONDITION: Final = -109


class RpcError(Exception):
    """A method's refusal."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


#: (parameters, who asks, Unix ms) to the result.
Method = Callable[[Mapping[str, Any], str, int], Any]


class Profile(Protocol):
    """The components of one device that have to do with its door.

    Attributes:
        app, model: of the hardware.
        plans: what happens by itself, and when.
        faults: those that are active; the device's own set.
    """

    app: str
    model: str
    profile: str | None
    plans: Plans
    faults: set[str]

    def methods(self) -> Mapping[str, Method]:
        """What can be called."""

    def status(self, now_ms: int) -> Mapping[str, Status]:
        """Each component's full status."""

    def config(self) -> Mapping[str, Status]:
        """Each component's configuration."""

    def word(self, component: str, text: str, now_ms: int) -> None:
        """A plain command from `<P>/command/<component>`; others are ignored."""

    def seen(self, now_ms: int) -> Mapping[str, str | int | None]:
        """What a consumer must come to see, by axis: the simulator's own table."""

    def run(self, plan: str, at_ms: int) -> None:
        """Carry out a plan whose time has come."""

    def act(self, habit: str, now_ms: int) -> None:
        """People."""

    def breaks(self, fault: str, now_ms: int) -> None:
        """A fault begins; one that this device cannot have does nothing."""

    def heals(self, fault: str, now_ms: int) -> None:
        """A fault ends."""

    def rebooted(self, now_ms: int) -> None:
        """Power was gone: motors stand, relays are open."""


def part(params: Mapping[str, Any], count: int = 1) -> int:
    """The `id` of a component.

    Raises:
        RpcError: there is no such component.
    """
    number = params.get("id")
    if number is None:
        raise RpcError(INVALID, "Missing required argument 'id'!")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < count:
        raise RpcError(NOT_FOUND, f"Argument 'id', value {number} not found!")
    return number
