"""The agenda of a run on one simulated loop."""

import asyncio
from collections.abc import Callable

from fleet_sim.fleet import Agenda
from fleet_sim.life import EPOCH_MS


class LoopAgenda(Agenda):
    """The agenda, woken by the loop's own timers instead of by looking at a clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._armed_ms = 0

    def at(self, at_ms: int, what: Callable[[int], None]) -> None:
        """Do this at or after then; equal times go in the order they were asked for."""
        super().at(at_ms, what)
        self._arm()

    def _arm(self) -> None:
        next_ms = self.next_ms
        if next_ms is None:
            return
        if self._timer is not None:
            if self._armed_ms <= next_ms:
                return
            self._timer.cancel()
        self._armed_ms = next_ms
        self._timer = self._loop.call_at((next_ms - EPOCH_MS) / 1000, self._due)

    def _due(self) -> None:
        self._timer = None
        self.run(self._armed_ms)
        self._arm()
