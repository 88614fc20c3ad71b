"""A scenario on real sockets: a broker, a gateway process and the fleet, in real time.

A scenario of hours may be pressed into `seconds`: acts come and end in proportion, and people
hurry as much more. Devices and links keep their own times, as does the gateway.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import orjson
import yaml

from fleet_sim import acts, real_time, report, stage
from fleet_sim.garbage import frozen
from fleet_sim.ground import check, real
from fleet_sim.ground.real import WireGround
from fleet_sim.ground.relay import BusRelay
from fleet_sim.ledger import Forgetful, Ledger
from fleet_sim.live.desk import Desk
from fleet_sim.live.faults import LiveFaults
from fleet_sim.live.here import Here
from fleet_sim.meter import Watch
from fleet_sim.real_time import SETTLE_MAX_S, SILENT_S, UP_S, WAIT_MAX_S, Narrator, all_up, patience
from fleet_sim.scenario import Scenario
from fleet_sim.timeline import Timeline
from fleet_sim.unit import Unit
from fleet_sim.wire import WireFleet, Witness, forget, listen, raise_files, verdict, wall_ms
from fleet_sim.wiring import SITE, bus_topics, command_topic, gateway_config, left_retained
from fleet_sim.world.world import World
from vendors.sim import Addresses
from vendors.wire import mqtt311

_TURN_S: Final = 0.05
#: Is told each message of the bus: its bytes, and when it came, in Unix ms.
Overhears = Callable[[bytes, float], None]


@dataclass(slots=True)
class Played:
    """A run that is over, and all that a verdict rests on.

    `began_ms`: Unix ms when every device was up. `cells`: by name, as each told its health last.
    `settled`: whether it was waited long enough for the slowest news. `course`: the timeline, as
    plain values. `world`: what came of deliveries and rollouts, likewise. `wire`: what went over
    the devices' connections (`fleet_sim.wire.verdict`). `gateway`: whether there was one.
    """

    scenario: Scenario
    seed: int
    seconds: float
    broker: str
    began_ms: float
    ledger: Ledger
    cells: Mapping[str, Mapping[str, Any]]
    settled: bool
    course: Mapping[str, Any] = field(default_factory=dict)
    world: Mapping[str, Any] = field(default_factory=dict)
    wire: Mapping[str, Any] = field(default_factory=dict)
    gateway: bool = True


async def run(  # noqa: PLR0913 -- by keyword; what people choose
    scenario: Scenario,
    *,
    seed: int,
    seconds: float | None = None,
    broker: str = "embedded",
    watch: Watch | None = None,
    gateway: bool = True,
    desk: Desk | None = None,
) -> dict[str, Any]:
    """Run it to its end; the result has the shape of a virtual run's, without a digest.

    Args and errors: see `play`.
    """
    return result(
        await play(
            scenario,
            seed=seed,
            seconds=seconds,
            broker=broker,
            watch=watch,
            gateway=gateway,
            desk=desk,
        )
    )


async def play(  # noqa: PLR0913 -- by keyword; what people choose
    scenario: Scenario,
    *,
    seed: int,
    seconds: float | None = None,
    broker: str = "embedded",
    watch: Watch | None = None,
    gateway: bool = True,
    desk: Desk | None = None,
    overhears: Overhears | None = None,
    wait_max_s: float = WAIT_MAX_S,
) -> Played:
    """Run it to its end.

    Args:
        scenario: what to run.
        seed: of all chance; the sockets add their own.
        seconds: press it into so many; absent, it lasts as long as it says.
        broker: `embedded`, `mosquitto`, or the URL of one that runs.
        watch: is shown how it goes.
        gateway: start one, and hold the bus against what happened; without it the fleet is for
            somebody's own gateway, or for the broker alone.
        desk: takes what people want to break meanwhile.
        overhears: hears what the run hears on the bus.
        wait_max_s: in the end, nobody waits longer for the slowest news.

    Raises:
        StageError: broker or gateway could not be had, or went away, or the machine is too small.
        ConfigError: a vendor refuses what the scenario says, or an act cannot be had so.
    """
    check(scenario, "real", lacks="" if gateway else "there is no gateway to be struck")
    raise_files()
    with TemporaryDirectory(prefix="doorfleet-") as name:
        folder = Path(name)
        async with stage.broker(broker, folder) as (found, process):
            played = _Run(
                scenario,
                seed,
                seconds or scenario.seconds,
                found,
                watch,
                desk=desk,
                gateway=gateway,
            )
            played.overhears, played.wait_max_s = overhears, wait_max_s
            fleet = played.fleet
            try:
                hubs = await fleet.open_hubs(folder)
                at = replace(
                    hubs,
                    broker=found.url,
                    datagrams=f"127.0.0.1:{await fleet.open_datagrams()}",
                )
                if not gateway:
                    played.watched = [each for each in (process,) if each is not None]
                    played.say(f"broker {found.kind} at {found.url}, no gateway")
                    return await played.play()
                # Heard from the first word on: panels answer before the gateway says it is ready.
                await played.listen()
                async with (
                    played.grounded(folder),
                    stage.gateway(played.config(at, folder), folder, played.obedient) as real,
                ):
                    played.watched = [each for each in (process, real) if each is not None]
                    played.say(f"broker {found.kind} at {found.url}, gateway is process {real.pid}")
                    return await played.play()
            finally:
                played.close()
                await fleet.stop()
                if not found.ours:
                    with contextlib.suppress(OSError, TimeoutError):
                        await forget((found.host, found.port), played.left_retained())


class _Run:
    def __init__(  # noqa: PLR0913 -- what a run is made of
        self,
        scenario: Scenario,
        seed: int,
        seconds: float,
        broker: stage.BrokerAt,
        watch: Watch | None,
        *,
        desk: Desk | None,
        gateway: bool,
    ) -> None:
        self._gateway = gateway
        self._desk = desk
        self.overhears: Overhears | None = None
        self.wait_max_s = WAIT_MAX_S
        self.watched: Sequence[stage.Process] = ()
        #: With what people added to its acts, once its time is over.
        self._scenario = scenario
        self._seed = seed
        self._seconds = seconds
        self._hurry = scenario.seconds / seconds
        self._broker = broker
        self._bus_url = broker.url
        #: The command of a gateway that can be struck; empty: the real one.
        self.obedient: Sequence[str] = ()
        self._ground: WireGround | None = None
        self._watch = watch
        self._cells: dict[str, dict[str, Any]] = {}
        self._heard_s = 0.0
        self._witness: Witness | None = None
        self.world = World(scenario, seed, self._hurry)
        self.fleet = WireFleet(
            self.world.populations(wall_ms()),
            seed=seed,
            pace=scenario.pace * self._hurry,
            broker=(broker.host, broker.port),
            recalls=not broker.ours or scenario.floods,
            ledger=None if gateway else Forgetful(),
        )
        tallies = {vendor: self.fleet.ledger.tally(vendor) for vendor in scenario.fleet}
        self._course = Timeline(tallies, scenario.seconds, at_least_s=self._hurry)

    @asynccontextmanager
    async def grounded(self, folder: Path) -> AsyncIterator[None]:
        """With what can break the gateway's cells, box and bus, if that is to be."""
        relay = None
        if real.strikes_the_bus(self._scenario):
            relay = BusRelay(self._broker.host, self._broker.port)
            await relay.open()
            self._bus_url = f"mqtt://127.0.0.1:{relay.port}"
        if real.is_struck(self._scenario) or self._desk is not None:
            self.obedient = (sys.executable, "-m", "fleet_sim.ground.saboteur")
            self._ground = real.WireGround(
                folder / "state", self.fleet, seed=self._seed, hurry=self._hurry, relay=relay
            )
        try:
            yield
        finally:
            if self._ground is not None:
                await self._ground.close()
            if relay is not None:
                await relay.close()

    def config(self, at: Addresses, folder: Path) -> str:
        """The gateway's configuration file."""
        config = gateway_config(
            self.fleet.populations,
            at,
            site=SITE,
            bus_url=self._bus_url,
            state_dir=folder / "state",
            told=self._scenario.gateway,
        )
        return yaml.safe_dump(config, sort_keys=False)

    def left_retained(self) -> list[str]:
        """The topics on which devices and gateway left something with the broker."""
        return left_retained(SITE, self.fleet.units, self.fleet.hubs)

    async def listen(self) -> None:
        """Subscribe to the bus.

        Raises:
            StageError: the broker cannot be reached.
        """
        witness = self._witness = await listen(self._broker, bus_topics(SITE), self._heard)

        def say(unit: Unit, request: bytes) -> None:
            ask = partial(witness.publish, command_topic(SITE, unit), request)
            if self._ground is None:
                ask()
            else:
                self._ground.commands.carry(ask)

        self.world.say = say

    def close(self) -> None:
        """Listen no longer."""
        if self._witness is not None:
            self._witness.close()

    async def play(self) -> Played:
        """From the first device's connection to silence."""
        if self._gateway:
            await self._until(lambda: all_up(self._scenario.fleet, self._cells), UP_S)
        self.world.begin(self.fleet.units, self.fleet.now_ms())
        await self.fleet.start(self._scenario.connects_per_s)
        board = self.fleet.board
        await self._until(
            lambda: (
                (board is not None and board.hopeless) or all(unit.up for unit in self.fleet.units)
            ),
            UP_S,
        )
        up = sum(unit.up for unit in self.fleet.units)
        if board is not None and board.sessions and not board.traffic.connects:
            raise stage.StageError(
                f"broker {self._broker.url}: none of {board.sessions:,} devices could connect"
                f" ({board.traffic.refused:,} were refused); is an MQTT 3.1.1 broker there?"
            )
        self.say(f"{up} devices are up" + ("" if up == len(self.fleet.units) else ", not all"))
        sent_before = self.fleet.traffic.sent
        with frozen():
            return await self._lived(sent_before)

    async def _lived(self, sent_before: int) -> Played:
        loop = asyncio.get_running_loop()
        began_ms = self.fleet.now_ms()
        await self._perform(loop.time())
        self.say("the world stands still; what is under way arrives")
        self.world.rest()
        self.fleet.quiet = True
        wait_s, settled = patience(self._scenario, gateway=self._gateway, most_s=self.wait_max_s)
        quiet_s = loop.time() + wait_s
        await self._until(
            lambda: loop.time() - max(self._heard_s, quiet_s) >= SILENT_S,
            SETTLE_MAX_S + wait_s,
        )
        self.close()  # before the gateway is stopped: that is no part of the run
        return Played(
            scenario=self._scenario,
            seed=self._seed,
            seconds=self._seconds,
            broker=self._broker.kind,
            began_ms=began_ms,
            ledger=self.fleet.ledger,
            cells=self._cells,
            settled=settled,
            course=self._course.so_far(),
            world=self.world.result(),
            wire=verdict.figures(self.fleet.board, self._seconds, sent_before)
            if self.fleet.board is not None
            else {},
            gateway=self._gateway,
        )

    async def _perform(self, began_s: float) -> None:
        """People live, and act follows act, until the time is over."""
        loop = asyncio.get_running_loop()
        units = self.fleet.units
        residents = list(self.world.residents(units))
        cues = acts.cues(self._scenario, self._seed, units, residents, self._ground)
        live = LiveFaults(
            self._scenario,
            Here(self._scenario, self._seed, residents, self._ground, hurry=self._hurry),
            seconds=self._seconds,
            hurry=self._hurry,
            desk=self._desk,
            say=self.say,
        )
        narrator = Narrator(
            self._scenario,
            self._seed,
            self._hurry,
            self._course,
            self.fleet.ledger,
            self._cells,
            self._watch,
        )
        try:
            while (now_s := loop.time() - began_s) < self._seconds:
                self._all_run()
                while cues and cues[0][0] / self._hurry <= now_s:
                    cues.pop(0)[1]()
                live.turn(now_s)
                narrator.tell(now_s, live.played)
                await asyncio.sleep(_TURN_S)
        finally:
            live.close(min(loop.time() - began_s, self._seconds))
        self._scenario = live.played
        narrator.finish()
        for _, what in cues:
            what()

    def say(self, text: str) -> None:
        """A line for whoever watches."""
        if self._watch is not None:
            self._watch.say(text)

    def _heard(self, packet: mqtt311.Publish) -> None:
        if self.overhears is not None:
            self.overhears(packet.payload, self.fleet.now_ms())
        body = orjson.loads(packet.payload)
        if packet.topic.endswith("/health"):
            self._cells[body["cell"]] = body
            if self._ground is not None:
                self._ground.heard(body)
            return
        self._heard_s = asyncio.get_running_loop().time()
        self.fleet.ledger.event(body, self.fleet.now_ms())
        self.world.heard(body, self.fleet.now_ms())

    def _all_run(self) -> None:
        for process in self.watched:
            if process.ended:
                raise process.failure()
        if self._witness is not None and self._witness.lost:
            raise stage.StageError("the broker closed the connection of the run's own subscriber")

    async def _until(self, done: Callable[[], bool], within_s: float) -> None:
        """Wait for a condition, at most so long; what then holds is the verdict's business."""
        deadline_s = asyncio.get_running_loop().time() + within_s
        while not done() and asyncio.get_running_loop().time() < deadline_s:
            self._all_run()
            await asyncio.sleep(0.02)


def result(played: Played) -> dict[str, Any]:
    """The verdict on what was played; it has the shape of a virtual run's, without a digest."""
    tallies = played.ledger.close(newest_owed=played.settled)
    cells = cells_of(played) if played.gateway else {}
    found = report.result(played.scenario, played.seed, tallies, cells, played.course)
    if not played.gateway:
        found |= verdict.judged(verdict.problems(played.wire))
    return {
        **found,
        **played.world,
        "wire": dict(played.wire),
        "time": "real",
        "broker": played.broker,
        "wall_s": round(played.seconds, 2),
    }


def cells_of(played: Played) -> dict[str, Mapping[str, Any]]:
    """The health of every cell that the run needed."""
    return real_time.cells_of(played.scenario.fleet, played.cells)


def course_of(played: Played) -> dict[str, Any]:
    """What a picture of the run needs, as plain JSON values."""
    return {
        "scenario": played.scenario.name,
        "time": "real",
        "simulated_s": played.scenario.seconds,
        "starts": played.scenario.starts.isoformat(sep=" "),
        "wall_s": round(played.seconds, 2),
        "cells": {name: dict(cell) for name, cell in cells_of(played).items()},
        "acts": report.acts(played.scenario),
        "timeline": dict(played.course),
    }
