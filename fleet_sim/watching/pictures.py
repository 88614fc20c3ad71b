"""The pictures of a report's page: the fleet's day on one axis, and a small one for each vendor."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fleet_sim.report import SINS
from fleet_sim.watching import charts, words
from fleet_sim.watching.day import Day
from fleet_sim.watching.markup import Markup, Piece, tag
from fleet_sim.watching.tables import table, total

# How wide a letter is, about, in per cent of a chart.
_LETTER_PCT: Final = 0.95


def course(day: Day) -> Markup:
    """Activity, what was done on purpose, and what became of it, on one axis of time."""
    return tag(
        "section",
        tag("h2", "The fleet's day"),
        tag(
            "div",
            _activity(day),
            lanes(day),
            _events(day),
            _connected(day),
            _latency(day),
            _battery(day),
            axis(day),
            tag("div", class_="cross", hidden=True),
            class_="day",
            data_wide=day.axis.wide,
        ),
        tag("p", "Shaded: when something was done on purpose.", class_="note")
        if day.windows()
        else None,
        _line_table("The figures behind the charts", day, day.fleet, id_="course"),
        class_="course",
    )


def _activity(day: Day) -> Markup:
    """A heat map: how much people did, by vendor and hour, for each device."""
    lines = {vendor: day.coarse(line) for vendor, line in day.vendors.items()}
    unit, unit_s = ("hour", 3600) if day.seconds >= 2 * 3600 else ("minute", 60)
    units = day.axis.bucket_s * day.map_factor / unit_s
    counts = {vendor: figures["devices"] for vendor, figures in day.report["vendors"].items()}
    each = {
        vendor: [n / max(1, counts.get(vendor, 1)) / units for n in line["deeds"]]
        for vendor, line in lines.items()
    }
    top = max((value for row in each.values() for value in row), default=0)
    scale = charts.Scale(top or 1, ())
    rows = [
        _heat_row(day, vendor, values, scale, _cell_words(day, lines[vendor]["deeds"], unit))
        for vendor, values in each.items()
    ]
    legend = tag(
        "p",
        tag("b", "What people did"),
        f" per device and {unit}: none ",
        [tag("i", style=f"opacity:{charts.shade(at / 4):.2f}") for at in range(5)],
        f" {words.short(top)}",
        class_="legend",
    )
    return tag("figure", tag("figcaption", legend), rows, class_="heat")


def _heat_row(
    day: Day,
    vendor: str,
    values: Sequence[float],
    scale: charts.Scale,
    said: Callable[[int, float], str],
) -> Markup:
    drawing = charts.svg(
        day.axis.wide / day.map_factor,
        f"Activity of {vendor}",
        charts.describe(values, "deeds per device in the same time"),
        charts.cells(values, scale, said),
    )
    return tag(
        "div",
        tag("div", tag("span", vendor), class_="margin"),
        tag("div", drawing, class_="plot"),
        class_="strip row",
    )


def _cell_words(day: Day, deeds: Sequence[int], unit: str) -> Callable[[int, float], str]:
    bucket_s = day.axis.bucket_s * day.map_factor

    def said(at: int, value: float) -> str:
        from_s, until_s = at * bucket_s, min((at + 1) * bucket_s, day.seconds)
        return (
            f"{day.axis.clock.window(from_s, until_s)}: {deeds[at]:,} deeds,"
            f" {value:.2g} per device and {unit}"
        )

    return said


def lanes(day: Day) -> Markup | None:
    """A lane for each vendor that something was done to."""
    acts = day.report.get("acts", ())
    if not acts:
        return None
    vendors = dict.fromkeys(act["vendor"] for act in acts)
    return tag(
        "figure",
        tag("figcaption", tag("p", tag("b", "What was done to it"), class_="legend")),
        [
            tag(
                "div",
                tag("div", tag("span", vendor or "everybody"), class_="margin"),
                tag("div", _bars(day, [a for a in acts if a["vendor"] == vendor]), class_="plot"),
                class_="strip lane",
            )
            for vendor in vendors
        ],
        class_="acts",
    )


def _bars(day: Day, acts: Sequence[Mapping[str, Any]]) -> list[Markup]:
    ordered = sorted(acts, key=lambda act: act["at_s"])
    nexts = [act["at_s"] for act in ordered[1:]] + [day.seconds]
    return [_bar(day, act, next_s) for act, next_s in zip(ordered, nexts, strict=True)]


def _bar(day: Day, act: Mapping[str, Any], next_s: float) -> Markup:
    """A name that does not fit into its bar may go on beside it, if nothing else is there."""
    left, right = day.axis.share(act["at_s"]), day.axis.share(act["until_s"])
    when = day.axis.clock.window(act["at_s"], act["until_s"])
    roomy = day.axis.share(next_s) - left > len(act["fault"]) * _LETTER_PCT
    return tag(
        "span",
        tag("span", act["fault"]),
        class_="act roomy" if roomy else "act",
        style=f"left:{left}%;width:{max(right - left, 0.2):.3f}%",
        title=f"{when} {words.act(act)}",
    )


def _drawing(day: Day, title: str, desc: str, scale: charts.Scale, *drawn: Piece) -> Markup:
    wide = day.axis.wide
    backdrop = [charts.bands(day.windows(), day.axis), charts.rules(scale, wide)]
    return charts.svg(wide, title, desc, backdrop, drawn)


def _events(day: Day) -> Markup:
    values = day.per_minute(day.fleet["events"])
    scale, peak = charts.bursts(values, day.axis.wide)
    drawn = charts.area(values, scale, day.axis.wide)
    desc = charts.describe(values, "events per minute")
    drawing = _drawing(day, "Events", desc, scale, drawn)
    return charts.strip("events/min", scale, drawing, peak=peak)


def _connected(day: Day) -> Markup:
    devices = total(day.report, "devices")
    scale = charts.Scale(max(devices, 1), [(devices, f"{devices:,}"), (0, "0")])
    worst, at_end = day.fleet["connected_min"], day.fleet["connected"]
    drawn = (
        charts.steps(worst, scale, day.axis.wide, "second"),
        charts.steps(at_end, scale, day.axis.wide, "first"),
    )
    # Before anybody is there nobody is missing.
    desc = charts.describe(worst[1:] or worst, "devices connected, at the worst moment")
    return charts.strip(
        "connected",
        scale,
        _drawing(day, "Connections", desc, scale, drawn),
        hint="thin: at worst",
    )


def _latency(day: Day) -> Markup:
    p50, p99 = day.fleet["p50_ms"], day.fleet["p99_ms"]
    scale = charts.logarithmic(p99)
    drawn = (
        charts.steps(p99, scale, day.axis.wide, "first"),
        charts.steps(p50, scale, day.axis.wide, "second"),
    )
    desc = charts.describe(p99, "ms at the 99th percentile")
    return charts.strip(
        "p99 latency",
        scale,
        _drawing(day, "Latency", desc, scale, drawn),
        hint="thin: p50",
    )


def _battery(day: Day) -> Markup | None:
    values = day.fleet["battery_pct"]
    if all(value is None for value in values):
        return None
    scale = charts.Scale(100, [(100, "100%"), (50, "50%"), (0, "0%")])
    lines = [
        charts.steps(line["battery_pct"], scale, day.axis.wide, "second")
        for line in day.vendors.values()
    ]
    drawn = (lines, charts.steps(values, scale, day.axis.wide, "first"))
    desc = charts.describe(values, "per cent of charge on average")
    return charts.strip(
        "batteries",
        scale,
        _drawing(day, "Batteries", desc, scale, drawn),
        hint="thin: a vendor",
    )


def _line_table(
    title: str, day: Day, line: Mapping[str, Sequence[Any]], id_: str | None = None
) -> Markup:
    """A chart's figures, for those who do not see it or want to count."""
    names = {
        "deeds": "deeds",
        "frames": "frames",
        "events": "events",
        "connected": "connected",
        "connected_min": "at worst",
        "p50_ms": "p50 ms",
        "p99_ms": "p99 ms",
        "battery_pct": "battery %",
    }
    if all(value is None for value in line["battery_pct"]):
        del names["battery_pct"]
    rows = [
        [day.axis.clock.at(at * day.axis.bucket_s)]
        + [words.count(line[name][at]) for name in names]
        for at in range(len(line["events"]))
    ]
    return tag(
        "details",
        tag("summary", title),
        table(["from", *names.values()], rows, id_=id_, label=title),
        class_="figures",
    )


# --- by vendor --------------------------------------------------------------------------------


def vendors(day: Day) -> Markup:
    """A small picture of each, all on the same axis."""
    return tag(
        "section",
        tag("h2", "By vendor"),
        tag("div", [_card(day, vendor) for vendor in day.vendors], class_="cards"),
        class_="vendors",
    )


def strips(day: Day, vendor: str) -> Sequence[Markup]:
    """One vendor's events and latency over time, above what was done to it."""
    line, wide = day.vendors[vendor], day.axis.wide
    events = day.per_minute(line["events"])
    (amount, peak), took = charts.bursts(events, wide), charts.logarithmic(line["p99_ms"])
    backdrop = charts.bands(day.windows(vendor), day.axis)
    return (
        charts.strip(
            "events/min",
            amount,
            charts.svg(
                wide,
                f"Events of {vendor}",
                charts.describe(events, "events per minute"),
                backdrop,
                charts.rules(amount, wide),
                charts.area(events, amount, wide),
            ),
            peak=peak,
        ),
        charts.strip(
            "p99",
            took,
            charts.svg(
                wide,
                f"Latency of {vendor}",
                charts.describe(line["p99_ms"], "ms at the 99th percentile"),
                backdrop,
                charts.rules(took, wide),
                charts.steps(line["p99_ms"], took, wide, "first"),
            ),
        ),
    )


def axis(day: Day) -> Markup:
    """The time of day or week below pictures that share it."""
    return tag(
        "div",
        tag("div", class_="margin"),
        tag("div", day.axis.ticks(), class_="plot"),
        class_="strip axis",
    )


def _card(day: Day, vendor: str) -> Markup:
    line, figures = day.vendors[vendor], day.report["vendors"].get(vendor, {})
    sins = sum(figures.get(sin) or 0 for sin in SINS)
    devices = figures.get("devices", 0)
    lowest = min(line["connected_min"][1:] or [devices])
    return tag(
        "article",
        tag(
            "header",
            tag("h3", vendor),
            tag("span", f"{sins} sins" if sins else "kept", class_="bad" if sins else "good"),
        ),
        tag(
            "p",
            f"{words.count(devices)} devices, {words.count(figures.get('events', 0))} events, "
            f"p99 {words.ms(figures.get('p99_ms'))} ms"
            + (f", at worst {lowest:,} connected" if lowest < devices else ""),
            class_="note",
        ),
        strips(day, vendor),
        axis(day),
        _line_table("Figures", day, line),
    )
