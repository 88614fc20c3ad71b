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
from typing import Any, Final

import orjson

from fleet_sim import report
from fleet_sim.acts import Cue
from fleet_sim.broker.memory import MemoryBroker
from fleet_sim.broker.memory_client import MemoryClient
from fleet_sim.clock import SimClock, SimLoop
from fleet_sim.findings import Findings, NotingJournal
from fleet_sim.fleet import polled
from fleet_sim.garbage import seldom_collecting
from fleet_sim.ground import check
from fleet_sim.ground.supervisor import VirtualGateway
from fleet_sim.ground.virtual import VirtualGround, cells_struck, disk_for
from fleet_sim.hub import HubUnit
from fleet_sim.journal import Journal
from fleet_sim.ledger import Ledger
from fleet_sim.life import BEGINS_MS, EPOCH_MS, SETTLE_S, Life
from fleet_sim.loop_agenda import LoopAgenda
from fleet_sim.memory_net import MemoryLink, MemoryNet, listener
from fleet_sim.meter import Meter, Watch, struck
from fleet_sim.quiet import quiet_log
from fleet_sim.scenario import Scenario
from fleet_sim.scratch import scratch
from fleet_sim.shard import WHOLE, Shard
from fleet_sim.shared_socket import SharedSocket
from fleet_sim.timeline import Timeline
from fleet_sim.unit import Unit
from fleet_sim.virtual_config import BROKER_URL, gateway_config
from fleet_sim.wiring import SITE, command_topic
from fleet_sim.world.world import World
from gateway.app import ROOT
from vendors.sim import Addresses

_DEVICES: Final = ("127.0.0.1", 60_000)
_BUS: Final = f"{ROOT}/{SITE}"
_READY_S: Final = 20.0
_PROGRESS_STEPS: Final = 100
_SHOW_S: Final = 0.1
#: So many devices, some 40 kB each with all that a gateway knows of them, are run at a time: a
#: larger fleet has several gateways, and their time passes one after the other.
DEVICES_MAX: Final = 10_000


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
        ConfigError: an act cannot be had in simulated time.
    """
    check(scenario, "virtual")
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
    """One run: fleet, broker, cells and a witness on one simulated loop. An `around.Host`."""

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
        self.findings = Findings(EPOCH_MS + BEGINS_MS, scenario.fleet)
        self.journal: Journal | None = NotingJournal(journal, self.findings)
        self._written = journal
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
        #: Is told each event of the bus: its bytes, and when it came, in Unix ms.
        self.overhears: Callable[[bytes, float], None] | None = None

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
            broker=BROKER_URL,
            datagrams=":".join(map(str, _DEVICES)),
            hubs=self._net.serve([hub for hub in self.hubs if hub.session is None]),
        )
        self._panels = SharedSocket(self.units)
        self._listen()
        heard = listener(self._panels.arrived)
        self._socket, _ = await self._net.udp_opener(heard, _DEVICES, False)  # noqa: FBT003 -- no broadcast
        self._life.power_on()
        if built is not None:
            built()
        self._have_gateway()
        with seldom_collecting():
            return await self._played(progress, watch)

    async def _played(
        self, progress: Callable[[float], None] | None, watch: Watch | None
    ) -> dict[str, Mapping[str, Any]]:
        gateway = self.gateway
        gateway.start()
        keeping = asyncio.create_task(gateway.keep())
        try:
            script = asyncio.create_task(self._script(progress, watch))
            done, _ = await asyncio.wait([script, keeping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            snapshots = gateway.snapshots()
        finally:
            keeping.cancel()
            await gateway.stop()
            await self._net.close()
            self._broker.stop()
        return snapshots

    def _listen(self) -> None:
        """Hear what the bus says, and ask for what couriers want."""
        witness = MemoryClient(self._broker, self._heard)
        witness.connect("witness", keep_alive_s=0)
        witness.subscribe(f"{_BUS}/+/+/event/#", qos=1)
        watchman = MemoryClient(self._broker, self._fares)
        watchman.connect("watchman", keep_alive_s=0)
        watchman.subscribe(f"{_BUS}/gateway/+/health", qos=1)

        def say(unit: Unit, request: bytes) -> None:
            self.findings.asked(unit, request, self.now_ms())
            ask = partial(witness.publish, command_topic(SITE, unit), request, qos=1)
            self._ground.commands.carry(ask)

        self.world.say = say

    def _have_gateway(self) -> None:
        scenario = self.scenario
        config = gateway_config(scenario, self._populations, self._at, self._folder)
        clock = SimClock(EPOCH_MS, self._loop)
        cells = [cell.name for cell in config.cells]
        disk = disk_for(scenario, self.seed)
        self.gateway = VirtualGateway(
            config,
            net=self._net,
            clock=clock,
            seed=self.seed,
            struck=cells_struck(scenario, cells),
            disk=disk,
            on_beat=self.findings.snapshot if scenario.acts else None,
            on_end=self._ended,
        )
        self._ground = VirtualGround(
            gateway=self.gateway,
            broker=self._broker,
            clock=clock,
            disk=disk,
            units=self.units,
            ledger=self.ledger,
            sinks=[f"doorfleet-{SITE}-{cell}" for cell in cells],
            seed=self.seed,
        )

    def _ended(self, cell: str, how: str) -> None:
        self.findings.ended(cell, how, self.now_ms())
        self._ground.deaf(cell)

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
        if self.overhears is not None:
            self.overhears(payload, self.now_ms())
        event, now_ms = orjson.loads(payload), self.now_ms()
        self.findings.event(topic, payload, event, now_ms)
        self.ledger.event(event, now_ms)
        self.world.heard(event, now_ms)

    def reaches(self, topic: str) -> bool:
        """Whether the gateway listens to this topic of a device."""
        return any(self._broker.core.subscriptions.routes(topic))

    def _fares(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:  # noqa: FBT001 -- OnMessage
        del topic, qos, retain
        self.findings.health(orjson.loads(payload), self.now_ms())

    # --- the course of a run ------------------------------------------------------------------

    async def _script(self, progress: Callable[[float], None] | None, watch: Watch | None) -> None:
        async with asyncio.timeout(_READY_S):
            await self.gateway.ready()
        began_s = BEGINS_MS / 1000
        await asyncio.sleep(began_s - self._loop.time())  # the cells connect and subscribe
        self._life.begin(self._connect, self._ground)
        planned = self._buckets(watch)
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

    def _buckets(self, watch: Watch | None) -> list[Cue]:
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
                said.update(self.gateway.snapshots())
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
            **self.findings.plain(),
            **self._of_cells(),
            "time": "virtual",
            "digest": self._digest.hexdigest(),
            "journal": self._journal(),
        }

    def _of_cells(self) -> dict[str, Any]:
        return {
            "restarts": {name: kept.restarts for name, kept in self.gateway.kept.items()},
            "dead_letters": self.gateway.letters(),
            "requests": {
                vendor: sorted(  # seconds at which its hubs were asked while they were struck
                    self.findings.at_s(at_ms)
                    for hub in self.hubs
                    if hub.vendor == vendor
                    for at_ms in hub.asked_ms
                )
                for vendor in self.scenario.fleet
            },
        }

    def _journal(self) -> dict[str, Any] | None:
        if self._written is None:
            return None
        digest = self._written.close()
        return {"digest": str(digest), "lines": digest.lines}
