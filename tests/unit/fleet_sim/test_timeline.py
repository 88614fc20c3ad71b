"""A run's course: what belongs to which bucket, and that parts add up to the whole."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_sim import timeline
from fleet_sim.ledger import Tally
from fleet_sim.report import percentile
from fleet_sim.timeline import Timeline, at_most, coarser, merge, sketch, step_s, together


def played(*turns: tuple[int, list[float]], seconds: float = 10.0) -> dict[str, object]:
    """A timeline of one vendor; each turn brings so many deeds, and events of these latencies."""
    tally = Tally(devices=2, connected=2, connected_min=2)
    course = Timeline({"nuki": tally}, seconds)
    for deeds, latencies_ms in turns:
        tally.deeds += deeds
        tally.frames += 2 * deeds
        tally.events += len(latencies_ms)
        tally.latencies += [(0, ms) for ms in latencies_ms]
        course.close_bucket()
    return course.so_far()


def test_a_bucket_holds_what_happened_since_the_one_before() -> None:
    course = played((2, [4.0, 4.0]), (0, []), (5, [1.0, 9.0, 30.0]))

    line = course["vendors"]["nuki"]
    assert line["deeds"] == [2, 0, 5]
    assert line["frames"] == [4, 0, 10]
    assert line["events"] == [2, 0, 3]
    assert line["p50_ms"] == [4.0, None, 9.0]
    assert line["p99_ms"] == [4.0, None, 30.0]


def test_it_is_plain_json() -> None:
    course = played((2, [4.0]), (1, [0.02]))

    assert json.loads(json.dumps(course)) == course


def test_what_was_told_changes_no_more() -> None:
    tally = Tally()
    course = Timeline({"nuki": tally}, 10)
    course.close_bucket()
    told = course.so_far()

    tally.deeds = 7
    course.close_bucket()

    assert told["vendors"]["nuki"]["deeds"] == [0]


def test_a_link_that_was_gone_within_a_bucket_shows() -> None:
    tally = Tally(devices=3)
    course = Timeline({"nuki": tally}, 10)
    tally.linked(3)
    course.close_bucket()
    tally.linked(-2)
    tally.linked(2)
    course.close_bucket()
    course.close_bucket()

    line = course.so_far()["vendors"]["nuki"]
    assert line["connected"] == [3, 3, 3]
    assert line["connected_min"] == [0, 1, 3]


def test_a_battery_counts_when_its_charge_is_known() -> None:
    tally = Tally(devices=3)
    course = Timeline({"nuki": tally}, 10)
    course.close_bucket()
    tally.charge(None, 80)
    tally.charge(None, 60)
    course.close_bucket()
    tally.charge(80, 40)
    tally.charge(60, None)
    course.close_bucket()

    line = course.so_far()["vendors"]["nuki"]
    assert line["battery_pct"] == [None, 70.0, 40.0]
    assert line["battery_devices"] == [0, 2, 1]


@pytest.mark.parametrize(
    ("seconds", "at_least_s", "expected_s"),
    [(86_400, 1, 300), (21_600, 1, 120), (600, 1, 5), (30, 1, 1), (86_400, 1440, 1800),
     (31_536_000, 1, 109_500)],
)  # fmt: skip
def test_buckets_are_of_a_round_length_and_not_too_many(seconds, at_least_s, expected_s) -> None:
    assert step_s(seconds, at_least_s) == expected_s
    assert seconds / step_s(seconds, at_least_s) <= 288


def test_the_last_bucket_ends_with_the_run() -> None:
    assert Timeline({}, 600).ends_s[-1] == 600
    assert len(Timeline({}, 600).ends_s) == 120
    assert Timeline({}, 12.5).ends_s[-2:] == [12, 12.5]


@pytest.mark.parametrize(
    ("ms", "mark"),
    [(-3, 0), (0, 0), (0.02, 0.1), (4.0, 4.0), (4.0003, 4.0), (4.04, 4.1), (9.99, 10), (10.2, 11),
     (99.5, 100), (101, 110), (2_501, 2_600), (12_345, 13_000)],
)  # fmt: skip
def test_a_latency_counts_at_the_next_mark(ms, mark) -> None:
    assert at_most(ms) == mark


@given(st.lists(st.floats(0, 100_000), min_size=1), st.integers(1, 100))
def test_a_percentile_of_a_sketch_is_the_percentile_to_a_tenth_of_it(latencies_ms, per_cent):
    exact = percentile(latencies_ms, per_cent)

    found = timeline.percentile(sketch(latencies_ms), per_cent)

    assert exact - 0.051 <= found <= max(exact * 1.1, exact + 0.151)


@given(st.lists(st.lists(st.floats(0, 9_000)), min_size=1, max_size=4))
def test_sketches_of_parts_add_up_to_that_of_the_whole(parts):
    whole = [ms for part in parts for ms in part]

    assert timeline.added([sketch(part) for part in parts]) == sketch(whole)


def test_shards_add_up() -> None:
    one, other = played((2, [4.0]), (1, [1.0])), played((3, [50.0]), (4, []))

    line = merge([one, other])["vendors"]["nuki"]

    assert line["deeds"] == [5, 5]
    assert line["connected"] == [4, 4]
    assert line["p50_ms"] == [4.0, 1.0]
    assert line["p99_ms"] == [50.0, 1.0]
    assert line["latency_ms"] == [[[4.0, 1], [50.0, 1]], [[1.0, 1]]]


def test_merging_in_any_order_and_grouping_is_the_same() -> None:
    parts = [played((n, [float(n)]), (1, [])) for n in range(1, 5)]

    assert merge(parts) == merge(parts[::-1])
    assert merge(parts) == merge([merge(parts[:2]), merge(parts[2:])])


def test_a_vendor_that_only_one_shard_has_is_kept() -> None:
    one = played((2, [4.0]))
    other = {"bucket_s": one["bucket_s"], "vendors": {"ratgdo": one["vendors"]["nuki"]}}

    merged = merge([one, other])

    assert merged["vendors"] == {**one["vendors"], **other["vendors"]}


def test_a_shard_that_is_behind_keeps_its_devices_connected() -> None:
    ahead, behind = played((2, []), (2, []), (2, [])), played((1, []))

    line = merge([ahead, behind])["vendors"]["nuki"]

    assert line["deeds"] == [3, 2, 2]
    assert line["connected"] == [4, 4, 4]


def test_timelines_of_different_runs_are_not_merged() -> None:
    with pytest.raises(ValueError, match="not of one run"):
        merge([played(seconds=10), played(seconds=86_400)])


def test_a_coarser_line_loses_nothing() -> None:
    line = played(*[(n, [float(n)]) for n in range(7)])["vendors"]["nuki"]

    rough = coarser(line, 3)

    assert rough["deeds"] == [0 + 1 + 2, 3 + 4 + 5, 6]
    assert rough["connected"] == [2, 2, 2]
    assert rough["p99_ms"] == [2.0, 5.0, 6.0]
    assert together([rough]) == rough
