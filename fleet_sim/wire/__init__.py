"""A fleet on real sockets: every MQTT device its own connection, datagram devices share one.

MQTT devices speak 3.1.1, as their boards do, over `vendors.wire.mqtt311`; hubs that are servers
listen at a port each (`fleet_sim.hub_server`).

    fleet ─► switchboard ─► link (one a device) ─► broker ─► witness
                 └ wheel, budget, traffic
"""

from fleet_sim.wire import verdict
from fleet_sim.wire.budget import BudgetError, Need, claim, raise_files
from fleet_sim.wire.fleet import WireFleet, wall_ms
from fleet_sim.wire.traffic import Bag, Traffic
from fleet_sim.wire.witness import Witness, forget, listen

__all__ = [
    "Bag",
    "BudgetError",
    "Need",
    "Traffic",
    "WireFleet",
    "Witness",
    "claim",
    "forget",
    "listen",
    "raise_files",
    "verdict",
    "wall_ms",
]
