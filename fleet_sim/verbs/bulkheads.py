"""`doorfleet-sim bulkheads`."""

import argparse
from pathlib import Path
from typing import Final

from devices.errors import ConfigError
from fleet_sim.verbs import common, outputs

HELP: Final = "break each vendor in turn; was anybody else hurt?"


def arguments(sub: argparse.ArgumentParser) -> None:
    """Whom to break, and for how long."""
    sub.add_argument("--vendors", metavar="A,B,…", help="whose devices (every vendor)")
    sub.add_argument("--devices", type=int, default=50, help="how many of each vendor (50)")
    sub.add_argument("--fault-seconds", type=common.positive, default=3.0, help="of each fault (3)")
    sub.add_argument("--seed", type=int, default=1, help="of all chance (1)")
    sub.add_argument(
        "--broker", default="embedded", help="embedded, mosquitto, or mqtt://host:port (embedded)"
    )
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the report; - is stdout")
    sub.add_argument("--no-ui", action="store_true", help="lines instead of a live table")
    outputs.arguments(sub)


def act(options: argparse.Namespace) -> int:
    """Run them; the exit code."""
    from fleet_sim import bulkheads
    from vendors import registry

    vendors = common.vendor_names(options.vendors, registry.names())
    problems = common.unwritable(("--json", options.json))
    if len(vendors) == 1:
        problems.append("--vendors: name two at least, or nobody else can be hurt")
    if options.devices < 1:
        problems.append(f"--devices {options.devices}: give at least 1")
    problems += outputs.problems(options)
    if problems:
        raise ConfigError(tuple(problems))
    chosen = bulkheads.Options(
        vendors,
        options.devices,
        options.fault_seconds,
        seed=options.seed,
        broker=options.broker,
    )
    with outputs.watching(options) as watch:
        report = common.complete(bulkheads.run(chosen, watch))
    report["command"] = outputs.command(options.typed)
    outputs.write(options, report)
    if not common.write(report, options.json):
        common.print_findings(report)
    return common.OK if report["verdict"] == "pass" else common.FAILED
