"""Where a run is shown and written: `--html`, `--junit`, `--http`, and people's view of it."""

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from devices.errors import ConfigError
from fleet_sim.verbs import common

if TYPE_CHECKING:
    from fleet_sim.meter import Moment, Watch

_LOOPBACK: Final = "127.0.0.1"
_PORT_MAX: Final = 65_535
#: What changes where a run is shown, and not what it does.
_SHOWING: Final = ("--json", "--html", "--junit", "--http", "--svg", "--journal")
_SHOWING_ALONE: Final = ("--no-ui",)


def arguments(sub: argparse.ArgumentParser, *, http: bool = True) -> None:
    """The options of every subcommand that makes a report."""
    group = sub.add_argument_group("watching")
    group.add_argument("--html", type=Path, metavar="FILE", help="write the report as a web page")
    group.add_argument(
        "--junit", type=Path, metavar="FILE", help="write JUnit XML: each vendor's promises"
    )
    if http:
        group.add_argument(
            "--http",
            type=address,
            metavar="[HOST:]PORT",
            help="meanwhile serve /metrics for Prometheus, /status as JSON, and a page at /"
            " (on 127.0.0.1; port 0 is any that is free)",
        )


def address(given: str) -> tuple[str, int]:
    """`8080`, `0.0.0.0:8080` or `[::1]:8080`, as argparse wants its types."""
    host, _, port = given.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if (":" in bare and bare == host) or not (
        port.isascii() and port.isdigit() and int(port) <= _PORT_MAX
    ):
        raise argparse.ArgumentTypeError(f"{given!r} is no [HOST:]PORT; write 9100 or [::1]:9100")
    return bare or _LOOPBACK, int(port)


def problems(options: argparse.Namespace) -> list[str]:
    """What could not be written in the end: better said before a long run."""
    return common.unwritable(("--html", options.html), ("--junit", options.junit))


@contextmanager
def watching(options: argparse.Namespace) -> Iterator["Watch"]:
    """Whoever watches: a view for people, and a server if one was asked for.

    Raises:
        ConfigError: what draws the view is not installed.
        StageError: the server's address cannot be had.
    """
    with ExitStack() as open_:
        view = common.view(plain=options.no_ui)
        open_.enter_context(view)
        if options.http is None:
            yield view
            return
        from fleet_sim.watching.server import RunServer

        server = open_.enter_context(RunServer(*options.http))
        view.pin(f"watch it at {server.url} (also /metrics, /status)")
        yield _Both(view, server)


class _Both:
    """Two that watch."""

    def __init__(self, *all_: "Watch") -> None:
        self._all = all_

    def say(self, text: str) -> None:
        for one in self._all:
            one.say(text)

    def show(self, moment: "Moment") -> None:
        for one in self._all:
            one.show(moment)


def write(options: argparse.Namespace, report: Mapping[str, Any]) -> None:
    """The files that were asked for.

    Raises:
        ConfigError: one of them cannot be written.
    """
    if options.html is not None:
        from fleet_sim.watching import page

        _write("--html", options.html, page.html_of(report).encode())
    if options.junit is not None:
        from fleet_sim.watching import junit

        _write("--junit", options.junit, junit.xml_of(report))


def _write(flag: str, path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigError((f"{flag} {path}: {error.strerror}",)) from error


def command(typed: Sequence[str]) -> str:
    """What was typed, without what only says where to show it: it does the same again."""
    kept: list[str] = []
    skip = False
    for word in typed:
        if skip:
            skip = False
        elif word in _SHOWING:
            skip = True
        elif word.partition("=")[0] not in (*_SHOWING, *_SHOWING_ALONE):
            kept.append(word)
    return shlex.join(["doorfleet-sim", *kept])
