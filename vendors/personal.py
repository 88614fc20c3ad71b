"""The seam between a vendor's binary frames and who must show them around without names.

A vendor whose frames are no text has a module `personal` in its folder with one function:

    def scrub(frame: bytes, stand_in: StandIn, *, of_device: bool) -> bytes | None

which gives the frame back with stand-ins in it, or None if it is not of this vendor. Text and JSON
need no such module: what is in them is told apart by its looks.
"""

from typing import Protocol


class StandIn(Protocol):
    """What replaces what names somebody; the same original always gets the same."""

    def number(self, value: int) -> int:
        """For a serial, a card or a code: as many digits, decimal and hexadecimal."""

    def address(self, dotted: str) -> str:
        """For an IPv4 address."""

    def mac(self, octets: bytes) -> bytes:
        """For the six bytes of a MAC address."""

    def filler(self, data: bytes) -> bytes:
        """For bytes of which nobody knows what they are."""
