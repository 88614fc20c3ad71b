"""A cell whose vendor's code misbehaves: the supervisor ends it, and the other cell loses nothing.

publisher ─► broker ─► cell nuki (told to hang, spin, leak, crash, exit, …) ─► broker ─► witness
                └────► cell ratgdo ────────────────────────────────────────────┘
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiomqtt
import pytest

from fleet_sim.broker.tcp import TcpBroker
from fleet_sim.ground.saboteur import Saboteur

Eventually = Callable[..., Awaitable[None]]
LOCK: Final = "398172F4"
DOOR: Final = "home/garage/left/status/door"
DOOR_WORDS: Final = (b"opening", b"open", b"closing", b"closed")
PAUSE_S: Final = 0.02
#: How each ends the process that it strikes; the others leave it alive.
ENDS: Final = {
    "hang": "signal 9",
    "spin": "signal 9",
    "leak": "signal 9",
    "crash": "exit 70",
    "exit": "exit 71",
    "kill": "signal 9",
    "freeze": "signal 9",
}


class Street:
    """A sabotaged gateway, a lock and a door that talk all the time, and who hears the events."""

    def __init__(self, gateway: Any, broker: TcpBroker) -> None:
        self.gateway = gateway
        self.broker = broker
        self.saboteur = Saboteur(gateway.state_dir)
        self.said = {"nuki": 0, "ratgdo": 0}
        self.heard: dict[str, list[dict[str, Any]]] = {"nuki": [], "ratgdo": []}
        self.talking = True

    async def talk(self) -> None:
        async with aiomqtt.Client("127.0.0.1", self.broker.port) as client:
            while self.talking:
                for vendor in self.said:
                    self.said[vendor] += 1
                number = self.said["nuki"]
                await client.publish(f"nuki/{LOCK}/lockActionEvent", f"1,0,{number},0,0", qos=1)
                await client.publish(DOOR, DOOR_WORDS[number % 4], qos=1)
                await asyncio.sleep(PAUSE_S)

    async def listen(self, ready: asyncio.Event) -> None:
        async with aiomqtt.Client(
            "127.0.0.1", self.broker.port, protocol=aiomqtt.ProtocolVersion.V5
        ) as client:
            await client.subscribe("doorfleet/v1/home/+/+/event/#", qos=1)
            ready.set()
            async for message in client.messages:
                event = json.loads(message.payload)
                self.heard[event["data"]["vendor"]].append(event)

    def up(self, cell: str) -> bool:
        return bool(self.gateway.cell(cell).get("state") == "up")

    def locked_as_said(self) -> bool:
        """Whether every frame of the lock has led to an event: the last one has, and none lacks."""
        users = [event["data"]["user"] for event in self.heard["nuki"]]
        return set(users) == set(range(1, self.said["nuki"] + 1))

    def moved_as_said(self) -> bool:
        return len(self.heard["ratgdo"]) == self.said["ratgdo"]


@pytest.fixture
async def street(gateway: Any, settings: Any, embedded: TcpBroker, eventually: Eventually) -> Any:
    config = settings(f"mqtt://127.0.0.1:{embedded.port}")
    config["supervisor"] |= {"hang_s": 0.6, "restart_max_ms": 200, "stable_s": 0.1}
    for cell in config["cells"]:
        cell["limits"] = {"rate_per_s": 1_000, "burst": 10_000, "memory_max_mb": 96}
    running = gateway(config)
    running.program = (sys.executable, "-m", "fleet_sim.ground.saboteur")
    made = Street(await running.start(), embedded)
    await eventually(lambda: made.up("nuki") and made.up("ratgdo"), 10)
    ready = asyncio.Event()
    tasks = [asyncio.create_task(made.listen(ready))]
    await ready.wait()
    tasks.append(asyncio.create_task(made.talk()))
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def all_is_well(street: Street, eventually: Eventually) -> None:
    """Both cells are up; no frame of the lock was lost, and none of the door's came twice."""
    street.talking = False
    await eventually(lambda: street.up("nuki") and street.up("ratgdo"), 15)
    await eventually(street.locked_as_said, 15)
    await eventually(street.moved_as_said, 15)
    for vendor, heard in street.heard.items():
        order = list(dict.fromkeys(int(event["sequence"]) for event in heard))
        assert order == list(range(1, len(order) + 1)), vendor
    assert street.gateway.cell("ratgdo")["restarts"] == 0


@pytest.mark.parametrize(("what", "end"), ENDS.items())
async def test_a_cell_that_is_ended_by_its_vendors_code_comes_again_and_nobody_else_notices(
    what: str, end: str, street: Street, eventually: Eventually
) -> None:
    other, pid = street.gateway.cell("ratgdo")["pid"], street.saboteur.pid("nuki")
    order = asyncio.create_task(street.saboteur.order("nuki", what, 20))
    await eventually(lambda: street.gateway.cell("nuki")["restarts"] >= 1, 15)
    order.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await order

    await all_is_well(street, eventually)

    nuki = street.gateway.cell("nuki")
    assert {line["how"] for line in street.gateway.log("cell.ended")} == {end}
    assert nuki["pid"] not in {pid, None}
    assert street.gateway.cell("ratgdo")["pid"] == other


async def test_a_disk_without_room_is_waited_for_and_heals_with_its_order(
    street: Street, eventually: Eventually
) -> None:
    order = asyncio.create_task(street.saboteur.order("nuki", "disk_full", 20))
    await eventually(lambda: "nuki.db" in street.gateway.cell("nuki").get("reason", ""), 15)
    order.cancel()

    await all_is_well(street, eventually)

    assert street.gateway.cell("nuki")["restarts"] == 0


async def test_a_slow_disk_makes_events_late_and_loses_none(
    street: Street, eventually: Eventually
) -> None:
    def commits() -> int:
        found: int = street.gateway.cell("nuki").get("commits", 0)
        return found

    assert await street.saboteur.order("nuki", "disk_slow", 0.2) == 1
    before = commits()

    assert await street.saboteur.order("nuki", "disk_slow", 2.0) > 1

    assert commits() - before <= 6  # some 100 otherwise
    await all_is_well(street, eventually)
    assert street.gateway.cell("nuki")["restarts"] == 0


async def test_a_cell_without_a_descriptor_to_spare_comes_back_when_it_has_one(
    street: Street, eventually: Eventually
) -> None:
    order = asyncio.create_task(street.saboteur.order("nuki", "files", 20))
    limits = Path(f"/proc/{street.saboteur.pid('nuki')}/limits")
    await eventually(lambda: "Max open files            0 " in limits.read_text())
    street.broker.core.disconnect(asyncio.get_running_loop().time(), "doorfleet-nuki-devices")
    street.broker.kick()
    await eventually(lambda: "vendor" in street.gateway.cell("nuki").get("reason", ""), 10)
    order.cancel()

    await all_is_well(street, eventually)

    assert street.gateway.cell("nuki")["restarts"] == 0
