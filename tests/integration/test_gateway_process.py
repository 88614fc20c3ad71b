"""`doorfleet-gateway run` as the service manager meets it: a process that is asked to live."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_sim.broker.tcp import TcpBroker

Eventually = Callable[..., Awaitable[None]]
# In these tests the vendors' devices are frames of the test's own making.
DOOR = "home/garage/left/status/door"


def up(gateway: Any, *cells: str) -> Callable[[], bool]:
    def all_up() -> bool:
        return all(gateway.cell(cell).get("state") == "up" for cell in cells)

    return all_up


async def test_it_is_ready_soon_and_says_so_to_systemd_and_to_whoever_looks(
    gateway: Any, settings: Any, broker_url: str, eventually: Eventually
) -> None:
    running = await gateway(settings(broker_url)).start()

    assert running.ready_after_s < 5  # 0.3 s on an idle machine
    assert any(f"MAINPID={running.process.pid}" in notice for notice in running.notices)
    await eventually(up(running, "ratgdo", "nuki"))
    assert running.status()["pid"] == running.process.pid


async def test_it_tells_the_watchdog_that_it_lives(
    gateway: Any, settings: Any, embedded: TcpBroker
) -> None:
    running = await gateway(settings(f"mqtt://127.0.0.1:{embedded.port}", ["nuki"])).start()

    said = ""
    async with asyncio.timeout(10):
        while "WATCHDOG=1" not in said:
            said = (await asyncio.get_running_loop().sock_recv(running._socket, 4096)).decode()  # noqa: SLF001 -- the fixture's

    assert "1 of 1 cells run" in said


@pytest.mark.parametrize("isolation", ["process", "task"])
async def test_sigterm_drains_within_five_seconds_and_ends_in_peace(
    isolation: str,
    gateway: Any,
    settings: Any,
    broker_url: str,
    person: Any,
    eventually: Eventually,
) -> None:
    running = await gateway(settings(broker_url, isolation=isolation)).start()
    await eventually(up(running, "ratgdo", "nuki"))
    healths = {}
    async with person(broker_url) as client:
        await client.publish(DOOR, b"open", qos=1)
        await client.subscribe("doorfleet/v1/home/gateway/+/health")
        await eventually(lambda: running.cell("ratgdo").get("events") == 1)
        began_s = time.monotonic()

        code = await running.stop()

        assert code == 0
        assert time.monotonic() - began_s < 5
        async with asyncio.timeout(5):
            async for message in client.messages:
                health = json.loads(message.payload)
                healths[health["cell"]] = health["state"]
                if list(healths.values()) == ["stopped", "stopped"]:
                    break
    assert {cell["state"] for cell in running.status()["cells"].values()} == {"stopped"}
    assert running.log("gateway.stopped")[-1]["clean"] is True


@pytest.mark.parametrize("isolation", ["process", "task"])
async def test_a_stop_without_a_broker_is_a_peaceful_one_too(
    isolation: str, gateway: Any, settings: Any, free_port: int
) -> None:
    running = await gateway(settings(f"mqtt://127.0.0.1:{free_port}", isolation=isolation)).start()
    began_s = time.monotonic()

    assert await running.stop() == 0
    assert time.monotonic() - began_s < 5


async def test_a_stop_in_the_first_moment_is_a_peaceful_one_too(
    gateway: Any, settings: Any, free_port: int, eventually: Eventually
) -> None:
    running = gateway(settings(f"mqtt://127.0.0.1:{free_port}"))
    await running.launch()
    await eventually(lambda: running.log("cell.started"), within_s=20)

    assert await running.stop() == 0


async def test_a_cell_that_is_killed_comes_back_and_nobody_else_notices(
    gateway: Any, settings: Any, broker_url: str, person: Any, eventually: Eventually
) -> None:
    running = await gateway(settings(broker_url)).start()
    await eventually(up(running, "ratgdo", "nuki"))
    before = {name: running.cell(name)["pid"] for name in ("ratgdo", "nuki")}

    os.kill(before["nuki"], signal.SIGKILL)

    await eventually(lambda: running.cell("nuki").get("restarts") == 1)
    await eventually(up(running, "ratgdo", "nuki"))
    after = running.status()["cells"]
    assert after["nuki"]["pid"] not in {None, before["nuki"]}
    assert after["nuki"]["last_end"] == "signal 9"
    assert (after["ratgdo"]["pid"], after["ratgdo"]["restarts"]) == (before["ratgdo"], 0)
    (line,) = running.log("cell.ended")
    assert (line["cell"], line["how"]) == ("nuki", "signal 9")
    assert 0 <= line["restart_in_ms"] <= 50


async def test_a_cell_that_dies_again_and_again_waits_longer_each_time_at_most(
    gateway: Any, settings: Any, embedded: TcpBroker, eventually: Eventually
) -> None:
    config = settings(f"mqtt://127.0.0.1:{embedded.port}", ["nuki"])
    running = await gateway(config).start()
    for number in range(1, 4):
        await eventually(lambda: running.cell("nuki").get("pid"))
        pid = running.cell("nuki")["pid"]

        os.kill(pid, signal.SIGKILL)

        await eventually(lambda number=number: running.cell("nuki").get("restarts") == number)
        await eventually(lambda pid=pid: running.cell("nuki").get("pid") not in {None, pid})

    waits_ms = [line["restart_in_ms"] for line in running.log("cell.ended")]
    assert [wait <= 50 * 2**tries for tries, wait in enumerate(waits_ms)] == [True] * 3


async def test_a_hung_cell_is_found_killed_and_started_again_and_the_other_works_on(
    gateway: Any, settings: Any, broker_url: str, person: Any, eventually: Eventually
) -> None:
    running = await gateway(settings(broker_url)).start()
    await eventually(up(running, "ratgdo", "nuki"))
    hung = running.cell("nuki")["pid"]

    os.kill(hung, signal.SIGSTOP)
    async with person(broker_url) as client:
        await client.subscribe("doorfleet/v1/home/ratgdo/+/event/#", qos=1)
        await client.publish(DOOR, b"open", qos=1)
        async with asyncio.timeout(5):
            event = json.loads((await anext(aiter(client.messages))).payload)

    assert event["data"]["device"] == "left"
    await eventually(lambda: running.cell("nuki").get("restarts") == 1, within_s=10)
    await eventually(up(running, "ratgdo", "nuki"))
    (line,) = running.log("cell.hung")
    assert (line["cell"], line["pid"]) == ("nuki", hung)
    assert running.cell("nuki")["last_end"] == "signal 9"
    assert running.cell("ratgdo")["restarts"] == 0


async def test_a_hung_cell_does_not_keep_the_gateway_from_stopping(
    gateway: Any, settings: Any, embedded: TcpBroker, eventually: Eventually
) -> None:
    config = settings(f"mqtt://127.0.0.1:{embedded.port}")
    config["supervisor"] |= {"hang_s": 60, "drain_s": 1}
    running = await gateway(config).start()
    await eventually(up(running, "ratgdo", "nuki"))
    os.kill(running.cell("nuki")["pid"], signal.SIGSTOP)

    assert await running.stop() == 1
    assert [line["cell"] for line in running.log("cell.killed")] == ["nuki"]
    assert running.status()["cells"]["ratgdo"]["last_end"] == "exit 0"


async def test_a_cell_that_grows_beyond_its_limit_is_started_again(
    gateway: Any, settings: Any, embedded: TcpBroker, person: Any, eventually: Eventually
) -> None:
    url = f"mqtt://127.0.0.1:{embedded.port}"
    config = settings(url)
    config["cells"][0]["limits"] = {"memory_max_mb": 32, "rate_per_s": 100_000}
    running = await gateway(config).start()
    await eventually(up(running, "ratgdo", "nuki"))
    async with person(url) as client:
        # Every device that was ever heard of is remembered: so many names are so much memory.
        for number in range(12_000):
            topic = f"home/garage/{'x' * 100}{number}/status/door"
            await client.publish(topic, b"open", qos=0)

    await eventually(lambda: running.log("cell.too_large"), within_s=20)

    line = running.log("cell.too_large")[0]
    assert line["cell"] == "ratgdo"
    assert line["private_mb"] >= line["limit_mb"] == 32
    await eventually(lambda: running.cell("ratgdo").get("restarts", 0) >= 1)
    assert running.cell("nuki")["restarts"] == 0


@pytest.mark.parametrize("isolation", ["process", "task"])
async def test_a_broker_that_is_not_there_is_waited_for_and_complained_of_once(
    isolation: str, gateway: Any, settings: Any, free_port: int, person: Any, eventually: Eventually
) -> None:
    url = f"mqtt://127.0.0.1:{free_port}"
    running = await gateway(settings(url, isolation=isolation)).start()
    assert running.ready_after_s < 5
    await eventually(lambda: running.cell("nuki").get("state") == "degraded")
    tried_since_s = time.monotonic()
    # Backoff tops out at 0.2 s here: two seconds are ten refusals at least.
    await eventually(lambda: time.monotonic() - tried_since_s > 2)

    complaints = [line["client_id"] for line in running.log("mqtt.link_down")]
    assert sorted(complaints) == sorted(set(complaints))
    assert "connection refused" in running.cell("nuki")["reason"]

    async with TcpBroker(port=free_port):
        await eventually(up(running, "ratgdo", "nuki"), within_s=10)
        async with person(url) as client:
            await client.publish(DOOR, b"open", qos=1)
            await eventually(lambda: running.cell("ratgdo").get("events") == 1)
        assert await running.stop() == 0


@pytest.mark.parametrize("isolation", ["process", "task"])
async def test_a_second_gateway_on_the_same_state_is_refused_and_harms_nothing(
    isolation: str,
    gateway: Any,
    settings: Any,
    cli: Any,
    embedded: TcpBroker,
    eventually: Eventually,
) -> None:
    config = settings(f"mqtt://127.0.0.1:{embedded.port}", isolation=isolation)
    running = await gateway(config).start()
    await eventually(up(running, "ratgdo", "nuki"))

    code, _, err = await cli("run", str(running.file))

    assert code == 2
    assert err == (
        f"state_dir: {running.state_dir} is in use by process {running.process.pid};"
        " stop it, or choose another folder\n"
    )
    assert up(running, "ratgdo", "nuki")()
    assert {cell["restarts"] for cell in running.status()["cells"].values()} == {0}


async def test_a_state_folder_that_cannot_be_is_named_with_the_remedy(
    gateway: Any, settings: Any, cli: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    config = settings("mqtt://127.0.0.1:1", state_dir=str(tmp_path / "file" / "state"))

    code, out, err = await cli("run", str(gateway(config).file))

    assert (code, out) == (2, "")
    assert err == (
        f"state_dir: {tmp_path}/file/state: Not a directory;"
        " choose a folder that this user may write\n"
    )


async def test_mistakes_are_told_and_nothing_is_started(cli: Any, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    state = tmp_path / "state"
    file.write_text(f"site: home\nstate_dir: {state}\nbus: []\ncells:\n  - vendor: nukki\n")

    code, out, err = await cli("run", str(file))

    assert (code, out) == (2, "")
    assert f"{file}: cells[0].vendor: unknown vendor 'nukki': did you mean 'nuki'?" in err
    assert f"{file}: bus: " in err
    assert not state.exists()


async def test_when_the_supervisor_is_killed_its_cells_finish_and_the_next_one_takes_over(
    gateway: Any, settings: Any, broker_url: str, person: Any, eventually: Eventually
) -> None:
    running = await gateway(settings(broker_url)).start()
    await eventually(up(running, "ratgdo", "nuki"))
    pids = [cell["pid"] for cell in running.status()["cells"].values()]
    async with person(broker_url) as client:
        await client.subscribe("doorfleet/v1/home/ratgdo/+/event/#", qos=1)
        heard = aiter(client.messages)
        await client.publish(DOOR, b"open", qos=1)
        async with asyncio.timeout(5):
            first = json.loads((await anext(heard)).payload)

        assert await running.stop(signal.SIGKILL) == -signal.SIGKILL

        await running.start()  # at once: the cells of the first may still be finishing
        await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        await eventually(up(running, "ratgdo", "nuki"), within_s=15)
        await client.publish(DOOR, b"closed", qos=1)
        async with asyncio.timeout(5):
            second = json.loads((await anext(heard)).payload)

    assert (int(first["sequence"]), int(second["sequence"])) == (1, 2)
    assert first["id"].split("-")[0] == second["id"].split("-")[0]  # the same store


async def test_every_log_line_is_json_and_holds_no_payload(
    gateway: Any, settings: Any, embedded: TcpBroker, person: Any, eventually: Eventually
) -> None:
    url = f"mqtt://127.0.0.1:{embedded.port}"
    running = await gateway(settings(url)).start()
    await eventually(up(running, "nuki"))
    async with person(url) as client:
        await client.publish("nuki/39000001/lockActionEvent", b"1,0,4711,0815,secret", qos=1)
        await eventually(lambda: running.cell("nuki").get("dead_letters") == 1)
    await running.stop()

    lines = running.log()
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    assert "4711" not in json.dumps(lines)
    assert [line["event"] for line in lines if line["level"] == "error"] == []


async def test_console_lines_are_for_people(
    gateway: Any, settings: Any, free_port: int, eventually: Eventually
) -> None:
    config = settings(f"mqtt://127.0.0.1:{free_port}", log={"format": "console"})
    running = await gateway(config).start()
    await running.stop()

    text = (running.folder / "gateway.log").read_text()
    assert "gateway.ready" in text
    assert not text.startswith("{")
