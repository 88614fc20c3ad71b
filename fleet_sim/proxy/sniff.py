"""What a connection speaks, told from its first bytes; and whom a TLS client asks for. Pure."""

from enum import StrEnum
from typing import Final

from fleet_sim.proxy import http, mqtt
from fleet_sim.proxy.flow import Cutter


class Speaks(StrEnum):
    """What a proxy can be told that its connections speak; `auto` looks at their first bytes."""

    AUTO = "auto"
    TCP = "tcp"
    MQTT = "mqtt"
    HTTP = "http"
    TLS = "tls"


# RFC 9110, section 9.3, and PATCH of RFC 5789.
_METHODS: Final = (
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"PATCH ",
    b"OPTIONS ",
    b"CONNECT ",
    b"TRACE ",
)
# A handshake record (RFC 8446, 5.1).
_TLS: Final = b"\x16\x03"
#: A ClientHello fits into one record of 16 KiB, or is not read.
HELLO_MAX: Final = 5 + 16 * 1024
_CLIENT_HELLO, _SERVER_NAME = 1, 0


def speaks(first: bytes) -> Speaks:
    """What begins so; bytes of which nobody can tell are `tcp`."""
    if mqtt.level_of(first):
        return Speaks.MQTT
    if first.startswith(_METHODS):
        return Speaks.HTTP
    return Speaks.TLS if first.startswith(_TLS) else Speaks.TCP


def cutters(spoken: Speaks) -> tuple[Cutter | None, Cutter | None]:
    """What cuts both directions of a connection, the client's first."""
    if spoken is Speaks.MQTT:
        packets = mqtt.Talk()
        return mqtt.PacketCutter(packets), mqtt.PacketCutter(packets)
    if spoken is Speaks.HTTP:
        asked = http.Talk()
        return (
            http.MessageCutter(asked, responses=False),
            http.MessageCutter(asked, responses=True),
        )
    return None, None


def server_name(hello: bytes) -> str | None:
    """The server name that a ClientHello asks for; empty if it names none, None if it goes on.

    Source: RFC 8446, 4.1.2 (ClientHello); RFC 6066, 3 (server_name).
    """
    if len(hello) < 5 or len(hello) < 5 + int.from_bytes(hello[3:5]):  # noqa: PLR2004 -- the record's head
        return None if len(hello) < HELLO_MAX else ""
    try:
        return _server_name(hello)
    except IndexError:
        return ""


def _server_name(hello: bytes) -> str:
    if hello[5] != _CLIENT_HELLO:
        return ""
    at = 5 + 4 + 2 + 32  # record, handshake, version, random
    at += 1 + hello[at]  # session id
    at += 2 + int.from_bytes(hello[at : at + 2])  # cipher suites
    at += 1 + hello[at]  # compression
    at += 2  # length of the extensions
    while at + 4 <= len(hello):
        kind, size = int.from_bytes(hello[at : at + 2]), int.from_bytes(hello[at + 2 : at + 4])
        at += 4
        if kind == _SERVER_NAME:
            # A list with one entry: two bytes of length, its type, two bytes of length.
            return hello[at + 5 : at + size].decode("ascii", "replace")
        at += size
    return ""
