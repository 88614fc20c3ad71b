"""`doorfleet-sim completion`."""

import argparse
from typing import Final

from fleet_sim.verbs import common

HELP: Final = "print a completion script for a shell"


def arguments(sub: argparse.ArgumentParser) -> None:
    """Which shell."""
    sub.add_argument("shell", choices=("bash", "zsh", "fish"))


def act(options: argparse.Namespace) -> int:
    """Print it; the exit code."""
    from fleet_sim.cli import build
    from gateway.app import completion

    print(completion(build(), options.shell))
    return common.OK
