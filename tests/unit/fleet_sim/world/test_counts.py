"""Real distributions from CSV: what they say, and each mistake with its line."""

import pytest

from fleet_sim.world import counts
from fleet_sim.world.rhythm import Rhythm


def test_counts_by_hour_are_every_days() -> None:
    text = "hour,count\n" + "\n".join(f"{hour},{hour * 2}" for hour in range(24))

    assert counts.read(text).rhythm == Rhythm([hour * 2 for hour in range(24)])


@pytest.mark.parametrize("day", ["monday", "Mon", "0"])
def test_counts_by_weekday_are_that_days(day: str) -> None:
    found = counts.read(f"\ufeffWeekday, Hour, Count\n{day}, 8, 3\nsunday, 8, 1\n").rhythm

    assert found is not None
    assert [hour for hour in range(168) if found.hours[hour]] == [8, 152]
    assert found.hours[8] == 3 * found.hours[152]


def test_moments_of_a_whole_week_are_binned_by_its_hours() -> None:
    lines = [f"2026-01-{day:02}T{day:02}:30:00" for day in range(5, 12)]

    found = counts.read("timestamp\n" + "\n".join(lines)).rhythm

    assert found is not None
    assert [hour for hour in range(168) if found.hours[hour]] == [
        24 * number + 5 + number for number in range(7)
    ]


def test_two_mondays_count_as_one() -> None:
    lines = [f"2026-01-{day:02} 08:00:00" for day in (*range(5, 12), 12)]

    found = counts.read("time\n" + "\n".join(lines)).rhythm

    assert found is not None
    assert found.hours[8] == found.hours[8 + 24]


@pytest.mark.parametrize("words", ["1767600000,1767603600", "1767600000000,1767603600000"])
def test_unix_time_in_seconds_or_ms(words: str) -> None:
    found = counts.read("at\n" + words.replace(",", "\n")).rhythm

    assert found is not None  # 2026-01-05 08:00 and 09:00: no whole week, so each day is so
    assert [hour for hour in range(24) if found.hours[hour]] == [8, 9]
    assert found.hours[8] == found.hours[8 + 24]


def test_gaps_are_gaps_where_they_are_wanted() -> None:
    assert counts.read("gap_s\n30\n0.5\n", gaps=True).gaps_s == (30.0, 0.5)
    with pytest.raises(ValueError, match="line 1: columns gap_s; begin with"):
        counts.read("gap_s\n30\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no rows; begin with a line of column names"),
        ("hour,count\n", "no rows; begin"),
        ("when,what\n1,2\n", "line 1: columns what, when; begin with"),
        ("hour,count\n8,3\n25,1\n", "line 3: hour is '25'; write 0 to 23"),
        ("hour,count\n\n8,many\n", "line 3: count is 'many'; write a number from 0 on"),
        ("hour,count\n8,-1\n", "line 2: count is '-1'; write a number from 0 on"),
        ("hour,count\n8,0\n", "count is 0 in every line; give one above 0"),
        ("hour,count\n8\n", "line 2: 1 cells under 2 columns; give one to each"),
        ("weekday,hour,count\nmoonday,8,1\n", "line 2: weekday is 'moonday'; write monday to"),
        ("timestamp\n2026-13-01\n", "line 2: timestamp is '2026-13-01'; write it like 2026-02-14"),
        ("timestamp\n2026-01-05\nsoon\n", "line 3: timestamp is 'soon'; write it like"),
        (
            f"hour,count\n8,{'9' * 200_000}\n",
            "line 2: field larger than field limit (131072); write",
        ),
    ],
)
def test_a_mistake_names_its_line_and_its_remedy(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="; ") as caught:
        counts.read(text)

    assert str(caught.value).startswith(said)


def test_of_many_mistakes_the_first_are_told_and_how_many_there_are() -> None:
    with pytest.raises(ValueError, match="; ") as caught:
        counts.read("hour,count\n" + "99,1\n" * 30)

    told = str(caught.value).splitlines()
    assert len(told) == 11
    assert told[-1] == "20 more mistakes; correct these first"
