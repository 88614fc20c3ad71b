"""Live traffic of a broker into a recording, line by line, until it is enough.

    broker ──► what it had kept ─┐
           └─► what comes ───────┴─► scrub ─► one write for each line ─► OUT.jsonl

Each line is in the file when the next one is looked at, so whoever kills the recorder loses the
last one at most. Everything is bounded: lines, bytes, time, and what waits in memory; what was
dropped over it is counted and told.
"""

import asyncio
import contextlib
import secrets
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import aiomqtt
from paho.mqtt.subscribeoptions import SubscribeOptions

from devices.errors import ConfigError
from fleet_sim.recording import lines, topics
from fleet_sim.recording.scrub import Scrubber
from fleet_sim.stage import StageError
from vendors.wire.mqtt import MqttSettings, reason
from vendors.wire.mqtt.framing import LinkError

# Larger ones are firmware and pictures.
_PAYLOAD_MAX: Final = 262_144
# So many topics are told apart for the report.
_TOPICS_MAX: Final = 100_000
# What may wait in memory while the disk is slow.
_WAITING_MAX_BYTES: Final = 64 * 1024 * 1024
_QUIET_S: Final = 0.25
_STORED_WITHIN_S: Final = 10.0
_BACKOFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_REFUSED: Final = 0x80
_VERSIONS: Final = {"5": aiomqtt.ProtocolVersion.V5, "3.1.1": aiomqtt.ProtocolVersion.V311}


@dataclass(frozen=True, slots=True)
class Wish:
    """What to record, and when it is enough.

    Attributes:
        at: the broker, and who we are to it.
        filters: topics to listen to.
        version: of MQTT, `5` or `3.1.1`.
        for_s: end after so long; None never.
        count: end after so many frames; None never.
        bytes_max: end when the file is so large.
    """

    at: MqttSettings
    filters: tuple[str, ...]
    version: str = "5"
    for_s: float | None = None
    count: int | None = None
    bytes_max: int = 1 << 30


@dataclass(slots=True)
class Figures:
    """What a recording has come to."""

    frames: int = 0
    stored: int = 0
    bytes: int = 0
    topics: set[str] = field(default_factory=set)
    dropped: Counter[str] = field(default_factory=Counter)
    links_lost: int = 0
    away_s: float = 0.0
    ended: str = ""


class Tape:
    """The file; a line is in it when `take` returns.

    It is opened for its first line, so that what fails before leaves an older recording as it was.

    Args:
        path: where; a file that is there is begun anew.
        scrubber: None writes everything as it is.
        wish: the bounds.
    """

    def __init__(self, path: Path, scrubber: Scrubber | None, wish: Wish) -> None:
        self._file: BinaryIO | None = None
        self._path = path
        self._scrubber = scrubber
        self._wish = wish
        self._began_ms: float | None = None
        self.figures = Figures()

    def take(  # noqa: PLR0913 -- MQTT's own list, by name
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int | None,
        retained: bool | None,
        stored: bool,
        at_ms: float,
    ) -> bool:
        """Write a frame; whether there is room for another.

        Args:
            topic: where it was said.
            payload: as it came.
            qos: None if nobody saw it.
            retained: None if nobody saw it.
            stored: the broker had kept it from before.
            at_ms: Unix time.
        """
        if len(payload) > _PAYLOAD_MAX:
            self.figures.dropped[f"payloads of more than {_PAYLOAD_MAX} bytes"] += 1
            return True
        first = self._began_ms is None
        if self._began_ms is None:
            self._began_ms = at_ms
        record: dict[str, Any] = {
            "at_ms": round(max(0.0, at_ms - self._began_ms), 1),
            "direction": lines.FROM_HOST if topics.is_host(topic) else lines.FROM_DEVICE,
            "transport": lines.MQTT,
            "topic": topic,
            "retained": retained,
            "qos": qos,
        }
        if stored:
            record["stored"] = True
        if first:
            record["began_at_ms"] = round(at_ms)
        if self._scrubber is not None:
            of_device = record["direction"] == lines.FROM_DEVICE
            payload = self._scrubber.payload(payload, topic, of_device=of_device)
            record["topic"] = self._scrubber.topic(topic)
        return self.copy(record | lines.payload_fields(payload))

    def copy(self, record: dict[str, Any]) -> bool:
        """Write a line of another recording; whether there is room for another."""
        if not self._write(record):
            return False
        figures = self.figures
        figures.frames += 1
        figures.stored += record.get("stored") is True
        if isinstance(record.get("topic"), str) and len(figures.topics) < _TOPICS_MAX:
            figures.topics.add(record["topic"])
        if self._wish.count is not None and figures.frames >= self._wish.count:
            figures.ended = f"{figures.frames} frames, as wished"
        return not figures.ended

    def note(self, text: str, at_ms: float) -> None:
        """Say in the recording what became of the recorder itself."""
        began_ms = at_ms if self._began_ms is None else self._began_ms
        self._write(
            {
                "at_ms": round(max(0.0, at_ms - began_ms), 1),
                "direction": lines.FROM_HOST,
                "transport": "log",
                "payload": text,
            }
        )

    def finish(self) -> None:
        """All is said: the file is there, and empty if that was nothing.

        Raises:
            ConfigError: it cannot be written there.
        """
        self._opened()
        self.close()

    def close(self) -> None:
        """No more."""
        if self._file is not None:
            self._file.close()

    def _opened(self) -> BinaryIO:
        if self._file is None:
            try:
                self._file = self._path.open("wb", buffering=0)
            except OSError as error:
                raise ConfigError(
                    (f"{self._path}: {error.strerror}; give a file that we may write",)
                ) from error
        return self._file

    def _write(self, record: dict[str, Any]) -> bool:
        data = lines.line(record)
        if self.figures.bytes + len(data) > self._wish.bytes_max:
            self.figures.ended = f"the file has reached {self._wish.bytes_max} bytes"
            return False
        file = self._opened()
        try:
            file.write(data)
        except OSError as error:
            raise StageError(
                f"{self._path}: {error.strerror}; what came before is in it, make room and go on"
            ) from error
        self.figures.bytes += len(data)
        return True


async def record(
    wish: Wish, tape: Tape, enough: asyncio.Event, told: Callable[[Figures], None]
) -> Figures:
    """Record until it is enough: by the wish, or because somebody says so.

    `told` is called when the link comes up, and for each frame from then on.

    Raises:
        ConfigError: a file of the identity, or OUT, cannot be used.
        StageError: the broker cannot be reached, or refuses what is wished.
    """
    recorder = _Recorder(wish, tape, enough, told)
    try:
        figures = await recorder.run()
        tape.finish()
        return figures
    finally:
        tape.close()


class _Recorder:
    def __init__(
        self, wish: Wish, tape: Tape, enough: asyncio.Event, told: Callable[[Figures], None]
    ) -> None:
        self._wish = wish
        self._tape = tape
        self._enough = enough
        self._told = told
        self._until_s = float("inf")
        self._connected = False
        self._failures = 0
        self._lost_s = 0.0

    async def run(self) -> Figures:
        """Links, one after another, until it is enough."""
        if self._wish.for_s is not None:
            self._until_s = asyncio.get_running_loop().time() + self._wish.for_s
        while not self._tape.figures.ended:
            try:
                await self._link()
            except aiomqtt.MqttError as error:
                if not self._connected:
                    raise StageError(
                        f"{self._wish.at.where}: {error}; is a broker running there, and --broker"
                        " and the identity right?"
                    ) from error
                await self._lost()
        return self._tape.figures

    async def _lost(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._failures:
            self._tape.figures.links_lost += 1
            self._lost_s = loop.time()
        wait_s = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
        self._failures += 1
        with contextlib.suppress(TimeoutError):
            left_s = max(0.0, self._until_s - loop.time())
            await asyncio.wait_for(self._enough.wait(), min(wait_s, left_s))
        self._look()

    def _came_up(self) -> None:
        if self._failures:
            away_s = asyncio.get_running_loop().time() - self._lost_s
            self._tape.figures.away_s += away_s
            text = f"the recorder had no link for {away_s:.1f} s: what was said then is missing"
            self._tape.note(text, time.time() * 1000)
        self._connected, self._failures = True, 0
        self._told(self._tape.figures)

    def _look(self) -> None:
        """See whether it is enough, for other reasons than what was written."""
        figures = self._tape.figures
        if figures.ended:
            return
        if self._enough.is_set():
            figures.ended = "told to stop"
        elif asyncio.get_running_loop().time() >= self._until_s:
            figures.ended = f"{self._wish.for_s:g} s, as wished"

    async def _link(self) -> None:
        """One life of the link: what was kept, if this is the first, and what comes."""
        first = not self._connected
        client, arrived = self._client("live")
        async with client, arrived.watching(client):
            await self._subscribe(client, stored=False)
            self._came_up()
            if first and self._wish.version == "5":
                await self._take_stored()
            while not self._tape.figures.ended:
                message = await self._next(arrived, 1.0)
                if message is not None:
                    self._take(message, arrived.dropped())
                else:
                    self._look()
                self._told(self._tape.figures)

    async def _next(self, arrived: "_Arrived", within_s: float) -> aiomqtt.Message | None:
        """What comes next; None if nothing does, or if it is enough and all that came is taken."""
        left_s = self._until_s - asyncio.get_running_loop().time()
        # Not even a short wait then: while frames keep coming, each would bring another.
        if arrived.is_empty() and (left_s <= 0 or self._enough.is_set()):
            return None
        return await arrived.next(self._enough, min(within_s, left_s))

    def _take(self, message: aiomqtt.Message, dropped: int, *, stored: bool = False) -> None:
        if dropped:
            what = "messages that came faster than they could be written"
            self._tape.figures.dropped[what] += dropped
        old = self._wish.version != "5"
        was_kept = stored or (old and message.retain)
        self._tape.take(
            message.topic.value,
            _bytes(message.payload),
            qos=None if was_kept else message.qos,
            # MQTT 3.1.1 tells of the flag only for what the broker had kept.
            retained=None if old and not message.retain else message.retain,
            stored=was_kept,
            at_ms=time.time() * 1000,
        )

    async def _take_stored(self) -> None:
        """What the broker had kept, over a second link: only there it is told from the live."""
        client, arrived = self._client("kept")
        loop = asyncio.get_running_loop()
        until_s = loop.time() + _STORED_WITHIN_S
        async with client, arrived.watching(client):
            await self._subscribe(client, stored=True)
            # Its answer comes behind all that the broker had for the first one.
            await client.subscribe(f"doorfleet-sim/{secrets.token_hex(8)}", qos=0)
            while loop.time() < until_s and not self._tape.figures.ended:
                message = await self._next(arrived, _QUIET_S)
                if message is None or not message.retain:  # the live ones come behind the kept
                    return
                self._take(message, arrived.dropped(), stored=True)

    async def _subscribe(self, client: aiomqtt.Client, *, stored: bool) -> None:
        # What was kept comes without a window, and so in one piece. What comes is asked for at
        # QoS 1: at 2 it would be handed over later than what was said after it.
        qos = 0 if stored else 1
        wishes: Any = [(each, qos) for each in self._wish.filters]
        if self._wish.version == "5":
            send = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
            options = SubscribeOptions(
                qos=qos,
                retainAsPublished=not stored,
                retainHandling=send if stored else SubscribeOptions.RETAIN_DO_NOT_SEND,
            )
            wishes = [(each, options) for each in self._wish.filters]
        codes = await client.subscribe(wishes)
        for each, code in zip(self._wish.filters, codes, strict=False):
            value = code if isinstance(code, int) else int(getattr(code, "value", _REFUSED))
            if value >= _REFUSED:
                raise StageError(
                    f"{self._wish.at.where}: it does not let us hear {each}; ask for rights to read"
                    " it, or give another --topic"
                )

    def _client(self, what: str) -> tuple[aiomqtt.Client, "_Arrived"]:
        at = self._wish.at
        arrived = _Arrived()
        try:
            password = reason.password(at)
            client = aiomqtt.Client(
                at.host,
                at.port,
                username=at.username,
                password=None if password is None else password.decode(),
                identifier=at.client_id or f"doorfleet-record-{what}-{secrets.token_hex(4)}",
                protocol=_VERSIONS[self._wish.version],
                keepalive=at.keepalive_s,
                queue_type=arrived.kind(),
                timeout=at.connect_timeout_s,
                tls_context=reason.tls_context(at),
            )
        except (LinkError, ValueError) as error:  # a file of a certificate or password
            raise ConfigError((f"{at.where}: {error}; check the files of the identity",)) from error
        return client, arrived


class _Arrived:
    """What has come and is not written yet, bounded by its bytes."""

    def __init__(self) -> None:
        self._items: deque[aiomqtt.Message] = deque()
        self._waiting = 0
        self._dropped = 0
        self._something = asyncio.Event()
        self._gone: asyncio.Task[aiomqtt.Message] | None = None

    def kind(self) -> type[asyncio.Queue[aiomqtt.Message]]:
        """The queue for aiomqtt to put messages in; it hands them on, and gives none back."""
        take = self._take

        class Passing(asyncio.Queue[aiomqtt.Message]):
            def _put(self, item: aiomqtt.Message) -> None:
                take(item)

        return Passing

    @contextlib.asynccontextmanager
    async def watching(self, client: aiomqtt.Client) -> AsyncIterator[None]:
        """Notice the end of the link, which is all that aiomqtt's own iterator can tell here."""
        self._gone = asyncio.ensure_future(anext(client.messages))
        try:
            yield
        finally:
            self._gone.cancel()
            await asyncio.gather(self._gone, return_exceptions=True)

    def is_empty(self) -> bool:
        """Whether all that came is taken."""
        return not self._items

    def dropped(self) -> int:
        """How many were dropped since this was asked last."""
        found, self._dropped = self._dropped, 0
        return found

    async def next(self, enough: asyncio.Event, within_s: float) -> aiomqtt.Message | None:
        """What comes next within this time; None if nothing does, or if it is enough.

        Raises:
            aiomqtt.MqttError: the link went, and all that came before was taken.
        """
        if not self._items:
            await self._wait(enough, within_s)
        if not self._items:
            if self._gone is not None and self._gone.done():
                self._gone.result()
            return None
        item = self._items.popleft()
        self._waiting -= len(_bytes(item.payload))
        return item

    async def _wait(self, enough: asyncio.Event, within_s: float) -> None:
        assert self._gone is not None
        self._something.clear()
        waiting = [asyncio.ensure_future(each.wait()) for each in (self._something, enough)]
        try:
            await asyncio.wait(
                [*waiting, self._gone], timeout=within_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _take(self, item: aiomqtt.Message) -> None:
        size = len(_bytes(item.payload))
        if self._waiting + size > _WAITING_MAX_BYTES:
            self._dropped += 1
            return
        self._waiting += size
        self._items.append(item)
        self._something.set()


def _bytes(payload: object) -> bytes:
    if isinstance(payload, bytes | bytearray):
        return bytes(payload)
    return b"" if payload is None else str(payload).encode()
