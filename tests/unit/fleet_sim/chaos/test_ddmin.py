"""The fewest of a list that still fail."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as some

from fleet_sim.chaos.ddmin import ddmin


def test_one_that_is_to_blame_is_found_alone() -> None:
    assert ddmin(range(40), lambda part: 17 in part) == [17]


def test_two_that_are_to_blame_together_are_found_together() -> None:
    tries: list[Sequence[int]] = []

    def fails(part: Sequence[int]) -> bool:
        tries.append(part)
        return {3, 30} <= set(part)

    assert ddmin(range(40), fails) == [3, 30]
    assert len(tries) < 100


@given(some.sets(some.integers(0, 30), min_size=1, max_size=5))
def test_what_is_left_fails_and_nothing_of_it_can_go(guilty: set[int]) -> None:
    found = ddmin(range(31), lambda part: guilty <= set(part))

    assert found == sorted(guilty)


def test_what_fails_whatever_is_in_it_is_one_long() -> None:
    assert len(ddmin(range(10), lambda _: True)) == 1
