"""A scenario on real sockets: a broker, a gateway process and the fleet, in real time.

A scenario of hours may be pressed into `seconds`: acts come and end in proportion, and people
hurry as much more. Devices and links keep their own times, as does the gateway.
"""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

import orjson
import yaml

from fleet_sim import acts, report, stage
from fleet_sim.fleet import Population
from fleet_sim.ledger import Ledger
from fleet_sim.meter import Meter, Row
from fleet_sim.scenario import Act, Scenario
from fleet_sim.wire import WireFleet, Witness, forget, wall_ms
from gateway.app import ROOT
from vendors.sim import Addresses
from vendors.wire import mqtt311

_SITE: Final = "sim"
_TURN_S: Final = 0.05
_SHOW_S: Final = 1.0
_UP_S: Final = 20.0
# The bus has fallen silent when nothing came for so long; and how long that is waited for.
_SILENT_S: Final = 2.0
_SETTLE_MAX_S: Final = 60.0
# Nobody waits longer for a poll that comes once an hour: then the newest state is not owed.
_WAIT_MAX_S: Final = 30.0


class Watch(Protocol):
    """Who is shown a run while it lasts."""

    def say(self, text: str) -> None:
        """One line for people."""

    def show(self, elapsed_s: float, seconds: float, rows: Sequence[Row]) -> None:
        """Once a second, a row per vendor."""


@dataclass(slots=True)
class Played:
    """A run that is over, and all that a verdict rests on.

    `began_ms`: Unix ms when every device was up. `cells`: by name, as each told its health last.
    `settled`: whether it was waited long enough for the slowest news.
    """

    scenario: Scenario
    seed: int
    seconds: float
    broker: str
    began_ms: float
    ledger: Ledger
    cells: Mapping[str, Mapping[str, Any]]
    settled: bool


async def run(
    scenario: Scenario,
    *,
    seed: int,
    seconds: float | None = None,
    broker: str = "embedded",
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Run it to its end; the result has the shape of a virtual run's, without a digest.

    Args and errors: see `play`.
    """
    return _result(await play(scenario, seed=seed, seconds=seconds, broker=broker, watch=watch))


async def play(
    scenario: Scenario,
    *,
    seed: int,
    seconds: float | None = None,
    broker: str = "embedded",
    watch: Watch | None = None,
) -> Played:
    """Run it to its end.

    Args:
        scenario: what to run.
        seed: of all chance; the sockets add their own.
        seconds: press it into so many; absent, it lasts as long as it says.
        broker: `embedded`, `mosquitto`, or the URL of one that runs.
        watch: is shown how it goes.

    Raises:
        StageError: broker or gateway could not be had, or went away.
        ConfigError: a vendor refuses what the scenario says.
    """
    with TemporaryDirectory(prefix="doorfleet-") as name:
        folder = Path(name)
        async with stage.broker(broker, folder) as (found, process):
            played = _Run(scenario, seed, seconds or scenario.seconds, found, watch)
            fleet = played.fleet
            try:
                hubs = await fleet.open_hubs(folder)
                at = replace(
                    hubs,
                    broker=found.url,
                    datagrams=f"127.0.0.1:{await fleet.open_datagrams()}",
                )
                # Heard from the first word on: panels answer before the gateway says it is ready.
                await played.listen()
                async with stage.gateway(played.config(at, folder), folder) as gateway:
                    played.watched = [each for each in (process, gateway) if each is not None]
                    played.say(
                        f"broker {found.kind} at {found.url}, gateway is process {gateway.pid}"
                    )
                    return await played.play()
            finally:
                gc.unfreeze()
                played.close()
                await fleet.stop()
                if not found.ours:
                    with contextlib.suppress(OSError, TimeoutError):
                        await forget((found.host, found.port), played.left_retained())


class _Run:
    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        seconds: float,
        broker: stage.BrokerAt,
        watch: Watch | None,
    ) -> None:
        self.watched: Sequence[stage.Process] = ()
        self._scenario = scenario
        self._seed = seed
        self._seconds = seconds
        self._hurry = scenario.seconds / seconds
        self._broker = broker
        self._watch = watch
        self._cells: dict[str, dict[str, Any]] = {}
        self._heard_s = 0.0
        self._witness: Witness | None = None
        self.fleet = WireFleet(
            [
                Population(vendor, count, seed, wall_ms(), scenario.options.get(vendor))
                for vendor, count in scenario.fleet.items()
            ],
            seed=seed,
            pace=scenario.pace * self._hurry,
            broker=(broker.host, broker.port),
        )

    def config(self, at: Addresses, folder: Path) -> str:
        """The gateway's configuration file."""
        cells = []
        for population in self.fleet.populations:
            told = self._scenario.gateway.get(population.vendor, {})
            settings = {**population.gateway_settings(at), **told}
            cells.append(
                {"vendor": population.vendor, "settings": settings, "health_interval_ms": 500}
            )
        return yaml.safe_dump(
            {
                "site": _SITE,
                "state_dir": str(folder / "state"),
                "log": {"level": "warning", "format": "console"},
                "bus": [{"kind": "mqtt", "url": self._broker.url}],
                "cells": cells,
            },
            sort_keys=False,
        )

    def left_retained(self) -> list[str]:
        """The topics on which devices and gateway left something with the broker."""
        root, units = f"{ROOT}/{_SITE}", self.fleet.units
        return [
            *(topic for unit in units for topic in unit.retained),
            *(topic for hub in self.fleet.hubs for topic in hub.retained),
            *(f"{root}/{unit.vendor}/{unit.device.name}/state" for unit in units),
            *(f"{root}/gateway/{vendor}/health" for vendor in self._scenario.fleet),
        ]

    async def listen(self) -> None:
        """Subscribe to the bus.

        Raises:
            StageError: the broker cannot be reached.
        """
        topics = (f"{ROOT}/{_SITE}/+/+/event/#", f"{ROOT}/{_SITE}/gateway/+/health")
        try:
            _, self._witness = await asyncio.get_running_loop().create_connection(
                lambda: Witness(topics, self._heard), self._broker.host, self._broker.port
            )
        except OSError as error:
            raise stage.StageError(f"broker {self._broker.url}: {error}") from error
        await self._witness.ready

    def close(self) -> None:
        """Listen no longer."""
        if self._witness is not None:
            self._witness.close()

    async def play(self) -> Played:
        """From the first device's connection to silence."""
        loop = asyncio.get_running_loop()
        await self._until(self._gateway_is_up, _UP_S)
        await self.fleet.start()
        await self._until(lambda: all(unit.up for unit in self.fleet.units), _UP_S)
        self.say(f"{len(self.fleet.units)} devices are up")
        # Looking through a whole fleet for garbage takes 90 ms, in which nobody's latency is true.
        gc.collect()
        gc.freeze()
        began_ms = self.fleet.now_ms()
        await self._perform(loop.time())
        self.say("the world stands still; what is under way arrives")
        self.fleet.quiet = True
        wait_s = min(self._scenario.longest_wait_s, _WAIT_MAX_S)
        quiet_s = loop.time() + wait_s
        await self._until(
            lambda: loop.time() - max(self._heard_s, quiet_s) >= _SILENT_S,
            _SETTLE_MAX_S + wait_s,
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
            settled=wait_s >= self._scenario.longest_wait_s,
        )

    async def _perform(self, began_s: float) -> None:
        """People live, and act follows act, until the time is over."""
        loop = asyncio.get_running_loop()
        cues = acts.cues(self._scenario, self._seed, self.fleet.units)
        said = self._announcements()
        meter = Meter(self.fleet, self._cells)
        shown_s = began_s
        while (now_s := loop.time() - began_s) < self._seconds:
            self._all_run()
            while cues and cues[0][0] / self._hurry <= now_s:
                cues.pop(0)[1]()
            while said and said[0][0] <= now_s:
                self.say(said.pop(0)[1])
            passed_s = loop.time() - shown_s
            if self._watch is not None and passed_s >= _SHOW_S:
                shown_s += passed_s
                struck = {a.vendor: a.fault for a in self._under_way(now_s)}
                self._watch.show(now_s, self._seconds, meter.rows(passed_s, struck))
            await asyncio.sleep(_TURN_S)
        for _, what in cues:
            what()

    def _announcements(self) -> list[tuple[float, str]]:
        """What is said of the acts, by the second."""
        found = []
        for act in self._scenario.acts:
            at_s, until_s = act.at_s / self._hurry, act.until_s / self._hurry
            who = f"all of {act.vendor}" if act.share == 1 else f"{act.share:.0%} of {act.vendor}"
            found += [
                (at_s, f"{at_s:.0f} s: {who}: {act.fault} begins"),
                (until_s, f"{until_s:.0f} s: {who}: {act.fault} is over"),
            ]
        return sorted(found)

    def _under_way(self, now_s: float) -> list[Act]:
        at_s = now_s * self._hurry
        return [act for act in self._scenario.acts if act.at_s <= at_s < act.until_s]

    def say(self, text: str) -> None:
        """A line for whoever watches."""
        if self._watch is not None:
            self._watch.say(text)

    def _heard(self, packet: mqtt311.Publish) -> None:
        body = orjson.loads(packet.payload)
        if packet.topic.endswith("/health"):
            self._cells[body["cell"]] = body
            return
        self._heard_s = asyncio.get_running_loop().time()
        self.fleet.ledger.event(body, self.fleet.now_ms())

    def _gateway_is_up(self) -> bool:
        cells = [self._cells.get(vendor, {}) for vendor in self._scenario.fleet]
        return all(cell.get("state") == "up" for cell in cells)

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


def _result(played: Played) -> dict[str, Any]:
    tallies = played.ledger.close(newest_owed=played.settled)
    return {
        **report.result(played.scenario, played.seed, tallies, cells_of(played)),
        "time": "real",
        "broker": played.broker,
        "wall_s": round(played.seconds, 2),
    }


def cells_of(played: Played) -> dict[str, Mapping[str, Any]]:
    """The health of every cell that the run needed."""
    absent = {"state": "silent", "reason": "its health was never heard"}
    return {vendor: played.cells.get(vendor, absent) for vendor in played.scenario.fleet}
