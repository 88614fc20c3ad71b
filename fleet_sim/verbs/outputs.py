"""Where a run is shown and written: `--html`, `--junit`, `--http`, and people's view of it."""

import argparse
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from devices.errors import ConfigError
from fleet_sim.verbs import common

if TYPE_CHECKING:
    from fleet_sim.live.desk import Desk
    from fleet_sim.meter import Moment, Watch
    from fleet_sim.watching.server import RunServer

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
            help="meanwhile serve /metrics for Prometheus, /status as JSON, a page at /, and in"
            " real time /faults (on 127.0.0.1; port 0 is any that is free)",
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
def watching(options: argparse.Namespace, desk: "Desk | None" = None) -> Iterator["Watch"]:
    """Whoever watches: a view for people, and a server if one was asked for, or has a use.

    Args:
        options: what was typed.
        desk: takes what people want to break meanwhile; absent, nothing can be. With it there is
            a server in any case: the verbs `break` and `heal` find it by its card.

    Raises:
        ConfigError: what draws the view is not installed.
        StageError: the server's address cannot be had.
    """
    with ExitStack() as open_:
        view = common.view(plain=options.no_ui)
        open_.enter_context(view)
        if options.http is None and desk is None:
            yield view
            return
        from fleet_sim.watching.server import RunServer

        host, port = options.http or (_LOOPBACK, 0)
        server = open_.enter_context(RunServer(host, port, desk))
        said = [f"watch it at {server.url} (also /metrics, /status)"] if options.http else []
        if desk is not None:
            said += _lay_out_card(open_, server, options.scenario)
        if said:
            view.pin("; ".join(said))
        yield _Both(view, server)


def _lay_out_card(open_: ExitStack, server: "RunServer", what: str) -> Iterator[str]:
    """Let `break` and `heal` find the run; what there is to say of that."""
    from fleet_sim.live import card

    try:
        mine = card.Card(server.url, server.token, os.getpid(), what)
        path = open_.enter_context(card.laid_out(mine))
    except ConfigError as error:
        yield f"break it with --at {server.url}, for {error}"
        return
    if server.beyond:
        yield f"breaking it from elsewhere takes the token in {path}"


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

        put("--html", options.html, page.html_of(report).encode())
    if options.junit is not None:
        from fleet_sim.watching import junit

        put("--junit", options.junit, junit.xml_of(report))


def put(flag: str, path: Path, content: bytes) -> None:
    """Write one of the files that were asked for.

    Raises:
        ConfigError: it cannot be written there.
    """
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
