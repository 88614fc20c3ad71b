"""The adapter at a real broker: one command at a time, and what the lock answers."""

import asyncio

import pytest

from devices.errors import RefusedError, RejectedError
from vendors.nuki import VENDOR
from vendors.nuki.adapter import ACTIONS, RESPONSES

LOCK = "nuki/398172F4"


async def respond(it, eventually, code: bytes, topic: str = LOCK, *, retain: bool = False) -> None:
    """Answer as a lock does, once the action is there."""
    await eventually(lambda: it.heard)
    await it.board.publish(f"{topic}/commandResponse", code, qos=1, retain=retain)


@pytest.mark.parametrize(("name", "action"), ACTIONS.items())
async def test_a_command_is_one_number_once_and_never_retained(
    rig, eventually, name, action
) -> None:
    async with rig(VENDOR, {}, f"{LOCK}/lockAction") as it:
        await asyncio.gather(
            it.adapter.send(it.cell.command("398172F4", name)), respond(it, eventually, b"0")
        )

    assert it.heard == [(f"{LOCK}/lockAction", action, 1, False)]


@pytest.mark.parametrize(("code", "reason"), [*RESPONSES.items(), (b"70", "vendor:70")])
async def test_a_refusal_is_told_with_its_reason(rig, eventually, code, reason) -> None:
    async with rig(VENDOR, {}, f"{LOCK}/lockAction") as it:
        with pytest.raises(RejectedError) as rejected:
            await asyncio.gather(
                it.adapter.send(it.cell.command("398172F4", "LockDoor")),
                respond(it, eventually, code),
            )

    assert rejected.value.detail.startswith(reason)


async def test_a_second_command_is_busy_while_the_first_awaits_its_answer(rig, eventually) -> None:
    async with rig(VENDOR, {}, f"{LOCK}/lockAction") as it:
        first = asyncio.create_task(it.adapter.send(it.cell.command("398172F4", "LockDoor")))
        await eventually(lambda: it.heard)
        with pytest.raises(RefusedError, match="busy"):
            await it.adapter.send(it.cell.command("398172F4", "UnlockDoor"))
        await respond(it, eventually, b"0")
        await first
        again = asyncio.create_task(it.adapter.send(it.cell.command("398172F4", "UnlockDoor")))
        await eventually(lambda: len(it.heard) == 2)
        await respond(it, eventually, b"0")
        await again

    assert [payload for _, payload, _, _ in it.heard] == [b"2", b"1"]


async def test_silence_is_no_refusal(rig, eventually) -> None:
    async with rig(VENDOR, {}, f"{LOCK}/lockAction") as it:
        await it.adapter.send(it.cell.command("398172F4", "LockDoor", timeout_ms=300))
        await eventually(lambda: it.heard)

    assert it.heard == [(f"{LOCK}/lockAction", b"2", 1, False)]


@pytest.mark.parametrize("torn", [b"", b"\xff\xff", b"hovering", b"null"])
async def test_an_answer_that_is_no_number_is_no_refusal_for_the_lock_may_move(
    rig, eventually, torn
) -> None:
    async with rig(VENDOR, {}, f"{LOCK}/lockAction") as it:
        order = asyncio.create_task(it.adapter.send(it.cell.command("398172F4", "LockDoor")))
        await respond(it, eventually, torn)
        await it.board.publish(f"{LOCK}/commandResponse", b"69", qos=1)
        with pytest.raises(RejectedError, match="busy"):
            await order


async def test_the_answer_of_another_lock_is_not_ours(rig, eventually) -> None:
    async with rig(VENDOR, {}, f"{LOCK}/lockAction") as it:
        await asyncio.gather(
            it.adapter.send(it.cell.command("398172F4", "LockDoor", timeout_ms=500)),
            respond(it, eventually, b"69", "nuki/398172F5"),
        )


async def test_what_no_lock_does_is_refused_before_it_leaves(rig, eventually) -> None:
    async with rig(VENDOR, {}, f"{LOCK}/#") as it:
        with pytest.raises(RefusedError, match="unsupported"):
            await it.adapter.send(it.cell.command("398172F4", "AccessDoor"))
        with pytest.raises(RefusedError, match="expired"):
            await it.adapter.send(it.cell.command("398172F4", "LockDoor", timeout_ms=-1))
        await it.adapter.refresh("398172F4")
        await it.board.publish(f"{LOCK}/fence", "x", qos=1)
        await eventually(lambda: it.heard)

    assert [payload for _, payload, _, _ in it.heard] == [b"x"]


async def test_only_the_locks_of_the_settings_are_listened_to(rig, eventually) -> None:
    async with rig(VENDOR, {"devices": ["398172F4"]}, "none/of/it") as it:
        await it.board.publish("nuki/398172F5/state", "1", qos=1)
        await it.board.publish(f"{LOCK}/state", "3", qos=1)
        await eventually(lambda: it.cell.frames)

    assert [(f.source, f.payload) for f in it.cell.frames] == [(f"{LOCK}/state", b"3")]
