"""What a worker is told after its job."""

from enum import Enum
from queue import SimpleQueue


class Order(Enum):
    """`GO`: all are ready. On real sockets: `GO` connects, `LIVE` begins, `END` ends."""

    GO = "go"
    LIVE = "live"
    END = "end"


class Orders:
    """The orders of one worker, in turn; None comes when nobody is left to give any."""

    def __init__(self) -> None:
        self.given: SimpleQueue[Order | None] = SimpleQueue()

    def next(self) -> Order:
        """The next one; waits for it.

        Raises:
            KeyboardInterrupt: there will be none.
        """
        order = self.given.get()
        if order is None:
            raise KeyboardInterrupt
        return order
