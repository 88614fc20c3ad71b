"""What of the world around it a device can be told, and by which habits couriers get in."""

from importlib import import_module
from typing import Any, Final

import pytest

from fleet_sim import virtual
from fleet_sim.fleet import Population
from fleet_sim.scenario import Scenario
from fleet_sim.world import courier
from vendors import registry

EPOCH_MS: Final = 1_767_571_200_000
VERBS: Final = {"battery": ("57", "9"), "clock": ("1500", "-700"), "firmware": ("9.8",)}
#: Vendors whose devices run on batteries.
LOCKS: Final = ("nuki", "nuki_bridge", "switchbot", "tedee", "zigbee2mqtt", "zwave_js")


def module(vendor: str) -> Any:
    return import_module(registry.vendor(vendor).simulator)


def world(vendor: str) -> frozenset[str]:
    return getattr(module(vendor), "WORLD", frozenset())


def test_a_device_takes_the_verbs_that_its_simulator_names_and_no_others(vendor: str) -> None:
    (device,) = Population(vendor, 1, 3, EPOCH_MS).devices
    now_ms = EPOCH_MS

    for verb in (*VERBS, "weather"):
        for value in VERBS.get(verb, ("bad",)):
            now_ms += 1000
            if verb in world(vendor):
                device.act(f"{verb}:{value}", now_ms)
            else:
                with pytest.raises(KeyError):
                    device.act(f"{verb}:{value}", now_ms)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_says_how_much_is_left_of_its_battery(lock: str) -> None:
    """Two hundred days in two hours, and the ledger holds every word of it."""
    result = virtual.run(
        Scenario.model_validate(
            {
                "hours": 2,
                "fleet": {lock: 2},
                "batteries": {"from_pct": 12, "to_pct": 30, "day_pct": 90, "change_days": 0.01},
            }
        ),
        seed=3,
    )

    assert (result["verdict"], result["evidence"]) == ("pass", [])
    assert result["vendors"][lock]["events"] > 2


def test_locks_have_batteries_and_nobody_else_has() -> None:
    assert {name for name in registry.OURS if "battery" in world(name)} == set(LOCKS)


def test_once_told_nothing_else_drains_a_battery() -> None:
    for lock in LOCKS:
        (device,) = Population(lock, 1, 3, EPOCH_MS).devices
        device.act("battery:57", EPOCH_MS)
        now_ms, said = EPOCH_MS, []
        for _ in range(60):
            for habit in module(lock).HABITS:
                now_ms += 90_000
                for effects in (device.wake(now_ms), device.act(habit, now_ms)):
                    said += [truth for truth in effects.truths if truth.key == "battery_pct"]

        assert {truth.value for truth in said} <= {57}, lock


def test_a_courier_gets_in_by_what_people_do_there_anyway(vendor: str) -> None:
    found = courier.habits_of(vendor)

    assert found is not None or vendor not in registry.OURS  # others may leave it out
    if found is not None:
        assert found[0] in module(vendor).HABITS
        assert found[1] in {"", *module(vendor).HABITS}


def test_a_courier_gets_in_by_command(vendor: str) -> None:
    way = courier.way_of(vendor)

    assert way is not None or vendor not in registry.OURS
    if way is not None:
        assert {way.opens, way.closes} - {""} <= set(registry.vendor(vendor).commands)
