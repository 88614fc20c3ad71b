"""`doorfleet-sim chaos`."""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from devices.errors import ConfigError
from fleet_sim.verbs import common, outputs

if TYPE_CHECKING:
    from fleet_sim.chaos.experiment import Loaded
    from fleet_sim.chaos.many import Task

HELP: Final = "break something on purpose, and prove who was hurt and who was not"

_VIRTUAL, _REAL = "virtual", "real"


def arguments(sub: argparse.ArgumentParser) -> None:
    """Which experiments, with which seeds, and in what time."""
    sub.add_argument(
        "experiments",
        nargs="*",
        metavar="FILE|NAME",
        help="a YAML file, or the name of one that came with doorfleet",
    )
    sub.add_argument("--all", action="store_true", help="every one that came with doorfleet")
    sub.add_argument(
        "--seeds",
        type=seeds,
        metavar="1..50",
        help="with each of these: 7, 1..50 or 1,4,9 (those of the file)",
    )
    sub.add_argument(
        "--time",
        choices=(_VIRTUAL, _REAL),
        default=_VIRTUAL,
        help="virtual: a clock that jumps, no sockets; real: a broker and a gateway process",
    )
    sub.add_argument(
        "--broker", default="embedded", help="with real: embedded, mosquitto, or mqtt://host:port"
    )
    sub.add_argument(
        "--seconds",
        type=common.positive,
        metavar="N",
        help="with real: press each into so many (20)",
    )
    sub.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="so many processes side by side (one for each CPU; with real 1)",
    )
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the verdict; - is stdout")
    sub.add_argument("--html", type=Path, metavar="FILE", help="write the report as a web page")
    sub.add_argument(
        "--junit", type=Path, metavar="FILE", help="write JUnit XML: each experiment's promises"
    )
    sub.add_argument(
        "--journal",
        type=Path,
        metavar="FILE",
        help="write a Chaos Toolkit journal; of several runs a folder, with one for each",
    )
    _shrinking(sub.add_argument_group("what breaks a promise"))


def _shrinking(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--shrink",
        action="store_true",
        help="with virtual: make of each violated experiment the smallest that still is",
    )
    group.add_argument(
        "--out", type=Path, metavar="DIR", help="where such a file goes (beside the experiment's)"
    )


def seeds(given: str) -> tuple[int, ...]:
    """`7`, `1..50`, `1,4,9`, as argparse wants its types."""
    found: dict[int, None] = {}
    for part in given.split(","):
        first, dots, last = part.partition("..")
        try:
            numbers = range(int(first), int(last if dots else first) + 1)
        except ValueError:
            numbers = range(0)
        if not numbers:
            raise argparse.ArgumentTypeError(f"{given!r}: write seeds like 7, 1..50 or 1,4,9")
        found.update(dict.fromkeys(numbers))
    return tuple(found)


def act(options: argparse.Namespace) -> int:
    """Run them; the exit code."""
    from fleet_sim.chaos import summary

    if problems := _problems(options):
        raise ConfigError(tuple(problems))
    loaded = _loaded(options)
    tasks = _tasks(loaded, options)
    if not tasks:
        raise ConfigError(("nothing is left that could be run; use --time virtual",))
    reports = []
    tell = common.progress(f"{len(tasks)} runs")
    for number, report in enumerate(_run(tasks, options), 1):
        one = {**report, "command": _again(report, loaded, options)}
        reports.append(one)
        if one["breaches"]:
            tell(None)
            _print_breaches(one)
        tell(number / len(tasks))
    tell(None)
    found = summary.of(reports, outputs.command(options.typed))
    _write(options, found, reports)
    if not common.write(found, options.json):
        _print(found)
    if options.shrink:
        _shrink(loaded, reports, options)
    return common.OK if found["verdict"] == "held" else common.FAILED


def _problems(options: argparse.Namespace) -> list[str]:
    """Every mistake that can be told before anything starts."""
    problems = common.unwritable(*((f"--{name}", getattr(options, name)) for name in _FILES))
    if not options.experiments and not options.all:
        problems.append("no experiment: give a file, a name, or --all")
    if options.workers is not None and options.workers < 1:
        problems.append(f"--workers {options.workers}: give at least 1")
    if options.out is not None and not options.out.is_dir():
        problems.append(f"--out {options.out}: there is no such folder; make it")
    if options.out is not None and not options.shrink:
        problems.append("--out is where --shrink writes to: give --shrink, too")
    if options.time == _REAL:
        if options.shrink:
            problems.append("--shrink is for simulated time only: leave it out, or --time real")
    elif options.seconds is not None:
        problems.append("--seconds is for real time only: leave it out, or give --time real")
    return problems


_FILES: Final = ("json", "html", "junit", "journal")


def _loaded(options: argparse.Namespace) -> "Mapping[str, tuple[str, Loaded]]":
    """By its name: how it was given, and what it is.

    Raises:
        ConfigError: every mistake in every file.
    """
    from fleet_sim.chaos import experiment

    given = [*options.experiments, *(experiment.names() if options.all else ())]
    found: dict[str, tuple[str, Loaded]] = {}
    problems: list[str] = []
    for path in dict.fromkeys(given):
        try:
            one = experiment.load(path)
        except ConfigError as error:
            problems += error.problems
            continue
        name = one.experiment.name
        if name in found:
            problems.append(f"{path}: another experiment is named {name}; rename one of them")
        found[name] = (path, one)
    if problems:
        raise ConfigError(tuple(problems))
    return found


def _tasks(loaded: "Mapping[str, tuple[str, Loaded]]", options: argparse.Namespace) -> "list[Task]":
    from fleet_sim.chaos import play
    from fleet_sim.chaos.many import Task

    tasks: list[Task] = []
    for _, one in loaded.values():
        chosen = one.experiment
        if options.time == _REAL:
            possible = play.on_sockets(chosen)
            left_out = len(chosen.acts) - len(possible.acts if possible is not None else ())
            if left_out:
                print(f"{chosen.name}: {left_out} acts can be had in simulated time only")
            if possible is None:
                continue
            chosen = possible
        tasks += [Task(chosen, seed) for seed in options.seeds or chosen.seeds]
    return tasks


def _run(tasks: "Sequence[Task]", options: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    from fleet_sim.chaos import many, play

    # As cleanly as by Ctrl-C: the workers end with us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.time == _REAL:
        seconds = options.seconds or play.PRESSED_S
        workers = min(options.workers or 1, len(tasks))
        return many.run_really(tasks, workers, seconds=seconds, broker=options.broker)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return many.run(tasks, min(options.workers or cpus or 1, len(tasks)))


def _again(
    report: Mapping[str, Any],
    loaded: "Mapping[str, tuple[str, Loaded]]",
    options: argparse.Namespace,
) -> str:
    """The one command that does this run again."""
    path, _ = loaded[report["experiment"]]
    words = ["doorfleet-sim", "chaos", path, "--seeds", str(report["seed"])]
    if options.time == _REAL:
        words += ["--time", _REAL, "--broker", options.broker]
        words += ["--seconds", f"{options.seconds:g}"] if options.seconds else []
    return shlex.join(words)


def _write(
    options: argparse.Namespace, found: Mapping[str, Any], reports: Sequence[Mapping[str, Any]]
) -> None:
    if options.html is not None:
        from fleet_sim.watching import chaos_page

        outputs.put("--html", options.html, chaos_page.html_of(found).encode())
    if options.junit is not None:
        from fleet_sim.watching import chaos_junit

        outputs.put("--junit", options.junit, chaos_junit.xml_of(found))
    if options.journal is not None:
        _write_journals(options.journal, reports)


def _write_journals(path: Path, reports: Sequence[Mapping[str, Any]]) -> None:
    from fleet_sim.chaos import toolkit_journal

    files = {path: reports[0]}
    if len(reports) > 1:
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigError((f"--journal {path}: {error.strerror}; name a folder",)) from error
        files = {path / f"{one['experiment']}.seed{one['seed']}.json": one for one in reports}
    for file, report in files.items():
        outputs.put("--journal", file, common.text_of(toolkit_journal.of(report)).encode())


def _shrink(
    loaded: "Mapping[str, tuple[str, Loaded]]",
    reports: Sequence[Mapping[str, Any]],
    options: argparse.Namespace,
) -> None:
    from fleet_sim.chaos import shrink

    for report in reports:
        if not report["breaches"]:
            continue
        path, one = loaded[report["experiment"]]
        beside = Path(path).parent if Path(path).exists() else Path()
        file = (options.out or beside) / f"{report['experiment']}.seed{report['seed']}.yaml"
        small = shrink.shrink(one, report["seed"], report["breaches"], _say_progress)
        outputs.put("--out", file, shrink.text_of(small, file).encode())
        print(f"{file}: {small.what} after {small.runs} runs; doorfleet-sim chaos {file}")


def _say_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _print_breaches(report: Mapping[str, Any]) -> None:
    print(f"{report['experiment']}, seed {report['seed']}: violated")
    for line in report["problems"]:
        print(f"  {line}")
    print(f"  again: {report['command']}", flush=True)


def _print(found: Mapping[str, Any]) -> None:
    """For people: an experiment a line, and the verdict."""
    for one in found["experiments"]:
        times = "  ".join(
            f"{name.removesuffix('_s')} {'-' if seconds is None else f'{seconds:.1f} s'}"
            for name, seconds in one["times"].items()
        )
        bad = f"  violated with {', '.join(map(str, one['violated']))}" if one["violated"] else ""
        print(f"  {one['experiment']:<28} {len(one['seeds']):>3} seeds  {times}{bad}")
    print(f"verdict: {found['verdict']}")
