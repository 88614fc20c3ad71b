"""A witness says when it hears nothing, instead of waiting for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fleet_sim.stage import BrokerAt, StageError
from fleet_sim.wire import listen


@asynccontextmanager
async def broker_that_closes() -> AsyncIterator[BrokerAt]:
    """Takes a connection, and lets nobody in."""

    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(closes, "127.0.0.1", 0) as server:
        yield BrokerAt("mosquitto", "127.0.0.1", server.sockets[0].getsockname()[1])


async def test_a_broker_that_lets_nobody_in_is_told_with_its_address() -> None:
    async with broker_that_closes() as at:
        with pytest.raises(StageError, match=rf"broker {at.url}: it closed the connection"):
            await listen(at, ("#",), lambda _: None)


async def test_a_broker_that_is_not_there_is_told_with_its_address(free_port: int) -> None:
    at = BrokerAt("mosquitto", "127.0.0.1", free_port)

    with pytest.raises(StageError, match=rf"broker {at.url}: .*Connect call failed"):
        await listen(at, ("#",), lambda _: None)
