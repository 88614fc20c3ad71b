"""Somebody who connects with the client id of a device, as a copied sketch does."""

import contextlib
import selectors
import socket
from typing import TYPE_CHECKING, Final

from vendors.wire import mqtt311 as mqtt

if TYPE_CHECKING:
    from fleet_sim.wire.switchboard import Switchboard

_CHUNK: Final = 4_096


class Rival:
    """One client id's other user: it says CONNECT, nothing more, and stays until it is put out."""

    def __init__(self, board: "Switchboard", client_id: str) -> None:
        self._board = board
        self._hello = mqtt.encode(
            mqtt.Connect(client_id=client_id, clean_session=True, keep_alive_s=0)
        )
        self._socket: socket.socket | None = None
        self._said = False

    def open(self) -> None:
        """Connect, unless it is so already; the machine may have no socket for it."""
        if self._socket is not None:
            return
        with contextlib.suppress(OSError):
            made, address = self._board.dial()
            made.connect_ex(address)
            self._socket, self._said = made, False
            self._board.watch(made, self)
            self._board.turn(made, self, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def ready(self, events: int) -> None:
        """Its socket can be written to, or is gone; what the broker says it does not care for."""
        made = self._socket
        if made is None:
            return
        try:
            if events & selectors.EVENT_WRITE and not self._said:
                made.sendall(self._hello)
                self._said = True
                self._board.turn(made, self, selectors.EVENT_READ)
            if events & selectors.EVENT_READ and not made.recv(_CHUNK):
                self.close()
        except BlockingIOError:
            pass  # another time
        except OSError:
            self.close()

    def close(self) -> None:
        """Go without a word."""
        if self._socket is not None:
            self._board.forget(self._socket)
            self._socket.close()
            self._socket = None
