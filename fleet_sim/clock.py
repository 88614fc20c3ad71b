"""Simulated time: asyncio code runs unchanged, and a day of waiting takes milliseconds."""

import asyncio
import selectors
from typing import Any, Final

# A timer is due when it is nearer than this. The loop's own, a nanosecond, is lost in a float that
# has counted half a year of seconds: the timer would be waited for without end.
_RESOLUTION_S: Final = 1e-6
# More turns than any fleet needs at one moment: something wakes itself without end.
_TURNS_MAX: Final = 1_000_000


class JumpingSelector(selectors.SelectSelector):
    """Never waits: moves `now_s` on by whatever wait the loop asked for."""

    now_s = 0.0
    _turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Skip the wait. No timer and no I/O left means that nothing can ever happen.

        Raises:
            RuntimeError: that, or something that wakes itself without end.
        """
        if timeout == 0:
            self._turns += 1
            if self._turns > _TURNS_MAX:
                self._turns = 0  # whoever cleans up behind it may need some
                raise RuntimeError(f"livelock: no end of work at {self.now_s:.3f} s")
            return []  # there is work at hand: whatever I/O there is, is looked at after it
        self._turns = 0
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("deadlock: no task can run, no timer is set")
            self.now_s += max(timeout, 0.0)
        return ready


class SimLoop(asyncio.SelectorEventLoop):
    """For `asyncio.Runner(loop_factory=SimLoop)`."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)
        self._clock_resolution = _RESOLUTION_S

    def time(self) -> float:
        """Simulated seconds since the run began."""
        return self._jumping.now_s


class SimClock:
    """Wall time of a simulated run; a `gateway.clock.Clock`. `ahead_ms` is how wrong it is."""

    def __init__(self, epoch_ms: int, loop: asyncio.AbstractEventLoop) -> None:
        self.ahead_ms = 0
        self._epoch_ms = epoch_ms
        self._loop = loop

    def now_ms(self) -> int:
        """Unix ms."""
        return self._epoch_ms + self.ahead_ms + round(self._loop.time() * 1000)
