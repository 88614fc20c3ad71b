"""Simulated time: asyncio code runs unchanged, and a day of waiting takes milliseconds."""

import asyncio
import heapq
import selectors
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from itertools import count
from math import ceil
from typing import Any, Final

# Simulated time goes in ticks of a microsecond. In sums of floats, what is to happen at one moment
# would happen at two, and in which order would depend on everybody else's timers.
_TICKS_PER_S: Final = 1_000_000
# More turns than any fleet needs at one moment: something wakes itself without end.
_TURNS_MAX: Final = 1_000_000
# When there are more cancelled timers than this, and they are half of all, they are thrown out.
_CANCELLED_MAX: Final = 100


class _Handle(asyncio.TimerHandle):
    """asyncio's own, made in one step instead of four: a simulated day has a million of them."""

    __slots__ = ()

    #: None when it is cancelled.
    _args: Any
    _callback: Any
    _context: Context
    _loop: "SimLoop"

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: "SimLoop",
        context: Context | None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None
        self._when = when
        self._scheduled = False

    def cancel(self) -> None:
        """As asyncio's."""
        if not self._cancelled:
            self._cancelled = True
            self._callback = self._args = None
            if self._scheduled:
                self._loop._timer_cancelled_count += 1


class SimLoop(asyncio.SelectorEventLoop):
    """For `asyncio.Runner(loop_factory=SimLoop)`.

    It never waits: when nothing is left to do, time jumps to the next timer. A loop's own work is
    much of what a simulated run costs, so what asyncio does step by step is done in one here.
    """

    _ready: deque[_Handle]
    #: When in ticks, how many were asked for before it, what. Without that number a heap keeps no
    #: order among those for the same time: a timer more, of whomever, would turn others round.
    _scheduled: list[tuple[int, int, _Handle]]
    _process_events: Callable[[list[Any]], None]
    _selector: selectors.BaseSelector
    _stopping: bool
    _timer_cancelled_count: int

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self._now = 0  # in ticks
        self._now_s = 0.0
        self._numbers = count()

    def time(self) -> float:
        """Simulated seconds since the run began."""
        return self._now_s

    def call_soon(  # type: ignore[override]  # typeshed's arguments are of one kind each
        self,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 -- as asyncio has it
        context: Context | None = None,
    ) -> asyncio.Handle:
        """As any loop's."""
        handle = _Handle(0.0, callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]  # likewise
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 -- as asyncio has it
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As any loop's; of two for the same time the one that was asked for first comes first."""
        handle = _Handle(when, callback, args, self, context)
        handle._scheduled = True
        tick = ceil(when * _TICKS_PER_S)
        if tick / _TICKS_PER_S < when:  # who is woken early, and asks the time, asks without end
            tick += 1
        heapq.heappush(self._scheduled, (tick, next(self._numbers), handle))
        return handle

    def _run_once(self) -> None:
        """Do all that can be done at this moment; if there is nothing, at the next one.

        Raises:
            RuntimeError: nothing can ever happen again, or something wakes itself without end.
        """
        ready = self._ready
        if not (ready or self._stopping):
            self._look_at_files()
            if not ready:
                self._move_on()
        timers, now = self._scheduled, self._now
        for _ in range(_TURNS_MAX):
            while timers and timers[0][0] <= now:
                self._take(heapq.heappop(timers)[2])
            # What these ask for has its turn after them, and after the timers that are due.
            for _ in range(len(ready)):
                handle = ready.popleft()
                if handle._cancelled:
                    continue
                try:
                    handle._context.run(handle._callback, *handle._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 -- as asyncio has it
                    about = f"Exception in callback {handle!r}"
                    self.call_exception_handler(
                        {"message": about, "exception": error, "handle": handle}
                    )
            if self._stopping or not ready:
                return
        raise RuntimeError(f"livelock: no end of work at {self._now_s:.3f} s")

    def _look_at_files(self) -> None:
        """Real I/O is looked at when there is no other work, and never waited for."""
        if len(self._selector.get_map()) > 1:  # one is the loop's own, by which threads wake it
            self._process_events(self._selector.select(0))

    def _move_on(self) -> None:
        """To the moment of the next timer."""
        timers = self._scheduled
        if self._timer_cancelled_count > max(_CANCELLED_MAX, len(timers) // 2):
            timers[:] = [timer for timer in timers if not timer[2]._cancelled]
            heapq.heapify(timers)
            self._timer_cancelled_count = 0
        while timers and timers[0][2]._cancelled:
            self._take(heapq.heappop(timers)[2])
        if not timers:
            raise RuntimeError("deadlock: no task can run, no timer is set")
        self._now = max(self._now, timers[0][0])
        self._now_s = self._now / _TICKS_PER_S

    def _take(self, timer: _Handle) -> None:
        timer._scheduled = False
        if timer._cancelled:
            self._timer_cancelled_count -= 1
        else:
            self._ready.append(timer)


class SimClock:
    """Wall time of a simulated run; a `gateway.clock.Clock`. `ahead_ms` is how wrong it is."""

    def __init__(self, epoch_ms: int, loop: asyncio.AbstractEventLoop) -> None:
        self.ahead_ms = 0
        self._epoch_ms = epoch_ms
        self._loop = loop

    def now_ms(self) -> int:
        """Unix ms."""
        return self._epoch_ms + self.ahead_ms + round(self._loop.time() * 1000)
