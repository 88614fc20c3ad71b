"""What the run that breaks each vendor in turn decides: who suffers what when, and who was hurt."""

from typing import Any

import pytest

from fleet_sim import bulkheads
from fleet_sim.bulkheads import BASELINE_S, FAULTS, Options, faults_of, judge, scenario
from fleet_sim.faults import FAULTS as KNOWN
from fleet_sim.ledger import Ledger
from fleet_sim.wire_run import Played
from vendors.sim import Truth

BEGAN_MS = 1_767_225_600_000
OPTIONS = Options(("nuki", "ratgdo", "uhppote"), devices=1)


def event(vendor: str, number: int, value: str) -> dict[str, Any]:
    return {
        "id": f"{vendor}-{number}",
        "sequence": f"{number:016d}",
        "type": "doorfleet.closure.changed.v1",
        "data": {"vendor": vendor, "device": "a", "changes": {"position": {"value": value}}},
    }


def a_run(hurt: str = "", by: str = "", more_ms: float = 0.0) -> Played:
    """Ten changes a second at each vendor, 5 ms late; `hurt` is slower while `by` is broken."""
    ledger, played = Ledger(), scenario(OPTIONS)
    for vendor in played.fleet:
        ledger.tally(vendor).devices = 1
        for number in range(int(played.seconds * 20)):
            at_s = number / 20
            value = ("FullyOpened", "FullyClosed")[number % 2]
            at_ms = BEGAN_MS + at_s * 1000
            ledger.truth(vendor, Truth("a", "position", value, int(at_ms)), at_ms=at_ms)
            broken = any(act.vendor == by and act.at_s <= at_s < act.until_s for act in played.acts)
            late_ms = 5 + (more_ms if vendor == hurt and broken else 0)
            ledger.event(event(vendor, number + 1, value), at_ms + late_ms)
    cells = {vendor: {"state": "up"} for vendor in played.fleet}
    return Played(
        scenario=played,
        seed=1,
        seconds=played.seconds,
        broker="embedded",
        began_ms=BEGAN_MS,
        ledger=ledger,
        cells=cells,
        settled=True,
    )


def test_each_vendor_has_its_turn_with_each_of_its_faults_and_nobody_beside() -> None:
    played = scenario(OPTIONS)

    assert [(act.vendor, act.fault) for act in played.acts] == [
        (vendor, fault) for vendor in OPTIONS.vendors for fault in faults_of(vendor)
    ]
    ends = [BASELINE_S, *(act.until_s for act in played.acts)]
    assert all(act.at_s >= end for act, end in zip(played.acts, ends, strict=False))
    assert played.seconds > played.acts[-1].until_s


@pytest.mark.parametrize("vendor", ["nuki", "ratgdo", "uhppote"])
def test_who_is_no_server_answers_nothing_and_shows_no_certificate(vendor: str) -> None:
    assert tuple(faults_of(vendor)) == FAULTS


def test_a_run_in_which_nobody_else_was_hurt_passes() -> None:
    found = judge(a_run())

    assert found["problems"] == []
    assert found["verdict"] == "pass"
    assert len(found["turns"]) == len(scenario(OPTIONS).acts)
    assert found["turns"][0]["p99_ms"] == {"ratgdo": 5.0, "uhppote": 5.0}


def test_whoever_is_slow_while_another_fails_was_hurt() -> None:
    found = judge(a_run(hurt="ratgdo", by="nuki", more_ms=20))

    assert found["verdict"] == "fail"
    assert found["problems"] == ["ratgdo: p99 25.0 ms while others failed, allowed are 8.2 ms"]
    assert found["turns"][0]["p99_ms"]["ratgdo"] == 25.0


def test_whoever_is_slow_in_its_own_turn_only_hurt_nobody() -> None:
    assert judge(a_run(hurt="nuki", by="nuki", more_ms=5_000))["verdict"] == "pass"


def test_what_is_lost_by_anybody_fails_the_run() -> None:
    played = a_run()
    played.ledger.truth("uhppote", Truth("a", "position", "PartiallyOpened", BEGAN_MS + 60_000))

    found = judge(played)

    assert found["verdict"] == "fail"
    assert "uhppote: 1 lost" in found["problems"]


def test_every_fault_that_it_can_choose_exists() -> None:
    assert {*FAULTS, *bulkheads.OF_SERVERS, *bulkheads.OF_TLS} <= set(KNOWN)
