"""Figures and problems of a run."""

import pytest

from fleet_sim.ledger import Tally
from fleet_sim.report import figures, percentile, problems


@pytest.mark.parametrize(
    ("values", "per_cent", "expected"),
    [([], 99, None), ([3.0], 99, 3.0), ([1.0, 2.0, 3.0, 4.0], 50, 2.0), (range(1, 101), 99, 99)],
)
def test_percentiles_are_of_the_nearest_rank(values, per_cent, expected) -> None:
    assert percentile(list(values), per_cent) == expected


def test_figures_are_those_of_the_tally() -> None:
    tally = Tally(devices=2, frames=9, events=3, lost=1, latencies=[(0, 4.0), (0, 8.0)])

    found = figures(tally)

    assert (found["devices"], found["frames"], found["events"], found["lost"]) == (2, 9, 3, 1)
    assert (found["p50_ms"], found["p99_ms"]) == (4.0, 8.0)


@pytest.mark.parametrize("sin", ["lost", "duplicated", "reordered", "invented"])
def test_each_sin_is_a_problem(sin: str) -> None:
    tally = Tally(devices=1, events=1, **{sin: 2})

    assert problems({"nuki": tally}, {"nuki": {"state": "up"}}) == [f"nuki: 2 {sin}"]


def test_silence_and_an_unwell_cell_are_problems() -> None:
    assert problems({"nuki": Tally(devices=1)}, {"a": {"state": "degraded", "reason": "disk"}}) == [
        "nuki: not one event came",
        "a: its cell is degraded: disk",
    ]
