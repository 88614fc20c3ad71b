"""Each vendor broken in turn, in one run: who else was hurt?

0 ─── baseline ─── vendor A: hang, flood, … ─── vendor B: … ─── verdict

What a vendor can suffer depends on what it is: servers also answer 500 to everything, and those
that speak TLS show a certificate that nobody trusts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet_sim import report, wire_run
from fleet_sim.demo import between, compared, slowed
from fleet_sim.fleet import Population
from fleet_sim.ledger import Tally
from fleet_sim.meter import Watch
from fleet_sim.scenario import Scenario

#: Of every vendor; and of servers, and of those with TLS, besides.
FAULTS: Final = ("hang", "flood")
OF_SERVERS: Final = ("server_error",)
OF_TLS: Final = ("bad_certificate",)
#: Everybody is well for so long, and the first part of it is not looked at.
BASELINE_S: Final = 20.0
_WARM_S: Final = 4.0
_FLOOD_FACTOR: Final = 20
_PACE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may choose: each fault lasts `fault_s`, and `rest_s` pass before the next."""

    vendors: tuple[str, ...]
    devices: int = 50
    fault_s: float = 3.0
    rest_s: float = 2.0
    seed: int = 1
    broker: str = "embedded"


def faults_of(vendor: str) -> Sequence[str]:
    """What this vendor's links can suffer."""
    hubs = [device.hub for device in Population(vendor, 1, 0, 0).devices]
    servers = [hub for hub in hubs if hub is not None and hub.session is None]
    more = OF_SERVERS if servers else ()
    return (*FAULTS, *more, *(OF_TLS if any(hub.tls for hub in servers) else ()))


def scenario(options: Options) -> Scenario:
    """What is played."""
    acts, at_s = [], BASELINE_S
    for vendor in options.vendors:
        for fault in faults_of(vendor):
            settings = {"rate_factor": _FLOOD_FACTOR} if fault == "flood" else {}
            act = {"at": at_s, "for": options.fault_s, "vendor": vendor, "fault": fault}
            acts.append({**act, "settings": settings})
            at_s += options.fault_s + options.rest_s
    return Scenario.model_validate(
        {
            "name": "bulkheads",
            "hours": (at_s + options.rest_s) / 3600,
            "pace": _PACE,
            "fleet": dict.fromkeys(options.vendors, options.devices),
            "acts": acts,
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
    """Hold every vendor's promises against the time in which others failed."""
    tallies = played.ledger.close(newest_owed=played.settled)
    problems = report.problems(tallies, wire_run.cells_of(played))
    vendors, turns = {}, []
    for vendor in played.scenario.fleet:
        figures = _figures(tallies[vendor], played, vendor)
        vendors[vendor] = {**report.figures(tallies[vendor]), **figures}
        if (found := slowed(figures)) is not None:
            problems.append(f"{vendor}: {found[0]} while others failed{found[1]}")
    for act in played.scenario.acts:
        hurt = _slowed_in(played, str(act.vendor), act.at_s, act.until_s)
        turns.append(
            {"vendor": act.vendor, "fault": act.fault, "at_s": act.at_s, "until_s": act.until_s}
            | {"p99_ms": hurt}
        )
    return {
        "broker": played.broker,
        "seconds": played.seconds,
        "seed": played.seed,
        "verdict": "fail" if problems else "pass",
        "problems": problems,
        "vendors": vendors,
        "turns": turns,
        "evidence": [line for vendor in vendors for line in tallies[vendor].evidence],
        **wire_run.course_of(played),
    }


def _figures(tally: Tally, played: wire_run.Played, vendor: str) -> dict[str, Any]:
    """A vendor's latencies while anybody else failed, beside its baseline."""
    baseline = between(played, tally, _WARM_S, BASELINE_S)
    during = [
        ms
        for act in played.scenario.acts
        if act.vendor != vendor
        for ms in between(played, tally, act.at_s, act.until_s)
    ]
    return compared(baseline, during)


def _slowed_in(
    played: wire_run.Played, broken: str, begin_s: float, end_s: float
) -> dict[str, float | None]:
    """Everybody else's p99 within one turn, for people: a turn has few samples."""
    return {
        vendor: report.percentile(between(played, played.ledger.tally(vendor), begin_s, end_s), 99)
        for vendor in played.scenario.fleet
        if vendor != broken
    }
