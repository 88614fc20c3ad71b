"""Simulated time: asyncio code runs unchanged, and a day of waiting takes milliseconds."""

import asyncio
import selectors
from collections.abc import Callable
from contextvars import Context
from heapq import heappush
from itertools import count
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


class _Timer(asyncio.TimerHandle):
    """Of two for the same time the one that was asked for first comes first.

    A heap alone keeps no such order: a timer more, of whomever, would turn others round.
    """

    __slots__ = ("number",)

    number: int

    def __lt__(self, other: "_Timer") -> bool:  # type: ignore[override]  # a loop has no others
        mine, its = self._when, other._when  # type: ignore[attr-defined]  # asked most of all
        return mine < its or (mine == its and self.number < other.number)


class SimLoop(asyncio.SelectorEventLoop):
    """For `asyncio.Runner(loop_factory=SimLoop)`."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)
        self._clock_resolution = _RESOLUTION_S
        self._numbers = count()

    def time(self) -> float:
        """Simulated seconds since the run began."""
        return self._jumping.now_s

    def call_at(  # type: ignore[override]  # typeshed's arguments are of one kind each
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 -- as asyncio has it
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As any loop's, in order."""
        timer = _Timer(when, callback, args, self, context)
        timer.number = next(self._numbers)
        # As asyncio's own does, which makes its timers itself.
        heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]  # noqa: SLF001 -- see above
        return timer


class SimClock:
    """Wall time of a simulated run; a `gateway.clock.Clock`. `ahead_ms` is how wrong it is."""

    def __init__(self, epoch_ms: int, loop: asyncio.AbstractEventLoop) -> None:
        self.ahead_ms = 0
        self._epoch_ms = epoch_ms
        self._loop = loop

    def now_ms(self) -> int:
        """Unix ms."""
        return self._epoch_ms + self.ahead_ms + round(self._loop.time() * 1000)
