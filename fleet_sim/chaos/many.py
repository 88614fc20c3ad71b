"""Many experiments with many seeds, in processes side by side.

    twin (scenario, seed) ─► each experiment that differs from it in its acts only

A twin is run once, for all that share it, and forgotten with the last of them.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    as_completed,
    wait,
)
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children, get_context
from typing import Any, Final, NamedTuple

from devices.errors import ConfigError
from fleet_sim.chaos.experiment import Experiment
from fleet_sim.chaos.play import really, simulate, virtually
from fleet_sim.chaos.seen import Seen
from fleet_sim.stage import StageError

Report = Mapping[str, Any]

# A run takes seconds. In simulated time, code that never waits for time to pass never ends.
_RUN_MAX_S: Final = 300.0


class Task(NamedTuple):
    """One run."""

    experiment: Experiment
    seed: int

    @property
    def twin(self) -> tuple[str, int]:
        """What says which twin it has."""
        return self.experiment.twin().model_dump_json(), self.seed


def run(tasks: Sequence[Task], workers: int) -> Iterator[Report]:
    """The verdict on each, as soon as it is there; in no order.

    Raises:
        StageError: one could not be run.
    """
    if workers == 1:
        yield from _in_turn(tasks)
        return
    with _pool(workers) as pool:
        yield from _side_by_side(tasks, pool, workers)


def run_really(
    tasks: Sequence[Task], workers: int, *, seconds: float, broker: str
) -> Iterator[Report]:
    """The verdict on each of them on real sockets, as soon as it is there; in no order.

    Raises:
        StageError: one could not be run.
    """
    play = partial(_really, seconds=seconds, broker=broker)
    if workers == 1:
        yield from (play(*task) for task in tasks)
        return
    with _pool(workers) as pool:
        for future in as_completed([pool.submit(play, *task) for task in tasks]):
            yield _outcome(future)


def _really(experiment: Experiment, seed: int, *, seconds: float, broker: str) -> Report:
    return asyncio.run(really(experiment, seed, seconds=seconds, broker=broker))


@contextmanager
def _pool(workers: int) -> Iterator[Executor]:
    # Forked children of a process with threads may hang: these begin anew.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield pool
        except BaseException:
            # Nobody waits for what they are at: whoever stops us is told that all has ended.
            pool.shutdown(wait=False, cancel_futures=True)
            for child in active_children():
                child.terminate()
            raise


def grouped(tasks: Sequence[Task]) -> list[list[Task]]:
    """Those that share a twin, together; in the order of their first."""
    groups: dict[tuple[str, int], list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.twin, []).append(task)
    return list(groups.values())


def _in_turn(tasks: Sequence[Task]) -> Iterator[Report]:
    for group in grouped(tasks):
        twin = simulate(group[0].experiment.twin(), group[0].seed)
        for task in group:
            yield virtually(task.experiment, task.seed, twin)


def _side_by_side(tasks: Sequence[Task], pool: Executor, workers: int) -> Iterator[Report]:
    """Keep all workers busy; what a twin has made possible comes before the next twin."""
    twins = deque(grouped(tasks))
    ready: deque[Callable[[], Future[Any]]] = deque()
    running: dict[Future[Any], list[Task]] = {}
    while twins or ready or running:
        while len(running) < workers + 1 and (ready or twins):
            if ready:
                running[ready.popleft()()] = []
            else:
                group = twins.popleft()
                future = pool.submit(simulate, group[0].experiment.twin(), group[0].seed)
                running[future] = group
        done, _ = wait(running, timeout=_RUN_MAX_S, return_when=FIRST_COMPLETED)
        if not done:
            raise StageError(
                f"no run came to its end within {_RUN_MAX_S:g} s; one may go in circles"
            )
        for future in done:
            group = running.pop(future)
            found = _outcome(future)
            if isinstance(found, Seen):
                ready += [partial(pool.submit, virtually, *task, found) for task in group]
            else:
                yield found


def _outcome(future: Future[Any]) -> Any:  # noqa: ANN401 -- a report or a twin
    try:
        return future.result()
    except ConfigError:
        raise
    except Exception as error:
        raise StageError(f"a run ended with {type(error).__name__}: {error}") from error
