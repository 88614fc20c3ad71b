"""A bus that can be broken without breaking anybody's devices: what a gateway connects to instead.

    gateway ──► relay ──► broker            bytes pass as they come, with back-pressure
                  │
                  └ cut, shut, held back, or so many messages a second

Only a run that is to break its bus has one between.
"""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from fleet_sim.ground import Heal
from vendors.wire import mqtt311

_CHUNK_BYTES: Final = 65_536
_PUBLISH: Final = 0x30
_TYPE: Final = 0xF0


class BusRelay:
    """Listens on loopback, and carries to the broker and back."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self._broker = (host, port)
        self._server: asyncio.Server | None = None
        self._ways: set[_Way] = set()
        self._shut = False
        #: When nothing may pass, until when; asked anew for each piece.
        self.holds_until_s: Callable[[float], float] = _at_once
        #: Messages a second that may pass of each connection; 0 for any number.
        self.per_s = 0

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more, and cut what there is."""
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.gather(*(way.task for way in self._ways), return_exceptions=True)

    # --- what can befall it -------------------------------------------------------------------

    def down(self) -> Heal:
        """Every connection is broken, and none is let in."""
        self._shut = True
        self.cut()

        def heal() -> None:
            self._shut = False

        return heal

    def cut(self, client: str = "") -> None:
        """Break connections: of this client id, or all."""
        # As a CONNECT has it: with its length before it.
        mark = len(client).to_bytes(2, "big") + client.encode() if client else b""
        for way in list(self._ways):
            if mark in way.greeting:
                way.task.cancel()

    def slow(self, late_ms: int) -> Heal:
        """What comes waits for the next of the moments that are so far apart."""
        late_s = late_ms / 1000
        began_s = asyncio.get_running_loop().time()
        self.holds_until_s = lambda now_s: now_s + late_s - (now_s - began_s) % late_s
        return partial(setattr, self, "holds_until_s", _at_once)

    def throttled(self, per_s: int) -> Heal:
        """Of each connection so many messages are taken in every second."""
        self.per_s = per_s
        return partial(setattr, self, "per_s", 0)

    # --- what passes --------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        way = _Way(self, task)
        self._ways.add(way)
        try:
            if not self._shut:
                await way.carry(reader, writer, *await asyncio.open_connection(*self._broker))
        except (OSError, asyncio.CancelledError):
            pass  # whoever is behind it sees that the connection is over
        finally:
            self._ways.discard(way)
            writer.transport.abort()


class _Way:
    """One connection through the relay."""

    def __init__(self, relay: BusRelay, task: "asyncio.Task[None]") -> None:
        self.task = task
        #: Its first bytes: a CONNECT, and in it the client's id.
        self.greeting = b""
        self._relay = relay
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        #: How many messages it took in this second, or since one was over that had too many.
        self._second = self._taken = 0

    async def carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        broker_reader: asyncio.StreamReader,
        broker_writer: asyncio.StreamWriter,
    ) -> None:
        """Both ways, until one of them is over."""
        ways = [
            asyncio.ensure_future(self._up(reader, broker_writer)),
            asyncio.ensure_future(self._down(broker_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            broker_writer.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            self.greeting = self.greeting or data
            await self._hold()
            for piece in self._pieces(data):
                await self._pay(piece)
                writer.write(piece)
                await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            await self._hold()
            writer.write(data)
            await writer.drain()

    async def _hold(self) -> None:
        now_s = self._loop.time()
        wait_s = self._relay.holds_until_s(now_s) - now_s
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        """All of it; packet by packet, so that they can be counted whenever that begins."""
        buffer, at = self._rest + data, 0
        while (measured := mqtt311.measure(buffer, at)) is not None and measured[1] <= len(buffer):
            yield buffer[at : measured[1]]
            at = measured[1]
        self._rest = buffer[at:]

    async def _pay(self, packet: bytes) -> None:
        if packet[0] & _TYPE != _PUBLISH:
            return
        while (per_s := self._relay.per_s) and self._taken >= per_s:
            now_s = self._loop.time()
            if now_s >= self._second + 1:
                self._second, self._taken = int(now_s), 0
            else:
                await asyncio.sleep(self._second + 1 - now_s)
        self._taken += 1


def _at_once(now_s: float) -> float:
    return now_s
