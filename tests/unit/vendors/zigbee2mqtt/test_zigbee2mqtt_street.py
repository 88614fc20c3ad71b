"""Adapter and simulated bridge together, in simulated time: what takes minutes in life."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from devices.command import Command
from devices.errors import RefusedError, RejectedError, UnavailableError
from fleet_sim.conform.street import Street, perform
from vendors.sim import Publish
from vendors.zigbee2mqtt import VENDOR, simulator

Play = Callable[[Street], Coroutine[Any, Any, None]]


def played(play: Play, *, count: int = 1) -> Street:
    return perform(VENDOR, simulator, play, count=count)


def value(here: Street, axis: str) -> tuple[object, object]:
    known = here.twins[here.devices[0].name].axes.get(axis)
    return (None, "absent") if known is None else (known.value, known.reason)


def questions(here: Street) -> list[str]:
    return [frame.source for frame in here.frames if "=poll" in frame.source]


def to(here: Street, name: str, **args: Any) -> Command:
    part = "credential.3" if name.endswith("Credential") else ""
    return Command(name, here.devices[0].name, name, here.now_ms() + 30_000, part, args)


def test_a_lock_with_a_dead_battery_is_found_out_long_before_25_hours() -> None:
    async def play(here: Street) -> None:
        await asyncio.sleep(60)
        assert value(here, "reachability")[0] == "Online"
        here.act(here.devices[0], "fault:dead_battery")
        await asyncio.sleep(240)
        assert value(here, "reachability")[0] == "Offline"
        here.act(here.devices[0], "heal:dead_battery")
        await asyncio.sleep(60)

    assert value(played(play), "reachability")[0] == "Online"


def test_a_hand_that_nobody_reports_is_found_by_asking() -> None:
    async def play(here: Street) -> None:
        await asyncio.sleep(30)
        before = value(here, "lock_state")[0]
        here.act(here.devices[0], "fault:silent_hand")  # which somebody uses after 25 s
        await asyncio.sleep(26)
        assert value(here, "lock_state")[0] == before
        await asyncio.sleep(35)
        assert value(here, "lock_state")[0] not in {before, None}

    played(play)


def test_an_event_without_motion_makes_the_bolt_unknown_until_it_is_asked_for() -> None:
    seen: list[object] = []

    async def play(here: Street) -> None:
        await asyncio.sleep(30)
        before = value(here, "lock_state")
        here.act(here.devices[0], "fault:phantom_event")
        for _ in range(60):
            await asyncio.sleep(0.1)
            seen.append(value(here, "lock_state"))
        assert seen[-1] == before

    played(play)
    assert (None, "contradictory") in seen


def test_a_null_lock_state_is_never_unlocked() -> None:
    seen: set[object] = set()

    async def play(here: Street) -> None:
        await here.adapter.send(to(here, "LockDoor"))
        here.act(here.devices[0], "fault:null_state")
        for _ in range(100):
            await asyncio.sleep(0.5)
            seen.add(value(here, "lock_state"))

    played(play)
    assert (None, "no_lock_state") in seen
    assert not any(found == "Unlocked" for found, _ in seen)  # type: ignore[misc]


@pytest.mark.parametrize("fault", ["set_times_out", "state_lags"])
def test_a_command_is_read_back(fault: str) -> None:
    async def play(here: Street) -> None:
        await asyncio.sleep(30)
        here.act(here.devices[0], f"fault:{fault}")
        for name, wanted in (("LockDoor", "Locked"), ("UnlockDoor", "Unlocked")):
            await here.adapter.send(to(here, name))
            assert value(here, "lock_state")[0] == wanted

    played(play)


def test_a_lock_that_cannot_be_reached_makes_the_outcome_unknown_and_no_refusal() -> None:
    async def play(here: Street) -> None:
        await asyncio.sleep(30)
        here.act(here.devices[0], "fault:dead_battery")
        with pytest.raises(UnavailableError):
            await here.adapter.send(to(here, "UnlockDoor"))

    played(play)


def test_an_unknown_slot_is_asked_for_before_a_code_goes_in() -> None:
    async def play(here: Street) -> None:
        await asyncio.sleep(30)
        await here.adapter.send(to(here, "SetCredential", pin="271828"))
        assert value(here, "credential.3.status")[0] == "OccupiedEnabled"
        with pytest.raises(RefusedError, match="occupied"):
            await here.adapter.send(to(here, "SetCredential", pin="314159"))
        await here.adapter.send(to(here, "ClearCredential"))
        assert value(here, "credential.3.status")[0] == "Available"

    here = played(play)
    assert not any(b"271828" in frame.payload for frame in here.frames)


def test_a_code_that_times_out_and_works_later_is_found_by_asking() -> None:
    async def play(here: Street) -> None:
        await asyncio.sleep(30)
        here.act(here.devices[0], "fault:pin_times_out")
        with pytest.raises(UnavailableError):
            await here.adapter.send(to(here, "SetCredential", pin="271828"))
        for _ in range(30):
            await asyncio.sleep(1)
            await here.adapter.refresh(here.devices[0].name)
        assert value(here, "credential.3.status")[0] == "OccupiedEnabled"

    played(play)


def test_a_slot_beyond_the_lock_is_the_bridges_own_no() -> None:
    async def play(here: Street) -> None:
        await asyncio.sleep(30)
        command = to(here, "ClearCredential")._replace(part="credential.999")
        with pytest.raises(RejectedError, match="invalid_argument"):
            await here.adapter.send(command)

    played(play)


def test_a_code_from_the_keypad_is_read_when_its_event_is_heard() -> None:
    async def play(here: Street) -> None:
        await asyncio.sleep(30)
        here.act(here.devices[0], "program_pin")
        await asyncio.sleep(6)
        assert value(here, "credential.2.status")[0] == "OccupiedEnabled"

    played(play)


def test_a_bridge_that_crashed_does_not_bring_back_an_old_bolt() -> None:
    """Its `state.json` is minutes old; it says so live, and the lock is asked at once."""
    seen: list[object] = []

    async def play(here: Street) -> None:
        lock: Any = here.devices[0]
        await here.adapter.send(to(here, "LockDoor"))
        await here.adapter.send(to(here, "UnlockDoor"))
        await asyncio.sleep(5)
        assert value(here, "lock_state")[0] == "Unlocked"
        peer = here.peer
        assert peer is not None
        base = "zigbee2mqtt"
        network = next(m for m in here.sent if getattr(m, "topic", "") == f"{base}/bridge/devices")
        assert isinstance(network, Publish)
        peer.publish(Publish(f"{base}/bridge/state", b'{"state":"offline"}'))
        peer.publish(Publish(f"{base}/bridge/state", b'{"state":"online"}'))
        peer.publish(network)
        old = b'{"battery":50,"lock_state":"locked","state":"LOCK"}'
        peer.publish(Publish(f"{base}/{lock.friendly}", old))
        for _ in range(80):
            await asyncio.sleep(0.1)
            seen.append(value(here, "lock_state"))

    played(play)
    assert "Locked" not in [found for found, _ in seen]  # type: ignore[misc]
    assert seen[0] == (None, "contradictory")
    assert seen[-1] == ("Unlocked", None)


def test_an_adapter_asks_as_often_as_its_settings_say() -> None:
    async def play(here: Street) -> None:
        here.frames.clear()
        await asyncio.sleep(1_800)

    here = played(play)

    assert 50 <= len(questions(here)) <= 61
