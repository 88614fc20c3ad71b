"""The thread behind a test: brokers, fleets and processes live on its loop, tests only ask.

    test thread (def or async def) ── call, run ──► backstage loop ──► sockets, child processes

So a plain test may block without stopping a device, and an async test's own loop stays its own.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from devices.errors import FleetError
from fleet_sim.testing.guardian import Guardian

T = TypeVar("T")

#: Nothing that is only handed over takes so long.
CALL_S: Final = 20.0


class BackstageError(FleetError):
    """What was asked of the fleet's thread did not come about in time."""


class Backstage:
    """One event loop in a thread of its own; all methods may be called from any other thread."""

    def __init__(self) -> None:
        self.guardian = Guardian()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="doorfleet", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # A runner cancels and awaits what is left when it is closed, and closes the loop.
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._over.wait())

    def run(self, work: Coroutine[Any, Any, T], within_s: float, what: str = "this") -> T:
        """Let a coroutine run there; what it returned.

        Raises:
            BackstageError: it took longer than `within_s`, and was cancelled.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("asked from the fleet's own thread, which would wait for itself")
        done: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return done.result(within_s)
        except TimeoutError:
            if done.done():
                raise  # its own
            raise BackstageError(f"{what} took longer than {within_s:g} s") from None
        finally:
            done.cancel()  # whoever was interrupted waits no longer, and neither does it

    def call(self, what: Callable[..., T], *arguments: object) -> T:
        """Call a function there; what it returned."""

        async def called() -> T:
            return what(*arguments)

        return self.run(called(), CALL_S, getattr(what, "__name__", "this"))

    def close(self) -> None:
        """End the loop and the thread; call it once nothing of the tests is left there."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(CALL_S)
        self.guardian.close()
