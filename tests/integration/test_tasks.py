"""`isolation: task`: all cells in one process behave as cells in processes of their own do."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fleet_sim.broker.tcp import TcpBroker

Eventually = Callable[..., Awaitable[None]]


def all_up(running: Any) -> bool:
    return [cell.get("state") for cell in running.status().get("cells", {}).values()] == ["up"] * 2


def children_of(pid: int) -> str:
    said = Path(f"/proc/{pid}/task/{pid}/children")
    return said.read_text() if said.exists() else ""


async def test_events_of_every_vendor_arrive_from_one_process(
    gateway: Any, settings: Any, broker_url: str, person: Any, eventually: Eventually
) -> None:
    running = await gateway(settings(broker_url, isolation="task")).start()
    await eventually(lambda: all_up(running), within_s=10)
    events = []
    async with person(broker_url) as client:
        await client.subscribe("doorfleet/v1/home/+/+/event/#", qos=1)
        await client.publish("home/garage/left/status/door", b"open", qos=1)
        await client.publish("nuki/39000001/state", b"1", qos=1)
        async with asyncio.timeout(10):
            async for message in client.messages:
                events.append(json.loads(message.payload))
                if len(events) == 2:
                    break

    assert {event["data"]["vendor"] for event in events} == {"ratgdo", "nuki"}
    assert "pid" not in running.cell("nuki")
    assert children_of(running.process.pid) == ""
    assert await running.stop() == 0


async def test_a_command_is_carried_out_from_one_process(
    gateway: Any, settings: Any, embedded: TcpBroker, person: Any, eventually: Eventually
) -> None:
    url = f"mqtt://127.0.0.1:{embedded.port}"
    running = await gateway(settings(url, isolation="task")).start()
    await eventually(lambda: all_up(running), within_s=10)
    async with person(url) as lock:
        await lock.subscribe("nuki/39000001/lockAction", qos=1)
        await lock.publish("nuki/39000001/connected", b"true", qos=1)
        await lock.publish("nuki/39000001/state", b"3", qos=1)
        await eventually(lambda: running.cell("nuki").get("events") == 2)

        sending = asyncio.create_task(
            running.run("send", "nuki/39000001", "lock", "--config", str(running.file))
        )
        async with asyncio.timeout(10):
            action = await anext(aiter(lock.messages))
        await lock.publish("nuki/39000001/state", b"4", qos=1)
        await lock.publish("nuki/39000001/state", b"1", qos=1)

        assert action.payload == b"2"
        assert await sending == (0, "39000001 LockDoor: succeeded\n", "")


async def test_a_cell_that_cannot_run_is_tried_again_and_the_other_works(
    gateway: Any, settings: Any, embedded: TcpBroker, eventually: Eventually
) -> None:
    config = settings(f"mqtt://127.0.0.1:{embedded.port}", isolation="task")
    running = gateway(config)
    obstacle = running.state_dir / "nuki.lock"
    obstacle.mkdir(parents=True)  # a folder where the cell's lock file belongs
    await running.launch()
    await eventually(lambda: running.cell("ratgdo").get("state") == "up", within_s=20)
    await eventually(lambda: running.cell("nuki").get("restarts", 0) >= 2, within_s=20)
    assert "choose a writable `state_dir`" in running.cell("nuki")["last_end"]

    shutil.rmtree(obstacle)

    await eventually(lambda: all_up(running), within_s=20)
    assert running.cell("ratgdo")["restarts"] == 0
    assert await running.stop() == 0
