"""The broker's side of MQTT 5, on the `mqtt5` codec.

That codec lets some bad packets through, which are refused here: wildcards or U+0000 in a topic,
packet id 0, an empty SUBSCRIBE. And on invalid UTF-8 in a string it panics (0.8.0): pyo3's
`PanicException`, a `BaseException`, with lines on stderr. It is malformed input like any other.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias, TypeVar

import mqtt5

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
from fleet_sim.broker.message import PLAIN, Delivery, Frame, Message, Properties
from fleet_sim.broker.reasons import ProtocolError, Reason
from fleet_sim.broker.topics import valid_topic
from vendors.wire import mqtt311

P = TypeVar("P")
_Ack: TypeAlias = mqtt5.PubAckPacket | mqtt5.PubRecPacket | mqtt5.PubRelPacket | mqtt5.PubCompPacket

_QOS: Final = (
    mqtt5.QoS.AT_MOST_ONCE,
    mqtt5.QoS.AT_LEAST_ONCE,
    mqtt5.QoS.EXACTLY_ONCE,
)
_FOREVER: Final = 0xFFFF_FFFF
# An MQTT 5 frame is cached beside the 3.1.1 ones of the same message.
_CACHE: Final = 0x10
# An acknowledgement's packet by its first byte.
_ACKS: Final[Mapping[int, type[_Ack]]] = {
    0x40: mqtt5.PubAckPacket,
    0x50: mqtt5.PubRecPacket,
    0x62: mqtt5.PubRelPacket,
    0x70: mqtt5.PubCompPacket,
}


class Dialect5:
    """Stateless; one instance serves every connection."""

    version = 5

    def read_connect(self, raw: bytes) -> ConnectRequest:
        """A whole CONNECT."""
        packet = _read(raw, mqtt5.ConnectPacket)
        # The fixed header takes two to five bytes, then name and level seven: then the flags.
        at = 1
        while raw[at] & 0x80:
            at += 1
        flags = raw[at + 8]
        if flags & 1 or (not flags & 4 and flags & 0x38):
            raise ProtocolError(Reason.MALFORMED_PACKET, "CONNECT flags")
        _no_nul(packet.client_id, packet.username)
        if not packet.receive_max:
            raise ProtocolError(Reason.PROTOCOL_ERROR, "receive maximum 0")
        expiry_s = packet.session_expiry_interval
        return ConnectRequest(
            client_id=packet.client_id,
            clean_start=packet.clean_start,
            keep_alive_s=packet.keep_alive,
            session_expiry_s=None if expiry_s == _FOREVER else expiry_s,
            username=packet.username,
            password=packet.password,
            will=_will(packet),
            will_delay_s=packet.will.will_delay_interval if packet.will else 0,
            receive_max=packet.receive_max,
            packet_max_bytes=packet.max_packet_size,
            authentication_method=packet.authentication_method,
        )

    def read_publish(self, raw: bytes, publisher: str, now_s: float) -> PublishRequest:
        """A whole PUBLISH; its topic is empty if only an alias came."""
        packet = _read(raw, mqtt5.PublishPacket)
        qos = raw[0] >> 1 & 3
        packet_id = packet.packet_id or 0
        topic = packet.topic
        alias = packet.topic_alias or 0
        if topic and not valid_topic(topic):
            raise ProtocolError(Reason.TOPIC_NAME_INVALID, "wildcard or U+0000 in a topic")
        if bool(qos) != bool(packet_id) or (raw[0] & 8 and not qos):
            raise ProtocolError(Reason.MALFORMED_PACKET, "packet id 0, or DUP at QoS 0")
        if packet.subscription_ids:
            raise ProtocolError(Reason.PROTOCOL_ERROR, "subscription id from a client")
        expiry_s = packet.message_expiry_interval
        message = Message(
            topic,
            packet.payload,
            qos=qos,
            retain=packet.retain,
            publisher=publisher,
            expires_at_s=None if expiry_s is None else now_s + expiry_s,
            properties=_properties(packet),
        )
        return PublishRequest(message, packet_id, alias)

    def read_ack(self, raw: bytes) -> tuple[int, int]:
        """An acknowledgement with a reason."""
        packet = _read(raw, _ACKS[raw[0]])
        if not packet.packet_id:
            raise ProtocolError(Reason.MALFORMED_PACKET, "packet id 0")
        return packet.packet_id, int(packet.reason_code)

    def read_subscribe(self, raw: bytes) -> SubscribeRequest:
        """A whole SUBSCRIBE."""
        packet = _read(raw, mqtt5.SubscribePacket)
        if not packet.topic_filters or not packet.packet_id:
            raise ProtocolError(Reason.PROTOCOL_ERROR, "SUBSCRIBE without filter or packet id")
        _no_reserved_option(raw)
        _no_nul(*(wanted.pattern for wanted in packet.topic_filters))
        filters = tuple(
            (
                wanted.pattern,
                SubscribeOptions(
                    int(wanted.max_qos),
                    wanted.no_local,
                    wanted.retain_as_published,
                    int(wanted.retain_handling),
                ),
            )
            for wanted in packet.topic_filters
        )
        return SubscribeRequest(packet.packet_id, filters, packet.subscription_id or 0)

    def read_unsubscribe(self, raw: bytes) -> UnsubscribeRequest:
        """A whole UNSUBSCRIBE."""
        packet = _read(raw, mqtt5.UnsubscribePacket)
        if not packet.patterns or not packet.packet_id:
            raise ProtocolError(Reason.PROTOCOL_ERROR, "UNSUBSCRIBE without filter or packet id")
        return UnsubscribeRequest(packet.packet_id, tuple(packet.patterns))

    def read_disconnect(self, raw: bytes) -> LeaveRequest:
        """A whole DISCONNECT."""
        packet = _read(raw, mqtt5.DisconnectPacket)
        expiry_s: int | None = packet.session_expiry_interval
        if expiry_s is None:
            expiry_s = -1
        elif expiry_s == _FOREVER:
            expiry_s = None
        # Any reason but "normal" leaves the will in force (3.14.4, [MQTT-3.14.4-3]).
        return LeaveRequest(with_will=bool(int(packet.reason_code)), session_expiry_s=expiry_s)

    def welcome(self, welcome: Welcome) -> bytes:
        """CONNACK that says yes."""
        return mqtt5.ConnAckPacket(
            session_present=welcome.session_present,
            assigned_client_id=welcome.assigned_client_id,
            server_keep_alive=welcome.keep_alive_s,
            session_expiry_interval=welcome.session_expiry_s,
            receive_max=welcome.receive_max,
            max_packet_size=welcome.packet_max_bytes,
            topic_alias_max=welcome.topic_alias_max,
        ).write()

    def refuse(self, reason: Reason) -> bytes:
        """CONNACK that says no."""
        return mqtt5.ConnAckPacket(reason_code=mqtt5.ConnAckReasonCode(reason)).write()

    def publish(self, delivery: Delivery, now_s: float) -> Frame:
        """PUBLISH without its packet id. What depends on the receiver or the hour is not cached."""
        message, qos, retain, ids = delivery
        plain = not ids and message.expires_at_s is None
        key = _CACHE | qos << 1 | retain
        if plain and (frame := message.frames.get(key)) is not None:
            return frame
        properties = message.properties
        left_s = None
        if message.expires_at_s is not None:
            left_s = max(0, round(message.expires_at_s - now_s))
        raw = mqtt5.PublishPacket(
            message.topic,
            message.payload,
            qos=_QOS[qos],
            retain=retain,
            packet_id=1 if qos else None,
            payload_format_indicator=properties.payload_format,
            message_expiry_interval=left_s,
            content_type=properties.content_type,
            response_topic=properties.response_topic,
            correlation_data=properties.correlation_data,
            subscription_ids=list(ids),
            user_properties=list(properties.user_properties),
        ).write()
        frame = split_frame(raw, qos)
        if plain:
            message.frames[key] = frame
        return frame

    def ack(self, head: int, packet_id: int, reason: Reason) -> bytes:
        """An acknowledgement; success needs no reason byte."""
        if not reason:
            return bytes((head, 2, packet_id >> 8, packet_id & 0xFF))
        return bytes((head, 3, packet_id >> 8, packet_id & 0xFF, reason))

    def suback(self, packet_id: int, reasons: list[int]) -> bytes:
        """SUBACK."""
        codes = [mqtt5.SubAckReasonCode(reason) for reason in reasons]
        return mqtt5.SubAckPacket(packet_id, codes).write()

    def unsuback(self, packet_id: int, reasons: list[int]) -> bytes:
        """UNSUBACK."""
        codes = [mqtt5.UnsubAckReasonCode(reason) for reason in reasons]
        return mqtt5.UnsubAckPacket(packet_id, codes).write()

    def disconnect(self, reason: Reason) -> bytes:
        """DISCONNECT."""
        return mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode(reason)).write()


def _properties(source: mqtt5.PublishPacket | mqtt5.Will) -> Properties:
    if source.payload_format_indicator > 1:
        raise ProtocolError(Reason.PROTOCOL_ERROR, "payload format above 1")
    if source.response_topic is not None and not valid_topic(source.response_topic):
        raise ProtocolError(Reason.PROTOCOL_ERROR, "wildcard in a response topic")
    _no_nul(source.content_type, *(text for pair in source.user_properties for text in pair))
    properties = Properties(
        source.payload_format_indicator,
        source.content_type,
        source.response_topic,
        source.correlation_data,
        tuple(source.user_properties),
    )
    return PLAIN if properties == PLAIN else properties


def _no_reserved_option(raw: bytes) -> None:
    """The two high bits of a filter's options are 0 (3.8.3.1, [MQTT-3.8.3-5])."""
    measured = mqtt311.measure(raw)
    assert measured is not None
    # The property length is coded like a remaining length, so `measure` reads it too.
    properties = mqtt311.measure(raw, measured[0] + 1)
    at = properties[1] if properties is not None else len(raw)
    while at < len(raw):
        at += 2 + (raw[at] << 8 | raw[at + 1])
        if raw[at] & 0xC0:
            raise ProtocolError(Reason.MALFORMED_PACKET, "reserved bits in subscription options")
        at += 1


def _no_nul(*texts: str | None) -> None:
    """No text may hold U+0000 (1.5.4, [MQTT-1.5.4-2]); the codec lets it through."""
    if any(text is not None and "\x00" in text for text in texts):
        raise ProtocolError(Reason.MALFORMED_PACKET, "text holds U+0000")


def _will(packet: mqtt5.ConnectPacket) -> Message | None:
    """The will; its life begins when it is published, so `expires_at_s` holds a duration."""
    if (will := packet.will) is None:
        return None
    if not valid_topic(will.topic):
        raise ProtocolError(Reason.TOPIC_NAME_INVALID, "will topic")
    expiry_s = will.message_expiry_interval
    return Message(
        will.topic,
        will.payload or b"",
        qos=int(will.qos),
        retain=will.retain,
        publisher=packet.client_id,
        expires_at_s=None if expiry_s is None else float(expiry_s),
        properties=_properties(will),
    )


def _read(raw: bytes, wanted: type[P]) -> P:
    """Decode one whole packet: too short for itself is as malformed as anything else."""
    try:
        packet, _ = mqtt5.read(memoryview(raw))
    except (IndexError, ValueError) as exc:
        raise ProtocolError(Reason.MALFORMED_PACKET, str(exc)) from exc
    except BaseException as exc:
        if type(exc).__name__ != "PanicException":
            raise
        raise ProtocolError(Reason.MALFORMED_PACKET, "text is not UTF-8") from exc
    # The caller cut `raw` by its own header and chose `wanted` by its type: only a bug differs.
    assert isinstance(packet, wanted)
    return packet
