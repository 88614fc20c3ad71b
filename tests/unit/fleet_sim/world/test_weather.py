"""Weather, and what it does to batteries and radios."""

from datetime import datetime

import pytest

from fleet_sim.chance import stream
from fleet_sim.world.battery import Batteries, Battery, haste
from fleet_sim.world.radio import PERFECT, QUALITIES, Radio
from fleet_sim.world.weather import STILL, Storm, Weather
from fleet_sim.world.weektime import DAY_MS, WallClock

YEAR = Weather(mean_c=10, yearly_c=9, daily_c=4)


def outside_c(weather: Weather, *when: int, at_s: float = 0, site: str = "") -> float:
    wall = WallClock(datetime(2026, *when))  # noqa: DTZ001 -- the fleet's local time
    return weather.temperature_c(wall.at(0), at_s, site)


def test_january_nights_are_cold_and_july_afternoons_warm() -> None:
    assert outside_c(YEAR, 1, 20, 3) == pytest.approx(10 - 9 - 4, abs=0.1)
    assert outside_c(YEAR, 7, 21, 15) == pytest.approx(10 + 9 + 4, abs=0.1)
    assert outside_c(YEAR, 1, 20, 3) < outside_c(YEAR, 1, 20, 15) < outside_c(YEAR, 7, 21, 3)


def test_still_air_is_always_so_warm() -> None:
    assert outside_c(STILL, 1, 20, 3) == outside_c(STILL, 7, 21, 15) == 15
    assert Weather.model_validate(-7) == Weather(mean_c=-7, yearly_c=0, daily_c=0)


def test_a_storm_makes_it_colder_where_and_while_it_blows() -> None:
    weather = Weather(
        mean_c=0, yearly_c=0, daily_c=0, storms=(Storm(at=60, **{"for": 60}, site="a"),)
    )

    cold = [outside_c(weather, 1, 5, at_s=at_s, site="a") for at_s in (59, 60, 119, 120)]

    assert cold == [0, -6, -6, 0]
    assert outside_c(weather, 1, 5, at_s=60, site="b") == 0


def test_two_troubles_at_once_are_worse_than_each() -> None:
    both = QUALITIES["fair"].worse(QUALITIES["poor"])

    assert both.late == pytest.approx(1 - 0.92 * 0.75)
    assert both.late_ms == QUALITIES["poor"].late_ms
    assert both.cuts_per_day == 9
    assert PERFECT.worse(PERFECT).perfect
    assert not Radio(cuts_per_day=1).perfect


# --- batteries ------------------------------------------------------------------------------------


def battery(**spec: float) -> Battery:
    full = {"from_pct": 90, "to_pct": 90, "use_pct": 0.0, "day_pct": 0.0}
    return Battery(Batteries.model_validate({**full, **spec}), stream(1, "b"), 0.0)


def test_use_and_time_drain_it() -> None:
    one = battery(use_pct=2, day_pct=5)
    for _ in range(10):
        one.used()

    assert one.drain(DAY_MS, 20, stream(1, "c"))
    assert one.percent == 90 - 20 - 5
    one.told = one.percent
    assert not one.drain(DAY_MS + 1, 20, stream(1, "c"))


def test_cold_drains_it_faster_and_frost_more_so() -> None:
    assert haste(25) == haste(20) == 1
    assert 1 < haste(5) < haste(-10)
    assert haste(-10) - haste(0) > haste(0) - haste(10)
    warm, cold = battery(day_pct=10), battery(day_pct=10)
    for one, outside in ((warm, 20.0), (cold, -10.0)):
        one.drain(DAY_MS, outside, stream(1, "c"))

    assert cold.percent < warm.percent == 80


def test_people_change_it_some_time_after_it_is_low() -> None:
    rng, one = stream(1, "c"), battery(from_pct=9, to_pct=9, day_pct=2, change_pct=8)
    shown = []
    for hour in range(24 * 20):
        one.drain(hour * 3_600_000, 20, rng)
        shown.append(one.percent)

    assert shown[0] == 9
    assert min(shown) >= 1
    assert max(shown) == 100
    assert shown.index(100) > next(place for place, pct in enumerate(shown) if pct == 8)


def test_nothing_gets_emptier_than_what_a_radio_needs() -> None:
    one = battery(day_pct=1000, change_days=300)

    one.drain(DAY_MS, -20, stream(2, "c"))

    assert one.percent == 1
