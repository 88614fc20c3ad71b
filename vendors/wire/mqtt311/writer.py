"""Packets to bytes."""

from collections.abc import Callable, Mapping
from typing import Final

from vendors.wire.mqtt311.packets import (
    ConnAck,
    Connect,
    Disconnect,
    MalformedPacketError,
    OnlyId,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)
from vendors.wire.mqtt311.rules import (
    CONNACK_CODE_MAX,
    CONTINUES,
    FIELD_MAX,
    NAMES,
    REMAINING_MAX,
    checked_filter,
    checked_qos,
    checked_suback_codes,
    checked_topic,
)


def encode(packet: Packet) -> bytes:
    """Write one packet.

    Raises:
        MalformedPacketError: its values have no form on the wire.
    """
    return _WRITERS[type(packet)](packet)


def encode_publish(  # noqa: PLR0913 -- the fields of a PUBLISH
    topic: str,
    payload: bytes,
    qos: int = 0,
    retain: bool = False,  # noqa: FBT001, FBT002 -- as in the packet
    packet_id: int = 0,
    *,
    duplicate: bool = False,
) -> bytes:
    """Write a PUBLISH without making a packet first: half the time, for whoever has many.

    Raises:
        MalformedPacketError: the values have no form on the wire.
    """
    head = 0x30 | duplicate << 3 | checked_qos(qos) << 1 | retain
    name = _string(checked_topic(topic))
    if qos:
        return _framed(head, name, _id(packet_id), payload)
    if duplicate or packet_id:
        raise MalformedPacketError(f"{'DUP' if duplicate else 'packet id'} on a QoS 0 message")
    return _framed(head, name, payload)


def _framed(head: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    remaining = len(body)
    if remaining < CONTINUES:
        return bytes((head, remaining)) + body
    if remaining > REMAINING_MAX:
        raise MalformedPacketError(f"packet body of {remaining} bytes")
    header = bytearray((head,))
    while remaining >= CONTINUES:
        header.append(remaining & 0x7F | CONTINUES)
        remaining >>= 7
    header.append(remaining)
    return bytes(header) + body


def _binary(raw: bytes) -> bytes:
    if len(raw) > FIELD_MAX:
        raise MalformedPacketError(f"field of {len(raw)} bytes")
    return len(raw).to_bytes(2, "big") + raw


def _string(text: str) -> bytes:
    if "\x00" in text:
        raise MalformedPacketError("text holds U+0000")
    try:
        return _binary(text.encode())
    except UnicodeEncodeError as exc:
        raise MalformedPacketError(f"text is not UTF-8: {exc.reason}") from exc


def _id(packet_id: int) -> bytes:
    if not 0 < packet_id <= FIELD_MAX:
        raise MalformedPacketError(f"packet id {packet_id}")
    return packet_id.to_bytes(2, "big")


def _write_publish(packet: Publish) -> bytes:
    return encode_publish(
        packet.topic,
        packet.payload,
        packet.qos,
        packet.retain,
        packet.packet_id,
        duplicate=packet.duplicate,
    )


def _write_connect(packet: Connect) -> bytes:
    name = NAMES.get(packet.level)
    if name is None or not 0 <= packet.keep_alive_s <= FIELD_MAX:
        raise MalformedPacketError(f"level {packet.level}, keep alive {packet.keep_alive_s} s")
    flags = packet.clean_session << 1
    fields = [_string(packet.client_id)]
    if (will := packet.will) is not None:
        flags |= 0x04 | checked_qos(will.qos) << 3 | will.retain << 5
        fields += (_string(checked_topic(will.topic)), _binary(will.payload))
    if packet.username is not None:
        flags |= 0x80
        fields.append(_string(packet.username))
    if packet.password is not None:
        if packet.username is None:
            raise MalformedPacketError("password without user name")  # [MQTT-3.1.2-22]
        flags |= 0x40
        fields.append(_binary(packet.password))
    keep_alive = packet.keep_alive_s.to_bytes(2, "big")
    return _framed(0x10, name, bytes((packet.level, flags)), keep_alive, *fields)


def _write_connack(packet: ConnAck) -> bytes:
    if not 0 <= packet.code <= CONNACK_CODE_MAX or (packet.session_present and packet.code):
        raise MalformedPacketError(f"CONNACK {packet}")
    return bytes((0x20, 2, packet.session_present, packet.code))


def _write_subscribe(packet: Subscribe) -> bytes:
    if not packet.filters:
        raise MalformedPacketError("SUBSCRIBE without a filter")
    pairs = (
        _string(checked_filter(name)) + bytes((checked_qos(qos),)) for name, qos in packet.filters
    )
    return _framed(0x82, _id(packet.packet_id), *pairs)


def _write_suback(packet: SubAck) -> bytes:
    return _framed(0x90, _id(packet.packet_id), bytes(checked_suback_codes(packet.codes)))


def _write_unsubscribe(packet: Unsubscribe) -> bytes:
    if not packet.filters:
        raise MalformedPacketError("UNSUBSCRIBE without a filter")
    names = (_string(checked_filter(name)) for name in packet.filters)
    return _framed(0xA2, _id(packet.packet_id), *names)


def _write_id(head: int) -> Callable[[OnlyId], bytes]:
    prefix = bytes((head, 2))
    return lambda packet: prefix + _id(packet.packet_id)


# Each writer gets exactly the type that it is listed under; no type says so for a mapping.
_WRITERS: Final[Mapping[type[Packet], Callable[..., bytes]]] = {
    Connect: _write_connect,
    ConnAck: _write_connack,
    Publish: _write_publish,
    PubAck: _write_id(0x40),
    PubRec: _write_id(0x50),
    PubRel: _write_id(0x62),
    PubComp: _write_id(0x70),
    Subscribe: _write_subscribe,
    SubAck: _write_suback,
    Unsubscribe: _write_unsubscribe,
    UnsubAck: _write_id(0xB0),
    PingReq: lambda _: b"\xc0\x00",
    PingResp: lambda _: b"\xd0\x00",
    Disconnect: lambda _: b"\xe0\x00",
}
