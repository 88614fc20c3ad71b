"""Fleets, brokers and gateways for your own tests: what `fleet_sim.pytest_plugin` rests on.

    broker ◄── fleet ──► diary (what is true) ──┐
      │                                         ├──► ledger ──► verdict
      └──► gateway (a process) ──► bus ──► events (what was said)
    all of it on one loop behind the test's back (`backstage`), of one `scene` for each test

The classes here are the types of the fixtures. TESTING.md shows how to use them.
"""

from fleet_sim.stage import BrokerAt as Broker
from fleet_sim.testing.chaos import Chaos, Injection
from fleet_sim.testing.events import Event, Events
from fleet_sim.testing.fleet import Device, Devices, Fleet
from fleet_sim.testing.gateway import Gateway
from fleet_sim.testing.ledger import Ledger
from fleet_sim.testing.verdict import Verdict
from fleet_sim.testing.virtual import VirtualClock, in_virtual_time
from fleet_sim.testing.wishes import SceneError

__all__ = [
    "Broker",
    "Chaos",
    "Device",
    "Devices",
    "Event",
    "Events",
    "Fleet",
    "Gateway",
    "Injection",
    "Ledger",
    "SceneError",
    "Verdict",
    "VirtualClock",
    "in_virtual_time",
]
