"""What a device in a run is given, and what it is connected to: whatever runs it has these."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from fleet_sim.faults import End
from fleet_sim.journal import Journal
from fleet_sim.ledger import Ledger
from vendors.sim import Message, Publish

if TYPE_CHECKING:
    from fleet_sim.unit import Unit


class Link(Protocol):
    """A board's connection to its broker. `drips`: whether it can send a message in pieces."""

    drips: bool

    @property
    def up(self) -> bool:
        """Whether what is published now may arrive."""

    def publish(self, message: Publish, over_ms: float = 0.0) -> bool:
        """Send one, while `up`, in pieces if it `drips`; whether it is known to be lost."""

    def drop(self, how: End = End.CLOSED) -> None:
        """Cut it without a word: the broker publishes the will. A dead one is closed by this."""

    def tear(self, message: Publish, share: float) -> None:
        """Send this share of one, and cut the link."""

    def usurp(self) -> None:
        """Have somebody else connect with its client id."""

    def leave(self) -> None:
        """Say DISCONNECT and go."""


class Planner(Protocol):
    """Whoever does things when they are due."""

    def at(self, at_ms: int, what: Callable[[int], None]) -> None:
        """Do this at or after then; equal times go in the order they were asked for."""

    def stop(self) -> None:
        """The world stands still: nothing is done any more."""


class Host(Protocol):
    """What a run gives its units.

    `in_flight_ms`: what was sent so shortly before a link was cut may be lost on the way.
    `recalls`: whether what devices have told is asked for: to be said again, or to be cleared.
    """

    seed: int
    pace: float
    ledger: Ledger
    journal: Journal | None
    in_flight_ms: float
    recalls: bool

    @property
    def agenda(self) -> Planner:
        """Everybody's timers."""

    def now_ms(self) -> float:
        """Unix ms, with its fraction."""

    def later(self, wait_ms: float, what: Callable[[], None]) -> None:
        """Have a link carry something on after so long, whatever the agenda does meanwhile."""

    def datagram(self, payload: bytes, address: tuple[str, int]) -> None:
        """Let one leave by the datagram devices' common socket."""


class Drained(Protocol):
    """A device's battery."""

    def used(self) -> None:
        """Somebody did something."""


class Reception(Protocol):
    """A device's radio."""

    def late_ms(self) -> int:
        """How late the next message comes; 0 for most."""


class Behind(Protocol):
    """The hub that a device is behind."""

    @property
    def up(self) -> bool:
        """Whether what its devices send now may arrive."""

    def deliver(self, message: Message, device: str, sent_ms: float) -> None:
        """Let one message of a device leave."""

    def cut(self, how: End = End.CLOSED) -> None:
        """Break its links; in silence only if all of its devices are struck."""

    def reunite(self) -> None:
        """Give up links that died in silence."""

    def tear(self, message: Publish, share: float) -> None:
        """Let a message break off, and its link with it."""

    def usurp(self) -> None:
        """Have somebody else connect with its client id."""

    def speaks(self, unit: "Unit") -> bool:
        """Whether what befalls the link that all share befalls it through this device."""

    def left(self) -> None:
        """One of its devices has no power: without any the hub has none either."""

    def returned(self) -> None:
        """One of them has power again."""
