"""What both directions hold a packet to, so that nothing is written that would not be read."""

from collections.abc import Mapping
from typing import Final

from vendors.wire.mqtt311.packets import MalformedPacketError

#: The largest remaining length that four bytes can say (section 2.2.3).
REMAINING_MAX: Final = 268_435_455
#: The same with its fixed header: no packet is longer.
PACKET_MAX: Final = REMAINING_MAX + 5
#: A length byte from here on has another one behind it.
CONTINUES: Final = 0x80
#: A string, binary field, packet id or keep alive counts in two bytes.
FIELD_MAX: Final = 65_535
CONNACK_CODE_MAX: Final = 5
#: Protocol name by level (section 3.1.2.1; level 3: MQTT V3.1, 2010).
NAMES: Final[Mapping[int, bytes]] = {3: b"\x00\x06MQIsdp", 4: b"\x00\x04MQTT"}

_QOS_MAX: Final = 2
_SUBACK_CODES: Final = frozenset({0, 1, 2, 0x80})


def checked_topic(topic: str) -> str:
    """A topic that a message may carry."""
    if not topic:
        raise MalformedPacketError("empty topic")
    if "+" in topic or "#" in topic:
        raise MalformedPacketError("wildcard in the topic of a message")
    return topic


def checked_filter(topic_filter: str) -> str:
    """A topic filter: any text but none."""
    if not topic_filter:
        raise MalformedPacketError("empty topic filter")
    return topic_filter


def checked_qos(qos: int) -> int:
    """0, 1 or 2."""
    if not 0 <= qos <= _QOS_MAX:
        raise MalformedPacketError(f"QoS {qos}")
    return qos


def checked_suback_codes(codes: tuple[int, ...]) -> tuple[int, ...]:
    """At least one code, each one of the four that exist."""
    if not codes or not _SUBACK_CODES.issuperset(codes):
        raise MalformedPacketError(f"SUBACK codes {codes[:8]}")
    return codes
