"""What a fleet stands on, and how it fails: the brokers' sessions, the cells, the gateway's host.

act ─► Ground ─┬ virtual: broker, bus, commands; supervisor over cells (cell_loop, cell_net); disk
└ real: signals, relay before the bus, saboteur within a cell
"""

from collections.abc import Callable
from typing import Protocol

from devices.errors import ConfigError
from fleet_sim.act import Act
from fleet_sim.scenario import Scenario

#: Ends what was begun.
Heal = Callable[[], object]


class Ground(Protocol):
    """Carries out the acts that strike no device: see `fleet_sim.faults.Strikes`."""

    def begin(self, act: Act) -> None:
        """Let it fail."""

    def end(self, act: Act) -> None:
        """Let it fail no more."""


def check(scenario: Scenario, time: str, *, lacks: str = "") -> None:
    """See before a run begins whether it can have all that goes wrong in this scenario.

    Args:
        scenario: what is to be run.
        time: `virtual` or `real`.
        lacks: why acts that strike no device cannot be had; empty if they can.

    Raises:
        ConfigError: it cannot; every act that it cannot have, with what to do.
    """
    problems = []
    for number, act in enumerate(scenario.acts):
        what = f"acts[{number}]."
        if impossible := act.impossible(time):
            problems.append(f"{what}{impossible}; change --time, or remove it")
        elif not act.of_devices and lacks:
            problems.append(
                f"{what}fault: {act.fault} strikes {act.whom} and no device, but {lacks}"
            )
    if problems:
        raise ConfigError(tuple(problems))
