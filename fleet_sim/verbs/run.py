"""`doorfleet-sim run`."""

import argparse
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from devices.errors import ConfigError
from fleet_sim.verbs import common, outputs

if TYPE_CHECKING:
    from fleet_sim.scenario import Scenario

HELP: Final = "run a scenario, and hold the bus against what happened"


def arguments(sub: argparse.ArgumentParser) -> None:
    """Which scenario, and in what time."""
    sub.add_argument("scenario", help="a YAML file, or the name of one that came with doorfleet")
    sub.add_argument(
        "--time",
        choices=("virtual", "real"),
        default="virtual",
        help="virtual: a clock that jumps, no sockets; real: a broker and a gateway process",
    )
    sub.add_argument(
        "--seconds",
        type=common.positive,
        metavar="N",
        help="with real: press the hours into so many",
    )
    sub.add_argument(
        "--broker", default="embedded", help="with real: embedded, mosquitto, or mqtt://host:port"
    )
    sub.add_argument(
        "--no-gateway",
        dest="gateway",
        action="store_false",
        help="the fleet alone: for a gateway or a broker of your own",
    )
    sub.add_argument("--no-ui", action="store_true", help="lines instead of a live table")
    sub.add_argument("--seed", type=int, default=1, help="of all chance (1)")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the report; - is stdout")
    sub.add_argument(
        "--journal",
        type=Path,
        metavar="FILE",
        help="with virtual: write what happened to every device, as JSON lines",
    )
    outputs.arguments(sub)
    _workers(sub.add_argument_group("more than one process or machine"))


def _workers(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="share the devices among so many processes (1; with --on ray one for each CPU)",
    )
    group.add_argument(
        "--on", choices=("ray",), help="with virtual: have the workers on a Ray cluster"
    )
    group.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="of the cluster's head; else RAY_ADDRESS, or the cluster that runs here",
    )


def act(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from fleet_sim import scenario

    if problems := _problems(options):
        raise ConfigError(tuple(problems))
    chosen = scenario.load(options.scenario)
    if options.time == "real":
        report = _real(chosen, options)
    elif options.on or (options.workers or 1) > 1 or _large(chosen):
        report = _with_workers(chosen, options)
    else:
        report = _virtual(chosen, options)
    report["command"] = outputs.command(options.typed)
    outputs.write(options, report)
    if not common.write(report, options.json):
        _print(report)
    return common.OK if report["verdict"] == "pass" else common.FAILED


def _large(chosen: "Scenario") -> bool:
    """Whether it is run in slices, which a worker does, be it alone."""
    from fleet_sim import virtual

    return sum(chosen.fleet.values()) > virtual.DEVICES_MAX


def _problems(options: argparse.Namespace) -> list[str]:
    """Every mistake that can be told before anything starts."""
    problems = common.unwritable(("--json", options.json), ("--journal", options.journal))
    problems += outputs.problems(options)
    if options.workers is not None and options.workers < 1:
        problems.append(f"--workers {options.workers}: give at least 1")
    if options.address and not options.on:
        problems.append("--address is of a Ray cluster: give --on ray, too")
    if options.time == "real":
        problems += [
            f"{flag} is for simulated time only: leave it out, or --time real"
            for flag, given in (("--on ray", options.on), ("--journal", options.journal))
            if given
        ]
    return problems


def _virtual(chosen: "Scenario", options: argparse.Namespace) -> dict[str, Any]:
    from fleet_sim import alone, virtual

    if not options.gateway:
        tell = common.progress("the devices")
        report = alone.run(chosen, seed=options.seed, progress=tell, journal=options.journal)
        tell(None)
        return report
    with outputs.watching(options) as watch:
        return virtual.run(chosen, seed=options.seed, watch=watch, journal=options.journal)


def _real(chosen: "Scenario", options: argparse.Namespace) -> dict[str, Any]:
    from fleet_sim import wire_run
    from fleet_sim.cluster import real
    from fleet_sim.live.desk import Desk

    desk = Desk()
    what: dict[str, Any] = {
        "desk": desk,
        "seed": options.seed,
        "seconds": options.seconds,
        "broker": options.broker,
        "gateway": options.gateway,
    }
    with outputs.watching(options, desk) as watch:
        if (options.workers or 1) > 1:
            run = real.run(chosen, workers=options.workers, watch=watch, **what)
        else:
            run = wire_run.run(chosen, watch=watch, **what)
        return common.complete(run)


def _with_workers(chosen: "Scenario", options: argparse.Namespace) -> dict[str, Any]:
    from fleet_sim.cluster import run as cluster

    # As cleanly as by Ctrl-C: the workers end with us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with outputs.watching(options) as watch:
        return cluster.run(
            chosen,
            seed=options.seed,
            where=cluster.Where(options.workers, options.on == "ray", options.address),
            watch=watch,
            gateway=options.gateway,
            journal=options.journal,
        )


def _print(report: dict[str, Any]) -> None:
    """The report for people."""
    journal = report.get("journal")
    print(
        f"{report['scenario']}: {report['simulated_s'] / 3600:g} h in {report['wall_s']:.1f} s,"
        f" seed {report['seed']}"
        + (f", digest {report['digest']}" if "digest" in report else "")
        + (f", journal {journal['digest']}" if journal else "")
    )
    for shard in report.get("restarted", ()):
        print(f"  shard {shard['shard']} was begun again after {shard['at_s']} s: {shard['why']}")
    if unjudged := report.get("unjudged"):
        print(f"  {unjudged} devices are not judged: their worker was lost with what they told")
    if wire := report.get("wire"):
        print(
            "  {connected:,} of {sessions:,} MQTT devices connected, at {connects_per_s:,}/s;"
            " {messages_per_s:,} messages/s; {keepalives_missed:,} keepalives missed;"
            " {reconnects:,} reconnects".format(**wire)
        )
    common.print_findings(report)
