"""Drives the workers of a run to its end, and tells how far they are."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from devices.errors import ConfigError
from fleet_sim import meter
from fleet_sim.cluster.orders import Order
from fleet_sim.cluster.plan import (
    Built,
    Done,
    Job,
    Lost,
    News,
    Part,
    Plan,
    Progress,
    Refused,
    Restarted,
    Still,
    Up,
    Word,
)
from fleet_sim.meter import Watch
from fleet_sim.shard import Shard
from fleet_sim.stage import StageError

_TURN_S: Final = 0.5
_SHOW_S: Final = 1.0


class Crew(Protocol):
    """Whoever has the workers."""

    def start(self, job: Job) -> None:
        """Give a shard to a new worker."""

    def tell(self, shard: int, order: Order) -> None:
        """Give it an order."""

    def words(self, within_s: float) -> Sequence[Word]:
        """What the workers have said; waits so long for the first word."""

    def stop(self) -> None:
        """End all of them."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that is over: what each shard found, what was begun again, and how long it took."""

    parts: Mapping[int, Part]
    restarted: Sequence[Restarted]
    wall_s: float


def drive(crew: Crew, job: Job, watch: Watch) -> Finished:
    """Run all shards of this job; its own shard says how many there are.

    Raises:
        ConfigError: what is to be run is refused.
        StageError: a shard was lost again and again.
    """
    return _Drive(crew, job, watch).run()


class _Drive:
    def __init__(self, crew: Crew, job: Job, watch: Watch) -> None:
        self._crew = crew
        self._job = job
        self._watch = watch
        self._plan = Plan(job.shard.of)
        self._began_s = time.monotonic()
        self._shown_s = self._began_s

    def run(self) -> Finished:
        plan, crew = self._plan, self._crew
        for shard in range(plan.shards):
            self._start(shard)
        while not plan.over:
            for word in crew.words(_TURN_S):
                self._take(word)
            self._show()
        wall_s = round(time.monotonic() - self._began_s, 2)
        return Finished(plan.parts, plan.restarted, wall_s)

    def _start(self, shard: int) -> None:
        self._crew.start(replace(self._job, shard=Shard(shard, self._plan.shards)))

    def _take(self, word: Word) -> None:
        plan = self._plan
        match word:
            case Built(shard, where):
                self._watch.say(f"shard {shard} is built: {where}")
                self._let_go(plan.built(shard))
            case Progress(shard, moment):
                if moment is not None:
                    plan.moments[shard] = moment
            case Done(shard, part):
                plan.done(shard, part)
            case Refused(_, problems):
                raise ConfigError(problems)
            case Lost(shard, why):
                again, ready = plan.lost(shard, why, time.monotonic() - self._began_s)
                if not again:
                    raise StageError(f"shard {shard} was lost again and again; at last, {why}")
                self._watch.say(f"shard {shard} is lost, and begun again: {why}")
                self._start(shard)
                self._let_go(ready)
            case Up() | News() | Still():
                raise AssertionError(f"{word} is of real time")

    def _let_go(self, shards: Sequence[int]) -> None:
        if len(shards) == self._plan.shards:
            self._watch.say("all shards begin")
        for shard in shards:
            self._crew.tell(shard, Order.GO)

    def _show(self) -> None:
        """About once a second, where the vendors stand in all shards together."""
        now_s = time.monotonic()
        if self._plan.moments and now_s - self._shown_s >= _SHOW_S:
            self._shown_s = now_s
            self._watch.show(meter.merge(list(self._plan.moments.values())))
