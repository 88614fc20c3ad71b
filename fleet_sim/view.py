"""What people see of a run: live tables where there is a terminal, lines where there is none."""

import io
import re
import sys
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fleet_sim.meter import Row

_BARS: Final = " ▁▂▃▄▅▆▇█"
_HISTORY: Final = 40
_SAID_MAX: Final = 6
_STYLES: Final[Mapping[str, str]] = {
    "up": "green",
    "degraded": "yellow",
    "starting": "yellow",
    "pass": "bold green",
    "fail": "bold red",
}
#: With headings that leave room on a terminal of 80 columns.
_SINS: Final[Mapping[str, str]] = {
    "lost": "lost",
    "duplicated": "dup.",
    "reordered": "reord.",
    "invented": "inv.",
}
_PICTURE_COLUMNS: Final = 80
_FONTS: Final = re.compile(r"@font-face \{.*?\}|<!-- Generated with Rich.*?-->", re.DOTALL)


class PlainView:
    """Lines on stderr: for logs, pipes and CI."""

    def __enter__(self) -> Self:
        """Nothing to set up."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Nothing to put back."""

    def say(self, text: str) -> None:
        """One line."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def show(self, elapsed_s: float, seconds: float, rows: Sequence[Row]) -> None:
        """One line a second."""
        cells = "   ".join(
            f"{row.vendor} {row.events_per_s:4.0f} ev/s p99 {_ms(row.p99_ms)}"
            + (f" [{row.fault}]" if row.fault else "")
            for row in rows
        )
        self.say(f"{elapsed_s:5.0f} s of {seconds:.0f}   {cells}")


class LiveView:
    """A table that changes in place, with the last things said below it."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._said: deque[str] = deque(maxlen=_SAID_MAX)
        self._rates: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_HISTORY))
        self._table: RenderableType = ""
        self._live = Live(console=self._console, refresh_per_second=4)

    def __enter__(self) -> Self:
        """Take the lower part of the screen."""
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Give the screen back, however it ended."""
        self._live.__exit__(kind, error, at)

    @property
    def live(self) -> bool:
        """Whether it holds the screen."""
        return self._live.is_started

    def say(self, text: str) -> None:
        """One more line below the table."""
        self._said.append(text)
        self._draw()

    def show(self, elapsed_s: float, seconds: float, rows: Sequence[Row]) -> None:
        """The table anew."""
        table = Table(expand=True, title=f"doorfleet   {elapsed_s:.0f} s of {seconds:.0f} s")
        for name, justify in (
            ("vendor", "left"),
            ("devices", "right"),
            ("cell", "left"),
            ("frames/s", "right"),
            ("events/s", "right"),
            ("", "left"),
            ("p50 ms", "right"),
            ("p99 ms", "right"),
            ("fault", "left"),
        ):
            table.add_column(name, justify=justify)  # type: ignore[arg-type]
        for row in rows:
            rates = self._rates[row.vendor]
            rates.append(row.events_per_s)
            table.add_row(
                row.vendor,
                f"{row.connected}/{row.devices}",
                Text(row.cell, _STYLES.get(row.cell, "red")),
                f"{row.frames_per_s:.0f}",
                f"{row.events_per_s:.0f}",
                Text(_sparkline(rates), "red" if row.fault else "cyan"),
                _ms(row.p50_ms),
                _ms(row.p99_ms),
                Text(row.fault, "bold red"),
            )
        self._table = table
        self._draw()

    def _draw(self) -> None:
        said = Panel("\n".join(self._said) or "…", border_style="dim")
        self._live.update(Group(self._table, said))


def print_report(report: Mapping[str, Any], picture: Path | None = None) -> None:
    """The per-vendor table and the verdict on stdout; also as an SVG picture if asked for."""
    body = Group(_table(report), _verdict(report))
    Console().print(body)
    if picture is not None:
        recorder = Console(record=True, width=_PICTURE_COLUMNS, file=io.StringIO())
        recorder.print(body)
        svg = recorder.export_svg(title="doorfleet-sim demo")
        # A picture that fetches fonts from elsewhere is no file of ours.
        picture.write_text(_FONTS.sub("", svg), encoding="utf-8")


def _table(report: Mapping[str, Any]) -> Table:
    acts = ", ".join(
        f"{act['vendor']} {act['fault']} {act['at_s']:.0f}-{act['until_s']:.0f} s"
        for act in report["acts"]
    )
    table = Table(
        box=SIMPLE_HEAD,
        title=f"{report['seconds']:.0f} s on {report['broker']}; {acts}",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("vendor", no_wrap=True)
    for name in ("devices", "frames", "events", *_SINS.values(), "p99 ms", "during"):
        table.add_column(name, justify="right", no_wrap=True)
    for vendor, figures in report["vendors"].items():
        table.add_row(
            Text(vendor, "red" if figures["broken"] else ""),
            *(f"{figures[name]:,}" for name in ("devices", "frames", "events")),
            *(Text(f"{figures[sin]:,}", "red" if figures[sin] else "green") for sin in _SINS),
            _ms(figures["baseline_p99_ms"]),
            _ms(figures["p99_ms"]),
        )
    return table


def _verdict(report: Mapping[str, Any]) -> Text:
    verdict = report["verdict"]
    text = Text(f"verdict: {verdict}", _STYLES[verdict])
    if verdict == "pass":
        text.append("  the others did not notice, and the ledger agrees with the bus", "default")
    for problem in (*report["problems"], *report["evidence"]):
        text.append(f"\n  {problem}", "default")
    return text


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _sparkline(values: Sequence[float]) -> str:
    top = max(*values, 1.0) if values else 1.0
    return "".join(_BARS[round(value / top * (len(_BARS) - 1))] for value in values)
