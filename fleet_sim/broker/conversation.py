"""What an open connection says, packet by packet, and what is answered."""

from collections.abc import Callable, Mapping
from typing import Final

from fleet_sim.broker.core import Broker
from fleet_sim.broker.dialect import Dialect, LeaveRequest, SubscribeOptions
from fleet_sim.broker.message import Message
from fleet_sim.broker.reasons import ProtocolError, Reason
from fleet_sim.broker.session import Session
from fleet_sim.broker.topics import SHARE

PUBREL: Final = 0x62

_PUBLISH: Final = 3
_PUBACK, _PUBREC, _PUBCOMP = 0x40, 0x50, 0x70
_DISCONNECT: Final = 0xE0
_PINGRESP: Final = b"\xd0\x00"
_ACK_BYTES: Final = 4
_REFUSED: Final = 0x80


class Conversation:
    """One connection after its CONNECT; `emit` takes the answers."""

    def __init__(
        self,
        broker: Broker,
        dialect: Dialect,
        session: Session,
        emit: Callable[[bytes], None],
        now_s: float,
    ) -> None:
        self.session = session
        self._broker = broker
        self._dialect = dialect
        self._emit = emit
        self._aliases: dict[int, str] = {}
        self._tokens = float(broker.limits.rate_max_per_s)
        self._tokens_at_s = now_s

    def handle(self, raw: bytes, now_s: float) -> LeaveRequest | None:
        """Answer one whole packet; the client's leave if it takes it.

        Raises:
            ProtocolError: the connection has to end.
        """
        if self._broker.limits.rate_max_per_s:
            self._spend(now_s)
        head = raw[0]
        if head >> 4 == _PUBLISH:
            self._publish(self.session, raw, now_s)
        elif (handler := _HANDLERS.get(head)) is not None:
            handler(self, self.session, raw, now_s)
        elif head == _DISCONNECT:
            return self._dialect.read_disconnect(raw)
        else:
            raise ProtocolError(Reason.PROTOCOL_ERROR, f"first byte 0x{head:02x} from a client")
        return None

    def _spend(self, now_s: float) -> None:
        rate = self._broker.limits.rate_max_per_s
        self._tokens = min(rate, self._tokens + (now_s - self._tokens_at_s) * rate) - 1
        self._tokens_at_s = now_s
        if self._tokens < 0:
            raise ProtocolError(Reason.RATE_TOO_HIGH, f"more than {rate} packets/s")

    def _publish(self, session: Session, raw: bytes, now_s: float) -> None:
        broker = self._broker
        message, packet_id, alias = self._dialect.read_publish(raw, session.client_id, now_s)
        if alias:
            self._resolve(message, alias)
        broker.counters.received += 1
        qos = message.qos
        if qos == 0:
            broker.publish(message, now_s)
            return
        if qos == 1:
            reached = broker.publish(message, now_s)
            reason = Reason.SUCCESS if reached else Reason.NO_MATCHING_SUBSCRIBERS
            self._emit(self._dialect.ack(_PUBACK, packet_id, reason))
            return
        reason = Reason.SUCCESS
        if packet_id not in session.incoming:
            if len(session.incoming) >= broker.limits.receive_max and self._dialect.version > 4:  # noqa: PLR2004 -- 3.1.1 has no receive maximum
                raise ProtocolError(Reason.RECEIVE_MAX_EXCEEDED, "too many unreleased")
            session.incoming.add(packet_id)
            if not broker.publish(message, now_s):
                reason = Reason.NO_MATCHING_SUBSCRIBERS
        self._emit(self._dialect.ack(_PUBREC, packet_id, reason))

    def _resolve(self, message: Message, alias: int) -> None:
        if alias > self._broker.limits.topic_alias_max:
            raise ProtocolError(Reason.TOPIC_ALIAS_INVALID, f"alias {alias}")
        if message.topic:
            self._aliases[alias] = message.topic
        elif (topic := self._aliases.get(alias)) is not None:
            message.topic = topic
        else:
            raise ProtocolError(Reason.PROTOCOL_ERROR, f"alias {alias} was never set")

    def _puback(self, session: Session, raw: bytes, now_s: float) -> None:
        session.acked(self._ack_of(raw)[0], now_s)

    def _pubrec(self, session: Session, raw: bytes, now_s: float) -> None:
        packet_id, reason = self._ack_of(raw)
        if reason >= _REFUSED:
            session.acked(packet_id, now_s)
            return
        known = session.received(packet_id)
        answer = Reason.SUCCESS if known else Reason.PACKET_ID_NOT_FOUND
        self._emit(self._dialect.ack(PUBREL, packet_id, answer))

    def _pubrel(self, session: Session, raw: bytes, now_s: float) -> None:
        del now_s
        packet_id = self._ack_of(raw)[0]
        known = packet_id in session.incoming
        session.incoming.discard(packet_id)
        answer = Reason.SUCCESS if known else Reason.PACKET_ID_NOT_FOUND
        self._emit(self._dialect.ack(_PUBCOMP, packet_id, answer))

    def _ack_of(self, raw: bytes) -> tuple[int, int]:
        if len(raw) != _ACK_BYTES:
            return self._dialect.read_ack(raw)
        if not (packet_id := raw[2] << 8 | raw[3]):
            raise ProtocolError(Reason.MALFORMED_PACKET, "packet id 0")
        return packet_id, 0

    def _subscribe(self, session: Session, raw: bytes, now_s: float) -> None:
        request = self._dialect.read_subscribe(raw)
        broker = self._broker
        reasons: list[int] = []
        found: list[tuple[list[Message], SubscribeOptions]] = []
        for topic_filter, options in request.filters:
            if options.no_local and topic_filter.startswith(SHARE):  # [MQTT-3.8.3-4]
                raise ProtocolError(Reason.PROTOCOL_ERROR, "no local on a shared subscription")
            reason, retained = broker.subscribe(session, topic_filter, options, request.identifier)
            reasons.append(reason)
            found.append((retained, options))
        self._emit(self._dialect.suback(request.packet_id, reasons))
        for retained, options in found:
            broker.offer_retained(session, retained, options, request.identifier, now_s)

    def _unsubscribe(self, session: Session, raw: bytes, now_s: float) -> None:
        del now_s
        request = self._dialect.read_unsubscribe(raw)
        reasons: list[int] = [
            self._broker.unsubscribe(session, topic_filter) for topic_filter in request.filters
        ]
        self._emit(self._dialect.unsuback(request.packet_id, reasons))

    def _ping(self, session: Session, raw: bytes, now_s: float) -> None:
        del session, now_s
        if len(raw) != len(_PINGRESP):
            raise ProtocolError(Reason.MALFORMED_PACKET, "PINGREQ with a body")
        self._emit(_PINGRESP)

    def _second_connect(self, session: Session, raw: bytes, now_s: float) -> None:
        del session, raw, now_s
        raise ProtocolError(Reason.PROTOCOL_ERROR, "second CONNECT")


_Handler = Callable[[Conversation, Session, bytes, float], None]
# By first byte: the flag bits of all but PUBLISH are fixed, so other bits find no handler.
_HANDLERS: Final[Mapping[int, _Handler]] = {
    0x10: Conversation._second_connect,  # noqa: SLF001 -- its own class, in its own file
    _PUBACK: Conversation._puback,  # noqa: SLF001
    _PUBREC: Conversation._pubrec,  # noqa: SLF001
    PUBREL: Conversation._pubrel,  # noqa: SLF001
    _PUBCOMP: Conversation._puback,  # noqa: SLF001
    0x82: Conversation._subscribe,  # noqa: SLF001
    0xA2: Conversation._unsubscribe,  # noqa: SLF001
    0xC0: Conversation._ping,  # noqa: SLF001
}
