"""What a report says at a glance, at the top of its page."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime

from fleet_sim.report import SINS
from fleet_sim.watching import words
from fleet_sim.watching.day import Day
from fleet_sim.watching.markup import Markup, tag
from fleet_sim.watching.tables import Report, total


def verdict(report: Report) -> Markup:
    """The answer, and what is wrong before anything else."""
    good, so_far = report["verdict"] == "pass", report.get("live", False)
    problems, evidence = report.get("problems", []), report.get("evidence", [])
    heading = "Every promise kept" if good else "A promise was broken"
    if good and so_far:
        heading = "Every promise kept so far"
    return tag(
        "section",
        tag("p", ("live" if so_far else "pass") if good else "fail", class_="stamp"),
        tag("h2", heading),
        tag("ul", [tag("li", line) for line in problems], class_="problems") if problems else None,
        tag("p", _summary(report)),
        [tag("p", _again(shard)) for shard in report.get("restarted") or ()],
        _evidence(evidence) if evidence else None,
        class_=f"verdict {'good' if good else 'bad'}",
    )


def _summary(report: Report) -> str:
    sins = {sin: total(report, sin) for sin in SINS}
    events, devices = total(report, "events"), total(report, "devices")
    if not events and not report.get("cells"):
        frames = total(report, "frames")
        return f"{devices:,} devices sent {frames:,} frames; there was no gateway to hear them."
    said = f"{devices:,} devices said {events:,} things on the bus: "
    if not any(sins.values()):
        return said + "none lost, duplicated, reordered or invented."
    return said + ", ".join(f"{n:,} {sin}" for sin, n in sins.items() if n) + "."


def _again(shard: Mapping[str, object]) -> str:
    said = f"Shard {shard.get('shard')} was begun again after {shard.get('at_s')} s"
    return f"{said}: {shard.get('why')}."


def _evidence(lines: Sequence[str]) -> Markup:
    return tag(
        "details",
        tag("summary", f"Evidence ({len(lines)})"),
        tag("ol", [tag("li", tag("code", line)) for line in lines], class_="evidence"),
        open=True,
    )


def progress(report: Report) -> Markup:
    """How far a run is that still goes on."""
    elapsed_s, seconds = float(report["elapsed_s"]), float(report["simulated_s"])
    return tag(
        "div",
        tag(
            "p",
            f"{words.span(elapsed_s)} of {words.span(seconds)}",
            f", {words.span(report['eta_s'])} left" if report.get("eta_s") is not None else None,
            class_="note",
        ),
        tag(
            "div",
            tag("i", style=f"width:{100 * elapsed_s / seconds:.1f}%"),
            class_="progress",
        ),
    )


def facts(report: Report) -> Markup:
    """What was run, how, and how to do it again."""
    live = report.get("live", False)
    pairs = [
        ("begins", _begins(report)),
        ("seed", str(report.get("seed", "-"))),
        ("plays" if live else "ran", _how(report, live=live)),
        ("digest", report.get("digest")),
        ("journal", (report.get("journal") or {}).get("digest")),
    ]
    again = tag("div", tag("dt", "again"), tag("dd", tag("code", command(report))), class_="again")
    return tag(
        "dl",
        [
            tag("div", tag("dt", name), tag("dd", tag("span", str(value))))
            for name, value in pairs
            if value
        ],
        None if live else again,
        class_="facts",
    )


def _how(report: Report, *, live: bool) -> str:
    """`24 h in 19 s (4,500x), simulated time`."""
    seconds, wall_s = (float(report.get(key) or 0) for key in ("simulated_s", "wall_s"))
    said = words.length(seconds)
    if wall_s and not live:
        said += f" in {words.span(wall_s)}"
        said += f" ({words.times(seconds / wall_s)})" if seconds > 2 * wall_s else ""
    said += ", simulated time" if report.get("time") == "virtual" else ", real sockets"
    return said + (f", broker {report['broker']}" if report.get("broker") else "")


def _begins(report: Report) -> str | None:
    """What the clock at the devices said, where a run is long enough for it to matter."""
    if not report.get("starts") or not words.Clock.of(report).tells_time:
        return None
    return datetime.fromisoformat(str(report["starts"])).strftime("%A, %H:%M")


def command(report: Report) -> str:
    """What reproduces this run; as it was typed, if the report says so."""
    if report.get("command"):
        return str(report["command"])
    verb = ["run", report.get("scenario", "SCENARIO"), "--time", report.get("time", "virtual")]
    return shlex.join(["doorfleet-sim", *map(str, verb), "--seed", str(report.get("seed", 1))])


def tiles(report: Report, day: Day | None) -> Markup:
    """The figures that people ask for first."""
    sins = sum(total(report, sin) for sin in SINS)
    shown = [
        ("devices", f"{total(report, 'devices'):,}", f"{len(report['vendors'])} vendors"),
        ("deeds", f"{total(report, 'deeds'):,}", "of people"),
        ("frames", f"{total(report, 'frames'):,}", "left devices"),
        ("events", f"{total(report, 'events'):,}", "on the bus"),
        ("sins", f"{sins:,}", "lost, duplicated, reordered, invented"),
        ("late", f"{total(report, 'late'):,}", "after more than 5 s"),
    ]
    if day is not None:
        whole = day.whole
        shown.append(
            ("latency", f"{words.ms(whole['p50_ms'])} ms", f"p99 {words.ms(whole['p99_ms'])} ms")
        )
    return tag(
        "ul",
        [
            tag(
                "li",
                tag("span", name, class_="name"),
                tag("b", value),
                tag("span", what, class_="what"),
                class_="bad" if name == "sins" and sins else None,
            )
            for name, value, what in shown
        ],
        class_="tiles",
    )
