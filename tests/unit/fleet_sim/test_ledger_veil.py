"""What a fault says otherwise may be read as unknown, and as nothing that anybody relies on."""

from typing import Any, Final

import pytest

from devices.reading import Value
from fleet_sim.ledger import Forgetful, Ledger
from fleet_sim.promises import is_promise
from vendors.sim import Truth

SINS: Final = ("lost", "duplicated", "reordered", "invented")


class Told:
    """A device, what it told, and what the bus said of it."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._number = 0

    def tells(self, value: Value, at_ms: int, *, copies: int = 1, key: str = "lock_state") -> None:
        self.ledger.truth("acme", Truth("d", key, value, at_ms), copies=copies)

    def is_veiled(self, at_ms: float) -> None:
        self.ledger.veil("acme", "d", at_ms)

    def bus(self, value: Value, at_ms: float, *, key: str = "lock_state") -> None:
        self._number += 1
        event = {
            "id": f"e{self._number}",
            "sequence": str(self._number),
            "type": "doorfleet.lock.changed.v1",
            "data": {"vendor": "acme", "device": "d", "changes": {key: {"value": value}}},
        }
        self.ledger.event(event, at_ms)

    def sins(self) -> dict[str, Any]:
        tally = self.ledger.close()["acme"]
        return {sin: getattr(tally, sin) for sin in SINS if getattr(tally, sin)}


@pytest.fixture
def door() -> Told:
    door = Told()
    door.tells("Locked", 1_000)
    door.bus("Locked", 1_010)
    return door


def test_unknown_and_then_as_it_was_is_no_sin(door: Told) -> None:
    door.is_veiled(2_000)
    door.bus(None, 2_010)
    door.bus("Locked", 60_000)

    assert door.sins() == {}


def test_nobody_may_say_unknown_of_what_was_well_said(door: Told) -> None:
    door.bus(None, 2_010)
    door.bus("Locked", 3_000)

    assert door.sins() == {"invented": 1, "duplicated": 1}


def test_a_veil_is_over_after_a_while(door: Told) -> None:
    door.is_veiled(2_000)
    door.bus(None, 9_000)

    assert door.sins() == {"invented": 1}


def test_what_promises_something_is_as_wrong_as_ever(door: Told) -> None:
    door.is_veiled(2_000)
    door.bus("Unlocked", 2_010)

    assert door.sins() == {"invented": 1}


def test_what_promises_nothing_may_be_misread_and_taken_back(door: Told) -> None:
    door.tells("Idle", 1_000, key="motion")
    door.bus("Idle", 1_010, key="motion")
    door.is_veiled(2_000)
    door.bus("Locking", 2_010, key="motion")
    door.bus("Idle", 2_500, key="motion")

    assert door.sins() == {}


def test_what_was_swallowed_need_not_be_said_and_what_is_told_later_must(door: Told) -> None:
    door.is_veiled(2_000)
    door.tells("Unlocked", 2_000, copies=0)
    door.bus(None, 2_010)
    door.tells("Unlocked", 9_000)

    assert door.sins() == {"lost": 1}


def test_unknown_that_is_told_while_the_bus_says_unknown_is_no_news(door: Told) -> None:
    door.is_veiled(2_000)
    door.bus(None, 2_010)
    door.tells(None, 9_000)
    door.tells("Unlocked", 9_500)
    door.bus("Unlocked", 9_510)

    assert door.sins() == {}


def test_unknown_that_was_told_for_sure_is_owed_under_a_veil_too(door: Told) -> None:
    door.is_veiled(2_000)
    door.tells(None, 2_100)
    door.bus(None, 2_110)
    door.tells("Unlocked", 2_500)
    door.bus("Unlocked", 2_510)

    assert door.sins() == {}


def test_who_keeps_nothing_veils_nothing() -> None:
    ledger = Forgetful()
    ledger.veil("acme", "d", 1)

    assert ledger.close() == {}


@pytest.mark.parametrize(
    ("key", "value", "promised"),
    [
        ("lock_state", "Locked", True),
        ("door.1.lock_state", "Unlocked", True),
        ("position", "FullyClosed", True),
        ("position", "PartiallyOpened", False),
        ("motion", "Locking", False),
        ("lock_state", None, False),
        ("battery_pct", 60, False),
    ],
)
def test_what_somebody_at_the_door_relies_on(key: str, value: Value, promised: bool) -> None:
    assert is_promise(key, value) is promised
