"""Hubs on sockets: foreign HTTP and WebSocket clients, TLS, and links that are cut."""

import asyncio
import io
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from fleet_sim import faults
from fleet_sim.fleet import Agenda
from fleet_sim.hub import HubUnit, hubs_of
from fleet_sim.hub_server import HubServer
from fleet_sim.ledger import Ledger
from fleet_sim.unit import Unit
from vendors.http import HttpReply, HttpRequest
from vendors.sim import Arrival, Effects, HubEffects, Truth, Webhook, WsClose, WsOpen, WsText

HUBS = 120


class Lamp:
    """A device behind a hub."""

    session = serial = None

    def __init__(self, hub: "Board") -> None:
        self.name, self.hub = hub.name, hub

    def act(self, habit: str, now_ms: int) -> Effects:
        messages = [Webhook(url, habit.encode()) for url in self.hub.listeners]
        return Effects(messages, [Truth(self.name, "position", habit, now_ms, bool(messages))])

    def wake(self, _now_ms: int) -> Effects:
        return Effects()


class Board:
    """Tells what it was asked; an echo over WebSockets."""

    session = None

    def __init__(self, name: str, *, tls: bool) -> None:
        self.name, self.tls = name, tls
        self.listeners: list[str] = []
        self.closed = 0

    def connected(self, _now_ms: int) -> HubEffects:
        return HubEffects()

    disconnected = wake = connected

    def receive(self, message: Arrival, _now_ms: int) -> HubEffects:  # noqa: PLR0911 -- a table
        match message:
            case HttpRequest(path="/cut"):
                return HubEffects()
            case HttpRequest():
                told = f"{self.name} {message.method} {message.path} {message.argument('a b')}"
                headers = (("X-Token", message.headers.get("x-token", "")),)
                return HubEffects(HttpReply(200, told.encode() + message.body, headers))
            case WsOpen(request=HttpRequest(path="/no")):
                return HubEffects(HttpReply(401, b"who are you?"))
            case WsOpen():
                return HubEffects(messages=[WsText(message.peer, "hello")])
            case WsText(text="bye"):
                return HubEffects(messages=[WsClose(message.peer, 4001)])
            case WsText():
                return HubEffects(messages=[WsText(message.peer, message.text.upper())])
            case _:
                self.closed += 1
                return HubEffects()


class Host:
    """A `unit.Host` on this machine's clock."""

    seed, pace, in_flight_ms, journal, recalls = 1, 1e-9, 0.0, None, True

    def __init__(self) -> None:
        self.ledger, self.agenda = Ledger(), Agenda()

    def now_ms(self) -> float:
        return time.time_ns() / 1e6


class Population:
    vendor = "acme"
    module = type("Module", (), {"HABITS": {"on": 1.0}})


class Served:
    """Some hubs that are up."""

    def __init__(self, boards: list[Board], folder: Path) -> None:
        self.host = Host()
        self.units = [Unit(self.host, Population(), Lamp(board)) for board in boards]  # type: ignore[arg-type]
        self.hubs: list[HubUnit] = hubs_of(self.host, self.units)  # type: ignore[arg-type]
        self.server = HubServer(self.hubs, folder)

    async def open(self) -> None:
        await self.server.open()
        for hub in self.hubs:
            hub.came_up()

    def strike(self, fault: faults.Fault | None) -> None:
        for unit in self.units:
            unit.fault = fault


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Any]:
    made: list[Served] = []

    async def start(*boards: Board) -> Served:
        made.append(Served(list(boards), tmp_path))
        await made[-1].open()
        return made[-1]

    yield start
    for each in made:
        await each.server.close()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield session


async def test_hundreds_of_hubs_live_in_one_process_each_at_its_own_port(serve, client) -> None:
    served = await serve(*(Board(f"b{number}", tls=False) for number in range(HUBS)))

    async def ask(name: str, url: str) -> bool:
        async with client.get(f"{url}/who") as reply:
            return (await reply.text()).startswith(f"{name} GET /who")

    assert len(set(served.server.urls.values())) == HUBS
    assert all(await asyncio.gather(*(ask(*each) for each in served.server.urls.items())))


async def test_a_request_arrives_as_it_was_made(serve, client) -> None:
    served = await serve(Board("b", tls=False))
    url = served.server.urls["b"]

    async with client.put(
        f"{url}/p%20q", params={"a b": "c&d"}, headers={"X-Token": "t"}, data=b"!"
    ) as reply:
        assert await reply.text() == "b PUT /p q c&d!"
        assert reply.headers["X-Token"] == "t"


async def test_what_is_too_large_is_refused_and_a_cut_is_no_answer(serve, client) -> None:
    served = await serve(Board("b", tls=False))
    url = served.server.urls["b"]

    async with client.post(url, data=io.BytesIO(b"x" * 2_000_000)) as reply:
        assert reply.status == 413
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.get(f"{url}/cut")


async def test_a_websocket_talks_is_closed_and_is_refused(serve, client) -> None:
    board = Board("b", tls=False)
    served = await serve(board)
    url = served.server.urls["b"]

    with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
        await client.ws_connect(f"{url}/no")
    async with client.ws_connect(url) as socket:
        assert await socket.receive_str() == "hello"
        await socket.send_str("louder")
        assert await socket.receive_str() == "LOUDER"
        await socket.send_str("bye")
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4001


async def test_a_link_that_is_cut_breaks_every_connection(serve, client, eventually) -> None:
    board = Board("b", tls=False)
    served = await serve(board)

    async with client.ws_connect(served.server.urls["b"]) as socket:
        assert await socket.receive_str() == "hello"
        served.units[0].cut()
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSED
    await eventually(lambda: board.closed == 1)


async def test_a_link_ends_by_reset_if_it_is_to(serve) -> None:
    served = await serve(Board("b", tls=False))
    hub, port = served.hubs[0], served.server.urls["b"].rpartition(":")[2]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /who HTTP/1.1\r\nHost: b\r\n\r\n")
    assert b"200 OK" in await reader.readuntil(b"GET /who")

    hub.cut(faults.End.RESET)

    with pytest.raises(ConnectionResetError):
        await reader.readexactly(65_536)
    writer.close()


async def test_a_certificate_is_signed_by_the_runs_authority_until_it_is_swapped(
    serve, client
) -> None:
    served = await serve(Board("b", tls=True))
    url, trust = served.server.urls["b"], ssl.create_default_context(cafile=served.server.ca_file)
    assert url.startswith("https://127.0.0.1:")

    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await client.get(url)
    async with client.get(url, ssl=trust) as reply:
        assert reply.status == 200
    served.strike(faults.http.BadCertificate())
    served.units[0].cut()
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await client.get(url, ssl=trust)
    served.strike(None)
    async with client.get(url, ssl=trust) as reply:
        assert reply.status == 200


async def test_a_hub_that_hangs_holds_nobody_elses_answer(serve, client) -> None:
    served = await serve(Board("ill", tls=False), Board("well", tls=False))
    served.units[0].strike(faults.wire.Hang())

    hanging = asyncio.create_task(client.get(served.server.urls["ill"]))
    async with client.get(served.server.urls["well"]) as reply:
        assert reply.status == 200
    assert not hanging.done()
    hanging.cancel()


async def test_webhooks_come_in_order_and_those_that_nobody_took_are_not_owed(
    serve, eventually
) -> None:
    heard: list[bytes] = []

    async def take(request: web.BaseRequest) -> web.Response:
        heard.append(await request.read())
        return web.Response(status=200 if heard[-1] != b"5" else 500)

    listener = web.ServerRunner(web.Server(take))
    await listener.setup()
    await web.TCPSite(listener, "127.0.0.1", 0).start()
    board = Board("b", tls=False)
    served = await serve(board)
    board.listeners = [f"http://127.0.0.1:{listener.addresses[0][1]}/hook"]

    for number in range(10):
        served.units[0].act(str(number))
    await eventually(lambda: len(heard) == 10)
    await listener.cleanup()
    served.units[0].act("nobody")

    def sure() -> list[str]:
        told = served.host.ledger._of("acme", "b").told["position"]  # noqa: SLF001 -- what it holds
        return [owed.value for owed in told if owed.sure]

    await eventually(lambda: "nobody" not in sure())
    assert heard == [str(number).encode() for number in range(10)]
    assert "5" not in sure()
    assert "4" in sure()
