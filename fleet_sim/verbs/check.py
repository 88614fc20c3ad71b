"""`doorfleet-sim check`."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from devices.errors import ConfigError
from fleet_sim.verbs import common

HELP: Final = "list every mistake of a scenario, or say what it comes to; runs nothing"


def arguments(sub: argparse.ArgumentParser) -> None:
    """Which one."""
    sub.add_argument(
        "scenario",
        nargs="?",
        help="a YAML file, or the name of one that came with doorfleet; absent: list those",
    )
    sub.add_argument("--json", action="store_true", help="what it comes to as JSON, for machines")
    sub.add_argument(
        "--schema",
        action="store_true",
        help="print the JSON Schema of scenarios, of every vendor that is installed",
    )
    sub.epilog = (
        "examples: doorfleet-sim check monday_8am; doorfleet-sim check my.yaml --json;"
        " doorfleet-sim check --schema > scenario.schema.json"
    )


def act(options: argparse.Namespace) -> int:
    """Read it; the exit code."""
    import json

    from fleet_sim import scenario
    from fleet_sim.world.outlook import outlook
    from fleet_sim.world.trial import trial

    if options.schema:
        from fleet_sim.scenario_schema import text
        from vendors import registry

        sys.stdout.write(text(registry.names()).decode())
        return common.OK
    if options.scenario is None:
        for name in scenario.names():
            print(f"{name:<18} {scenario.load(name).description}")
        return common.OK
    chosen = scenario.load(options.scenario)
    try:
        trial(chosen)
    except ConfigError as error:
        named = tuple(f"{options.scenario}: {line}" for line in error.problems)
        raise ConfigError(named) from error
    found = outlook(chosen)
    if options.json:
        print(json.dumps(found, indent=2))
        return common.OK
    print(f"{options.scenario}: good")
    for line in _lines(found):
        print(f"  {line}")
    return common.OK


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What a scenario comes to, for people."""
    yield found["description"] or "it says nothing of why it is there: give it a description"
    yield f"{found['hours']:g} h, from {found['starts']} on; {found['devices']:,} devices"
    for group in found["groups"]:
        what = " ".join(str(group[key]) for key in ("model", "firmware") if group[key])
        where = f"at {group['site']}" if group["site"] else ""
        words = (f"{group['count']:>9,} {group['vendor']}", what, where, f"({group['rhythm']})")
        yield " ".join(word for word in words if word)
    deeds = found["deeds_per_hour"]
    yield (
        f"{deeds['mean']:,g} deeds an hour in the mean, {deeds['peak']:,g} at most"
        f" ({deeds['peak_at']})"
    )
    if found["deliveries_per_day"]:
        yield f"{found['deliveries_per_day']:,g} deliveries a day"
    if found["batteries"]:
        yield f"{found['batteries']:,} batteries that drain"
    for one in found["acts"]:
        yield f"{_clock(one['at_s'])} {one['vendor']}: {one['fault']}, for {_clock(one['for_s'])}"
    for storm in found["storms"]:
        where = storm["site"] or "everywhere"
        yield f"{_clock(storm['at_s'])} storm {where}, for {_clock(storm['for_s'])}"
    for rollout in found["rollouts"]:
        waves = ", ".join(f"{share:.0%}" for share in rollout["waves"])
        yield f"{_clock(rollout['at_s'])} {rollout['vendor']}: {rollout['to']} to {waves}"


def _clock(seconds: float) -> str:
    """`1:05:00`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
