"""One act: a fault of the catalogue, or of one vendor's own devices, and whom it may strike."""

import itertools
import re
from typing import Any

import pytest
from pydantic import ValidationError

from fleet_sim import acts
from fleet_sim.act import Act, able_to, kinds_of, own_name
from fleet_sim.chance import stream
from fleet_sim.faults import FAULTS, Strikes
from fleet_sim.scenario import Scenario
from vendors import registry


def act(vendor: str | None, fault: str, **more: Any) -> Act:
    return Act.model_validate({"at": 0, "for": 60, "vendor": vendor, "fault": fault, **more})


@pytest.mark.parametrize(
    ("vendor", "kind", "own"),
    [
        ("nuki", "jam", "jam_self_heals"),
        ("tedee", "jam", "jams"),
        ("uhppote", "dst_jump", "clock_wrong"),
        ("switchbot", "accepted_not_executed", "accepted_not_executed"),
    ],
)
def test_a_kind_is_what_its_vendor_calls_it(vendor: str, kind: str, own: str) -> None:
    found = act(vendor, kind)

    assert found.own == own_name(vendor, kind) == own
    assert found.strikes is Strikes.DEVICE
    assert not found.says_again
    assert found.late_ms == 0


def test_a_kind_that_strikes_a_link_is_nobodys_own() -> None:
    found = act("nuki", "null_value", settings={"field": "state"})

    assert (found.own, found.strikes) == (None, Strikes.LINK)
    assert found.whom == "all of nuki"


def test_who_cannot_fail_so_is_told_who_can() -> None:
    with pytest.raises(
        ValidationError, match=r"no nuki can fail so \(dst_jump\); take one of uhpp"
    ):
        act("nuki", "dst_jump")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"vendor": None, "fault": "jam"}, "jam strikes one vendor; say which, with `vendor`"),
        (
            {"vendor": "nuki", "fault": "jam", "settings": {"torque": 1}},
            "jam has no setting 'torque'; it takes probability, stability_ms",
        ),
        (
            {"vendor": "nuki", "fault": "fault:jam_self_heals", "settings": {"probability": 0.5}},
            "jam_self_heals has no settings",
        ),
        ({"vendor": "nuki", "fault": "null_value", "settings": {"field": 3}}, "write text"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(given: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        act(**given)


def test_what_a_device_acts_out_itself_is_only_told_how_often() -> None:
    for name, kind in FAULTS.items():
        if kind.strikes is Strikes.DEVICE:
            assert list(kind.settings) == ["probability", "stability_ms"], name


def test_every_vendor_can_fail_on_its_link_and_some_by_themselves() -> None:
    for vendor in registry.OURS:
        assert able_to(vendor, "null_value")
        assert all(able_to(vendor, kind) for kind in kinds_of(vendor))
    assert not able_to("ratgdo", "jam")


def test_a_kind_and_the_name_behind_it_are_one_fault() -> None:
    both = [
        {"at": 0, "for": 60, "vendor": "nuki", "fault": name} for name in ("jam", "jam_self_heals")
    ]

    with pytest.raises(ValidationError, match="overlaps"):
        Scenario.model_validate({"hours": 1, "fleet": {"nuki": 2}, "acts": both})


class Named:
    def __init__(self, vendor: str, name: str) -> None:
        self.vendor = vendor
        self.name = f"{vendor}/{name}"


def test_one_babbles_and_its_siblings_do_not() -> None:
    all_of_them = [(Named("nuki", str(number)), number, "") for number in range(1, 9)]
    babbling = act("nuki", "babbling_idiot")

    chosen = acts.struck(babbling, "0", 7, all_of_them)

    assert [each.name for each in chosen] == ["nuki/1"]
    assert babbling.whom == "one of nuki"
    assert len(acts.struck(act("nuki", "hang"), "0", 7, all_of_them)) == 8


def test_errors_of_scenarios_name_the_place() -> None:
    bad = {"at": 0, "for": 60, "vendor": "ratgdo", "fault": "jam"}

    with pytest.raises(ValidationError) as caught:
        Scenario.model_validate({"hours": 1, "fleet": {"ratgdo": 2}, "acts": [bad]})

    assert caught.value.errors()[0]["loc"] == ("acts", 0)


@pytest.mark.parametrize(
    ("fault", "settings", "time", "why"),
    [
        ("clock_jump", {}, "real", "fault: clock_jump can be had in virtual time only"),
        ("disk_full", {"room_kib": 64}, "real", "settings: room_kib can be told in virtual"),
        ("disk_full", {"room_kib": 0}, "real", ""),
        ("disk_full", {"room_kib": 64}, "virtual", ""),
        ("disk_slow", {"commit_ms": 20}, "real", ""),
    ],
)
def test_what_cannot_be_had_in_a_time_is_said(
    fault: str, settings: dict[str, int], time: str, why: str
) -> None:
    found = act(None, fault, settings=settings).impossible(time)

    assert found.startswith(why)
    assert bool(found) == bool(why)


def whole(fault: str, vendor: str | None) -> list[tuple[float, float]]:
    settings = {"probability": 0.4, "stability_ms": 5_000}
    found = act(vendor, fault, **{"at": 10, "for": 302, "settings": settings})
    return list(found.spells(stream(1, "spells")))


@pytest.mark.parametrize(("fault", "vendor"), [("cell_hang", "nuki"), ("bus_down", None)])
def test_what_strikes_no_link_comes_and_goes_as_a_whole(fault: str, vendor: str | None) -> None:
    found = whole(fault, vendor)

    assert len(found) > 10
    assert all(begins_s < ends_s for begins_s, ends_s in found)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(found))
    assert all((begins_s - 10) % 5 == 0 for begins_s, _ in found)
    assert (found[0][0] >= 10, found[-1][1] <= 312) == (True, True)
    assert 60 < sum(ends_s - begins_s for begins_s, ends_s in found) < 200


def test_what_is_asked_for_each_message_begins_once() -> None:
    assert whole("loss", "nuki") == [(10, 312)]
    assert whole("command_late", None) == [(10, 312)]


def test_each_device_has_its_own_good_and_bad_moments() -> None:
    settings = {"probability": 0.5, "stability_ms": 1_000}
    one = act("nuki", "jam", settings=settings, **{"for": 100})
    did: dict[str, list[str]] = {}

    class Unit:
        vendor = "nuki"

        def __init__(self, name: str) -> None:
            self.name = f"nuki/{name}"

        def act(self, deed: str) -> None:
            did.setdefault(self.name, []).append(deed)

    scenario = Scenario.model_validate({"hours": 1, "fleet": {"nuki": 2}}).with_acts([one])
    cues = acts.cues(scenario, 1, [Unit("a"), Unit("b")])
    for _, what in cues:
        what()

    assert did.keys() == {"nuki/a", "nuki/b"}
    assert all(
        deeds == ["fault:jam_self_heals", "heal:jam_self_heals"] * (len(deeds) // 2)
        for deeds in did.values()
    )
    assert len(cues) > 40
    assert len({at_s for at_s, _ in cues}) > 25  # not at the same moments
