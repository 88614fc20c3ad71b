"""One cell's way to the simulated network: what its process has open, and what it may still open.

    cell ── asks, opens, sends ──► out of its loop ──► MemoryNet
    cell ◄── posted into its loop ◄── Inlet ◄───────── MemoryNet

Whoever stands still reads nothing: TCP fills up on the other side, and datagrams are dropped when
the socket's buffer is full. Whoever dies has everything cut in that moment.
"""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from fleet_sim.broker.memory import MemoryTransport
from fleet_sim.ground.cell_loop import CellLoop
from fleet_sim.memory_net import MemoryNet, ProtocolFactory
from vendors.http import HttpReply, HttpRequest
from vendors.wire.errors import NotSentError
from vendors.wire.udp import Address, Wire
from vendors.wire.websocket import Channel

P = TypeVar("P", bound=asyncio.Protocol)

#: What a socket keeps for who does not read: Linux's net.core.rmem_default.
_UNREAD_BYTES: Final = 212_992
#: What a caller hears of a listener that died while it was called.
_GONE: Final = HttpReply(502, b"")

Handler = Callable[[HttpRequest], Awaitable[HttpReply]]


class CellNet:
    """The `network` of one cell that can be struck.

    Attributes:
        exhausted: whether nothing new can be opened: no file descriptor is left.
    """

    def __init__(self, net: MemoryNet, loop: CellLoop) -> None:
        self.exhausted = False
        self._net = net
        self._loop = loop
        self._still: list[MemoryTransport] | None = None
        self._links: list[MemoryTransport] = []
        self._inlets: list[Inlet] = []
        self._channels: list[Outward] = []
        self._ends: list[Callable[[], None]] = []

    # --- what befalls it ----------------------------------------------------------------------

    def stand_still(self) -> None:
        """Read nothing."""
        self._still = [link for link in self._open_links() if link.is_reading()]
        for link in self._still:
            link.pause_reading()
        for inlet in self._inlets:
            inlet.still = True

    def go_on(self) -> None:
        """Read again what it read before."""
        for link in self._still or ():
            link.resume_reading()
        self._still = None
        for inlet in self._inlets:
            inlet.go_on()

    def cut(self) -> None:
        """Break its links, without a word."""
        for link in self._open_links():
            link.abort()
        for channel in self._channels:
            channel.break_off()

    def die(self) -> None:
        """Break all that it has open; nothing it says from now on leaves."""
        self.cut()
        for end in self._ends:
            end()

    def _open_links(self) -> list[MemoryTransport]:
        self._links = [link for link in self._links if not link.is_closing()]
        return self._links

    def _may_open(self) -> None:
        if self._loop.dead or self.exhausted:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    # --- what a cell does with it -------------------------------------------------------------

    async def mqtt_opener(self, factory: Callable[[], P]) -> tuple[MemoryTransport, P]:
        """See `MemoryBroker.connect_transport`.

        Raises:
            OSError: no file descriptor is left.
        """
        self._may_open()
        protocol = factory()
        inlet = Inlet(protocol, self._loop)
        link, _ = await self._loop.out(self._net.mqtt_opener(lambda: inlet))
        self._links.append(link)
        return link, protocol

    async def udp_opener(
        self,
        factory: ProtocolFactory,
        local: Address,
        broadcast: bool,  # noqa: FBT001 -- the shape of `vendors.wire.udp.DatagramOpener`
    ) -> tuple[Wire, asyncio.DatagramProtocol]:
        """See `MemoryNet.udp_opener`.

        Raises:
            OSError: the port is taken, or no file descriptor is left.
        """
        self._may_open()
        protocol = factory()
        inlet = Inlet(protocol, self._loop)
        wire, _ = await self._loop.out(self._net.udp_opener(lambda: inlet, local, broadcast))
        self._inlets.append(inlet)
        self._ends.append(wire.close)
        return wire, protocol

    async def http_send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> HttpReply:
        """See `MemoryWeb.http_send`."""
        try:
            self._may_open()
        except OSError as error:
            raise NotSentError(str(error.strerror)) from error
        return await self._loop.out(self._net.http_send(method, url, headers, body))

    async def ws_connect(self, url: str, headers: Mapping[str, str]) -> Channel:
        """See `MemoryWeb.ws_connect`."""
        try:
            self._may_open()
        except OSError as error:
            raise ConnectionError(error.strerror) from error
        channel = Outward(await self._loop.out(self._net.ws_connect(url, headers)), self._loop)
        self._channels = [each for each in self._channels if not each.over]
        self._channels.append(channel)
        return channel

    async def webhook_listen(
        self, bind: tuple[str, int], handler: Handler
    ) -> tuple[tuple[str, int], Callable[[], None]]:
        """See `MemoryWeb.webhook_listen`."""
        self._may_open()

        async def answer(request: HttpRequest) -> HttpReply:
            return await handler(request)

        async def called(request: HttpRequest) -> HttpReply:
            try:
                return await self._loop.within(answer(request))
            except asyncio.CancelledError:
                if self._loop.dead:
                    return _GONE
                raise

        address, close = await self._loop.out(self._net.webhook_listen(bind, called))
        self._ends.append(close)
        return address, close


class Inlet(asyncio.Protocol, asyncio.DatagramProtocol):
    """Posts what a transport says to a cell's protocol into the cell's loop."""

    def __init__(self, protocol: asyncio.BaseProtocol, loop: CellLoop) -> None:
        self.still = False
        self._protocol: Any = protocol
        self._loop = loop
        self._unread: list[tuple[bytes, Address]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio`."""
        self._loop.call_soon(self._protocol.connection_made, transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio`."""
        self._loop.call_soon(self._protocol.data_received, data)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """See `asyncio`; who stands still keeps as much as a socket does."""
        if not self.still:
            self._loop.call_soon(self._protocol.datagram_received, data, addr)
        elif sum(len(each) for each, _ in self._unread) + len(data) <= _UNREAD_BYTES:
            self._unread.append((data, addr))

    def go_on(self) -> None:
        """Read what was kept."""
        self.still = False
        unread, self._unread = self._unread, []
        for data, addr in unread:
            self.datagram_received(data, addr)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio`."""
        self._loop.call_soon(self._protocol.connection_lost, exc)


class Outward:
    """A cell's end of a WebSocket, whose other end is not in the cell: a `Channel`."""

    def __init__(self, channel: Any, loop: CellLoop) -> None:  # noqa: ANN401 -- one of MemoryWeb's
        self.over = False
        self._channel = channel
        self._loop = loop

    def break_off(self) -> None:
        """It broke; called from without."""
        self.over = True
        self._channel.end()

    async def send(self, text: str) -> None:
        """See `vendors.wire.websocket.Channel`."""
        if self.over:
            raise ConnectionError("closed")
        await self._loop.out(self._channel.send(text))

    async def receive(self) -> str | None:
        """See `vendors.wire.websocket.Channel`."""
        text: str | None = await self._channel.receive()
        return text

    async def close(self) -> None:
        """See `vendors.wire.websocket.Channel`."""
        self.over = True
        await self._loop.out(self._channel.close())
