"""Finds whom a datagram is for."""

from collections.abc import Iterable
from typing import Final

from fleet_sim.unit import Unit

# The serial stands in bytes 4 to 7 of every UHPPOTE datagram.
_SERIAL_END: Final = 8


class SharedSocket:
    """Finds whom a datagram is for: any number of serials share a socket."""

    def __init__(self, units: Iterable[Unit]) -> None:
        self._by_serial = {unit.device.serial: unit for unit in units if unit.device.serial}

    def arrived(self, payload: bytes, address: tuple[str, int]) -> None:
        """A datagram from the host: for the serial that it names, or for all (serial 0)."""
        if len(payload) < _SERIAL_END:
            return  # no serial in it
        serial = int.from_bytes(payload[4:_SERIAL_END], "little")
        one = self._by_serial.get(serial)
        for unit in [one] if one else (self._by_serial.values() if serial == 0 else ()):
            unit.answer = address
            unit.received(payload)
