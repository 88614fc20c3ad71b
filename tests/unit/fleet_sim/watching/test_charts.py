"""From values to paths."""

import re

import pytest

from fleet_sim.watching import charts, words
from fleet_sim.watching.charts import HEIGHT, Axis, Scale, area, linear, logarithmic, steps
from fleet_sim.watching.words import Clock


def test_a_line_is_level_within_a_bucket_and_missing_where_nothing_is_known() -> None:
    path = steps([10, 10, 0, None, 5], Scale(10, ()), 5, "first")

    assert 'd="M0 0H2V100H3M4 50H5"' in path


def test_an_area_returns_to_the_ground() -> None:
    assert 'd="M0 100V0H1V50H3V100H4V100Z"' in area([10, 5, 5, 0], Scale(10, ()), 4)


def test_a_last_bucket_that_is_shorter_ends_with_the_run() -> None:
    assert "H2.5" in area([1, 2, 3], Scale(3, ()), 2.5)


@pytest.mark.parametrize(
    ("highest", "top"), [(0, 1), (1, 1), (7, 8), (11, 12), (130, 160), (999, 1000)]
)
def test_a_scale_ends_at_a_round_number(highest, top) -> None:
    assert linear([highest, None, 0]).top == pytest.approx(top)


def test_a_scale_ends_somewhere_where_a_sum_of_floats_is_a_little_more_than_round() -> None:
    assert linear([10_000.000000000005]).top == pytest.approx(10_000)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (950, "950"),
        (999.4, "999"),
        (999.6, "1k"),
        (1234, "1.23k"),
        (999_400, "999k"),
        (999_600, "1M"),
    ],
)
def test_a_number_for_an_axis_has_the_unit_of_what_it_is_rounded_to(value, said) -> None:
    assert words.short(value) == said


def test_a_logarithmic_scale_has_a_place_for_nothing() -> None:
    scale = logarithmic([0.0, 4.0, 230.0])

    assert scale.y(0) == HEIGHT
    assert scale.y(1000) == 0
    assert scale.y(4) > scale.y(40) > scale.y(230)
    assert [word for _, word in scale.marks] == ["1 s", "100 ms", "10 ms", "1 ms"]


def test_a_burst_leaves_the_chart_with_a_word_so_that_the_day_still_shows() -> None:
    usual = [10.0, 12.0, 8.0, 11.0] * 6

    scale, words_ = charts.bursts([5_000.0, *usual, 300.0, 900.0, *usual], 51)

    assert scale.top == pytest.approx(12)
    assert re.findall(r"left:(.+?)%.*?. ([\d.k]+)<", "".join(words_)) == [
        ("50.98", "900"), ("0.00", "5k"),
    ]  # fmt: skip


def test_what_is_only_more_than_usual_stays_on_the_chart() -> None:
    scale, words_ = charts.bursts([0.0, 10.0, 20.0, 25.0, 0.0, 12.0], 6)

    assert scale.top == pytest.approx(30)
    assert words_ is None


def test_bands_are_where_the_acts_are() -> None:
    (band,) = charts.bands([(600, 900)], Axis(60.0, Clock(1800.0)))

    assert re.findall(r'x="(.+?)".*width="(.+?)"', band) == [("10.0", "5.0")]


def test_ticks_are_few_and_at_round_times() -> None:
    day, minute = Axis(900, Clock(86_400)).ticks(), Axis(1, Clock(30)).ticks()

    assert re.findall(r">([\d:]+)<", day)[:3] == ["00:00", "03:00", "06:00"]
    assert re.findall(r">([\d.]+ s)<", minute)[:3] == ["0 s", "5 s", "10 s"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (7, "7 s"),
        (750, "12:30 min"),
        (24_000, "06:40 h"),
        (86_400, "24:00 h"),
        (283_200, "3 d 06:40 h"),
    ],
)
def test_a_span_of_time_reads_like_one(seconds, said) -> None:
    assert words.span(seconds) == said


@pytest.mark.parametrize(
    ("clock", "seconds", "said"),
    [
        (Clock(86_400), 86_400, "24:00"),
        (Clock(86_400, 6 * 3600), 3600, "07:00"),
        (Clock(86_400, 6 * 3600), 80_000, "04:13"),
        (Clock(172_800, 18 * 3600), 43_200, "Tue 06:00"),
        (Clock(600), 90, "1:30"),
        (Clock(30), 12.5, "12.5 s"),
    ],
)
def test_a_second_is_called_by_the_clock_at_the_devices_or_by_its_distance(clock, seconds, said):
    assert clock.at(seconds) == said


def test_ticks_are_at_round_times_whenever_the_run_began() -> None:
    clock = Clock.of({"simulated_s": 8 * 3600, "starts": "2026-01-06 05:30:00"})

    assert re.findall(r">(\d\d:\d\d)<", Axis(300, clock).ticks())[:2] == ["06:00", "07:00"]
