"""A simulated Z-Wave network with door locks; pure.

    people ─► locks ─► radio ─► driver ─► zwave-js-server ─► every client: events, answers
                                     └──► MQTT gateway of Z-Wave JS UI ─► broker: a topic a value

Source: `lock`, `faulty`, `server` and `gateway`, each with its own.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from devices.errors import ConfigError
from vendors.sim import Addresses, FleetSpec, RandomFor, one_hub
from vendors.zwave_js import faulty
from vendors.zwave_js.faulty import FaultyLock
from vendors.zwave_js.gateway import Gateway
from vendors.zwave_js.names import device_of
from vendors.zwave_js.server import Server

#: Rates per device and day.
HABITS: Final[Mapping[str, float]] = {
    "come_home": 3.0,
    "leave": 2.0,
    "turn_by_hand": 2.0,
    "app": 2.0,
    "door": 6.0,
    "wrong_code": 0.2,
    "jam": 0.05,
    "battery": 0.3,
}
FAULTS: Final = faulty.FAULTS
KINDS: Final = faulty.KINDS
WORLD: Final = faulty.WORLD
#: How somebody at the door opens and closes it.
COURIER: Final = ("come_home", "leave")

#: Node 1 is the controller; a classic network ends at 232, Long Range goes from 256 to 4000.
_NODES: Final = (*range(2, 233), *range(256, 4_001))
_TRANSPORTS: Final = ("websocket", "mqtt")

#: One network, one server.
atom = one_hub


def fleet(spec: FleetSpec, rng_for: RandomFor) -> Sequence[FaultyLock]:
    """The locks of one network, nodes 2 and on.

    Raises:
        ConfigError: an option that does not exist, or more locks than a network has nodes.
    """
    problems = []
    transport = spec.options.get("transport", _TRANSPORTS[0])
    if unknown := sorted(spec.options.keys() - {"transport"}):
        problems.append(f"zwave_js: options {', '.join(unknown)}; known is transport")
    if transport not in _TRANSPORTS:
        problems.append(f"zwave_js: transport {transport!r}; known: {', '.join(_TRANSPORTS)}")
    if spec.count > len(_NODES):
        problems.append(f"zwave_js: {spec.count} locks; a network has {len(_NODES)} nodes at most")
    if problems:
        raise ConfigError(tuple(problems))
    server: Server | Gateway = Server(f"{spec.prefix}-server")
    if transport == "mqtt":
        server = Gateway(spec.prefix)
    for number in spec.members:
        node = _NODES[number - 1]
        name = device_of(node)
        server.locks[node] = FaultyLock(node, name, rng_for(name), server, server)
    return [lock for lock in server.locks.values() if isinstance(lock, FaultyLock)]


def gateway_settings(spec: FleetSpec, at: Addresses) -> Mapping[str, object]:
    """A cell that listens to the fleet's server; it asks often enough for a short run."""
    if spec.options.get("transport") == "mqtt":
        return {"mqtt": {"url": at.broker, "name": spec.prefix, "poll_interval_s": 60}}
    url = at.hubs.get(f"{spec.prefix}-server", "http://server.example:3000")
    return {"server": {"url": url.replace("http", "ws", 1), "poll_interval_s": 60}}
