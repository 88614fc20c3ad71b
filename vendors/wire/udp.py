"""Request and reply over one UDP socket that many devices share.

    request() ─► [one per device] ─► [outstanding_max overall] ─► send ─► device
    reply     ◄─ key_of(data, address) matches an open request ◄─────────┘
                 no match: counted as late (a key we know how to read) or foreign, and dropped

UDP loses, repeats and reorders. A timeout therefore says nothing about whether the device
acted, and only the caller knows whether asking again is harmless.
"""

import asyncio
import contextlib
import errno
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeAlias, cast

from vendors.wire.errors import NoReplyError, NotSentError

Address: TypeAlias = tuple[str, int]
OnDatagram: TypeAlias = Callable[[bytes, Address], None]

# One Ethernet frame's worth: 1,500 less the IPv4 and UDP headers. What is longer travels in
# fragments, which small boards neither send nor put together.
DATAGRAM_MAX_BYTES: Final = 1_472


class Wire(Protocol):
    """What an endpoint needs of a datagram transport; asyncio's and a memory link's have it."""

    def sendto(self, data: bytes, addr: Address) -> None:
        """Let one datagram leave."""

    def close(self) -> None:
        """Stop; `connection_lost` follows."""

    def get_extra_info(self, name: str, default: object = None) -> object:
        """`sockname` is the bound address."""


#: (protocol factory, local address, broadcast allowed) to transport and protocol. Raises
#: OSError. The seam where in-process runs replace the socket by a memory link.
DatagramOpener: TypeAlias = Callable[
    [Callable[[], asyncio.DatagramProtocol], Address, bool],
    Awaitable[tuple[Wire, asyncio.DatagramProtocol]],
]


class PortTakenError(OSError):
    """The operator's move: another process has the port; the text says which, if known."""


class UdpEndpoint(asyncio.DatagramProtocol):
    """One bound socket; `on_datagram` gets every datagram that is not oversized.

    Args:
        on_datagram: called with the bytes and the sender's (host, port).
        opener: makes the transport; absent, a real socket.
        datagram_max_bytes: longer ones are dropped and counted, in both directions.
    """

    def __init__(
        self,
        on_datagram: OnDatagram,
        *,
        opener: DatagramOpener | None = None,
        datagram_max_bytes: int = DATAGRAM_MAX_BYTES,
    ) -> None:
        self.oversized = 0
        #: What the system refused (no way there, broadcast not allowed); UDP loses anyway.
        self.errors = 0
        self._on_datagram = on_datagram
        self._opener = opener or _open_socket
        self._datagram_max_bytes = datagram_max_bytes
        self._wire: Wire | None = None
        self._paused = False
        self._closed: asyncio.Future[None] | None = None

    async def open(self, host: str, port: int, broadcast: bool = False) -> None:  # noqa: FBT001, FBT002 -- reads well at the call: open(host, port, broadcast=True)
        """Bind.

        Raises:
            PortTakenError: names the port, and the process that has it if /proc tells.
            OSError: the address is not ours, or the port needs privileges.
        """
        self._closed = asyncio.get_running_loop().create_future()
        try:
            await self._opener(lambda: self, (host, port), broadcast)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            owner = port_owner(port)
            raise PortTakenError(
                errno.EADDRINUSE,
                f"UDP port {port} on {host} is taken" + (f" by {owner}" if owner else ""),
            ) from error

    @property
    def address(self) -> Address:
        """Where we are bound; asks for it before `open` are a bug."""
        assert self._wire is not None
        host, port, *_ = cast("Address", self._wire.get_extra_info("sockname"))
        return host, port

    def send(self, data: bytes, address: Address) -> bool:
        """Let one datagram leave; False if it did not (closed, full, oversized, no way there).

        The host is an address, not a name: a name would be looked up, and the loop would wait.
        """
        if self._wire is None or self._paused:
            return False
        if len(data) > self._datagram_max_bytes:
            self.oversized += 1
            return False
        before = self.errors
        self._wire.sendto(data, address)
        return self.errors == before

    async def close(self) -> None:
        """Release the port."""
        if self._wire is not None and self._closed is not None:
            self._wire.close()
            await asyncio.wait([self._closed])

    # --- the transport's calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._wire = cast("Wire", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Hand one datagram on."""
        if len(data) > self._datagram_max_bytes:
            self.oversized += 1
            return
        # An IPv6 address has two more parts, which no device of ours needs.
        self._on_datagram(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:  # noqa: ARG002 -- the count is what is of use
        """The system could not send: a lost datagram like any other."""
        self.errors += 1

    def pause_writing(self) -> None:
        """The socket's buffer is full: refuse rather than queue without bound."""
        self._paused = True

    def resume_writing(self) -> None:
        """There is room again."""
        self._paused = False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- we closed it
        """The socket is gone."""
        self._wire = None
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)


async def _open_socket(
    factory: Callable[[], asyncio.DatagramProtocol],
    local: Address,
    broadcast: bool,  # noqa: FBT001 -- the seam's shape
) -> tuple[Wire, asyncio.DatagramProtocol]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        factory, local_addr=local, allow_broadcast=broadcast
    )
    return cast("Wire", transport), protocol


@dataclass(slots=True)
class _Slot:
    """A device's turn; `users` hold it or wait for it, and the last one takes it away."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Requester:
    """Matches replies to requests: one open request per device, a bounded number overall.

    Args:
        send: such as `UdpEndpoint.send`.
        key_of: the key of the request that a datagram answers; None if it answers none of
            ours. Put the sender's host into the key where devices have fixed addresses.
        timeout_ms: wait for each attempt's reply.
        attempts_max: sends of one idempotent request in total.
        outstanding_max: requests on the wire at once, over all devices.
        queued_max: requests in here at once, on the wire or waiting for their turn.
    """

    def __init__(  # noqa: PLR0913 -- one limit per argument, all by name
        self,
        send: Callable[[bytes, Address], bool],
        key_of: Callable[[bytes, Address], Hashable | None],
        *,
        timeout_ms: int = 1_000,
        attempts_max: int = 3,
        outstanding_max: int = 64,
        queued_max: int = 1_024,
    ) -> None:
        #: Replies to requests that had ended, or repeats; and datagrams that answer nothing.
        self.late = 0
        self.foreign = 0
        self._send = send
        self._key_of = key_of
        self._timeout_ms = timeout_ms
        self._attempts_max = attempts_max
        self._queued_max = queued_max
        self._queued = 0
        self._room = asyncio.Semaphore(outstanding_max)
        self._slots: dict[Hashable, _Slot] = {}
        self._open: dict[Hashable, asyncio.Future[bytes]] = {}

    def offer(self, data: bytes, address: Address) -> bool:
        """Whether this datagram was the reply to an open request, which now has it."""
        key = self._key_of(data, address)
        if key is None:
            self.foreign += 1
            return False
        reply = self._open.get(key)
        if reply is None or reply.done():
            self.late += 1
            return False
        reply.set_result(data)
        return True

    async def request(
        self, data: bytes, address: Address, *, device: Hashable, key: Hashable, idempotent: bool
    ) -> bytes:
        """The reply's bytes.

        Args:
            data: the request as it goes out.
            address: where the device is.
            device: whose turn it takes; a second request for it waits.
            key: what `key_of` will say of the reply. The more it holds (serial, function,
                index), the less a late reply or a repeat can be mistaken for this one's.
            idempotent: asking again after a timeout is harmless. A request that is not goes
                out once; and unanswered, it keeps the device's turn for two timeouts, so
                that its late reply cannot pass for the reply to the next request.

        Raises:
            NotSentError: nothing left us.
            NoReplyError: it may have had its effect.
        """
        if self._queued >= self._queued_max:
            raise NotSentError(f"{self._queued} requests are open already")
        slot = self._slots.setdefault(device, _Slot())
        slot.users += 1
        self._queued += 1
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[bytes] = loop.create_future()
        timeout_s = self._timeout_ms / 1000
        sent_s: float | None = None
        try:
            await slot.lock.acquire()
        except asyncio.CancelledError:
            self._leave(device, slot)
            raise
        try:
            async with self._room:
                self._open[key] = reply
                for _ in range(self._attempts_max if idempotent else 1):
                    if not self._send(data, address):
                        break
                    sent_s = loop.time()
                    # Not asyncio.timeout: it would cancel the reply that it stops waiting for.
                    if (await asyncio.wait((reply,), timeout=timeout_s))[0]:
                        return reply.result()
            if sent_s is None:
                raise NotSentError(f"the socket takes nothing for {address[0]}:{address[1]}")
            raise NoReplyError(f"no reply from {address[0]}:{address[1]}")
        finally:
            self._open.pop(key, None)
            if sent_s is not None and not reply.done() and not idempotent:
                loop.call_at(sent_s + 2 * timeout_s, self._release, device, slot)
            else:
                self._release(device, slot)

    def _release(self, device: Hashable, slot: _Slot) -> None:
        slot.lock.release()
        self._leave(device, slot)

    def _leave(self, device: Hashable, slot: _Slot) -> None:
        self._queued -= 1
        slot.users -= 1
        if not slot.users:
            self._slots.pop(device, None)


def port_owner(port: int) -> str | None:
    """`name (pid 12)` of the process that has this UDP port; None where /proc cannot tell."""
    inodes = set()
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                # Source: proc(5): field 1 is local address:port in hex, field 9 the inode.
                columns = line.split()
                if int(columns[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{columns[9]}]")
    if not inodes:
        return None
    # A process may end while we look at it, and most are none of our business.
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(link.readlink()) in inodes for link in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return None
