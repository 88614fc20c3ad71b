"""MQTT packets in a stream: where each ends, and what a toxic may ask of it. Pure.

Source: OASIS "MQTT Version 3.1.1" and "MQTT Version 5.0"; both frame packets alike.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from fleet_sim.proxy.items import Item, Message, Piece
from vendors.wire.mqtt311 import MalformedPacketError, measure

#: Longer packets go by in pieces, and no toxic sees them: so much is held for each direction.
PACKET_MAX: Final = 1024 * 1024
#: By the upper half of the first byte (3.1.1: 2.2.1).
KINDS: Final[Mapping[int, str]] = dict(
    enumerate(
        (
            "connect",
            "connack",
            "publish",
            "puback",
            "pubrec",
            "pubrel",
            "pubcomp",
            "subscribe",
            "suback",
            "unsubscribe",
            "unsuback",
            "pingreq",
            "pingresp",
            "disconnect",
            "auth",
        ),
        start=1,
    )
)
_LEVEL_5: Final = 5
# Name of the protocol as CONNECT spells it, then its level: 3.1.2.1 and 3.1.2.2 of both.
_NAMES: Final = (b"\x00\x04MQTT", b"\x00\x06MQIsdp")
_START_MAX: Final = 16
_TOPIC_ALIAS: Final = 0x23
# 5.0, 2.2.2.2: the properties of PUBLISH that have a fixed size; the others say theirs.
_FIXED: Final[Mapping[int, int]] = {0x01: 1, 0x02: 4, _TOPIC_ALIAS: 2}
_VARIABLE_INTEGER: Final = 0x0B
#: Strings and binary, and how many of them follow.
_COUNTED: Final[Mapping[int, int]] = {0x03: 1, 0x08: 1, 0x09: 1, 0x26: 2}


@dataclass(frozen=True, slots=True)
class Packet(Message):
    """One packet; `topic` is that of a PUBLISH, an alias resolved; `level` 5 is MQTT 5."""

    kind: str
    level: int
    topic: str = ""

    @property
    def qos(self) -> int:
        """Of a PUBLISH."""
        return self.raw[0] >> 1 & 3

    @property
    def body(self) -> int:
        """Where it begins behind the fixed header."""
        return body_at(self.raw)

    @property
    def payload(self) -> int:
        """Where the payload of a PUBLISH begins."""
        at = _behind_topic(self.raw) + (2 if self.qos else 0)
        if self.level >= _LEVEL_5:
            length, at = _variable(self.raw, at)
            at += length
        return at

    def again(self) -> "Packet":
        """The same sent once more: with DUP set where a packet id tells (3.1.1: 3.3.1.1)."""
        if self.kind != "publish" or not self.qos:
            return self
        return replace(self, raw=bytes((self.raw[0] | 0x08,)) + self.raw[1:])

    def filters(self) -> tuple[int, list[str]]:
        """Packet id and topic filters of a SUBSCRIBE.

        Raises:
            IndexError: it ends too early.
        """
        raw, at = self.raw, self.body
        packet_id, at = _number(raw, at), at + 2
        if self.level >= _LEVEL_5:
            length, at = _variable(raw, at)
            at += length
        found = []
        while at < len(raw):
            size = _number(raw, at)
            found.append(raw[at + 2 : at + 2 + size].decode("utf-8", "replace"))
            at += 2 + size + 1
        return packet_id, found


class Talk:
    """What both directions of a connection share: the level that its CONNECT said."""

    __slots__ = ("level",)

    def __init__(self) -> None:
        self.level = 0


class PacketCutter:
    """Cuts packets out of one direction; a `fleet_sim.proxy.flow.Cutter`."""

    __slots__ = ("_aliases", "_buffer", "_gone", "_left", "_lost", "_start", "_talk")

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._start = b""
        self._buffer = bytearray()
        # Of the buffer, what has been given out; of the packet that goes by, what is to come.
        self._gone = 0
        self._left = 0
        self._lost = False
        self._aliases: dict[int, str] = {}

    @property
    def held(self) -> int:
        """Bytes of a packet that is not all there yet."""
        return len(self._buffer) - self._gone

    @property
    def midway(self) -> bool:
        """Whether the rest of a packet is to come, of which a part has been given out."""
        return bool(self._left or self._gone)

    def follow(self, data: bytes) -> None:
        """Only count."""
        self._learn(data)
        if not self._lost:
            self._walk(bytes(self._buffer) + data)

    def release(self) -> bytes:
        """What is held; from here on its packet goes by in pieces."""
        held = bytes(self._buffer)
        rest = held[self._gone :]
        self._walk(held)
        return rest

    def cut(self, data: bytes) -> Iterator[Item]:
        """Whole packets, and pieces of those that are too long."""
        self._learn(data)
        if self._lost:
            yield data
            return
        at = 0
        if self._left:
            at = min(self._left, len(data))
            self._left -= at
            yield Piece(data[:at], last=not self._left)
        # A byte at a time is no reason to copy all that is there each time.
        buffer = self._buffer
        buffer += data[at:]
        at = 0
        try:
            while (measured := measure(buffer, at)) is not None:
                end = measured[1]
                if end - at <= PACKET_MAX and not self._gone:
                    if end > len(buffer):
                        break
                    yield self._packet(bytes(buffer[at:end]))
                else:
                    self._left = max(0, end - len(buffer))
                    piece = Piece(bytes(buffer[at + self._gone : end]), last=not self._left)
                    self._gone = 0
                    yield piece
                at = min(end, len(buffer))
        except MalformedPacketError:
            # No MQTT, or bytes of it are missing: where packets begin cannot be found again.
            rest = bytes(buffer[at + self._gone :])
            self._lost, self._gone, at = True, 0, len(buffer)
            yield rest
        del buffer[:at]

    def _walk(self, data: bytes) -> None:
        """All of this has been given out, from the beginning of a packet, or the rest of one."""
        at, size = self._left, len(data)
        try:
            while (measured := measure(data, at)) is not None:
                at = measured[1]
        except MalformedPacketError:
            self._lost, at = True, size
        self._left = max(0, at - size)
        self._buffer[:] = data[at:]
        self._gone = len(self._buffer)

    def _learn(self, data: bytes) -> None:
        """The level, of what a client says first."""
        if not self._talk.level and len(self._start) < _START_MAX:
            self._start += data[:_START_MAX]
            self._talk.level = level_of(self._start)

    def _packet(self, raw: bytes) -> Packet:
        kind, level = KINDS.get(raw[0] >> 4, ""), self._talk.level
        if kind != "publish":
            return Packet(raw, kind, level)
        try:
            packet = Packet(raw, kind, level, self._topic(raw, level))
            return packet if packet.payload <= len(raw) else Packet(raw, "malformed", level)
        except IndexError:  # its inner lengths lie: whoever reads it may say so
            return Packet(raw, "malformed", level)

    def _topic(self, raw: bytes, level: int) -> str:
        at = body_at(raw)
        topic = raw[at + 2 : at + 2 + _number(raw, at)].decode("utf-8", "replace")
        if level < _LEVEL_5 or (alias := _alias(raw)) is None:
            return topic
        if topic:
            self._aliases[alias] = topic
        return topic or self._aliases.get(alias, "")


def level_of(start: bytes) -> int:
    """The level in a connection's first bytes, 3 to 5; 0 if they are no CONNECT, or too few."""
    try:
        at = body_at(start) if start[:1] == b"\x10" else len(start)
    except IndexError:
        return 0
    for name in _NAMES:
        if start.startswith(name, at) and len(start) > at + len(name):
            return start[at + len(name)]
    return 0


def body_at(raw: bytes) -> int:
    """Where a packet's body begins: behind the first byte whose top bit is clear."""
    at = 1
    while raw[at] & 0x80:
        at += 1
    return at + 1


def suback(packet_id: int, codes: bytes, level: int) -> Packet:
    """An answer to a SUBSCRIBE, a code for each of its filters."""
    properties = b"\x00" if level >= _LEVEL_5 else b""
    body = packet_id.to_bytes(2) + properties + codes
    return Packet(bytes((0x90,)) + _length(len(body)) + body, "suback", level)


def _behind_topic(raw: bytes) -> int:
    at = body_at(raw)
    return at + 2 + _number(raw, at)


def _alias(raw: bytes) -> int | None:
    """The topic alias of an MQTT 5 PUBLISH (3.3.2.3.4)."""
    at = _behind_topic(raw) + (2 if raw[0] & 0x06 else 0)
    length, at = _variable(raw, at)
    end = at + length
    while at < end:
        name = raw[at]
        at += 1
        if name == _TOPIC_ALIAS:
            return _number(raw, at)
        if name in _FIXED:
            at += _FIXED[name]
        elif name == _VARIABLE_INTEGER:
            at = _variable(raw, at)[1]
        else:
            for _ in range(_COUNTED.get(name, 1)):
                at += 2 + _number(raw, at)
    return None


def _number(raw: bytes, at: int) -> int:
    return raw[at] << 8 | raw[at + 1]


def _variable(raw: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer and where it ends (5.0: 1.5.5)."""
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7


def _length(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:  # noqa: PLR2004 -- seven bits a byte (5.0: 1.5.5)
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))
