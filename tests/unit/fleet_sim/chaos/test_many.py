"""Many runs: which share a twin, and what they come to together."""

from typing import Any

from fleet_sim.chaos import summary
from fleet_sim.chaos.experiment import Experiment
from fleet_sim.chaos.many import Task, grouped
from fleet_sim.chaos.oracles import PROMISES


def experiment(name: str, fault: str, **more: Any) -> Experiment:
    act = {"at": 60, "for": 60, "vendor": "nuki", "fault": fault}
    return Experiment.model_validate(
        {"name": name, "hours": 0.1, "fleet": {"nuki": 1}, "acts": [act], **more}
    )


def test_those_that_would_live_alike_without_their_acts_share_a_twin() -> None:
    hang, flood = experiment("hang", "hang"), experiment("flood", "flood")
    faster = experiment("faster", "hang", pace=2)

    found = grouped([Task(one, seed) for one in (hang, flood, faster) for seed in (1, 2)])

    names = [[(task.experiment.name, task.seed) for task in group] for group in found]
    assert names == [
        [("hang", 1), ("flood", 1)],
        [("hang", 2), ("flood", 2)],
        [("faster", 1)],
        [("faster", 2)],
    ]


def report(seed: int, word: str = "kept", recover_s: float = 0.0) -> dict[str, Any]:
    row = {promise.name: {"word": "kept", "what": []} for promise in PROMISES}
    row["fast"] = {"word": word, "what": [] if word == "kept" else [f"slow with {seed}"]}
    broken = word == "broken"
    return {
        "experiment": "one",
        "description": "why",
        "seed": seed,
        "verdict": "violated" if broken else "held",
        "breaches": [{"vendor": "nuki", "promise": "fast", "what": "slow"}] if broken else [],
        "matrix": {"nuki": row},
        "times": {"detect_s": None, "contain_s": 0.0, "recover_s": recover_s},
        "recovery_s": 180.0,
    }


def test_of_many_seeds_the_worst_counts_and_the_first_violated_run_is_shown() -> None:
    found = summary.of(
        [report(3, "broken", 9.0), report(1, recover_s=4.0), report(2, "allowed")], "typed"
    )

    (one,) = found["experiments"]
    assert found["verdict"] == "violated"
    assert (one["seeds"], one["violated"], one["run"]["seed"]) == ([1, 2, 3], [3], 3)
    assert one["matrix"]["nuki"]["fast"] == {
        "word": "broken",
        "seeds": [3],
        "what": ["slow with 3"],
    }
    assert one["matrix"]["nuki"]["once"]["word"] == "kept"
    assert one["times"] == {"detect_s": None, "contain_s": 0.0, "recover_s": 9.0}
