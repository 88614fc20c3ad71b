"""The adapter at a real broker: requests leave once, replies are ours, and no press is blind."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from devices.errors import RefusedError, RejectedError, UnavailableError
from devices.kinds import CLOSURE
from devices.reading import Provenance, Reading
from devices.twin import Twin
from vendors.shelly import VENDOR, adapter
from vendors.shelly.settings import ShellySettings

DOOR = "garage"
REPLY = "doorfleet-shelly/garage/rpc"


class Flat(BaseModel):
    """A rig's settings: the broker, and ours."""

    url: str
    openers: dict[str, Any] = {}
    devices: tuple[str, ...] = ()
    reply_timeout_ms: int = 2_000
    silent_after: int = 3


def connect(flat: Flat, port: Any) -> Any:
    mqtt = {"url": flat.url, "devices": flat.devices}
    more = flat.model_dump(include={"openers", "reply_timeout_ms", "silent_after"})
    return adapter.connect(ShellySettings.model_validate({"mqtt": mqtt, **more}), port)


SHELLY = replace(VENDOR, settings=Flat, connect=connect)


def known(it: Any, **axes: str) -> None:
    """What the cell has on record of the door."""
    twin = it.cell.twins[DOOR] = Twin(DOOR, CLOSURE)
    readings = [Reading(DOOR, axis, value, Provenance.REPORT) for axis, value in axes.items()]
    twin.fold(readings, it.cell.now_ms())


def asked(it: Any, method: str | None = None) -> list[dict[str, Any]]:
    """The requests that the device got, all or of one method."""
    requests = [json.loads(payload) for _, payload, _, _ in it.heard]
    return [each for each in requests if method in (None, each["method"])]


async def answer(it: Any, request: dict[str, Any], topic: str = REPLY, **said: Any) -> None:
    frame = {"id": request["id"], "src": "shelly2pmg3-1", "dst": request["src"], **said}
    await it.board.publish(topic, json.dumps(frame), qos=1)


def status(*, closed: bool) -> dict[str, Any]:
    return {"input:0": {"id": 0, "state": closed}, "switch:0": {}, "sys": {"uptime": 1}}


METHODS = [
    ("MoveToFullyOpen", {}, "Cover.Open", {"id": 0}),
    ("MoveToFullyClosed", {}, "Cover.Close", {"id": 0}),
    ("Stop", {}, "Cover.Stop", {"id": 0}),
    ("MoveToPosition", {"position_pct": 40}, "Cover.GoToPosition", {"id": 0, "pos": 40}),
]


@pytest.mark.parametrize(("name", "args", "method", "params"), METHODS)
async def test_a_command_is_one_request_once_and_never_retained(
    rig, eventually, name, args, method, params
) -> None:
    async with rig(SHELLY, {}, f"{DOOR}/rpc") as it:
        known(it)
        command = it.cell.command(DOOR, name)._replace(args=args)
        sending = asyncio.create_task(it.adapter.send(command))
        await eventually(lambda: asked(it, method))
        await answer(it, asked(it, method)[0], result=None)
        await sending

    (topic, payload, qos, retained) = it.heard[0]
    assert (topic, qos, retained, len(it.heard)) == (f"{DOOR}/rpc", 1, False, 1)
    request = json.loads(payload)
    assert request["params"] == params
    assert request["src"] == f"doorfleet-shelly/{DOOR}"


REFUSALS = [
    ({"code": 401, "message": "x"}, "not_authorized"),
    ({"code": 404, "message": "No handler for Cover.Open"}, "unsupported"),
    ({"code": -105, "message": "Argument 'id', value 0 not found!"}, "unsupported"),
    ({"code": -114, "message": "x"}, "unavailable"),
    ({"code": -109, "message": "Precondition failed: x"}, "precondition"),
    ({"code": -109, "message": "Precondition failed: Current position unknown!"}, "not_calibrated"),
    ({"code": -1, "message": "x"}, "vendor:-1"),
    ({"code": "x"}, "vendor:unreadable"),
    ("x", "vendor:unreadable"),
]


@pytest.mark.parametrize(("error", "reason"), REFUSALS)
async def test_a_refusal_is_told_with_its_reason(rig, eventually, error, reason) -> None:
    async with rig(SHELLY, {}, f"{DOOR}/rpc") as it:
        known(it)
        sending = asyncio.create_task(it.adapter.send(it.cell.command(DOOR, "MoveToFullyOpen")))
        await eventually(lambda: it.heard)
        await answer(it, asked(it)[0], error=error)
        with pytest.raises(RejectedError) as rejected:
            await sending

    assert rejected.value.detail == reason


async def test_silence_is_no_refusal_and_nothing_is_sent_again(rig, eventually) -> None:
    async with rig(SHELLY, {}, f"{DOOR}/rpc") as it:
        known(it)
        with pytest.raises(UnavailableError):
            await it.adapter.send(it.cell.command(DOOR, "MoveToFullyOpen", timeout_ms=400))
        await it.board.publish(f"{DOOR}/rpc", '{"method": "fence"}', qos=1)
        await eventually(lambda: asked(it, "fence"))

    assert len(asked(it, "Cover.Open")) == 1


async def test_the_answer_to_somebody_else_is_not_ours(rig, eventually) -> None:
    async with rig(SHELLY, {}, f"{DOOR}/rpc") as it:
        known(it)
        command = it.cell.command(DOOR, "MoveToFullyOpen", timeout_ms=700)
        sending = asyncio.create_task(it.adapter.send(command))
        await eventually(lambda: it.heard)
        request = asked(it)[0]
        await answer(it, request, "doorfleet-shelly/other/rpc", result=None)
        await answer(it, {**request, "id": request["id"] + 1}, result=None)
        await it.board.publish(REPLY, "no JSON", qos=1)
        with pytest.raises(UnavailableError):
            await sending


async def test_what_no_device_does_is_refused_before_it_leaves(rig, eventually) -> None:
    async with rig(SHELLY, {"openers": {"relay": {}}}, f"{DOOR}/rpc") as it:
        send = it.adapter.send
        with pytest.raises(RefusedError, match="unknown_device"):
            await send(it.cell.command(DOOR, "Stop"))
        known(it)
        with pytest.raises(RefusedError, match="unsupported"):
            await send(it.cell.command(DOOR, "LockDoor"))
        with pytest.raises(RefusedError, match="expired"):
            await send(it.cell.command(DOOR, "Stop", timeout_ms=-1))
        with pytest.raises(RefusedError, match="invalid_argument"):
            await send(it.cell.command(DOOR, "MoveToPosition"))
        it.cell.twins["relay"] = it.cell.twins[DOOR]
        for name in ("Stop", "MoveToPosition"):
            with pytest.raises(RefusedError, match="unsupported"):
                await send(it.cell.command("relay", name))
        await it.board.publish(f"{DOOR}/rpc", '{"method": "fence"}', qos=1)
        await eventually(lambda: it.heard)

    assert [each["method"] for each in asked(it)] == ["fence"]


async def test_the_whole_status_is_asked_after_a_connect_and_after_a_change(
    rig, eventually
) -> None:
    async with rig(SHELLY, {}, f"{DOOR}/rpc") as it:
        await it.board.publish(f"{DOOR}/online", "true", qos=0, retain=True)
        for number, told in enumerate((None, '{"state": "open"}', '{"source": "MQTT"}'), 1):
            if told is not None:
                delta = f'{{"method": "NotifyStatus", "params": {{"cover:0": {told}}}}}'
                await it.board.publish(f"{DOOR}/events/rpc", delta, qos=1)
            await eventually(lambda number=number: len(asked(it, "Shelly.GetStatus")) == number)
            await answer(it, asked(it)[-1], result={"sys": {"uptime": 1}})
        power = '{"method": "NotifyStatus", "params": {"cover:0": {"apower": 1.0}}}'
        await it.board.publish(f"{DOOR}/events/rpc", power, qos=1)
        await eventually(lambda: len(it.cell.frames) == 7)

    assert len(asked(it)) == 3


async def test_a_device_that_answers_nothing_is_told_to_be_silent(rig, eventually) -> None:
    settings = {"devices": [DOOR], "reply_timeout_ms": 200, "silent_after": 1}
    async with rig(SHELLY, settings, f"{DOOR}/rpc") as it:
        await eventually(lambda: any(f.source == f"silent/{DOOR}" for f in it.cell.frames))


# --- the button -------------------------------------------------------------------------------


async def press(it: Any, eventually: Any, name: str, *, closed: bool, **result: Any) -> None:
    """A command for a relay, and a device that answers both questions."""
    sending = asyncio.create_task(it.adapter.send(it.cell.command(DOOR, name, timeout_ms=3_000)))
    await eventually(lambda: asked(it, "Shelly.GetStatus"))
    await answer(it, asked(it)[0], result=status(closed=closed))
    await eventually(lambda: sending.done() or asked(it, "Switch.Set"))
    if not sending.done():
        await answer(it, asked(it, "Switch.Set")[0], result=result)
    await sending


async def test_a_shut_door_is_pressed_once_and_let_go_by_the_device(rig, eventually) -> None:
    async with rig(SHELLY, {"openers": {DOOR: {"pulse_ms": 700}}}, f"{DOOR}/rpc") as it:
        known(it, position="FullyClosed", main_state="Stopped")
        await press(it, eventually, "MoveToFullyOpen", closed=True, was_on=False)

    assert [each["params"] for each in asked(it, "Switch.Set")] == [
        {"id": 0, "on": True, "toggle_after": 0.7}
    ]


async def test_a_door_that_has_just_left_its_end_is_not_pressed(rig, eventually) -> None:
    async with rig(SHELLY, {"openers": {DOOR: {}}}, f"{DOOR}/rpc") as it:
        known(it, position="FullyClosed", main_state="Stopped")
        with pytest.raises(RefusedError, match="unknown_state"):
            await press(it, eventually, "MoveToFullyOpen", closed=False)

    assert asked(it, "Switch.Set") == []


@pytest.mark.parametrize(
    "axes",
    [
        {},
        {"position": "PartiallyOpened"},
        {"position": "FullyOpened", "main_state": "Stopped"},
        {"position": "FullyClosed"},
    ],
)
async def test_a_press_that_could_go_either_way_is_refused_unasked(rig, axes) -> None:
    async with rig(SHELLY, {"openers": {DOOR: {}}}, f"{DOOR}/rpc") as it:
        known(it, **axes)
        with pytest.raises(RefusedError, match="unknown_state"):
            await it.adapter.send(it.cell.command(DOOR, "MoveToFullyOpen"))

    assert it.heard == []


async def test_a_door_whose_reed_gives_no_answer_is_not_pressed(rig) -> None:
    async with rig(SHELLY, {"openers": {DOOR: {}}, "reply_timeout_ms": 200}, f"{DOOR}/rpc") as it:
        known(it, position="FullyClosed", main_state="Stopped")
        with pytest.raises(RefusedError, match="unavailable"):
            await it.adapter.send(it.cell.command(DOOR, "MoveToFullyOpen"))

    assert asked(it, "Switch.Set") == []


async def test_a_button_that_was_held_already_was_not_pressed(rig, eventually) -> None:
    async with rig(SHELLY, {"openers": {DOOR: {}}}, f"{DOOR}/rpc") as it:
        known(it, position="FullyClosed", main_state="Stopped")
        with pytest.raises(RejectedError, match="busy"):
            await press(it, eventually, "MoveToFullyOpen", closed=True, was_on=True)
