"""A fleet in simulated time: the gateway's own cells, no sockets, and a day in seconds.

A run is a pure function of (commit, scenario, seed): whatever differs between two of them is a
bug, and the digest over every event and every final state would show it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import orjson

from fleet_sim import acts, report
from fleet_sim.broker.memory import MemoryBroker
from fleet_sim.broker.memory_client import MemoryClient
from fleet_sim.chance import stream
from fleet_sim.clock import SimClock, SimLoop
from fleet_sim.fleet import Agenda, Population, polled
from fleet_sim.hub import HubUnit, hubs_of
from fleet_sim.ledger import Ledger
from fleet_sim.memory_net import MemoryLink, MemoryNet, listener
from fleet_sim.quiet import quiet_log
from fleet_sim.scenario import Scenario
from fleet_sim.unit import SharedSocket, Unit
from gateway.app import ROOT, Cell, make_cell, parse
from vendors import registry
from vendors.sim import Addresses

#: Every simulated run begins on Monday, 5 January 2026, 00:00 UTC.
EPOCH_MS: Final = 1_767_571_200_000
_SITE: Final = "sim"
_BROKER: Final = "127.0.0.1:1883"
_DEVICES: Final = ("127.0.0.1", 60_000)
_BUS: Final = f"{ROOT}/{_SITE}"
# A link in memory needs no probing.
_KEEPALIVE_S: Final = 3600
_READY_S: Final = 60.0
_CONNECT_GAP_S: Final = 0.01
# At the end people rest for so long, and for as long as the slowest poll takes; and then the world
# stands still as long again.
_SETTLE_S: Final = 10.0
_PROGRESS_STEPS: Final = 100
# Memory, where there is such a folder: a simulated disk needs no patience.
_RAM: Final = Path("/dev/shm")  # noqa: S108 -- a folder in it has a name of its own


def run(
    scenario: Scenario, *, seed: int, progress: Callable[[float], None] | None = None
) -> dict[str, Any]:
    """Run it to its end.

    Args:
        scenario: what to run.
        seed: of all chance.
        progress: is told the share of the simulated time that is over.
    """
    began_s = time.perf_counter()
    where = _RAM if _RAM.is_dir() else None
    with (
        TemporaryDirectory(prefix="doorfleet-", dir=where) as folder,
        quiet_log(),
        asyncio.Runner(loop_factory=SimLoop) as runner,
    ):
        result = runner.run(VirtualRun(scenario, seed, Path(folder)).run(progress))
    result["wall_s"] = round(time.perf_counter() - began_s, 2)
    return result


class VirtualRun:
    """One run: fleet, broker, cells and a witness on one simulated loop. A `unit.Host`."""

    in_flight_ms = 0.0

    def __init__(self, scenario: Scenario, seed: int, folder: Path) -> None:
        self.scenario = scenario
        self.seed = seed
        self.pace = scenario.pace
        self._folder = folder
        self._populations = [
            Population(vendor, count, seed, EPOCH_MS, scenario.options.get(vendor))
            for vendor, count in scenario.fleet.items()
        ]
        self.ledger = Ledger(polled(self._populations))
        self._digest = blake2b(digest_size=16)

    async def run(self, progress: Callable[[float], None] | None) -> dict[str, Any]:
        """From the first cell's start to the verdict."""
        self._loop = asyncio.get_running_loop()
        self.agenda = LoopAgenda(self._loop)
        self._broker = MemoryBroker()
        self._net = MemoryNet(self._broker)
        self.units = [
            Unit(self, population, device)
            for population in self._populations
            for device in population.devices
        ]
        for unit in self.units:
            self.ledger.tally(unit.vendor).devices += 1
        self.hubs = hubs_of(self, self.units)
        self._at = Addresses(
            broker=f"mqtt://{_BROKER}",
            datagrams=":".join(map(str, _DEVICES)),
            hubs=self._net.serve([hub for hub in self.hubs if hub.session is None]),
        )
        self._panels = SharedSocket(self.units)
        witness = MemoryClient(self._broker, self._heard)
        witness.connect("witness", keep_alive_s=0)
        witness.subscribe(f"{_BUS}/+/+/event/#", qos=1)
        heard = listener(self._panels.arrived)
        self._socket, _ = await self._net.udp_opener(heard, _DEVICES, False)  # noqa: FBT003 -- no broadcast
        for hub in self.hubs:
            if hub.session is None:
                hub.came_up()  # before anybody asks: who finds nobody backs off
        cells = self._cells()
        tasks = [asyncio.create_task(cell.run(), name=cell.name) for cell in cells]
        try:
            script = asyncio.create_task(self._script(cells, progress))
            done, _ = await asyncio.wait([script, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            snapshots = {cell.name: cell.snapshot() for cell in cells}
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._net.close()
            self._broker.stop()
        return self._result(snapshots)

    def _cells(self) -> list[Cell]:
        """One cell for each vendor, as a gateway would have them, at a simulation's leisure."""
        config = parse(
            {
                "site": _SITE,
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
                rng=stream(self.seed, f"cell/{cell.name}"),
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
        return {**settings, **self.scenario.gateway.get(population.vendor, {})}

    # --- what a unit is given -----------------------------------------------------------------

    def now_ms(self) -> float:
        """Unix ms of the simulated world."""
        return EPOCH_MS + self._loop.time() * 1000

    def datagram(self, payload: bytes, address: tuple[str, int]) -> None:
        """Let one leave by the common socket."""
        self._socket.sendto(payload, address)

    def _heard(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:  # noqa: FBT001 -- OnMessage
        del qos, retain
        self._digest.update(b"%b %b\n" % (topic.encode(), payload))
        self.ledger.event(orjson.loads(payload), self.now_ms())

    # --- the course of a run ------------------------------------------------------------------

    async def _script(self, cells: list[Cell], progress: Callable[[float], None] | None) -> None:
        async with asyncio.timeout(_READY_S):
            for cell in cells:
                await cell.ready()
        await asyncio.sleep(_SETTLE_S)  # the cells connect and subscribe
        began_s = self._loop.time()
        self._connect_everybody()
        planned = acts.cues(self.scenario, self.seed, self.units)
        seconds = self.scenario.seconds
        if progress is not None:
            shares = [step / _PROGRESS_STEPS for step in range(1, _PROGRESS_STEPS + 1)]
            planned += [(seconds * share, partial(progress, share)) for share in shares]
        for at_s, what in planned:
            self._loop.call_at(began_s + at_s, what)
        await asyncio.sleep(seconds)
        for unit in self.units:
            unit.rest()
        # What is begun comes to its end, and whoever takes a while to answer a question does so.
        await asyncio.sleep(_SETTLE_S + self.scenario.longest_wait_s)
        self.agenda.stop()
        await asyncio.sleep(_SETTLE_S + self.scenario.longest_wait_s)
        await self._look_at_states()

    def _connect_everybody(self) -> None:
        """Not all at once, in the order of the fleet."""
        for hub in self.hubs:
            if hub.session is not None:
                self._connect(hub)
        for number, unit in enumerate(self.units):
            self._loop.call_later(number * _CONNECT_GAP_S, self._begin, unit)

    def _begin(self, unit: Unit) -> None:
        if unit.behind is None:
            self._connect(unit)
        unit.live()

    def _connect(self, unit: Unit | HubUnit) -> None:
        if unit.session is None:
            unit.came_up()
        else:
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
            **report.result(self.scenario, self.seed, self.ledger.close(), cells),
            "time": "virtual",
            "digest": self._digest.hexdigest(),
        }


class LoopAgenda(Agenda):
    """The agenda, woken by the loop's own timers instead of by looking at a clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._armed_ms = 0
        self._stopped = False

    def at(self, at_ms: int, what: Callable[[int], None]) -> None:
        """Do this at or after then; equal times go in the order they were asked for."""
        super().at(at_ms, what)
        self._arm()

    def stop(self) -> None:
        """The world stands still: nothing is done any more."""
        self._stopped = True

    def _arm(self) -> None:
        next_ms = self.next_ms
        if next_ms is None or self._stopped:
            return
        if self._timer is not None:
            if self._armed_ms <= next_ms:
                return
            self._timer.cancel()
        self._armed_ms = next_ms
        self._timer = self._loop.call_at((next_ms - EPOCH_MS) / 1000, self._due)

    def _due(self) -> None:
        self._timer = None
        if not self._stopped:
            self.run(self._armed_ms)
            self._arm()
