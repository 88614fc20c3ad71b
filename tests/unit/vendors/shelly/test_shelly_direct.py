"""A device at its own address, in simulated time: passwords, hanging links, what leaves once."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from devices.command import Command
from devices.errors import RefusedError, RejectedError, UnavailableError
from fleet_sim.conform.laws import Bench
from fleet_sim.conform.street import Street
from vendors.http import HttpReply
from vendors.sim import WsText

NAME = "shelly-0001"
OPTIONS: Mapping[str, object] = {"transport": "websocket", "profile": "cover", "password": "right"}


def street(play: Any, *, options: Mapping[str, object] = OPTIONS, **direct: object) -> Street:
    """A street of one device, and a gateway that was told this of it."""
    bench = Bench("shelly")
    module = bench.module

    def settings(spec: Any, at: Any) -> Any:
        found = dict(module.gateway_settings(replace(spec, options=options), at))
        return found | {"direct": found["direct"] | direct}

    def fleet(spec: Any, rng_for: Any) -> Any:
        return module.fleet(replace(spec, options=options), rng_for)

    bench.module = SimpleNamespace(
        HABITS=module.HABITS, FAULTS=module.FAULTS, fleet=fleet, gateway_settings=settings
    )
    return bench.street(play, count=1, fresh=True)


def seen(here: Street, axis: str) -> Any:
    twin = here.twins.get(NAME)
    known = twin.axes.get(axis) if twin is not None else None
    return known.value if known is not None else None


def moves(here: Street) -> list[Any]:
    """What really became of the motor, each state once."""
    values = [truth.value for truth in here.truths if truth.key == "main_state"]
    return [
        value for value, before in zip(values, [None, *values], strict=False) if value != before
    ]


def answers(here: Street) -> list[str]:
    return [
        message.text if isinstance(message, WsText) else message.body.decode()
        for message in here.sent
        if isinstance(message, WsText | HttpReply)
    ]


async def away(here: Street) -> str:
    """Send the door to its other end; the command's name."""
    name = "MoveToFullyOpen" if seen(here, "position") == "FullyClosed" else "MoveToFullyClosed"
    await here.send(here.devices[0], name)
    return name


def test_a_challenge_is_met_and_the_door_moves_once() -> None:
    async def play(here: Street) -> None:
        await asyncio.sleep(10)
        await away(here)
        await asyncio.sleep(50)

    here = street(play)

    assert moves(here) == ["Stopped", "Moving", "Stopped"]
    assert seen(here, "position") == here.finally_true(NAME)["position"]


def test_each_nonce_of_one_use_is_proven_anew_and_the_door_moves_once() -> None:
    async def play(here: Street) -> None:
        here.act(here.devices[0], "fault:stale_nonce")
        await asyncio.sleep(10)
        await away(here)
        await asyncio.sleep(50)

    here = street(play)

    assert moves(here) == ["Stopped", "Moving", "Stopped"]


def test_with_a_wrong_password_nothing_is_known_and_nothing_is_sent_on_and_on() -> None:
    async def play(here: Street) -> None:
        await asyncio.sleep(60)

    here = street(play, password="wrong")

    assert seen(here, "position") is None
    assert seen(here, "reachability") == "Offline"
    asked = [text for text in answers(here) if '"code":401' in text]
    assert 10 < len(asked) < 120


def test_a_password_file_that_is_gone_is_no_crash(tmp_path) -> None:
    async def play(here: Street) -> None:
        await asyncio.sleep(30)

    here = street(play, password=None, password_file=str(tmp_path / "gone"))

    assert seen(here, "reachability") == "Offline"


def test_a_password_is_read_from_its_file(tmp_path) -> None:
    (tmp_path / "password").write_text("right\n")

    async def play(here: Street) -> None:
        await asyncio.sleep(10)

    here = street(play, password=None, password_file=str(tmp_path / "password"))

    assert seen(here, "position") is not None


def test_a_command_into_a_hanging_link_is_not_sent_again_and_the_next_one_goes_by_http() -> None:
    outcomes: list[object] = []

    async def play(here: Street) -> None:
        await asyncio.sleep(10)
        here.act(here.devices[0], "fault:ws_rpc_hangs")
        outcomes.append(await here.send(here.devices[0], "MoveToFullyOpen"))
        outcomes.append(await here.send(here.devices[0], "Stop"))
        await asyncio.sleep(20)

    here = street(play)

    assert outcomes == [False, True]
    assert moves(here) == ["Stopped"]


def test_once_a_link_is_known_to_hang_a_question_waits_for_it_no_more() -> None:
    took_s: list[float] = []

    async def play(here: Street) -> None:
        await asyncio.sleep(10)
        here.act(here.devices[0], "fault:ws_rpc_hangs")
        await asyncio.sleep(15)
        for _ in range(10):
            began_s = here.loop.time()
            await here.adapter.refresh(NAME)
            took_s.append(here.loop.time() - began_s)
            await asyncio.sleep(1)
        here.act(here.devices[0], "heal:ws_rpc_hangs")
        await asyncio.sleep(90)
        here.frames.clear()
        await asyncio.sleep(10)

    here = street(play)

    assert max(took_s) < 0.5
    assert {frame.source for frame in here.frames} == {f"ws/{NAME}"}


@pytest.mark.parametrize(("name", "error"), [("NoSuch", RefusedError), ("Stop", RefusedError)])
def test_what_cannot_leave_is_refused(name: str, error: type[Exception]) -> None:
    met: list[type[Exception]] = []

    async def play(here: Street) -> None:
        await asyncio.sleep(10)
        until_ms = here.now_ms() + (5_000 if name == "NoSuch" else 0)
        try:
            await here.adapter.send(Command("c", NAME, name, until_ms))
        except (RefusedError, RejectedError, UnavailableError) as raised:
            met.append(type(raised))

    street(play)

    assert met == [error]


def test_a_device_that_nobody_knows_is_refused() -> None:
    met: list[str] = []

    async def play(here: Street) -> None:
        try:
            await here.adapter.send(Command("c", "nobody", "Stop", here.now_ms() + 5_000))
        except RefusedError as raised:
            met.append(raised.reason)
        await here.adapter.refresh("nobody")

    street(play)

    assert met == ["unknown_device"]


def test_a_relay_over_a_websocket_is_pressed_from_its_ends_only() -> None:
    options = {"transport": "websocket", "profile": "opener", "password": "right"}

    async def play(here: Street) -> None:
        await asyncio.sleep(10)
        await away(here)
        await asyncio.sleep(2)
        outcomes.append(await here.send(here.devices[0], "MoveToFullyClosed"))
        outcomes.append(await here.send(here.devices[0], "MoveToFullyOpen"))
        await asyncio.sleep(60)

    outcomes: list[bool] = []
    here = street(play, options=options)

    assert outcomes == [False, False]
    assert seen(here, "position") == here.finally_true(NAME)["position"]
