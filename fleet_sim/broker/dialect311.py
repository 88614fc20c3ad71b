"""The broker's side of MQTT 3.1.1 (and of 3.1, which boards of its age still say)."""

from typing import Final, TypeVar

from fleet_sim.broker.dialect import (
    ConnectRequest,
    LeaveRequest,
    PublishRequest,
    SubscribeOptions,
    SubscribeRequest,
    UnsubscribeRequest,
    Welcome,
    split_frame,
)
from fleet_sim.broker.message import Delivery, Frame, Message
from fleet_sim.broker.reasons import CONNACK_311, ProtocolError, Reason
from vendors.wire import mqtt311

_FAILURE: Final = 0x80

P = TypeVar("P")


class Dialect311:
    """Stateless; one instance serves every connection."""

    version = 4

    def read_connect(self, raw: bytes) -> ConnectRequest:
        """A whole CONNECT: a session without "clean" has no end of its own here."""
        packet = _read(raw, mqtt311.Connect)
        if not packet.client_id and not packet.clean_session:  # [MQTT-3.1.3-8]
            raise ProtocolError(Reason.CLIENT_ID_NOT_VALID, "a session that nobody could find")
        will = packet.will
        return ConnectRequest(
            client_id=packet.client_id,
            clean_start=packet.clean_session,
            keep_alive_s=packet.keep_alive_s,
            session_expiry_s=0 if packet.clean_session else None,
            username=packet.username,
            password=packet.password,
            will=None if will is None else _will(will, packet.client_id),
        )

    def read_publish(self, raw: bytes, publisher: str, now_s: float) -> PublishRequest:
        """A whole PUBLISH."""
        del now_s  # nothing in 3.1.1 expires
        packet = _read(raw, mqtt311.Publish)
        message = Message(
            packet.topic,
            packet.payload,
            qos=packet.qos,
            retain=packet.retain,
            publisher=publisher,
        )
        return PublishRequest(message, packet.packet_id, 0)

    def read_ack(self, raw: bytes) -> tuple[int, int]:
        """An acknowledgement of any length but the usual four bytes: none exists."""
        raise ProtocolError(Reason.MALFORMED_PACKET, f"acknowledgement of {len(raw)} bytes")

    def read_subscribe(self, raw: bytes) -> SubscribeRequest:
        """A whole SUBSCRIBE."""
        packet = _read(raw, mqtt311.Subscribe)
        filters = tuple((name, SubscribeOptions(qos)) for name, qos in packet.filters)
        return SubscribeRequest(packet.packet_id, filters, 0)

    def read_unsubscribe(self, raw: bytes) -> UnsubscribeRequest:
        """A whole UNSUBSCRIBE."""
        packet = _read(raw, mqtt311.Unsubscribe)
        return UnsubscribeRequest(packet.packet_id, packet.filters)

    def read_disconnect(self, raw: bytes) -> LeaveRequest:
        """A whole DISCONNECT: always without the will."""
        _read(raw, mqtt311.Disconnect)
        return LeaveRequest(with_will=False, session_expiry_s=-1)

    def welcome(self, welcome: Welcome) -> bytes:
        """CONNACK that says yes; the rest has no field in 3.1.1."""
        return mqtt311.encode(mqtt311.ConnAck(welcome.session_present))

    def refuse(self, reason: Reason) -> bytes:
        """CONNACK that says no."""
        code = CONNACK_311.get(reason)
        return b"" if code is None else mqtt311.encode(mqtt311.ConnAck(code=code))

    def publish(self, delivery: Delivery, now_s: float) -> Frame:
        """PUBLISH without its packet id; properties fall away."""
        del now_s
        message, qos, retain, _ = delivery
        key = qos << 1 | retain
        if (frame := message.frames.get(key)) is None:
            packet = mqtt311.Publish(
                message.topic, message.payload, qos, retain, packet_id=1 if qos else 0
            )
            frame = message.frames[key] = split_frame(mqtt311.encode(packet), qos)
        return frame

    def ack(self, head: int, packet_id: int, reason: Reason) -> bytes:
        """An acknowledgement: there is no "no"."""
        del reason
        return bytes((head, 2, packet_id >> 8, packet_id & 0xFF))

    def suback(self, packet_id: int, reasons: list[int]) -> bytes:
        """SUBACK; every refusal is 0x80."""
        codes = tuple(min(reason, _FAILURE) for reason in reasons)
        return mqtt311.encode(mqtt311.SubAck(packet_id, codes))

    def unsuback(self, packet_id: int, reasons: list[int]) -> bytes:
        """UNSUBACK."""
        del reasons
        return mqtt311.encode(mqtt311.UnsubAck(packet_id))

    def disconnect(self, reason: Reason) -> bytes:
        """Nothing: a 3.1.1 server just closes."""
        del reason
        return b""


def _will(will: mqtt311.Will, publisher: str) -> Message:
    return Message(will.topic, will.payload, qos=will.qos, retain=will.retain, publisher=publisher)


def _read(raw: bytes, wanted: type[P]) -> P:
    try:
        read = mqtt311.read(raw)
    except mqtt311.MalformedPacketError as exc:
        raise ProtocolError(Reason.MALFORMED_PACKET, str(exc)) from exc
    # The caller cut `raw` by its own header and chose `wanted` by its type: only a bug differs.
    assert read is not None
    packet = read[0]
    assert isinstance(packet, wanted)
    return packet
