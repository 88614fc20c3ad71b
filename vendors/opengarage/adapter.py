"""Asking OpenGarage openers over HTTP, or listening to them over MQTT, and having them press."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn

import orjson
import structlog

from devices.command import Command, Reason
from devices.errors import RefusedError, RejectedError, UnavailableError
from vendors.api import Adapter, Decode, Frame, HostStanding, Port
from vendors.http import HttpReply
from vendors.opengarage import codec
from vendors.opengarage.guard import MOVES, Guard
from vendors.opengarage.settings import OpenerSettings, OpenGarageSettings
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.http import HostLimits, HttpHost
from vendors.wire.loop_time import loop_ms
from vendors.wire.mqtt_adapter import MqttLink
from vendors.wire.polling import Poller

__all__ = ["MOVES", "HttpOpeners", "MqttOpeners", "connect", "decoder"]

log = structlog.get_logger("vendors.opengarage")


#: `result` of a refusal. Source: docs/docs/1.2.4/api.md, section 1.
_ACCEPTED: Final = 1
_RESULTS: Final[Mapping[int, str]] = {2: Reason.NOT_AUTHORIZED}
_OK: Final = 200
_SERVER_FAULT: Final = 500

# A device that is asked every second and misses three answers in a row is not there.
_MISSES_MAX: Final = 3
# It says everything every 16 s over MQTT, or two looks later; three of these lost in a row are no
# chance.
_TELLS_EVERY_MS: Final = 20_000
_SILENCE_MS: Final = 50_000
_WATCH_S: Final = 5.0
# A board that serves one connection at a time, in its own house: never more at once, and asked
# again soon when it is back.
_LIMITS: Final = HostLimits(attempts_max=1, concurrency_max=1, open_ms_max=5_000)


def decoder(settings: OpenGarageSettings) -> Decode:
    """The decoder of a cell with these settings."""
    return codec.decoder(settings)


def connect(settings: OpenGarageSettings, port: Port) -> Adapter:
    """An adapter that opens nothing before `run`."""
    return HttpOpeners(settings, port) if settings.broker is None else MqttOpeners(settings, port)


# --- HTTP -------------------------------------------------------------------------------------


class _HttpOpener:
    """One opener that is asked."""

    def __init__(
        self, settings: OpenGarageSettings, opener: OpenerSettings, port: Port, told: "Told"
    ) -> None:
        assert opener.url is not None
        self.door = Guard(opener, port, settings.poll_ms + settings.timeout_ms)
        self.misses = 0
        self._settings = settings
        self._opener = opener
        self._port = port
        self._told = told
        self.host = HttpHost(opener.url, _LIMITS, rng=port.rng, network=port.network)
        self.poller = Poller(
            port, self._ask, interval_ms=lambda: settings.poll_ms, told=self._answered
        )

    async def _ask(self, asked_ms: int) -> Mapping[str, Sequence[Frame]]:
        reply = await self.host.request(
            "GET", "/jc", idempotent=True, within_ms=self._settings.timeout_ms
        )
        if reply.status != _OK:
            raise NoReplyError(f"answered with HTTP status {reply.status}")
        device, mark = self.door.device, ""
        if (said := codec.glance(reply.body, self._opener)) is not None:
            mark = self.door.seen(said.door, loop_ms(), said.secv)
        return {device: [Frame(f"http/{device}/jc{mark}", reply.body, asked_ms)]}

    def _answered(self, failure: str | None) -> None:
        self.misses = 0 if failure is None else self.misses + 1
        if self.misses == _MISSES_MAX:
            device = self.door.device
            self._port.offer([Frame(f"http/{device}/silent", b"", self._port.now_ms())], None)
        self._told(failure)

    async def send(self, command: Command) -> None:
        """Press once; the answer says that the key was right, and nothing of the door."""
        move = self.door.permit(command, loop_ms())
        if move is None:
            return
        try:
            key = self._opener.secret()
        except (OSError, UnicodeDecodeError) as error:
            log.warning(
                "opengarage.key_unreadable", device=self.door.device, error=type(error).__name__
            )
            raise RefusedError(Reason.UNAVAILABLE) from error
        if key is None:
            raise RefusedError(Reason.NOT_AUTHORIZED)
        left_ms = command.deadline_ms - self._port.now_ms()
        self.door.pressed(move, loop_ms())
        try:
            reply = await self.host.request(
                "GET",
                "/cc",
                idempotent=False,
                query=(("dkey", key), (move.word, "1")),
                within_ms=min(left_ms, self._settings.timeout_ms),
            )
        except NotSentError as failure:
            self.door.not_pressed()
            raise RefusedError(Reason.UNAVAILABLE) from failure
        except NoReplyError as failure:
            raise UnavailableError(codec.VENDOR, str(failure)) from failure
        if (refusal := _refusal(reply)) is not None:
            self.door.not_pressed()
            raise RejectedError(codec.VENDOR, refusal)
        self.poller.soon()


#: Told after each question: None, or why it failed.
Told = Callable[[str | None], None]


def _refusal(reply: HttpReply) -> str | None:
    """The vendor's no, in our words; None if it took the command.

    Raises:
        UnavailableError: it cannot be told.
    """
    if reply.status >= _SERVER_FAULT:
        raise UnavailableError(codec.VENDOR, f"HTTP status {reply.status}")
    if reply.status != _OK:
        return f"vendor:http_{reply.status}"
    try:
        found: Any = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        found = None
    code = found.get("result") if isinstance(found, dict) else None
    if not isinstance(code, int) or isinstance(code, bool):
        raise UnavailableError(codec.VENDOR, "an answer without a result")
    return None if code == _ACCEPTED else _RESULTS.get(code, f"vendor:{code}")


class HttpOpeners:
    """Openers that are asked for their state, each at its own address."""

    def __init__(self, settings: OpenGarageSettings, port: Port) -> None:
        self._port = port
        self._openers = {
            opener.device: _HttpOpener(settings, opener, port, self._tell)
            for opener in settings.openers
        }

    async def run(self) -> None:
        """Ask all of them until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for opener in self._openers.values():
                    group.create_task(opener.poller.run())
        finally:
            for opener in self._openers.values():
                await opener.host.close()

    async def send(self, command: Command) -> None:
        """Have it press once, or not at all.

        Raises:
            RefusedError: nothing left us; beside what `Guard.permit` says, `not_authorized` if we
                have no key for it, and `unavailable` if the key or the opener is not there.
            RejectedError: `not_authorized` for a wrong key, `vendor:<result>`.
            UnavailableError: it left, and no answer that can be understood came back.
        """
        opener = self._openers.get(command.device)
        if opener is None:
            raise RefusedError(Reason.UNKNOWN_DEVICE)
        await opener.send(command)

    def hosts(self) -> Iterable[HostStanding]:
        """Each opener is one."""
        return [opener.host.standing for opener in self._openers.values()]

    async def refresh(self, device: str) -> None:
        """Ask it now; that it does not answer shows in its silence."""
        opener = self._openers.get(device)
        if opener is not None:
            with contextlib.suppress(NotSentError, NoReplyError):
                await opener.poller.once()

    def _tell(self, failure: str | None) -> None:
        """The link is up if any of them answers."""
        if failure is None:
            self._port.link(up=True, reason="")
        elif all(opener.misses >= _MISSES_MAX for opener in self._openers.values()):
            self._port.link(up=False, reason=failure)


# --- MQTT -------------------------------------------------------------------------------------


class MqttOpeners:
    """Openers that tell by themselves, over one broker; they cannot be asked."""

    def __init__(self, settings: OpenGarageSettings, port: Port) -> None:
        assert settings.broker is not None
        self._port = port
        self._doors: dict[str, Guard] = {}
        self._by_source: dict[str, tuple[Guard, str]] = {}
        for opener in settings.openers:
            door = self._doors[opener.device] = Guard(opener, port, _TELLS_EVERY_MS)
            for source, what in codec.source_names(opener).items():
                self._by_source[source] = (door, what)
            self._by_source[f"{opener.topic}/OUT/NOTIFY"] = (door, "NOTIFY")
        #: When each was last heard, and when its last document came, by the loop's clock.
        self._heard_ms: dict[str, int] = {}
        self._document_ms: dict[str, int] = {}
        self._link = MqttLink(
            codec.VENDOR,
            settings.broker,
            port,
            subscriptions=[f"{opener.topic}/OUT/+" for opener in settings.openers],
            overhear=lambda frames: [self._marked(frame) for frame in frames],
        )

    async def run(self) -> None:
        """Listen until cancelled."""
        self._heard_ms = dict.fromkeys(self._doors, loop_ms())
        # Until it had the time to come, a document is awaited: the words are sent before it.
        self._document_ms = dict(self._heard_ms)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._link.run())
            group.create_task(self._watch())

    async def send(self, command: Command) -> None:
        """Publish the word once; whether the opener presses is seen in what it says next.

        Raises:
            RefusedError: nothing left us, see `Guard.permit`.
            RejectedError: the broker said no.
            UnavailableError: it left, and the broker did not answer.
        """
        door = self._doors.get(command.device)
        if door is None:
            raise RefusedError(Reason.UNKNOWN_DEVICE)
        move = door.permit(command, loop_ms())
        if move is None:
            return
        door.pressed(move, loop_ms())
        topic = f"{door.opener.topic}/IN/STATE"
        try:
            await self._link.command(topic, move.word.encode(), command.deadline_ms)
        except (RefusedError, RejectedError):
            door.not_pressed()
            raise

    async def refresh(self, device: str) -> None:
        """It says all it knows every 16 s, and cannot be asked."""

    def _marked(self, frame: Frame) -> Frame:
        """The frame as the codec is to read it."""
        door, what = self._by_source.get(frame.source, (None, ""))
        if door is None or what == "STATUS":
            return frame
        device, now_ms = door.device, loop_ms()
        if not frame.retained:
            self._heard_ms[device] = now_ms
        if what == "json":
            said = codec.glance(frame.payload, door.opener)
            if said is None:
                return frame
            self._document_ms[device] = now_ms
            mark = door.seen(said.door, now_ms, said.secv)
        elif what == "NOTIFY":
            if not frame.retained and frame.payload.endswith(codec.JUST_CLOSED):
                door.shuts(now_ms)
            return frame
        else:
            # STATE says of a door at rest what the document says too, and says it worse.
            if now_ms - self._document_ms[device] < _SILENCE_MS:
                return frame._replace(source=frame.source + codec.REDUNDANT)
            mark = door.seen(codec.STATE.get(frame.payload), now_ms)
        return frame._replace(source=frame.source + mark) if mark else frame

    async def _watch(self) -> NoReturn:
        """Tell of openers that fell silent although nobody said that they are gone."""
        told: set[str] = set()
        while True:
            await asyncio.sleep(_WATCH_S)
            now_ms = loop_ms()
            for device, heard_ms in self._heard_ms.items():
                if now_ms - heard_ms < _SILENCE_MS:
                    told.discard(device)
                elif device not in told:
                    told.add(device)
                    self._port.offer(
                        [Frame(f"mqtt/{device}/silent", b"", self._port.now_ms())], None
                    )
