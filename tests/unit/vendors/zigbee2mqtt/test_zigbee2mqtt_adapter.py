"""The adapter at a real broker, with a client that plays the bridge."""

import asyncio
import json
from typing import Any

import pytest

from devices.command import Command
from devices.errors import RefusedError, RejectedError, UnavailableError
from devices.kinds import LOCK as KIND
from devices.reading import Provenance, Reading
from devices.twin import Twin
from vendors.zigbee2mqtt import VENDOR, models

BASE = "zigbee2mqtt"
LOCK = "0x000d6f0000000001"
OTHER = "0x000d6f0000000002"
NAME = "hall/Front Door"
OUT = {"state": "LOCK", "lock_state": "locked", "battery": 80}
BACK = {"state": "UNLOCK", "lock_state": "unlocked", "battery": 80}


def network(*names: tuple[str, str]) -> bytes:
    named = names or ((LOCK, NAME), (OTHER, OTHER))
    locks = [models.listed(ieee, name, models.ASSURE) for ieee, name in named]
    return json.dumps([*models.OTHERS, *locks]).encode()


async def say(it: Any, topic: str, told: object, *, retain: bool = False) -> None:
    payload = told if isinstance(told, bytes) else json.dumps(told).encode()
    await it.board.publish(f"{BASE}/{topic}", payload, qos=1, retain=retain)


def sources(it: Any) -> list[str]:
    return [frame.source for frame in it.cell.frames]


def asked(it: Any) -> list[tuple[str, Any]]:
    return [(topic.removeprefix(f"{BASE}/"), json.loads(told)) for topic, told, _, _ in it.heard]


async def known(it: Any, eventually: Any, first: object = OUT) -> None:
    """The network is known, and each of its locks was heard of once."""
    await say(it, "bridge/devices", network(), retain=True)
    await say(it, NAME, first)
    await say(it, OTHER, first)
    await eventually(lambda: f"lock/{OTHER}/state?bolt=cached&battery=cached" in sources(it))
    it.cell.frames.clear()


def twin(**axes: Any) -> Twin:
    found = Twin(LOCK, KIND)
    found.fold([Reading(LOCK, axis, value, Provenance.REPORT) for axis, value in axes.items()], 1)
    return found


def pin_command(it: Any, name: str = "SetCredential", timeout_ms: int = 4_000) -> Command:
    args = {"pin": "271828"} if name == "SetCredential" else {}
    until_ms = it.cell.now_ms() + timeout_ms
    return Command("id", LOCK, name, until_ms, "credential.3", args)


# --- what is taken ----------------------------------------------------------------------------


async def test_a_lock_is_known_by_its_address_whatever_its_name(rig, eventually) -> None:
    async with rig(VENDOR, {}, "none") as it:
        await say(it, NAME, OUT)  # nobody knows yet whose that is
        await say(it, "bridge/devices", network(), retain=True)
        await say(it, NAME, OUT)
        await say(it, OTHER, OUT)
        await say(it, "hall/lamp", {"state": "ON"})
        await say(it, f"{NAME}/set", {"pin_code": {"user": 1, "pin_code": "271828"}})
        await say(it, f"{NAME}/action", b"manual_unlock")
        await say(it, f"{NAME}/availability", {"state": "online"})
        await eventually(lambda: f"lock/{LOCK}/availability" in sources(it))

    assert sources(it) == [
        f"lock/{LOCK}/state?bolt=cached&battery=cached",
        f"lock/{OTHER}/state?bolt=cached&battery=cached",
        f"lock/{LOCK}/availability",
    ]


async def test_a_rename_moves_no_lock(rig, eventually) -> None:
    async with rig(VENDOR, {}, "none") as it:
        await known(it, eventually)
        await say(it, "bridge/devices", network((LOCK, OTHER), (OTHER, NAME)), retain=True)
        await say(it, OTHER, BACK)
        await eventually(lambda: it.cell.frames)

    assert sources(it) == [f"lock/{LOCK}/state?bolt=report"]


async def test_a_lock_that_left_the_network_is_told_to_be_away(rig, eventually) -> None:
    async with rig(VENDOR, {}, "none") as it:
        await known(it, eventually)
        await say(it, "bridge/devices", network((OTHER, OTHER)), retain=True)
        await eventually(lambda: it.cell.frames)

    assert sources(it) == [f"lock/{LOCK}/silent"]


async def test_only_the_locks_of_the_settings_are_taken(rig, eventually) -> None:
    async with rig(VENDOR, {"devices": [OTHER]}, "none") as it:
        await say(it, "bridge/devices", network(), retain=True)
        await say(it, NAME, OUT)
        await say(it, OTHER, OUT)
        await eventually(lambda: it.cell.frames)

    assert {source.split("/")[1] for source in sources(it)} == {OTHER}


async def test_a_repeated_bolt_is_no_report_of_it(rig, eventually) -> None:
    async with rig(VENDOR, {}, "none") as it:
        await known(it, eventually)
        await say(it, NAME, {**OUT, "battery": 79})
        await say(it, NAME, {**BACK, "battery": 79})
        await eventually(lambda: len(it.cell.frames) == 2)

    assert sources(it) == [
        f"lock/{LOCK}/state?battery=report",
        f"lock/{LOCK}/state?bolt=report",
    ]


async def test_what_cannot_be_read_is_handed_on_to_be_kept(rig, eventually) -> None:
    async with rig(VENDOR, {}, "none") as it:
        await known(it, eventually)
        for topic in ("bridge/state", "bridge/devices", NAME, f"{NAME}/availability"):
            await say(it, topic, b"\xff\xfe")
        await say(it, "bridge/logging", b"\xff\xfe")
        await say(it, OTHER, BACK)
        await eventually(lambda: len(it.cell.frames) == 5)

    assert sources(it) == [
        "bridge/state",
        "bridge/devices",
        f"lock/{LOCK}/state?*=cached",
        f"lock/{LOCK}/availability",
        f"lock/{OTHER}/state?bolt=report",
    ]


async def test_no_code_is_handed_on(rig, eventually) -> None:
    async with rig(VENDOR, {}, "none") as it:
        await known(it, eventually)
        user = {"status": "enabled", "pin_code": "271828"}
        await say(it, NAME, {**OUT, "users": {"3": user}})
        await say(it, NAME, b'{"users":{"3":{"pin_code":"271828')
        line = {"message": f"MQTT publish: topic 'x', payload '{json.dumps(user)}'"}
        await say(it, "bridge/logging", line)
        await eventually(lambda: len(it.cell.frames) == 2)

    assert not any(b"271828" in frame.payload for frame in it.cell.frames)


# --- the bridge -------------------------------------------------------------------------------


async def test_a_bridge_that_goes_takes_its_locks_with_it(rig, eventually) -> None:
    async with rig(VENDOR, {}, "none") as it:
        await known(it, eventually)
        await say(it, "bridge/state", {"state": "offline"}, retain=True)
        await eventually(lambda: len(it.cell.frames) == 2)
        gone = sources(it)
        with pytest.raises(RefusedError, match="offline"):
            await it.adapter.send(it.cell.command(LOCK, "UnlockDoor"))
        await say(it, "bridge/state", {"state": "online"}, retain=True)
        await eventually(lambda: len(it.cell.frames) == 4)

    assert gone == sources(it)[2:] == [f"lock/{LOCK}/bridge", f"lock/{OTHER}/bridge"]
    assert it.cell.links[:3] == [True, False, True]


async def test_what_a_bridge_repeats_when_it_starts_overwrites_nothing(rig, eventually) -> None:
    async with rig(VENDOR, {}, f"{BASE}/+/get") as it:
        await known(it, eventually, BACK)
        it.cell.twins[LOCK] = twin(lock_state="Unlocked", battery_pct=80)
        await say(it, "bridge/state", {"state": "online"}, retain=True)
        await say(it, "bridge/devices", network(), retain=True)
        it.heard.clear()
        await say(it, NAME, OUT)  # from its disk, minutes old
        await eventually(lambda: it.cell.frames)
        await eventually(lambda: it.heard)
        await say(it, NAME, BACK)  # the lock's own answer
        await eventually(lambda: len(it.cell.frames) == 2)

    assert sources(it) == [
        f"lock/{LOCK}/state?bolt=doubt",
        f"lock/{LOCK}/state?bolt=report",
    ]


async def test_a_lock_is_asked_after_a_gap_and_its_answer_is_as_old_as_the_question(
    rig, eventually
) -> None:
    async with rig(VENDOR, {}, f"{BASE}/+/get") as it:
        await known(it, eventually)
        await eventually(lambda: (f"{LOCK}/get", {"state": ""}) in asked(it))
        before_ms = it.cell.now_ms()
        await asyncio.sleep(0.05)
        await say(it, NAME, OUT)
        await eventually(lambda: it.cell.frames)

    (frame,) = it.cell.frames
    assert frame.source == f"lock/{LOCK}/state?bolt=poll"
    assert frame.received_at_ms <= before_ms


# --- commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "word"), [("LockDoor", "LOCK"), ("UnlockDoor", "UNLOCK")])
async def test_a_command_goes_to_the_address_once_and_never_retained(
    rig, eventually, name, word
) -> None:
    async with rig(VENDOR, {}, f"{BASE}/+/set") as it:
        await known(it, eventually, BACK if name == "LockDoor" else OUT)
        sending = asyncio.create_task(it.adapter.send(it.cell.command(LOCK, name)))
        await eventually(lambda: it.heard)
        await say(it, NAME, OUT if name == "LockDoor" else BACK)
        await sending

    assert it.heard == [(f"{BASE}/{LOCK}/set", b'{"state":"%b"}' % word.encode(), 1, False)]


@pytest.mark.parametrize(
    ("error", "raised", "detail"),
    [
        ("Timeout - 48024 - 1 after 6000ms", UnavailableError, "no answer"),
        ("no response received", UnavailableError, "no answer"),
        ("failed (Status 'FAILURE')", RejectedError, "vendor:failure"),
        ("'X' not allowed, choose between: LOCK,UNLOCK,TOGGLE", RejectedError, "unsupported"),
    ],
)
async def test_a_failure_line_is_a_no_only_if_nothing_can_have_happened(
    rig, eventually, error, raised, detail
) -> None:
    async with rig(VENDOR, {}, f"{BASE}/+/set") as it:
        await known(it, eventually)
        sending = asyncio.create_task(it.adapter.send(it.cell.command(LOCK, "UnlockDoor")))
        await eventually(lambda: it.heard)
        for name in (OTHER, NAME):
            message = f"Publish 'set' 'state' to '{name}' failed: 'Error: {error}'"
            await say(it, "bridge/logging", {"level": "error", "message": message})
        with pytest.raises(raised, match=detail):
            await sending


async def test_a_second_command_waits_for_the_verdict_on_the_first(rig, eventually) -> None:
    async with rig(VENDOR, {}, f"{BASE}/+/set") as it:
        await known(it, eventually)
        first = asyncio.create_task(it.adapter.send(it.cell.command(LOCK, "UnlockDoor")))
        await eventually(lambda: it.heard)
        with pytest.raises(RefusedError, match="busy"):
            await it.adapter.send(it.cell.command(LOCK, "LockDoor"))
        await say(it, NAME, BACK)
        await first


async def test_what_cannot_be_done_is_refused_before_it_leaves(rig, eventually) -> None:
    async with rig(VENDOR, {}, f"{BASE}/+/set") as it:
        await known(it, eventually)
        for device, name, reason in (
            ("0x000d6f00000000ff", "LockDoor", "unknown_device"),
            (LOCK, "Unlatch", "unsupported"),
            (LOCK, "SetCredential", "invalid_argument"),
        ):
            with pytest.raises(RefusedError, match=reason):
                await it.adapter.send(it.cell.command(device, name))
        with pytest.raises(RefusedError, match="expired"):
            await it.adapter.send(it.cell.command(LOCK, "LockDoor", timeout_ms=-1))

    assert it.heard == []


async def test_a_code_is_set_in_a_slot_that_is_known_to_be_free(rig, eventually) -> None:
    async with rig(VENDOR, {}, f"{BASE}/{LOCK}/set") as it:
        await known(it, eventually)
        it.cell.twins[LOCK] = twin(**{"credential.3.status": "Available"})
        sending = asyncio.create_task(it.adapter.send(pin_command(it)))
        await eventually(lambda: it.heard)
        await say(it, NAME, {**OUT, "users": {"3": {"status": "enabled"}}})
        await sending

    assert asked(it) == [
        (
            f"{LOCK}/set",
            {
                "pin_code": {
                    "user": 3,
                    "user_type": "unrestricted",
                    "user_enabled": True,
                    "pin_code": "271828",
                }
            },
        )
    ]


async def test_a_slot_in_use_is_refused(rig, eventually) -> None:
    async with rig(VENDOR, {}, f"{BASE}/{LOCK}/set") as it:
        await known(it, eventually)
        it.cell.twins[LOCK] = twin(**{"credential.3.status": "OccupiedEnabled"})
        with pytest.raises(RefusedError, match="occupied"):
            await it.adapter.send(pin_command(it))

    assert it.heard == []


async def test_a_code_is_cleared_with_null(rig, eventually) -> None:
    async with rig(VENDOR, {}, f"{BASE}/{LOCK}/set") as it:
        await known(it, eventually)
        sending = asyncio.create_task(it.adapter.send(pin_command(it, "ClearCredential")))
        await eventually(lambda: it.heard)
        await say(it, NAME, {**OUT, "users": {"3": {"status": "available"}}})
        await sending

    assert asked(it) == [(f"{LOCK}/set", {"pin_code": {"user": 3, "pin_code": None}})]
