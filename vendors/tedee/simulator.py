"""Simulated Tedee bridges with their locks, as a fleet; pure.

The lock is in `lock`, the bridge and its API in `bridge`; each has its sources.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from devices.errors import ConfigError
from vendors.sim import Addresses, FleetSpec, RandomFor
from vendors.tedee.bridge import METHODS, Bridge
from vendors.tedee.habits import COURIER, FAULTS, HABITS, KINDS, QUIET_FAULTS, WORLD
from vendors.tedee.lock import Lock

__all__ = [
    "COURIER",
    "FAULTS",
    "HABITS",
    "KINDS",
    "QUIET_FAULTS",
    "WORLD",
    "fleet",
    "gateway_settings",
]

_FIRST_ID: Final = 33_001
_AUTH: Final = ("encrypted", "plain")
# A bridge hears a handful of locks; how many at most is said nowhere.
_LOCKS_PER_BRIDGE: Final = 4
_OPTIONS: Final = ("auth", "locks_per_bridge", "webhook_method", "webhooks")


def _problems(options: Mapping[str, object]) -> list[str]:
    unknown = sorted(set(options) - set(_OPTIONS))
    problems = [f"tedee: options {', '.join(unknown)}; known are {', '.join(_OPTIONS)}"]
    problems = problems if unknown else []
    if options.get("auth", "encrypted") not in _AUTH:
        problems.append(f"tedee: options.auth: one of {', '.join(_AUTH)}")
    per_bridge = options.get("locks_per_bridge", _LOCKS_PER_BRIDGE)
    if type(per_bridge) is not int or per_bridge < 1:
        problems.append("tedee: options.locks_per_bridge: a whole number from 1 on")
    if options.get("webhook_method", "POST") not in METHODS:
        problems.append(f"tedee: options.webhook_method: one of {', '.join(METHODS)}")
    if type(options.get("webhooks", True)) is not bool:
        problems.append("tedee: options.webhooks: true or false")
    return problems


def _per_bridge(spec: FleetSpec) -> int:
    per_bridge = spec.options.get("locks_per_bridge", _LOCKS_PER_BRIDGE)
    assert isinstance(per_bridge, int)
    return per_bridge


def _bridges(spec: FleetSpec) -> Mapping[int, Bridge]:
    """The bridges of a fleet by number, without locks; names and tokens follow from the number."""
    encrypted = spec.options.get("auth", "encrypted") == "encrypted"
    bridges = {}
    for number in sorted({atom(spec, number) for number in spec.members}):
        name = f"19420103-{number:06d}"
        token = sha256(name.encode()).hexdigest()[:12]
        bridges[number] = Bridge(name, token, encrypted=encrypted)
    return bridges


def atom(spec: FleetSpec, number: int) -> int:
    """The number of the bridge that the lock of this number is behind; of options that are good."""
    return (number - 1) // _per_bridge(spec) + 1


def fleet(spec: FleetSpec, rng_for: RandomFor) -> Sequence[Lock]:
    """Locks with ids from 33001 on, `locks_per_bridge` of them (4) behind each bridge.

    Options: `auth` (`encrypted` or `plain`), `locks_per_bridge`; `webhooks` and `webhook_method`
    are how the gateway of `gateway_settings` asks to be told.

    Raises:
        ConfigError: an option that does not exist, or that cannot be so.
    """
    if problems := _problems(spec.options):
        raise ConfigError(tuple(problems))
    bridges = _bridges(spec)
    locks = []
    for number in spec.members:
        bridge = bridges[atom(spec, number)]
        name = str(_FIRST_ID + number - 1)
        lock = bridge.locks[name] = Lock(name, rng_for(name), bridge)
        locks.append(lock)
    return locks


def gateway_settings(spec: FleetSpec, at: Addresses) -> Mapping[str, object]:
    """A cell that speaks to every bridge of the fleet, and is told by each."""
    auth = spec.options.get("auth", "encrypted")
    bridges = [
        {"url": at.hubs[bridge.name], "token": bridge.token, "auth": auth}
        for bridge in _bridges(spec).values()
        if bridge.name in at.hubs
    ]
    settings: dict[str, object] = {"bridges": bridges}
    if spec.options.get("webhooks", True):
        method = spec.options.get("webhook_method", "POST")
        settings["webhook"] = {"host": "127.0.0.1", "port": 0, "method": method}
    return settings
