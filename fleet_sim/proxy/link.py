"""One client's connection, and ours to the upstream on its behalf.

What is read from one side is written to the other in the same callback. A side that does not take
what we write stops the reading of the other, and so does a toxic that holds much: nothing here
grows without bound.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Final, Protocol, cast

from fleet_sim.proxy import sniff
from fleet_sim.proxy.flow import Flow, Wanted
from fleet_sim.proxy.items import Answer, Item, Sign
from fleet_sim.proxy.sniff import Speaks

#: What may wait to be written, and in toxics: 100 MB/s late by 40 ms, or 4 MB/s by a second.
WRITE_MAX: Final = 512 * 1024
HELD_MAX: Final = 4 * 1024 * 1024
#: How long a peer may take to take our last bytes.
_LINGER_S: Final = 5.0
_CONNECT_S: Final = 10.0
_BOTH_ENDED: Final = "both sides ended"

UPSTREAM, DOWNSTREAM = "upstream", "downstream"
STREAMS: Final = (UPSTREAM, DOWNSTREAM)


class Owner(Protocol):
    """Whose link it is."""

    def wanted(self, number: int) -> Mapping[str, Sequence[Wanted]]:
        """The toxics that strike the link of this number, by stream."""

    def said(self, number: int, event: str, **more: object) -> None:
        """Something happened to it."""

    def gone(self, link: "Link") -> None:
        """It is over."""


class Link:
    """Both directions between one client and the upstream; `over` once it is to end."""

    def __init__(self, owner: Owner, number: int, speaks: Speaks) -> None:
        self.number = number
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._speaks = speaks
        self._hello: bytes | None = b"" if speaks in (Speaks.AUTO, Speaks.TLS) else None
        self.over = False
        self.client = _Side(self, "client")
        self.server = _Side(self, "upstream")
        self._ways = {
            UPSTREAM: _Way(self, self.client, self.server),
            DOWNSTREAM: _Way(self, self.server, self.client),
        }
        self.client.way, self.server.way = self._ways[UPSTREAM], self._ways[DOWNSTREAM]
        self._learn(speaks)

    @property
    def carried(self) -> Mapping[tuple[str, str], int]:
        """Bytes by stream, and whether they were `received` or `sent`."""
        ways = self._ways.items()
        received = {(stream, "received"): way.received for stream, way in ways}
        return received | {(stream, "sent"): way.sent for stream, way in ways}

    async def connect(self, client: socket.socket, host: str, port: int) -> None:
        """Find the upstream, and let the client speak; without one, the client is closed."""
        client.settimeout(0)
        await self._loop.connect_accepted_socket(lambda: self.client, client)
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._loop.create_connection(lambda: self.server, host, port)
        except (OSError, TimeoutError) as error:
            why = str(error) or f"no answer within {_CONNECT_S:g} s"
            self.close(f"upstream {host}:{port}: {why}")
            return
        if not self.over:
            self.arrange()
            self.client.resume()

    def arrange(self) -> None:
        """Have the toxics at work that shall be, and no others."""
        wanted = self._owner.wanted(self.number)
        cutting = any(each.toxic.reads for stream in STREAMS for each in wanted[stream])
        for stream, way in self._ways.items():
            way.arrange(wanted[stream], cutting=cutting)

    def first(self, data: bytes) -> None:
        """Look at what a client says first."""
        assert self._hello is not None
        if self._speaks is Speaks.AUTO:
            self._learn(sniff.speaks(data))
        if self._speaks is not Speaks.TLS:
            self._hello = None
            return
        self._hello += data[: sniff.HELLO_MAX - len(self._hello)]
        if (name := sniff.server_name(self._hello)) is not None:
            self._hello = None
            self._owner.said(self.number, "tls_hello", server_name=name)

    @property
    def listening(self) -> bool:
        """Whether somebody still looks at what the client says first."""
        return self._hello is not None

    def other(self, way: "_Way") -> "_Way":
        """The other direction."""
        up, down = self._ways.values()
        return down if way is up else up

    def ended(self, way: "_Way") -> None:
        """A direction is through to its end."""
        if self.other(way).ended:
            self.close(_BOTH_ENDED)

    def close(self, why: str) -> None:
        """End both connections, once what was written is out."""
        self._finish(why)
        for side in (self.client, self.server):
            side.close()

    def reset(self, why: str) -> None:
        """End both at once, with RST."""
        self._finish(why)
        for side in (self.client, self.server):
            side.reset()

    def lost(self, side: "_Side", error: Exception | None) -> None:
        """A side's connection is gone; the other's goes the same way."""
        if not self.over and error is not None:
            self.reset(f"{side.name}: {error}")
        elif not self.over:
            self.close(_BOTH_ENDED)
        if self.client.gone and self.server.gone:
            self._owner.gone(self)

    def _finish(self, why: str) -> None:
        if self.over:
            return
        self.over = True
        for way in self._ways.values():
            way.stop()
        sent = {stream: way.sent for stream, way in self._ways.items()}
        self._owner.said(self.number, "link_closed", why=why, **sent)

    def _learn(self, speaks: Speaks) -> None:
        self._speaks = speaks
        for way, cutter in zip(self._ways.values(), sniff.cutters(speaks), strict=True):
            way.flow.cutter = cutter


class _Way:
    """One direction: a flow, whom it is read from, and whom it is written to."""

    def __init__(self, link: Link, source: "_Side", sink: "_Side") -> None:
        self._link = link
        self._source, self._sink = source, sink
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = inf
        self._stopped = False
        self.flow = Flow()
        self.ended = False
        self.received = self.sent = 0

    def data(self, data: bytes) -> None:
        """Bytes came."""
        self.received += len(data)
        flow = self.flow
        if flow.plain:
            if flow.cutter is not None:
                flow.cutter.follow(data)
            self.sent += len(data)
            self._sink.write(data)
        else:
            self._do(flow.feed(data, self._loop.time()))

    def end(self) -> None:
        """The source says no more."""
        self._do(self.flow.end(Sign.END, self._loop.time()))

    def arrange(self, wanted: Sequence[Wanted], *, cutting: bool) -> None:
        """Have these toxics at work."""
        self._do(self.flow.arrange(wanted, self._loop.time(), cutting=cutting))

    def inject(self, answer: Answer) -> None:
        """Say this ourselves."""
        self._do(self.flow.inject(answer.message, self._loop.time()))

    def throttle(self) -> None:
        """Read on only if what was read finds room."""
        if self._sink.full or self.flow.held > HELD_MAX:
            self._source.pause()
        elif self._sink.there:
            self._source.resume()

    def stop(self) -> None:
        """Nothing more leaves."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _do(self, items: Iterable[Item]) -> None:
        """Carry out what leaves, then see when the next does."""
        for item in items:
            if self._stopped:
                return
            match item:
                case Sign.END:
                    self.ended = True
                    self._sink.write_eof()
                    self._link.ended(self)
                case Sign.CLOSE:
                    self._link.close("a toxic closed it")
                case Sign.RESET:
                    self._link.reset("a toxic reset it")
                case Answer():
                    self._link.other(self).inject(item)
                case _ if not self.ended:
                    raw = item if isinstance(item, bytes) else item.raw
                    self.sent += len(raw)
                    self._sink.write(raw)
        if not self._stopped:
            self._wake_at(self.flow.due_s)
            self.throttle()

    def _wake_at(self, due_s: float) -> None:
        if due_s == self._timer_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = due_s
        self._timer = None if due_s == inf else self._loop.call_at(due_s, self._wake)

    def _wake(self) -> None:
        self._timer, self._timer_s = None, inf
        self._do(self.flow.advance(self._loop.time()))


class _Side(asyncio.Protocol):
    """One socket."""

    way: _Way

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self.name = name
        self._transport: asyncio.Transport | None = None
        self.full = False
        # The client is on its way already; the upstream is not there until it is found.
        self.gone = name != "client"
        self.write: Callable[[bytes], None] = _nowhere

    @property
    def there(self) -> bool:
        """Whether it is connected."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_MAX)
        self.gone = False
        self.write = self._transport.write
        if self._link.over:  # the other side, or the proxy, has gone meanwhile
            self.abort()
        elif self.name == "client":
            self.pause()  # until there is somebody to tell

    def data_received(self, data: bytes) -> None:
        if self.name == "client" and self._link.listening:
            self._link.first(data)
        self.way.data(data)

    def eof_received(self) -> bool:
        self.way.end()
        return True  # the other direction goes on

    def pause_writing(self) -> None:
        self.full = True
        self._link.other(self.way).throttle()

    def resume_writing(self) -> None:
        self.full = False
        self._link.other(self.way).throttle()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self.write = _nowhere
        self._link.lost(self, exc)

    def write_eof(self) -> None:
        if self.there:
            assert self._transport is not None
            with contextlib.suppress(OSError):  # it has gone, and connection_lost is to come
                self._transport.write_eof()

    def pause(self) -> None:
        if self.there:
            assert self._transport is not None
            self._transport.pause_reading()

    def resume(self) -> None:
        if self.there:
            assert self._transport is not None
            self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is None:
            return
        self._transport.close()
        if self._transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(_LINGER_S, self._transport.abort)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """RST instead of FIN."""
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


def _nowhere(data: bytes) -> None:
    """The peer has gone: what is said to it is lost, as on any wire."""
