"""HTTP and WebSockets without sockets: what cells ask, and what hubs call, in one process.

cell ── http_send, ws_connect ──► HubUnit          HubUnit ── webhook ──► webhook_listen ── cell
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Final
from urllib.parse import urlsplit

from fleet_sim.faults import Certificate, End
from fleet_sim.hub import HubUnit
from vendors.http import HttpReply, HttpRequest, request_of
from vendors.sim import Webhook, WsClose, WsText
from vendors.wire.errors import NoReplyError, NotSentError

Handler = Callable[[HttpRequest], Awaitable[HttpReply]]

_HUBS: Final = "hub-{number}.test"
_PORT: Final = 80
_FIRST_PORT: Final = 49_152
_HOOK_S: Final = 10.0
_CUT: Final = "the connection was cut"
_MULTIPLE_CHOICES: Final = 300


class MemoryWeb:
    """Who listens where; one more thing than a network has: no time passes on the way."""

    def __init__(self) -> None:
        self._hubs: dict[str, HubUnit] = {}
        self._listeners: dict[tuple[str, int], Handler] = {}
        self._channels: dict[str, _Channel] = {}
        #: What is under way, in its order: a set would have it end in another one each time.
        self._of_hub: dict[HubUnit, dict[_Exchange, None]] = {}
        self._calls: dict[HubUnit, asyncio.Queue[tuple[Webhook, str, float]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = count(1)

    def serve(self, hubs: Sequence[HubUnit]) -> Mapping[str, str]:
        """Let these hubs be reached; their URLs by name."""
        urls = {}
        for number, hub in enumerate(hubs, 1):
            host = _HUBS.format(number=number)
            self._hubs[host] = hub
            self._of_hub[hub] = {}
            hub.outlet = self
            urls[hub.hub.name] = f"{'https' if hub.hub.tls else 'http'}://{host}"
        return urls

    def _hub_at(self, url: str) -> HubUnit | None:
        parts = urlsplit(url)
        hub = self._hubs.get(parts.hostname or "")
        if hub is None or not hub.powered:
            return None
        if hub.hub.tls and hub.certificate is not Certificate.OWN:
            hub.was_asked()
            return None
        return hub

    # --- the cells' side ----------------------------------------------------------------------

    async def http_send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> HttpReply:
        """A `vendors.wire.http.HttpSend`."""
        hub = self._hub_at(url)
        if hub is None:
            raise NotSentError("nobody listens there")
        exchange, under_way = _Exchange(), self._of_hub[hub]
        under_way[exchange] = None
        try:
            reply = await hub.request(request_of(method, url, headers, body), exchange.lapse)
        finally:
            del under_way[exchange]
        if reply is None:
            raise NoReplyError(_CUT)
        return reply._replace(delay_ms=0)

    async def ws_connect(self, url: str, headers: Mapping[str, str]) -> "_Channel":
        """A `vendors.wire.websocket.WsConnect`."""
        hub = self._hub_at(url)
        if hub is None:
            raise ConnectionError("nobody listens there")
        peer = f"{hub.hub.name}/{next(self._numbers)}"
        channel = self._channels[peer] = _Channel(self, hub, peer)
        refusal = hub.opened(peer, request_of("GET", url, headers))
        if refusal is not None:
            del self._channels[peer]
            raise ConnectionError(f"refused with {refusal.status}")
        return channel

    async def webhook_listen(
        self, bind: tuple[str, int], handler: Handler
    ) -> tuple[tuple[str, int], Callable[[], None]]:
        """Listen; port 0 is any free one.

        Raises:
            OSError: the port is taken.
        """
        host, port = bind
        taken = {port for _, port in self._listeners}
        port = port or next(each for each in range(_FIRST_PORT, 65_536) if each not in taken)
        if (host, port) in self._listeners:
            raise OSError(f"port {port} is taken")
        self._listeners[host, port] = handler
        return (host, port), lambda: self._listeners.pop((host, port), None) and None

    # --- an Outlet ----------------------------------------------------------------------------

    def websocket(self, hub: HubUnit, message: WsText | WsClose) -> None:
        """Hand it to the connection that it names."""
        del hub
        channel = self._channels.get(message.peer)
        if channel is not None:
            channel.incoming.put_nowait(message.text if isinstance(message, WsText) else None)

    def webhook(self, hub: HubUnit, message: Webhook, device: str, sent_ms: float) -> None:
        """Make the call after the hub's earlier ones."""
        calls = self._calls.get(hub)
        if calls is None:
            calls = self._calls[hub] = asyncio.Queue()
            self._tasks.add(asyncio.get_running_loop().create_task(self._call(hub, calls)))
        calls.put_nowait((message, device, sent_ms))

    async def _call(self, hub: HubUnit, calls: asyncio.Queue[tuple[Webhook, str, float]]) -> None:
        while True:
            message, device, sent_ms = await calls.get()
            hub.leaves(device, sent_ms)
            parts = urlsplit(message.url)
            handler = self._listeners.get((parts.hostname or "", parts.port or _PORT))
            taken = False
            if handler is not None:
                request = request_of(
                    message.method, message.url, dict(message.headers), message.body
                )
                try:
                    async with asyncio.timeout(_HOOK_S):
                        taken = (await handler(request)).status < _MULTIPLE_CHOICES
                except TimeoutError:
                    taken = False
            if not taken:
                hub.undelivered(device, sent_ms)

    def cut(self, hub: HubUnit, how: End = End.CLOSED) -> None:
        """Break every connection of this hub; in memory there is one way to."""
        del how
        for exchange in self._of_hub[hub]:
            exchange.end()
        for channel in [each for each in self._channels.values() if each.hub is hub]:
            channel.end()

    def gone(self, channel: "_Channel") -> None:
        """A WebSocket is closed."""
        if self._channels.pop(channel.peer, None) is not None:
            channel.hub.heard(WsClose(channel.peer))

    async def close(self) -> None:
        """End what still calls."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Exchange:
    """A question and its answer, as long as they are under way."""

    __slots__ = ("_cut", "_waits")

    def __init__(self) -> None:
        self._cut = False
        self._waits: asyncio.Future[None] | None = None

    def end(self) -> None:
        """The connection is cut."""
        self._cut = True
        self._go_on()

    def _go_on(self) -> None:
        if self._waits is not None and not self._waits.done():
            self._waits.set_result(None)

    async def lapse(self, seconds: float | None) -> None:
        """A `hub.Lapse`.

        Raises:
            NoReplyError: the connection is cut.
        """
        loop = asyncio.get_running_loop()
        self._waits = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, self._go_on)
        try:
            if not self._cut:
                await self._waits
        finally:
            if timer is not None:
                timer.cancel()
        if self._cut:
            raise NoReplyError(_CUT)


class _Channel:
    """A cell's end of a WebSocket: a `vendors.wire.websocket.Channel`."""

    def __init__(self, web: MemoryWeb, hub: HubUnit, peer: str) -> None:
        self.hub = hub
        self.peer = peer
        self.incoming: asyncio.Queue[str | None] = asyncio.Queue()
        self._web = web
        self._ended = False

    def end(self) -> None:
        """It broke; whoever receives hears of it."""
        if not self._ended:
            self._ended = True
            self.incoming.put_nowait(None)
            self._web.gone(self)

    async def send(self, text: str) -> None:
        if self._ended:
            raise ConnectionError("closed")
        self.hub.heard(WsText(self.peer, text))

    async def receive(self) -> str | None:
        return await self.incoming.get()

    async def close(self) -> None:
        self.end()
