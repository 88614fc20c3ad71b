"""Bytes to packets."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

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
    Will,
)
from vendors.wire.mqtt311.rules import (
    CONNACK_CODE_MAX,
    CONTINUES,
    NAMES,
    PACKET_MAX,
    checked_filter,
    checked_qos,
    checked_suback_codes,
    checked_topic,
)

Buffer: TypeAlias = bytes | bytearray | memoryview

_HEADER_MIN: Final = 2
_PUBLISH: Final = 3
_QOS_MAX: Final = 2
# Flag bits that each type but PUBLISH must carry (section 2.2.2, [MQTT-2.2.2-1]).
_FLAGS: Final[Mapping[int, int]] = {
    1: 0,
    2: 0,
    4: 0,
    5: 0,
    6: 2,
    7: 0,
    8: 2,
    9: 0,
    10: 2,
    11: 0,
    12: 0,
    13: 0,
    14: 0,
}


def measure(buffer: Buffer, index: int = 0) -> tuple[int, int] | None:
    """Where the packet at `index` has its body and its end, by its fixed header alone.

    Returns:
        (index of the body, index after the packet), which may lie beyond the buffer; nothing
        while the header itself is incomplete.

    Raises:
        MalformedPacketError: the remaining length has more than four bytes.
    """
    have = len(buffer)
    if have - index < _HEADER_MIN:
        return None
    at = index + 1
    byte = buffer[at]
    at += 1
    if byte < CONTINUES:
        return at, at + byte
    remaining = byte & 0x7F
    for shift in (7, 14, 21):
        if at >= have:
            return None
        byte = buffer[at]
        at += 1
        remaining |= (byte & 0x7F) << shift
        if byte < CONTINUES:
            return at, at + remaining
    raise MalformedPacketError("remaining length of more than four bytes")


def read(
    buffer: Buffer, index: int = 0, *, packet_max: int = PACKET_MAX
) -> tuple[Packet, int] | None:
    """Take the packet at `index` off the buffer.

    Units: `packet_max` is in bytes and counts the fixed header.

    Returns:
        (packet, how many bytes it took), or nothing while it is incomplete.

    Raises:
        MalformedPacketError: what is there can never become a good packet, or it announces more
            than `packet_max`. The header is judged as soon as it is whole.
    """
    measured = measure(buffer, index)
    if measured is None:
        return None
    body, end = measured
    size = end - index
    if size > packet_max:
        raise MalformedPacketError(f"packet of {size} bytes where {packet_max} are allowed")
    head = buffer[index]
    kind = head >> 4
    if kind == _PUBLISH:
        return (_read_publish(head, buffer, body, end), size) if end <= len(buffer) else None
    if _FLAGS.get(kind) != head & 0x0F:
        raise MalformedPacketError(f"first byte 0x{head:02x}")
    if end > len(buffer):
        return None
    return _READERS[kind](_Body(buffer, body, end)), size


class _Body:
    """Walks one packet's body; every step checks that the body is long enough."""

    __slots__ = ("_at", "_buffer", "_end")

    def __init__(self, buffer: Buffer, at: int, end: int) -> None:
        self._buffer = buffer
        self._at = at
        self._end = end

    def more(self) -> bool:
        return self._at < self._end

    def take(self, count: int) -> bytes:
        at = self._at
        self._at = after = at + count
        if after > self._end:
            raise MalformedPacketError("a field reaches beyond the packet's end")
        return bytes(self._buffer[at:after])

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def binary(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        return _text(self.binary())

    def packet_id(self) -> int:
        if not (packet_id := self.number()):
            raise MalformedPacketError("packet id 0")
        return packet_id

    def close(self) -> None:
        if self._at != self._end:
            raise MalformedPacketError("bytes after the last field")


def _text(raw: Buffer) -> str:
    """Strict UTF-8 without U+0000 ([MQTT-1.5.3-1], [MQTT-1.5.3-2])."""
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError as exc:
        raise MalformedPacketError(f"text is not UTF-8: {exc.reason}") from exc
    if "\x00" in text:
        raise MalformedPacketError("text holds U+0000")
    return text


def _read_publish(head: int, buffer: Buffer, body: int, end: int) -> Publish:
    # The hot path: no walker, one slice a field.
    qos = (head >> 1) & 3
    text_at = body + 2
    if text_at > end:
        raise MalformedPacketError("PUBLISH without a topic")
    at = text_at + (buffer[body] << 8 | buffer[body + 1])
    packet_id = 0
    payload_at = at
    if qos:
        payload_at += 2
        if qos > _QOS_MAX:
            raise MalformedPacketError("QoS 3")
    elif head & 8:
        raise MalformedPacketError("DUP on a QoS 0 message")  # [MQTT-3.3.1-2]
    if payload_at > end:
        raise MalformedPacketError("a field reaches beyond the packet's end")
    if qos and not (packet_id := buffer[at] << 8 | buffer[at + 1]):
        raise MalformedPacketError("packet id 0")
    topic = checked_topic(_text(buffer[text_at:at]))
    payload = bytes(buffer[payload_at:end])
    return Publish(topic, payload, qos, bool(head & 1), bool(head & 8), packet_id)


def _read_connect(body: _Body) -> Connect:
    name = body.binary()
    level = body.byte()
    if NAMES.get(level, b"")[2:] != name:
        raise MalformedPacketError(f"protocol {name[:8]!r} level {level}")
    flags = body.byte()
    has_will = bool(flags & 0x04)
    will_qos = checked_qos((flags >> 3) & 3)
    if flags & 1:
        raise MalformedPacketError("reserved CONNECT flag")  # [MQTT-3.1.2-3]
    if not has_will and flags & 0x38:
        raise MalformedPacketError("will flags without a will")
    if flags & 0xC0 == 0x40:  # noqa: PLR2004 -- bits of section 3.1.2.9: password, no user name
        raise MalformedPacketError("password without user name")
    keep_alive_s = body.number()
    client_id = body.text()
    will = None
    if has_will:
        will_topic = checked_topic(body.text())
        will = Will(will_topic, body.binary(), will_qos, bool(flags & 0x20))
    username = body.text() if flags & 0x80 else None
    password = body.binary() if flags & 0x40 else None
    body.close()
    return Connect(client_id, bool(flags & 2), keep_alive_s, will, username, password, level)


def _read_connack(body: _Body) -> ConnAck:
    flags, code = body.byte(), body.byte()
    body.close()
    if flags > 1 or code > CONNACK_CODE_MAX or (flags and code):
        raise MalformedPacketError(f"CONNACK flags {flags} code {code}")
    return ConnAck(bool(flags), code)


def _read_id(packet: type["OnlyId"]) -> Callable[[_Body], Packet]:
    def read_id(body: _Body) -> Packet:
        packet_id = body.packet_id()
        body.close()
        return packet(packet_id)

    return read_id


def _read_subscribe(body: _Body) -> Subscribe:
    packet_id = body.packet_id()
    filters = []
    while body.more():
        topic_filter = checked_filter(body.text())
        filters.append((topic_filter, checked_qos(body.byte())))
    if not filters:
        raise MalformedPacketError("SUBSCRIBE without a filter")  # [MQTT-3.8.3-3]
    return Subscribe(packet_id, tuple(filters))


def _read_suback(body: _Body) -> SubAck:
    packet_id = body.packet_id()
    codes = []
    while body.more():
        codes.append(body.byte())
    return SubAck(packet_id, checked_suback_codes(tuple(codes)))


def _read_unsubscribe(body: _Body) -> Unsubscribe:
    packet_id = body.packet_id()
    filters = []
    while body.more():
        filters.append(checked_filter(body.text()))
    if not filters:
        raise MalformedPacketError("UNSUBSCRIBE without a filter")  # [MQTT-3.10.3-2]
    return Unsubscribe(packet_id, tuple(filters))


def _read_empty(packet: Packet) -> Callable[[_Body], Packet]:
    def read_empty(body: _Body) -> Packet:
        body.close()
        return packet

    return read_empty


_READERS: Final[Mapping[int, Callable[[_Body], Packet]]] = {
    1: _read_connect,
    2: _read_connack,
    4: _read_id(PubAck),
    5: _read_id(PubRec),
    6: _read_id(PubRel),
    7: _read_id(PubComp),
    8: _read_subscribe,
    9: _read_suback,
    10: _read_unsubscribe,
    11: _read_id(UnsubAck),
    12: _read_empty(PingReq()),
    13: _read_empty(PingResp()),
    14: _read_empty(Disconnect()),
}
