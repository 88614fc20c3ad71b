"""What the adapters of all MQTT-native vendors share: frames in, commands out, errors named.

                 read chunk                           every frame's facts are durable
   broker ──► Session ──► MqttLink ──► Port.offer ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┐
      ▲                                                                   ▼
      └──────────────────────── PUBACK ◄────────────────────────── Session.ack

A vendor's adapter names its topics, and maps a `Command` to a topic and a payload.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from mqtt5 import PubAckReasonCode, PublishPacket, QoS, TopicFilter

from devices.command import Reason
from devices.errors import RefusedError, RejectedError, UnavailableError
from vendors.api import Frame, Port
from vendors.wire.mqtt import Link, MqttSettings, Session

# A broker that cannot say PUBACK within this time has other worries than our command. The
# command's own deadline may be shorter, and then it counts.
_PUBACK_MS: Final = 5_000
# 2.2.2.2: reason codes from here on are failures.
_FAILURE: Final = 0x80


def _filter(pattern: str) -> TopicFilter:
    """Live and retained frames must be told apart: the broker sets the flag on stored ones only.

    `no_local`, since what we publish below the same topics is no news to us.
    """
    return TopicFilter(pattern, max_qos=QoS.AT_LEAST_ONCE, no_local=True, retain_as_published=False)


class MqttLink:
    """One MQTT 5 session towards the devices of one vendor.

    Args:
        vendor: for error messages and the default client id.
        settings: where the broker is.
        port: the cell.
        subscriptions: topic filters, taken at QoS 1. While the broker refuses one of them the
            cell is told that the link is not up; what the others bring is offered all the same.
        overhear: is shown every chunk before the cell is; for replies to commands. It may give
            back as many frames for the cell to have instead, when it knows more about them.
        linked: is told of the link instead of the cell, by whom there is more to say of it.
    """

    def __init__(  # noqa: PLR0913 -- what may be left out comes by keyword
        self,
        vendor: str,
        settings: MqttSettings,
        port: Port,
        *,
        subscriptions: Sequence[str],
        overhear: Callable[[Sequence[Frame]], Sequence[Frame] | None] | None = None,
        linked: Callable[[Link], None] | None = None,
    ) -> None:
        self._vendor = vendor
        self._port = port
        self._overhear = overhear
        self._session = Session(
            settings,
            client_id=settings.client_id or f"doorfleet-{vendor}-devices",
            rng=port.rng,
            subscriptions=[_filter(pattern) for pattern in subscriptions],
            on_publish=self._take,
            on_link=self._tell if linked is None else linked,
            opener=port.network.mqtt_opener if port.network is not None else None,
        )

    async def run(self) -> None:
        """Stay connected until cancelled."""
        await self._session.run()

    async def command(self, topic: str, payload: bytes, deadline_ms: int) -> None:
        """Publish once, never retained, and wait until the broker has it.

        The broker drops it at the deadline (message expiry, whole seconds); a link that is lost
        on the way does not send it again.

        Raises:
            RefusedError: it did not leave: the deadline is past, or there is no link.
            RejectedError: the broker said no; `offline` if it knows that nobody listens.
            UnavailableError: it left, and nobody answered for it.
        """
        left_ms = deadline_ms - self._port.now_ms()
        if left_ms <= 0:
            raise RefusedError(Reason.EXPIRED)
        answer: asyncio.Future[PubAckReasonCode | None]
        answer = asyncio.get_running_loop().create_future()
        if not self._session.publish(
            topic,
            payload,
            qos=1,
            message_expiry_s=max(1, left_ms // 1_000),
            resend=False,
            done=partial(_settle, answer),
        ):
            raise RefusedError(Reason.UNAVAILABLE)
        try:
            async with asyncio.timeout(min(left_ms, _PUBACK_MS) / 1_000):
                code = await answer
        except TimeoutError:
            raise UnavailableError(self._vendor, "no PUBACK in time") from None
        if code is None:
            raise UnavailableError(self._vendor, "link lost before the PUBACK")
        if code is PubAckReasonCode.NO_MATCHING_SUBSCRIBERS:
            raise RejectedError(self._vendor, Reason.OFFLINE)
        if code is PubAckReasonCode.NOT_AUTHORIZED:
            raise RejectedError(self._vendor, Reason.NOT_AUTHORIZED)
        if code.value >= _FAILURE:
            raise RejectedError(self._vendor, f"vendor:mqtt_{code.name.lower()}")

    def ask(self, topic: str, payload: bytes, *, expiry_s: int) -> bool:
        """Publish a question at QoS 0 if there is a link; its loss costs nothing.

        Returns:
            Whether it left.
        """
        return self._session.publish(topic, payload, qos=0, message_expiry_s=expiry_s, resend=False)

    def _take(self, packets: list[PublishPacket], generation: int) -> None:
        now_ms = self._port.now_ms()
        frames = [Frame(p.topic, p.payload, now_ms, p.retain) for p in packets]
        ids = [p.packet_id for p in packets if p.packet_id is not None]
        instead = self._overhear(frames) if self._overhear is not None else None
        committed = partial(self._session.ack, generation, ids) if ids else None
        self._port.offer(frames if instead is None else instead, committed)

    def _tell(self, link: Link) -> None:
        self._port.link(up=link.up, reason=link.reason)


def _settle(answer: asyncio.Future[PubAckReasonCode | None], code: PubAckReasonCode | None) -> None:
    if not answer.done():
        answer.set_result(code)
