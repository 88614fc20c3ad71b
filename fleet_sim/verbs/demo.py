"""`doorfleet-sim demo`."""

import argparse
from pathlib import Path
from typing import Final

from devices.errors import ConfigError
from fleet_sim.verbs import common, outputs

HELP: Final = "a fleet, a gateway and a bus; one vendor is broken before your eyes"


def arguments(sub: argparse.ArgumentParser) -> None:
    """How long, how many, and who is broken."""
    sub.add_argument("--seconds", type=common.positive, default=60.0, help="how long (60)")
    sub.add_argument("--devices", type=int, default=300, help="how many, of all vendors (300)")
    sub.add_argument("--seed", type=int, default=1, help="of all chance (1)")
    sub.add_argument(
        "--broker", default="embedded", help="embedded, mosquitto, or mqtt://host:port (embedded)"
    )
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the report; - is stdout")
    sub.add_argument("--vendors", metavar="A,B,…", help="whose devices; `all` for every vendor")
    sub.add_argument(
        "--break", dest="broken", default="nuki", metavar="VENDOR", help="who fails (nuki)"
    )
    sub.add_argument("--svg", type=Path, metavar="FILE", help="save the last table as a picture")
    sub.add_argument("--no-ui", action="store_true", help="lines instead of a live table")
    outputs.arguments(sub)


def act(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from fleet_sim import demo

    problems = []
    if options.seconds < demo.SECONDS_MIN:
        problems.append(f"--seconds {options.seconds:g}: give at least {demo.SECONDS_MIN}")
    vendors = common.vendor_names(options.vendors, demo.VENDORS)
    if options.devices < len(vendors):
        problems.append(
            f"--devices {options.devices}: give at least {len(vendors)}, one of each vendor"
        )
    if options.broken not in vendors:
        problems.append(f"--break {options.broken}: is none of {', '.join(vendors)}")
    problems += common.unwritable(("--json", options.json), ("--svg", options.svg))
    problems += outputs.problems(options)
    if problems:
        raise ConfigError(tuple(problems))
    chosen = demo.Options(
        options.seconds, options.devices, options.seed, options.broker, vendors, options.broken
    )
    with outputs.watching(options) as watch:
        report = common.complete(demo.run(chosen, watch))
    report["command"] = outputs.command(options.typed)
    outputs.write(options, report)
    if not common.write(report, options.json):
        from fleet_sim.view import print_report

        print_report(report, options.svg)
    return common.OK if report["verdict"] == "pass" else common.FAILED
