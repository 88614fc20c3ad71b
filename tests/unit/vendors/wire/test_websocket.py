"""A WebSocket that is made again: over sockets on loopback, and in simulated time."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trustme
from aiohttp import WSMsgType, web

from fleet_sim.clock import SimLoop
from vendors.wire.websocket import Channel, WsLink

Play = Callable[[web.WebSocketResponse, web.BaseRequest], Awaitable[None]]


class Rig:
    """A host that plays, and a link to it."""

    def __init__(self) -> None:
        self.link: WsLink
        self.url = ""
        self.texts: list[str] = []
        self.links: list[tuple[bool, str]] = []
        self.opened = 0
        self.asked: list[web.BaseRequest] = []
        self.refuse: Callable[[], web.Response] | None = None
        self.greeting: str | None = None

    async def on_open(self) -> None:
        self.opened += 1
        if self.greeting is not None:
            assert await self.link.send(self.greeting)

    def make(self, url: str, **more: Any) -> WsLink:
        self.link = WsLink(
            url,
            rng=Random(1),
            on_text=self.texts.append,
            on_open=self.on_open,
            on_link=lambda up, reason: self.links.append((up, reason)),
            **more,
        )
        return self.link


@asynccontextmanager
async def rig(
    play: Play, context: ssl.SSLContext | None = None, *, run: bool = True, **more: Any
) -> AsyncIterator[Rig]:
    it = Rig()

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        it.asked.append(request)
        if it.refuse is not None:
            return it.refuse()
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await play(socket, request)
        return socket

    runner = web.ServerRunner(web.Server(serve, access_log=None), shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    scheme = "ws" if context is None else "wss"
    it.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}/ws"
    it.make(it.url, **more)
    running = asyncio.create_task(it.link.run()) if run else None
    try:
        yield it
    finally:
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await runner.cleanup()


async def stay(socket: web.WebSocketResponse, request: web.BaseRequest) -> None:
    del request
    async for _ in socket:
        pass


async def test_texts_come_in_their_order_and_leave_in_theirs(eventually) -> None:
    heard: list[str] = []

    async def talk(socket: web.WebSocketResponse, _: web.BaseRequest) -> None:
        for number in range(200):
            await socket.send_str(str(number))
        async for message in socket:
            heard.append(message.data)  # noqa: PERF401 -- as they come

    async with rig(talk, headers={"x-token": "t"}) as it:
        await eventually(lambda: len(it.texts) == 200)
        sent = [await it.link.send(str(number)) for number in range(100)]
        await eventually(lambda: len(heard) == 100)
        assert it.link.up

    assert it.texts == [str(number) for number in range(200)]
    assert sent == [True] * 100
    assert heard == [str(number) for number in range(100)]
    assert it.asked[0].headers["X-Token"] == "t"
    assert it.asked[0].path == "/ws"


async def test_what_is_said_first_is_said_before_anything_is_read(eventually) -> None:
    async def echo(socket: web.WebSocketResponse, _: web.BaseRequest) -> None:
        message = await socket.receive()
        await socket.send_str(f"you said {message.data}")
        await socket.receive()

    async with rig(echo) as it:
        it.greeting = "hello"
        await eventually(lambda: it.texts)

    assert it.texts == ["you said hello"]


async def test_binary_messages_are_nobodys(eventually) -> None:
    async def mixed(socket: web.WebSocketResponse, _: web.BaseRequest) -> None:
        await socket.send_bytes(b"\x00")
        await socket.send_str("text")
        await socket.receive()

    async with rig(mixed) as it:
        await eventually(lambda: it.texts)

    assert it.texts == ["text"]


async def test_a_lost_link_is_told_and_made_again(eventually) -> None:
    async def hang_up(socket: web.WebSocketResponse, request: web.BaseRequest) -> None:
        await socket.send_str("hello")
        if len(it.asked) == 1:
            assert request.transport is not None
            request.transport.abort()
        else:
            await socket.receive()

    async with rig(hang_up) as it:
        await eventually(lambda: it.opened == 2 and it.link.up, within_s=10)
        assert it.links[0][0] is False
        assert it.links[0][1]

    assert len(it.asked) == 2


async def test_a_host_that_closes_politely_is_come_back_to(eventually) -> None:
    async def close(socket: web.WebSocketResponse, _: web.BaseRequest) -> None:
        await socket.close()

    async with rig(close) as it:
        await eventually(lambda: len(it.asked) == 2, within_s=10)

    assert it.links[0] == (False, "closed by the host")


async def test_without_a_link_nothing_leaves_and_it_is_said() -> None:
    async with rig(stay, run=False) as it:
        assert it.link.up is False
        assert await it.link.send("lost") is False
        await it.link.drop()

    assert it.asked == []


async def test_a_link_that_broke_under_a_text_is_said() -> None:
    class Broken:
        async def send(self, text: str) -> None:
            del text
            raise ConnectionError("gone")

        async def receive(self) -> str | None:
            await asyncio.Event().wait()
            return None

        async def close(self) -> None:
            pass

    class Network:
        async def ws_connect(self, *_: object) -> Channel:
            return Broken()

    it = Rig()
    it.make("ws://h", network=Network())
    running = asyncio.create_task(it.link.run())
    await asyncio.sleep(0.01)

    assert it.link.up
    assert await it.link.send("lost") is False
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503, 200])
async def test_a_refused_opening_is_told_and_tried_again(eventually, status: int) -> None:
    async with rig(stay) as it:
        it.refuse = lambda: web.Response(status=status)
        await eventually(lambda: it.links)
        assert await it.link.send("lost") is False
        it.refuse = None
        await eventually(lambda: it.link.up, within_s=10)

    assert it.links[0][0] is False
    assert str(status) in it.links[0][1]


async def test_a_host_that_points_elsewhere_is_not_followed(eventually) -> None:
    async with rig(stay) as other, rig(stay, headers={"x-token": "hush"}) as it:
        it.refuse = lambda: web.Response(status=307, headers={"Location": other.url})
        await eventually(lambda: it.links)
        elsewhere = len(other.asked)

    assert elsewhere <= 1  # its own link's
    assert all("X-Token" not in request.headers for request in other.asked)
    assert "307" in it.links[0][1]


@pytest.mark.parametrize("url", ["/ws?token=hush", "http://:x/?token=hush", "ws://?token=hush"])
async def test_a_token_in_the_url_is_in_no_reason(eventually, url: str) -> None:
    async with rig(stay, run=False) as it:
        it.refuse = lambda: web.Response(status=401)
        link = it.make(it.url.replace("/ws", url) if url[0] == "/" else url)
        running = asyncio.create_task(link.run())
        await eventually(lambda: it.links)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert it.links[0][0] is False
    assert "hush" not in it.links[0][1]


async def test_a_drop_is_a_new_link(eventually) -> None:
    async with rig(stay) as it:
        await eventually(lambda: it.link.up)
        await it.link.drop()
        await eventually(lambda: it.opened == 2, within_s=10)

    assert len(it.asked) == 2


async def test_a_text_that_is_refused_closes_the_link(eventually) -> None:
    async def talk(socket: web.WebSocketResponse, _: web.BaseRequest) -> None:
        await socket.send_str("nonsense")
        message = await socket.receive()
        closed.append(message.type)

    closed: list[WSMsgType] = []

    def refuse(text: str) -> None:
        raise ConnectionError(f"cannot read {len(text)} characters")

    async with rig(talk) as it:
        it.link._on_text = refuse  # noqa: SLF001 -- what a vendor gives it
        await eventually(lambda: closed)
        await eventually(lambda: it.links)

    assert it.links[0] == (False, "cannot read 8 characters")


async def test_cancelling_closes_the_link(eventually) -> None:
    closed = asyncio.Event()

    async def talk(socket: web.WebSocketResponse, _: web.BaseRequest) -> None:
        await socket.receive()
        closed.set()

    async with rig(talk) as it:
        await eventually(lambda: it.link.up)
    async with asyncio.timeout(5):
        await closed.wait()

    assert it.link.up is False


@pytest.mark.parametrize(("trusted", "up"), [(True, True), (False, False)])
async def test_a_certificate_is_checked(eventually, tmp_path: Path, trusted, up) -> None:
    ca, other, file = trustme.CA(), trustme.CA(), tmp_path / "ca.pem"
    (ca if trusted else other).cert_pem.write_to_path(str(file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)

    async with rig(stay, context, ca_file=file) as it:
        await eventually(lambda: it.link.up or it.links)
        assert it.link.up is up

    assert len(it.asked) == up


async def test_an_authority_that_cannot_be_read_is_told(eventually, tmp_path: Path) -> None:
    async with rig(stay, ca_file=tmp_path / "none.pem") as it:
        await eventually(lambda: it.links)

    assert it.links[0][0] is False
    assert it.links[0][1].startswith("ca_file: ")


# --- in simulated time ------------------------------------------------------------------------


class Flaky:
    """A network whose links hold for as long as it is told, and then break."""

    def __init__(self, holds_s: float | None) -> None:
        self.holds_s = holds_s
        self.at_s: list[float] = []

    async def ws_connect(self, url: str, headers: Mapping[str, str]) -> Channel:
        del url, headers
        self.at_s.append(asyncio.get_running_loop().time())
        if self.holds_s is None:
            raise ConnectionError("nobody listens there")
        return self

    async def send(self, text: str) -> None:
        del text

    async def receive(self) -> str | None:
        assert self.holds_s is not None
        await asyncio.sleep(self.holds_s)
        return None

    async def close(self) -> None:
        pass


def attempts(holds_s: float | None, for_s: float) -> list[float]:
    """When a link was tried, whose links hold so long."""
    network = Flaky(holds_s)

    async def story() -> None:
        running = asyncio.create_task(Rig().make("ws://h", network=network).run())
        await asyncio.sleep(for_s)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(story())
    return network.at_s


def test_a_host_that_is_gone_is_tried_ever_more_rarely() -> None:
    at_s = attempts(None, 3_600)

    assert at_s[0] == 0
    assert len(at_s) < 400
    assert max(b - a for a, b in pairwise(at_s)) <= 30.1
    assert at_s[5] < 60


def test_a_link_that_held_is_come_back_to_at_once() -> None:
    held = attempts(60, 3_600)

    assert len(held) > 57


def test_a_link_that_never_holds_is_a_failure_too() -> None:
    assert len(attempts(0.1, 3_600)) < 400


def test_a_host_that_never_answers_is_given_up() -> None:
    class Hanging(Flaky):
        async def ws_connect(self, url: str, headers: Mapping[str, str]) -> Channel:
            self.at_s.append(asyncio.get_running_loop().time())
            await asyncio.Event().wait()
            raise AssertionError(url, headers)

    network, it = Hanging(None), Rig()

    async def story() -> None:
        running = asyncio.create_task(it.make("ws://h", network=network).run())
        await asyncio.sleep(60)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(story())

    assert 3 <= len(network.at_s) <= 6
    assert it.links[0] == (False, "TimeoutError")
