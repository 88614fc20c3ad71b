"""What a worker is told after its job."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from queue import Empty, SimpleQueue

from fleet_sim.act import Act


class Order(Enum):
    """`GO`: all are ready. On real sockets: `GO` connects, `LIVE` begins, `END` ends."""

    GO = "go"
    LIVE = "live"
    END = "end"


@dataclass(frozen=True, slots=True)
class Strike:
    """On real sockets, while people live: let this fail."""

    name: str
    act: Act


@dataclass(frozen=True, slots=True)
class Heal:
    """Let what was struck under this name fail no more."""

    name: str


class Orders:
    """The orders of one worker, in turn; None comes when nobody is left to give any."""

    def __init__(self) -> None:
        self._given: SimpleQueue[Order | None] = SimpleQueue()
        self._deeds: SimpleQueue[Strike | Heal] = SimpleQueue()

    def give(self, order: Order | Strike | Heal | None) -> None:
        """One more."""
        if isinstance(order, Strike | Heal):
            self._deeds.put(order)
        else:
            self._given.put(order)

    def next(self) -> Order:
        """The next one; waits for it.

        Raises:
            KeyboardInterrupt: there will be none.
        """
        order = self._given.get()
        if order is None:
            raise KeyboardInterrupt
        return order

    def deeds(self) -> Iterator[Strike | Heal]:
        """What people did since it was asked last; waits for nothing."""
        while True:
            try:
                yield self._deeds.get_nowait()
            except Empty:
                return
