"""`doorfleet-sim conform`."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Final

from devices.errors import ConfigError
from fleet_sim.verbs import common

HELP: Final = "hold vendors to the laws, and print a scorecard for each"


def arguments(sub: argparse.ArgumentParser) -> None:
    """Whom to hold to them."""
    sub.add_argument("vendors", nargs="*", metavar="VENDOR", help="ours, or a third party's")
    sub.add_argument("--all", action="store_true", help="every vendor that is installed")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the cards; - is stdout")


def act(options: argparse.Namespace) -> int:
    """Try every law; the exit code."""
    from fleet_sim.conform.scorecard import score
    from vendors import registry

    if bool(options.vendors) == options.all:
        raise ConfigError(("conform: name vendors, or give --all; see doorfleet-sim conform -h",))
    if problems := common.unwritable(("--json", options.json)):
        raise ConfigError(tuple(problems))
    wanted = registry.names() if options.all else options.vendors
    for name in wanted:
        registry.vendor(name)  # a name that nobody knows is said before a long run
    out = sys.stderr if str(options.json) == "-" else sys.stdout
    cards = []
    for name in wanted:
        print(f"{name}: {registry.vendor(name).title}", file=out, flush=True)
        cards.append(score(name, told=partial(print, file=out, flush=True)))
        print(
            "  {passed} kept, {failed} broken, {waived} waived".format(**cards[-1]),
            file=out,
            flush=True,
        )
    common.write({card["vendor"]: card for card in cards}, options.json)
    return common.FAILED if any(card["failed"] for card in cards) else common.OK
