"""One shard of a run, in the process that it is given."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from fleet_sim import alone, report, timeline, virtual
from fleet_sim.clock import SimLoop
from fleet_sim.cluster import merge
from fleet_sim.cluster.apart import Says, apart
from fleet_sim.cluster.plan import Job, Part
from fleet_sim.journal import Digest, Journal
from fleet_sim.ledger import Tally
from fleet_sim.meter import Moment, Row, Watch, together
from fleet_sim.quiet import quiet_log
from fleet_sim.shard import Shard
from fleet_sim.world.world import World

_JOURNAL: Final = "shard-{}.jsonl"


def run(job: Job, state: Path, folder: Path, *, watch: Watch, built: Callable[[], None]) -> Part:
    """Run it to its end.

    Args:
        job: which shard of what.
        state: what it needs while it runs is there.
        folder: its journal is there.
        watch: is shown how it goes.
        built: is called when its devices exist; what it waits for is waited for.

    Raises:
        ConfigError: a vendor refuses what the scenario says.
    """
    path = folder / _JOURNAL.format(job.shard.index) if job.journal else None
    if job.gateway:
        return _with_gateway(job, state, path, watch, built)
    return _alone(job, path, watch, built)


def _with_gateway(
    job: Job, state: Path, path: Path | None, watch: Watch, built: Callable[[], None]
) -> Part:
    """One slice after the other, each with a gateway and a process of its own: memory holds one."""
    slices = job.shard.slices(sum(job.scenario.fleet.values()), virtual.DEVICES_MAX)
    if len(slices) == 1:
        return _slice(job, job.shard, state, path, watch, built)
    world, told = World(job.scenario, job.seed), InSlices(watch, len(slices))
    parts: list[Part] = []

    def heard(word: Moment | None) -> None:
        if word is not None:
            told.show(word)
        elif not parts:  # the others' devices are made when it is their turn
            built()

    for number, one in enumerate(slices):
        part_of = None if path is None else path.with_suffix(f".{number}")

        def work(
            say: Says, shard: Shard = one, journal: Path | None = part_of
        ) -> Part:  # as they are now
            return _slice(job, shard, state, journal, Saying(say), partial(say, None), world)

        part = apart(work, heard)
        world.tour, world.told = part.tour, [dict(each) for each in part.told]
        parts.append(part)
        told.next()
    digest = sum((part.digest for part in parts), Digest())
    if path is not None:
        merge.journals(dict(enumerate(parts)), path)
    return Part(
        tallies=merge.tallies(parts),
        cells=merge.cells(dict(enumerate(parts))),
        course=timeline.merge([part.course for part in parts]),
        digest=digest,
        journal=path,
        tour=world.tour,
        told=world.told,
    )


class InSlices:
    """Shows slices that follow each other as one run. A `meter.Watch`."""

    def __init__(self, watch: Watch, of: int) -> None:
        self._watch = watch
        self._of = of
        self._over = 0
        self._began_s = time.perf_counter()
        #: How the slices that are over stood in the end, and how the present one stands.
        self._before: dict[str, list[Row]] = {}
        self._last: Moment | None = None

    def say(self, text: str) -> None:
        """One line."""
        self._watch.say(text)

    def show(self, moment: Moment) -> None:
        """So much of all slices is over."""
        self._last = moment
        elapsed_s = (self._over * moment.seconds + moment.elapsed_s) / self._of
        rows = [
            together(row.vendor, [row, *self._before.get(row.vendor, ())]) for row in moment.rows
        ]
        wall_s = time.perf_counter() - self._began_s
        self._watch.show(
            replace(moment, elapsed_s=elapsed_s, wall_s=wall_s, rows=rows, timeline={})
        )

    def next(self) -> None:
        """This slice is over."""
        self._over += 1
        for row in () if self._last is None else self._last.rows:
            still = replace(row, frames_per_s=0.0, events_per_s=0.0, deeds_per_s=0.0)
            self._before.setdefault(row.vendor, []).append(still)
        self._last = None


class Saying:
    """Shows what is shown to whoever hears. A `meter.Watch`."""

    def __init__(self, say: Says) -> None:
        self._say = say

    def say(self, text: str) -> None:
        """A run in simulated time has nothing to say."""

    def show(self, moment: Moment) -> None:
        """How it stands."""
        self._say(moment)


def _slice(  # noqa: PLR0913, PLR0917 -- each says another thing of it
    job: Job,
    shard: Shard,
    state: Path,
    path: Path | None,
    watch: Watch,
    built: Callable[[], None],
    world: World | None = None,
) -> Part:
    with ExitStack() as stack:
        within = Path(stack.enter_context(TemporaryDirectory(dir=state)))
        stack.enter_context(quiet_log())
        runner = stack.enter_context(asyncio.Runner(loop_factory=SimLoop))
        journal = Journal(None if path is None else stack.enter_context(path.open("wb")))
        one = virtual.VirtualRun(job.scenario, job.seed, within, shard=shard, journal=journal)
        if world is not None:
            one.world.tour, one.world.told = world.tour, world.told
        if one.empty:
            built()
            return Part(dict(one.ledger.close()), course=one.course.so_far(), journal=path)
        cells = runner.run(one.play(watch=watch, built=built))
        return Part(
            tallies=dict(one.ledger.close()),
            cells=cells,
            course=one.course.so_far(),
            digest=journal.close(),
            journal=path,
            tour=one.world.tour,
            told=one.world.told,
        )


def _alone(job: Job, path: Path | None, watch: Watch, built: Callable[[], None]) -> Part:
    """Its devices are made in blocks, each when it is its turn: there is nothing to wait for."""
    one = alone.AloneRun(job.scenario, job.seed, shard=job.shard, journal=path)
    about = report.about(job.scenario, job.seed, virtual=True)
    began_s = time.perf_counter()

    def progress(share: float) -> None:
        wall_s = time.perf_counter() - began_s
        rows = [_lived(vendor, tally) for vendor, tally in one.tallies.items()]
        elapsed_s = share * job.scenario.seconds
        watch.show(Moment(**about, elapsed_s=elapsed_s, wall_s=wall_s, rows=rows))

    built()
    digest = one.play(progress)
    return Part(
        tallies=one.tallies,
        course=one.course,
        digest=digest,
        journal=path,
        tour=one.world.tour,
        told=one.world.told,
    )


def _lived(vendor: str, tally: Tally) -> Row:
    """How many have lived, and what they did; nobody listens."""
    return Row(
        vendor=vendor,
        devices=tally.devices,
        connected=0,
        cell="up",
        fault="",
        frames_per_s=0.0,
        events_per_s=0.0,
        p50_ms=None,
        p99_ms=None,
        deeds=tally.deeds,
        frames=tally.frames,
    )
