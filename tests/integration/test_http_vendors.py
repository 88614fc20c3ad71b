"""A real gateway at bridges on sockets: asked over HTTP, told by webhooks, and what cuts do.

Tedee stands for the vendors that are asked and tell as well.
"""

import asyncio
import json
import os
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import aiomqtt
import pytest

from fleet_sim.broker.tcp import TcpBroker
from fleet_sim.fleet import Population
from fleet_sim.unit import Unit
from fleet_sim.wire import WireFleet, wall_ms
from vendors.tedee.bridge import Bridge, Callback
from vendors.tedee.lock import SEEN

TOPIC = "doorfleet/v1/home/tedee"
#: A lock that no bridge knows: nothing but our own calls tells of it.
STRANGER = 99


class Street:
    """Two locks behind one bridge, and a gateway's configuration for them."""

    def __init__(self, folder: Path, url: str) -> None:
        self.population = Population("tedee", 2, 7, wall_ms())
        self.fleet = WireFleet([self.population], seed=7, pace=1e-9, broker=("127.0.0.1", 1))
        self.units: list[Unit] = self.fleet.units
        self.folder = folder
        self.url = url
        bridge = self.population.devices[0].hub
        assert isinstance(bridge, Bridge)
        self.bridge = bridge
        self.config: dict[str, Any] = {}

    async def open(self) -> None:
        """The bridge listens."""
        at = await self.fleet.open_hubs(self.folder)
        settings = {**self.population.gateway_settings(at), "poll_interval_s": 1.0}
        self.config = {
            "bus": [
                {"kind": "mqtt", "url": self.url, "backoff_base_ms": 50},
                {"kind": "jsonl", "path": str(self.folder / "events.jsonl")},
            ],
            "cells": [{"vendor": "tedee", "settings": settings, "health_interval_ms": 500}],
            "supervisor": {"heartbeat_s": 0.1, "hang_s": 5, "restart_base_ms": 50},
        }
        await self.fleet.start()

    def lock(self, number: int = 0) -> str:
        return self.units[number].device.name

    def state(self, number: int = 0) -> int:
        """As the bridge says it."""
        described = self.units[number].device.described()  # type: ignore[attr-defined]
        return int(described["state"])

    @property
    def registered(self) -> list[Callback]:
        return list(self.bridge.callbacks.values())

    def told(self, device: str, axis: str) -> list[Any]:
        """Every value of an axis that was announced, in order."""
        return [
            event["data"]["changes"][axis]["value"]
            for event in self.events("lock.changed", device)
            if axis in event["data"]["changes"]
        ]

    def events(self, kind: str, device: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        with suppress(FileNotFoundError):
            lines = (self.folder / "events.jsonl").read_text().splitlines()
            found = [json.loads(line) for line in lines]
        return [
            event
            for event in found
            if event["type"] == f"doorfleet.{kind}.v1" and event["data"]["device"] == device
        ]


@pytest.fixture
async def house_of(
    tmp_path: Path, gateway: Any, eventually: Any
) -> AsyncIterator[Callable[[str], Awaitable[tuple[Street, Any]]]]:
    """`await house_of(name)` is a street with a gateway at work, and a bus that nobody shares."""
    async with AsyncExitStack() as open_:

        async def make(name: str) -> tuple[Street, Any]:
            folder = tmp_path / name
            folder.mkdir()
            broker = await open_.enter_async_context(TcpBroker())
            street = Street(folder, f"mqtt://127.0.0.1:{broker.port}")
            open_.push_async_callback(street.fleet.stop)
            await street.open()
            running = gateway(street.config, folder)
            await running.start()
            # A polite end waits for its turn at the bridge; one test is about that.
            open_.push_async_callback(running.stop, signal.SIGKILL)
            await eventually(lambda: street.registered, within_s=15)
            await eventually(
                lambda: all(street.told(street.lock(each), "lock_state") for each in (0, 1)),
                within_s=15,
            )
            return street, running

        yield make


@pytest.fixture
async def house(house_of: Any) -> tuple[Street, Any]:
    """One of them."""
    found: tuple[Street, Any] = await house_of("house")
    return found


@asynccontextmanager
async def caller(street: Street) -> AsyncIterator[Callable[..., Any]]:
    """`await ask(device, name)` is how the command ended."""
    host, port = street.url.removeprefix("mqtt://").split(":")
    async with aiomqtt.Client(host, int(port), protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe(f"{TOPIC}/+/result", qos=1)
        numbers = iter(range(1_000))

        async def ask(device: str, name: str, for_ms: int = 10_000) -> tuple[str, str | None]:
            request = {"id": f"{next(numbers)}", "name": name, "deadline_ms": wall_ms() + for_ms}
            await client.publish(f"{TOPIC}/{device}/command", json.dumps(request), qos=1)
            async with asyncio.timeout(for_ms / 1000 + 10):
                result = json.loads((await anext(aiter(client.messages))).payload)
            return result["outcome"], result["reason"]

        yield ask


async def call(session: aiohttp.ClientSession, at: Callback, number: int) -> int:
    """A webhook as the bridge would make it: the stranger is locked and unlocked by turns."""
    state = (6, 2)[number % 2]
    body = {
        "event": "lock-status-changed",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "data": {"deviceId": STRANGER, "state": state, "jammed": 0, "doorState": 0},
    }
    async with session.post(at.url, json=body, headers=dict(at.headers)) as reply:
        return reply.status


async def test_a_webhook_is_answered_2xx_after_its_commit_and_not_before(house, eventually):
    street, running = house
    pid = running.cell("tedee")["pid"]
    (at,) = street.registered
    wal = (running.state_dir / "tedee.db-wal").stat().st_size
    statuses = []

    async with aiohttp.ClientSession() as session:
        statuses.append(await call(session, at, 0))
        # From now on the disk is full, but for a little slack.
        limit = (wal + 60_000, resource.RLIM_INFINITY)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
        while statuses[-1] == 204 and len(statuses) < 60:
            statuses.append(await call(session, at, len(statuses)))
    os.kill(pid, signal.SIGKILL)  # with all that it had in memory
    durable = statuses.count(204)
    await eventually(lambda: running.cell("tedee").get("pid") not in (None, pid), within_s=15)
    await eventually(lambda: len(street.told(str(STRANGER), "lock_state")) >= durable, within_s=15)

    assert statuses == [204] * durable + [503]
    assert durable > 1
    # What was answered 503 may be there all the same: it was never promised.
    told = street.told(str(STRANGER), "lock_state")
    assert told[:durable] == [("Locked", "Unlocked")[each % 2] for each in range(durable)]
    assert len(told) <= durable + 1
    # The life that was killed could not take itself off the list; the next one did it.
    await eventually(lambda: [each.url for each in street.registered] != [at.url], within_s=15)
    await eventually(lambda: len(street.registered) == 1, within_s=15)


async def test_a_call_without_the_proof_is_refused_and_tells_nothing(house):
    street, _ = house
    (at,) = street.registered

    async with aiohttp.ClientSession() as session:
        status = await call(session, at._replace(headers=()), 0)

    assert status == 401
    assert street.told(str(STRANGER), "lock_state") == []


async def test_what_the_bridge_tells_is_announced_and_what_is_lost_is_found(house, eventually):
    street, _ = house
    unit, device = street.units[0], street.lock()
    unit.act("half_turn")
    await eventually(lambda: street.told(device, "lock_state")[-1] == "NotFullyLocked")
    unit.act("fault:webhook_lost")
    unit.act("turn_by_hand")

    await eventually(lambda: street.told(device, "lock_state")[-1] == "Locked", within_s=10)

    provenances = [
        event["data"]["changes"]["lock_state"]["provenance"]
        for event in street.events("lock.changed", device)
        if "lock_state" in event["data"]["changes"]
    ]
    assert provenances[-2:] == ["report", "poll"]


async def test_a_bridge_that_is_gone_is_said_and_so_is_its_return(house, eventually):
    street, running = house
    device = street.lock()
    async with caller(street) as ask:
        street.units[0].act("fault:bridge_down")
        await eventually(
            lambda: street.told(device, "reachability") == ["Online", "Offline"], within_s=20
        )
        await eventually(lambda: running.cell("tedee").get("state") == "degraded", within_s=5)
        refused = await ask(device, "LockDoor")
        street.units[0].act("heal:bridge_down")
        await eventually(
            lambda: street.told(device, "reachability") == ["Online", "Offline", "Online"],
            within_s=20,
        )
        await eventually(lambda: running.cell("tedee").get("state") == "up", within_s=5)

    assert refused == ("rejected", "offline")


async def test_a_command_ends_as_the_lock_was_seen_to_do(house_of, eventually):
    by_house = (  # two houses at once: most of it is waiting for a bolt, or for a deadline
        (
            ("", "UnlockDoor", 10_000),
            ("", "UnlockDoor", 10_000),
            ("", "Unlatch", 10_000),
            ("jams", "LockDoor", 10_000),
        ),
        (
            ("executed_but_error", "LockDoor", 10_000),
            ("falls_back", "LockDoor", 5_000),
            ("ble_error", "LockDoor", 3_000),
            ("updating", "LockDoor", 3_000),
            ("far_lock", "LockDoor", 3_000),
        ),
    )

    async def asked(name: str, commands: tuple[tuple[str, str, int], ...]) -> list[Any]:
        street, _ = await house_of(name)
        unit, device = street.units[0], street.lock()

        def known() -> bool:
            """The gateway has heard how the lock is, and what its bridge cannot say of it."""
            return street.told(device, "lock_state")[-1] == SEEN[street.state()][0]

        outcomes = []
        async with caller(street) as ask:
            for fault, what, for_ms in commands:
                await eventually(lambda: street.state() in (2, 3, 6), within_s=10)
                if what == "LockDoor" and street.state() == 6:
                    unit.act("turn_by_hand")
                if fault:
                    unit.act(f"fault:{fault}")
                await eventually(known, within_s=10)
                outcomes.append((fault, what, *await ask(device, what, for_ms)))
                if fault:
                    unit.act(f"heal:{fault}")
        return outcomes

    one, other = await asyncio.gather(
        *(asked(f"house-{number}", commands) for number, commands in enumerate(by_house))
    )

    assert one + other == [
        ("", "UnlockDoor", "succeeded", None),
        ("", "UnlockDoor", "succeeded", None),
        ("", "Unlatch", "succeeded", None),
        ("jams", "LockDoor", "failed", "jammed"),
        ("executed_but_error", "LockDoor", "succeeded", None),
        ("falls_back", "LockDoor", "unknown", "deadline"),
        ("ble_error", "LockDoor", "unknown", "deadline"),
        ("updating", "LockDoor", "rejected", "busy"),
        ("far_lock", "LockDoor", "rejected", "offline"),
    ]


async def test_an_unlocking_whose_answer_was_cut_is_seen_and_never_sent_again(house, eventually):
    street, _ = house
    device = street.lock()
    if street.state() != 6:
        street.units[0].act("turn_by_hand")
    await eventually(lambda: street.told(device, "lock_state")[-1] == "Locked")

    async def cut() -> None:
        await eventually(lambda: street.state() != 6)  # it moves, and has not been answered yet
        street.fleet.hubs[0].cut()

    async with caller(street) as ask:
        (outcome, _), _ = await asyncio.gather(ask(device, "UnlockDoor", 8_000), cut())
        await asyncio.sleep(2)

    assert outcome == "succeeded"
    assert street.state() == 2
    assert street.told(device, "motion").count("Unlocking") == 1


async def test_a_gateway_that_stops_leaves_no_callback_behind(house):
    street, running = house

    await running.stop()

    assert street.registered == []
