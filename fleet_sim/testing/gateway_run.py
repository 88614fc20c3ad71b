"""The gateway's process in a test: started, watched, stopped, killed, and started again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from fleet_sim import stage
from fleet_sim.testing.bus import Bus
from fleet_sim.testing.guardian import Guardian
from fleet_sim.testing.wishes import SceneError, until
from fleet_sim.wire import WireFleet

_UP_S: Final = 20.0
# What left for a gateway so shortly before it went may never have been read by it.
_IN_FLIGHT_MS: Final = 2_000.0


class GatewayRun:
    """`doorfleet-gateway run`, again and again on the same state. Methods are for the backstage.

    Args:
        bus: where its cells say how they fare.
        guardian: is entrusted its process.
        folder: of this test alone; its state is in `state` there.
    """

    def __init__(self, bus: Bus, guardian: Guardian, folder: Path) -> None:
        self._bus = bus
        self._guardian = guardian
        self._folder = folder
        self._running: AsyncExitStack | None = None
        self._starts = 0
        #: Vendor to since when, in Unix ms, nobody has listened to its devices.
        self._away: dict[str, float] = {}
        self.config: Mapping[str, Any] = {}
        #: What to run instead of `doorfleet-gateway run`, with the configuration behind it.
        self.command: Sequence[str] = ()
        self.process: stage.Process | None = None
        #: Why nothing more can come of it: it ended by itself.
        self.trouble: str | None = None

    @property
    def state_dir(self) -> Path:
        """Where it keeps what must survive."""
        return self._folder / "state"

    async def start(self, config: Mapping[str, Any], fleet: WireFleet) -> None:
        """Run it until all its cells are up.

        Raises:
            SceneError: one was not. StageError: it refused its configuration.
        """
        self.config = config
        self._starts += 1
        folder = self._folder / f"{self._starts}"
        folder.mkdir()
        self._bus.cells.clear()
        running = AsyncExitStack()
        text = yaml.safe_dump(dict(config), sort_keys=False)
        starting = _process(text, folder, self._guardian, self.command)
        self.process = await running.enter_async_context(starting)
        self._running = running
        running.callback(asyncio.create_task(self._watch(self.process)).cancel)
        await self._cells_up(fleet)

    async def _cells_up(self, fleet: WireFleet) -> None:
        vendors = [population.vendor for population in fleet.populations]

        def down() -> list[str]:
            states = {one: self._bus.cells.get(one, {}).get("state") for one in vendors}
            return [f"cell {one}" for one, state in states.items() if state != "up"]

        await until(down, _UP_S, "was not up", lambda: self.trouble)
        self.excuse(fleet)
        self._away.clear()

    async def _watch(self, process: stage.Process) -> None:
        """A gateway that ends while nobody asked it to has failed the test."""
        await process.over()
        self.trouble = str(process.failure())

    async def stop(self, fleet: WireFleet, number: signal.Signals = signal.SIGTERM) -> None:
        """End it; with SIGKILL all its processes at once, as a power cut does."""
        if self._running is None or self.process is None:
            return
        running, self._running = self._running, None
        process, self.process = self.process, None
        vendors = [population.vendor for population in fleet.populations]
        self._away = dict.fromkeys(vendors, fleet.now_ms() - _IN_FLIGHT_MS)
        if number is signal.SIGKILL:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)  # its session is all its own
        await running.aclose()

    async def kill_cell(self, cell: str, fleet: WireFleet) -> None:
        """End one cell, and wait until its supervisor has it up again.

        Raises:
            SceneError: there is no such cell, or it was not.
        """
        await until(
            lambda: [] if self._pid(cell) else [f"cell {cell}"],
            _UP_S,
            "was not started",
            lambda: self.trouble,
        )
        killed = self._pid(cell)
        assert killed is not None
        self._away[cell] = fleet.now_ms() - _IN_FLIGHT_MS
        os.kill(killed, signal.SIGKILL)
        await until(
            lambda: [] if self._pid(cell) not in (None, killed) else [f"cell {cell}"],
            _UP_S,
            "was not started again",
            lambda: self.trouble,
        )
        self._bus.cells.pop(cell, None)  # the word of the one that is dead
        await self._cells_up(fleet)

    def _pid(self, cell: str) -> int | None:
        """A cell's process, as the gateway says once a second; None while it does not run."""
        cells = orjson.loads((self.state_dir / "status.json").read_bytes())["cells"]
        if cell not in cells:
            raise SceneError(f"no cell {cell!r}; there are {', '.join(cells)}")
        pid: int | None = cells[cell].get("pid")
        return pid

    def excuse(self, fleet: WireFleet) -> None:
        """What was told while no gateway was there need not be known; see `Ledger.loosen`."""
        for vendor, since_ms in self._away.items():
            for unit in fleet.of(vendor):
                fleet.ledger.loosen(vendor, unit.device.name, since_ms, fleet.now_ms())


@asynccontextmanager
async def _process(
    text: str, folder: Path, guardian: Guardian, command: Sequence[str]
) -> AsyncIterator[stage.Process]:
    """`stage.gateway`, of which nothing is left afterwards, not even what a test has stopped."""
    pid = None
    try:
        async with stage.gateway(text, folder, command) as process:
            pid = process.pid
            guardian.watch(pid)
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGCONT)  # what is stopped hears no SIGTERM
    finally:
        if pid is not None:
            guardian.release(pid)
