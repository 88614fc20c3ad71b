"""Simulated time for a test: hours of waiting in milliseconds, and whole scenarios in seconds."""

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextvars import copy_context
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from pydantic import ValidationError

from devices.errors import ConfigError
from fleet_sim import life, scenario_file, virtual
from fleet_sim.clock import SimLoop
from fleet_sim.scenario import Scenario, load
from fleet_sim.testing.story import Story, tell

P = ParamSpec("P")
T = TypeVar("T")

#: Every simulated world begins on Monday, 5 January 2026, 00:00 UTC.
EPOCH_MS: Final = life.EPOCH_MS


class VirtualClock:
    """Runs what is asynchronous in simulated time.

    A loop whose clock jumps to the next timer: `asyncio.sleep`, timeouts and `loop.time()` follow
    it; `time.time()` and real sockets do not. Code that takes its wall time from a function can be
    given `now_ms`.

    Args:
        seed: of a scenario's chance.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        #: Simulated seconds that all runs so far took together.
        self.elapsed_s = 0.0
        self._loop: SimLoop | None = None

    def now_ms(self) -> int:
        """Unix ms of the simulated world."""
        running_s = self._loop.time() if self._loop is not None else 0.0
        return EPOCH_MS + round((self.elapsed_s + running_s) * 1000)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; what it returned. An async test may call it, too.

        Raises:
            RuntimeError: it waits for something that nothing can ever bring about.
        """
        __tracebackhide__ = True
        return _beside_a_loop(lambda: self._run(work))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        __tracebackhide__ = True
        with asyncio.Runner(loop_factory=self._new_loop) as runner:
            try:
                result: T = runner.run(work)
                return result
            finally:
                assert self._loop is not None
                self.elapsed_s += self._loop.time()
                self._loop = None

    def _new_loop(self) -> SimLoop:
        self._loop = SimLoop()
        return self._loop

    def scenario(
        self,
        what: str | Path | Mapping[str, Any] | Scenario,
        story: Story | None = None,
        *,
        seed: int | None = None,
    ) -> dict[str, Any]:
        """Run a scenario with the gateway's own cells; its report, as `doorfleet-sim run` says it.

        Args:
            what: the name of one that came with doorfleet, a file, its content, or a `Scenario`.
            story: what else happens; begins when all devices are up, in simulated time like them.
            seed: of all chance; absent, that of `--doorfleet-seed`.

        Raises:
            ConfigError: the scenario cannot be, with every mistake; or ends before the story does.
        """
        __tracebackhide__ = True
        chosen = _scenario(what)
        number = self.seed if seed is None else seed
        if story is None:
            return _beside_a_loop(lambda: virtual.run(chosen, seed=number))
        return _beside_a_loop(lambda: tell(chosen, story, seed=number))


def _scenario(what: str | Path | Mapping[str, Any] | Scenario) -> Scenario:
    __tracebackhide__ = True
    if isinstance(what, Scenario):
        return what
    if isinstance(what, Mapping):
        try:
            return Scenario.model_validate({"name": "scenario", **what})
        except ValidationError as error:
            raise ConfigError(tuple(scenario_file.mistakes(error, Scenario))) from None
    return load(what)


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an `async def` test one that runs in simulated time; no plugin for asyncio is needed.

    Every fixture that it names is set up in real time as usual.
    """

    @functools.wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> T:
        return VirtualClock(0).run(test(*arguments, **named))

    return run


def _a_loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _beside_a_loop(what: Callable[[], T]) -> T:
    """Call it where no loop runs: a thread may have but one."""
    __tracebackhide__ = True
    if not _a_loop_runs():
        return what()
    came: list[T] = []
    failed: list[BaseException] = []
    context = copy_context()

    def called() -> None:
        try:
            came.append(context.run(what))
        except BaseException as error:  # noqa: BLE001 -- raised below, where it belongs
            failed.append(error)

    thread = threading.Thread(target=called, name="doorfleet-virtual")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return came[0]
