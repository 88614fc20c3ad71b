"""Over a real socket: what is said of a failure never holds what was asked."""

import asyncio
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from vendors.nuki.bridge.auth import Auth
from vendors.nuki.bridge.client import BridgeClient
from vendors.wire.errors import NoReplyError

TOKEN = "s3cret-token"


@pytest.mark.parametrize(
    "said", [b"garbage\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nX" * 9_000, b""]
)
async def test_an_answer_that_is_no_http_is_told_without_the_token(said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port: Any = SimpleNamespace(rng=Random(1), network=None, now_ms=lambda: 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = BridgeClient(url, lambda: TOKEN, Auth.PLAIN, port, wait=False)
    try:
        with pytest.raises(NoReplyError) as raised:
            await client.change("/lockAction", (("action", "1"),), 5_000)
    finally:
        await client.close()
        server.close()
        await server.wait_closed()

    assert TOKEN not in str(raised.value)
    assert TOKEN not in repr(raised.value)
