"""What carries out, in simulated time, whatever strikes no device but a cell, the box, or the bus.

Each way to fail is a function that lets it begin and gives back what ends it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from devices.errors import ConfigError
from fleet_sim.act import Act
from fleet_sim.broker.memory import MemoryBroker
from fleet_sim.clock import SimClock
from fleet_sim.faults import FAULTS, Fault, Strikes, host
from fleet_sim.ground import Heal
from fleet_sim.ground.broker import BrokerFaults
from fleet_sim.ground.bus import BusFaults
from fleet_sim.ground.commands import CommandFaults
from fleet_sim.ground.supervisor import VirtualGateway
from fleet_sim.ground.ways import WAYS
from fleet_sim.ledger import Ledger
from fleet_sim.scenario import Scenario
from fleet_sim.unit import Unit

if TYPE_CHECKING:
    from fleet_sim.ground.disk import SimDisk

# What was sent in the millisecond in which a cell died may still have been on its way to it.
_UNDER_WAY_MS: Final = 1.0
_LOOK_S: Final = 0.05
# In this time whoever waits by the clock has seen that it was set back.
_NOTICED_S: Final = 60.0
# So soon code that is to spin does so again in the next life of its cell.
_AGAIN_S: Final = 1.0
_KIB: Final = 1_024


class VirtualGround:
    """A `fleet_sim.ground.Ground`.

    Args:
        gateway: whose cells can be struck.
        broker: of the bus.
        clock: the gateway's.
        disk: what its stores lie on, if an act strikes it.
        units: all devices, for what none of their news could be heard of.
        ledger: is told of that.
        sinks: the gateway's client ids on the bus.
        seed: of all chance.
    """

    def __init__(  # noqa: PLR0913 -- by keyword, from one place
        self,
        *,
        gateway: VirtualGateway,
        broker: MemoryBroker,
        clock: SimClock,
        disk: "SimDisk | None",
        units: Sequence[Unit],
        ledger: Ledger,
        sinks: Sequence[str],
        seed: int,
    ) -> None:
        self.gateway = gateway
        self.bus = BusFaults(broker, sinks)
        self._broker = BrokerFaults(broker)
        self.commands = CommandFaults(broker.driver.loop.call_later, self.now_ms, seed)
        self.clock = clock
        self.disk = disk
        self._units = units
        self._ledger = ledger
        self.loop = asyncio.get_running_loop()
        self._heals: dict[int, Heal] = {}
        #: Since when, in Unix ms, nobody listens to a vendor's devices.
        self._deaf: dict[str, float] = {}

    def begin(self, act: Act) -> None:
        """See `Ground`."""
        if act.fault in self._broker.kinds:
            self._broker.begin(act)
            self._heals[id(act)] = partial(self._broker.end, act)
        else:
            fault = act.make()
            self._heals[id(act)] = _WAYS[type(fault)](self, act.vendor or "", fault)

    def end(self, act: Act) -> None:
        """See `Ground`."""
        self._heals.pop(id(act))()

    # --- who could not be heard ---------------------------------------------------------------

    def now_ms(self) -> float:
        """Unix ms of the simulated world, whatever the gateway's clock says."""
        return self._units[0].fleet.now_ms()

    def deaf(self, cell: str, since_ms: float | None = None) -> None:
        """Nobody listens to these devices any more, until their cell does again."""
        in_hand_ms = _UNDER_WAY_MS + (self.disk.commit_s * 2_000 if self.disk is not None else 0)
        since_ms = self.now_ms() - in_hand_ms if since_ms is None else since_ms
        if cell not in self._deaf:
            self.loop.call_later(_LOOK_S, self._hear, cell)
        self._deaf[cell] = min(since_ms, self._deaf.get(cell, since_ms))

    def _hear(self, cell: str) -> None:
        """What was told meanwhile need not be known, but for what a broker keeps."""
        if not self.gateway.kept[cell].hears:
            self.loop.call_later(_LOOK_S, self._hear, cell)
            return
        since_ms, now_ms = self._deaf.pop(cell), self.now_ms()
        for unit in self._units:
            if unit.vendor == cell:
                self._ledger.loosen(cell, unit.device.name, since_ms, now_ms, unless_stored=True)

    def doubted(self, since_ms: float) -> None:
        """By a wrong clock a webhook looks too old, or too new, to be believed; it is asked about.

        Source: `vendors.switchbot.trust`; whoever is unsigned is believed by its time alone.
        """
        for unit in self._units:
            hub = unit.device.hub
            if hub is not None and hub.session is None:
                self._ledger.loosen(
                    unit.vendor, unit.device.name, since_ms, self.now_ms(), states_only=True
                )

    # --- again and again ----------------------------------------------------------------------

    def repeated(self, every_s: float, what: Callable[[], None]) -> Heal:
        """Do it now, and again so long after, until it is healed; 0 is once."""
        over = False

        def again() -> None:
            if not over:
                what()
                if every_s:
                    self.loop.call_later(every_s, again)

        def heal() -> None:
            nonlocal over
            over = True

        again()
        return heal


# --- a cell -----------------------------------------------------------------------------------


def _stands_still(ground: VirtualGround, cell: str, fault: Fault) -> Heal:
    del fault
    life, since_ms = ground.gateway.kept[cell].over, ground.now_ms() - _UNDER_WAY_MS

    def killed(_: asyncio.Future[str]) -> None:
        ground.deaf(cell, since_ms)  # what it had not read, nobody reads

    if life is None or life.done():
        return _nothing
    life.add_done_callback(killed)
    ground.gateway.stand_still(cell)

    def heal() -> None:
        life.remove_done_callback(killed)
        if not life.done():
            ground.gateway.go_on(cell)

    return heal


def _spins(ground: VirtualGround, cell: str, fault: Fault) -> Heal:
    """Each life of it anew: its code is as it was."""
    kept = ground.gateway.kept[cell]
    heals: list[Heal] = []
    struck: asyncio.Future[str] | None = None

    def again() -> None:
        nonlocal struck
        if kept.beaten and kept.lives and kept.over is not struck:
            struck = kept.over
            heals[:] = [_stands_still(ground, cell, fault)]

    stop = ground.repeated(_AGAIN_S, again)

    def heal() -> None:
        stop()
        for each in heals:
            each()

    return heal


def _nothing() -> None:
    """It was not there to be struck."""


def _leaks(ground: VirtualGround, cell: str, fault: Fault) -> Heal:
    assert isinstance(fault, host.CellLeak)
    ground.gateway.leak(cell, fault.mb_per_s)
    return partial(ground.gateway.leak, cell, 0.0)


def _crashes(ground: VirtualGround, cell: str, fault: Fault) -> Heal:
    assert isinstance(fault, host.CellCrash)
    return ground.repeated(fault.every_s, partial(ground.gateway.crash, cell))


def _is_killed(ground: VirtualGround, cell: str, fault: Fault) -> Heal:
    assert isinstance(fault, host.CellKill)
    return ground.repeated(fault.every_s, partial(ground.gateway.kill, cell))


def _has_no_files(ground: VirtualGround, cell: str, fault: Fault) -> Heal:
    del fault
    ground.gateway.exhaust(cell, on=True)
    ground.deaf(cell)
    return partial(ground.gateway.exhaust, cell, on=False)


# --- the box ----------------------------------------------------------------------------------


def _is_full(ground: VirtualGround, cell: str, fault: Fault) -> Heal:
    del cell
    assert isinstance(fault, host.DiskFull)
    disk = _disk(ground)
    disk.capacity_bytes = disk.used_bytes + fault.room_kib * _KIB
    return partial(setattr, disk, "capacity_bytes", None)


def _is_slow(ground: VirtualGround, cell: str, fault: Fault) -> Heal:
    del cell
    assert isinstance(fault, host.DiskSlow)
    disk = _disk(ground)
    disk.commit_s = fault.commit_ms / 1000
    return partial(setattr, disk, "commit_s", 0.0)


def _forgets(ground: VirtualGround, cell: str, fault: Fault) -> Heal:
    del cell, fault
    disk, gateway = _disk(ground), ground.gateway
    gateway.power(on=False)
    disk.cut_power()

    def boot() -> None:
        disk.power_on()
        gateway.power(on=True)

    return boot


def _disk(ground: VirtualGround) -> "SimDisk":
    assert ground.disk is not None, "no act was to strike the disk"
    return ground.disk


def _clock_jumps(ground: VirtualGround, cell: str, fault: Fault) -> Heal:
    del cell
    assert isinstance(fault, host.ClockJump)
    since_ms = ground.now_ms()
    ground.clock.ahead_ms = round(fault.jump_s * 1000)

    def heal() -> None:
        ground.clock.ahead_ms = 0
        ground.doubted(since_ms)
        ground.loop.call_later(_NOTICED_S, ground.doubted, since_ms)

    return heal


#: (ground, whose cell, the fault) to what ends it.
_WAYS: Final[Mapping[type[Fault], Callable[[VirtualGround, str, Fault], Heal]]] = {
    **WAYS,
    host.CellHang: _stands_still,
    host.CellSpin: _spins,
    host.CellLeak: _leaks,
    host.CellCrash: _crashes,
    host.CellKill: _is_killed,
    host.FilesExhausted: _has_no_files,
    host.DiskFull: _is_full,
    host.DiskSlow: _is_slow,
    host.DiskForgets: _forgets,
    host.ClockJump: _clock_jumps,
}

_OF_THE_DISK: Final = (host.DiskFull, host.DiskSlow, host.DiskForgets)


def cells_struck(scenario: Scenario, cells: Sequence[str]) -> Sequence[str]:
    """Which of these cells an act strikes by itself, so that they must be able to die alone."""
    if any(_kind(act) is host.DiskForgets for act in scenario.acts):
        return cells
    return [
        cell
        for cell in cells
        if any(act.strikes is Strikes.CELL and act.vendor == cell for act in scenario.acts)
    ]


def disk_for(scenario: Scenario, seed: int) -> "SimDisk | None":
    """A disk that can fail, if one is to; it costs more than one that cannot.

    Raises:
        ConfigError: what it is made of is not installed.
    """
    if not any(_kind(act) in _OF_THE_DISK for act in scenario.acts):
        return None
    try:
        from fleet_sim.ground.disk import SimDisk  # noqa: PLC0415 -- needs a library that few do
    except ImportError as error:
        remedy = "pip install 'doorfleet[sim]', or leave these acts out"
        raise ConfigError((f"acts: a disk that fails needs {error.name}; {remedy}",)) from error
    return SimDisk(seed)


def _kind(act: Act) -> type[Fault] | None:
    return None if act.own is not None else FAULTS[act.fault].fault
