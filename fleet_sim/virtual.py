"""A fleet in simulated time: the gateway's own cells, no sockets, and a day in seconds.

A run is a pure function of (commit, scenario, seed): whatever differs between two of them is a
bug, and the digest over every event and every final state would show it.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import orjson

from fleet_sim import report
from fleet_sim.acts import Cue
from fleet_sim.broker.memory import MemoryBroker
from fleet_sim.broker.memory_client import MemoryClient
from fleet_sim.chance import generator
from fleet_sim.clock import SimClock, SimLoop
from fleet_sim.fleet import Agenda, Population, polled, within
from fleet_sim.garbage import seldom_collecting
from fleet_sim.hub import HubUnit
from fleet_sim.journal import Journal
from fleet_sim.ledger import Ledger
from fleet_sim.life import BEGINS_MS, EPOCH_MS, SETTLE_S, Life
from fleet_sim.memory_net import MemoryLink, MemoryNet, listener
from fleet_sim.meter import Meter, Watch, struck
from fleet_sim.quiet import quiet_log
from fleet_sim.scenario import Scenario
from fleet_sim.shard import WHOLE, Shard
from fleet_sim.timeline import Timeline
from fleet_sim.unit import SharedSocket, Unit
from fleet_sim.wiring import SITE, command_topic
from fleet_sim.world.world import World
from gateway.app import ROOT, Cell, make_cell, parse
from vendors import registry
from vendors.sim import Addresses

_BROKER: Final = "127.0.0.1:1883"
_DEVICES: Final = ("127.0.0.1", 60_000)
_BUS: Final = f"{ROOT}/{SITE}"
# A link in memory needs no probing.
_KEEPALIVE_S: Final = 3600
_READY_S: Final = 20.0
_PROGRESS_STEPS: Final = 100
_SHOW_S: Final = 0.1
#: So many devices, some 40 kB each with all that a gateway knows of them, are run at a time: a
#: larger fleet has several gateways, and their time passes one after the other.
DEVICES_MAX: Final = 6_000
# Memory, where there is such a folder: a simulated disk needs no patience.
_RAM: Final = Path("/dev/shm")  # noqa: S108 -- a folder in it has a name of its own


def scratch() -> TemporaryDirectory[str]:
    """A folder that is gone with the run; in memory, where that can be."""
    return TemporaryDirectory(prefix="doorfleet-", dir=_RAM if _RAM.is_dir() else None)


@contextmanager
def simulated() -> Iterator[tuple[Path, asyncio.Runner]]:
    """What a run in simulated time takes place in: a scratch folder, and a loop that jumps."""
    with scratch() as folder, quiet_log(), asyncio.Runner(loop_factory=SimLoop) as runner:
        yield Path(folder), runner


def run(
    scenario: Scenario,
    *,
    seed: int,
    progress: Callable[[float], None] | None = None,
    watch: Watch | None = None,
    journal: Path | None = None,
) -> dict[str, Any]:
    """Run it to its end.

    Args:
        scenario: what to run.
        seed: of all chance.
        progress: is told the share of the simulated time that is over.
        watch: is shown how it goes.
        journal: where to write what happened to every device; absent, it is only digested.

    Raises:
        OSError: the journal cannot be written.
    """
    began_s = time.perf_counter()
    with (
        simulated() as (folder, runner),
        nullcontext() if journal is None else journal.open("wb") as lines,
    ):
        one = VirtualRun(scenario, seed, folder, journal=Journal(lines))
        result = runner.run(one.run(progress, watch))
    result["wall_s"] = round(time.perf_counter() - began_s, 2)
    return result


class VirtualRun:
    """One run: fleet, broker, cells and a witness on one simulated loop. A `unit.Host`."""

    in_flight_ms = 0.0

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        folder: Path,
        *,
        shard: Shard = WHOLE,
        journal: Journal | None = None,
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        self.pace = scenario.pace
        self.journal = journal
        self._folder = folder
        #: Only a flood says again what was said.
        self.recalls = scenario.floods
        self.world = World(scenario, seed)
        populations = self.world.populations(EPOCH_MS, shard)
        # A shard of few devices may have none of a vendor, and then needs no cell for it.
        self._populations = [each for each in populations if each.devices]
        #: Whether nobody lives in this shard: behind few hubs, a fleet has few parts.
        self.empty = not self._populations
        self.ledger = Ledger(polled(self._populations))
        tallies = {vendor: self.ledger.tally(vendor) for vendor in scenario.fleet}
        self.course = Timeline(tallies, scenario.seconds)
        self._digest = blake2b(digest_size=16)

    async def run(
        self,
        progress: Callable[[float], None] | None = None,
        watch: Watch | None = None,
        built: Callable[[], None] | None = None,
    ) -> dict[str, Any]:
        """From the first cell's start to the verdict; see `play`."""
        return self._result(await self.play(progress, watch, built))

    async def play(
        self,
        progress: Callable[[float], None] | None = None,
        watch: Watch | None = None,
        built: Callable[[], None] | None = None,
    ) -> dict[str, Mapping[str, Any]]:
        """From the first cell's start to silence; what each cell says of itself, by name.

        Args:
            progress: is told the share of the simulated time that is over.
            watch: is shown how it goes.
            built: is called when every device exists and time has not begun; it may take its own.
        """
        self._loop = asyncio.get_running_loop()
        self.agenda = LoopAgenda(self._loop)
        self._broker = MemoryBroker()
        self._net = MemoryNet(self._broker)
        self._life = Life(self, self.scenario, self.world, self._populations)
        self.units, self.hubs = self._life.units, self._life.hubs
        self._at = Addresses(
            broker=f"mqtt://{_BROKER}",
            datagrams=":".join(map(str, _DEVICES)),
            hubs=self._net.serve([hub for hub in self.hubs if hub.session is None]),
        )
        self._panels = SharedSocket(self.units)
        witness = MemoryClient(self._broker, self._heard)
        witness.connect("witness", keep_alive_s=0)
        witness.subscribe(f"{_BUS}/+/+/event/#", qos=1)
        self.world.say = lambda unit, request: witness.publish(
            command_topic(SITE, unit), request, qos=1
        )
        heard = listener(self._panels.arrived)
        self._socket, _ = await self._net.udp_opener(heard, _DEVICES, False)  # noqa: FBT003 -- no broadcast
        self._life.power_on()
        if built is not None:
            built()
        cells = self._cells()
        with seldom_collecting():
            return await self._played(cells, progress, watch)

    async def _played(
        self,
        cells: list[Cell],
        progress: Callable[[float], None] | None,
        watch: Watch | None,
    ) -> dict[str, Mapping[str, Any]]:
        tasks = [asyncio.create_task(cell.run(), name=cell.name) for cell in cells]
        try:
            script = asyncio.create_task(self._script(cells, progress, watch))
            done, _ = await asyncio.wait([script, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            snapshots: dict[str, Mapping[str, Any]] = {c.name: c.snapshot() for c in cells}
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._net.close()
            self._broker.stop()
        return snapshots

    def _cells(self) -> list[Cell]:
        """One cell for each vendor, as a gateway would have them, at a simulation's leisure."""
        config = parse(
            {
                "site": SITE,
                "state_dir": str(self._folder),
                "bus": [{"kind": "mqtt", "url": f"mqtt://{_BROKER}", "keepalive_s": _KEEPALIVE_S}],
                "supervisor": {"heartbeat_s": 60, "hang_s": 600},
                "cells": [
                    {
                        "vendor": population.vendor,
                        "settings": self._settings(population),
                        "health_interval_ms": 3_600_000,
                    }
                    for population in self._populations
                ],
            },
            origin="the simulated gateway",
        )
        clock = SimClock(EPOCH_MS, self._loop)
        return [
            make_cell(
                config,
                cell,
                clock=clock,
                rng=generator(self.seed, f"cell/{cell.name}"),
                network=self._net,
                inline_commits=True,
            )
            for cell in config.cells
        ]

    def _settings(self, population: Population) -> Mapping[str, object]:
        vendor = registry.vendor(population.vendor)
        settings = dict(population.gateway_settings(self._at))
        if "keepalive_s" in vendor.settings.model_fields:
            settings["keepalive_s"] = _KEEPALIVE_S
        return within(settings, self.scenario.gateway.get(population.vendor, {}))

    # --- what a unit is given -----------------------------------------------------------------

    def now_ms(self) -> float:
        """Unix ms of the simulated world."""
        return EPOCH_MS + self._loop.time() * 1000

    def later(self, wait_ms: float, what: Callable[[], None]) -> None:
        """Have a link carry something on after so long, whatever the agenda does meanwhile."""
        self._loop.call_later(wait_ms / 1000, what)

    def datagram(self, payload: bytes, address: tuple[str, int]) -> None:
        """Let one leave by the common socket."""
        self._socket.sendto(payload, address)

    def _heard(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:  # noqa: FBT001 -- OnMessage
        del qos, retain
        self._digest.update(b"%b %b\n" % (topic.encode(), payload))
        event = orjson.loads(payload)
        self.ledger.event(event, self.now_ms())
        self.world.heard(event, self.now_ms())

    # --- the course of a run ------------------------------------------------------------------

    async def _script(
        self,
        cells: list[Cell],
        progress: Callable[[float], None] | None,
        watch: Watch | None,
    ) -> None:
        async with asyncio.timeout(_READY_S):
            for cell in cells:
                await cell.ready()
        began_s = BEGINS_MS / 1000
        await asyncio.sleep(began_s - self._loop.time())  # the cells connect and subscribe
        self._life.begin(self._connect)
        planned = self._buckets(cells, watch)
        seconds = self.scenario.seconds
        if progress is not None:
            shares = [step / _PROGRESS_STEPS for step in range(1, _PROGRESS_STEPS + 1)]
            planned += [(seconds * share, partial(progress, share)) for share in shares]
        for at_s, what in planned:
            self._loop.call_at(began_s + at_s, what)
        # What is begun comes to its end, and whoever takes a while to answer a question does so.
        await asyncio.sleep((self._life.ends_ms - EPOCH_MS) / 1000 - self._loop.time())
        await asyncio.sleep(SETTLE_S + self.scenario.longest_wait_s)
        await self._look_at_states()

    def _buckets(self, cells: list[Cell], watch: Watch | None) -> list[Cue]:
        """At the end of each bucket of time: note how it stands, and show it to whoever watches."""
        said: dict[str, Mapping[str, Any]] = {}
        about = report.about(self.scenario, self.seed, virtual=True)
        meter = Meter(about, self.ledger, self.course, said)

        shown_s = 0.0

        def over(end_s: float) -> None:
            nonlocal shown_s
            self.course.close_bucket()
            now_s = time.perf_counter()
            # Nobody looks more often, and a cell does not tell its state for nothing.
            if watch is not None and now_s - shown_s >= _SHOW_S:
                shown_s = now_s
                said.update((cell.name, cell.snapshot()) for cell in cells)
                watch.show(meter.moment(end_s, struck(self.scenario, end_s)))

        # Everything happens in whole milliseconds: what does so at its end is the next one's.
        return [(end_s - 0.0005, partial(over, end_s)) for end_s in self.course.ends_s]

    def _connect(self, unit: Unit | HubUnit) -> None:
        link = MemoryLink(self._broker, unit)
        unit.link = link
        link.connect()

    async def _look_at_states(self) -> None:
        """The retained states, as whoever comes late finds them, are part of the digest."""
        states: dict[str, bytes] = {}

        def heard(topic: str, payload: bytes, qos: int, retain: bool) -> None:  # noqa: FBT001 -- OnMessage
            del qos, retain
            states[topic] = payload

        late = MemoryClient(self._broker, heard)
        late.connect("late", keep_alive_s=0)
        late.subscribe(f"{_BUS}/+/+/state", qos=1)
        await asyncio.sleep(1)
        late.disconnect()
        for topic in sorted(states):
            self._digest.update(b"%b %b\n" % (topic.encode(), states[topic]))

    def _result(self, cells: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        return {
            **report.result(
                self.scenario, self.seed, self.ledger.close(), cells, self.course.so_far()
            ),
            **self.world.result(),
            "time": "virtual",
            "digest": self._digest.hexdigest(),
            "journal": self._journal(),
        }

    def _journal(self) -> dict[str, Any] | None:
        if self.journal is None:
            return None
        digest = self.journal.close()
        return {"digest": str(digest), "lines": digest.lines}


class LoopAgenda(Agenda):
    """The agenda, woken by the loop's own timers instead of by looking at a clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._armed_ms = 0

    def at(self, at_ms: int, what: Callable[[int], None]) -> None:
        """Do this at or after then; equal times go in the order they were asked for."""
        super().at(at_ms, what)
        self._arm()

    def _arm(self) -> None:
        next_ms = self.next_ms
        if next_ms is None:
            return
        if self._timer is not None:
            if self._armed_ms <= next_ms:
                return
            self._timer.cancel()
        self._armed_ms = next_ms
        self._timer = self._loop.call_at((next_ms - EPOCH_MS) / 1000, self._due)

    def _due(self) -> None:
        self._timer = None
        self.run(self._armed_ms)
        self._arm()
