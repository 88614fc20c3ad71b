"""The verdict on an experiment: each vendor against each promise, and how long it took; pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from fleet_sim.chaos.convergence import contained_s, detected_s, last_trouble
from fleet_sim.chaos.experiment import Experiment
from fleet_sim.chaos.oracles import PROMISES, Case
from fleet_sim.chaos.seen import Seen
from fleet_sim.demo import compared, slowed
from fleet_sim.report import percentile

HELD: Final = "held"
VIOLATED: Final = "violated"
#: Who an experiment as a whole is said of.
_ALL: Final = ""


class Word(StrEnum):
    """What is said of a vendor and a promise."""

    KEPT = "kept"
    ALLOWED = "allowed"  #: broken as far as the blast radius allows
    BROKEN = "broken"
    UNSEEN = "unseen"  #: this run had nothing to look at


def judge(case: Case) -> dict[str, Any]:
    """The run's report with the verdict in it, as plain JSON values.

    Shape:
        `verdict`: held or violated. `breaches`: [{vendor, promise, what}]. `matrix`: {vendor:
        {promise: {word, what: [text]}}}. `steady_state`: [{what, wanted, found, met}]. `times`:
        {detect_s, contain_s, recover_s}, in seconds as they were lived, None for never. `struck`:
        vendors that something may happen to.
    """
    experiment, run = case.experiment, case.run
    steady = steady_state(experiment, run)
    matrix = {vendor: _row(case, vendor) for vendor in experiment.fleet}
    breaches = [
        {"vendor": vendor, "promise": promise, "what": what}
        for vendor, row in matrix.items()
        for promise, one in row.items()
        if one["word"] is Word.BROKEN
        for what in one["broken"]
    ] + [
        {"vendor": _ALL, "promise": "steady state", "what": _unmet(one)}
        for one in steady
        if not one["met"]
    ]
    return {
        **run.report,
        "experiment": experiment.name,
        "verdict": VIOLATED if breaches else HELD,
        "breaches": breaches,
        "problems": [sentence(breach) for breach in breaches],
        "matrix": matrix,
        "steady_state": steady,
        "times": times(case),
        "recovery_s": experiment.recovery_s,
        "struck": [vendor for vendor in experiment.fleet if experiment.allowed(vendor)],
    }


def sentence(breach: Mapping[str, Any]) -> str:
    """One breach, for people."""
    who = f"{breach['vendor']}: " if breach["vendor"] else ""
    return f"{who}{breach['promise']}: {breach['what']}"


def _row(case: Case, vendor: str) -> dict[str, dict[str, Any]]:
    allowed = case.experiment.allowed(vendor)
    row: dict[str, dict[str, Any]] = {}
    for promise in PROMISES:
        found = promise.look(case, vendor)
        if found is None:
            row[promise.name] = {"word": Word.UNSEEN, "what": [], "broken": []}
            continue
        broken = [breach.what for breach in found if breach.by not in allowed]
        word = Word.BROKEN if broken else Word.ALLOWED if found else Word.KEPT
        row[promise.name] = {
            "word": word,
            "what": [breach.what for breach in found],
            "broken": broken,
        }
    return row


def steady_state(experiment: Experiment, run: Seen) -> list[dict[str, Any]]:
    """Each hypothesis about the time before the acts: what was wanted, and found."""
    wanted, until_s = experiment.steady_state, experiment.begins_s
    found: list[dict[str, Any]] = []
    for vendor in experiment.fleet:
        events = sum(one.at_s < until_s for one in run.said.get(vendor, ()))
        per_min = round(60 * events * run.hurry / until_s, 2)
        least = wanted.events_per_min_min
        what = f"{vendor}: events a minute"
        found.append(_hypothesis(what, f"{least:g} or more", per_min, met=per_min >= least))
        p99_ms = percentile(run.announced(vendor, until_s), 99)
        met = p99_ms is None or p99_ms <= wanted.p99_ms_max
        most = f"{wanted.p99_ms_max:g} or less"
        found.append(_hypothesis(f"{vendor}: p99, ms", most, p99_ms, met=met))
        if wanted.cells_up:
            ill = _ill_before(run, vendor, until_s)
            found.append(_hypothesis(f"{vendor}: its cell", "up", ill or "up", met=ill is None))
    return found


def _hypothesis(what: str, wanted: str, found: object, *, met: bool) -> dict[str, Any]:
    return {"what": what, "wanted": wanted, "found": found, "met": met}


def _ill_before(run: Seen, vendor: str, until_s: float) -> str | None:
    before = [change for change in run.health(vendor) if change["at_s"] < until_s]
    if not before or before[-1]["state"] == "up":
        return None
    return f"{before[-1]['state']}: {before[-1]['reason']}"


def _unmet(one: Mapping[str, Any]) -> str:
    return f"{one['what']}: {one['found']}, wanted {one['wanted']}"


def times(case: Case) -> dict[str, Any]:
    """To see it, to keep it from others, to be well again; in seconds as they were lived.

    To see it counts for the vendor that took longest of those that were seen.
    """
    experiment, run = case.experiment, case.run
    struck = [vendor for vendor in experiment.fleet if experiment.acts_on(vendor)]
    seen = {vendor: detected_s(experiment, run, vendor) for vendor in struck}
    found = [at_s for at_s in seen.values() if at_s is not None]
    recovered = {
        vendor: None if (last := last_trouble(experiment, run, case.twin, vendor)) is None
        else round(last.after_s, 1)
        for vendor in experiment.fleet
    }  # fmt: skip
    return {
        "detect_s": round(max(found), 1) if found else None,
        "contain_s": round(max(_out_of_limits(case), default=0.0), 1),
        "recover_s": max((at_s for at_s in recovered.values() if at_s is not None), default=0.0),
        "by_vendor": {
            vendor: {"detect_s": seen.get(vendor), "recover_s": recovered[vendor]}
            for vendor in experiment.fleet
        },
    }


def _out_of_limits(case: Case) -> Sequence[float]:
    """Of each healthy vendor that was slower than it may be: for how long."""
    experiment, found = case.experiment, []
    for vendor in experiment.healthy:
        during = case.run.latencies(vendor, case.began_s, case.over_s)
        figures = compared(case.baseline(vendor), during)
        if slowed(figures) is not None:
            found.append(contained_s(experiment, case.run, vendor, figures["allowed_ms"]))
    return found
