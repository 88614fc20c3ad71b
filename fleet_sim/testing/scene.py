"""All that one test set up: its fleet, its gateway, and what was heard on the bus.

Public methods are for the test's thread and ask the backstage; those with an underscore that are
coroutines run there. `make`, then `settle` as often as one likes, and `close` whatever happened.
"""

import asyncio
import copy
import shutil
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final, TypeVar

from devices.errors import ConfigError
from devices.reading import Value
from fleet_sim import report, stage
from fleet_sim.acts import all_there_are
from fleet_sim.fleet import Population
from fleet_sim.ground.real import WireGround
from fleet_sim.ground.relay import BusRelay
from fleet_sim.ground.saboteur import PROGRAM
from fleet_sim.ledger import Tally
from fleet_sim.live.faults import LiveFault, LiveFaults
from fleet_sim.live.here import Here
from fleet_sim.scenario import Scenario
from fleet_sim.testing.backstage import Backstage
from fleet_sim.testing.blast import Failed, Seen
from fleet_sim.testing.bus import Bus
from fleet_sim.testing.diary import Diary
from fleet_sim.testing.events import Events
from fleet_sim.testing.fleet import Device, Devices
from fleet_sim.testing.gateway_run import GatewayRun
from fleet_sim.testing.verdict import Verdict
from fleet_sim.testing.wishes import Options, SceneError, check, merged, until
from fleet_sim.wire import WireFleet, forget, wall_ms
from fleet_sim.wiring import gateway_config, left_retained
from vendors import registry
from vendors.api import Delivery
from vendors.sim import Addresses

T = TypeVar("T")

_START_S: Final = 60.0
_END_S: Final = 40.0
_UP_S: Final = 20.0
# A board may pause some seconds before it tells how it is; a poll may take its turn.
_INTRODUCED_S: Final = 20.0
_LOOK_S: Final = 0.05
# What came twice or was invented comes at once or not at all.
_QUIET_S: Final = 0.25
_NOBODY: Final = 0.0
#: What befalls the commands of couriers, whom a test has not.
_OF_COURIERS: Final = ("command_late", "command_doubled")
#: A test has no end that its fleet knows of.
_HOURS: Final = 24.0


class Scene:
    """What the fixtures of one test share. A `Stagehand`.

    Args:
        backstage: where all of it lives.
        broker: of its devices and its bus.
        site: its gateway's name on the bus.
        seed: of all chance, unless the fleet is given another.
        sweep: the broker outlives the test, so nothing retained may be left on it.
    """

    def __init__(
        self, backstage: Backstage, broker: stage.BrokerAt, *, site: str, seed: int, sweep: bool
    ) -> None:
        self.backstage = backstage
        self.broker = broker
        self.site = site
        self.seed = seed
        self.diary = Diary()
        self.events = Events(self.trouble)
        self.bus = Bus(broker, site, self.events)
        self._folder = Path(mkdtemp(prefix="doorfleet-"))
        self.run = GatewayRun(self.bus, backstage.guardian, self._folder)
        #: Whether a gateway of ours belongs to it, and what its file says beside what it must.
        self.with_gateway = False
        self.gateway_extra: Mapping[str, Any] = {}
        #: Whether that gateway, and the bus before it, are such as can be broken.
        self.breakable = False
        #: The fleet that a marker asks for; made by the gateway's start, or when it is first used.
        self.plan: Callable[[], None] | None = None
        #: The test's own verdict stands for the one at its end.
        self.judged = False
        self._sweep = sweep
        self._fleet: WireFleet | None = None
        self._groups: Mapping[str, Devices] = {}
        self._addresses = Addresses(broker=broker.url)
        self._peopled = False
        self._live: LiveFaults | None = None
        self._ground: WireGround | None = None
        self._bus_url = broker.url
        self._began_s = self._ready_ms = 0.0
        self._verdict: Verdict | None = None

    # --- what the fixtures ask ----------------------------------------------------------------

    def make(
        self, counts: Mapping[str, int], seed: int | None, pace: float, options: Options
    ) -> None:
        """Make the fleet; see `Fleet.__call__`."""
        __tracebackhide__ = True
        if self._fleet is not None:
            raise ConfigError(
                ("a test has one fleet, and it is made; name all its vendors in one call",)
            )
        check(counts, pace, options)
        if seed is not None:
            self.seed = seed
        self.backstage.run(self._make(counts, pace, options), _START_S, "making the fleet")

    def make_planned(self) -> None:
        """Make the fleet that was asked for, if it is not there."""
        __tracebackhide__ = True
        if self.plan is not None:
            plan, self.plan = self.plan, None
            plan()

    def trouble(self) -> str | None:
        """Why nothing more can come of this scene; None while all is well."""
        return self.run.trouble

    def groups(self) -> Mapping[str, Devices]:
        """The fleet's devices by vendor."""
        __tracebackhide__ = True
        self._made()
        return self._groups

    def call(self, what: Callable[..., T], *arguments: object) -> T:
        """Call it backstage."""
        return self.backstage.call(what, *arguments)

    def state(self, device: str) -> Mapping[str, Value]:
        """How `vendor/name` truly is, by axis."""
        return self.diary.state(device)

    def wait(self, device: str, wanted: Mapping[str, Value], within_s: float) -> None:
        """Until `vendor/name` truly is so."""
        __tracebackhide__ = True
        self.diary.wait(device, wanted, within_s, self.trouble)

    async def wait_async(self, device: str, wanted: Mapping[str, Value], within_s: float) -> None:
        """The same for an async test, whose loop goes on meanwhile."""
        __tracebackhide__ = True
        await asyncio.to_thread(self.wait, device, wanted, within_s)

    @property
    def addresses(self) -> Addresses:
        """Where a gateway finds the fleet."""
        self._made()
        return self._addresses

    def settings(self, vendor: str) -> Mapping[str, Any]:
        """What a cell of our gateway would be told to listen to this vendor's devices."""
        for population in self._made().populations:
            if population.vendor == vendor:
                return population.gateway_settings(self._addresses)
        raise KeyError(f"no {vendor} in this fleet; there are {', '.join(self._groups)}")

    @property
    def is_made(self) -> bool:
        """Whether there is a fleet."""
        return self._fleet is not None

    @property
    def is_stopped(self) -> bool:
        """Whether the test itself stopped its gateway: then nothing is owed."""
        return self.run.process is None and self.run.trouble is None

    def start_gateway(self) -> None:
        """Run the gateway until all its cells are up; nothing if it runs."""
        __tracebackhide__ = True
        self._made()
        if self.run.process is None:
            self.backstage.run(self._start_gateway(), _START_S, "starting the gateway")

    def stop_gateway(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait until it has gone."""
        if self.run.process is not None:
            self.backstage.run(self.run.stop(self._made(), number), _END_S, "ending the gateway")

    def kill_cell(self, cell: str) -> None:
        """End one cell, and wait until it is up again."""
        __tracebackhide__ = True
        if self.run.process is None:
            raise SceneError("the gateway does not run; start it first")
        killing = self.run.kill_cell(cell, self._made())
        self.backstage.run(killing, _START_S, f"killing the cell {cell}")

    def said(self, device: str, changes: Mapping[str, Value]) -> None:
        """A gateway of the test's own announced this; the ledger takes it as from the bus."""
        self.backstage.call(self.bus.said, device, changes)

    def settle(self, within_s: float) -> Verdict:
        """Let what is under way arrive, and hold the bus against what happened."""
        __tracebackhide__ = True
        self._made()
        self.judged = True
        return self.backstage.run(self._settle(within_s), within_s + _START_S, "the verdict")

    def inject(self, wish: Mapping[str, Any]) -> LiveFault:
        """Let something fail from now on; see `LiveFaults.begin`."""
        __tracebackhide__ = True
        self._made()
        if wish["fault"] in _OF_COURIERS:
            raise ConfigError((f"{wish['fault']}: a test sends its own commands; send them so",))
        return self.backstage.call(lambda: self._faults.begin(wish, self._now_s()))

    def heal(self, fault: LiveFault) -> None:
        """Let it fail no more, if it does. For the backstage."""
        if not fault.healed:
            self._faults.heal(fault.id, self._now_s())

    def heal_all(self) -> None:
        """Let nothing fail any more of what was injected."""
        if self._live is not None:
            self.backstage.call(lambda: self._faults.heal_all(self._now_s()))

    def seen(self, within_s: float) -> Seen:
        """What is known of it, once what is under way has arrived; judges nothing.

        Raises:
            SceneError: nothing was injected.
        """
        __tracebackhide__ = True
        fleet = self._made()
        if not self._faults.all:
            raise SceneError(
                'nothing was injected; break something first: chaos.inject("nuki", "hang")'
            )
        judged = self.judged
        verdict = self.settle(within_s)
        self.judged = judged
        failed = self.backstage.call(self._failed)
        latencies = {vendor: list(fleet.ledger.tally(vendor).latencies) for vendor in self._groups}
        return Seen(verdict, latencies, list(self.bus.health), failed, self._ready_ms)

    def close(self) -> None:
        """Leave nothing behind: no process, socket, retained message or folder."""
        try:
            self.backstage.run(self._close(), _END_S, "taking down the scene")
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def story(self) -> str:
        """What somebody wants to know of a test that failed."""
        process = self.run.process
        lines = [f"broker: {self.broker.kind} at {self.broker.url}"]
        for title, said in (
            ("last deeds", list(self.diary.deeds)),
            ("injected", [] if self._live is None else [each.words for each in self._live.all]),
            (f"last of {len(self.events)} events", [str(each) for each in self.events[-10:]]),
            ("the gateway said", [] if process is None else list(process.lines)),
            ("the ledger's last verdict", str(self._verdict or "").splitlines()),
        ):
            lines += [f"{title}:", *(f"  {line}" for line in said)] if said else []
        return "\n".join(lines)

    # --- on the backstage ---------------------------------------------------------------------

    @property
    def _faults(self) -> LiveFaults:
        assert self._live is not None
        return self._live

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time() - self._began_s

    def _failed(self) -> list[Failed]:
        now_ms, now_s = self._made().now_ms(), self._now_s()

        def at_ms(second: float) -> float:
            return now_ms - (now_s - second) * 1000

        return [
            Failed(
                f"{each.words}, {(each.healed_s or now_s) - each.began_s:.1f} s",
                at_ms(each.began_s),
                at_ms(each.healed_s or now_s),
            )
            for each in self._faults.all
        ]

    async def _heal_in_time(self) -> None:
        while True:
            self._faults.turn(self._now_s())
            await asyncio.sleep(_LOOK_S)

    def _made(self) -> WireFleet:
        __tracebackhide__ = True
        self.make_planned()
        if self._fleet is None:
            raise SceneError("there is no fleet yet; make it first: fleet(ratgdo=3, nuki=2)")
        return self._fleet

    async def _make(self, counts: Mapping[str, int], pace: float, options: Options) -> None:
        populations = [
            Population(vendor, count, self.seed, wall_ms(), options.get(vendor))
            for vendor, count in counts.items()
        ]
        fleet = WireFleet(
            populations,
            seed=self.seed,
            pace=pace or 1.0,
            broker=(self.broker.host, self.broker.port),
        )
        fleet.journal = self.diary
        self._fleet = fleet
        self._groups = {
            vendor: Devices(vendor, [Device(self, unit) for unit in fleet.of(vendor)])
            for vendor in counts
        }
        hubs = await fleet.open_hubs(self._folder)
        datagrams = f"127.0.0.1:{await fleet.open_datagrams()}"
        self._addresses = replace(hubs, broker=self.broker.url, datagrams=datagrams)
        what = Scenario.model_validate({"hours": _HOURS, "fleet": dict(counts)})
        self._ground = await self._grounded(fleet)
        hand = Here(what, self.seed, all_there_are(fleet.units), self._ground)
        self._live = LiveFaults(what, hand)
        self._began_s = asyncio.get_running_loop().time()
        self._healing = asyncio.create_task(self._heal_in_time())
        await self.bus.listen(fleet)
        if self.with_gateway:
            await self._start_gateway()
        self._peopled = pace != _NOBODY
        if not self._peopled:
            for unit in fleet.units:
                unit.rest()
        await fleet.start()
        await until(
            lambda: [unit.name for unit in fleet.units if not unit.up],
            _UP_S,
            "did not connect",
            self.trouble,
        )
        await until(self._strangers, _INTRODUCED_S, "was not heard of", self.trouble)
        if self.with_gateway and not self._peopled:
            # A board tells how it is in several words; a test begins when all were heard.
            await self._agreed(_INTRODUCED_S, newest_owed=False)
        self.events.begin()
        self._ready_ms = fleet.now_ms()

    async def _grounded(self, fleet: WireFleet) -> WireGround | None:
        """What can break the gateway's cells, box and bus, if the test has a use for it."""
        if not (self.breakable and self.with_gateway):
            return None
        relay = BusRelay(self.broker.host, self.broker.port)
        await relay.open()
        self._bus_url = f"mqtt://127.0.0.1:{relay.port}"
        ground = WireGround(
            self.run.state_dir, fleet, seed=self.seed, hurry=1.0, relay=relay, site=self.site
        )
        self.run.command, self.bus.feels = PROGRAM, ground.heard
        return ground

    def _strangers(self) -> list[str]:
        """Devices of which nobody knows anything; without a gateway, those that told nothing."""
        fleet = self._made()
        if self.with_gateway:
            return [unit.name for unit in fleet.units if unit.name not in self.bus.heard_of]
        pushing = {
            one.vendor
            for one in fleet.populations
            if registry.vendor(one.vendor).delivery is Delivery.PUSH
        }
        return [
            unit.name
            for unit in fleet.units
            if unit.vendor in pushing and not self.diary.has_told(unit.name)
        ]

    async def _start_gateway(self) -> None:
        fleet = self._made()
        config = gateway_config(
            fleet.populations,
            self._addresses,
            site=self.site,
            bus_url=self._bus_url,
            state_dir=self.run.state_dir,
            told={},
        )
        await self.run.start(merged(config, self.gateway_extra), fleet)

    async def _settle(self, within_s: float) -> Verdict:
        fleet = self._made()
        slowest_s = max(float(registry.vendor(one).staleness_s or 0) for one in self._groups)
        with suppress(SceneError):  # who does not come back is found out below
            await until(self._returning, _UP_S, "did not come back", self.trouble)
        self.run.excuse(fleet)
        fleet.quiet = self._peopled
        try:
            # Nobody waits long for a poll that comes once an hour: then the newest is not owed.
            tallies = await self._agreed(within_s, newest_owed=within_s >= slowest_s)
        finally:
            fleet.quiet = False
        problems = report.problems(tallies, self._cells_that_should_be_up())
        if self.run.trouble is not None:
            problems.insert(0, self.run.trouble)
        if self.bus.lost:
            problems.insert(0, "the broker closed the connection of the test's own subscriber")
        self._verdict = Verdict.of(problems, {vendor: tallies[vendor] for vendor in self._groups})
        return self._verdict

    async def _agreed(self, within_s: float, *, newest_owed: bool) -> Mapping[str, Tally]:
        """Wait until nothing is missing on the bus; what is then, or at the latest, to be said."""
        fleet, loop = self._made(), asyncio.get_running_loop()
        deadline_s = loop.time() + within_s
        while True:
            late = loop.time() > deadline_s
            quiet = loop.time() - self.bus.heard_s >= _QUIET_S and all(
                cell["state"] == "up" for cell in self._cells_that_should_be_up().values()
            )
            if quiet or late:  # the whole ledger is copied only when it may be the last time
                closed = copy.deepcopy(fleet.ledger).close(newest_owed=newest_owed)
                if late or not any(tally.lost for tally in closed.values()):
                    return closed
            await asyncio.sleep(_LOOK_S)

    def _returning(self) -> list[str]:
        """Devices that nothing is wrong with any more, and that are not there yet."""
        units = self._made().units
        gone = [unit for unit in units if unit.away is not None or not unit.up]
        return [unit.name for unit in gone if unit.fault is None]

    def _cells_that_should_be_up(self) -> Mapping[str, Mapping[str, Any]]:
        """By vendor; who has a struck device may well say that it is not."""
        failing = {each.act.vendor for each in self._faults.active}
        if self.run.process is None or None in failing:
            return {}
        return {
            vendor: self.bus.cells[vendor]
            for vendor, devices in self._groups.items()
            if vendor in self.bus.cells.keys() - failing
            and not any(device.struck for device in devices)
        }

    async def _close(self) -> None:
        self.bus.close()
        if self._live is not None:
            self._healing.cancel()
            self._live.close(self._now_s())
        if self._fleet is None:
            return
        try:
            await self.run.stop(self._fleet)
        finally:
            if self._ground is not None:
                await self._ground.close()
                await self._ground.bus.close()
            await self._fleet.stop()
            if self._sweep:
                left = left_retained(self.site, self._fleet.units, self._fleet.hubs)
                with suppress(OSError, TimeoutError):
                    await forget((self.broker.host, self.broker.port), left)
