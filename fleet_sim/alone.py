"""A fleet without a gateway: a million devices live, write their journal, and nobody listens.

    devices ─► blocks of a few thousand ─► each block lives from begin to end ─► its lines, counts
                                            └ and is forgotten before the next one is made

So many devices cannot all be objects at once, and they need not be: no device depends on another
but through its hub, so whoever shares a hub shares a block, and the blocks follow each other. What
is kept of a block is what it wrote and what it counted. Lines come out as from one long run: merged
by time, and their digest does not depend on their order.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from fleet_sim import report, timeline
from fleet_sim.fleet import Agenda, blocks_of
from fleet_sim.ground import check
from fleet_sim.hub import HubUnit
from fleet_sim.journal import Digest, Journal, merge
from fleet_sim.ledger import Forgetful, Ledger, Tally
from fleet_sim.life import BEGINS_MS, EPOCH_MS, Life
from fleet_sim.scenario import Scenario
from fleet_sim.shard import WHOLE, Shard
from fleet_sim.sim_link import SimLink
from fleet_sim.timeline import Timeline
from fleet_sim.unit import Unit
from fleet_sim.world.world import World
from vendors.sim import Publish

#: So many devices are objects at a time: some 10 MB of them.
BLOCK: Final = 4_000


def run(
    scenario: Scenario,
    *,
    seed: int,
    progress: Callable[[float], None] | None = None,
    journal: Path | None = None,
) -> dict[str, Any]:
    """Run it to its end; the report.

    Args:
        scenario: what to run.
        seed: of all chance.
        progress: is told the share of the devices that have lived.
        journal: where to write what happened to every device; absent, it is only digested.

    Raises:
        ConfigError: a vendor refuses what the scenario says.
        OSError: the journal cannot be written.
    """
    began_s = time.perf_counter()
    one = AloneRun(scenario, seed, journal=journal)
    digest = one.play(progress)
    return {
        **report.result(scenario, seed, one.tallies, {}, one.course, gateway=False),
        **one.found,
        "time": "virtual",
        "journal": {"digest": str(digest), "lines": digest.lines},
        "wall_s": round(time.perf_counter() - began_s, 2),
    }


class AloneRun:
    """One run, or one shard of it.

    Args:
        block: so many devices are objects at a time.

    Raises:
        ConfigError: an act strikes what is not there.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        *,
        shard: Shard = WHOLE,
        journal: Path | None = None,
        block: int = BLOCK,
    ) -> None:
        check(scenario, "virtual", lacks="there is no gateway to be struck")
        self.tallies: dict[str, Tally] = {vendor: Tally() for vendor in scenario.fleet}
        #: Its timeline, as `Timeline.so_far` tells it; and what its world counts.
        self.course: Mapping[str, Any] = Timeline(self.tallies, scenario.seconds).so_far()
        self.found: Mapping[str, Any] = {}
        #: Where deliveries and rollouts are counted.
        self.world = World(scenario, seed)
        self._scenario = scenario
        self._seed = seed
        self._journal = journal
        self._blocks = [
            (vendor, numbers)
            for vendor in scenario.fleet
            for numbers in blocks_of(
                vendor, scenario.fleet[vendor], EPOCH_MS, scenario.options.get(vendor), shard, block
            )
        ]

    @property
    def devices(self) -> int:
        """How many there are."""
        return sum(len(numbers) for _, numbers in self._blocks)

    def play(self, progress: Callable[[float], None] | None = None) -> Digest:
        """Let all of them live; the digest of their journal.

        Raises:
            OSError: the journal cannot be written.
        """
        with ExitStack() as stack:
            if self._journal is None:
                return sum(self._lives(progress, None), Digest())
            folder = TemporaryDirectory(dir=self._journal.parent, prefix=".journal-")
            parts = Path(stack.enter_context(folder))
            sum(self._lives(progress, parts), Digest())
            return merge(sorted(parts.iterdir()), self._journal)

    def _lives(
        self, progress: Callable[[float], None] | None, folder: Path | None
    ) -> Iterator[Digest]:
        whole = self.world
        total, lived = max(1, self.devices), 0
        for number, (vendor, numbers) in zip(count(), self._blocks, strict=False):
            with ExitStack() as stack:
                file = None
                if folder is not None:
                    file = stack.enter_context((folder / f"{number:06d}.jsonl").open("wb"))
                journal = Journal(file)
                world = World(self._scenario, self._seed)
                world.tour, world.told = whole.tour, whole.told
                block = _Block(self._scenario, self._seed, world, journal)
                course = block.live({vendor: numbers})
                self._add(vendor, block.ledger.tally(vendor), course)
                yield journal.close()
            lived += len(numbers)
            if progress is not None:
                progress(lived / total)
        self.found = whole.result()

    def _add(self, vendor: str, tally: Tally, course: Mapping[str, Any]) -> None:
        into = self.tallies[vendor]
        into.devices += tally.devices
        into.deeds += tally.deeds
        into.frames += tally.frames
        self.course = timeline.merge([self.course, course])


class _Block:
    """Some devices, from the beginning to the end of the scenario: an `around.Host`."""

    in_flight_ms = 0.0
    #: Nobody asks for what was said.
    recalls = False

    def __init__(self, scenario: Scenario, seed: int, world: World, journal: Journal) -> None:
        self.seed = seed
        self.pace = scenario.pace
        self.journal: Journal | None = journal
        self.ledger: Ledger = Forgetful()
        self.agenda = SteppedAgenda(EPOCH_MS)
        self._scenario = scenario
        self._world = world

    def live(self, members: Mapping[str, Sequence[int]]) -> Mapping[str, Any]:
        """Make them, let them live, and forget them; the timeline."""
        scenario, agenda = self._scenario, self.agenda
        life = Life(self, scenario, self._world, self._world.populations(EPOCH_MS, only=members))
        tallies = {vendor: self.ledger.tally(vendor) for vendor in members}
        course = Timeline(tallies, scenario.seconds)
        life.power_on()
        agenda.step_to(EPOCH_MS + BEGINS_MS)
        for end_s in course.ends_s:
            end_ms = EPOCH_MS + BEGINS_MS + round(end_s * 1000)
            agenda.at(end_ms, lambda _: course.close_bucket())
        life.begin(self._connect)
        agenda.step_to(life.ends_ms)
        return course.so_far()

    def _connect(self, unit: Unit | HubUnit) -> None:
        link = _NoBroker(unit)
        unit.link = link
        link.connect()

    # --- an around.Host -----------------------------------------------------------------------

    def now_ms(self) -> float:
        """Unix ms of the simulated world."""
        return float(self.agenda.now_ms)

    def later(self, wait_ms: float, what: Callable[[], None]) -> None:
        """Have a link carry something on after so long."""
        self.agenda.at(self.agenda.now_ms + round(wait_ms), lambda _: what())

    def datagram(self, payload: bytes, address: tuple[str, int]) -> None:
        """Nobody is there."""


class SteppedAgenda(Agenda):
    """The agenda as its own clock: `now_ms` is the moment of the entry that is being done."""

    def __init__(self, now_ms: int) -> None:
        super().__init__()
        self.now_ms = now_ms

    def step_to(self, until_ms: int) -> None:
        """Do everything up to then, each at its own time."""
        while (next_ms := self.next_ms) is not None and next_ms <= until_ms:
            self.now_ms = max(self.now_ms, next_ms)
            self.run(self.now_ms)
        self.now_ms = until_ms


class _NoBroker(SimLink):
    """A link to a broker that takes everything, and keeps nothing."""

    __slots__ = ("_up",)

    def __init__(self, unit: Unit | HubUnit) -> None:
        super().__init__(unit)
        self._up = False

    @property
    def up(self) -> bool:
        return self._up

    def join(self) -> bool:
        self._up = True
        return True

    def publish(self, message: Publish, over_ms: float = 0.0) -> bool:
        del message, over_ms
        return False

    def break_off(self, *, politely: bool) -> None:
        del politely
        self._up = False

    def vanish(self) -> None:
        self._up = False

    def usurp(self) -> None:
        self.drop()
