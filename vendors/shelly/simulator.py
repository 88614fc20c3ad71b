"""A fleet of simulated Shellys on garage doors: covers, and relays with reeds; pure.

One device is in `device`, its door in `cover_sim` and `relay_sim`, what it answers in `rpc_sim`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from devices.errors import ConfigError
from vendors.shelly.device import FAULTS, HABITS, QUIET_FAULTS, Shelly
from vendors.sim import Addresses, FleetSpec, RandomFor

__all__ = ["FAULTS", "HABITS", "QUIET_FAULTS", "fleet", "gateway_settings"]

_OPTIONS: Final[Mapping[str, tuple[object, ...]]] = {
    "transport": ("mqtt", "websocket"),
    "profile": ("mixed", "cover", "opener"),
    "status_ntf": (False, True),
}
_PASSWORD: Final = "password"  # noqa: S105 -- an option's name


def reeds_of(profile: object, number: int) -> int:
    """How many reeds the device of this number has; a cover has none.

    In a mixed fleet every other device is a cover; the openers have two reeds and one in turn.
    """
    if profile == "cover" or (profile == "mixed" and number % 2):
        return 0
    return 1 + (number // 2 if profile == "mixed" else number) % 2


def _options(spec: FleetSpec) -> dict[str, Any]:
    """The options with their defaults.

    Raises:
        ConfigError: an option, or a value of one, that does not exist; each is named.
    """
    problems = [
        f"shelly: option {name}; there are {', '.join([*_OPTIONS, _PASSWORD])}"
        for name in sorted(set(spec.options) - {*_OPTIONS, _PASSWORD})
    ]
    problems += [
        f"shelly: option {name} is {spec.options[name]!r}, not one of {values}"
        for name, values in _OPTIONS.items()
        if name in spec.options and spec.options[name] not in values
    ]
    if not isinstance(spec.options.get(_PASSWORD, ""), str):
        problems.append("shelly: option password is no text")
    if problems:
        raise ConfigError(tuple(problems))
    return {"profile": "mixed", **{name: values[0] for name, values in _OPTIONS.items()}} | dict(
        spec.options
    )


def _names(spec: FleetSpec) -> Sequence[tuple[int, str]]:
    return [(number, f"{spec.prefix}-{number:04d}") for number in range(1, spec.count + 1)]


def fleet(spec: FleetSpec, rng_for: RandomFor) -> Sequence[Shelly]:
    """Devices named `<prefix>-0001` and on.

    Options: `transport` mqtt or websocket; `profile` mixed, cover or opener; `password` of user
    admin (WebSocket and HTTP only); `status_ntf` for full statuses over MQTT too.

    Raises:
        ConfigError: an option that does not exist.
    """
    options = _options(spec)
    return [
        Shelly(
            name,
            rng_for(name),
            reeds=reeds_of(options["profile"], number),
            over_mqtt=options["transport"] == "mqtt",
            password=options.get(_PASSWORD),
            status_ntf=options["status_ntf"],
        )
        for number, name in _names(spec)
    ]


def gateway_settings(spec: FleetSpec, at: Addresses) -> Mapping[str, object]:
    """A cell that listens to every device of the fleet."""
    options = _options(spec)
    reeds = {name: reeds_of(options["profile"], number) for number, name in _names(spec)}
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
