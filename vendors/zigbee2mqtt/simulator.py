"""Simulated Zigbee locks behind one bridge; pure.

    people ─► bolt, door, keypad ─► operation event ─► action, in one document
                 ▲                 └ attribute report ─► state, merged with all that is remembered
                 └── set (delivered when the lock wakes up) ◄─ bridge: no reply, only failure lines

`lock` is the lock, `telling` the bridge's memory of it, `coordinator` the bridge with its session,
`models` what is announced. Source: see there, and `codec`; people's habits are a guess of ours.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from devices.errors import ConfigError
from vendors.sim import Addresses, FleetSpec, RandomFor, one_hub
from vendors.zigbee2mqtt import lock, models
from vendors.zigbee2mqtt.coordinator import Bridge
from vendors.zigbee2mqtt.habits import COURIER, FAULTS, HABITS, KINDS, WORLD

__all__ = ["COURIER", "FAULTS", "HABITS", "KINDS", "WORLD", "fleet", "gateway_settings"]

OF_ONE: Final = frozenset({"expose_pin", "models"})
_OPTIONS: Final = ("availability", "base_topic", "expose_pin", "homeassistant", "models")

#: One bridge.
atom = one_hub


def fleet(spec: FleetSpec, rng_for: RandomFor) -> Sequence[lock.Lock]:
    """Locks of one bridge. Options: `availability`, `base_topic`, `expose_pin`, `homeassistant`,
    and `models`, a list of `assure`, `id_lock`, `c4` that is dealt out in turn.

    Every third has no friendly name but its address; the others have spaces and slashes in it.

    Raises:
        ConfigError: an option that does not exist, or not so.
    """  # noqa: D205 -- one sentence
    for mix in spec.mixes:
        _check(mix)
    bridge = Bridge(
        str(spec.options.get("base_topic", "zigbee2mqtt")),
        availability=spec.options.get("availability") is True,
        homeassistant=spec.options.get("homeassistant", True) is True,
    )
    locks = []
    for number in spec.members:
        options = spec.options_of(number)
        name = f"0x000d6f00{number:08x}"
        friendly = {1: f"Front Door {number}", 2: f"hall/Door {number}"}.get(number % 3, name)
        dealt = options.get("models", list(models.MODELS))
        assert isinstance(dealt, list)
        locks.append(
            lock.Lock(
                name,
                rng_for(name),
                bridge=bridge,
                friendly=friendly,
                model=models.MODELS[dealt[(number - 1) % len(dealt)]],
                expose_pin=options.get("expose_pin") is True,
            )
        )
    return locks


def _check(options: Mapping[str, object]) -> None:
    problems = [
        f"option {name}; there are {', '.join(_OPTIONS)}" for name in options.keys() - _OPTIONS
    ]
    dealt = options.get("models", list(models.MODELS))
    if not isinstance(dealt, list) or not dealt or set(dealt) - models.MODELS.keys():
        problems.append(f"models: a list of {', '.join(models.MODELS)}")
    problems += [
        f"{name}: true or false"
        for name in ("availability", "expose_pin", "homeassistant")
        if not isinstance(options.get(name, False), bool)
    ]
    if problems:
        raise ConfigError(tuple(f"zigbee2mqtt: {problem}" for problem in sorted(problems)))


#: How often the gateway of a simulated fleet asks: its batteries cost nothing.
_POLL_S: Final = 30


def gateway_settings(spec: FleetSpec, at: Addresses) -> Mapping[str, object]:
    """A cell that listens to the bridge and asks more often than one would ask real batteries."""
    base = str(spec.options.get("base_topic", "zigbee2mqtt"))
    return {"url": at.broker, "base_topic": base, "poll_interval_s": _POLL_S}
