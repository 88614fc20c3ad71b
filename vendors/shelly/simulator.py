"""A fleet of simulated Shellys on garage doors: covers, and relays with reeds; pure.

One device is in `device`, its door in `cover_sim` and `relay_sim`, what it answers in `rpc_sim`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from devices.errors import ConfigError
from vendors.shelly.device import COURIER, FAULTS, HABITS, KINDS, QUIET_FAULTS, WORLD, Shelly
from vendors.sim import Addresses, FleetSpec, RandomFor

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

_OPTIONS: Final[Mapping[str, tuple[object, ...]]] = {
    "transport": ("mqtt", "websocket"),
    "profile": ("mixed", "cover", "opener"),
    "status_ntf": (False, True),
}
OF_ONE: Final = frozenset({"profile", "status_ntf"})
_PASSWORD: Final = "password"  # noqa: S105 -- an option's name


def reeds_of(profile: object, number: int) -> int:
    """How many reeds the device of this number has; a cover has none.

    In a mixed fleet every other device is a cover; the openers have two reeds and one in turn.
    """
    if profile == "cover" or (profile == "mixed" and number % 2):
        return 0
    return 1 + (number // 2 if profile == "mixed" else number) % 2


def _check(options: Mapping[str, object]) -> None:
    """Look at all options.

    Raises:
        ConfigError: an option, or a value of one, that does not exist; each is named.
    """
    problems = [
        f"shelly: option {name}; there are {', '.join([*_OPTIONS, _PASSWORD])}"
        for name in sorted(set(options) - {*_OPTIONS, _PASSWORD})
    ]
    problems += [
        f"shelly: option {name} is {options[name]!r}, not one of {values}"
        for name, values in _OPTIONS.items()
        if name in options and options[name] not in values
    ]
    if not isinstance(options.get(_PASSWORD, ""), str):
        problems.append("shelly: option password is no text")
    if problems:
        raise ConfigError(tuple(problems))


def _whole(options: Mapping[str, object]) -> Mapping[str, Any]:
    """The options with their defaults."""
    return {name: values[0] for name, values in _OPTIONS.items()} | dict(options)


def _names(spec: FleetSpec) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """Name, number of reeds, and all options of each device."""
    for number in spec.members:
        options = _whole(spec.options_of(number))
        yield f"{spec.prefix}-{number:04d}", reeds_of(options["profile"], number), options


def fleet(spec: FleetSpec, rng_for: RandomFor) -> Sequence[Shelly]:
    """Devices named `<prefix>-0001` and on.

    Options: `transport` mqtt or websocket; `profile` mixed, cover or opener; `password` of user
    admin (WebSocket and HTTP only); `status_ntf` for full statuses over MQTT too.

    Raises:
        ConfigError: an option that does not exist.
    """
    for mix in spec.mixes:
        _check(mix)
    return [
        Shelly(
            name,
            rng_for(name),
            reeds=reeds,
            over_mqtt=options["transport"] == "mqtt",
            password=options.get(_PASSWORD),
            status_ntf=options["status_ntf"],
        )
        for name, reeds, options in _names(spec)
    ]


def gateway_settings(spec: FleetSpec, at: Addresses) -> Mapping[str, object]:
    """A cell that listens to every device of the fleet."""
    options = _whole(spec.options)
    reeds = {name: count for name, count, _ in _names(spec)}
    openers = {
        name: {"closed_input": 0, "open_input": 1 if count > 1 else None}
        for name, count in reeds.items()
        if count
    }
    if options["transport"] == "mqtt":
        return {"mqtt": {"url": at.broker}, "openers": openers}
    direct: dict[str, object] = {"devices": {name: at.hubs[name] for name in reeds}}
    if options.get(_PASSWORD) is not None:
        direct["password"] = options[_PASSWORD]
    return {"direct": direct, "openers": openers, "poll_interval_ms": 2_000}
