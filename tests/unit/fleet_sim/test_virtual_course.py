"""The timeline of a simulated run, and the moments that whoever watches it is shown."""

from typing import Any

import pytest

from fleet_sim import virtual
from fleet_sim.meter import Moment
from fleet_sim.scenario import Scenario


@pytest.fixture(scope="module")
def watched(watcher) -> tuple[dict[str, Any], list[Moment]]:
    scenario = Scenario.model_validate(
        {
            "name": "half_hour",
            "hours": 0.5,
            "pace": 60,
            "fleet": {"ratgdo": 6, "nuki": 4},
            "acts": [
                {
                    "at": "10m",
                    "for": "5m",
                    "vendor": "ratgdo",
                    "fault": "reconnect_storm",
                    "settings": {"cut_every_ms": 4000},
                }
            ],
        }
    )
    seen = watcher()
    return virtual.run(scenario, seed=3, watch=seen), seen.moments


@pytest.fixture
def lines(watched) -> dict[str, dict[str, list[Any]]]:
    return watched[0]["timeline"]["vendors"]


def test_what_people_did_is_in_its_buckets_and_adds_up(watched, lines) -> None:
    result, _ = watched

    assert result["timeline"]["bucket_s"] == 10
    for vendor, figures in result["vendors"].items():
        assert len(lines[vendor]["deeds"]) == 180
        assert sum(lines[vendor]["deeds"]) == figures["deeds"] > 20


def test_no_event_is_in_two_buckets_or_in_none_but_those_after_the_end(watched, lines) -> None:
    result, _ = watched

    for vendor, figures in result["vendors"].items():
        within = sum(lines[vendor]["events"])
        assert figures["events"] - 2 * figures["devices"] <= within <= figures["events"]
        known = [bool(bucket) for bucket in lines[vendor]["latency_ms"]]
        assert any(known)
        assert [p99_ms is not None for p99_ms in lines[vendor]["p99_ms"]] == known


def test_a_storm_of_connections_shows_where_it_was_and_nowhere_else(lines) -> None:
    worst = lines["ratgdo"]["connected_min"]

    assert worst[0] == 0  # nobody was there yet
    assert set(worst[2:60]) == set(worst[92:]) == {6}
    assert min(worst[60:90]) < 6
    assert set(lines["nuki"]["connected"][2:]) == {4}


def test_batteries_are_those_that_have_one(lines) -> None:
    assert set(lines["ratgdo"]["battery_pct"]) == {None}
    assert lines["nuki"]["battery_devices"][-1] == 4
    assert 0 < lines["nuki"]["battery_pct"][-1] <= 100


def test_moments_follow_each_other_and_are_a_part_of_what_is_reported(watched, lines) -> None:
    result, moments = watched

    elapsed = [moment.elapsed_s for moment in moments]
    assert elapsed == sorted(elapsed)
    assert len(moments) >= 2
    last = moments[-1]
    assert {row.cell for row in last.rows} == {"up"}
    known = len(last.timeline["vendors"]["nuki"]["deeds"])
    assert last.timeline["vendors"]["nuki"]["deeds"] == lines["nuki"]["deeds"][:known]
    assert last.rows[1].deeds == sum(lines["nuki"]["deeds"][:known])
    assert result["verdict"] == "pass"
