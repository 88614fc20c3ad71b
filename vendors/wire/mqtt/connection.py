"""One TCP life of an MQTT client: bytes to packets and back. It knows no session.

Made for microseconds per message: one callback per read chunk, one write per loop turn,
and no timer per message.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from struct import Struct
from typing import Final, Protocol, TypeAlias, cast

import mqtt5
from mqtt5 import (
    ConnAckPacket,
    DisconnectPacket,
    DisconnectReasonCode,
    PingReqPacket,
    PubAckPacket,
    PubAckReasonCode,
    PublishPacket,
    SubAckPacket,
)

from vendors.wire.mqtt.framing import (
    CONNACK,
    OPEN,
    OPENING,
    PUBACK,
    LinkError,
    PeerError,
    packet_end,
)
from vendors.wire.mqtt.reason import dismissal

PubAcks: TypeAlias = list[tuple[int, PubAckReasonCode]]

# 3.4: type and length of a PUBACK that says success and nothing else, then the identifier.
_puback = Struct(">BBH").pack
_PUBACK_BARE: Final = 2
_PUBACK_BYTES: Final = 4
_SUCCESS: Final = PubAckReasonCode.SUCCESS
_PUBLISH_LOW: Final = 0x30
_PUBLISH_HIGH: Final = 0x3F
_QOS_BITS: Final = 0x06
_PINGREQ: Final = PingReqPacket().write()
# Mosquitto 2.0.11 was seen to send beyond the Receive Maximum under load: the 1,025th frame
# while 1,024 were open, with `max_inflight_messages 1000`. Thrown out for it, it would do the
# same on the next link, so it is let be up to this factor; memory stays bounded.
_RECEIVE_PATIENCE: Final = 8
# A peer that does not read gets this long to take our DISCONNECT before the link is cut.
_LINGER_S: Final = 1.0


class Owner(Protocol):
    """Whom a connection reports to; every call comes from within the event loop's turn."""

    def accepted(self, connection: "Connection", packet: ConnAckPacket) -> None:
        """CONNACK, with whichever reason code."""

    def subscribed(self, connection: "Connection", packet: SubAckPacket) -> None:
        """SUBACK."""

    def received(self, connection: "Connection", packets: list[PublishPacket]) -> None:
        """Every PUBLISH of one read chunk, in wire order."""

    def settled(self, acks: PubAcks) -> None:
        """Every PUBACK of one read chunk, in wire order."""

    def writable(self) -> None:
        """The peer takes bytes again."""

    def lost(self, connection: "Connection") -> None:
        """The link is over, `connection.error` says why; None if nobody did. Called once."""


class Connection(asyncio.Protocol):
    """Feeds `owner`; of its transport it uses `write`, `close` and `abort` only.

    A malformed packet never raises out of `data_received`: what came before it in the
    chunk is delivered, the peer is sent DISCONNECT with the reason, and the link ends. Whether
    and when to try again is the owner's matter.
    """

    def __init__(
        self, owner: Owner, *, packet_max_bytes: int, receive_max: int, keepalive_s: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        #: Set by the owner when the link may be used.
        self.ready: asyncio.Future[None] = self._loop.create_future()
        #: Set when the transport is gone.
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.error: Exception | None = None
        self.paused = False
        self.over = False
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._packet_max_bytes = packet_max_bytes
        self._receive_max = receive_max * _RECEIVE_PATIENCE
        self._keepalive_s = float(keepalive_s)
        # What of the last chunk was no whole packet, and how long it must grow to be one.
        self._rest = bytearray()
        self._need = 0
        self._allowed = OPENING
        # QoS 1 frames not acknowledged yet: in wire order, and as sets for the look-up.
        self._order: deque[int] = deque()
        self._held: set[int] = set()
        self._told: set[int] = set()
        self._out: list[bytes] = []
        self._flushing = False
        self._sent_s = self._heard_s = self._loop.time()
        self._pinged_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def attached(self) -> bool:
        """Whether there is a transport that will yet report its end."""
        return self._transport is not None

    # --- the transport's calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what was queued before there was a transport: CONNECT."""
        # Not checked by type: the in-memory broker's transport is a duck.
        self._transport = cast("asyncio.Transport", transport)
        if self.over:
            self._transport.abort()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone, whoever ended it."""
        if not self.over:
            self.error = exc
        self._finish()
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """The transport's buffer is full: hold everything here."""
        self.paused = True

    def resume_writing(self) -> None:
        """There is room again."""
        self.paused = False
        self._flush()
        if not self.over:
            self._owner.writable()

    def data_received(self, data: bytes) -> None:
        """One read chunk. Only an error of the owner's own can leave this method."""
        if self.over:
            return
        self._heard_s = self._loop.time()
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return
            data = bytes(self._rest)
            self._rest.clear()
        publishes: list[PublishPacket] = []
        acks: PubAcks = []
        control: list[mqtt5.Packet] = []
        fault: PeerError | None = None
        try:
            self._decode(data, publishes, acks, control)
        except PeerError as error:
            fault = error
        except (ValueError, IndexError) as error:
            fault = PeerError(DisconnectReasonCode.MALFORMED_PACKET, f"malformed packet: {error}")
        except BaseException as error:
            # mqtt5 0.8.0 panics on invalid UTF-8 in a string. pyo3 exports no name for the
            # class, and it is no Exception: only its own name tells it from a cancellation.
            if type(error).__name__ != "PanicException":
                raise
            fault = PeerError(
                DisconnectReasonCode.MALFORMED_PACKET, "malformed packet: invalid UTF-8"
            )
        self._dispatch(publishes, acks, control)
        if fault is not None:
            self.fail(fault)

    # --- in ---

    def _decode(  # noqa: C901 -- the hot loop: a call per packet would cost more than it
        self,
        data: bytes,
        publishes: list[PublishPacket],
        acks: PubAcks,
        control: list[mqtt5.Packet],
    ) -> None:
        read = mqtt5.read
        view = memoryview(data)
        size = len(data)
        packet_max_bytes = self._packet_max_bytes
        allowed = self._allowed
        held, order = self._held, self._order
        at = 0
        while at < size:
            head = data[at]
            if not allowed[head]:
                raise PeerError(
                    DisconnectReasonCode.PROTOCOL_ERROR, f"unexpected packet 0x{head:02x}"
                )
            end = packet_end(data, at, packet_max_bytes)
            if end > size:
                self._rest += view[at:]
                self._need = end - at
                return
            if _PUBLISH_LOW <= head <= _PUBLISH_HIGH:
                packet = read(view[at:end])[0]
                assert isinstance(packet, PublishPacket)
                if packet.topic_alias is not None:
                    raise PeerError(
                        DisconnectReasonCode.TOPIC_ALIAS_INVALID, "topic alias, none allowed"
                    )
                if head & _QOS_BITS:
                    self._hold(packet.packet_id, held, order)
                publishes.append(packet)
            elif head == PUBACK and end - at == _PUBACK_BYTES:
                acks.append(((data[at + 2] << 8) | data[at + 3], _SUCCESS))
            else:
                other = read(view[at:end])[0]
                if isinstance(other, PubAckPacket):
                    acks.append((other.packet_id, other.reason_code))
                else:
                    control.append(other)
                    if head == CONNACK:
                        allowed = self._allowed = OPEN
                    elif isinstance(other, DisconnectPacket):
                        return
            at = end

    def _hold(self, packet_id: int | None, held: set[int], order: deque[int]) -> None:
        if not packet_id or packet_id in held:
            raise PeerError(
                DisconnectReasonCode.PROTOCOL_ERROR, f"packet identifier {packet_id} is in use"
            )
        if len(order) >= self._receive_max:
            raise PeerError(
                DisconnectReasonCode.RECEIVE_MAX_EXCEEDED,
                f"more than {self._receive_max} frames unacknowledged",
            )
        held.add(packet_id)
        order.append(packet_id)

    def _dispatch(
        self, publishes: list[PublishPacket], acks: PubAcks, control: list[mqtt5.Packet]
    ) -> None:
        # CONNACK comes before the frames of its chunk, DISCONNECT after: so does this.
        for packet in control:
            if isinstance(packet, ConnAckPacket):
                self._owner.accepted(self, packet)
            elif isinstance(packet, SubAckPacket):
                self._owner.subscribed(self, packet)
            elif not isinstance(packet, DisconnectPacket):
                self._pinged_s = None  # PINGRESP; the one other that may come is UNSUBACK
        if publishes and not self.over:
            self._owner.received(self, publishes)
        if acks and not self.over:
            self._owner.settled(acks)
        if control and isinstance(left := control[-1], DisconnectPacket) and not self.over:
            self.error = dismissal(left)
            self._hang_up()

    def ack(self, packet_ids: Iterable[int | None]) -> None:
        """Let these be acknowledged; each leaves once all that came before it may leave."""
        told = self._told
        told |= self._held.intersection(cast("Iterable[int]", packet_ids))  # None is never held
        order = self._order
        ready: list[int] = []
        while order and order[0] in told:
            ready.append(order.popleft())
        if ready:
            told.difference_update(ready)
            self._held.difference_update(ready)
            self.send(b"".join([_puback(PUBACK, _PUBACK_BARE, number) for number in ready]))

    # --- out ---

    def send(self, data: bytes) -> None:
        """Add to what leaves at the end of this loop turn."""
        self._out.append(data)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self, *, now: bool = False) -> None:
        self._flushing = False
        if not self._out or self._transport is None or (self.paused and not now):
            return
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self._sent_s = self._loop.time()
        self._transport.write(data)

    def keep_alive(self, keepalive_s: int) -> None:
        """Start probing; the broker's wish replaces ours, except for "never"."""
        self._keepalive_s = float(keepalive_s or self._keepalive_s)
        self._timer = self._loop.call_later(self._keepalive_s / 2, self._probe)

    def _probe(self) -> None:
        # Twice per keepalive, so that a silence is never longer than the keepalive. Silence
        # in either direction counts: one who only listens must still speak (3.1.2.10), and
        # one who only speaks would not notice a dead link.
        if self.over:
            return
        now_s, half_s = self._loop.time(), self._keepalive_s / 2
        if self._pinged_s is not None:
            if now_s - self._pinged_s >= self._keepalive_s:
                self.abort(LinkError(f"no PINGRESP within {self._keepalive_s:g} s"))
                return
        elif now_s - min(self._sent_s, self._heard_s) >= half_s:
            self._pinged_s = now_s
            self.send(_PINGREQ)
        self._timer = self._loop.call_later(half_s, self._probe)

    # --- the end ---

    def fail(self, fault: PeerError) -> None:
        """Close because the peer broke the protocol."""
        if not self.over:
            self.error = fault
            self.leave(fault.code)

    def leave(self, code: DisconnectReasonCode) -> None:
        """DISCONNECT with everything that was still to be said before it."""
        if not self.over:
            self._out.append(DisconnectPacket(reason_code=code).write())
            self._flush(now=True)
            self._hang_up()

    def abort(self, error: Exception | None = None) -> None:
        """Cut the link without a word: the broker publishes our will."""
        if not self.over:
            self.error = error
        self._finish()
        if self._transport is not None:
            self._transport.abort()

    def _hang_up(self) -> None:
        self._finish()
        if self._transport is not None:
            self._transport.close()
            self._timer = self._loop.call_later(_LINGER_S, self.abort)

    def _finish(self) -> None:
        if self.over:
            return
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
        self._order.clear()
        self._held.clear()
        self._told.clear()
        self._out.clear()
        self._owner.lost(self)
