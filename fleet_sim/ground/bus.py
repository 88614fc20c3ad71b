"""What a bus can do to the gateway's connections, and to nobody else's."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

from fleet_sim.broker.memory import MemoryBroker
from fleet_sim.broker.message import Message
from fleet_sim.ground import Heal

# So long a stuck bus looks at its connections: enough for what came, and for the answers to it.
_LOOK_S: Final = 0.01
_SECOND_S: Final = 1.0


class BusFaults:
    """Each method lets something begin, and gives back what ends it.

    Args:
        broker: of the bus, and perhaps of devices that are none of its business.
        sinks: the client ids of the gateway's connections.
    """

    def __init__(self, broker: MemoryBroker, sinks: Sequence[str]) -> None:
        self._broker = broker
        self._core = broker.core
        self._sinks = tuple(sinks)
        self._loop = broker.driver.loop

    def down(self) -> Heal:
        """All are broken, and none is let in."""
        core = self._core
        core.shut_out.update(self._sinks)
        for sink in self._sinks:
            if sink in core.sessions:
                core.disconnect(self._loop.time(), sink)
        self._broker.kick()
        return partial(core.shut_out.difference_update, self._sinks)

    def slow(self, late_ms: int) -> Heal:
        """They are looked at only now and then."""

        def open_() -> None:
            self._open()
            self._loop.call_later(_LOOK_S, close)

        def close() -> None:
            if not over:
                self._close()
                self._loop.call_later(late_ms / 1000, open_)

        over = False

        def heal() -> None:
            nonlocal over
            over = True
            self._open()

        close()
        return heal

    def throttled(self, per_s: int) -> Heal:
        """Of each so many messages are taken in every second."""
        taken: Counter[str] = Counter()
        over = False

        def took(message: Message, now_s: float) -> None:
            if message.publisher in self._sinks:
                taken[message.publisher] += 1
                if taken[message.publisher] >= per_s:
                    self._core.stall(message.publisher, now_s)

        def next_second() -> None:
            if not over:
                taken.clear()
                self._open()
                self._loop.call_later(_SECOND_S, next_second)

        def heal() -> None:
            nonlocal over
            over = True
            self._core.overhears = None
            self._open()

        self._core.overhears = took
        next_second()
        return heal

    def _close(self) -> None:
        for sink in self._sinks:
            self._core.stall(sink, self._loop.time())

    def _open(self) -> None:
        self._core.heal(self._loop.time(), self._sinks)
        self._broker.kick()
