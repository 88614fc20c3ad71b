"""When in the week people do things: exact, whatever the shape is."""

from collections import Counter
from datetime import timedelta

import pytest

from fleet_sim.chance import stream
from fleet_sim.habits import Habits, Manner
from fleet_sim.world.fields import DAYS, MONDAY
from fleet_sim.world.rhythm import FLAT, RHYTHMS, Rhythm
from fleet_sim.world.weektime import DAY_MS, HOUR_MS, HOURS, WEEK_MS, WallClock

ONLY_EIGHT = Rhythm([0.0] * 8 + [1.0] + [0.0] * 15)


@pytest.mark.parametrize("name", RHYTHMS)
def test_a_week_of_each_holds_as_much_as_an_even_one(name: str) -> None:
    rhythm = RHYTHMS[name]

    assert len(rhythm.hours) == HOURS
    assert sum(rhythm.hours) == pytest.approx(HOURS)
    assert min(rhythm.hours) >= 0


@pytest.mark.parametrize("name", RHYTHMS)
@pytest.mark.parametrize("at_h", [0, 7.25, 23.999, 100.5, 167.9])
@pytest.mark.parametrize("mean_h", [0.001, 1, 30, 500])
def test_as_much_happens_in_the_wait_as_was_drawn(name: str, at_h: float, mean_h: float) -> None:
    rhythm = RHYTHMS[name]
    at_ms, mean_ms = at_h * HOUR_MS, mean_h * HOUR_MS

    wait_ms = rhythm.wait_ms(at_ms, mean_ms)

    happened_ms, now_ms, end_ms = 0.0, at_ms, at_ms + wait_ms
    while now_ms < end_ms - 1e-3:
        next_ms = min((now_ms // HOUR_MS + 1) * HOUR_MS, end_ms)
        happened_ms += rhythm.now(now_ms) * (next_ms - now_ms)
        now_ms = next_ms
    assert happened_ms == pytest.approx(mean_ms, rel=1e-6, abs=1)


def test_an_even_week_is_no_work() -> None:
    assert FLAT.flat
    assert FLAT.wait_ms(123.0, 456.0) == 456.0


def test_hours_in_which_nothing_happens_are_skipped() -> None:
    wait_ms = ONLY_EIGHT.wait_ms(9 * HOUR_MS, 1.0)

    assert (9 * HOUR_MS + wait_ms) % DAY_MS == pytest.approx(8 * HOUR_MS, abs=1)


def test_a_day_of_24_hours_is_every_day() -> None:
    assert Rhythm(range(1, 25)).hours[:24] == Rhythm(range(1, 25)).hours[-24:]
    assert Rhythm(range(1, 25)) == Rhythm(list(range(2, 50, 2)))


@pytest.mark.parametrize("hours", [[1.0] * 23, [0.0] * 24, [1.0] * 23 + [-1.0], []])
def test_what_is_no_week(hours: list[float]) -> None:
    with pytest.raises(ValueError, match="; give"):
        Rhythm(hours)


def test_commuters_leave_at_eight_and_couriers_rest_on_sunday() -> None:
    def busiest(name: str, day: str) -> int:
        first = DAYS.index(day) * 24
        return max(range(24), key=RHYTHMS[name].hours[first : first + 24].__getitem__)

    assert busiest("commuters", "monday") == 8
    assert sum(RHYTHMS["couriers"].hours[-24:]) == 0
    assert busiest("night", "wednesday") in (0, 23)


def test_people_come_by_the_rhythm_and_as_often_as_without() -> None:
    wall = WallClock(MONDAY)
    wall.begin(0)
    habits = Habits(Manner({"door": 24.0}, 1.0, RHYTHMS["commuters"], wall), stream(3, "p"))

    now_ms, hours, total = 0, Counter[int](), 0
    while now_ms < 40 * WEEK_MS:
        now_ms += habits.gap_ms(1.0, now_ms) or 0
        hours[now_ms % WEEK_MS // HOUR_MS] += 1
        total += 1

    assert total == pytest.approx(40 * HOURS, rel=0.03)
    assert hours[8] / 40 == pytest.approx(RHYTHMS["commuters"].hours[8], rel=0.25)
    assert hours[3] == 0


def test_a_run_at_another_speed_keeps_the_wall_clock() -> None:
    wall = WallClock(MONDAY + timedelta(hours=7), speed=60.0)
    assert wall.at(999) % WEEK_MS == 7 * HOUR_MS  # it has not begun
    wall.begin(1_000)
    assert wall.at(61_000) % WEEK_MS == 8 * HOUR_MS

    manner = Manner({"door": 1.0}, 1.0, ONLY_EIGHT, wall)

    assert manner.gap_ms(1.0, 1_000) == pytest.approx(60_000, abs=2)
