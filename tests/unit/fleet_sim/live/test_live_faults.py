"""What people may break by hand, and that each of it ends."""

from collections.abc import Sequence
from typing import Any

import pytest

from devices.errors import ConfigError, FleetError
from fleet_sim.act import Act
from fleet_sim.live.desk import Desk, ShutError
from fleet_sim.live.faults import ClashError, LiveFaults, NoSuchFaultError
from fleet_sim.scenario import Scenario

HANG = {"vendor": "nuki", "fault": "hang", "share": 0.5, "for_s": 60}


class Hand:
    """Notes what it is to do."""

    def __init__(self, ground: object | None = None) -> None:
        self.did: list[str] = []
        self.ground = ground

    def begin(self, name: str, act: Act) -> Sequence[str]:
        self.did.append(f"begin {name} {act.fault}")
        return ["39000001"]

    def end(self, name: str) -> None:
        self.did.append(f"end {name}")


def faults(*acts: dict[str, Any], hand: Hand | None = None, **more: Any) -> LiveFaults:
    fleet = [
        {"vendor": "nuki", "count": 4, "site": "north"},
        {"vendor": "ratgdo", "count": 2, "site": "south"},
    ]
    scenario = Scenario.model_validate({"hours": 1, "fleet": fleet, "acts": acts})
    return LiveFaults(scenario, hand or Hand(), seconds=600, **more)


def test_it_tells_what_was_broken_whom_it_struck_and_when_it_ends() -> None:
    one = faults().begin({**HANG, "settings": {"probability": 0.5}}, now_s=10)

    assert one.told(now_s=12.04) == {
        "id": "f1",
        "vendor": "nuki",
        "fault": "hang",
        "share": 0.5,
        "site": None,
        "settings": {"probability": 0.5},
        "ends_in_s": 58.0,
        "lease_s": None,
        "struck": ["39000001"],
    }


def test_it_heals_by_itself_when_its_time_is_over() -> None:
    hand = Hand()
    live = faults(hand=hand)
    live.begin(HANG, now_s=10)
    live.turn(69.9)
    before = list(hand.did)
    live.turn(70.0)

    assert before == ["begin f1 hang"]
    assert hand.did == ["begin f1 hang", "end f1"]
    assert live.active == []


def test_a_lease_that_nobody_renews_heals_it_and_one_that_is_renewed_does_not() -> None:
    live = faults()
    live.begin({**HANG, "lease_s": 5}, now_s=0)
    for now_s in (4.0, 8.0, 12.0):
        live.turn(now_s)
        live.lease("f1", 5, now_s)
    held = bool(live.active)
    live.turn(17.0)

    assert held
    assert live.active == []


def test_no_lease_makes_it_last_longer_than_it_was_to() -> None:
    live = faults()
    live.begin(HANG, now_s=0)
    live.lease("f1", 3600, now_s=0)
    live.turn(60.0)

    assert live.active == []


def test_the_end_of_the_run_heals_all_and_shuts_the_desk() -> None:
    hand, desk = Hand(), Desk()
    live = faults(hand=hand, desk=desk)
    live.turn(0)
    live.begin(HANG, now_s=599)
    live.begin({"vendor": "ratgdo", "fault": "hang"}, now_s=599)
    live.close(600)

    assert hand.did[2:] == ["end f1", "end f2"]
    with pytest.raises(ShutError, match="the run is over"):
        desk.ask(lambda _, now_s: now_s)


def test_what_was_done_is_an_act_of_the_scenario_at_its_true_times_in_its_own_seconds() -> None:
    live = faults(hurry=6)
    live.begin(HANG, now_s=10)
    live.begin({**HANG, "vendor": "ratgdo"}, now_s=20)
    live.heal("f1", now_s=15)

    played = [(act.vendor, act.at_s, act.until_s) for act in live.played.acts]
    assert played == [("nuki", 60, 90), ("ratgdo", 120, 480)]


def test_nothing_lasts_longer_than_the_run() -> None:
    assert faults().begin(HANG, now_s=590).told(590)["ends_in_s"] == 10.0


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"vendor": "nuki"}, "fault: required, but missing; add it"),
        ({**HANG, "fault": "hagn"}, "unknown fault; did you mean hang?"),
        ({**HANG, "vendor": "nukki"}, r"vendor: unknown vendor .*did you mean nuki\?"),
        ({**HANG, "vendor": "tedee"}, "vendor: no tedee in this fleet; there are nuki, ratgdo"),
        ({**HANG, "share": 2}, r"share: .* \(got 2\); write 1 or less"),
        ({**HANG, "for_s": -1}, "for_s: .*; write more than 0"),
        ({**HANG, "settings": {"latency": 3}}, "hang has no setting 'latency'; it takes"),
        ({**HANG, "color": "red"}, "color: unknown key"),
        ({**HANG, "at": 5}, "at: it begins at once; leave at away"),
        ({**HANG, "site": "west"}, "site: no device is at west; known are north, south"),
        ({**HANG, "lease_s": "5"}, "lease_s: '5' is no time; write seconds above 0"),
    ],
)
def test_what_cannot_be_is_refused_with_place_and_remedy(wish: dict[str, Any], said: str) -> None:
    live = faults()

    with pytest.raises(ConfigError, match=said):
        live.begin(wish, now_s=0)

    assert live.all == []


def test_what_fails_already_or_soon_is_refused_with_until_when() -> None:
    live = faults({"at": 300, "for": 60, "vendor": "nuki", "fault": "flood"})
    live.begin({**HANG, "share": 1, "for_s": 100}, now_s=0)

    with pytest.raises(ClashError, match=r"hang \(f1\) is not over; heal f1 first"):
        live.begin({**HANG, "fault": "latency"}, now_s=10)
    live.heal_all(now_s=20)
    with pytest.raises(
        ClashError, match=r"flood of the scenario \(acts\[0\]\) begins in 40 s; write for_s 40 or"
    ):
        live.begin(HANG, now_s=260)
    with pytest.raises(ClashError, match=r"\(acts\[0\]\) lasts 40 s more; try again when it is"):
        live.begin(HANG, now_s=320)
    assert live.begin({**HANG, "for_s": 40}, now_s=260).id == "f2"


@pytest.mark.parametrize("do", ["heal", "lease"])
def test_what_is_not_there_is_said_with_what_is(do: str) -> None:
    live = faults()
    live.begin(HANG, now_s=0)
    live.begin({**HANG, "vendor": "ratgdo"}, now_s=0)
    live.heal("f1", 1)

    for number, said in (("f1", "it is healed; there are f2"), ("f9", "there never was one")):
        with pytest.raises(NoSuchFaultError, match=said):
            live.heal(number, 2) if do == "heal" else live.lease(number, 5, 2)


def test_beginning_and_end_are_said() -> None:
    said: list[str] = []
    live = faults(say=said.append)
    live.begin(HANG, now_s=3)
    live.heal("f1", 5)

    assert said == [
        "3 s: 50% of nuki: hang begins, by hand (f1)",
        "5 s: 50% of nuki: hang is over (f1)",
    ]


def test_wishes_of_another_thread_are_answered_in_the_runs_own_turn() -> None:
    desk = Desk()
    live = faults(desk=desk)
    with pytest.raises(ShutError, match="has not begun yet"):
        desk.ask(lambda _, now_s: now_s)
    live.turn(1.0)
    good = desk.ask(lambda live, now_s: live.begin(HANG, now_s).id)
    bad = desk.ask(lambda live, now_s: live.heal("f9", now_s))
    gone = desk.ask(lambda live, now_s: live.heal_all(now_s))
    gone.cancel()
    waited = good.done()
    live.turn(2.0)

    assert not waited
    assert good.result(0) == "f1"
    assert isinstance(bad.exception(0), FleetError)
    assert [one.id for one in live.active] == ["f1"]


def test_who_waits_when_the_run_ends_is_told_so() -> None:
    desk = Desk()
    live = faults(desk=desk)
    live.turn(1.0)
    late = desk.ask(lambda live, now_s: live.begin(HANG, now_s).id)
    live.close(2.0)

    with pytest.raises(ShutError, match="the run is over"):
        late.result(0)
