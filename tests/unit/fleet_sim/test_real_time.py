"""What every run in real time does alike."""

from typing import Any

import pytest

from fleet_sim.act import Act
from fleet_sim.ledger import Ledger
from fleet_sim.meter import Moment
from fleet_sim.real_time import Narrator, all_up, cells_of, patience
from fleet_sim.scenario import Scenario
from fleet_sim.timeline import Timeline

UP = {"state": "up"}


def scenario(**more: Any) -> Scenario:
    acts = [{"at": 20, "for": 20, "vendor": "nuki", "fault": "hang"}]
    return Scenario.model_validate({"hours": 1 / 60, "fleet": {"nuki": 2}, "acts": acts, **more})


class Watching:
    """Notes what it is told and shown."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.shown: list[Moment] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def show(self, moment: Moment) -> None:
        self.shown.append(moment)


def told(hurry: float, *times_s: float, watch: Watching | None) -> Timeline:
    what, ledger = scenario(), Ledger()
    course = Timeline({"nuki": ledger.tally("nuki")}, what.seconds, at_least_s=hurry)
    narrator = Narrator(what, 1, hurry, course, ledger, {"nuki": UP}, watch)
    for now_s in times_s:
        narrator.tell(now_s)
    narrator.finish()
    return course


def test_what_begins_and_ends_is_said_once_and_at_its_time_in_our_seconds() -> None:
    early, late = Watching(), Watching()
    told(2.0, 9.9, watch=early)
    told(2.0, 10.1, 10.2, 20.1, watch=late)

    assert early.said == []
    assert late.said == ["10 s: all of nuki: hang begins", "20 s: all of nuki: hang is over"]


def test_it_shows_once_a_second_how_far_the_scenario_is_and_what_is_struck() -> None:
    watch = Watching()
    told(2.0, 0.5, 1.0, 1.5, 2.0, 12.0, watch=watch)

    assert [moment.elapsed_s for moment in watch.shown] == [2.0, 4.0, 24.0]
    assert [moment.rows[0].fault for moment in watch.shown] == ["", "", "hang"]


def test_what_people_added_is_shown_with_the_scenarios_own() -> None:
    watch, what, ledger = Watching(), scenario(), Ledger()
    course = Timeline({"nuki": ledger.tally("nuki")}, what.seconds, at_least_s=1.0)
    narrator = Narrator(what, 1, 1.0, course, ledger, {"nuki": UP}, watch)
    added = Act(at=0, **{"for": 10}, vendor="nuki", fault="latency")

    narrator.tell(2.0, what.with_acts([added]))
    narrator.tell(12.0, what.with_acts([added]))

    assert [moment.rows[0].fault for moment in watch.shown] == ["latency", ""]
    assert [act["fault"] for act in watch.shown[0].acts] == ["hang", "latency"]


@pytest.mark.parametrize("watch", [None, Watching()])
def test_every_bucket_is_closed_in_the_end_watched_or_not(watch: Watching | None) -> None:
    course = told(2.0, 5.0, watch=watch)

    assert len(course.so_far()["vendors"]["nuki"]["events"]) == len(course.ends_s)


def test_slow_news_is_waited_for_but_nobody_waits_for_an_hour() -> None:
    quick = scenario()
    slow = scenario(fleet={"nuki": 2, "uhppote": 1}, gateway={"uhppote": {"poll_ms": 3_600_000}})

    assert patience(quick, gateway=True) == (quick.longest_wait_s, True)
    assert patience(slow, gateway=True) == (30.0, False)
    assert patience(slow, gateway=False) == (0.0, True)


def test_a_cell_that_was_never_heard_is_silent_and_not_up() -> None:
    vendors = {"nuki": 1, "tedee": 1}

    assert all_up(vendors, {"nuki": UP, "tedee": UP})
    assert not all_up(vendors, {"nuki": UP})
    assert cells_of(vendors, {"nuki": UP})["nuki"] is UP
    assert cells_of(vendors, {"nuki": UP})["tedee"]["state"] == "silent"
