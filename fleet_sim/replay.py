"""A recording, played through a running gateway: frames in, and what came out on the bus.

What a device sent over MQTT is published. A datagram is sent to whoever listens for panels, and
what a bridge or cloud posts is posted, if it was said where. Events of our own bus are published
as the gateway does, for those who listen to it. An answer cannot be played: nobody asked for it.
"""

import asyncio
import contextlib
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson
from mqtt5 import PubAckReasonCode, PublishPacket, QoS, TopicFilter
from pydantic import ValidationError

from devices.errors import ConfigError
from fleet_sim.recording.lines import (
    MQTT,
    Datagram,
    Playable,
    Recorded,
    Recording,
    Request,
    read,
)
from fleet_sim.stage import StageError
from gateway.app import ROOT
from vendors.wire.mqtt import Link, MqttSettings, Session

__all__ = ["Options", "play", "read"]

_EVENTS: Final = f"{ROOT}/+/+/+/event/#"
# The bus has fallen silent when nothing came for so long; and how long that is waited for.
_SILENT_S: Final = 0.5
_PATIENCE_S: Final = 15.0
_FAILURE: Final = 0x80
_HTTP_OK: Final = 300
# A frame that leaves later than this has missed its moment; timers and loops take a few ms.
_LATE_S: Final = 0.05
# What is kept of each event for the report; of more there is the count alone.
_CAME_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Options:
    """How a recording is played, and where to.

    Attributes:
        speed: times as fast as it was; None: each frame follows at once.
        loop: how often it is played, one time after another.
        max_gap_s: longer pauses of the recording are shortened to this; None: none is.
        udp: `host:port` of who listens for datagrams; None: those are skipped.
        http: URL that recorded paths are put behind; None: requests are skipped.
    """

    speed: float | None = 1.0
    loop: int = 1
    max_gap_s: float | None = None
    udp: str | None = None
    http: str | None = None

    @property
    def ways(self) -> tuple[str, ...]:
        """The transports that can be played."""
        return (MQTT, *(["udp"] if self.udp else []), *(["http"] if self.http else []))


async def play(
    path: Path, broker: str | MqttSettings, options: Options | None = None
) -> dict[str, Any]:
    """Play a recording to the broker that a gateway listens to, and hear what the gateway says.

    Args:
        path: the recording.
        broker: the devices' broker, as a URL or with who we are to it; events are heard there.
        options: how, and where else to; absent, as it was, and nowhere else.

    Returns:
        Counts, and under `came` each event with the line of the newest frame before it.

    Raises:
        ConfigError: the recording or the address is wrong.
        StageError: the broker cannot be reached, or went away.
    """
    options = options or Options()
    recording = read(path, options.ways)  # all of it, before anything is played
    settings = _settings(broker) if isinstance(broker, str) else broker
    player = _Player(settings, recording, options)
    async with player.connected():
        return {"recording": str(path), **await player.play()}


def _settings(url: str) -> MqttSettings:
    try:
        return MqttSettings(url=url)
    except ValidationError as error:
        raise ConfigError((f"--broker {url!r}: write mqtt://host:port",)) from error


def due_times(frames: list[Playable], max_gap_s: float | None) -> list[float | None]:
    """When each frame is due, in seconds from the first; None: behind its predecessor at once."""
    found: list[float | None] = []
    shortened_s, last_s = 0.0, 0.0
    for frame in frames:
        if frame.at_ms is None:
            found.append(None)
            continue
        at_s = frame.at_ms / 1000
        if max_gap_s is not None:
            shortened_s += max(0.0, at_s - last_s - max_gap_s)
        last_s = max(last_s, at_s)
        found.append(at_s - shortened_s)
    return found


class _Player:
    def __init__(self, settings: MqttSettings, recording: Recording, options: Options) -> None:
        self._settings = settings
        self._recording = recording
        self._options = options
        self._line = 0
        self._came: list[dict[str, Any]] = []
        self._types: Counter[str] = Counter()
        self._sent: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._late = 0
        self._latest_s = 0.0
        self._open = 0
        # An event that the broker had kept may come before anything is played.
        self._began_s = self._heard_s = asyncio.get_running_loop().time()
        self._room = asyncio.Event()
        self._link: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._udp: asyncio.DatagramTransport | None = None
        self._web: aiohttp.ClientSession | None = None
        self._session = Session(
            settings,
            client_id=settings.client_id or f"doorfleet-replay-{secrets.token_hex(4)}",
            rng=random.Random(),  # noqa: S311 -- jitter of a reconnect that never comes
            # What we publish ourselves is no news: events of our bus may be what is played.
            subscriptions=[TopicFilter(_EVENTS, max_qos=QoS.AT_LEAST_ONCE, no_local=True)],
            on_publish=self._hear,
            on_link=self._linked,
            clean_start=True,
        )
        self._session.on_window(self._room.set)

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """With the link up; its loss afterwards ends what is played."""
        running = asyncio.create_task(self._session.run())
        try:
            await self._link
            await self._open_others()
            yield
        finally:
            if self._udp is not None:
                self._udp.close()
            if self._web is not None:
                await self._web.close()
            await self._session.close()
            await asyncio.gather(running, return_exceptions=True)
            for future in (self._link, self._lost):
                if future.done() and not future.cancelled():
                    future.exception()  # told already, or of no interest any more

    async def _open_others(self) -> None:
        if self._options.udp is not None:
            host, _, port = self._options.udp.rpartition(":")
            try:
                self._udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    asyncio.DatagramProtocol, remote_addr=(host.strip("[]"), int(port))
                )
            except (OSError, ValueError, OverflowError) as error:
                raise ConfigError(
                    (f"--udp {self._options.udp!r}: {error}; write host:port",)
                ) from error
        if self._options.http is not None:
            if urlsplit(self._options.http).scheme not in {"http", "https"}:
                raise ConfigError((f"--http {self._options.http!r}: write http://host:port",))
            self._web = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))

    async def play(self) -> dict[str, Any]:
        """All of it, as often as wished, and what came of it."""
        loop = asyncio.get_running_loop()
        self._began_s = self._heard_s = loop.time()
        frames = list(self._recording.frames)
        due = due_times(frames, self._options.max_gap_s)
        for _ in range(self._options.loop):
            began_s = loop.time()
            for frame, due_s in zip(frames, due, strict=True):
                if due_s is not None and self._options.speed is not None:
                    await self._wait_until(began_s + due_s / self._options.speed)
                self._line = frame.line
                await self._send(frame)
        await self._settled()
        played_s = loop.time() - self._began_s
        await self._silence()
        return {
            "records": self._recording.records,
            "played": sum(self._sent.values()),
            "sent": dict(sorted(self._sent.items())),
            "refused": dict(sorted(self._refused.items())),
            "skipped": dict(self._recording.skipped),
            "late": self._late,
            "latest_ms": round(self._latest_s * 1000, 1),
            "seconds": round(played_s, 3),
            "events": sum(self._types.values()),
            "types": dict(sorted(self._types.items())),
            "came": self._came,
        }

    async def _wait_until(self, moment_s: float) -> None:
        """Sleep until then; a moment that is past is counted, and nothing is left out for it."""
        loop = asyncio.get_running_loop()
        late_s = loop.time() - moment_s
        if late_s < 0:
            await asyncio.wait([self._lost], timeout=-late_s)
            self._check()
            late_s = loop.time() - moment_s
        if late_s > _LATE_S:
            self._late += 1
        self._latest_s = max(self._latest_s, late_s)

    async def _send(self, frame: Playable) -> None:
        if isinstance(frame, Recorded):
            await self._publish(frame)
        elif isinstance(frame, Datagram):
            assert self._udp is not None
            self._udp.sendto(frame.payload)
            self._sent["udp"] += 1
        else:
            await self._post(frame)

    async def _publish(self, frame: Recorded) -> None:
        """QoS 1, whatever it had: the PUBACK says that the next one comes behind it."""
        while True:
            self._room.clear()
            if self._session.publish(
                frame.topic, frame.payload, qos=1, retain=frame.retain, done=self._done
            ):
                break
            await self._more_room()
        self._open += 1
        self._sent[MQTT] += 1

    async def _more_room(self) -> None:
        """Wait for an answer of the broker; the loss of the link ends that, and is told."""
        room = asyncio.ensure_future(self._room.wait())
        waited: list[asyncio.Future[Any]] = [room, self._lost]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        room.cancel()
        self._check()

    def _done(self, code: PubAckReasonCode | None) -> None:
        self._open -= 1
        if code is not None and code.value >= _FAILURE:
            self._refused[f"{MQTT}: {code.name.lower().replace('_', ' ')}"] += 1
        if not self._open:
            self._room.set()

    async def _post(self, frame: Request) -> None:
        assert self._web is not None
        assert self._options.http is not None
        url = self._options.http.rstrip("/") + frame.path
        self._sent["http"] += 1
        try:
            async with self._web.request(frame.method, url, data=frame.payload) as answer:
                if answer.status >= _HTTP_OK:
                    self._refused[f"http: status {answer.status}"] += 1
        except (aiohttp.ClientError, TimeoutError) as error:
            self._refused[f"http: {type(error).__name__}"] += 1

    async def _settled(self) -> None:
        """Wait for the broker to answer for everything."""
        while self._open:
            self._room.clear()
            await self._more_room()

    def _hear(self, packets: list[PublishPacket], generation: int) -> None:
        self._heard_s = asyncio.get_running_loop().time()
        for packet in packets:
            self._note(packet.payload)
        self._session.ack(generation, [packet.packet_id for packet in packets])

    def _note(self, payload: bytes) -> None:
        try:
            event = orjson.loads(payload)
            data = event["data"]
            found = {
                "after_line": self._line,
                "at_ms": round((self._heard_s - self._began_s) * 1000, 1),
                "type": event["type"],
                "device": f"{data['vendor']}/{data['device']}",
                "sequence": int(event["sequence"]),
                "changes": {
                    axis: change["value"] for axis, change in data.get("changes", {}).items()
                },
            }
        except (ValueError, TypeError, KeyError, AttributeError):
            self._types["no event of ours"] += 1
            return
        self._types[found["type"]] += 1
        if len(self._came) < _CAME_MAX:
            self._came.append(found)

    def _linked(self, link: Link) -> None:
        if link.up:
            if not self._link.done():
                self._link.set_result(None)
            return
        error = StageError(
            f"{self._settings.url}: {link.reason}; is a broker running there, and --broker right?"
        )
        for future in (self._link, self._lost):
            if not future.done():
                future.set_exception(error)

    def _check(self) -> None:
        """The loss of the link ends what is played, and is told.

        Raises:
            StageError: it is lost.
        """
        if self._lost.done():
            self._lost.result()

    async def _silence(self) -> None:
        """Wait until nothing comes any more; the loss of the link ends that early, and is told."""
        loop = asyncio.get_running_loop()
        last_s = loop.time()
        until_s = last_s + _PATIENCE_S
        while loop.time() < until_s:
            quiet_s = loop.time() - max(self._heard_s, last_s)
            if quiet_s >= _SILENT_S:
                return
            await asyncio.wait([self._lost], timeout=_SILENT_S - quiet_s)
            self._check()
