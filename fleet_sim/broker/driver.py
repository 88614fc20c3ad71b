"""Drives a broker from an asyncio loop: its time, its timers, its output. Works on any loop."""

import asyncio

from fleet_sim.broker.core import Broker


class Driver:
    """One broker on one loop; the loop's `time()` is the broker's clock, simulated or not."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._flush_is_set = False

    def now_s(self) -> float:
        """The broker's time."""
        return self.loop.time()

    def flush(self) -> None:
        """Write all output now, and see to it that the next deadline is met."""
        self.broker.flush(self.now_s())
        deadline_s = self.broker.next_deadline_s
        if deadline_s is None:
            return
        timer = self._timer
        if timer is None or deadline_s < timer.when():
            if timer is not None:
                timer.cancel()
            self._timer = self.loop.call_at(deadline_s, self._tick)

    def flush_soon(self) -> None:
        """Write all output once the loop has run what is already due."""
        if not self._flush_is_set:
            self._flush_is_set = True
            self.loop.call_soon(self._flush)

    def stop(self) -> None:
        """Set no more timers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._flush_is_set = False
        self.flush()

    def _tick(self) -> None:
        self._timer = None
        self.broker.tick(self.now_s())
        self.flush()
