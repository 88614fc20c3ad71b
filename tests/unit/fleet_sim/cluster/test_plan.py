"""Who does what in a run of many workers: a table of what happens, and what follows."""

from fleet_sim.cluster.plan import ATTEMPTS_MAX, Part, Plan, Restarted
from fleet_sim.journal import Digest

PART = Part({}, {}, {}, Digest())


def test_nobody_begins_before_everybody_is_built() -> None:
    plan = Plan(3)

    assert list(plan.built(2)) == []
    assert list(plan.built(0)) == []
    assert not plan.begun
    assert list(plan.built(1)) == [0, 1, 2]
    assert plan.begun


def test_a_shard_that_is_lost_is_begun_again_and_waits_for_nobody() -> None:
    plan = Plan(2)
    plan.built(0)
    plan.built(1)

    assert plan.lost(1, "killed", 2.345) == (True, [])
    assert plan.restarted == [Restarted(1, "killed", 2.35)]
    assert list(plan.built(1)) == [1]


def test_one_that_is_lost_before_the_start_holds_it_up_no_longer() -> None:
    plan = Plan(2)
    plan.built(0)

    assert plan.lost(1, "killed", 1.0) == (True, [0])
    assert list(plan.built(1)) == [1]


def test_one_that_was_ready_and_is_lost_before_the_start_is_not_let_go() -> None:
    plan = Plan(2)
    plan.built(0)
    plan.lost(0, "killed", 1.0)

    assert list(plan.built(1)) == [1]
    assert list(plan.built(0)) == [0]


def test_a_shard_is_not_begun_again_for_ever() -> None:
    plan = Plan(1)
    again = []
    for _ in range(ATTEMPTS_MAX):
        plan.built(0)
        again.append(plan.lost(0, "killed", 0.0)[0])

    assert again == [True] * (ATTEMPTS_MAX - 1) + [False]
    assert len(plan.restarted) == ATTEMPTS_MAX - 1


def test_what_one_shard_lost_another_may_lose_too() -> None:
    plan = Plan(2)

    assert all(plan.lost(shard, "killed", 0.0)[0] for shard in (0, 1, 0, 1))


def test_it_is_over_when_every_shard_came_to_its_end() -> None:
    plan = Plan(2)
    plan.done(1, PART)
    assert not plan.over
    plan.done(0, PART)
    assert plan.over
