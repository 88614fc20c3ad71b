"""What people see of a run on a terminal: a table that changes, and one in the end."""

import io
import re
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fleet_sim.meter import Moment, Row, together
from fleet_sim.watching import words

_BARS: Final = " ▁▂▃▄▅▆▇█"
_SPARK_MIN, _SPARK_MAX = 8, 96
#: More than so many times what is more than usual is a burst, and is cut off.
_BURST, _USUAL = 1.5, 0.9
_SAID_MAX: Final = 4
_DRAW_S: Final = 0.2
_BATTERY_LOW_PCT: Final = 20
#: Heading and side of each column; `_SPARK` takes the room that is left.
_SPARK: Final = "events so far"
_COLUMNS: Final[Sequence[tuple[str, Literal["left", "right"]]]] = (
    ("vendor", "left"),
    ("connected", "right"),
    ("deeds", "right"),
    ("events", "right"),
    (_SPARK, "left"),
    ("p99 ms", "right"),
    ("late", "right"),
    ("sins", "right"),
    ("batt", "right"),
    ("state", "left"),
)
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


class _Sparkline:
    """A vendor's events over the whole run, as far as it is; red while something was done to it.

    Args:
        events: by bucket, so far.
        whole: how many buckets there will be.
        acts: from and until which bucket something is done.
    """

    def __init__(
        self, events: Sequence[int], whole: float, acts: Sequence[tuple[float, float]]
    ) -> None:
        self._events = events
        self._whole = max(whole, 1)
        self._acts = acts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One character for each part of the run that is over."""
        del console
        room = min(options.max_width, _SPARK_MAX)
        wide = self._whole / room
        edges = [(at * wide, (at + 1) * wide) for at in range(room)]
        rates = [
            sum(part) / len(part)
            for begin, end in edges
            if (part := self._events[int(begin) : max(int(begin) + 1, int(end))])
        ]
        # What everybody says on arriving would dwarf the rest of the day.
        usual = sorted(filter(None, rates)) or [1]
        top = min(usual[-1], _BURST * usual[int(_USUAL * (len(usual) - 1))])
        line = Text(no_wrap=True)
        for rate, (begin, end) in zip(rates, edges, strict=False):
            struck = any(since < end and begin < until for since, until in self._acts)
            line.append(_bar(rate, top), "red" if struck else "cyan")
        yield line

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """A few characters at least."""
        del console
        return Measurement(min(_SPARK_MIN, options.max_width), min(_SPARK_MAX, options.max_width))


class LiveView:
    """A table that changes in place, with the last things said below it.

    Args:
        console: where; stderr, if absent.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = Console(stderr=True) if console is None else console
        self._said: deque[str] = deque(maxlen=_SAID_MAX)
        self._pinned = ""
        self._table: RenderableType = ""
        self._drawn_s = 0.0
        # Drawn when there is something new: a thread that draws would take time from the run.
        self._live = Live(console=self._console, auto_refresh=False)

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
        self._draw()
        self._live.__exit__(kind, error, at)

    @property
    def live(self) -> bool:
        """Whether it holds the screen."""
        return self._live.is_started

    def say(self, text: str) -> None:
        """One more line below the table."""
        self._said.append(text)
        self._draw()

    def pin(self, text: str) -> None:
        """A line that stays."""
        self._pinned = text
        self._draw()

    def show(self, moment: Moment) -> None:
        """The table anew."""
        total = replace(together("total", moment.rows), fault="")
        self._table = Group(self._heading(moment), self._rows(moment, total))
        now_s = time.monotonic()
        if now_s - self._drawn_s >= _DRAW_S:
            self._drawn_s = now_s
            self._draw()

    def _heading(self, moment: Moment) -> RenderableType:
        """What is run, how far it is, and how it looks."""
        problems, pace = len(moment.problems), words.times(moment.speed)
        unit = "minute" if moment.virtual else "second"
        verdict = Text("kept so far" if not problems else f"{problems} broken")
        verdict.stylize("green" if not problems else "bold red")
        line = Table.grid(expand=True)
        line.add_column(no_wrap=True)
        line.add_column(justify="right", no_wrap=True)
        line.add_row(
            Text.assemble((moment.scenario, "bold"), (f"  seed {moment.seed}", "dim")),
            Text.assemble("promises ", verdict),
        )
        line.add_row(
            f"{words.span(moment.elapsed_s)} of {words.span(moment.seconds)}",
            Text("   ".join([pace, words.left(moment.eta_s), f"deeds, events a {unit}"]), "dim"),
        )
        bar = Table.grid(expand=True)
        bar.add_row(ProgressBar(moment.seconds, moment.elapsed_s, complete_style="cyan"))
        return Group(line, bar)

    def _rows(self, moment: Moment, total: Row) -> Table:
        per_s = 60 if moment.virtual else 1
        table = Table(box=None, expand=True, padding=(0, 1, 0, 0), pad_edge=False)
        table.show_footer = len(moment.rows) > 1
        sums = self._cells(total, per_s, _line_of(moment, [row.vendor for row in moment.rows]))
        for (name, justify), sum_ in zip(_COLUMNS, sums, strict=True):
            table.add_column(
                name,
                justify=justify,
                no_wrap=True,
                header_style="dim",
                footer=sum_,
                footer_style="bold",
                overflow="ellipsis" if name in ("vendor", "state") else "crop",
                ratio=1 if name == _SPARK else None,
            )
        for row in moment.rows:
            table.add_row(*self._cells(row, per_s, _line_of(moment, [row.vendor])))
        return table

    def _cells(self, row: Row, per_s: int, line: _Sparkline) -> Sequence[RenderableType]:
        sins = sum(row.sins.values())
        battery = "-" if row.battery_pct is None else f"{row.battery_pct:.0f}%"
        low = row.battery_pct is not None and row.battery_pct < _BATTERY_LOW_PCT
        return (
            row.vendor,
            Text.assemble(
                (f"{row.connected}", "" if row.connected == row.devices else "yellow"),
                (f"/{row.devices}", "dim"),
            ),
            words.rate(row.deeds_per_s * per_s),
            words.rate(row.events_per_s * per_s),
            line,
            words.ms(row.p99_ms),
            Text(f"{row.late}", "yellow" if row.late else "dim"),
            Text(f"{sins}", "bold red" if sins else "dim"),
            Text(battery, "yellow" if low else ""),
            Text(row.fault, "bold red") if row.fault else Text(row.cell, _STYLES.get(row.cell, "")),
        )

    def __rich__(self) -> RenderableType:
        """What is on the screen."""
        lines = [self._pinned, *self._said] if self._pinned else self._said
        return Group(self._table, Text("\n".join(lines), "dim", overflow="ellipsis", no_wrap=True))

    def _draw(self) -> None:
        self._live.update(self.__rich__(), refresh=True)


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
            words.ms(figures["baseline_p99_ms"]),
            words.ms(figures["p99_ms"]),
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


def _line_of(moment: Moment, vendors: Sequence[str]) -> _Sparkline:
    """The events of these vendors; what was done to one of many is not shown."""
    lines = [moment.timeline.get("vendors", {}).get(vendor, {}) for vendor in vendors]
    counts = [line.get("events", ()) for line in lines]
    bucket_s = moment.timeline.get("bucket_s", 1.0)
    acts = [
        (act["at_s"] / bucket_s, act["until_s"] / bucket_s)
        for act in moment.acts
        if [act["vendor"]] == vendors
    ]
    return _Sparkline(
        [sum(each) for each in zip(*counts, strict=False)], moment.seconds / bucket_s, acts
    )


def _bar(value: float, top: float) -> str:
    """Something is never drawn as nothing."""
    if not value:
        return _BARS[0]
    return _BARS[max(1, round(min(value / top, 1) * (len(_BARS) - 1)))]
