"""Charts: SVG that stretches to any width, with its words beside it in HTML, so that they do not.

All charts of a page share one axis of time; a chart is as many units wide as there are buckets.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil, log10, sqrt
from typing import Final

from fleet_sim.watching import words
from fleet_sim.watching.markup import Markup, Piece, tag

#: Units from top to bottom, whatever is drawn.
HEIGHT: Final = 100
_TICKS_MAX: Final = 8
_STEPS_S: Final = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10_800, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800),
)

#: More than so many times what is more than usual is a burst; and how many of them get a word.
_BURST, _USUAL, _PEAKS_MAX = 3.0, 0.9, 4
#: So far to the right, a word stands to the left of what it is about.
_LATE_PCT: Final = 85

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Axis:
    """Time: buckets of `bucket_s` each, as `clock` calls them."""

    bucket_s: float
    clock: words.Clock

    @property
    def seconds(self) -> float:
        """In all."""
        return self.clock.whole_s

    @property
    def wide(self) -> float:
        """In units of a bucket, which the last one may not fill."""
        return self.seconds / self.bucket_s

    def share(self, at_s: float) -> float:
        """Where a second is, in per cent from the left."""
        return round(100 * min(max(at_s / self.seconds, 0), 1), 3)

    def ticks(self) -> Markup:
        """The times below a chart; on a small screen every other one."""
        step_s = next((s for s in _STEPS_S if self.seconds / s <= _TICKS_MAX), _STEPS_S[-1])
        # At round times of the clock, whenever the run began.
        first_s = -self.clock.starts_s % step_s if self.clock.tells_time else 0
        count = int((self.seconds - first_s) / step_s) + 1
        marks = [first_s + n * step_s for n in range(count)]
        return tag(
            "div",
            [
                tag(
                    "span",
                    self.clock.at(at_s),
                    class_="minor" if number % 2 else None,
                    style=f"left:{self.share(at_s)}%",
                )
                for number, at_s in enumerate(marks)
            ],
            class_="ticks",
            aria_hidden="true",
        )


@dataclass(frozen=True, slots=True)
class Scale:
    """From a value to a height: `top` is where the chart ends, `marks` are lines with a word."""

    top: float
    marks: Sequence[tuple[float, str]]
    log: bool = False

    def y(self, value: float) -> float:
        """In units from the top."""
        value = min(max(value, 0), self.top)
        share = log10(1 + value) / log10(1 + self.top) if self.log else value / self.top
        return round(HEIGHT * (1 - share), 2)


def linear(values: Iterable[float | None]) -> Scale:
    """From 0 to a round number, which is 1 at least."""
    highest = max((value for value in values if value is not None), default=0)
    top = _round_up(max(highest, 1))
    return Scale(top, [(top, words.short(top)), (top / 2, words.short(top / 2))])


def bursts(values: Sequence[float], wide: float) -> tuple[Scale, Piece]:
    """For counts: a scale on which a usual hour shows, and a word where the chart is left by more.

    What everybody says on arriving, or a storm of connections, would dwarf the rest of the day.
    """
    usual = sorted(value for value in values if value)
    if not usual:
        return linear(values), None
    limit = _BURST * usual[int(_USUAL * (len(usual) - 1))]
    scale = linear(value for value in values if value <= limit)
    over = [at for at, value in enumerate(values) if value > scale.top]
    runs = [[at for _, at in run] for _, run in groupby(enumerate(over), lambda i: i[1] - i[0])]
    peaks = sorted((max(run, key=values.__getitem__) for run in runs), key=values.__getitem__)
    return scale, [_peak(at, values[at], wide) for at in peaks[-_PEAKS_MAX:]] or None


def _peak(at: int, value: float, wide: float) -> Markup:
    share = 100 * at / wide
    side = f"left:{share:.2f}%" if share < _LATE_PCT else f"right:{100 - share:.2f}%"
    return tag("span", f"\N{UPWARDS ARROW} {words.short(value)}", class_="peak", style=side)


def _round_up(value: float) -> float:
    size = 10.0 ** (ceil(log10(value)) - 1) if value > 0 else 1.0
    # The logarithm of a float that is hardly more than a power of ten may be that of the power.
    steps = (step * size for step in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8))
    return next((step for step in steps if step >= value), 10 * size)


def logarithmic(values: Iterable[float | None]) -> Scale:
    """Of milliseconds: 0 is at the bottom, and each tenfold is as high as the one before."""
    highest = max((value for value in values if value is not None), default=0)
    decades = max(1, ceil(log10(max(highest, 1))))
    marks = [(10.0**n, _ms(10**n)) for n in range(decades + 1)]
    return Scale(10.0**decades, marks[-4:][::-1], log=True)


def _ms(value: int) -> str:
    return f"{value // 1000} s" if value >= 1000 else f"{value} ms"  # noqa: PLR2004 -- ms to s


# --- what is drawn ----------------------------------------------------------------------------


def _runs(values: Values) -> Iterator[tuple[int, int, float | None]]:
    """Neighbours that are alike, as (first, end, value)."""
    first = 0
    for value, same in groupby(values):
        end = first + sum(1 for _ in same)
        yield first, end, value
        first = end


def area(values: Values, scale: Scale, wide: float) -> Markup:
    """A histogram in one piece."""
    drawn = "".join(
        f"V{scale.y(value or 0):g}H{min(end, wide):g}" for _, end, value in _runs(values)
    )
    return tag("path", d=f"M0 {HEIGHT}{drawn}V{HEIGHT}Z", class_="area")


def steps(values: Values, scale: Scale, wide: float, class_: str) -> Markup:
    """A line that is level within a bucket, and missing where nothing is known."""
    drawn, known = [], False
    for first, end, value in _runs(values):
        if value is not None:
            y = f"{scale.y(value):g}"
            drawn.append(f"V{y}" if known else f"M{first} {y}")
            drawn.append(f"H{min(end, wide):g}")
        known = value is not None
    return tag("path", d="".join(drawn), class_=f"line {class_}")


def bands(windows: Iterable[tuple[float, float]], axis: Axis) -> list[Markup]:
    """Behind the drawing: when something was done on purpose, from and until a second."""
    return [
        tag(
            "rect",
            x=round(begin_s / axis.bucket_s, 3),
            y=0,
            width=round(max((until_s - begin_s) / axis.bucket_s, axis.wide / 500), 3),
            height=HEIGHT,
            class_="band",
        )
        for begin_s, until_s in windows
    ]


def cells(values: Values, scale: Scale, said: Callable[[int, float], str]) -> list[Markup]:
    """One row of a heat map; `said` is what a bucket's tooltip reads. What is 0 stays empty."""
    return [
        tag(
            "rect",
            tag("title", said(at, value)),
            x=at,
            y=0,
            width=1,
            height=HEIGHT,
            fill_opacity=round(shade(1 - scale.y(value) / HEIGHT), 2),
        )
        for at, value in enumerate(values)
        if value
    ]


def shade(share: float) -> float:
    """How dense a cell is drawn: by the root, so that one busy hour leaves the others visible."""
    return 0.08 + 0.92 * sqrt(share)


def svg(wide: float, title: str, desc: str, *drawn: Piece) -> Markup:
    """The drawing itself, as wide as there is room."""
    return tag(
        "svg",
        tag("title", title),
        tag("desc", desc),
        drawn,
        viewBox=f"0 0 {wide:g} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
    )


def rules(scale: Scale, wide: float) -> list[Markup]:
    """The lines of a scale's marks."""
    return [
        tag("line", x1=0, x2=f"{wide:g}", y1=scale.y(at), y2=scale.y(at), class_="rule")
        for at, _ in scale.marks
    ]


def marks(scale: Scale) -> Markup:
    """The words of a scale's marks, in the margin."""
    return tag(
        "div",
        [tag("span", word, style=f"top:{scale.y(at):g}%") for at, word in scale.marks],
        class_="marks",
        aria_hidden="true",
    )


def strip(
    label: str, scale: Scale, drawing: Markup, *, hint: str = "", peak: Piece = None
) -> Markup:
    """A chart below another: its name and marks in the margin, its drawing on the common axis."""
    return tag(
        "div",
        tag(
            "div",
            tag("b", label),
            tag("small", hint) if hint else None,
            marks(scale),
            class_="margin",
        ),
        tag("div", drawing, peak, class_="plot"),
        class_="strip",
    )


def describe(values: Values, unit: str) -> str:
    """What a chart shows, for those who do not see it."""
    known = [value for value in values if value is not None]
    if not known:
        return "Nothing was measured."
    return (
        f"From {words.count(min(known))} to {words.count(max(known))} {unit}, "
        f"{words.count(known[-1])} in the end."
    )
