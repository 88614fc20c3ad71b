"""`doorfleet-sim`: fleets that fail on purpose, and what came of it."""

import argparse
import asyncio
import json
import signal
import sys
import textwrap
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from devices.errors import ConfigError

if TYPE_CHECKING:
    from fleet_sim.view import LiveView, PlainView

OK, FAILED, BAD_INPUT, COULD_NOT, INTERRUPTED = 0, 1, 2, 3, 130

_EXAMPLES: Final = """\
examples:
  doorfleet-sim demo
  doorfleet-sim demo --seconds 30 --devices 60 --broker mosquitto --json out.json
  doorfleet-sim demo --vendors all --devices 550
  doorfleet-sim bulkheads --vendors nuki,tedee,switchbot --devices 20
  doorfleet-sim run quiet_day --time virtual --seed 7
  doorfleet-sim broker --port 1883
  doorfleet-sim replay recording.jsonl --broker mqtt://127.0.0.1:1883
  doorfleet-sim conform nuki

exit codes: 0 all promises kept, 1 a promise was broken, 2 bad input, 3 could not run
"""

Act = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit code."""
    from fleet_sim.stage import StageError

    parser = build()
    options = parser.parse_args(arguments)
    if options.act is None:
        parser.print_help()
        return BAD_INPUT
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
    from fleet_sim.broker import cli as broker

    parser = argparse.ArgumentParser(
        prog="doorfleet-sim",
        description="Whole fleets of garage doors, locks and access panels, and their bad days.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(act=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, act: Act, what: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=what, description=textwrap.fill(what, 90))
        sub.set_defaults(act=act)
        return sub

    _demo_arguments(
        add("demo", _demo, "a fleet, a gateway and a bus; one vendor is broken before your eyes")
    )
    sub = add("bulkheads", _bulkheads, "break each vendor in turn; was anybody else hurt?")
    sub.add_argument("--vendors", metavar="A,B,…", help="whose devices (every vendor)")
    sub.add_argument("--devices", type=int, default=50, help="how many of each vendor (50)")
    sub.add_argument("--fault-seconds", type=_positive, default=3.0, help="of each fault (3)")
    sub.add_argument("--seed", type=int, default=1, help="of all chance (1)")
    sub.add_argument(
        "--broker", default="embedded", help="embedded, mosquitto, or mqtt://host:port (embedded)"
    )
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the report; - is stdout")
    sub.add_argument("--no-ui", action="store_true", help="lines instead of a live table")
    _run_arguments(add("run", _run, "run a scenario, and hold the bus against what happened"))
    sub = add("replay", _replay, "play a recording of frames through a running gateway")
    sub.add_argument("recording", type=Path, help="JSON lines, one frame each")
    sub.add_argument("--broker", default="mqtt://127.0.0.1:1883", help="mqtt://host:port")
    sub.add_argument("--speed", type=_positive, default=1.0, help="times as fast as it was")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the report; - is stdout")
    sub = add("check", _check, "list every mistake of a scenario; runs nothing")
    sub.add_argument("scenario", help="a YAML file, or the name of one that came with doorfleet")
    sub = add("faults", _faults, "list the ways to fail, of links and of each vendor's devices")
    sub.add_argument("--json", action="store_true", help="JSON for machines")
    sub = add("conform", _conform, "hold vendors to the laws, and print a scorecard for each")
    sub.add_argument("vendors", nargs="*", metavar="VENDOR", help="ours, or a third party's")
    sub.add_argument("--all", action="store_true", help="every vendor that is installed")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the cards; - is stdout")
    broker.add_arguments(
        add("broker", broker.serve, "an MQTT 3.1.1 and 5 broker in this process, for tests")
    )
    sub = add("completion", _completion, "print a completion script for a shell")
    sub.add_argument("shell", choices=("bash", "zsh", "fish"))
    return parser


def _demo_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--seconds", type=_positive, default=60.0, help="how long (60)")
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


def _run_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("scenario", help="a YAML file, or the name of one that came with doorfleet")
    sub.add_argument(
        "--time",
        choices=("virtual", "real"),
        default="virtual",
        help="virtual: a clock that jumps, no sockets; real: a broker and a gateway process",
    )
    sub.add_argument(
        "--seconds", type=_positive, metavar="N", help="with real: press the hours into so many"
    )
    sub.add_argument(
        "--broker", default="embedded", help="with real: embedded, mosquitto, or mqtt://host:port"
    )
    sub.add_argument("--no-ui", action="store_true", help="with real: lines, no live table")
    sub.add_argument("--seed", type=int, default=1, help="of all chance (1)")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the report; - is stdout")


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _demo(options: argparse.Namespace) -> int:
    from fleet_sim import demo

    problems = []
    if options.seconds < demo.SECONDS_MIN:
        problems.append(f"--seconds {options.seconds:g}: give at least {demo.SECONDS_MIN}")
    vendors = _vendor_names(options.vendors, demo.VENDORS)
    if options.devices < len(vendors):
        problems.append(
            f"--devices {options.devices}: give at least {len(vendors)}, one of each vendor"
        )
    if options.broken not in vendors:
        problems.append(f"--break {options.broken}: is none of {', '.join(vendors)}")
    problems += _unwritable(("--json", options.json), ("--svg", options.svg))
    if problems:
        raise ConfigError(tuple(problems))
    chosen = demo.Options(
        options.seconds, options.devices, options.seed, options.broker, vendors, options.broken
    )
    with _view(plain=options.no_ui) as watch:
        report = _complete(demo.run(chosen, watch))
    if not _write(report, options.json):
        from fleet_sim.view import print_report

        print_report(report, options.svg)
    return OK if report["verdict"] == "pass" else FAILED


def _bulkheads(options: argparse.Namespace) -> int:
    from fleet_sim import bulkheads
    from vendors import registry

    vendors = _vendor_names(options.vendors, registry.names())
    problems = _unwritable(("--json", options.json))
    if len(vendors) == 1:
        problems.append("--vendors: name two at least, or nobody else can be hurt")
    if options.devices < 1:
        problems.append(f"--devices {options.devices}: give at least 1")
    if problems:
        raise ConfigError(tuple(problems))
    chosen = bulkheads.Options(
        vendors,
        options.devices,
        options.fault_seconds,
        seed=options.seed,
        broker=options.broker,
    )
    with _view(plain=options.no_ui) as watch:
        report = _complete(bulkheads.run(chosen, watch))
    if not _write(report, options.json):
        for vendor, figures in report["vendors"].items():
            print(f"  {vendor:<12} " + "  ".join(f"{key} {figures[key]}" for key in figures))
        for line in (*report["problems"], *report["evidence"]):
            print(f"  {line}")
        print(f"verdict: {report['verdict']}")
    return OK if report["verdict"] == "pass" else FAILED


def _vendor_names(given: str | None, default: Sequence[str]) -> tuple[str, ...]:
    """`all`, or names with commas between them.

    Raises:
        ConfigError: one that nobody knows.
    """
    from vendors import registry

    if given is None:
        return tuple(default)
    names = registry.names() if given == "all" else tuple(given.replace(" ", "").split(","))
    for name in names:
        registry.vendor(name)
    return names


def _view(*, plain: bool) -> "PlainView | LiveView":
    """Tables where there is a terminal, lines where there is none.

    Raises:
        ConfigError: what draws them is not installed.
    """
    try:
        from fleet_sim import view
    except ImportError as error:
        raise ConfigError((f"needs {error.name}: pip install 'doorfleet[sim]'",)) from error
    return view.PlainView() if plain or not sys.stderr.isatty() else view.LiveView()


def _progress(hours: float) -> Callable[[float], None]:
    """Tells people how far it is, where there are people."""

    def progress(share: float) -> None:
        if sys.stderr.isatty():
            print(f"\r{share:4.0%} of {hours:g} h", end="", file=sys.stderr, flush=True)

    return progress


def _run(options: argparse.Namespace) -> int:
    from fleet_sim import scenario, virtual, wire_run

    if problems := _unwritable(("--json", options.json)):
        raise ConfigError(tuple(problems))
    chosen = scenario.load(options.scenario)

    if options.time == "virtual":
        report = virtual.run(chosen, seed=options.seed, progress=_progress(chosen.hours))
        if sys.stderr.isatty():
            print("\r", end="", file=sys.stderr)
    else:
        with _view(plain=options.no_ui) as watch:
            report = _complete(
                wire_run.run(
                    chosen,
                    seed=options.seed,
                    seconds=options.seconds,
                    broker=options.broker,
                    watch=watch,
                )
            )
    if not _write(report, options.json):
        print(
            f"{report['scenario']}: {report['simulated_s'] / 3600:g} h in {report['wall_s']:.1f} s,"
            f" seed {report['seed']}"
            + (f", digest {report['digest']}" if "digest" in report else "")
        )
        for vendor, figures in report["vendors"].items():
            print(f"  {vendor:<12} " + "  ".join(f"{key} {figures[key]}" for key in figures))
        for line in (*report["problems"], *report["evidence"]):
            print(f"  {line}")
        print(f"verdict: {report['verdict']}")
    return OK if report["verdict"] == "pass" else FAILED


def _replay(options: argparse.Namespace) -> int:
    from fleet_sim import replay

    if problems := _unwritable(("--json", options.json)):
        raise ConfigError(tuple(problems))
    report = _complete(replay.play(options.recording, options.broker, speed=options.speed))
    if not _write(report, options.json):
        for key, value in report.items():
            print(f"{key:<12} {value}")
    return OK


def _check(options: argparse.Namespace) -> int:
    from fleet_sim import scenario

    found = scenario.load(options.scenario)
    fleet = ", ".join(f"{count} {vendor}" for vendor, count in found.fleet.items())
    print(f"{options.scenario}: good; {found.hours:g} h, {fleet}, {len(found.acts)} acts")
    return OK


def _faults(options: argparse.Namespace) -> int:
    from importlib import import_module

    from fleet_sim.faults import FAULTS
    from vendors import registry

    table = {"any link": {name: what for name, (_, what) in FAULTS.items()}}
    for name in registry.names():
        table[name] = dict(import_module(registry.vendor(name).simulator).FAULTS)
    if options.json:
        print(json.dumps(table, indent=2))
        return OK
    for who, faults in table.items():
        print(who)
        for name, what in faults.items():
            print(f"  {name:<18} {what}")
    return OK


def _conform(options: argparse.Namespace) -> int:
    from fleet_sim.conform.scorecard import score
    from vendors import registry

    if bool(options.vendors) == options.all:
        raise ConfigError(("conform: name vendors, or give --all; see doorfleet-sim conform -h",))
    if problems := _unwritable(("--json", options.json)):
        raise ConfigError(tuple(problems))
    wanted = registry.names() if options.all else options.vendors
    for name in wanted:
        registry.vendor(name)  # a name that nobody knows is said before a long run
    to_stdout = str(options.json) == "-"
    cards = []
    for name in wanted:
        out = sys.stderr if to_stdout else sys.stdout
        print(f"{name}: {registry.vendor(name).title}", file=out, flush=True)
        cards.append(score(name, told=partial(print, file=out, flush=True)))
        print(
            "  {passed} kept, {failed} broken, {waived} waived".format(**cards[-1]),
            file=out,
            flush=True,
        )
    _write({card["vendor"]: card for card in cards}, options.json)
    return FAILED if any(card["failed"] for card in cards) else OK


def _completion(options: argparse.Namespace) -> int:
    from gateway.app import completion

    print(completion(build(), options.shell))
    return OK


def _unwritable(*wanted: tuple[str, Path | None]) -> list[str]:
    """What could not be written in the end: better said before a long run."""
    return [
        f"{flag} {path}: there is no folder {path.parent}"
        for flag, path in wanted
        if path is not None and not path.parent.is_dir()
    ]


def _complete(work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Run it to its end; SIGTERM ends it as cleanly as Ctrl-C does."""

    async def guarded() -> dict[str, Any]:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    return asyncio.run(guarded())


def _write(report: dict[str, Any], path: Path | None) -> bool:
    """Write the report where it was asked for; whether that was stdout."""
    if path is None:
        return False
    text = json.dumps(report, indent=2) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
        return True
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError((f"--json {path}: {error.strerror}",)) from error
    return False
