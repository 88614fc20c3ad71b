"""The broker without sockets, for runs in simulated time.

Two ways in, one core: `connect_transport` carries bytes, so that an `asyncio.Protocol` such as
the gateway's own session runs unchanged; `memory_client.MemoryClient` carries packets, so that a
thousand idle boards cost nothing. Order is the loop's: nothing here draws chance or iterates a set.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

from fleet_sim.broker.connection import Connection
from fleet_sim.broker.core import Broker
from fleet_sim.broker.driver import Driver
from fleet_sim.broker.limits import Limits

P = TypeVar("P", bound=asyncio.Protocol)

_DEFAULTS: Final = Limits()
# A client that does not read counts as slow from here on: messages wait in its session.
_UNREAD_BYTES: Final = 1024 * 1024


class MemoryBroker:
    """A broker on the running loop. `core` is what there is to break; call `kick` after it."""

    def __init__(self, limits: Limits = _DEFAULTS) -> None:
        self.core = Broker(limits)
        self.driver = Driver(self.core)

    def kick(self) -> None:
        """Deliver what a fault left to be delivered."""
        self.driver.flush_soon()

    def stop(self) -> None:
        """Set no more timers."""
        self.driver.stop()

    async def connect_transport(
        self, protocol_factory: Callable[[], P]
    ) -> tuple["MemoryTransport", P]:
        """What `loop.create_connection` does, without a network: the same return values."""
        protocol = protocol_factory()
        transport = MemoryTransport(self.driver, protocol)
        self.driver.loop.call_soon(protocol.connection_made, transport)
        # Like a handshake: the protocol has met its transport when the caller goes on.
        await asyncio.sleep(0)
        return transport, protocol


class MemoryTransport(asyncio.Transport):
    """A client's end of an in-memory connection; its broker end is the `Outlet` below."""

    def __init__(self, driver: Driver, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("memory", 0), "sockname": ("memory", 0)})
        self._driver = driver
        self._protocol: asyncio.BaseProtocol = protocol
        self._closing = False
        self._reading = True
        self._unread: deque[bytes | None] = deque()
        self._unread_bytes = 0
        self._slow = False
        self._connection = Connection(driver.broker, _MemoryOutlet(self), driver.now_s())
        driver.flush_soon()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Have the broker receive it on the loop's next turn."""
        if not self._closing and data:
            self._driver.loop.call_soon(self._to_broker, bytes(data))

    def close(self) -> None:
        """Close: what was written before still arrives."""
        self._end(None)

    def abort(self) -> None:
        """Close; there is nothing in between to throw away."""
        self._end(None)

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._closing

    def pause_reading(self) -> None:
        """Keep what the broker sends until `resume_reading`."""
        self._reading = False

    def resume_reading(self) -> None:
        """Deliver what was kept, and go on."""
        self._reading = True
        self._driver.loop.call_soon(self._deliver)

    def is_reading(self) -> bool:
        """Whether data is delivered."""
        return self._reading and not self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Deliver to another protocol from now on."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Whom we deliver to."""
        return self._protocol

    def get_write_buffer_size(self) -> int:
        """Always empty: memory takes everything at once."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Accepted and without effect."""

    def can_write_eof(self) -> bool:
        """As with TLS, no."""
        return False

    def from_broker(self, data: bytes | None) -> None:
        """Give the protocol what the broker sent; None is the end."""
        self._unread.append(data)
        self._unread_bytes += len(data or b"")
        self._deliver()
        if self._unread_bytes > _UNREAD_BYTES and not self._slow:
            self._slow = True
            self._connection.slowed(self._driver.now_s())

    def _deliver(self) -> None:
        while self._unread and self._reading and not self._closing:
            data = self._unread.popleft()
            if data is None:
                self._end(None)
            elif isinstance(self._protocol, asyncio.Protocol):
                self._unread_bytes -= len(data)
                self._protocol.data_received(data)
        if self._slow and not self._unread:
            self._slow = False
            self._connection.eased(self._driver.now_s())
            self._driver.flush_soon()

    def _to_broker(self, data: bytes) -> None:
        self._connection.receive(data, self._driver.now_s())
        self._driver.flush()

    def _end(self, error: Exception | None) -> None:
        if not self._closing:
            self._closing = True
            self._driver.loop.call_soon(self._lost, error)

    def _lost(self, error: Exception | None) -> None:
        self._connection.lost(self._driver.now_s())
        self._driver.flush_soon()
        self._protocol.connection_lost(error)


class _MemoryOutlet:
    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes) -> None:
        self._loop.call_soon(self._transport.from_broker, data)

    def close(self) -> None:
        self._loop.call_soon(self._transport.from_broker, None)

    def pause(self) -> None:
        """A held connection keeps what it gets by itself."""

    def resume(self) -> None:
        """See `pause`."""
