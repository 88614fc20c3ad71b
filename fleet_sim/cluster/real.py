"""A scenario on real sockets, with its fleet in several processes.

Broker, gateway and verdict are here, the devices are with the workers. What happened to them comes
a few times a second, what the bus says comes at once: both wait until every worker has spoken, and
go into the ledger in order of time.
"""

import asyncio
import contextlib
import heapq
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import orjson
import yaml

from devices.errors import ConfigError
from fleet_sim import report, stage
from fleet_sim.cluster import merge, settings
from fleet_sim.cluster.local import LocalCrew
from fleet_sim.cluster.orders import Heal, Order, Strike
from fleet_sim.cluster.plan import (
    Built,
    Count,
    Done,
    Job,
    Lost,
    News,
    Opened,
    Part,
    Plan,
    Refused,
    Restarted,
    Still,
    Up,
    WireJob,
    Word,
)
from fleet_sim.cluster.striking import Everywhere
from fleet_sim.fleet import polls
from fleet_sim.ground import check
from fleet_sim.ledger import Forgetful, Ledger
from fleet_sim.live.desk import Desk
from fleet_sim.live.faults import LiveFaults
from fleet_sim.meter import Watch
from fleet_sim.real_time import SETTLE_MAX_S, SILENT_S, UP_S, Narrator, all_up, cells_of, patience
from fleet_sim.scenario import Scenario
from fleet_sim.shard import Shard
from fleet_sim.timeline import Timeline
from fleet_sim.wire import Need, Witness, claim, forget, listen, raise_files, verdict
from fleet_sim.wiring import SITE, bus_topics, config_of
from vendors.wire import mqtt311

_TURN_S: Final = 0.03
_BUILD_S: Final = 120.0
_STILL_S: Final = 30.0
# What the bus says waits so long, at most, for a worker that does not speak.
_HELD_MS: Final = 3_000.0


_Held = tuple[float, int, Callable[[], None]]


@dataclass(slots=True)
class _Shard:
    """How one of them stands."""

    opened: Opened | None = None
    up: bool = False
    still: bool = False
    until_ms: float = 0.0
    counts: Mapping[str, Count] = field(default_factory=dict)
    #: Nobody knows what its devices had told when their worker was lost.
    unjudged: bool = False


async def run(  # noqa: PLR0913 -- by keyword; what people choose
    scenario: Scenario,
    *,
    seed: int,
    workers: int,
    seconds: float | None = None,
    broker: str = "embedded",
    watch: Watch,
    gateway: bool = True,
    desk: Desk | None = None,
) -> dict[str, Any]:
    """Run it to its end; the report is that of one process, with what befell the workers.

    Args:
        scenario: what to run.
        seed: of all chance; the sockets add their own.
        workers: how many processes hold devices.
        seconds: press it into so many; absent, it lasts as long as it says.
        broker: `embedded`, `mosquitto`, or the URL of one that runs.
        watch: is shown how it goes.
        gateway: whether there is one.
        desk: takes what people want to break meanwhile.

    Raises:
        StageError: broker, gateway or workers could not be had, or went away, or the machine is too
            small.
        ConfigError: a vendor refuses what the scenario says, or an act cannot be had so.
    """
    check(scenario, "real", lacks="it is run on several workers; leave --workers away")
    raise_files()
    with TemporaryDirectory(prefix="doorfleet-") as name:
        folder = Path(name)
        async with stage.broker(broker, folder) as (found, process):
            pace = scenario.connects_per_s / workers
            wire = WireJob(found, seconds or scenario.seconds, pace)
            job = Job(scenario, seed, Shard(0, workers), gateway=gateway, wire=wire)
            one = _Real(job, wire, LocalCrew(folder), watch, desk)
            one.watched = [each for each in (process,) if each is not None]
            try:
                return await one.run(folder)
            finally:
                one.close()
                await asyncio.to_thread(one.crew.stop)
                if not found.ours:
                    with contextlib.suppress(OSError, TimeoutError):
                        await forget((found.host, found.port), one.left_retained())


class _Real:
    def __init__(
        self, job: Job, wire: WireJob, crew: LocalCrew, watch: Watch, desk: Desk | None
    ) -> None:
        scenario = job.scenario
        self.crew = crew
        self.watched: list[stage.Process] = []
        self._job = job
        self._wire = wire
        self._watch = watch
        self._desk = desk
        #: What is struck by hand, while people live.
        self._hand: Everywhere | None = None
        #: The scenario with it, once its time is over.
        self._played = scenario
        self._hurry = scenario.seconds / wire.seconds
        self._plan = Plan(job.shard.of)
        self._shards = {number: _Shard() for number in range(job.shard.of)}
        polled = [name for name in scenario.fleet if polls(name)]
        self._ledger = Ledger(polled) if job.gateway else Forgetful()
        tallies = {vendor: self._ledger.tally(vendor) for vendor in scenario.fleet}
        self._course = Timeline(tallies, scenario.seconds, at_least_s=self._hurry)
        self._cells: dict[str, Mapping[str, Any]] = {}
        self._witness: Witness | None = None
        self._heard_s = 0.0
        #: What waits to go into the ledger, by time.
        self._held: list[_Held] = []
        self._number = count()
        #: What lost workers had counted.
        self._before: dict[str, Count] = {}
        self._begun_s = time.monotonic()
        self._connecting = False
        self._began_ms: float | None = None
        self._ending = False

    async def run(self, folder: Path) -> dict[str, Any]:
        """From the first worker to the verdict."""
        for shard in self._shards:
            self._start(shard)
        await self._until(lambda: self._all("opened"), _BUILD_S, "did not come up")
        if self._wire.broker.ours:  # each worker has looked to itself, and nobody to the broker
            opened = [each.opened for each in self._shards.values() if each.opened is not None]
            claim(Need(broker_sessions=sum(each.sessions for each in opened)))
        if not self._job.gateway:
            return await self._play()
        # Heard from the first word on: panels answer before the gateway says it is ready.
        self._witness = await listen(self._wire.broker, bus_topics(SITE), self._heard)
        async with stage.gateway(self._config(folder), folder) as gateway:
            self.watched.append(gateway)
            self._watch.say(
                f"broker {self._wire.broker.kind} at {self._wire.broker.url},"
                f" gateway is process {gateway.pid}, {len(self._shards)} workers"
            )
            return await self._play()

    # --- workers ------------------------------------------------------------------------------

    def _start(self, number: int) -> None:
        before = self._shards[number].opened
        ports = {} if before is None else before.ports
        wire = replace(self._wire, ports=ports, began_ms=self._began_ms)
        self.crew.start(replace(self._job, shard=Shard(number, len(self._shards)), wire=wire))

    def _all(self, what: str) -> bool:
        return all(getattr(shard, what) for shard in self._shards.values())

    def _tell(self, order: Order) -> None:
        for number in self._shards:
            self.crew.tell(number, order)

    def _tell_who_is_up(self, deed: Strike | Heal) -> None:
        """Whoever comes up later is told then."""
        for number, shard in self._shards.items():
            if shard.up:
                self.crew.tell(number, deed)

    def _up(self, number: int) -> None:
        self._shards[number].up = True
        if self._began_ms is not None:
            self.crew.tell(number, Order.LIVE)
        for deed in () if self._hand is None else self._hand.deeds:
            self.crew.tell(number, deed)

    def _take(self, word: Word) -> None:
        match word:
            case Built(number, where, opened):
                self._shards[number].opened = opened
                self._watch.say(f"shard {number} is built: {where}")
                if self._connecting:
                    self.crew.tell(number, Order.GO)
            case Up(number):
                self._up(number)
            case News():
                self._learn(word)
            case Still(number):
                self._shards[number].still = True
            case Done(number, part):
                self._plan.done(number, part)
            case Refused(_, problems):
                raise ConfigError(problems)
            case Lost(number, why):
                self._lost(number, why)
            case _:
                pass

    def _learn(self, news: News) -> None:
        """What happened to the devices of one shard, and how they stand."""
        shard = self._shards[news.shard]
        shard.until_ms, shard.counts = news.until_ms, news.counts
        for at_ms, method, words, more in news.told:
            self._hold(at_ms, partial(getattr(self._ledger, method), *words, **more))
        for vendor in self._job.scenario.fleet:
            standing = [each.counts.get(vendor, Count()) for each in self._shards.values()]
            gone, tally = self._before.get(vendor, Count()), self._ledger.tally(vendor)
            tally.devices = sum(each.devices for each in standing) + gone.devices
            tally.connected = sum(each.connected for each in standing)
            tally.deeds = sum(each.deeds for each in standing) + gone.deeds
            tally.frames = sum(each.frames for each in standing) + gone.frames

    def _lost(self, number: int, why: str) -> None:
        """A worker is gone: its devices come back in another one, and are judged no more."""
        if self._ending:
            self._watch.say(f"shard {number} is lost in the end: {why}")
            self._plan.restarted.append(Restarted(number, f"{why}, in the end", self._elapsed_s()))
            self._plan.done(number, Part())
            return
        again, _ = self._plan.lost(number, why, self._elapsed_s())
        if not again:
            raise stage.StageError(f"shard {number} was lost again and again; at last, {why}")
        before = self._shards[number]
        if before.opened is not None:
            for seat in before.opened.devices:
                self._ledger.disregard(seat.vendor, seat.device)
        for vendor, had in before.counts.items():
            gone = self._before.get(vendor, Count())
            self._before[vendor] = Count(0, 0, gone.deeds + had.deeds, gone.frames + had.frames)
        self._shards[number] = _Shard(opened=before.opened, unjudged=True)
        self._watch.say(f"shard {number} is lost, and begun again: {why}")
        self._start(number)

    def _elapsed_s(self) -> float:
        return round(time.monotonic() - self._begun_s, 2)

    # --- the bus ------------------------------------------------------------------------------

    def _config(self, folder: Path) -> str:
        whole = settings.merged(
            [shard.opened.settings for shard in self._shards.values() if shard.opened is not None]
        )
        config = config_of(
            whole,
            site=SITE,
            bus_url=self._wire.broker.url,
            state_dir=folder / "state",
            told=self._job.scenario.gateway,
        )
        return yaml.safe_dump(config, sort_keys=False)

    def left_retained(self) -> list[str]:
        """The topics on which devices and gateway left something with the broker."""
        opened = [each.opened for each in self._shards.values() if each.opened is not None]
        return [topic for one in opened for topic in one.retained]

    def close(self) -> None:
        """Listen no longer."""
        if self._witness is not None:
            self._witness.close()

    def _heard(self, packet: mqtt311.Publish) -> None:
        body = orjson.loads(packet.payload)
        if packet.topic.endswith("/health"):
            self._cells[body["cell"]] = body
            return
        now_ms = time.time_ns() / 1e6
        self._heard_s = time.monotonic()
        self._hold(now_ms, partial(self._ledger.event, body, now_ms))

    def _hold(self, at_ms: float, what: Callable[[], None]) -> None:
        held: _Held = (at_ms, next(self._number), what)
        heapq.heappush(self._held, held)

    def _fold(self, until_ms: float) -> None:
        """Let the ledger have everything up to then, in order of time."""
        while self._held and self._held[0][0] <= until_ms:
            heapq.heappop(self._held)[2]()

    def _told_ms(self) -> float:
        """Up to when everybody has spoken; whoever is silent is not waited for long."""
        slowest_ms = min(shard.until_ms for shard in self._shards.values())
        return max(slowest_ms, time.time_ns() / 1e6 - _HELD_MS)

    # --- the course of a run ------------------------------------------------------------------

    async def _play(self) -> dict[str, Any]:
        if self._job.gateway:
            await self._until(lambda: all_up(self._job.scenario.fleet, self._cells), UP_S)
        self._connecting = True
        self._tell(Order.GO)
        everybody = sum(self._job.scenario.fleet.values())
        patience_s = UP_S + everybody / self._job.scenario.connects_per_s
        await self._until(lambda: self._all("up"), patience_s)
        self._watch.say(f"{everybody} devices are up; all shards begin")
        self._began_ms = time.time_ns() / 1e6
        self._tell(Order.LIVE)
        await self._perform()
        self._watch.say("the world stands still; what is under way arrives")
        await self._until(lambda: self._all("still"), _STILL_S, "did not come to rest")
        settled = await self._settle()
        self.close()  # before the gateway is stopped: that is no part of the run
        self._ending = True
        self._tell(Order.END)
        await self._until(lambda: self._plan.over, _STILL_S, "did not end")
        self._fold(math.inf)
        return self._result(settled=settled)

    async def _perform(self) -> None:
        scenario, seed = self._job.scenario, self._job.seed
        opened = [each.opened for each in self._shards.values() if each.opened is not None]
        seats = [seat for one in opened for seat in one.devices]
        self._hand = Everywhere(scenario, seed, seats, self._tell_who_is_up)
        live = LiveFaults(
            scenario,
            self._hand,
            seconds=self._wire.seconds,
            hurry=self._hurry,
            desk=self._desk,
            say=self._watch.say,
        )
        narrator = Narrator(
            scenario,
            seed,
            self._hurry,
            self._course,
            self._ledger,
            self._cells,
            self._watch,
        )
        began_s = time.monotonic()
        try:
            while (now_s := time.monotonic() - began_s) < self._wire.seconds:
                live.turn(now_s)
                narrator.tell(now_s, live.played)
                await self._turn()
        finally:
            live.close(min(time.monotonic() - began_s, self._wire.seconds))
        self._played = live.played
        narrator.finish()

    async def _settle(self) -> bool:
        """Until nothing comes any more; whether that was waited for long enough."""
        wait_s, settled = patience(self._played, gateway=self._job.gateway)
        quiet_s = time.monotonic() + wait_s
        await self._until(
            lambda: time.monotonic() - max(self._heard_s, quiet_s) >= SILENT_S,
            SETTLE_MAX_S + wait_s,
        )
        return settled

    async def _turn(self) -> None:
        for process in self.watched:
            if process.ended:
                raise process.failure()
        if self._witness is not None and self._witness.lost and not self._ending:
            raise stage.StageError("the broker closed the connection of the run's own subscriber")
        for word in self.crew.words(0):
            self._take(word)
        self._fold(self._told_ms())
        await asyncio.sleep(_TURN_S)

    async def _until(
        self, done: Callable[[], bool], within_s: float, otherwise: str | None = None
    ) -> None:
        """Wait for a condition, at most so long; then it is an error, or the verdict's business."""
        deadline_s = time.monotonic() + within_s
        while not done():
            if time.monotonic() > deadline_s:
                if otherwise is not None:
                    raise stage.StageError(f"workers {otherwise} within {within_s:.0f} s")
                return
            await self._turn()

    def _result(self, *, settled: bool) -> dict[str, Any]:
        scenario, parts = self._played, self._plan.parts
        tallies = self._ledger.close(newest_owed=settled)
        cells = cells_of(scenario.fleet, self._cells) if self._job.gateway else {}
        found = report.result(
            scenario,
            self._job.seed,
            tallies,
            cells,
            self._course.so_far(),
            gateway=self._job.gateway,
        )
        wire = merge.wire([part.wire for part in parts.values()])
        if not self._job.gateway:
            found |= verdict.judged(verdict.problems(wire) if wire else ["no worker was left"])
        return {
            **found,
            **merge.world(scenario, self._job.seed, list(parts.values())),
            "wire": wire,
            "time": "real",
            "broker": self._wire.broker.kind,
            "wall_s": round(self._wire.seconds, 2),
            "workers": len(parts),
            "restarted": [each._asdict() for each in self._plan.restarted],
            "unjudged": sum(
                len(shard.opened.devices)
                for shard in self._shards.values()
                if shard.unjudged and shard.opened is not None
            ),
        }
