"""What a test asked for, checked before anything is started; and how long it is waited for."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from devices.errors import ConfigError, FleetError
from vendors import registry

Options = Mapping[str, Mapping[str, object]]

_TURN_S: Final = 0.02
_NAMED: Final = 3


class SceneError(FleetError):
    """The fleet or the gateway of a test did not come up, or is not there; says which and why."""


async def until(
    missing: Callable[[], list[str]],
    within_s: float,
    what: str,
    trouble: Callable[[], str | None],
) -> None:
    """Wait until nobody is missing.

    Args:
        missing: the names of those that are.
        within_s: for so long at most.
        what: what they did not do, if they still are.
        trouble: says why it is of no use to wait any longer.

    Raises:
        SceneError: somebody still is missing, or it is of no use.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    while names := missing():
        if (why := trouble()) is not None:
            raise SceneError(why)
        if loop.time() > deadline_s:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            raise SceneError(f"{', '.join(names[:_NAMED])}{more} {what} within {within_s:g} s")
        await asyncio.sleep(_TURN_S)


def check(counts: Mapping[str, int], pace: float, options: Options) -> None:
    """Refuse what cannot be a fleet.

    Raises:
        ConfigError: with every mistake at once.
    """
    __tracebackhide__ = True
    problems = [] if counts else ["no devices; name some: fleet(ratgdo=3, nuki=2)"]
    for vendor, count in counts.items():
        try:
            registry.vendor(vendor)
        except ConfigError as error:
            problems += error.problems
        if type(count) is not int or count < 1:
            problems.append(f"{vendor}={count!r}: write how many devices, a whole number from 1 on")
    if pace < 0:
        problems.append(f"pace={pace:g}: write 0 for nobody but you, or how often as in life")
    problems += [
        f"options of {vendor}: no {vendor} in the fleet"
        for vendor in options
        if vendor not in counts
    ]
    if problems:
        raise ConfigError(tuple(problems))


def merged(config: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """A gateway's configuration with what a test says besides.

    Args:
        config: as `fleet_sim.wiring.gateway_config` made it.
        extra: the same shape, but `cells` is a mapping: vendor to what its cell says besides.

    Raises:
        ConfigError: a cell of a vendor that is not in the fleet.
    """
    cells = dict(extra.get("cells", {}))
    known = [cell["vendor"] for cell in config["cells"]]
    if strangers := [vendor for vendor in cells if vendor not in known]:
        raise ConfigError(
            tuple(
                f"gateway_config: cells.{vendor}: no {vendor} in the fleet; there are"
                f" {', '.join(known)}"
                for vendor in strangers
            )
        )
    rest = {key: value for key, value in extra.items() if key != "cells"}
    whole = _deep(config, rest)
    whole["cells"] = [_deep(cell, cells.get(cell["vendor"], {})) for cell in config["cells"]]
    return whole


def _deep(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], Mapping) and isinstance(other[key], Mapping):
            both[key] = _deep(one[key], other[key])
    return both
