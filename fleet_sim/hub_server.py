"""Hubs on sockets: any number of them in one process, each at a port of its own on loopback.

host ──► aiohttp server ─ port ─► HubUnit        HubUnit ──► webhooks, in the hub's order ──► host
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import WSMsgType, web
from yarl import URL

from fleet_sim.certificates import Authority
from fleet_sim.faults import Certificate, End
from fleet_sim.hub import HubUnit
from fleet_sim.reset import reset_at_close
from vendors.http import HttpReply
from vendors.sim import Webhook, WsClose, WsText
from vendors.wire.webhook import request_from, response_of

_HOST: Final = "127.0.0.1"
# No simulated device takes more in; real ones take far less.
_BODY_MAX: Final = 1024 * 1024
_HOOK_S: Final = 10.0
_SHUTDOWN_S: Final = 1.0
_HOOKS_MAX: Final = 4_096
_MULTIPLE_CHOICES: Final = 300
_TOO_LARGE: Final = HttpReply(413)


class HubServer:
    """All hubs of a run that are servers. An `Outlet`.

    Args:
        hubs: those without a broker session.
        folder: where the authority's certificate is, or is written, if one of them speaks TLS.
        ports: by name of the hub, where it is to listen; any other port for those without.
    """

    def __init__(
        self,
        hubs: Sequence[HubUnit],
        folder: Path | None = None,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        self._hubs = hubs
        self._folder = folder
        self._ports = ports or {}
        #: By name of the hub, as `vendors.sim.Addresses.hubs`.
        self.urls: dict[str, str] = {}
        self.ca_file = ""
        self._by_port: dict[int, HubUnit] = {}
        self._runner: web.ServerRunner | None = None
        self._client: aiohttp.ClientSession | None = None
        self._calls: dict[HubUnit, asyncio.Queue[tuple[Webhook, str, float]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._peers: dict[str, asyncio.Queue[str | WsClose]] = {}
        self._numbers = count(1)
        self._open: dict[HubUnit, list[asyncio.Transport]] | None = None
        for hub in hubs:
            hub.outlet = self

    async def open(self) -> None:
        """Listen, one port for each hub."""
        authority = None
        if any(hub.hub.tls for hub in self._hubs):
            assert self._folder is not None, "TLS hubs need a folder"
            authority = Authority(self._folder)
            self.ca_file = str(authority.ca_file)
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=False, limit=0),  # a listener's proof is its own
            timeout=aiohttp.ClientTimeout(total=_HOOK_S),
        )
        # Whoever gave up is not worked for: a hub that hangs would collect their questions.
        server = web.Server(self._serve, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._listening = []
        for hub in self._hubs:
            context = authority.context(hub) if hub.hub.tls and authority is not None else None
            wanted = self._ports.get(hub.hub.name, 0)
            listening = await loop.create_server(server, _HOST, wanted, ssl=context, backlog=1024)
            self._listening.append(listening)
            port = listening.sockets[0].getsockname()[1]
            self._by_port[port] = hub
            scheme = "https" if context is not None else "http"
            self.urls[hub.hub.name] = f"{scheme}://{_HOST}:{port}"

    async def close(self) -> None:
        """Stop listening, and let go of every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for hub, calls in self._calls.items():
            while not calls.empty():
                _, device, sent_ms = calls.get_nowait()
                hub.undelivered(device, sent_ms)
        for hub in self._hubs:
            self.cut(hub)
        if self._runner is not None:
            for listening in self._listening:
                listening.close()
            await self._runner.cleanup()
        if self._client is not None:
            await self._client.close()

    # --- being asked --------------------------------------------------------------------------

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        hub = None if transport is None else self._hub_of(transport)
        if transport is None or hub is None or not hub.powered or _is_outdated(transport, hub):
            if transport is not None:
                transport.abort()
            return web.Response(status=503)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._websocket(hub, request)
        try:
            asked = await request_from(request, _BODY_MAX)
        except ValueError:
            return response_of(_TOO_LARGE)
        answer = await hub.request(asked)
        if answer is None:
            transport.abort()
            return web.Response(status=503)
        return response_of(answer)

    async def _websocket(self, hub: HubUnit, request: web.BaseRequest) -> web.StreamResponse:
        peer = f"{hub.hub.name}/{next(self._numbers)}"
        outgoing: asyncio.Queue[str | WsClose] = asyncio.Queue()
        self._peers[peer] = outgoing
        sending: asyncio.Task[None] | None = None
        refusal: HttpReply | None = None
        try:
            refusal = hub.opened(peer, await request_from(request, _BODY_MAX))
            if refusal is not None:
                return response_of(refusal)
            socket = web.WebSocketResponse(autoping=True)
            await socket.prepare(request)
            sending = asyncio.create_task(_send(socket, outgoing))
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    hub.heard(WsText(peer, message.data))
            return socket
        finally:
            self._peers.pop(peer, None)
            if sending is not None:
                sending.cancel()
            if refusal is None:
                hub.heard(WsClose(peer))

    # --- an Outlet ----------------------------------------------------------------------------

    def websocket(self, hub: HubUnit, message: WsText | WsClose) -> None:
        """Hand it to the connection that it names; one that is gone swallows it."""
        del hub
        outgoing = self._peers.get(message.peer)
        if outgoing is not None:
            outgoing.put_nowait(message.text if isinstance(message, WsText) else message)

    def webhook(self, hub: HubUnit, message: Webhook, device: str, sent_ms: float) -> None:
        """Make the call after the hub's earlier ones."""
        calls = self._calls.get(hub)
        if calls is None:
            calls = self._calls[hub] = asyncio.Queue(_HOOKS_MAX)
            self._tasks.append(asyncio.create_task(self._call(hub, calls)))
        try:
            calls.put_nowait((message, device, sent_ms))
        except asyncio.QueueFull:
            hub.undelivered(device, sent_ms)

    async def _call(self, hub: HubUnit, calls: asyncio.Queue[tuple[Webhook, str, float]]) -> None:
        while True:
            message, device, sent_ms = await calls.get()
            hub.leaves(device, sent_ms)
            taken = False
            try:
                taken = await self._post(message)
            finally:  # also when the run ends meanwhile
                if not taken:
                    hub.undelivered(device, sent_ms)

    async def _post(self, message: Webhook) -> bool:
        assert self._client is not None
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError, ValueError):
            async with self._client.request(
                message.method,
                URL(message.url, encoded=True),
                data=message.body or None,
                headers=list(message.headers),
                allow_redirects=False,
            ) as response:
                await response.read()
                return response.status < _MULTIPLE_CHOICES
        return False

    def cut(self, hub: HubUnit, how: End = End.CLOSED) -> None:
        """Break every connection of this hub without a word, or by RST."""
        for transport in self._open_connections().get(hub, ()):
            if how is End.RESET:
                reset_at_close(transport.get_extra_info("socket"))
            transport.abort()

    def _open_connections(self) -> dict[HubUnit, list[asyncio.Transport]]:
        """By hub. A power cut asks for thousands of hubs in one turn: looked up once for all."""
        if self._open is None:
            self._open = {}
            server = self._runner.server if self._runner is not None else None
            for connection in server.connections if server is not None else ():
                transport = connection.transport
                hub = self._hub_of(transport) if transport is not None else None
                if transport is not None and hub is not None:
                    self._open.setdefault(hub, []).append(transport)
            asyncio.get_running_loop().call_soon(self._turn_over)
        return self._open

    def _turn_over(self) -> None:
        self._open = None

    def _hub_of(self, transport: asyncio.BaseTransport) -> HubUnit | None:
        name = transport.get_extra_info("sockname")
        return self._by_port.get(name[1]) if name else None


def _is_outdated(transport: asyncio.BaseTransport, hub: HubUnit) -> bool:
    """Whether another certificate is shown than this connection began with."""
    speaks_tls = transport.get_extra_info("ssl_object") is not None
    return speaks_tls and hub.certificate is not Certificate.OWN


async def _send(socket: web.WebSocketResponse, outgoing: asyncio.Queue[str | WsClose]) -> None:
    with contextlib.suppress(ConnectionError, RuntimeError):
        while True:
            match await outgoing.get():
                case str() as text:
                    await socket.send_str(text)
                case WsClose(code=code):
                    await socket.close(code=code)
                    return
