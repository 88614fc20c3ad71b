"""The broker on a TCP port, plain or TLS: the embedded default, so that nobody installs one."""

import asyncio
import contextlib
import socket
import ssl
from typing import Final, Self, cast

from fleet_sim.broker.connection import Connection
from fleet_sim.broker.core import Broker
from fleet_sim.broker.driver import Driver
from fleet_sim.broker.limits import Limits
from fleet_sim.broker.reasons import Reason
from fleet_sim.broker.session import Authenticate

_DEFAULTS: Final = Limits()
# Above this a subscriber counts as slow and its messages wait in its (bounded) session. A
# publisher is never paused for a slow subscriber: that would make one's bad day everyone's.
_WRITE_BUFFER_BYTES: Final = 1024 * 1024
_BACKLOG: Final = 1024
_LINGER_S: Final = 5.0


class TcpBroker:
    """A broker listening on `host`; `port` 0 takes a free one, which `port` then tells.

    `core` is the broker itself, for those who came to break it; call `kick` after doing so.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        limits: Limits = _DEFAULTS,
        authenticate: Authenticate | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.core = Broker(limits, authenticate)
        self._tls = tls
        self._driver: Driver | None = None
        self._server: asyncio.Server | None = None
        self._peers: set[_Peer] = set()

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be had.
        """
        driver = self._driver = Driver(self.core)
        self._server = await driver.loop.create_server(
            lambda: _Peer(driver, self._peers),
            self.host,
            self.port,
            ssl=self._tls,
            backlog=_BACKLOG,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def kick(self) -> None:
        """Write what a fault left to be written."""
        if self._driver is not None:
            self._driver.flush_soon()

    async def stop(self) -> None:
        """Stop listening, tell every client, close."""
        if self._server is None or self._driver is None:
            return
        server, self._server = self._server, None
        server.close()
        now_s = self._driver.now_s()
        for session in list(self.core.sessions.values()):
            session.will = None  # it is the broker that goes, not they
        self.core.disconnect(now_s, reason=Reason.SHUTTING_DOWN)
        self.core.flush(now_s)
        for peer in list(self._peers):
            peer.close()
        self._driver.stop()
        for _ in range(100):
            if not self._peers:
                break
            await asyncio.sleep(0.01)
        for peer in list(self._peers):  # a peer that does not take our last bytes
            peer.abort()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 1)

    async def __aenter__(self) -> Self:
        """Started."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stopped."""
        await self.stop()


class _Peer(asyncio.Protocol):
    """One accepted socket; also the `Outlet` of its connection."""

    def __init__(self, driver: Driver, peers: "set[_Peer]") -> None:
        self._driver = driver
        self._peers = peers
        self._transport: asyncio.Transport | None = None
        self._connection: Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)
        self._peers.add(self)
        broker = self._driver.broker
        if len(self._peers) > broker.limits.connections_max:
            broker.counters.refused += 1
            transport.abort()
            return
        # asyncio sets TCP_NODELAY itself on every loop but an old one; small frames need it.
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        self._connection = Connection(broker, self, self._driver.now_s())
        self._driver.flush()

    def data_received(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.receive(data, self._driver.now_s())
            self._driver.flush()

    def pause_writing(self) -> None:
        if self._connection is not None:
            self._connection.slowed(self._driver.now_s())

    def resume_writing(self) -> None:
        if self._connection is not None:
            self._connection.eased(self._driver.now_s())
            self._driver.flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._peers.discard(self)
        if self._connection is not None:
            self._connection.lost(self._driver.now_s())
            self._driver.flush()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            if self._transport.get_write_buffer_size():
                # A peer that does not read would keep its socket for ever.
                self._driver.loop.call_later(_LINGER_S, self.abort)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
