"""Whether vendors take what a scenario says to them: asked of a few devices, before any run."""

from pathlib import Path
from typing import Final

from devices.errors import ConfigError
from fleet_sim.scenario import Scenario
from fleet_sim.wiring import gateway_config
from fleet_sim.world.world import World
from gateway.app import parse
from vendors.sim import Addresses

_BROKER: Final = "mqtt://127.0.0.1:1883"
_DATAGRAMS: Final = "127.0.0.1:60000"


def trial(scenario: Scenario) -> None:
    """Make the first device of each group, and a gateway's configuration for them.

    Raises:
        ConfigError: a vendor's simulator refuses its `options`, or its cell what `gateway` says.
    """
    only = {
        vendor: [numbers.start for numbers, _ in scenario.groups(vendor)]
        for vendor in scenario.fleet
    }
    problems: list[str] = []
    for vendor, numbers in only.items():
        try:
            populations = World(scenario, 0).populations(0, only={vendor: numbers})
            hubs = [device.hub for each in populations for device in each.devices if device.hub]
            at = Addresses(
                broker=_BROKER,
                datagrams=_DATAGRAMS,
                hubs={hub.name: f"http{'s' if hub.tls else ''}://127.0.0.1" for hub in hubs},
            )
            config = gateway_config(
                populations,
                at,
                site="trial",
                bus_url=_BROKER,
                state_dir=Path("trial"),
                told=scenario.gateway,
            )
            parse(config, origin=f"gateway.{vendor}")
        except ConfigError as error:
            problems += [
                line.replace(f"gateway.{vendor}: cells[0].settings.", f"gateway.{vendor}.")
                for line in error.problems
            ]
    if problems:
        raise ConfigError(tuple(problems))
