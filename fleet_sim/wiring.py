"""What a gateway is told of a fleet on real sockets, and what both leave with a broker."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fleet_sim.fleet import Population, within
from fleet_sim.hub import HubUnit
from fleet_sim.unit import Unit
from gateway.app import ROOT
from vendors.sim import Addresses

#: A run's name on the bus, where nobody else has a say in it.
SITE: Final = "sim"
# A run wants to know soon how a cell fares.
_HEALTH_MS: Final = 500


def gateway_config(  # noqa: PLR0913 -- by keyword; each is a line of the file
    populations: Iterable[Population],
    at: Addresses,
    *,
    site: str,
    bus_url: str,
    state_dir: Path,
    told: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """A gateway's configuration: a cell for each population, and one bus.

    Args:
        populations: whom it speaks to.
        at: where they are.
        site: its name on the bus.
        bus_url: the northbound broker.
        state_dir: where it keeps its state.
        told: settings of a vendor's cell, beside where its devices are.
    """
    settings = {each.vendor: each.gateway_settings(at) for each in populations}
    return config_of(settings, site=site, bus_url=bus_url, state_dir=state_dir, told=told)


def config_of(
    settings: Mapping[str, Mapping[str, Any]],
    *,
    site: str,
    bus_url: str,
    state_dir: Path,
    told: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The same, from what the cells' settings are by vendor."""
    return {
        "site": site,
        "state_dir": str(state_dir),
        "log": {"level": "warning", "format": "console"},
        "bus": [{"kind": "mqtt", "url": bus_url}],
        "cells": [
            {
                "vendor": vendor,
                "settings": within(each, told.get(vendor, {})),
                "health_interval_ms": _HEALTH_MS,
            }
            for vendor, each in settings.items()
        ],
    }


def bus_topics(site: str) -> Sequence[str]:
    """What to subscribe to, to hear every event and how each cell fares."""
    return (f"{ROOT}/{site}/+/+/event/#", f"{ROOT}/{site}/gateway/+/health")


def command_topic(site: str, unit: Unit) -> str:
    """Where a device's gateway takes commands for it."""
    return f"{ROOT}/{site}/{unit.name}/command"


def left_retained(site: str, units: Sequence[Unit], hubs: Iterable[HubUnit]) -> list[str]:
    """The topics on which devices and gateway left something with the broker."""
    root = f"{ROOT}/{site}"
    return [
        *(topic for unit in units for topic in unit.retained),
        *(topic for hub in hubs for topic in hub.retained),
        *(f"{root}/{unit.vendor}/{unit.device.name}/state" for unit in units),
        *(f"{root}/gateway/{vendor}/health" for vendor in {unit.vendor: 0 for unit in units}),
    ]
