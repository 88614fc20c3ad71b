"""The publishing half of a session: the window, what waits, and who is told."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from mqtt5 import ConnAckPacket, PubAckReasonCode, PublishPacket, QoS

from vendors.wire.mqtt.connection import Connection, PubAcks
from vendors.wire.mqtt.framing import PACKET_BYTES_MAX
from vendors.wire.mqtt.outgoing import Done, Entry, Outgoing, again, renumbered

_QOS: Final = {0: QoS.AT_MOST_ONCE, 1: QoS.AT_LEAST_ONCE}


class Sender:
    """Frames out, over whichever connection there is.

    Args:
        inflight_max: entries open at most; the broker may allow fewer.
        log: a bound structlog logger.
    """

    def __init__(self, inflight_max: int, log: Any) -> None:  # noqa: ANN401 -- structlog's own type
        self._log = log
        self._inflight_max = inflight_max
        self._outgoing = Outgoing()
        self._entries = self._outgoing.entries
        self._connection: Connection | None = None
        self._generation = 0
        self._resumed = False
        # How many entries may be open, and how long a packet may be: the broker has a say.
        self._open_max = inflight_max
        self._wire_max_bytes = PACKET_BYTES_MAX
        self._retain_available = True
        self._window_wanted = False
        self._window_callbacks: list[Callable[[], None]] = []
        self._drained: asyncio.Future[None] | None = None

    # --- what the session tells ---

    def link_up(
        self,
        connection: Connection,
        generation: int,
        connack: ConnAckPacket,
        births: Sequence[PublishPacket],
    ) -> None:
        """Births first, then everything that waited, in the order it was accepted."""
        self._connection = connection
        self._generation = generation
        self._resumed = connack.session_present
        self._outgoing.window = connack.receive_max
        self._open_max = min(connack.receive_max, self._inflight_max)
        self._wire_max_bytes = connack.max_packet_size or PACKET_BYTES_MAX
        self._retain_available = connack.retain_available
        now_s = asyncio.get_running_loop().time()
        for packet in reversed(births):
            packet_id = self.packet_id()
            self._entries[packet_id] = Entry(
                renumbered(packet, packet_id), resend=False, done=None, accepted_s=now_s
            )
            self._outgoing.waiting.appendleft(packet_id)
        self._pump(connection)

    def link_lost(self) -> list[Entry]:
        """What may be sent again waits.

        Returns:
            The entries to be given up, for `give_up`.
        """
        self._connection = None
        self._open_max = self._inflight_max
        self._window_wanted = True
        return self._outgoing.rewind()

    def end(self) -> None:
        """No link will come again: give everything up."""
        give_up(self._outgoing.abandon())

    def packet_id(self) -> int:
        """An identifier that no open frame uses; SUBSCRIBE draws from the same numbers."""
        return self._outgoing.packet_id()

    async def drain(self, within_s: float) -> None:
        """Wait until every open frame is acknowledged, at most this long."""
        if self._connection is not None and self._entries:
            self._drained = asyncio.get_running_loop().create_future()
            await asyncio.wait(
                [self._drained, self._connection.closed],
                timeout=within_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            self._drained = None

    def tell_room(self) -> None:
        """A link after none, or a peer that reads again: tell those who wait."""
        self._window_wanted = True
        self._tell_window()

    def settled(self, acks: PubAcks) -> None:
        """Settle what the PUBACKs answer, then use the room they made."""
        settle, generation = self._outgoing.settle, self._generation
        for packet_id, code in acks:
            entry = settle(packet_id, generation)
            if entry is not None and entry.done is not None:
                entry.done(code)
        if self._connection is None:
            return
        if self._outgoing.waiting:
            self._pump(self._connection)
        self._tell_window()
        if self._drained is not None and not self._entries and not self._drained.done():
            self._drained.set_result(None)

    # --- what the program asks ---

    @property
    def window_free(self) -> int:
        """How many QoS 1 frames `publish` takes at this moment."""
        if self._connection is not None and self._connection.paused:
            return 0
        return max(0, self._open_max - len(self._entries))

    def on_window(self, callback: Callable[[], None]) -> None:
        """Call back each time that there is room after there was none, or a link after none.

        After a full window that is when a quarter of it is free again, so that frames leave
        in batches and not one per PUBACK.
        """
        self._window_callbacks.append(callback)

    def publish(  # noqa: PLR0913 -- MQTT's own list, all by name
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        content_type: str | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        message_expiry_s: int | None = None,
        user_properties: list[tuple[str, str]] | None = None,
        resend: bool = True,
        done: Done | None = None,
    ) -> bool:
        """Let a frame leave at the end of this loop turn.

        Args:
            topic: no wildcards.
            payload: any bytes.
            qos: 0 or 1.
            retain: dropped if the broker keeps no retained frames.
            content_type: MQTT 5 property, like the four that follow.
            response_topic: where an answer is awaited.
            correlation_data: what the answer must carry.
            message_expiry_s: counted down while the frame waits here.
            user_properties: pairs, in order.
            resend: False for what must never be repeated, such as a command: it is given up
                when the link goes. QoS 0 is never sent again.
            done: called exactly once for an accepted frame, never from within this call: with
                the broker's code; with ours, if the broker would hang up over it
                (`TOPIC_NAME_INVALID`: wildcard, NUL or empty; `QUOTA_EXCEEDED`: larger than
                the broker takes); with None if nobody will ever know (QoS 0, given up, closed).

        Returns:
            False, and nothing happens, if there is no room (`window_free` is 0), or the link
            is down and the frame would not be sent again.

        Raises:
            ValueError: `qos` is neither 0 nor 1, or the codec cannot write a property.
        """
        if qos not in _QOS:
            raise ValueError(f"QoS 0 or 1, not {qos}")
        connection = self._connection
        entries = self._entries
        if (connection.paused if connection is not None else not (resend and qos)) or (
            qos and len(entries) >= self._open_max
        ):
            self._window_wanted = True
            return False
        if not topic or "+" in topic or "#" in topic or "\0" in topic:
            return self._refuse(done, PubAckReasonCode.TOPIC_NAME_INVALID, topic)
        packet_id = self._outgoing.packet_id() if qos else None
        packet = PublishPacket(
            topic,
            payload,
            qos=_QOS[qos],
            retain=retain and self._retain_available,
            packet_id=packet_id,
            message_expiry_interval=message_expiry_s,
            content_type=content_type,
            response_topic=response_topic,
            correlation_data=correlation_data,
            user_properties=user_properties,
        )
        wire = packet.write()
        if len(wire) > self._wire_max_bytes:
            return self._refuse(done, PubAckReasonCode.QUOTA_EXCEEDED, topic)
        if packet_id is None:
            if done is not None:
                asyncio.get_running_loop().call_soon(done, None)
        else:
            accepted_s = 0.0
            if message_expiry_s is not None:
                accepted_s = asyncio.get_running_loop().time()
            entry = entries[packet_id] = Entry(packet, resend, done, accepted_s)
            if len(entries) >= self._open_max:
                self._window_wanted = True
            waiting = self._outgoing.waiting
            if connection is None or waiting:
                # Also from within a `done`, before the PUBACK's room went to those who wait.
                waiting.append(packet_id)
                return True
            entry.sent_in = self._generation
        assert connection is not None
        connection.send(wire)
        return True

    def _refuse(self, done: Done | None, code: PubAckReasonCode, topic: str) -> bool:
        self._log.warning("mqtt.publish_refused", topic=topic, code=code.name.lower())
        if done is not None:
            asyncio.get_running_loop().call_soon(done, code)
        return True

    def _pump(self, connection: Connection) -> None:
        """Send what waits, as far as the broker's window goes."""
        now_s = asyncio.get_running_loop().time()
        for entry in self._outgoing.sendable(self._generation):
            wire = again(
                entry.packet,
                duplicate=entry.sent_in > 0 and self._resumed,
                retain=self._retain_available,
                waited_s=now_s - entry.accepted_s,
            )
            if len(wire) <= self._wire_max_bytes:
                connection.send(wire)
                continue
            assert entry.packet.packet_id is not None
            del self._entries[entry.packet.packet_id]
            self._refuse(entry.done, PubAckReasonCode.QUOTA_EXCEEDED, entry.packet.topic)

    def _tell_window(self) -> None:
        if self._window_wanted and self.window_free >= max(1, self._open_max // 4):
            self._window_wanted = False
            for callback in self._window_callbacks:
                callback()


def give_up(entries: list[Entry]) -> None:
    """Tell their makers that nobody will ever know."""
    for entry in entries:
        if entry.done is not None:
            entry.done(None)
