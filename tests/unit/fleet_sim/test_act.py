"""One act: a fault of the catalogue, or of one vendor's own devices, and whom it may strike."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from fleet_sim import acts
from fleet_sim.act import Act, able_to, kinds_of, own_name
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
        ({"vendor": "nuki", "fault": "jam", "settings": {"probability": 0.5}}, "jam has no sett"),
        ({"vendor": "nuki", "fault": "null_value", "settings": {"field": 3}}, "write text"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(given: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        act(**given)


def test_what_a_device_acts_out_itself_takes_no_settings() -> None:
    for name, kind in FAULTS.items():
        if kind.strikes is Strikes.DEVICE:
            assert not kind.settings, name


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
