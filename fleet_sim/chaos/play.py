"""Playing an experiment: in simulated time with its twin, or on real sockets before and during."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from fleet_sim import virtual, wire_run
from fleet_sim.chaos.experiment import Experiment
from fleet_sim.chaos.oracles import Case
from fleet_sim.chaos.seen import Ear, Seen, Told
from fleet_sim.chaos.verdict import judge
from fleet_sim.findings import Findings
from fleet_sim.ledger import Ledger
from fleet_sim.life import BEGINS_MS, EPOCH_MS
from fleet_sim.meter import Watch
from fleet_sim.scenario import Scenario

#: On real sockets an experiment is pressed into so many seconds, unless somebody says another.
PRESSED_S: Final = 20.0
# Then what is broken still heals: a breaker waits for 10 s at most. News of slow polls is not owed.
_WAIT_MAX_S: Final = 10.0


def simulate(scenario: Scenario, seed: int) -> Seen:
    """One run in simulated time, as a judge sees it."""
    began_s, ear = time.perf_counter(), Ear()
    with virtual.simulated() as (folder, runner):
        run = virtual.VirtualRun(scenario, seed, folder)
        run.overhears = ear.hear
        report = runner.run(run.run())
    report["wall_s"] = round(time.perf_counter() - began_s, 2)
    torn = {
        vendor: {t: n for t, n in run.ledger.tally(vendor).garbled.items() if run.reaches(t)}
        for vendor in scenario.fleet
    }
    return replace(_seen(report, run.ledger, ear, EPOCH_MS + BEGINS_MS), torn=torn)


def virtually(experiment: Experiment, seed: int, twin: Seen | None) -> dict[str, Any]:
    """The verdict on a run in simulated time; without a twin, nobody is compared with anything."""
    return judge(Case(experiment, simulate(experiment, seed), twin))


def on_sockets(experiment: Experiment) -> Experiment | None:
    """With what of its acts can be had in real time; None if that is nothing."""
    acts = [act for act in experiment.acts if not act.impossible("real")]
    return experiment.model_copy(update={"acts": tuple(acts)}) if acts else None


async def really(
    experiment: Experiment,
    seed: int,
    *,
    seconds: float = PRESSED_S,
    broker: str = "embedded",
    watch: Watch | None = None,
) -> dict[str, Any]:
    """The verdict on a run on real sockets, in real time.

    Raises:
        StageError: broker or gateway could not be had.
    """
    ear = Ear()
    played = await wire_run.play(
        experiment,
        seed=seed,
        seconds=seconds,
        broker=broker,
        watch=watch,
        overhears=ear.hear,
        wait_max_s=_WAIT_MAX_S,
    )
    hurry = experiment.seconds / seconds
    findings = Findings(played.began_ms, experiment.fleet)
    for at_ms, body in ear.health:
        findings.health(body, played.began_ms + (at_ms - played.began_ms) * hurry)
    noted = findings.plain()
    report = {**wire_run.result(played), **{name: noted[name] for name in ("health", "maxima")}}
    return judge(Case(experiment, _seen(report, played.ledger, ear, played.began_ms, hurry)))


def _seen(
    report: Mapping[str, Any], ledger: Ledger, ear: Ear, began_ms: float, hurry: float = 1.0
) -> Seen:
    tallies = {vendor: ledger.tally(vendor) for vendor in report["vendors"]}

    def second(at_ms: float) -> float:
        return (at_ms - began_ms) / 1000 * hurry

    return Seen(
        hurry=hurry,
        report=report,
        told={
            vendor: [Told(second(at_ms - ms), ms) for at_ms, ms in tally.latencies]
            for vendor, tally in tallies.items()
        },
        said={
            vendor: [one._replace(at_s=second(one.at_s)) for one in said]
            for vendor, said in ear.said.items()
        },
        rewritten=ear.rewritten,
        reached={vendor: list(map(second, times)) for vendor, times in ear.reached.items()},
        lost_states={vendor: tally.lost_states for vendor, tally in tallies.items()},
    )
