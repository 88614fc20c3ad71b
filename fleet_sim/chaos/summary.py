"""Many verdicts as one: by experiment, what was broken with which seeds; plain values."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fleet_sim.chaos.oracles import PROMISES
from fleet_sim.chaos.verdict import HELD, VIOLATED, Word

Report = Mapping[str, Any]

#: The worst word counts.
_WORST: Final = (Word.BROKEN, Word.ALLOWED, Word.KEPT, Word.UNSEEN)
_TIMES: Final = ("detect_s", "contain_s", "recover_s")


def of(reports: Sequence[Report], command: str) -> dict[str, Any]:
    """What is written as JSON, and drawn.

    Shape:
        {"verdict", "command", "seeds": n, "experiments": [{"experiment", "description",
        "verdict", "seeds": [n], "violated": [seed], "breaches": [{"seed", "vendor", "promise",
        "what"}], "matrix": {vendor: {promise: {"word", "seeds": [those of that word], "what"}}},
        "times": {name: the longest}, "run": the report of the run that is shown}]}

    Args:
        reports: see `fleet_sim.chaos.verdict.judge`, each with its `command`.
        command: what was typed.
    """
    by_name: dict[str, list[Report]] = {}
    for report in sorted(reports, key=lambda one: one["seed"]):
        by_name.setdefault(report["experiment"], []).append(report)
    experiments = [_one(name, runs) for name, runs in by_name.items()]
    bad = any(one["verdict"] == VIOLATED for one in experiments)
    return {
        "verdict": VIOLATED if bad else HELD,
        "command": command,
        "runs": len(reports),
        "experiments": experiments,
    }


def _one(name: str, runs: Sequence[Report]) -> dict[str, Any]:
    violated = [run for run in runs if run["verdict"] == VIOLATED]
    return {
        "experiment": name,
        "description": runs[0]["description"],
        "verdict": VIOLATED if violated else HELD,
        "seeds": [run["seed"] for run in runs],
        "violated": [run["seed"] for run in violated],
        "breaches": [{"seed": run["seed"], **breach} for run in runs for breach in run["breaches"]],
        "matrix": {
            vendor: {promise.name: _worst(runs, vendor, promise.name) for promise in PROMISES}
            for vendor in runs[0]["matrix"]
        },
        "times": {name: _longest(runs, name) for name in _TIMES},
        "recovery_s": runs[0]["recovery_s"],
        "run": (violated or runs)[0],
    }


def _worst(runs: Sequence[Report], vendor: str, promise: str) -> dict[str, Any]:
    found = [(run["seed"], run["matrix"][vendor][promise]) for run in runs]
    word = next(word for word in _WORST if any(one["word"] == word for _, one in found))
    of_it = [(seed, one) for seed, one in found if one["word"] == word]
    return {
        "word": word,
        "seeds": [seed for seed, _ in of_it],
        "what": list(of_it[0][1]["what"]),
    }


def _longest(runs: Sequence[Report], name: str) -> float | None:
    known = [run["times"][name] for run in runs if run["times"][name] is not None]
    return max(known, default=None)
