"""How a run stands, and that it can be handed to another process."""

import json
import pickle

from fleet_sim.ledger import Ledger
from fleet_sim.meter import Meter, Moment, Row, merge, status, together
from fleet_sim.timeline import Timeline

ABOUT = {
    "scenario": "quiet_day",
    "seed": 7,
    "seconds": 100.0,
    "virtual": True,
    "acts": [{"at_s": 10.0, "until_s": 20.0, "vendor": "nuki", "fault": "hang", "share": 1.0}],
}


def rig() -> tuple[Meter, Ledger, Timeline]:
    ledger = Ledger()
    course = Timeline({"nuki": ledger.tally("nuki")}, ABOUT["seconds"])
    return Meter(ABOUT, ledger, course, {"nuki": {"state": "up"}}), ledger, course


def test_rates_are_of_the_time_since_the_moment_before() -> None:
    meter, ledger, _ = rig()
    tally = ledger.tally("nuki")
    tally.deeds, tally.events = 20, 40
    tally.latencies = [(0, 5.0)] * 40
    first = meter.moment(10.0, {"nuki": "hang"}).rows[0]
    tally.deeds, tally.events = 25, 40

    second = meter.moment(15.0, {}).rows[0]

    assert (first.deeds_per_s, first.events_per_s, first.p99_ms) == (2.0, 4.0, 5.0)
    assert (second.deeds_per_s, second.events_per_s, second.p99_ms) == (1.0, 0.0, None)
    assert (first.fault, second.fault) == ("hang", "")
    assert second.deeds == 25


def test_a_moment_goes_to_another_process_whole() -> None:
    meter, _, course = rig()
    course.close_bucket()
    moment = meter.moment(10.0, {})

    assert pickle.loads(pickle.dumps(moment)) == moment


def test_a_sin_is_a_problem_at_once() -> None:
    meter, ledger, _ = rig()
    ledger.tally("nuki").reordered = 2

    assert meter.moment(1.0, {}).problems == ["nuki: 2 reordered"]


def test_the_status_is_json_and_names_what_is_under_way() -> None:
    meter, ledger, _ = rig()
    ledger.tally("nuki").events = 3

    said = json.loads(json.dumps(status(meter.moment(12.0, {"nuki": "hang"}))))

    assert said["acts"] == ABOUT["acts"]
    assert said["verdict"] == "pass so far"
    assert said["vendors"]["nuki"]["events"] == said["total"]["events"] == 3
    assert status(meter.moment(30.0, {}))["acts"] == []


def row(vendor: str, **more: object) -> Row:
    return Row(vendor, 10, 9, "up", "", 4, 2, None, None, **more)


def moment(elapsed_s: float, *rows: Row) -> Moment:
    return Moment("quiet_day", 7, elapsed_s, 100.0, 5.0, virtual=True, rows=rows)


def test_moments_of_shards_add_up_and_the_slowest_says_how_far_it_is() -> None:
    one = moment(50.0, row("nuki", events=5, recent=[[4.0, 99]]), row("ratgdo"))
    other = moment(40.0, row("nuki", events=7, recent=[[80.0, 1]]))

    whole = merge([one, other])

    assert whole.elapsed_s == 40.0
    assert [each.vendor for each in whole.rows] == ["nuki", "ratgdo"]
    assert whole.rows[0].devices == 20
    assert whole.rows[0].events == 12
    assert (whole.rows[0].p50_ms, whole.rows[0].p99_ms) == (4.0, 4.0)


def test_the_charge_of_several_is_weighed_by_their_devices() -> None:
    many = Row("nuki", 30, 30, "up", "", 0, 0, None, None, battery_pct=80.0)
    few = Row("tedee", 10, 10, "up", "", 0, 0, None, None, battery_pct=40.0)

    assert together("all", [many, few, row("ratgdo")]).battery_pct == 70.0


def test_what_is_left_follows_from_the_speed_so_far() -> None:
    assert moment(50.0).speed == 10.0
    assert moment(50.0).eta_s == 5.0
    assert moment(0.0).eta_s is None
