"""The packets of MQTT 3.1.1, as values."""

from dataclasses import dataclass
from typing import TypeAlias


class MalformedPacketError(ValueError):
    """The bytes (or the packet to write) break the standard: close the connection."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for a client that went without DISCONNECT."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """The first packet of a client. `keep_alive_s` 0 means never."""

    client_id: str
    clean_session: bool = True
    keep_alive_s: int = 60
    will: Will | None = None
    username: str | None = None
    password: bytes | None = None
    level: int = 4


@dataclass(frozen=True, slots=True)
class ConnAck:
    """The broker's answer; `code` 0 is yes, 1..5 are the refusals of section 3.2.2.3."""

    session_present: bool = False
    code: int = 0


@dataclass(frozen=True, slots=True)
class Publish:
    """One message; `packet_id` is 0 exactly if `qos` is 0."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    duplicate: bool = False
    packet_id: int = 0


@dataclass(frozen=True, slots=True)
class PubAck:
    """Answers a QoS 1 message."""

    packet_id: int


@dataclass(frozen=True, slots=True)
class PubRec:
    """First answer to a QoS 2 message: received."""

    packet_id: int


@dataclass(frozen=True, slots=True)
class PubRel:
    """The sender's half of QoS 2: release it."""

    packet_id: int


@dataclass(frozen=True, slots=True)
class PubComp:
    """Last answer of QoS 2: complete."""

    packet_id: int


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Ask for topics; `filters` are (filter, wanted QoS)."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class SubAck:
    """One code a filter, in order: the granted QoS, or 0x80 for no."""

    packet_id: int
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Give topics up."""

    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnsubAck:
    """Answers an `Unsubscribe`."""

    packet_id: int


@dataclass(frozen=True, slots=True)
class PingReq:
    """A client saying that it lives."""


@dataclass(frozen=True, slots=True)
class PingResp:
    """The broker saying that it lives."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """A client taking its leave: its will is forgotten."""


Packet: TypeAlias = (
    Connect
    | ConnAck
    | Publish
    | PubAck
    | PubRec
    | PubRel
    | PubComp
    | Subscribe
    | SubAck
    | Unsubscribe
    | UnsubAck
    | PingReq
    | PingResp
    | Disconnect
)

#: Those that say nothing but which packet they answer.
OnlyId: TypeAlias = PubAck | PubRec | PubRel | PubComp | UnsubAck
