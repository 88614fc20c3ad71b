"""How the gateway of a simulated run is configured: as in life, at a simulation's leisure."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from fleet_sim.fleet import Population, within
from fleet_sim.scenario import Scenario
from fleet_sim.wiring import SITE
from gateway.app import GatewayConfig, parse
from vendors import registry
from vendors.sim import Addresses

#: The one broker, of devices and of the bus.
BROKER_URL: Final = "mqtt://127.0.0.1:1883"
# A link in memory needs no probing.
_KEEPALIVE_S: Final = 3600
_HEALTH_MS: Final = 3_600_000
# How often a cell looks at itself. Looks cost: in a run in which something goes wrong there are so
# many at the most, and a silent cell is given up as soon as in life, or after two of them.
_BEAT_MAX_S: Final = 60
_BEATS_MAX: Final = 360
_HANG_MIN_S: Final = 10.0


def gateway_config(
    scenario: Scenario, populations: Sequence[Population], at: Addresses, folder: Path
) -> GatewayConfig:
    """One cell for each of these vendors.

    Args:
        scenario: what is run.
        populations: whom the gateway speaks to.
        at: where they are.
        folder: where it keeps its state.
    """
    beat_s = _BEAT_MAX_S
    if scenario.acts:  # somebody wants to know how soon they are noticed
        beat_s = min(beat_s, math.ceil(scenario.seconds / _BEATS_MAX))
    return parse(
        {
            "site": SITE,
            "state_dir": str(folder),
            "bus": [{"kind": "mqtt", "url": BROKER_URL, "keepalive_s": _KEEPALIVE_S}],
            "supervisor": {"heartbeat_s": beat_s, "hang_s": max(_HANG_MIN_S, 2 * beat_s)},
            "cells": [
                {
                    "vendor": population.vendor,
                    "settings": _settings(scenario, population, at),
                    "health_interval_ms": _HEALTH_MS,
                }
                for population in populations
            ],
        },
        origin="the simulated gateway",
    )


def _settings(scenario: Scenario, population: Population, at: Addresses) -> Mapping[str, object]:
    vendor = registry.vendor(population.vendor)
    settings = dict(population.gateway_settings(at))
    if "keepalive_s" in vendor.settings.model_fields:
        settings["keepalive_s"] = _KEEPALIVE_S
    return within(settings, scenario.gateway.get(population.vendor, {}))
