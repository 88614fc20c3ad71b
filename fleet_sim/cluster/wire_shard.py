"""One shard on real sockets, in a process of its own.

open its servers ─Built─► GO ─► connect ─Up─► LIVE ─► people live ─Still─► END ─► leave ─Done─►
                                └────────── News, a few times a second ──────────┘
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import orjson

from fleet_sim import acts
from fleet_sim.cluster.orders import Heal, Orders, Strike
from fleet_sim.cluster.plan import (
    Built,
    Count,
    Job,
    News,
    Opened,
    Part,
    Seat,
    Still,
    Up,
    WireJob,
    Word,
)
from fleet_sim.cluster.telling import Telling
from fleet_sim.fleet import Population, polled
from fleet_sim.garbage import frozen
from fleet_sim.live.here import Here
from fleet_sim.wire import WireFleet, Witness, listen, raise_files, verdict, wall_ms
from fleet_sim.wiring import SITE, bus_topics, command_topic, left_retained
from fleet_sim.world.world import World
from vendors.sim import Addresses
from vendors.wire import mqtt311

_TELL_S: Final = 0.2
_TURN_S: Final = 0.05
#: The key of the datagrams' port among those of the hubs.
_DATAGRAMS: Final = ""
_LOOPBACK: Final = "127.0.0.1"


def run(  # noqa: PLR0913, PLR0917 -- what a worker has
    job: Job, wire: WireJob, folder: Path, where: str, say: Callable[[Word], None], orders: Orders
) -> Part:
    """Run it until it is told to end.

    Args:
        job: which shard of what.
        wire: whereto.
        folder: certificates of its servers are there.
        where: which process this is.
        say: says a word to the coordinator.
        orders: what the coordinator says.

    Raises:
        ConfigError: a vendor refuses what the scenario says.
        StageError: the broker cannot be had, or the machine is too small.
    """
    own = folder / f"shard-{job.shard.index}"
    own.mkdir(exist_ok=True)
    return asyncio.run(_WireShard(job, wire, own, say, orders).run(where))


class _WireShard:
    def __init__(
        self, job: Job, wire: WireJob, folder: Path, say: Callable[[Word], None], orders: Orders
    ) -> None:
        scenario = job.scenario
        self._job = job
        self._wire = wire
        self._folder = folder
        self._say = say
        self._orders = orders
        self._hurry = scenario.seconds / wire.seconds
        self._world = World(scenario, job.seed, self._hurry)
        populations = self._world.populations(wall_ms(), job.shard)
        here: list[Population] = [each for each in populations if each.devices]
        self._ledger = Telling(polled(here), _now_ms, keeps=job.gateway)
        self._fleet = WireFleet(
            here,
            seed=job.seed,
            pace=scenario.pace * self._hurry,
            broker=(wire.broker.host, wire.broker.port),
            recalls=True,
            ledger=self._ledger,
        )
        self._witness: Witness | None = None

    async def run(self, where: str) -> Part:
        raise_files()
        fleet, shard = self._fleet, self._job.shard.index
        telling = asyncio.create_task(self._tell())
        try:
            self._say(Built(shard, where, await self._open()))
            await asyncio.to_thread(self._orders.next)
            if self._job.gateway and self._job.scenario.deliveries is not None:
                await self._listen()
            self._world.begin(fleet.units, fleet.now_ms())
            await fleet.start(self._wire.connects_per_s)
            self._say(Up(shard))
            await asyncio.to_thread(self._orders.next)
            sent_before = fleet.traffic.sent
            with frozen():
                await self._live()
            self._world.rest()
            fleet.quiet = True
            self._say(Still(shard))
            await asyncio.to_thread(self._orders.next)
            board = fleet.board
            figures = (
                {} if board is None else verdict.figures(board, self._wire.seconds, sent_before)
            )
        finally:
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling
            if self._witness is not None:
                self._witness.close()
            await fleet.stop()
        return Part(tour=self._world.tour, told=self._world.told, wire=figures)

    async def _open(self) -> Opened:
        """Let its servers listen; where they are."""
        fleet, ports = self._fleet, self._wire.ports
        hubs = await fleet.open_hubs(self._folder, ports)
        datagrams = await fleet.open_datagrams(ports.get(_DATAGRAMS, 0))
        at: Addresses = replace(
            hubs, broker=self._wire.broker.url, datagrams=f"{_LOOPBACK}:{datagrams}"
        )
        return Opened(
            settings={each.vendor: each.gateway_settings(at) for each in fleet.populations},
            devices=[
                Seat(unit.vendor, unit.device.name, number, site)
                for unit, number, site in self._world.residents(fleet.units)
            ],
            retained=left_retained(SITE, fleet.units, fleet.hubs),
            ports={
                **{name: int(url.rpartition(":")[2]) for name, url in hubs.hubs.items()},
                _DATAGRAMS: datagrams,
            },
            sessions=fleet.need.sessions,
        )

    async def _listen(self) -> None:
        """Who delivers waits for what the gateway says."""

        def heard(packet: mqtt311.Publish) -> None:
            if not packet.topic.endswith("/health"):
                self._world.heard(orjson.loads(packet.payload), self._fleet.now_ms())

        witness = self._witness = await listen(self._wire.broker, bus_topics(SITE), heard)
        self._world.say = lambda unit, request: witness.publish(command_topic(SITE, unit), request)

    async def _live(self) -> None:
        """People live, and act follows act, until the time is over."""
        loop = asyncio.get_running_loop()
        units = self._fleet.units
        scenario, seed, residents = self._job.scenario, self._job.seed, self._world.residents(units)
        cues = acts.cues(scenario, seed, units, here := list(residents))
        hand = Here(scenario, seed, here, hurry=self._hurry)
        # One that is begun again joins in where the others are.
        began_ms = self._wire.began_ms or self._fleet.now_ms()
        began_s = loop.time() - (self._fleet.now_ms() - began_ms) / 1000
        while (now_s := loop.time() - began_s) < self._wire.seconds:
            while cues and cues[0][0] / self._hurry <= now_s:
                cues.pop(0)[1]()
            for deed in self._orders.deeds():
                _do(deed, hand)
            await asyncio.sleep(_TURN_S)
        hand.close()
        for _, what in cues:
            what()

    async def _tell(self) -> None:
        """A few times a second, what happened."""
        shard, ledger = self._job.shard.index, self._ledger
        vendors = list(self._job.scenario.fleet)
        while True:
            await asyncio.sleep(_TELL_S)
            until_ms = self._fleet.now_ms()
            counts = {
                vendor: Count(tally.devices, tally.connected, tally.deeds, tally.frames)
                for vendor in vendors
                for tally in [ledger.tally(vendor)]
            }
            self._say(News(shard, until_ms, ledger.take(), counts))


def _do(deed: Strike | Heal, hand: Here) -> None:
    match deed:
        case Strike(name, act):
            hand.begin(name, act)
        case Heal(name):
            hand.end(name)


def _now_ms() -> float:
    return time.time_ns() / 1e6
