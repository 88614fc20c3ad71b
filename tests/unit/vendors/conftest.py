"""A cell's side for an adapter under test, and a broker for it to speak to."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import aiomqtt
import pytest

from devices.command import Command
from devices.twin import Twin
from fleet_sim.broker.tcp import TcpBroker
from vendors.api import Adapter, Frame, Vendor


class Cell:
    """A `vendors.api.Port` that commits at once, and keeps what it was offered."""

    network: Any = None

    def __init__(self) -> None:
        self.rng = Random(1)
        self.frames: list[Frame] = []
        self.links: list[bool] = []
        self.twins: dict[str, Twin] = {}

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def offer(self, frames: Sequence[Frame], committed: Callable[[], None] | None) -> None:
        self.frames += frames
        if committed is not None:
            committed()

    def cursor(self, name: str) -> int | None:
        del name

    def link(self, *, up: bool, reason: str) -> None:
        del reason
        self.links.append(up)

    def twin(self, device: str) -> Twin | None:
        return self.twins.get(device)

    def command(self, device: str, name: str, timeout_ms: int = 10_000) -> Command:
        return Command("id-1", device, name, self.now_ms() + timeout_ms)


class Rig:
    """An adapter at a real broker, and a client that plays the device."""

    def __init__(self, broker: TcpBroker, cell: Cell, adapter: Adapter, board: aiomqtt.Client):
        self.broker = broker
        self.cell = cell
        self.adapter = adapter
        self.board = board
        self.heard: list[tuple[str, bytes, int, bool]] = []

    async def hear(self) -> None:
        async for message in self.board.messages:
            payload = message.payload
            assert isinstance(payload, bytes)
            self.heard.append((message.topic.value, payload, message.qos, message.retain))


@pytest.fixture
def rig(eventually: Any) -> Callable[..., Any]:
    """`async with rig(VENDOR, settings, listens_to="nuki/#") as it:` until the link is up."""

    @asynccontextmanager
    async def start(
        vendor: Vendor, settings: dict[str, Any], listens_to: str
    ) -> AsyncIterator[Rig]:
        async with TcpBroker() as broker:
            cell = Cell()
            url = f"mqtt://127.0.0.1:{broker.port}"
            adapter = vendor.connect(vendor.settings.model_validate({"url": url, **settings}), cell)
            async with aiomqtt.Client("127.0.0.1", broker.port) as board:
                await board.subscribe(listens_to, qos=1)
                it = Rig(broker, cell, adapter, board)
                tasks = [asyncio.create_task(adapter.run()), asyncio.create_task(it.hear())]
                await eventually(lambda: cell.links[-1:] == [True])
                try:
                    yield it
                finally:
                    for task in tasks:
                        task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.gather(*tasks)

    return start
