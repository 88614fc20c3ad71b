"""Where one MQTT packet ends, told from its fixed header alone; pure.

The codec says `IndexError` both for "wait for more" and for "inner lengths lie"; only the
fixed header tells which. So we cut exactly one packet out of the stream first, and
whatever the codec then dislikes is malformed, never merely late.
Source: MQTT 5.0 (OASIS, 2019-03-07), sections 2.1 and 1.5.5.
"""

from typing import Final

from mqtt5 import DisconnectReasonCode

CONNACK: Final = 0x20
PUBACK: Final = 0x40

# 2.1.4: the largest remaining length, and the fixed header before it.
PACKET_BYTES_MAX: Final = 268_435_455 + 5

# 2.1.4: four bytes of length at most, seven bits each.
_HEADER_MAX = 5

# First bytes that a broker may send to a client that never asks for QoS 2 (2.1.2, 2.1.3).
# 0x3D is a QoS 2 repeat, and so on: 0x34, 0x35, 0x3C and 0x3D are legal MQTT, but not ours.
_FIRST: Final = frozenset({CONNACK})
_LATER: Final = frozenset({0x30, 0x31, 0x32, 0x33, 0x3A, 0x3B, PUBACK, 0x90, 0xB0, 0xD0, 0xE0})


def _flags(allowed: frozenset[int]) -> bytes:
    return bytes(head in allowed for head in range(256))


#: Indexed by a packet's first byte: may it open the conversation?
OPENING: Final = _flags(_FIRST)
#: Indexed by a packet's first byte: may it come after CONNACK?
OPEN: Final = _flags(_LATER)


class LinkError(Exception):
    """Why a link ended, in words for people; `permanent` if only a person can heal it."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent


class PeerError(LinkError):
    """The peer broke the protocol: say DISCONNECT with `code`."""

    def __init__(self, code: DisconnectReasonCode, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason, permanent=permanent)
        self.code = code


def packet_end(data: bytes, start: int, packet_max_bytes: int) -> int:
    """Index behind the packet that starts at `start`.

    Returns:
        Beyond `len(data)` if the packet is not all there yet; `len(data) + 1` if not even
        its fixed header is.

    Raises:
        PeerError: the length is no variable byte integer (0x81), or above the limit (0x95).
    """
    size = len(data)
    length = shift = 0
    at = start + 1
    while True:
        if at >= size:
            return size + 1
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 -- the continuation bit, 1.5.5
            break
        if at - start >= _HEADER_MAX:
            raise PeerError(
                DisconnectReasonCode.MALFORMED_PACKET, "malformed packet: endless length"
            )
        shift += 7
    end = at + length
    if end - start > packet_max_bytes:
        raise PeerError(
            DisconnectReasonCode.PACKET_TOO_LARGE,
            f"packet of {end - start} bytes, {packet_max_bytes} allowed",
        )
    return end
