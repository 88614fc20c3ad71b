"""The pictures of an experiment: what was broken, over each vendor's latency, events and state."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fleet_sim.report import SINS
from fleet_sim.watching import pictures, words
from fleet_sim.watching.day import Day
from fleet_sim.watching.markup import Markup, tag

One = Mapping[str, Any]

_UP: Final = "up"


def acts(day: Day) -> Markup:
    """What was broken when, on the axis of time that all pictures have."""
    return tag(
        "div", pictures.lanes(day), pictures.axis(day), class_="day", data_wide=day.axis.wide
    )


def vendors(day: Day, one: One) -> Markup:
    """A small picture of each vendor, those that were struck first."""
    struck = day.report["struck"]
    order = sorted(day.vendors, key=lambda vendor: vendor not in struck)
    return tag("div", [_card(day, vendor, one) for vendor in order], class_="cards")


def _card(day: Day, vendor: str, one: One) -> Markup:
    figures, row = day.report["vendors"][vendor], one["run"]["matrix"][vendor]
    broken = [name for name, said in row.items() if said["word"] == "broken"]
    sins = [f"{figures[sin]:,} {sin}" for sin in SINS if figures[sin]] or ["none lost or invented"]
    return tag(
        "article",
        tag(
            "header",
            tag("h3", vendor),
            tag(
                "span",
                f"broken: {', '.join(broken)}" if broken else "kept",
                class_="bad" if broken else "good",
            ),
        ),
        tag("p", f"{words.count(figures['events'])} events, {', '.join(sins)}", class_="note"),
        pictures.strips(day, vendor),
        _states(day, vendor),
        pictures.axis(day),
    )


def _states(day: Day, vendor: str) -> Markup:
    """What its cell said of itself, and of the breakers before its hosts."""
    spans = states(day.report, vendor, day.seconds)
    return tag(
        "div",
        tag("div", tag("b", "cell, breaker"), class_="margin"),
        tag(
            "div",
            [
                tag(
                    "span",
                    state if state != _UP else None,
                    class_=f"state {state}",
                    style=f"left:{day.axis.share(from_s)}%;"
                    f"width:{day.axis.share(until_s) - day.axis.share(from_s):.3f}%",
                    title=f"{day.axis.clock.window(from_s, until_s)}: {state} {reason}".rstrip(),
                )
                for from_s, until_s, state, reason in spans
            ],
            class_="plot",
        ),
        class_="strip states",
    )


def states(report: One, vendor: str, seconds: float) -> list[tuple[float, float, str, str]]:
    """From and until when the vendor's cell was in which state, and why."""
    changes: Sequence[One] = [
        change for change in report.get("health", ()) if change["cell"] == vendor
    ]
    ends = [min(float(change["at_s"]), seconds) for change in changes[1:]] + [seconds]
    return [
        (max(0.0, float(change["at_s"])), end_s, str(change["state"]), _why(change))
        for change, end_s in zip(changes, ends, strict=False)
        if end_s > max(0.0, float(change["at_s"]))
    ]


def _why(change: One) -> str:
    open_ = change.get("hosts_open", 0)
    return f"{f'{open_} breakers open; ' if open_ else ''}{change['reason'] or ''}"
