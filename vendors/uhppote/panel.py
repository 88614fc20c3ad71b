"""One panel as the gateway sees it: its ring, its state, its silences."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn

import structlog

from vendors.api import Frame, Port
from vendors.uhppote import packets
from vendors.uhppote.settings import PanelSettings, UhppoteSettings, address_of
from vendors.wire.backoff import Backoff
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.pause import pause
from vendors.wire.udp import Address, Requester

log = structlog.get_logger("vendors.uhppote")

# Records under way to the disk; beyond it the panel's own memory is the better place for more.
_UNCOMMITTED_MAX: Final = 64
# A record this much older than the panel's own clock is news of the past.
_LIVE: Final = timedelta(seconds=10)
# Late replies to an earlier question about the ring are told by their index, and asked again.
_ASKS_MAX: Final = 3
# A relock is no event. It is looked for when it is due: after the door's delay, and a bit.
_RELOCK_MARGIN_MS: Final = 300
_DELAY_UNKNOWN_S: Final = 5
_RETRY_BASE_MS: Final = 1_000
_AT_EVENT_TIME: Final = 20
_CLOCK: Final = {name: packets.REPLIES[packets.STATUS][name] for name in ("time", "date")}
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 -- panels know no zone, and only differences count


class Panel:
    """Reads one panel; all its requests take turns, and only `once` ever moves a door.

    Args:
        tell: called when it begins or ceases to answer.
    """

    def __init__(
        self,
        settings: PanelSettings,
        site: UhppoteSettings,
        port: Port,
        requester: Requester,
        tell: Callable[[], None],
    ) -> None:
        self.settings = settings
        self.address: Final[Address] = address_of(settings.address)
        self.answers = False
        self._site = site
        self._port = port
        self._requester = requester
        self._tell = tell
        self._serial = settings.serial
        self._source = f"udp/{settings.serial}"
        self._cursor = f"ring/{settings.serial}"
        #: Index of the last record that was read; None until the first contact.
        self._position: int | None = None
        self._newest = 0  # as the last status said
        self._hinted = 0  # as somebody pushed
        self._hints_from_ms = 0
        self._misses = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._uncommitted = 0
        self._clock_ahead: timedelta | None = None
        #: By door: how long it stays unlocked; None where it does so until told otherwise.
        self._delays_s: dict[int, int | None] = {}
        self._relays = 0
        self._upkeep_at_ms = 0

    async def run(self, listener: Address | None) -> NoReturn:
        """Ask again and again until cancelled; silence is told once and backed off from."""
        site, port = self._site, self._port
        backoff = Backoff(min(_RETRY_BASE_MS, site.retry_max_ms), site.retry_max_ms)
        self._upkeep_at_ms = 0
        self._position = port.cursor(self._cursor)
        attempt = 0
        wait_ms = round(port.rng.uniform(0, min(site.poll_ms, _RETRY_BASE_MS)))
        while True:
            await pause(self._wake, wait_ms)
            try:
                await self._turn(listener)
            except NotSentError:
                wait_ms = backoff.delay_ms(attempt, port.rng)
                attempt += 1
            except NoReplyError:
                self._silent()
                wait_ms = backoff.delay_ms(attempt, port.rng)
                attempt += 1
            else:
                attempt = 0
                wait_ms = self._pause_ms()

    # --- what others tell it ---

    def hint(self, index: int) -> None:
        """Somebody said that the ring holds this record; worth a look if we have not read it."""
        now_ms = self._port.now_ms()
        if index <= (self._position or 0) or now_ms < self._hints_from_ms:
            return
        self._hinted = max(self._hinted, index)
        self._wake.set()

    def _distrust(self) -> None:
        """Whoever pushes what is not so costs one look in a poll's time."""
        self._hinted = 0
        self._hints_from_ms = self._port.now_ms() + self._site.poll_ms

    def look_again(self, *, modes: bool) -> None:
        """Something was done to it: look at its state now, and at how its doors are set."""
        if modes:
            self._upkeep_at_ms = 0
        self._wake.set()

    # --- requests ---

    async def _request(self, function: int, *, idempotent: bool, **values: object) -> bytes:
        return await self._requester.request(
            packets.request(function, self._serial, **values),
            self.address,
            device=self._serial,
            key=(self.address, self._serial, function),
            idempotent=idempotent,
        )

    async def _ask(self, function: int, **values: object) -> bytes:
        return await self._request(function, idempotent=True, **values)

    async def once(self, function: int, **values: object) -> Mapping[str, Any]:
        """A request that may move a door: sent once; the fields of the reply.

        Raises:
            NotSentError: nothing left us.
            NoReplyError: it may have had its effect.
        """
        reply = await self._request(function, idempotent=False, **values)
        return packets.unpack(packets.REPLIES[function], reply)

    async def delay_s(self, door: int) -> int:
        """How long the panel keeps this door unlocked, asked of it now."""
        reply = await self._ask(packets.DOOR, door=door)
        delay_s: int = packets.unpack(packets.REPLIES[packets.DOOR], reply)["delay_s"]
        return delay_s

    async def refresh(self) -> None:
        """State and modes, now."""
        await self._status()
        await self._modes()

    # --- a turn ---

    async def _turn(self, listener: Address | None) -> None:
        """Records first, since somebody waits for them; then the state, which is newer than they.

        A record that only the status told of is followed by another status: what an alarm said
        of a door must not outlive what can be seen of it.
        """
        if self._position is not None and self.answers:
            await self._drain()
        await self._status()
        if self._port.now_ms() >= self._upkeep_at_ms:
            await self._upkeep(listener)
            self._upkeep_at_ms = self._port.now_ms() + self._site.upkeep_ms
        if self._position is None:
            await self._find_beginning()
        elif self._newest < self._position:
            await self._begin_anew(self._position)
        while await self._drain():
            await self._status()

    async def _upkeep(self, listener: Address | None) -> None:
        if self._site.record_special_events:
            await self._ask(packets.SPECIAL_EVENTS, enabled=True)
        if listener is not None:
            await self._ask(packets.SET_LISTENER, host=listener[0], port=listener[1], interval_s=0)
        self._offer("", await self._ask(packets.TIME))
        await self._modes()

    async def _modes(self) -> None:
        for door in range(1, self.settings.doors + 1):
            reply = await self._ask(packets.DOOR, door=door)
            fields = packets.unpack(packets.REPLIES[packets.DOOR], reply)
            stays = fields["mode"] == packets.NORMALLY_OPEN
            self._delays_s[fields["door"]] = None if stays else fields["delay_s"]
            self._offer("", reply)

    async def _status(self) -> None:
        reply = await self._ask(packets.STATUS)
        self._offer("", reply)
        self._newest = _index(reply)
        self._relays = reply[packets.AT_RELAYS]
        fields = packets.unpack(_CLOCK, reply)
        if fields["date"] is None or fields["time"] is None:
            self._clock_ahead = None
        else:
            local = datetime.combine(fields["date"], fields["time"])
            self._clock_ahead = local - _EPOCH - timedelta(milliseconds=self._port.now_ms())
        if not self.answers:
            self.answers = True
            self._tell()

    def _silent(self) -> None:
        if self.answers or self._port.twin(str(self._serial)) is None:
            log.info("uhppote.silent", serial=self._serial)
        self._offer("/silent", b"")
        self._distrust()
        self._upkeep_at_ms = 0  # it may come back from a power failure, without its settings
        self.answers = False
        self._tell()

    def _pause_ms(self) -> int:
        """Until the next look: the poll, or the moment at which a door should relock."""
        unlocked = [
            self._delays_s.get(door, _DELAY_UNKNOWN_S)
            for door in range(1, self.settings.doors + 1)
            if self._relays >> (door - 1) & 1
        ]
        due = [delay_s * 1000 + _RELOCK_MARGIN_MS for delay_s in unlocked if delay_s is not None]
        return min([self._site.poll_ms, *due])

    # --- the ring ---

    async def _place(self, index: int) -> bytes:
        """The place with this index: its record, or an empty packet (index 0), or type 0xFF."""
        for _ in range(_ASKS_MAX):
            reply = await self._ask(packets.EVENT, index=index)
            if _index(reply) in (index, 0) or index in (packets.OLDEST, packets.NEWEST):
                return reply
        raise NoReplyError(f"{self._serial} answers for other records than asked")

    async def _find_beginning(self) -> None:
        """At the first contact: as far back as we are to read, and as the ring goes."""
        oldest = _index(await self._place(packets.OLDEST))
        self._position = max(0, self._newest - self._site.history_max, oldest - 1)
        # Durable at once, or what happens until the first record is read could be skipped.
        self._offer("", await self._ask(packets.STATUS), (self._cursor, self._position))

    async def _begin_anew(self, position: int) -> None:
        """The ring ends before our place in it: was it erased, or is that status late and old?"""
        if _index(await self._place(position)) == position:
            return
        newest = _index(await self._place(packets.NEWEST))
        if newest >= position:
            return
        oldest = _index(await self._place(packets.OLDEST))
        log.warning("uhppote.ring_restarted", serial=self._serial, was=position, now=newest)
        self._position = max(0, oldest - 1)
        await self._offer_record(f"/restarted/{position + 1}-{position + 1}", b"")

    async def _drain(self) -> bool:
        """Read on, up to what a status or a push has told of; whether there was anything."""
        assert self._position is not None
        before = self._position
        while (wanted := self._position + 1) <= max(self._newest, self._hinted):
            record = await self._place(wanted)
            if _index(record) == wanted and record[packets.AT_TYPE] != packets.OVERWRITTEN:
                self._position, self._misses = wanted, 0
                await self._offer_record(self._age(record), record)
            elif wanted > self._newest:
                self._distrust()  # pushed, and not there: forged, or of a ring since erased
            elif not await self._step_over(wanted):
                break
        else:
            self._hinted = 0
        return self._position > before

    async def _step_over(self, wanted: int) -> bool:
        """Go on behind records that are gone, and say so; False if that is not certain yet."""
        oldest = _index(await self._place(packets.OLDEST))
        self._misses += 1
        if oldest <= wanted and self._misses < _ASKS_MAX:
            return False
        self._misses = 0
        self._position = max(oldest - 1, wanted)
        log.warning("uhppote.records_lost", serial=self._serial, first=wanted, last=self._position)
        await self._offer_record(f"/lost/{wanted}-{self._position}", b"")
        return True

    def _age(self, record: bytes) -> str:
        """By the panel's own clock, so that no zone and no skew is in it."""
        at = packets.read_datetime(record, _AT_EVENT_TIME)
        if at is None or self._clock_ahead is None:
            return "/buffered"
        now = _EPOCH + timedelta(milliseconds=self._port.now_ms()) + self._clock_ahead
        return "/live" if abs(now - at) <= _LIVE else "/buffered"

    # --- to the cell ---

    def _offer(self, what: str, packet: bytes, cursor: tuple[str, int] | None = None) -> None:
        frame = Frame(self._source + what, packet, self._port.now_ms(), cursor=cursor)
        self._port.offer((frame,), None)

    async def _offer_record(self, what: str, packet: bytes) -> None:
        """Never shed, and no more of them under way than the window."""
        assert self._position is not None
        while self._uncommitted >= _UNCOMMITTED_MAX:
            self._room.clear()
            await self._room.wait()
        self._uncommitted += 1
        cursor = (self._cursor, self._position)
        frame = Frame(self._source + what, packet, self._port.now_ms(), cursor=cursor)
        self._port.offer((frame,), self._committed)

    def _committed(self) -> None:
        self._uncommitted -= 1
        self._room.set()


def _index(packet: bytes) -> int:
    index: int = packets.U32.unpack_from(packet, packets.AT_INDEX)[0]
    return index
