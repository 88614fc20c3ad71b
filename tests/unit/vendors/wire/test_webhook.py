"""Being called: 2xx after the commit and never before, and nobody's call costs more than itself."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
import trustme

from devices.twin import Twin
from fleet_sim.clock import SimLoop
from vendors.api import Frame
from vendors.http import HttpReply, HttpRequest
from vendors.wire.webhook import WebhookListener

Committed = Callable[[], None]


class Cell:
    """A `vendors.api.Port` that commits when it is told to."""

    network: Any = None

    def __init__(self) -> None:
        self.rng = Random(1)
        self.frames: list[Frame] = []
        self.owed: list[Committed] = []

    def now_ms(self) -> int:
        return 5

    def offer(self, frames: Sequence[Frame], committed: Committed | None) -> None:
        self.frames += frames
        assert committed is not None
        self.owed.append(committed)

    def commit(self) -> None:
        while self.owed:
            self.owed.pop()()

    def cursor(self, name: str) -> int | None:
        del name

    def link(self, *, up: bool, reason: str) -> None:
        del up, reason

    def twin(self, device: str) -> Twin | None:
        del device


def accept(call: HttpRequest) -> tuple[Sequence[Frame], HttpReply]:
    """A frame for each call on `/hook`, and nothing for any other."""
    if call.path != "/hook":
        return (), HttpReply(404)
    return (Frame("webhook", call.body, 5),), HttpReply(204)


def listener(cell: Cell, **more: Any) -> WebhookListener:
    return WebhookListener(cell, accept, ("127.0.0.1", 0), **more)


@asynccontextmanager
async def listening(cell: Cell, **more: Any) -> AsyncIterator[WebhookListener]:
    found = listener(cell, **more)
    await found.open()
    try:
        yield found
    finally:
        await found.close()


async def call(url: str, body: bytes = b"{}", **more: Any) -> tuple[int, str | None]:
    """The status of a call, and after how long it may come again."""
    async with aiohttp.ClientSession() as session, session.post(url, data=body, **more) as reply:
        return reply.status, reply.headers.get("Retry-After")


# --- over sockets -----------------------------------------------------------------------------


async def test_it_is_answered_when_all_is_durable_and_no_sooner(eventually) -> None:
    cell = Cell()
    async with listening(cell) as it:
        calling = asyncio.create_task(call(f"{it.base_url}/hook", b"lock 1"))
        await eventually(lambda: cell.frames)
        early = calling.done()
        cell.commit()
        answer = await calling

    assert early is False
    assert answer == (204, None)
    assert cell.frames == [Frame("webhook", b"lock 1", 5)]


async def test_calls_do_not_wait_for_each_other(eventually) -> None:
    cell = Cell()
    async with listening(cell) as it:
        calling = [asyncio.create_task(call(f"{it.base_url}/hook")) for _ in range(20)]
        await eventually(lambda: len(cell.frames) == 20)
        cell.commit()
        answers = {status for status, _ in await asyncio.gather(*calling)}

    assert answers == {204}


async def test_what_is_not_for_us_is_answered_at_once_and_counted() -> None:
    cell = Cell()
    async with listening(cell) as it:
        answer = await call(f"{it.base_url}/elsewhere")

        assert it.refused == 1
    assert answer == (404, None)
    assert cell.frames == []


@pytest.mark.parametrize(("size", "status"), [(65_536, 204), (65_537, 413), (1_000_000, 413)])
async def test_a_body_has_a_limit(eventually, size: int, status: int) -> None:
    cell = Cell()
    async with listening(cell) as it:
        calling = asyncio.create_task(call(f"{it.base_url}/hook", b"x" * size))
        await eventually(lambda: cell.owed or calling.done())
        cell.commit()
        answer, _ = await calling

        assert it.refused == (status == 413)
    assert answer == status
    assert len(cell.frames) == (status == 204)


async def test_who_takes_too_long_over_his_body_is_shown_out() -> None:
    cell = Cell()
    async with listening(cell, body_s=0.1) as it:
        reader, writer = await asyncio.open_connection(*it.address)
        writer.write(b"POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
        status = await reader.readline()
        writer.close()

        assert it.refused == 1
    assert status.split()[1] == b"408"
    assert cell.frames == []


async def test_a_call_is_a_value_with_its_path_query_and_headers(eventually) -> None:
    seen: list[HttpRequest] = []

    def keep(call: HttpRequest) -> tuple[Sequence[Frame], HttpReply]:
        seen.append(call)
        return (), HttpReply(200)

    found = WebhookListener(Cell(), keep, ("127.0.0.1", 0))
    await found.open()
    await call(f"{found.base_url}/a%20b/c?k=1&k=2&x=%26", b"body", headers={"X-Sign": "s"})
    await found.close()

    request = seen[0]
    assert (request.method, request.path, request.body) == ("POST", "/a b/c", b"body")
    assert request.query == (("k", "1"), ("k", "2"), ("x", "&"))
    assert request.headers["x-sign"] == "s"


async def test_a_port_that_is_taken_is_an_error_and_frees_nothing_else() -> None:
    async with listening(Cell()) as it:
        second = WebhookListener(Cell(), accept, it.address)
        with pytest.raises(OSError, match="in use"):
            await second.open()
        await second.close()
        assert (await call(f"{it.base_url}/elsewhere"))[0] == 404

    with pytest.raises(aiohttp.ClientConnectorError):
        await call(f"{it.base_url}/elsewhere")


async def test_over_tls_with_a_certificate_of_ours(tmp_path: Path) -> None:
    ca, cert_file, key_file = trustme.CA(), tmp_path / "cert.pem", tmp_path / "key.pem"
    leaf = ca.issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(str(key_file))
    leaf.cert_chain_pems[0].write_to_path(str(cert_file))
    context = ssl.create_default_context()
    ca.configure_trust(context)

    async with listening(Cell(), cert_file=cert_file, key_file=key_file) as it:
        assert it.base_url.startswith("https://127.0.0.1:")
        assert await call(f"{it.base_url}/elsewhere", ssl=context) == (404, None)

    with pytest.raises(OSError, match="No such file"):
        await listener(Cell(), cert_file=tmp_path / "none", key_file=key_file).open()


# --- in simulated time ------------------------------------------------------------------------


def in_simulated_time(what: Callable[[], Any]) -> None:
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(what())


HOOK = HttpRequest("POST", "/hook", body=b"{}")


def test_what_is_not_durable_in_time_is_to_come_again() -> None:
    async def story() -> None:
        cell, loop = Cell(), asyncio.get_running_loop()
        it = listener(cell)

        reply = await it.handle(HOOK)

        assert (reply.status, reply.header("retry-after"), loop.time()) == (503, "1", 4.0)
        cell.commit()  # too late, and nobody minds
        again = asyncio.create_task(it.handle(HOOK))
        await asyncio.sleep(1)
        cell.commit()
        assert (await again).status == 204

    in_simulated_time(story)


def test_too_many_calls_at_once_are_to_come_again_and_leave_no_trace() -> None:
    async def story() -> None:
        cell = Cell()
        it = listener(cell)
        calling = [asyncio.create_task(it.handle(HOOK)) for _ in range(300)]
        await asyncio.sleep(1)
        turned_away = [each.result() for each in calling if each.done()]

        assert [reply.status for reply in turned_away] == [503] * 44
        assert it.refused == 44
        assert len(cell.frames) == 256
        cell.commit()
        await asyncio.gather(*calling)
        after = asyncio.create_task(it.handle(HOOK))
        await asyncio.sleep(1)
        cell.commit()
        assert (await after).status == 204

    in_simulated_time(story)


def test_a_caller_that_hangs_up_frees_its_place() -> None:
    async def story() -> None:
        cell = Cell()
        it = listener(cell)
        for _ in range(300):
            calling = asyncio.create_task(it.handle(HOOK))
            await asyncio.sleep(0)
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)
        cell.commit()

        assert (it.refused, len(cell.frames)) == (0, 300)

    in_simulated_time(story)


def test_without_sockets_it_listens_where_the_network_says() -> None:
    class Network:
        def __init__(self) -> None:
            self.handler: Callable[[HttpRequest], Any] | None = None

        async def webhook_listen(self, bind: tuple[str, int], handler: Any) -> Any:
            self.handler = handler
            return (bind[0], 49_152), partial(setattr, self, "handler", None)

    async def story() -> None:
        cell, network = Cell(), Network()
        cell.network = network
        it = listener(cell)
        await it.open()
        assert it.base_url == "http://127.0.0.1:49152"
        assert network.handler is not None
        assert (await network.handler(HttpRequest("GET", "/elsewhere"))).status == 404
        await it.close()
        assert network.handler is None
        await it.close()

    in_simulated_time(story)
