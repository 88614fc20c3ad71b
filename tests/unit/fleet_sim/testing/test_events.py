"""The record of what was said, and the queue over it."""

import asyncio
import threading
from typing import Any

import pytest

from devices.reading import Value
from fleet_sim.testing.events import Event, Events


def event(device: str = "a", kind: str = "lock.changed", **changes: Value) -> Event:
    data: dict[str, Any] = {"vendor": "nuki", "device": device}
    if changes:
        data["changes"] = {axis: {"value": value} for axis, value in changes.items()}
    return Event.of({"type": f"doorfleet.{kind}.v1", "data": data}, 0.0)


def heard(*events: Event, trouble: str | None = None) -> Events:
    all_of_them = Events(lambda: trouble)
    for each in events:
        all_of_them.add(each)
    return all_of_them


def test_an_event_knows_its_type_its_device_and_the_new_values() -> None:
    one = event(lock_state="Locked", motion="Idle")

    assert (one.type, one.vendor, one.device) == ("lock.changed", "nuki", "a")
    assert one.changes == {"lock_state": "Locked", "motion": "Idle"}
    assert str(one) == "nuki/a lock.changed lock_state=Locked, motion=Idle"
    assert str(event(kind="lock.operation")) == "nuki/a lock.operation"


def test_each_is_given_out_once_and_the_record_keeps_all() -> None:
    first, second = event(lock_state="Locked"), event(lock_state="Locked")
    events = heard(first, second)

    assert events.get(lock_state="Locked") is first
    assert events.get(lock_state="Locked") is second
    assert list(events) == [first, second]
    assert len(events) == 2
    assert events[-1] is second
    assert list(events[:1]) == [first]


def test_what_was_passed_over_can_be_had_later() -> None:
    door, lock = event("door", "closure.changed"), event("lock")
    events = heard(door, lock)

    assert events.get("lock.changed") is lock
    assert events.get("closure.changed") is door


@pytest.mark.parametrize(
    "wanted",
    [
        {"device": "b"},
        {"device": "nuki/b"},
        {"vendor": "nuki", "motion": None},
        {"where": lambda one: one.device == "b"},
        {"motion": None, "lock_state": "Unlocked"},
    ],
)
def test_it_is_found_by_any_of_its_marks(wanted: dict[str, Any]) -> None:
    other, one = event("a", lock_state="Unlocked"), event("b", lock_state="Unlocked", motion=None)

    assert heard(other, one).get(within_s=0, **wanted) is one


def test_what_came_before_the_beginning_is_only_in_the_record() -> None:
    events = heard(event())
    events.begin()

    with pytest.raises(AssertionError, match="no event"):
        events.get(within_s=0)
    assert len(events) == 1


def test_it_waits_for_what_another_thread_hears() -> None:
    events, late = heard(), event(motion="Locking")
    timer = threading.Timer(0.05, events.add, [late])
    timer.start()

    assert events.get(motion="Locking", within_s=5) is late
    timer.join()


async def test_an_async_test_goes_on_while_it_waits() -> None:
    events, late = heard(), event(motion="Locking")
    waiting = asyncio.create_task(events.get_async(motion="Locking", within_s=5))
    await asyncio.sleep(0.01)
    assert not waiting.done()

    events.add(late)

    assert await waiting is late


def test_what_did_not_come_is_named_beside_what_came() -> None:
    with pytest.raises(AssertionError) as said:
        heard(event("b", motion="Idle")).get(
            "lock.changed", device="nuki/a", motion="Locking", within_s=0
        )

    assert str(said.value) == (
        "no lock.changed of nuki/a with motion=Locking within 0 s;"
        " of 1 events that came the last are:\n  nuki/b lock.changed motion=Idle"
    )
    with pytest.raises(AssertionError, match="nothing came at all"):
        heard().get(within_s=0)


def test_it_does_not_wait_for_whoever_has_gone() -> None:
    with pytest.raises(AssertionError, match=r"no event can come: the gateway ended"):
        heard(trouble="the gateway ended by itself").get(within_s=60)
