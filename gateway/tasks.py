"""All cells in one process and one loop, for very small boxes: `isolation: task`.

The bulkhead is thinner: a codec that spins stops them all. Everything else is the same code.
"""

import asyncio
import random
import signal
from pathlib import Path
from typing import Final

import structlog

from devices.errors import FleetError
from devices.health import CellState
from gateway import status
from gateway.app import MakeCell
from gateway.config import CellConfig, GatewayConfig
from gateway.notify import notify
from gateway.state_dir import owned

log = structlog.get_logger("gateway.tasks")

_STATUS_S: Final = 1.0
_LOOK_S: Final = 0.1


class _Kept:
    """One cell and what is known of it."""

    def __init__(self, config: CellConfig) -> None:
        self.config = config
        self.beaten = False
        self.restarts = 0
        self.last_end = ""
        self.said: dict[str, object] = {}

    def beat(self, snapshot: dict[str, object]) -> None:
        self.said = snapshot
        self.beaten = True


def run_tasks(config: GatewayConfig, make: MakeCell) -> int:
    """Run the gateway in this process; 0 if every cell went in peace."""
    with owned(Path(config.state_dir)):
        return asyncio.run(_run(config, make))


async def _run(config: GatewayConfig, make: MakeCell) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    kept = [_Kept(cell) for cell in config.cells]
    tasks = [asyncio.create_task(_keep(config, make, each)) for each in kept]
    stopping = asyncio.create_task(stop.wait())
    ready = False
    every_s = min(_STATUS_S, config.supervisor.heartbeat_s)
    while not stop.is_set():
        await asyncio.wait([stopping], timeout=every_s if ready else _LOOK_S)
        _report(config, kept)
        if not ready and all(each.beaten for each in kept):
            ready = True
            notify(f"READY=1\nSTATUS={len(kept)} cells in one process")
            log.info("gateway.ready", cells=[each.config.name for each in kept])
        elif ready:
            notify("READY=1\nWATCHDOG=1")
    notify("STOPPING=1")
    for task in tasks:
        task.cancel()
    _, late = await asyncio.wait(tasks, timeout=config.supervisor.drain_s)
    for each in kept:
        each.said |= {"state": CellState.STOPPED}
    _report(config, kept)
    log.info("gateway.stopped", clean=not late)
    return 1 if late else 0


def _report(config: GatewayConfig, kept: list[_Kept]) -> None:
    cells = {
        each.config.name: {**each.said, "restarts": each.restarts, "last_end": each.last_end}
        for each in kept
    }
    status.write(Path(config.state_dir), config.site, cells)


async def _keep(config: GatewayConfig, make: MakeCell, kept: _Kept) -> None:
    """Run one cell, and again after it broke."""
    rng = random.Random()  # noqa: S311 -- jitter, not secrets
    failures = 0
    loop = asyncio.get_running_loop()
    name = kept.config.name
    while True:
        began_s = loop.time()
        try:
            await make(config, kept.config, on_beat=kept.beat).run()
        except FleetError as error:
            kept.last_end = str(error)
            log.error("cell.refused", cell=name, error=kept.last_end)  # noqa: TRY400 -- no bug: the sentence says all
        except Exception as error:
            kept.last_end = repr(error)
            log.exception("cell.broke", cell=name)
        if loop.time() - began_s >= config.supervisor.stable_s:
            failures = 0
        wait_ms = config.supervisor.backoff.delay_ms(failures, rng)
        failures += 1
        kept.restarts += 1
        kept.said |= {"state": CellState.DOWN}
        log.error("cell.ended", cell=name, how=kept.last_end, restart_in_ms=wait_ms)
        await asyncio.sleep(wait_ms / 1000)
