"""Asking units that are clients of a broker, and hearing what they tell by themselves.

    question ──► /appliance/<uuid>/subscribe        /appliance/<uuid>/publish ──► PUSH, Bind
                                                    our reply topic           ──► answers

A sign covers neither payload nor topic, so that a message can be played again by whoever has
heard it: an answer counts once and only to a question that waits for it, a push counts once. What
does not count goes to the cell under a source that tells nothing.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from devices.command import Reason
from devices.errors import RefusedError, UnavailableError
from vendors.api import Frame, Port
from vendors.meross import codec
from vendors.meross import envelope as envelopes
from vendors.meross.envelope import REQUESTS, SPEECH, Envelope
from vendors.meross.settings import MerossSettings
from vendors.meross.way import SIGN_ERROR, Question, error_code
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.mqtt_adapter import MqttLink

#: Pushes of one unit whose ids are remembered: an hour of what the vendor's cloud bears.
_REMEMBERED: Final = 200
#: Units that are remembered; beyond, somebody invents them.
UNITS_MAX: Final = 16_384
_UNASKED: Final = "meross/unasked"
_REPEATED: Final = "meross/repeated"
_OVERTAKEN: Final = "meross/overtaken"


@dataclass(slots=True)
class _Waiting:
    """A question under way; `overtaken` when its unit told a state since it left."""

    uuid: str
    asked_ms: int
    answer: asyncio.Future[Envelope]
    overtaken: bool = False


class BrokerWay:
    """A `Way` over MQTT.

    Args:
        heard: is told of each unit that told something by itself, with what.
    """

    def __init__(
        self,
        settings: MerossSettings,
        key: str | None,
        port: Port,
        heard: Callable[[str, Envelope], None],
    ) -> None:
        self._key = key
        self._port = port
        self._heard = heard
        self._listed = frozenset(device.uuid for device in settings.devices)
        self._waiting: dict[str, _Waiting] = {}
        self._recent: dict[str, deque[str]] = {}
        self._link = MqttLink(
            codec.VENDOR,
            settings,
            port,
            subscriptions=("/appliance/+/publish", settings.reply_topic),
            overhear=self._sift,
        )

    async def run(self) -> None:
        """Stay connected until cancelled."""
        await self._link.run()

    async def ask(self, question: Question, until_ms: int) -> Envelope:
        """See `Way.ask`."""
        now_ms = self._port.now_ms()
        topic = REQUESTS.format(uuid=question.uuid)
        answer: asyncio.Future[Envelope] = asyncio.get_running_loop().create_future()
        self._waiting[question.message_id] = _Waiting(question.uuid, now_ms, answer)
        try:
            if question.moves:
                await self._command(topic, question.body, until_ms)
            elif not self._link.ask(
                topic, question.body, expiry_s=max(1, (until_ms - now_ms) // 1_000)
            ):
                raise NotSentError("no link to the broker")
            async with asyncio.timeout(max(0, until_ms - self._port.now_ms()) / 1_000):
                return await answer
        except TimeoutError:
            raise NoReplyError("no answer in time") from None
        finally:
            del self._waiting[question.message_id]

    async def _command(self, topic: str, body: bytes, until_ms: int) -> None:
        try:
            await self._link.command(topic, body, until_ms)
        except RefusedError as refused:
            if refused.reason == Reason.EXPIRED:
                raise
            raise NotSentError(refused.reason) from refused
        except UnavailableError as silent:
            raise NoReplyError(silent.detail) from silent

    def _sift(self, frames: Sequence[Frame]) -> list[Frame]:
        """What the cell is to have of a chunk."""
        return [self._sifted(frame) for frame in frames]

    def _sifted(self, frame: Frame) -> Frame:
        try:
            envelope = envelopes.read(frame.payload)
        except ValueError:
            return frame  # the codec will say what is wrong with it
        if frame.retained:
            return frame
        waiting = self._waiting.get(envelope.message_id) if envelope.is_answer else None
        if self._key is not None and not envelopes.genuine(envelope, self._key):
            if waiting is not None and error_code(envelope) == SIGN_ERROR:
                # Signed with the unit's key, which is another one than ours: that is the error.
                _settle(waiting, envelope)
            return frame
        if envelope.is_answer:
            return _answered(frame, envelope, waiting)
        return self._told(frame, envelope)

    def _told(self, frame: Frame, envelope: Envelope) -> Frame:
        """What a unit said by itself: for the first time, or again."""
        speaker = SPEECH.fullmatch(frame.source)
        if speaker is None or envelope.uuid not in (None, speaker[1]):
            return frame
        return frame if self._is_new(speaker[1], envelope) else frame._replace(source=_REPEATED)

    def _is_new(self, uuid: str, envelope: Envelope) -> bool:
        recent = self._recent.get(uuid)
        if recent is None:
            stranger = self._listed and uuid not in self._listed
            if stranger or len(self._recent) >= UNITS_MAX:
                return True  # somebody else's, or made up: not worth the room
            recent = self._recent[uuid] = deque(maxlen=_REMEMBERED)
        if envelope.message_id in recent:
            return False
        if envelope.message_id:
            recent.append(envelope.message_id)
        if envelope.namespace == codec.STATE:
            for waiting in self._waiting.values():
                waiting.overtaken |= waiting.uuid == uuid
        self._heard(uuid, envelope)
        return True


def _answered(frame: Frame, envelope: Envelope, waiting: _Waiting | None) -> Frame:
    if waiting is None or waiting.uuid != envelope.uuid:
        return frame._replace(source=_UNASKED)
    _settle(waiting, envelope)
    if waiting.overtaken:  # what was pushed meanwhile is newer, or as new
        return frame._replace(source=_OVERTAKEN)
    return frame._replace(received_at_ms=waiting.asked_ms)


def _settle(waiting: _Waiting, envelope: Envelope) -> None:
    if not waiting.answer.done():
        waiting.answer.set_result(envelope)
