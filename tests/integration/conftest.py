"""A real gateway as a process of its own, both brokers, and people who speak MQTT."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import aiomqtt
import pytest
import yaml

from fleet_sim.broker.tcp import TcpBroker
from fleet_sim.live.desk import Desk
from fleet_sim.live.faults import LiveFaults
from fleet_sim.scenario import Scenario
from fleet_sim.watching.server import RunServer
from gateway.app import GatewayConfig, make_cell, parse

PROGRAM: Final = Path(sys.executable).with_name("doorfleet-gateway")
# Generous: the machine may be doing seven other things. A test says what it means by "soon".
READY_S: Final = 20.0


class Gateway:
    """`doorfleet-gateway run` on a configuration; use it as a context, or start and stop it."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self.config = {"site": "home", "state_dir": str(self.state_dir), **config}
        self.file = folder / "gateway.yaml"
        self.file.write_text(yaml.safe_dump(self.config))
        self.program: Sequence[str | Path] = (PROGRAM, "run")
        self.process: asyncio.subprocess.Process | None = None
        self.ready_after_s = 0.0
        self.notices: list[str] = []
        self._log = folder / "gateway.log"
        self._socket: socket.socket | None = None

    async def start(self, within_s: float = READY_S) -> "Gateway":
        """Run it until it tells systemd that it is ready."""
        loop = asyncio.get_running_loop()
        began_s = time.monotonic()
        await self.launch()
        assert self.process is not None
        assert self._socket is not None
        gone = asyncio.create_task(self.process.wait())
        try:
            while not any("READY=1" in notice for notice in self.notices):
                heard = asyncio.create_task(loop.sock_recv(self._socket, 4096))
                left_s = began_s + within_s - time.monotonic()
                await asyncio.wait(
                    [heard, gone], timeout=left_s, return_when=asyncio.FIRST_COMPLETED
                )
                if not heard.done():
                    heard.cancel()
                    pytest.fail(f"not ready within {within_s} s:\n{self._log.read_text()[-3000:]}")
                self.notices.append(heard.result().decode())
        finally:
            gone.cancel()
        self.ready_after_s = time.monotonic() - began_s
        return self

    async def launch(self) -> None:
        """Run it, whatever comes of it."""
        address = self.folder / "notify"
        address.unlink(missing_ok=True)
        if self._socket is not None:
            self._socket.close()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(address))
        self._socket.setblocking(False)
        self.notices.clear()
        with self._log.open("ab") as sink:
            self.process = await asyncio.create_subprocess_exec(
                *self.program,
                self.file,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={**os.environ, "NOTIFY_SOCKET": str(address)},
            )

    async def stop(self, number: int = signal.SIGTERM, within_s: float = 15.0) -> int:
        """Send the signal; the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(within_s):
            return await self.process.wait()

    async def end(self) -> None:
        """Leave nothing running behind, however the test went."""
        if self.process is not None and self.process.returncode is None:
            try:
                await self.stop()
            except TimeoutError:
                await self.stop(signal.SIGKILL)
        if self._socket is not None:
            self._socket.close()

    def status(self) -> dict[str, Any]:
        """What it last wrote about itself; empty if nothing yet."""
        with contextlib.suppress(OSError, ValueError):
            body: dict[str, Any] = json.loads((self.state_dir / "status.json").read_text())
            return body
        return {}

    def cell(self, name: str) -> dict[str, Any]:
        """One cell's part of the status."""
        found: dict[str, Any] = self.status().get("cells", {}).get(name, {})
        return found

    def log(self, event: str = "") -> list[dict[str, Any]]:
        """Its log lines, all of them JSON; those of one event if it is named."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines()]
        return [line for line in lines if not event or line.get("event") == event]

    async def run(self, *arguments: str, within_s: float = 60.0) -> tuple[int, str, str]:
        """Another `doorfleet-gateway` with these arguments: exit code, stdout, stderr."""
        return await run(*arguments, within_s=within_s)


async def run(*arguments: str, within_s: float = 60.0) -> tuple[int, str, str]:
    """`doorfleet-gateway ARGUMENTS`: exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(within_s):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def cli() -> Callable[..., Any]:
    """`await cli("check", FILE)` is exit code, stdout, stderr of the real program."""
    return run


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Callable[..., Gateway]]:
    """`gateway(config)` is a gateway, not yet started, that does not outlive the test."""
    made: list[Gateway] = []

    def make(config: Mapping[str, Any], folder: Path = tmp_path) -> Gateway:
        made.append(Gateway(folder, config))
        return made[-1]

    yield make
    for each in made:
        await each.end()


@pytest.fixture(params=["embedded", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
async def broker_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A broker of either kind."""
    if request.param == "mosquitto":
        yield request.getfixturevalue("mosquitto")().url
        return
    async with TcpBroker() as broker:
        yield f"mqtt://127.0.0.1:{broker.port}"


@pytest.fixture
async def embedded() -> AsyncIterator[TcpBroker]:
    """Our own broker, in the test's own loop."""
    async with TcpBroker() as broker:
        yield broker


@pytest.fixture
def settings() -> Callable[..., dict[str, Any]]:
    """`settings(url)` is a configuration of both MQTT vendors on one broker, quick to retry."""

    def both(url: str, vendors: Sequence[str] = ("ratgdo", "nuki"), **more: Any) -> dict[str, Any]:
        quick = {"url": url, "backoff_base_ms": 50, "backoff_max_ms": 200}
        return {
            "bus": [{"kind": "mqtt", **quick}],
            "cells": [
                {"vendor": vendor, "settings": quick, "health_interval_ms": 500}
                for vendor in vendors
            ],
            "supervisor": {"heartbeat_s": 0.1, "hang_s": 1.5, "restart_base_ms": 50},
            **more,
        }

    return both


@pytest.fixture
def person() -> Callable[[str], aiomqtt.Client]:
    """`async with person(url) as client` is an MQTT 5 client that is none of our own code."""

    def connect(url: str) -> aiomqtt.Client:
        host, port = url.removeprefix("mqtt://").split(":")
        return aiomqtt.Client(host, int(port), protocol=aiomqtt.ProtocolVersion.V5)

    return connect


class Life:
    """One cell in the test's own loop, from its start to its end."""

    def __init__(self, config: GatewayConfig) -> None:
        self.cell = make_cell(config, config.cells[0])
        self.task = asyncio.create_task(self.cell.run())

    @property
    def state(self) -> dict[str, Any]:
        """What it says of itself."""
        return self.cell.snapshot()

    @property
    def up(self) -> bool:
        """Whether nothing that it needs is missing."""
        return self.state.get("reason") == "" and bool(self.state.get("vendor_up"))

    async def end(self) -> None:
        """Stop it, as SIGTERM would, unless it has ended by itself."""
        if self.task.done():
            return
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Callable[..., Life]]:
    """`life(vendor_url, bus, **cell)` is a running cell of Nuki locks with these sinks."""
    lives: list[Life] = []

    def begin(url: str, bus: Sequence[Mapping[str, Any]], **cell: Any) -> Life:
        quick = {"url": url, "backoff_base_ms": 50, "backoff_max_ms": 100}
        config = {
            "site": "home",
            "state_dir": str(tmp_path / "state"),
            "bus": list(bus),
            "cells": [{"vendor": "nuki", "settings": quick, **cell}],
        }
        lives.append(Life(parse(config)))
        return lives[-1]

    yield begin
    for each in lives:
        await each.end()


class Nobody:
    """A hand that reaches nothing."""

    ground = None

    def begin(self, name: str, act: object) -> Sequence[str]:
        del name, act
        return ["39000001"]

    def end(self, name: str) -> None:
        pass


@pytest.fixture
def turning() -> Iterator[RunServer]:
    """A run's server that may break it, and behind it a run that turns and has no devices."""
    desk, over = Desk(), threading.Event()
    scenario = Scenario.model_validate({"hours": 1, "fleet": {"nuki": 2, "tedee": 2}})
    live, began_s = LiveFaults(scenario, Nobody(), desk=desk), time.monotonic()

    def turn() -> None:
        while not over.wait(0.005):
            live.turn(time.monotonic() - began_s)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        with RunServer("127.0.0.1", 0, desk) as server:
            yield server
    finally:
        over.set()
        thread.join()
