"""`doorfleet-sim`: fleets that fail on purpose, and what came of it."""

import argparse
import asyncio
import sys
import textwrap
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Final

from devices.errors import ConfigError
from fleet_sim.verbs.common import BAD_INPUT, COULD_NOT, FAILED, INTERRUPTED, OK

__all__ = ["BAD_INPUT", "COULD_NOT", "FAILED", "INTERRUPTED", "OK", "build", "main"]

_EXAMPLES: Final = """\
examples:
  doorfleet-sim demo
  doorfleet-sim demo --seconds 30 --devices 60 --broker mosquitto --json out.json
  doorfleet-sim demo --vendors all --devices 550
  doorfleet-sim bulkheads --vendors nuki,tedee,switchbot --devices 20
  doorfleet-sim chaos vendor_hangs --seeds 1..50 --html chaos.html
  doorfleet-sim chaos --all --junit chaos.xml
  doorfleet-sim run quiet_day --time virtual --seed 7
  doorfleet-sim run quiet_day --html day.html --junit day.xml
  doorfleet-sim run one_bad_day --time real --seconds 60 --http 9100
  doorfleet-sim break nuki hang --share 20% --for 60s
  doorfleet-sim heal --all
  doorfleet-sim run quiet_day --workers 4 --journal day.jsonl
  doorfleet-sim broker --port 1883
  doorfleet-sim proxy --listen 1884 --upstream 127.0.0.1:1883 --toxic latency:latency=300
  doorfleet-sim record --northbound --for 10m morning.jsonl --scenario morning.yaml
  doorfleet-sim replay recording.jsonl --broker mqtt://127.0.0.1:1883
  doorfleet-sim conform nuki

exit codes: 0 all promises kept, 1 a promise was broken, 2 bad input, 3 could not run
"""

#: Every subcommand, in the order of --help; each is a module of `fleet_sim.verbs`.
VERBS: Final = (
    "demo",
    "bulkheads",
    "chaos",
    "run",
    "break",
    "heal",
    "report",
    "record",
    "replay",
    "check",
    "faults",
    "conform",
    "broker",
    "proxy",
    "completion",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit code."""
    parser = build()
    options = parser.parse_args(arguments)
    options.typed = list(sys.argv[1:] if arguments is None else arguments)
    if options.act is None:
        parser.print_help()
        return BAD_INPUT
    from fleet_sim.stage import StageError

    try:
        code: int = options.act(options)
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return BAD_INPUT
    except StageError as error:
        print(f"doorfleet-sim: {error}", file=sys.stderr)
        return COULD_NOT
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("doorfleet-sim: stopped; everything that was started has ended", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has gone, and no traceback helps them
        return OK
    return code


def build() -> argparse.ArgumentParser:
    """All subcommands with their options."""
    parser = argparse.ArgumentParser(
        prog="doorfleet-sim",
        description="Whole fleets of garage doors, locks and access panels, and their bad days.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(act=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name in VERBS:
        verb = import_module(f"fleet_sim.verbs.{name}{'_' * iskeyword(name)}")
        what: str = verb.HELP
        sub = commands.add_parser(name, help=what, description=textwrap.fill(what, 90))
        sub.set_defaults(act=verb.act)
        verb.arguments(sub)
    return parser
