"""What carries out, in real time, whatever strikes no device: a cell's process, its disk, the bus.

    WireGround ─┬ signals ──► the process of a cell, by the id that the gateway tells
                ├ orders ───► the code in it (`fleet_sim.ground.saboteur`)
                ├ BusRelay ─► the gateway's connections to the bus
                └ carry ────► couriers' commands

Each way to fail is a function that lets it begin and gives back what ends it.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from devices.errors import ConfigError
from fleet_sim.act import Act
from fleet_sim.faults import FAULTS, Fault, Strikes, host
from fleet_sim.ground import Heal
from fleet_sim.ground.commands import CommandFaults
from fleet_sim.ground.relay import BusRelay
from fleet_sim.ground.saboteur import USUAL, Saboteur
from fleet_sim.ground.ways import WAYS
from fleet_sim.scenario import Scenario
from fleet_sim.wire import WireFleet
from fleet_sim.wiring import SITE

# What left for a cell so shortly before it went may never have been read by it.
_IN_FLIGHT_MS: Final = 2_000.0
# Long enough to be heard once, too short to be heard by the next life.
_ONCE_S: Final = 0.1
_LONG_S: Final = 86_400.0
_AWAY: Final = ("down", "stopped")
_OF_THE_BUS: Final = (host.BusDown, host.BusSlow, host.BusThrottled, host.FilesExhausted)


class WireGround:
    """A `fleet_sim.ground.Ground`.

    Args:
        state_dir: the gateway's.
        fleet: whose news a cell that is gone could not hear.
        seed: of all chance.
        hurry: how many times as fast as the scenario says.
        relay: before the bus, if an act strikes it.
        site: the gateway's name on the bus.
    """

    def __init__(  # noqa: PLR0913 -- by keyword, from one place
        self,
        state_dir: Path,
        fleet: WireFleet,
        *,
        seed: int,
        hurry: float,
        relay: BusRelay | None,
        site: str = SITE,
    ) -> None:
        self.saboteur = Saboteur(state_dir)
        self.hurry = hurry
        self.vendors = [population.vendor for population in fleet.populations]
        self._relay = relay
        self.site = site
        self._fleet = fleet
        self._loop = asyncio.get_running_loop()
        self.commands = CommandFaults(self._loop.call_later, fleet.now_ms, seed)
        self._heals: dict[int, Heal] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        #: Since when, in Unix ms, what a cell's devices tell may be lost if it dies.
        self._at_risk: dict[str, float] = {}
        #: The same of those that did.
        self._away: dict[str, float] = {}

    def begin(self, act: Act) -> None:
        """See `Ground`.

        Raises:
            ConfigError: this run cannot have it.
        """
        fault = act.make()
        way = _WAYS.get(type(fault))
        if way is None:
            raise ConfigError((f"fault: {act.fault} can be had in simulated time only",))
        if isinstance(fault, _OF_THE_BUS) and self._relay is None:
            raise ConfigError((f"fault: {act.fault} must be among the scenario's acts",))
        if act.strikes is Strikes.CELL and act.vendor is not None:
            self._at_risk[act.vendor] = self._fleet.now_ms() - _IN_FLIGHT_MS
        self._heals[id(act)] = way(self, act.vendor or "", fault)

    def end(self, act: Act) -> None:
        """See `Ground`."""
        self._heals.pop(id(act))()
        if act.strikes is Strikes.CELL and act.vendor is not None:
            self._at_risk.pop(act.vendor, None)

    @property
    def bus(self) -> BusRelay:
        """What is before it."""
        assert self._relay is not None
        return self._relay

    def heard(self, health: Mapping[str, Any]) -> None:
        """A cell, or its will, said how it fares: what it could not hear is owed by nobody."""
        cell, state = health["cell"], health["state"]
        if state in _AWAY and cell in self._at_risk:
            self._away.setdefault(cell, self._at_risk[cell])
        elif state == "up" and cell in self._away:
            since_ms, now_ms = self._away.pop(cell), self._fleet.now_ms()
            self._at_risk.update({cell: now_ms} if cell in self._at_risk else {})
            for unit in self._fleet.of(cell):
                self._fleet.ledger.loosen(
                    cell, unit.device.name, since_ms, now_ms, unless_stored=True
                )

    async def close(self) -> None:
        """Heal all that is ordered."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- how it is done -----------------------------------------------------------------------

    def order(
        self,
        cells: Sequence[str],
        what: str,
        for_s: float = _LONG_S,
        *,
        much: float | None = None,
    ) -> Heal:
        """Have the code in these cells misbehave, each life of it; see `Saboteur.order`."""
        tasks = [self._task(self.saboteur.order(cell, what, for_s, much)) for cell in cells]

        def heal() -> None:
            for task in tasks:
                task.cancel()

        return heal

    def signal(self, pid: int | None, number: signal.Signals) -> None:
        """Send it, if there is somebody to get it."""
        with suppress(ProcessLookupError):
            if pid is not None:
                os.kill(pid, number)

    def repeated(self, every_s: float, what: Callable[[], object]) -> Heal:
        """Do it now, and again so long after (of the scenario's time), until healed; 0 is once."""

        async def again() -> None:
            while True:
                what()
                await asyncio.sleep(every_s / self.hurry if every_s else _LONG_S)

        return self._task(again()).cancel

    def later(self, wait_s: float, what: Callable[[], object]) -> None:
        """Do it after so long."""
        self._loop.call_later(wait_s, what)

    def _task(self, what: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._loop.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def is_struck(scenario: Scenario) -> bool:
    """Whether an act strikes what devices stand on: then the gateway must be one that obeys."""
    return any(not act.of_devices for act in scenario.acts)


def strikes_the_bus(scenario: Scenario) -> bool:
    """Whether an act needs a relay before the bus."""
    return any(
        act.own is None and issubclass(FAULTS[act.fault].fault, _OF_THE_BUS)
        for act in scenario.acts
    )


# --- a cell -----------------------------------------------------------------------------------


def _hangs(ground: WireGround, cell: str, fault: Fault) -> Heal:
    del fault
    pid = ground.saboteur.pid(cell)
    ground.signal(pid, signal.SIGSTOP)
    return partial(ground.signal, pid, signal.SIGCONT)


def _spins(ground: WireGround, cell: str, fault: Fault) -> Heal:
    del fault
    return ground.order([cell], "spin")


def _leaks(ground: WireGround, cell: str, fault: Fault) -> Heal:
    assert isinstance(fault, host.CellLeak)
    # In a hurry it reaches its limit as early as in its own time, if the machine can bear that.
    hurried = min(fault.mb_per_s * ground.hurry, USUAL["leak"])
    return ground.order([cell], "leak", much=max(fault.mb_per_s, hurried))


def _crashes(ground: WireGround, cell: str, fault: Fault) -> Heal:
    assert isinstance(fault, host.CellCrash)
    return ground.repeated(fault.every_s, partial(ground.order, [cell], "crash", _ONCE_S))


def _is_killed(ground: WireGround, cell: str, fault: Fault) -> Heal:
    assert isinstance(fault, host.CellKill)

    def kill() -> None:
        ground.signal(ground.saboteur.pid(cell), signal.SIGKILL)

    return ground.repeated(fault.every_s, kill)


def _has_no_files(ground: WireGround, cell: str, fault: Fault) -> Heal:
    del fault
    heal = ground.order([cell], "files")
    # Not before it has heard the order, or it would be back at once.
    ground.later(2 * _ONCE_S, partial(ground.bus.cut, f"doorfleet-{ground.site}-{cell}"))
    return heal


# --- the box ----------------------------------------------------------------------------------


def _is_full(ground: WireGround, cell: str, fault: Fault) -> Heal:
    del cell, fault
    return ground.order(ground.vendors, "disk_full")


def _is_slow(ground: WireGround, cell: str, fault: Fault) -> Heal:
    del cell
    assert isinstance(fault, host.DiskSlow)
    return ground.order(ground.vendors, "disk_slow", much=fault.commit_ms / 1000)


#: (ground, whose cell, the fault) to what ends it.
_WAYS: Final[Mapping[type[Fault], Callable[[WireGround, str, Fault], Heal]]] = {
    **WAYS,
    host.CellHang: _hangs,
    host.CellSpin: _spins,
    host.CellLeak: _leaks,
    host.CellCrash: _crashes,
    host.CellKill: _is_killed,
    host.FilesExhausted: _has_no_files,
    host.DiskFull: _is_full,
    host.DiskSlow: _is_slow,
}
