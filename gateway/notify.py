"""A word to systemd: ready, alive, stopping. Source: sd_notify(3)."""

import contextlib
import os
import socket
from typing import Final

VARIABLE: Final = "NOTIFY_SOCKET"
_PATIENCE_S: Final = 0.1


def notify(state: str) -> bool:
    """Send `READY=1`, `WATCHDOG=1`, `STATUS=…`; False if nobody wants to know, or reads."""
    address = os.environ.get(VARIABLE, "")
    if not address:
        return False
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out,
        contextlib.suppress(OSError),
    ):
        # A manager that does not read may not stop us: the queue is a few datagrams long.
        out.settimeout(_PATIENCE_S)
        out.connect(address)  # else it counts as writable while full, and the wait is a spin
        out.send(state.encode())
        return True
    return False
