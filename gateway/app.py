"""The composition root, and the one door through which simulators enter the gateway."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from gateway.bus.mqtt import ROOT
from gateway.cell import Cell
from gateway.clock import Clock, SystemClock
from gateway.completion import script as completion
from gateway.config import CellConfig, GatewayConfig, MqttBus
from gateway.config_file import load, parse, vendor_of
from gateway.disk import DURABLE, Disk, RealDisk
from gateway.yaml_text import yaml_of
from vendors.api import Vendor

__all__ = [
    "DURABLE",
    "ROOT",
    "Cell",
    "CellConfig",
    "Disk",
    "GatewayConfig",
    "RealDisk",
    "completion",
    "load",
    "make_cell",
    "parse",
    "run",
    "yaml_of",
]


def make_cell(  # noqa: PLR0913 -- by keyword; what a simulated run replaces
    config: GatewayConfig,
    cell: CellConfig,
    *,
    vendor: Vendor | None = None,
    clock: Clock | None = None,
    rng: random.Random | None = None,
    network: Any = None,  # noqa: ANN401 -- the simulators' own type
    inline_commits: bool = False,
    disk: Disk | None = None,
    on_beat: Callable[[dict[str, object]], None] | None = None,
) -> Cell:
    """One cell of the configuration, not yet running."""
    return Cell(
        vendor or vendor_of(cell),
        cell,
        site=config.site,
        state_dir=Path(config.state_dir),
        bus=[bus.of(cell.name) if isinstance(bus, MqttBus) else bus for bus in config.bus],
        clock=clock or SystemClock(),
        rng=rng or random.Random(),  # noqa: S311 -- jitter, not secrets
        network=network,
        inline_commits=inline_commits,
        disk=disk,
        on_beat=on_beat,
        heartbeat_s=config.supervisor.heartbeat_s,
    )


class MakeCell(Protocol):
    """How a cell's process makes its cell: `make_cell`, or a simulator's own way to call it."""

    def __call__(
        self,
        config: GatewayConfig,
        cell: CellConfig,
        *,
        on_beat: Callable[[dict[str, object]], None],
    ) -> Cell:
        """One cell, not yet running."""


def run(config: GatewayConfig, make: MakeCell = make_cell) -> int:
    """Run the whole gateway until it is told to stop; the process's exit code."""
    # A simulated run needs none of them, and they need this module.
    from gateway import logs, supervisor, tasks  # noqa: PLC0415 -- see above

    logs.configure(config.log)
    runner = supervisor.supervise if config.isolation == "process" else tasks.run_tasks
    return runner(config, make)
