"""What more than one subcommand needs: exit codes, kinds of arguments, where a report goes."""

import argparse
import asyncio
import json
import re
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from devices.errors import ConfigError

if TYPE_CHECKING:
    from fleet_sim.view import LiveView
    from fleet_sim.watching.plain import PlainView

OK, FAILED, BAD_INPUT, COULD_NOT, INTERRUPTED = 0, 1, 2, 3, 130
_NUMBERS: Final = re.compile(r"\[\n[][\s\d.,enul+-]+\n\s*\]")


def positive(text: str) -> float:
    """A number above 0, as argparse wants its types."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def vendor_names(given: str | None, default: Sequence[str]) -> tuple[str, ...]:
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


def view(*, plain: bool) -> "PlainView | LiveView":
    """Tables where there is a terminal, lines where there is none.

    Raises:
        ConfigError: what draws them is not installed.
    """
    if plain or not sys.stderr.isatty():
        from fleet_sim.watching.plain import PlainView

        return PlainView()
    try:
        from fleet_sim.view import LiveView
    except ImportError as error:
        raise ConfigError((f"needs {error.name}: pip install 'doorfleet[sim]'",)) from error
    return LiveView()


def progress(of: str) -> Callable[[float | None], None]:
    """Tells people how much of it is done, where there are people; None: all is said."""

    def tell(share: float | None) -> None:
        if sys.stderr.isatty():
            said = "\r\x1b[K" if share is None else f"\r{share:4.0%} of {of}"
            print(said, end="", file=sys.stderr, flush=True)

    return tell


def unwritable(*wanted: tuple[str, Path | None]) -> list[str]:
    """What could not be written in the end: better said before a long run."""
    return [
        f"{flag} {path}: there is no folder {path.parent}"
        for flag, path in wanted
        if path is not None and not path.parent.is_dir()
    ]


def complete(work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Run it to its end; SIGTERM ends it as cleanly as Ctrl-C does."""

    async def guarded() -> dict[str, Any]:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    return asyncio.run(guarded())


def write(report: dict[str, Any], path: Path | None) -> bool:
    """Write the report where it was asked for; whether that was stdout.

    Raises:
        ConfigError: it cannot be written there.
    """
    if path is None:
        return False
    text = text_of(report)
    if str(path) == "-":
        sys.stdout.write(text)
        return True
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError((f"--json {path}: {error.strerror}",)) from error
    return False


def text_of(report: Mapping[str, Any]) -> str:
    """A report as JSON for people, too: a list of numbers is a line, and not one for each."""
    spread = json.dumps(report, indent=2) + "\n"
    # No text holds a real newline in JSON, so what matches is a list, or a list of lists.
    return _NUMBERS.sub(lambda found: "".join(found[0].split()).replace(",", ", "), spread)


def print_findings(report: dict[str, Any]) -> None:
    """A vendor a line, what is wrong and where, and the verdict."""
    for vendor, figures in report["vendors"].items():
        print(f"  {vendor:<12} " + "  ".join(f"{key} {figures[key]}" for key in figures))
    if "deliveries" in report:
        found = {**report["deliveries"], "refused": sum(report["deliveries"]["refused"].values())}
        print("  deliveries   " + "  ".join(f"{key} {found[key]}" for key in found))
    for rollout in report.get("rollouts", ()):
        print("  rollout      " + "  ".join(f"{key} {rollout[key]}" for key in rollout))
    for line in (*report["problems"], *report["evidence"]):
        print(f"  {line}")
    print(f"verdict: {report['verdict']}")
