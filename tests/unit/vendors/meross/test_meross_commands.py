"""From a command to its outcome: the gateway's desk, the adapter, and a simulated door."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from devices.command import Command
from fleet_sim.conform.street import Street, perform
from gateway.command_run import Desk, Run
from vendors.meross import VENDOR, simulator

FRESH_MS: Final = 10_000
Ask = Callable[..., Awaitable[tuple[str, str | None, float]]]


def play(story: Callable[[Any, Any, Ask], Awaitable[None]]) -> None:
    """One door that is shut, and its gateway."""

    async def main(here: Street) -> None:
        desk = Desk(
            VENDOR,
            here.adapter,
            here.twin,
            here.now_ms,
            lambda at_ms: here.now_ms() - at_ms <= FRESH_MS,
        )
        door: Any = here.devices[0]
        assert not door.is_open

        async def ask(name: str, timeout_ms: int = 65_000) -> tuple[str, str | None, float]:
            began_s = here.loop.time()
            command = Command("c", door.name, name, here.now_ms() + timeout_ms)
            outcome, reason = await desk.conclude(Run(command, command.deadline_ms))
            return outcome, reason, here.loop.time() - began_s

        await asyncio.sleep(60)
        await story(here, door, ask)

    perform(VENDOR, simulator, main, count=1)


def test_a_door_that_left_its_place_and_stayed_away_was_opened() -> None:
    async def story(_: Any, door: Any, ask: Ask) -> None:
        outcome, reason, took_s = await ask("MoveToFullyOpen")

        assert (outcome, reason) == ("succeeded", None)
        assert 32 <= took_s < 45
        assert door.is_open

    play(story)


def test_an_opening_that_nobody_waits_for_has_no_known_end() -> None:
    async def story(_: Any, door: Any, ask: Ask) -> None:
        assert (await ask("MoveToFullyOpen", 20_000))[:2] == ("unknown", "deadline")
        assert door.is_open

    play(story)


def test_a_door_that_is_not_shut_is_shut_and_not_opened() -> None:
    async def story(_: Any, door: Any, ask: Ask) -> None:
        await ask("MoveToFullyOpen")

        assert (await ask("MoveToFullyOpen"))[:2] == ("rejected", "unknown_state")
        assert (await ask("MoveToFullyClosed"))[:2] == ("succeeded", None)
        assert not door.is_open
        assert (await ask("MoveToFullyClosed"))[:2] == ("succeeded", None)
        assert not door.is_open

    play(story)


def test_a_door_that_somebody_has_just_opened_is_not_stopped_on_its_way() -> None:
    async def story(here: Any, door: Any, ask: Ask) -> None:
        here.act(door, "drive_out")
        await asyncio.sleep(5)

        assert (await ask("MoveToFullyClosed"))[:2] == ("rejected", "busy")

    play(story)


def test_a_door_that_never_arrives_is_not_shut() -> None:
    async def story(here: Any, door: Any, ask: Ask) -> None:
        await ask("MoveToFullyOpen")
        here.act(door, "fault:stuck_half_way")

        assert (await ask("MoveToFullyClosed"))[:2] == ("unknown", "deadline")

    play(story)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("no_push", ("succeeded", None)),
        ("shape_change", ("succeeded", None)),
        ("clock_drift", ("succeeded", None)),
        ("no_ntp", ("succeeded", None)),
        ("replayed", ("succeeded", None)),
        ("deaf", ("rejected", "stale_state")),
        ("unavailable", ("rejected", "stale_state")),
        ("sign_error", ("rejected", "stale_state")),
        ("truncated", ("rejected", "stale_state")),
    ],
)
def test_an_opening_with_a_fault_ends_as_it_was_seen(fault, outcome) -> None:
    async def story(here: Any, door: Any, ask: Ask) -> None:
        await asyncio.sleep(11)
        here.act(door, f"fault:{fault}")

        assert (await ask("MoveToFullyOpen"))[:2] == outcome
        assert door.is_open == (outcome[0] == "succeeded")

    play(story)
