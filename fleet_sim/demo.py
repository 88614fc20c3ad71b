"""The demo: a fleet, a gateway and a bus; one vendor is broken, and the ledger says who was hurt.

0 ─── warm-up ─── baseline ─── hang ─── healed ─── flood ─── healed ─── verdict
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, log1p
from typing import Any, Final

from fleet_sim import report, wire_run
from fleet_sim.ledger import Tally
from fleet_sim.meter import Watch
from fleet_sim.report import percentile
from fleet_sim.scenario import Scenario

#: A failing vendor may cost the others this much of their own baseline, and this on top.
P99_FACTOR: Final = 1.25
P99_SLACK_MS: Final = 2.0
VENDORS: Final = ("ratgdo", "nuki", "uhppote")
BROKEN: Final = "nuki"
SECONDS_MIN: Final = 10

# Shares of the whole, so that a short run shows the same.
_WARM: Final = 0.1
_HANG: Final = (0.4, 0.57)
_FLOOD: Final = (0.65, 0.85)
_FLOOD_FACTOR: Final = 20
# People use their doors this many times as often as in life, or there would be little to see.
_PACE: Final = 1_500
# Below this many events a 99th percentile is one event's luck.
_SAMPLES_MIN: Final = 100
# Above it still some of it is luck: four slow ones of 365 are a p99, and one hiccup of the machine.
# Who is called hurt has more slow ones than chance brings a healthy vendor in 1,000 such runs.
_CHANCE: Final = 0.001
_SLOW_SHARE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may choose; `broken` is one of `vendors`."""

    seconds: float = 60.0
    devices: int = 300
    seed: int = 1
    broker: str = "embedded"
    vendors: tuple[str, ...] = VENDORS
    broken: str = BROKEN


def scenario(options: Options) -> Scenario:
    """What is played."""
    share, rest = divmod(options.devices, len(options.vendors))

    def act(fault: str, window: tuple[float, float], **settings: float) -> dict[str, Any]:
        begin_s, end_s = (round(part * options.seconds, 1) for part in window)
        return {
            "at": begin_s,
            "for": end_s - begin_s,
            "vendor": options.broken,
            "fault": fault,
            "settings": settings,
        }

    return Scenario.model_validate(
        {
            "name": "demo",
            "hours": options.seconds / 3600,
            "pace": _PACE,
            "fleet": {vendor: share + (at < rest) for at, vendor in enumerate(options.vendors)},
            "acts": [act("hang", _HANG), act("flood", _FLOOD, rate_factor=_FLOOD_FACTOR)],
        }
    )


async def run(options: Options, watch: Watch) -> dict[str, Any]:
    """The whole run; the report as plain JSON values.

    Raises:
        StageError: the broker or the gateway could not be had, or ended.
    """
    played = await wire_run.play(
        scenario(options), seed=options.seed, broker=options.broker, watch=watch
    )
    return judge(played)


def judge(played: wire_run.Played) -> dict[str, Any]:
    """Hold everything against everything."""
    tallies = played.ledger.close(newest_owed=played.settled)
    broken = str(played.scenario.acts[0].vendor)
    vendors = {
        vendor: _figures(tallies[vendor], played, vendor) for vendor in played.scenario.fleet
    }
    problems = report.problems(tallies, wire_run.cells_of(played))
    problems += [
        f"{vendor}: {problem} while {broken} failed{allowed}"
        for vendor, figures in vendors.items()
        if vendor != broken and (found := slowed(figures)) is not None
        for problem, allowed in [found]
    ]
    return {
        "broker": played.broker,
        "seconds": played.seconds,
        "seed": played.seed,
        "devices": sum(played.scenario.fleet.values()),
        "verdict": "fail" if problems else "pass",
        "problems": problems,
        "vendors": vendors,
        "evidence": [line for vendor in vendors for line in tallies[vendor].evidence],
        **wire_run.course_of(played),
    }


def _figures(tally: Tally, played: wire_run.Played, vendor: str) -> dict[str, Any]:
    """One vendor's line: latencies while another one fails, and before."""
    first, *_, last = played.scenario.acts
    baseline = between(played, tally, _WARM * played.seconds, first.at_s)
    during = between(played, tally, first.at_s, last.until_s)
    return {
        **report.figures(tally),
        **compared(baseline, during),
        "broken": vendor == first.vendor,
    }


def between(played: wire_run.Played, tally: Tally, begin_s: float, end_s: float) -> Sequence[float]:
    """The latencies, in ms, of what devices told between two seconds of the run."""
    begin_ms, end_ms = (played.began_ms + at_s * 1000 for at_s in (begin_s, end_s))
    return [ms for at_ms, ms in tally.latencies if begin_ms <= at_ms - ms < end_ms]


def compared(
    baseline: Sequence[float], during: Sequence[float], factor: float = P99_FACTOR
) -> dict[str, Any]:
    """Percentiles of both, in ms; how many samples they rest on, and how many are `slow`.

    Slow is what took longer than a p99 may: `allowed_ms`, `factor` of the baseline's and a bit.
    """
    before_ms = percentile(baseline, 99)
    allowed_ms = None if before_ms is None else round(factor * before_ms + P99_SLACK_MS, 1)
    return {
        "p50_ms": percentile(during, 50),
        "p99_ms": percentile(during, 99),
        "baseline_p50_ms": percentile(baseline, 50),
        "baseline_p99_ms": before_ms,
        "allowed_ms": allowed_ms,
        "samples": [len(baseline), len(during)],
        "slow": 0 if allowed_ms is None else sum(round(ms, 1) > allowed_ms for ms in during),
    }


def slowed(figures: Mapping[str, Any]) -> tuple[str, str] | None:
    """What became of a healthy vendor's latency and what is allowed, if it is more than that."""
    if min(figures["samples"]) < _SAMPLES_MIN:
        return None
    if at_least(figures["slow"], of=figures["samples"][1], share=_SLOW_SHARE) > _CHANCE:
        return None
    return f"p99 {figures['p99_ms']} ms", f", allowed are {figures['allowed_ms']} ms"


def at_least(count: int, *, of: int, share: float) -> float:
    """How likely `count` or more of so many are what each is with the probability `share`."""
    # In logarithms: of 75,000, the chance that not one is so is no float any more.
    log_just_k = of * log1p(-share)
    fewer = 0.0
    for k in range(min(count, of + 1)):
        if k:
            log_just_k += log((of - k + 1) / k * share / (1 - share))
        fewer += exp(log_just_k)
    return max(0.0, 1 - fewer)
