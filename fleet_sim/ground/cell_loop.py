"""A loop of its own for a cell that shares the run's: it can stand still, or die, alone.

    cell's task ─► call_soon, call_at ─► run's loop ─► turn ─┬ runs        as any process does
                                                             ├ kept        it stands still
                                                             └ forgotten   it is dead

It is to a cell in simulated time what a process is to one in real time. What comes from without is
posted, what it has the world do is done `out` of it, so that nothing of the world's runs, or waits,
in a loop that may stand still.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final, TypeVar, cast

T = TypeVar("T")

# A task that is told to end may wait for another one that has yet to be told.
_ROUNDS_MAX: Final = 100


class CellLoop:
    """Of the loop that it is made in, everything that one cell does.

    Time goes on while it stands still: what became due meanwhile is done at once when it goes on,
    in its order, as in a process that was stopped.
    """

    def __init__(self) -> None:
        self.dead = False
        # As much of a loop as asyncio's tasks, futures, timers and locks ask for.
        self._self = cast("asyncio.AbstractEventLoop", self)
        self._outer = asyncio.get_running_loop()
        self._still = False
        self._kept: list[asyncio.Handle] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- what befalls it ----------------------------------------------------------------------

    def stand_still(self) -> None:
        """Do nothing more for now."""
        self._still = True

    def go_on(self) -> None:
        """Do what became due, and go on."""
        self._still = False
        kept, self._kept = self._kept, []
        for handle in kept:
            self._outer.call_soon(self._turn, handle)

    async def die(self) -> None:
        """Do nothing more for good; returns when nothing of it is left.

        Whatever it holds must have been taken from it before: its tasks are ended one by one, and
        what they do in their last moments must come to nothing.
        """
        self.dead = True
        self.go_on()
        for _ in range(_ROUNDS_MAX):
            if not self._tasks:
                return
            for task in list(self._tasks):
                self.call_soon(task.cancel)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        raise RuntimeError(f"{[task.get_name() for task in self._tasks]} do not end")

    # --- across its border --------------------------------------------------------------------

    async def out(self, what: Coroutine[Any, Any, T]) -> T:
        """Have the world do this, and wait within the cell."""
        return await _across(self._outer.create_task(what), self._self)

    async def within(self, what: Coroutine[Any, Any, T]) -> T:
        """Have the cell do this, and wait without; cancelled if the cell dies."""
        return await _across(self.create_task(what), self._outer)

    # --- what asyncio asks of a loop ----------------------------------------------------------

    def time(self) -> float:
        """The run's."""
        return self._outer.time()

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        """See `asyncio`; also for what comes from without."""
        handle = asyncio.Handle(callback, args, self._self, context)
        self._outer.call_soon(self._turn, handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See `asyncio`."""
        handle = asyncio.TimerHandle(when, callback, args, self._self, context)
        self._outer.call_at(when, self._turn, handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See `asyncio`."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """See `asyncio`."""
        return asyncio.Future(loop=self._self)

    def create_task(
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None
    ) -> asyncio.Task[T]:
        """See `asyncio`."""
        task = asyncio.Task(coro, loop=self._self, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_closed(self) -> bool:
        """Never: it ends with the run."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Who is dead has no more troubles."""
        if not self.dead:
            self._outer.call_exception_handler(context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Its turn will find it so."""

    def _turn(self, handle: asyncio.Handle) -> None:
        if self._still:
            self._kept.append(handle)
        elif not handle.cancelled():
            asyncio._set_running_loop(self._self)  # noqa: SLF001 -- what loops are given to say so
            try:
                handle._run()  # noqa: SLF001 -- a loop's part
            finally:
                asyncio._set_running_loop(self._outer)  # noqa: SLF001 -- likewise


async def _across(task: asyncio.Task[T], waits: asyncio.AbstractEventLoop) -> T:
    """What a task of one loop comes to, for whoever waits in another."""
    answer: asyncio.Future[T] = waits.create_future()

    def arrive() -> None:
        if answer.done():
            return
        if task.cancelled():
            answer.cancel()
        elif (error := task.exception()) is not None:
            answer.set_exception(error)
        else:
            answer.set_result(task.result())

    task.add_done_callback(lambda _: waits.call_soon(arrive))
    try:
        return await answer
    finally:
        task.get_loop().call_soon(task.cancel)
