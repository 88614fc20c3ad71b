"""Lets a TCP connection end by RST instead of FIN."""

import socket
import struct
from asyncio.trsock import TransportSocket
from typing import Final

#: Linger, for no time.
_NO_LINGER: Final = struct.pack("ii", 1, 0)


def reset_at_close(made: socket.socket | TransportSocket) -> None:
    """Whoever closes this socket throws away what is under way, and says RST."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
