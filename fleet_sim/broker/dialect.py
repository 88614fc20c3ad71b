"""One vocabulary over both versions: what a client asks, and how the broker answers it.

A `Dialect` turns exactly one packet's bytes into a request and answers into bytes. It holds no
state; the connection does. Anything wrong raises `ProtocolError` with the reason to close with.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from fleet_sim.broker.message import Delivery, Frame, Message
from fleet_sim.broker.reasons import Reason


class SubscribeOptions(NamedTuple):
    """How one filter is wanted; `retain_handling` 0 always, 1 if new, 2 never."""

    qos: int = 0
    no_local: bool = False
    as_published: bool = False
    retain_handling: int = 0


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """A client's wish to connect.

    Units: `session_expiry_s` 0 ends the session with its connection; None keeps it for ever.
    """

    client_id: str
    clean_start: bool
    keep_alive_s: int
    session_expiry_s: int | None
    username: str | None = None
    password: bytes | None = None
    will: Message | None = None
    will_delay_s: int = 0
    receive_max: int = 65_535
    packet_max_bytes: int | None = None
    authentication_method: str | None = None


class PublishRequest(NamedTuple):
    """A message from a client; `alias` 0 is none, `packet_id` 0 goes with QoS 0."""

    message: Message
    packet_id: int
    alias: int


class SubscribeRequest(NamedTuple):
    """Filters in the client's order; `identifier` 0 is none."""

    packet_id: int
    filters: tuple[tuple[str, SubscribeOptions], ...]
    identifier: int


class UnsubscribeRequest(NamedTuple):
    """Filters to give up."""

    packet_id: int
    filters: tuple[str, ...]


class LeaveRequest(NamedTuple):
    """DISCONNECT; `session_expiry_s` is -1 where the client leaves it as it was."""

    with_will: bool
    session_expiry_s: int | None


class Welcome(NamedTuple):
    """What a CONNACK tells beyond yes; None is "as you asked"."""

    session_present: bool
    assigned_client_id: str | None
    keep_alive_s: int | None
    session_expiry_s: int | None
    receive_max: int
    packet_max_bytes: int
    topic_alias_max: int


class Dialect(Protocol):
    """One version's packets."""

    version: int

    def read_connect(self, raw: bytes) -> ConnectRequest:
        """A whole CONNECT."""

    def read_publish(self, raw: bytes, publisher: str, now_s: float) -> PublishRequest:
        """A whole PUBLISH."""

    def read_ack(self, raw: bytes) -> tuple[int, int]:
        """PUBACK, PUBREC, PUBREL or PUBCOMP that is not four bytes: (packet id, reason)."""

    def read_subscribe(self, raw: bytes) -> SubscribeRequest:
        """A whole SUBSCRIBE."""

    def read_unsubscribe(self, raw: bytes) -> UnsubscribeRequest:
        """A whole UNSUBSCRIBE."""

    def read_disconnect(self, raw: bytes) -> LeaveRequest:
        """A whole DISCONNECT."""

    def welcome(self, welcome: Welcome) -> bytes:
        """CONNACK that says yes."""

    def refuse(self, reason: Reason) -> bytes:
        """CONNACK that says no; empty where the version has no word for it."""

    def publish(self, delivery: Delivery, now_s: float) -> Frame:
        """PUBLISH without its packet id; cached on the message where it can be."""

    def ack(self, head: int, packet_id: int, reason: Reason) -> bytes:
        """PUBACK, PUBREC, PUBREL or PUBCOMP, by its first byte."""

    def suback(self, packet_id: int, reasons: list[int]) -> bytes:
        """SUBACK."""

    def unsuback(self, packet_id: int, reasons: list[int]) -> bytes:
        """UNSUBACK."""

    def disconnect(self, reason: Reason) -> bytes:
        """DISCONNECT; empty where a server has no such word."""


def split_frame(raw: bytes, qos: int) -> Frame:
    """Cut an encoded PUBLISH at its two packet-id bytes."""
    if not qos:
        return Frame(raw, b"")
    at = 1
    while raw[at] & 0x80:
        at += 1
    id_at = at + 3 + (raw[at + 1] << 8 | raw[at + 2])
    return Frame(raw[:id_at], raw[id_at + 2 :])
