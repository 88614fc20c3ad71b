"""`doorfleet-sim heal`."""

import argparse
from typing import Final

from devices.errors import ConfigError
from fleet_sim.verbs import break_, common

HELP: Final = "end what `break` began, in a fleet that runs in real time"


def arguments(sub: argparse.ArgumentParser) -> None:
    """Which, and where."""
    sub.add_argument("id", nargs="*", metavar="ID", help="as `break` said, such as f1")
    sub.add_argument("--all", action="store_true", help="all that is broken by hand")
    break_.where(sub)


def act(options: argparse.Namespace) -> int:
    """Heal it; the exit code."""
    from fleet_sim.live import client

    if bool(options.id) == options.all:
        raise ConfigError(("heal: write which, such as f1, or --all; `break --list` lists",))
    run = client.at(options.at)
    if options.all:
        run.heal()
    for number in options.id:
        run.heal(number)
    print(f"healed: {'all' if options.all else ' '.join(options.id)}")
    return common.OK
