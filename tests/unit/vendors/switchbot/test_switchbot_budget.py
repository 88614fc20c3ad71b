"""How the day's calls are spent."""

import pytest

from vendors.switchbot.budget import (
    FLOOR,
    POLL_SHARE,
    STRETCH_MAX,
    Budget,
    Purpose,
    usual_interval_ms,
)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW_MS = 1_767_225_600_000


def spent(calls: int, quota: int = 10_000, at_ms: int = NOW_MS) -> Budget:
    budget = Budget(quota)
    for _ in range(calls):
        budget.spend(at_ms)
    return budget


def test_fifty_locks_are_polled_every_twelve_minutes_and_one_as_often_as_may_be() -> None:
    assert usual_interval_ms(10_000, 50, 10_000) == 720_000
    assert usual_interval_ms(10_000, 1, 10_000) == 14_400
    assert usual_interval_ms(10_000, 1, 30_000) == 30_000
    assert usual_interval_ms(10_000, 0, 10_000) == 14_400


@pytest.mark.parametrize("locks", [1, 7, 50, 500])
def test_a_day_of_usual_polls_leaves_the_rest_for_what_happens(locks: int) -> None:
    interval_ms = Budget(10_000).interval_ms(locks, NOW_MS, 1)

    assert locks * DAY_MS / interval_ms <= 10_000 * POLL_SHARE + 1


@pytest.mark.parametrize(
    ("calls", "allowed"),
    [
        (0, set(Purpose)),
        (7_499, set(Purpose)),
        (7_500, {Purpose.HOOK, Purpose.READ_BACK, Purpose.COMMAND}),
        (8_000, {Purpose.READ_BACK, Purpose.COMMAND}),
        (9_500, {Purpose.COMMAND}),
        (9_999, {Purpose.COMMAND}),
        (10_000, set()),
    ],
)
def test_what_matters_least_stops_first(calls: int, allowed: set[Purpose]) -> None:
    budget = spent(calls)

    assert {purpose for purpose in Purpose if budget.allows(purpose, NOW_MS)} == allowed


def test_polling_slows_down_before_it_stops() -> None:
    stretches = [spent(calls).stretch(NOW_MS) for calls in range(0, 10_001, 500)]

    assert stretches == sorted(stretches)
    assert spent(6_000).stretch(NOW_MS) == 1
    assert 1 < spent(6_500).stretch(NOW_MS) < STRETCH_MAX
    assert spent(7_500).stretch(NOW_MS) == pytest.approx(STRETCH_MAX)


def test_a_call_counts_for_a_day_whenever_the_vendors_day_begins() -> None:
    budget = spent(10_000, at_ms=NOW_MS + HOUR_MS - 1)

    assert not budget.allows(Purpose.COMMAND, NOW_MS + DAY_MS)
    assert budget.allows(Purpose.COMMAND, NOW_MS + DAY_MS + HOUR_MS)


def test_no_24_hours_ever_see_more_calls_than_the_quota() -> None:
    budget, left_at_ms = Budget(500), []
    for now_ms in range(NOW_MS, NOW_MS + 3 * DAY_MS, 60_000):
        if budget.allows(Purpose.COMMAND, now_ms):
            budget.spend(now_ms)
            left_at_ms.append(now_ms)

    assert len(left_at_ms) > 1_000
    assert all(
        later - first >= DAY_MS for first, later in zip(left_at_ms, left_at_ms[500:], strict=False)
    )


def test_a_call_that_did_not_leave_is_given_back() -> None:
    budget = spent(1)

    budget.refund(NOW_MS)
    budget.refund(NOW_MS)

    assert budget.used(NOW_MS) == 0


def test_the_count_survives_a_restart_and_old_hours_do_not() -> None:
    stored: dict[str, int] = {}
    budget = Budget(10_000)
    for hour in range(30):
        now_ms = NOW_MS + hour * HOUR_MS
        for _ in range(hour + 1):
            budget.spend(now_ms)
        name, position = budget.position(now_ms)
        stored[name] = position

    again = Budget(10_000)
    again.restore(stored.get, now_ms)
    later = Budget(10_000)
    later.restore(stored.get, now_ms + 26 * HOUR_MS)

    assert again.used(now_ms) == budget.used(now_ms) == sum(range(6, 31))
    assert later.used(now_ms + 26 * HOUR_MS) == 0


def test_the_floors_are_in_the_order_of_what_matters() -> None:
    floors = [FLOOR[purpose] for purpose in Purpose]

    assert floors == sorted(floors, reverse=True)
    assert floors[-1] == 0
