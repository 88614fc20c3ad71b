"""`doorfleet-sim faults`."""

import argparse
import json
from typing import Final

from fleet_sim.verbs import common

HELP: Final = "list the ways to fail, of links and of each vendor's devices"


def arguments(sub: argparse.ArgumentParser) -> None:
    """For whom."""
    sub.add_argument("--json", action="store_true", help="JSON for machines")


def act(options: argparse.Namespace) -> int:
    """List them; the exit code."""
    from fleet_sim.act import own_faults
    from fleet_sim.faults import FAULTS
    from vendors import registry

    table = {"any link": {name: what for name, (_, what) in FAULTS.items()}}
    for name in registry.names():
        table[name] = dict(own_faults(name))
    if options.json:
        print(json.dumps(table, indent=2))
        return common.OK
    for who, faults in table.items():
        print(who)
        for name, what in faults.items():
            print(f"  {name:<18} {what}")
    return common.OK
