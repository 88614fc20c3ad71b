"""All MQTT connections of a fleet: one selector, one wheel of timers, one queue to the broker.

    queue ─── so many a second ──► links ◄── selector ◄── the loop
                                     └────► wheel: keepalive, patience, reconnect

Whoever must connect stands in the queue, at the start as after a power cut: a storm of connects is
as hard as `connects_per_s` says.
"""

import asyncio
import contextlib
import errno
import selectors
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from fleet_sim.hub import HubUnit
from fleet_sim.stage import StageError
from fleet_sim.unit import Unit
from fleet_sim.wire.budget import Sources, room
from fleet_sim.wire.link import PATIENCE_S, BoardLink, Phase
from fleet_sim.wire.rival import Rival
from fleet_sim.wire.traffic import Bag, Traffic
from fleet_sim.wire.wheel import TICK_S, Wheel
from vendors.sim import Publish

#: What a broker's queue of connections that it has not yet taken holds (Mosquitto: 100): beyond it
#: a SYN is lost, and its repetition comes a second later.
_AT_ONCE: Final = 96
#: Nobody waits for more others than these until his word is on its way.
_SPEAKERS_MAX: Final = 16
#: So often each asks before a broker that lets nobody in is no broker.
_ASKED_MAX: Final = 3
_PACE_S: Final = 0.004
_LEAVE_S: Final = 2.0
_RESOLVE_S: Final = 10.0


class Switchboard:
    """Makes and keeps the connections of `units`, all to one broker.

    Args:
        broker: host name or address, and port.
        units: those with a session of their own.
        connects_per_s: how many may begin to connect in a second.
        patience_s: how long a broker may take to answer.
        per_address: how many connections one source address has; absent, what the machine says.
    """

    def __init__(
        self,
        broker: tuple[str, int],
        units: Sequence[Unit | HubUnit],
        connects_per_s: float,
        *,
        patience_s: float = PATIENCE_S,
        per_address: int | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.now_s: Callable[[], float] = self._loop.time
        self.soon = self._loop.call_soon
        self.later = self._loop.call_later
        self.traffic = Traffic()
        #: What was sent, if somebody wants to know whether it arrived.
        self.bag: Bag | None = None
        self.connected = 0
        #: When the first one began to connect, and when the last one had for the first time.
        self.began_s = self.all_up_s = self.now_s()
        self.patience_s = patience_s
        self._per_address = per_address
        self._broker = broker
        self._addresses: list[tuple[int, Any]] = []  # of what family, and as it wants it
        self._sources = Sources(broker[0], 0, 1)
        self._connects_per_s = connects_per_s
        self._links = [BoardLink(self, unit) for unit in units]
        self.wheel: Wheel[BoardLink] = Wheel(self.now_s())
        self._selector = selectors.DefaultSelector()
        self._queue: deque[BoardLink] = deque()
        self._untried = len(self._links)
        self._tried = asyncio.Event()
        self._allowed = 0.0
        self._allowed_s = self.now_s()
        self._pacing = False
        #: Links that wait for the broker since less than `FRESH_S`, and who may be one of them.
        self._fresh = 0
        self._opened: deque[BoardLink] = deque()
        self._speakers: list[BoardLink] = []
        self._rivals: dict[str, Rival] = {}
        self._left: set[BoardLink] = set()
        self._all_left = asyncio.Event()
        self._ticking: asyncio.TimerHandle | None = None

    @property
    def sessions(self) -> int:
        """How many connections there are to be."""
        return len(self._links)

    @property
    def hopeless(self) -> bool:
        """Nobody was ever let in, however often each asked."""
        asked = self.traffic.unreached + self.traffic.refused
        return not self.traffic.connects and asked >= _ASKED_MAX * len(self._links) > 0

    async def start(self) -> None:
        """Let everybody stand in the queue, and wait until each has tried once.

        Raises:
            StageError: there is no such host.
        """
        if not self._links:
            return
        await self._resolve()
        host = self._addresses[0][1][0]
        ports = self._per_address or room(host).ports_used
        self._sources = Sources(host, len(self._links), ports)
        self._loop.add_reader(self._selector.fileno(), self._turn)
        self._tick()
        self.began_s = self._allowed_s = self.now_s()
        for link in self._links:
            self.enqueue(link)
        await self._tried.wait()

    async def _resolve(self) -> None:
        host, port = self._broker
        try:
            async with asyncio.timeout(_RESOLVE_S):
                found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError) as error:
            raise StageError(
                f"broker {host}:{port}: its address is not to be had: {error}"
            ) from error
        self._addresses = [(family, address) for family, _, _, _, address in found]

    async def stop(self) -> None:
        """Let everybody say DISCONNECT; whoever cannot within two seconds is cut."""
        self._queue.clear()
        self._left = set(self._links)
        for rival in self._rivals.values():
            rival.close()
        for link in self._links:
            link.leave()
        if self._left:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LEAVE_S):
                    await self._all_left.wait()
        for link in tuple(self._left):
            link.close()
        if self._ticking is not None:
            self._ticking.cancel()
            self._loop.remove_reader(self._selector.fileno())
        self._selector.close()

    # --- the queue ----------------------------------------------------------------------------

    def enqueue(self, link: BoardLink) -> None:
        """It wants to connect."""
        self._queue.append(link)
        if not self._pacing:
            self._pacing = True
            self._allowed_s = self.now_s()
            self._loop.call_soon(self._pace)

    def _pace(self) -> None:
        """Let as many connect as the rate and the broker allow by now."""
        now_s = self.now_s()
        rate = self._connects_per_s
        # A loop that was busy for a moment may catch up; for a second, it may not.
        earned = (now_s - self._allowed_s) * rate
        self._allowed = min(self._allowed + earned, max(1.0, rate / 10))
        self._allowed_s = now_s
        while self._opened and not self._opened[0].fresh_at(now_s):
            self._answered(self._opened.popleft())
        while self._queue and self._allowed >= 1 and self._fresh < _AT_ONCE:
            self._allowed -= 1
            self._queue.popleft().open()
            if self._untried:
                self._untried -= 1
                if not self._untried:
                    self._tried.set()
        self._pacing = bool(self._queue)
        if self._pacing:
            self._loop.call_later(max(_PACE_S, (1 - self._allowed) / rate), self._pace)

    def opening(self, link: BoardLink) -> None:
        """It waits for the broker from now on."""
        link.fresh = True
        self._fresh += 1
        self._opened.append(link)

    def _answered(self, link: BoardLink) -> None:
        if link.fresh:
            link.fresh = False
            self._fresh -= 1

    def welcomed(self, link: BoardLink) -> None:
        """It is connected."""
        self._answered(link)
        self.traffic.connects += 1
        if link.known:
            self.traffic.reconnects += 1
        else:
            link.known = True
            self.all_up_s = self.now_s()
        self.connected += 1

    def over(self, link: BoardLink, was: Phase, code: int | None) -> None:
        """A connection that had come so far is gone; `code` as `BoardLink` has it."""
        self._answered(link)
        traffic = self.traffic
        if was in (Phase.UP, Phase.DEAD):
            self.connected -= 1
            traffic.cut += code is None
            traffic.closed += code is not None
        elif code == errno.EADDRNOTAVAIL:
            traffic.no_port += 1
            self._sources.widen()
        elif code is not None:
            traffic.unreached += 1
            if was is Phase.CONNECTING and len(self._addresses) > 1:
                self._addresses.append(self._addresses.pop(0))

    def gone(self, link: BoardLink) -> None:
        """It left for good."""
        self._answered(link)
        self._left.discard(link)
        if not self._left:
            self._all_left.set()

    # --- sockets ------------------------------------------------------------------------------

    def dial(self) -> tuple[socket.socket, Any]:
        """A new socket, and whereto it is to be connected.

        Raises:
            OSError: there is none to be had.
        """
        family, address = self._addresses[0]
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setblocking(False)  # noqa: FBT003 -- its own signature
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sources.bind(made)
        except OSError:
            made.close()
            raise
        return made, address

    def watch(self, made: socket.socket, link: BoardLink | Rival) -> None:
        """Tell the link from now on when there is something to read."""
        self._selector.register(made.fileno(), selectors.EVENT_READ, link)

    def usurp(self, client_id: str) -> None:
        """Let somebody else connect with this id."""
        rival = self._rivals.get(client_id)
        if rival is None:
            rival = self._rivals[client_id] = Rival(self, client_id)
        rival.open()

    def turn(self, made: socket.socket, link: BoardLink | Rival, events: int) -> None:
        """Tell it of these from now on."""
        self._selector.modify(made.fileno(), events, link)

    def forget(self, made: socket.socket) -> None:
        """Watch it no longer, if it was watched."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(made.fileno())

    def speaks(self, link: BoardLink) -> None:
        """It has something to say, and will not have said all before this turn is over."""
        self._speakers.append(link)
        if len(self._speakers) == 1:
            self._loop.call_soon(self._flush)
        elif len(self._speakers) > _SPEAKERS_MAX:
            self._flush()

    def _flush(self) -> None:
        speakers, self._speakers = self._speakers, []
        for link in speakers:
            link.flush()

    def _turn(self) -> None:
        for key, events in self._selector.select(0):
            key.data.ready(events)

    def _tick(self) -> None:
        self._ticking = self._loop.call_later(TICK_S, self._tick)
        for slot, link in self.wheel.due(self.now_s()):
            link.due(slot)

    @property
    def overdue(self) -> int:
        """Links that have been silent for longer than their keepalive allows."""
        now_s = self.now_s()
        return sum(link.overdue(now_s) for link in self._links)

    # --- counting -----------------------------------------------------------------------------

    def sent(self, message: Publish) -> None:
        """A link sends this."""
        self.traffic.sent += 1
        if self.bag is not None:
            self.bag.add(message.topic, message.payload)

    def waited(self, gap_s: float, keepalive_s: int) -> None:
        """A link spoke so long after its last word."""
        if keepalive_s and gap_s > self.traffic.worst_wait * keepalive_s:
            self.traffic.worst_wait = gap_s / keepalive_s
        self.traffic.late += 0 < keepalive_s < gap_s
