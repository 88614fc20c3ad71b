"""One MQTT 5 session: connects, subscribes, keeps alive, and comes back with full jitter.

What it promises:

- A QoS 1 frame is acknowledged when `ack` says so and never before. PUBACKs leave in the
  order in which the frames came (MQTT-4.6.0-2). What was not acknowledged when the link
  went, the broker sends again; an `ack` from before the loss is ignored.
- A frame that we publish with `resend` reaches the broker at least once, in order; one
  without it leaves at most once.
- A link is told to be up when the broker granted every subscription. What it refused it is asked
  for again on the same link, with growing patience; meanwhile all else goes both ways.
- Whatever bytes a peer sends, the worst they do is end the link: DISCONNECT with the reason,
  then a backoff that grows until a link has lasted `_STABLE_S`. A frame that our codec cannot
  read is redelivered on each new link, so it holds this session at the longest backoff, and
  says so, until the broker drops it: never a busy loop, and never a clean start behind
  anyone's back, because that would throw away the good frames queued behind the bad one.

On purpose not as the standard has it: a session that the broker kept is resumed although this
process may have none of its own (MQTT-3.2.2-4), and a frame without `resend` is not sent again
on resumption (MQTT-4.4.0-1). With QoS 1 alone neither leaves state behind on the broker.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import structlog
from mqtt5 import (
    ConnAckPacket,
    ConnAckReasonCode,
    ConnectPacket,
    DisconnectReasonCode,
    PublishPacket,
    QoS,
    SubAckPacket,
    TopicFilter,
    Will,
)

from vendors.wire.backoff import Backoff
from vendors.wire.mqtt import reason
from vendors.wire.mqtt.announcer import CLOSED, Announcer, Link
from vendors.wire.mqtt.connection import Connection, PubAcks
from vendors.wire.mqtt.framing import LinkError, PeerError
from vendors.wire.mqtt.opener import Opener, tcp_opener
from vendors.wire.mqtt.sender import Sender, give_up
from vendors.wire.mqtt.settings import MqttSettings
from vendors.wire.mqtt.subscriber import Subscriber

# A link that lasted this long was a good one: the next loss starts the backoff anew. A
# poisonous frame arrives within moments of the SUBACK, so it does not reach this.
_STABLE_S: Final = 5.0
# How long a polite goodbye may hold up the end of the process.
_GOODBYE_S: Final = 1.5
_NO_QOS_1: Final = PeerError(
    DisconnectReasonCode.IMPLEMENTATION_SPECIFIC_ERROR,
    "the broker offers QoS 0 only",
    permanent=True,
)

log = structlog.get_logger()


class Session:
    """One client on one broker, until `run` is cancelled or `close` is called.

    Args:
        settings: where and how; the `client_id` in it is for the caller to look at.
        client_id: the name that goes on the wire.
        rng: the backoff's chance.
        subscriptions: made on every connection, never above QoS 1. A filter's own
            `retain_handling` decides whether a resumed session gets retained frames again.
        will: what the broker says when we vanish. A polite end does not raise it.
        birth: published first on every connection, at QoS 1.
        on_publish: all frames of one read chunk in one call, with the connection's generation.
        on_link: called when the link comes up, and for each new reason that it is not: that there
            is none, or (then the session's own `up` is true) that it lacks a subscription.
        clean_start: have the broker forget our session on every connection: what it would have
            kept for us while we were away is not wanted late.
        opener: makes the transport; absent, a TCP or TLS connection as `settings` say.

    Attributes:
        up: there is a connection, so that what is published leaves; on how much of what we
            subscribe to is heard it says nothing.
        generation: how many connections there were.
    """

    def __init__(  # noqa: PLR0913 -- one argument per independent wish, all by name
        self,
        settings: MqttSettings,
        *,
        client_id: str,
        rng: random.Random,
        subscriptions: Sequence[TopicFilter] = (),
        will: Will | None = None,
        birth: Sequence[PublishPacket] = (),
        on_publish: Callable[[list[PublishPacket], int], None] | None = None,
        on_link: Callable[[Link], None] | None = None,
        clean_start: bool = False,
        opener: Opener | None = None,
    ) -> None:
        self.generation = 0
        self.up = False
        self._settings = settings
        self._client_id = client_id
        self._rng = rng
        self._will = will
        self._birth = tuple(birth)
        self._on_publish = on_publish
        self._clean_start = clean_start
        self._opener = opener
        self._backoff = Backoff(settings.backoff_base_ms, settings.backoff_max_ms)
        bound_log = log.bind(client_id=client_id, broker=settings.where)
        self._sender = Sender(settings.inflight_max, bound_log)
        self._subscriber = Subscriber(settings, subscriptions, self._sender.packet_id, rng)
        self._announcer = Announcer(settings, on_link, bound_log)
        # Not wrapped: a call more per frame, for nothing.
        self.publish = self._sender.publish
        self.on_window = self._sender.on_window
        self._connection: Connection | None = None
        self._connack: ConnAckPacket | None = None
        self._up_since_s = 0.0
        self._lasted_s = 0.0
        self._stop: asyncio.Future[DisconnectReasonCode] | None = None
        self._finished: asyncio.Future[None] | None = None

    # --- life ---

    async def run(self) -> None:
        """Connect, and again after every loss, until cancelled or closed."""
        loop = asyncio.get_running_loop()
        stop = self._stop = loop.create_future()
        finished = self._finished = loop.create_future()
        failures = 0
        try:
            while not stop.done():
                error = await self._live(stop)
                if self._lasted_s >= _STABLE_S:
                    failures = 0
                delay_ms = (
                    self._backoff.longest_ms(self._rng)
                    if reason.is_permanent(error)
                    else self._backoff.delay_ms(failures, self._rng)
                )
                failures += 1
                await asyncio.wait([stop], timeout=delay_ms / 1000)
        finally:
            if not stop.done():
                stop.set_result(DisconnectReasonCode.NORMAL_DISCONNECTION)
            try:
                await self._say_goodbye(stop.result())
            finally:
                self._sender.end()
                finished.set_result(None)

    async def close(self, *, with_will: bool = False, drain_s: float = 0.0) -> None:
        """End `run` politely.

        Args:
            with_will: let the broker publish our will all the same (DISCONNECT 0x04).
            drain_s: wait at most this long for the PUBACKs of what is in flight.
        """
        if self._stop is None or self._finished is None or self._finished.done():
            return
        if drain_s > 0:
            await self._sender.drain(drain_s)
        if not self._stop.done():
            self._stop.set_result(
                DisconnectReasonCode.DISCONNECT_WITH_WILL_MESSAGE
                if with_will
                else DisconnectReasonCode.NORMAL_DISCONNECTION
            )
        await asyncio.wait([self._finished])

    async def _live(self, stop: asyncio.Future[DisconnectReasonCode]) -> Exception | None:
        """One connection from SYN to its end, and why it ended."""
        settings = self._settings
        self._connack = None
        self._lasted_s = 0.0
        try:
            connect = self._connect_packet()
            opener = self._opener or tcp_opener(settings)
        except LinkError as error:
            self._announcer.down(error)
            return error
        connection = self._connection = Connection(
            self,
            packet_max_bytes=settings.packet_max_bytes,
            receive_max=settings.receive_max,
            keepalive_s=settings.keepalive_s,
        )
        connection.send(connect)
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                await opener(lambda: connection)
                await _first(connection.ready, connection.closed, stop)
        except OSError as error:  # TimeoutError and every ssl.SSLError are among them
            connection.abort(error)
        else:
            await _first(connection.closed, stop)
        return connection.error

    async def _say_goodbye(self, code: DisconnectReasonCode) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._connack is None:
            connection.abort(CLOSED)  # nobody to say DISCONNECT to before CONNACK
        elif not connection.over:
            connection.error = CLOSED
            connection.leave(code)
        try:
            if connection.attached:
                await asyncio.wait([connection.closed], timeout=_GOODBYE_S)
        finally:
            connection.abort()

    def _connect_packet(self) -> bytes:
        settings = self._settings
        return ConnectPacket(
            self._client_id,
            username=settings.username,
            password=reason.password(settings),
            clean_start=self._clean_start,
            will=self._will,
            keep_alive=settings.keepalive_s,
            session_expiry_interval=settings.session_expiry_s,
            receive_max=settings.receive_max,
            max_packet_size=settings.packet_max_bytes,
        ).write()

    # --- frames ---

    @property
    def window_free(self) -> int:
        """How many QoS 1 frames `publish` takes at this moment."""
        return self._sender.window_free

    def ack(self, generation: int, packet_ids: Iterable[int | None]) -> None:
        """Let frames be acknowledged; call it once per frame, when it is durable.

        A PUBACK leaves when those of all frames before it may leave. An identifier that is
        not held (None: QoS 0) and a generation that is over are ignored: the broker sends
        those frames again.
        """
        connection = self._connection
        if generation == self.generation and connection is not None and not connection.over:
            connection.ack(packet_ids)

    # --- what the connection reports ---

    def accepted(self, connection: Connection, packet: ConnAckPacket) -> None:
        """CONNACK: subscribe, or learn why we may not."""
        self._connack = packet
        if packet.reason_code != ConnAckReasonCode.SUCCESS:
            connection.abort(reason.refusal(packet))
            return
        if packet.max_qos == QoS.AT_MOST_ONCE:
            connection.fail(_NO_QOS_1)
            return
        self.generation += 1
        keepalive_s = packet.server_keep_alive
        connection.keep_alive(self._settings.keepalive_s if keepalive_s is None else keepalive_s)
        if not self._subscriber.link_up(connection):
            self._come_up(connection)

    def subscribed(self, connection: Connection, packet: SubAckPacket) -> None:
        """SUBACK: the last one tells whether we hear all that we asked for."""
        if connection.over:  # it came in one chunk with what ended the link
            return
        if not self._subscriber.answered(connection, packet):
            return
        if self.up:
            self._announce()
        else:
            self._come_up(connection)

    def received(self, connection: Connection, packets: list[PublishPacket]) -> None:
        """Hand the chunk on."""
        if self._on_publish is not None:
            self._on_publish(packets, self.generation)
        else:
            connection.ack([packet.packet_id for packet in packets])

    def settled(self, acks: PubAcks) -> None:
        """PUBACKs are the sender's."""
        self._sender.settled(acks)

    def writable(self) -> None:
        """The peer reads again."""
        self._sender.tell_room()

    def lost(self, connection: Connection) -> None:
        """The link is over: what may be sent again waits, the rest is given up."""
        if self.up:
            self._lasted_s = asyncio.get_running_loop().time() - self._up_since_s
        self.up = False
        self._subscriber.link_lost()
        gone = self._sender.link_lost()
        self._announcer.down(connection.error)
        give_up(gone)

    def _come_up(self, connection: Connection) -> None:
        assert self._connack is not None
        self.up = True
        self._up_since_s = asyncio.get_running_loop().time()
        connection.ready.set_result(None)
        self._sender.link_up(connection, self.generation, self._connack, self._birth)
        self._announce()
        self._sender.tell_room()

    def _announce(self) -> None:
        assert self._connack is not None
        session_present = self._connack.session_present
        if denials := self._subscriber.denials:
            self._announcer.deaf(denials, session_present=session_present)
        else:
            self._announcer.up(self._subscriber.lowered, session_present=session_present)


async def _first(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
