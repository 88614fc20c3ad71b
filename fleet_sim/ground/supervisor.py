"""The gateway of a run in simulated time: its cells, and a supervisor that keeps them.

    VirtualGateway ─┬─ Kept ── Cell, in the run's own loop            whom no act strikes
                    └─ Kept ── Cell, in a CellLoop and on a CellNet   who may stand still, or die

It keeps them as `gateway.supervisor` keeps processes: by heartbeat, by memory, by exit; with the
same times and the same backoff. Of a cell that is killed nothing is flushed: its connections are
cut, its store is closed as it is, and the next one finds what was committed.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

from devices.command import Command
from fleet_sim.chance import generator
from fleet_sim.clock import SimClock
from fleet_sim.ground.cell_loop import CellLoop
from fleet_sim.ground.cell_net import CellNet
from fleet_sim.memory_net import MemoryNet
from gateway.app import Cell, CellConfig, Disk, GatewayConfig, make_cell
from vendors import registry
from vendors.api import Adapter, HasHosts, HostStanding, Vendor

KILLED: Final = "signal 9"
_CRASHED: Final = "exit 70"
#: What a cell weighs that has done no wrong.
_USUAL_MB: Final = 40.0
_WEIGH_S: Final = 5.0

#: (cell, its snapshot)
OnBeat = Callable[[str, Mapping[str, Any]], None]
#: (cell, how it ended)
OnEnd = Callable[[str, str], None]


class Kept:
    """One cell's process, or the pause before its next one."""

    def __init__(self, config: CellConfig) -> None:
        self.config = config
        self.name = config.name
        self.cell: Cell | None = None
        self.loop: CellLoop | None = None
        self.net: CellNet | None = None
        self.broken: asyncio.Event | None = None
        self.work: asyncio.Task[None] | None = None
        self.over: asyncio.Future[str] | None = None
        self.began_s = self.heard_s = 0.0
        self.beaten = False
        self.failures = 0
        self.restarts = 0
        self.last_end = ""
        #: Since when, and by how much a second, it grows.
        self.leaks: tuple[float, float] | None = None

    @property
    def lives(self) -> bool:
        """Whether there is a process."""
        return self.over is not None and not self.over.done()

    @property
    def hears(self) -> bool:
        """Whether its cell listens to its devices."""
        return self.lives and bool(self.snapshot().get("vendor_up"))

    def snapshot(self) -> Mapping[str, Any]:
        """What its cell says of itself, or what is known of one that is not there."""
        if self.cell is None or not self.lives:
            return {"cell": self.name, "state": "down", "reason": self.last_end}
        return self.cell.snapshot()

    def size_mb(self, now_s: float) -> float:
        """What it weighs."""
        if self.leaks is None:
            return _USUAL_MB
        since_s, rate = self.leaks
        return _USUAL_MB + (now_s - max(since_s, self.began_s)) * rate


class VirtualGateway:
    """All cells of a run.

    Args:
        config: the gateway's.
        net: what there is to connect to.
        clock: the gateway's.
        seed: of all chance.
        struck: the cells that an act strikes; another one that ends by itself ends the run.
        disk: what all stores lie on; None: a disk that never fails and costs no time.
        on_beat: is told (cell, snapshot) at every heartbeat; None: nobody listens to their hearts,
            which takes a seventh of a long run's time.
        on_end: is told of each life that ended.
    """

    def __init__(  # noqa: PLR0913 -- by keyword, from one place
        self,
        config: GatewayConfig,
        *,
        net: MemoryNet,
        clock: SimClock,
        seed: int,
        struck: Collection[str],
        disk: Disk | None,
        on_beat: OnBeat | None,
        on_end: OnEnd,
    ) -> None:
        self.kept = {cell.name: Kept(cell) for cell in config.cells}
        self._config = config
        self._times = config.supervisor
        self._net = net
        self._clock = clock
        self._seed = seed
        self._struck = frozenset(struck)
        self._disk = disk
        self._on_beat = on_beat
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._power = asyncio.Event()
        self._power.set()

    def start(self) -> None:
        """Start every cell."""
        for one in self.kept.values():
            self._start(one)

    async def keep(self) -> None:
        """Start again what ended, until cancelled.

        Raises:
            Exception: of a cell that nobody struck.
        """
        keeping = [asyncio.create_task(self._keep(one)) for one in self.kept.values()]
        try:
            await asyncio.gather(*keeping)
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)

    async def ready(self) -> None:
        """Wait until every cell has begun to work."""
        for one in self.kept.values():
            assert one.cell is not None
            await one.cell.ready()

    async def stop(self) -> None:
        """Have all cells finish: what they can still commit and deliver, they do."""
        for one in self.kept.values():
            if one.loop is not None:
                one.loop.go_on()
            assert one.work is not None
            one.work.get_loop().call_soon(one.work.cancel)
        await asyncio.wait([one.work for one in self.kept.values() if one.work is not None])

    def snapshots(self) -> dict[str, Mapping[str, Any]]:
        """What each cell says of itself, by name."""
        return {name: one.snapshot() for name, one in self.kept.items()}

    def letters(self) -> dict[str, int]:
        """How many dead letters each store has, as its file says."""
        found, disk = {}, self._disk
        for name in self.kept:
            path = Path(self._config.state_dir) / f"{name}.db"
            with closing(sqlite3.connect(path) if disk is None else disk.connect(path)) as db:
                for pragma in () if disk is None else disk.pragmas:
                    db.execute(f"PRAGMA {pragma}")
                (found[name],) = db.execute("SELECT count(*) FROM dead_letters").fetchone()
        return found

    # --- what an act does to a cell that it strikes -------------------------------------------

    def stand_still(self, name: str) -> None:
        """Its process does nothing, until it goes on or is killed."""
        loop, net = self._process(name)
        if self.kept[name].lives:
            loop.stand_still()
            net.stand_still()

    def go_on(self, name: str) -> None:
        """Its process does something again, if it is still there."""
        loop, net = self._process(name)
        loop.go_on()
        net.go_on()

    def crash(self, name: str) -> None:
        """Its vendor's code raises what nobody expects."""
        broken = self.kept[name].broken
        if self.kept[name].lives and broken is not None:
            loop, _ = self._process(name)
            loop.call_soon(broken.set)

    def leak(self, name: str, mb_per_s: float) -> None:
        """Its code keeps so much more each second; 0 for no longer, of what is not kept yet."""
        self.kept[name].leaks = (self._loop.time(), mb_per_s) if mb_per_s else None
        if mb_per_s:
            self._weigh(self.kept[name])

    def exhaust(self, name: str, *, on: bool) -> None:
        """It can open nothing new, and what is open breaks once; or it can again."""
        one = self.kept[name]
        if one.net is not None:
            one.net.exhausted = on
            if on:
                one.net.cut()

    def kill(self, name: str, how: str = KILLED) -> None:
        """End its process in this moment."""
        one = self.kept[name]
        if not one.lives:
            return
        loop, net = self._process(name)
        assert one.cell is not None
        assert one.over is not None
        loop.stand_still()
        net.die()
        one.cell.let_go()
        one.over.set_result(how)

    def power(self, *, on: bool) -> None:
        """The whole box has power, or has none: then every process is gone at once."""
        if on:
            self._power.set()
            return
        self._power.clear()
        for name in self.kept:
            self.kill(name, "power cut")

    def _process(self, name: str) -> tuple[CellLoop, CellNet]:
        one = self.kept[name]
        assert one.loop is not None, f"{name}: no act was to strike it"
        assert one.net is not None
        return one.loop, one.net

    # --- the supervisor -----------------------------------------------------------------------

    async def _keep(self, one: Kept) -> None:
        rng = generator(self._seed, f"supervisor/{one.name}")
        while True:
            assert one.over is not None
            one.last_end = await one.over
            self._on_end(one.name, one.last_end)
            if one.loop is not None:
                await one.loop.die()
            if self._loop.time() - one.began_s >= self._times.stable_s:
                one.failures = 0
            wait_ms = self._times.backoff.delay_ms(one.failures, rng)
            one.failures += 1
            one.restarts += 1
            await asyncio.sleep(wait_ms / 1000)
            await self._power.wait()
            self._start(one)

    def _start(self, one: Kept) -> None:
        now_s = self._loop.time()
        one.over = self._loop.create_future()
        one.began_s = one.heard_s = now_s
        one.beaten = False
        create: Callable[..., asyncio.Task[None]] = self._loop.create_task
        vendor = registry.vendor(one.config.vendor)
        network: MemoryNet | CellNet = self._net
        if one.name in self._struck:
            exhausted = one.net is not None and one.net.exhausted
            one.loop, one.broken = CellLoop(), asyncio.Event()
            one.net = CellNet(self._net, one.loop)
            one.net.exhausted = exhausted
            vendor, network = _breakable(vendor, one.broken), one.net
            create = one.loop.create_task
        one.cell = make_cell(
            self._config,
            one.config,
            vendor=vendor,
            clock=self._clock,
            rng=self._rng(one),
            network=network,
            inline_commits=True,
            disk=self._disk,
            on_beat=None if self._on_beat is None else partial(self._beat, self._on_beat, one),
        )
        one.work = create(one.cell.run(), name=one.name)
        one.work.add_done_callback(partial(self._ended, one, one.over))
        if self._on_beat is not None:
            self._watch(one, one.over)

    def _rng(self, one: Kept) -> Random:
        life = f"/{one.restarts}" if one.restarts else ""
        return generator(self._seed, f"cell/{one.name}{life}")

    def _beat(self, tell: OnBeat, one: Kept, snapshot: dict[str, object]) -> None:
        one.heard_s = self._loop.time()
        one.beaten = True
        tell(one.name, snapshot)

    def _ended(self, one: Kept, over: asyncio.Future[str], task: asyncio.Task[None]) -> None:
        """Its work is over; that is news only if nobody ended it."""
        if over.done() or task.cancelled():
            return
        error = task.exception()
        if one.name in self._struck:
            self._loop.call_soon(over.set_result, f"{_CRASHED}: {error}")
        elif error is not None:
            over.set_exception(error)

    def _watch(self, one: Kept, over: asyncio.Future[str]) -> None:
        """Kill it when it has been silent for too long."""
        if over.done():
            return
        allowed_s = self._times.hang_s if one.beaten else self._times.start_s
        left_s = one.heard_s + allowed_s - self._loop.time()
        if left_s > 0:
            self._loop.call_later(left_s + _TICK_S, self._watch, one, over)
        elif one.name in self._struck:
            self.kill(one.name)
        else:
            over.set_exception(RuntimeError(f"the cell {one.name} was silent for {allowed_s} s"))

    def _weigh(self, one: Kept) -> None:
        if one.leaks is None:
            return
        if one.lives and one.size_mb(self._loop.time()) > one.config.limits.memory_max_mb:
            self.kill(one.name)
        self._loop.call_later(_WEIGH_S, self._weigh, one)


#: The supervisor looks so often.
_TICK_S: Final = 0.1


class Breakable:
    """A vendor's adapter whose code can break; an `Adapter`."""

    def __init__(self, adapter: Adapter, broken: asyncio.Event) -> None:
        self._adapter = adapter
        self._broken = broken

    async def run(self) -> None:
        """Work until it breaks.

        Raises:
            RuntimeError: it broke.
        """
        either = [
            asyncio.create_task(self._adapter.run()),
            asyncio.create_task(self._broken.wait()),
        ]
        try:
            done, _ = await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            raise RuntimeError("broken on purpose")
        finally:
            for task in either:
                task.cancel()
            await asyncio.gather(*either, return_exceptions=True)

    async def send(self, command: Command) -> None:
        """See `Adapter`."""
        await self._adapter.send(command)

    async def refresh(self, device: str) -> None:
        """See `Adapter`."""
        await self._adapter.refresh(device)

    def hosts(self) -> Collection[HostStanding]:
        """See `HasHosts`."""
        return list(self._adapter.hosts()) if isinstance(self._adapter, HasHosts) else []


def _breakable(vendor: Vendor, broken: asyncio.Event) -> Vendor:
    def connect(settings: Any, port: Any) -> Adapter:  # noqa: ANN401 -- the vendor's own
        return Breakable(vendor.connect(settings, port), broken)

    return replace(vendor, connect=connect)
