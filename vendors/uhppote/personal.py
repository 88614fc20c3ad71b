"""What of a panel's packets is somebody's: serials, cards, codes, and addresses of a network."""

from typing import Any, Final

from vendors.personal import StandIn
from vendors.uhppote.packets import (
    AT_SERIAL,
    REPLIES,
    REQUESTS,
    SIZE,
    START,
    START_662,
    U32,
    Type,
    raw6,
    u24,
    u32,
)
from vendors.uhppote.packets import ipv4 as address

_HEAD: Final = 8
_NUMBERS: Final = ("card", "pin", "code1", "code2", "code3", "code4")
_ADDRESSES: Final = ("host", "gateway")
# No card: nothing there, and a slot that was deleted. Source: uhppote-simulator fa99083.
_NOBODYS: Final = (0, 0xFFFF_FFFF)


def scrub(frame: bytes, stand_in: StandIn, *, of_device: bool) -> bytes | None:
    """A packet with stand-ins; None for what does not begin like one.

    A packet of a function that is in no table, or of another length, keeps its head and loses the
    rest: nobody knows what stands there.
    """
    if len(frame) < _HEAD or frame[0] not in (START, START_662):
        return None
    layout = (REPLIES if of_device else REQUESTS).get(frame[1])
    made = bytearray(frame)
    (serial,) = U32.unpack_from(frame, AT_SERIAL)
    U32.pack_into(made, AT_SERIAL, stand_in.number(serial))
    if layout is None or len(frame) != SIZE:
        made[_HEAD:] = stand_in.filler(frame[_HEAD:])
        return bytes(made)
    for name, (at, type_) in layout.items():
        found = _stand_in(name, type_, type_.read(frame, at), stand_in)
        if found is not None:
            written = type_.write(found)
            made[at : at + len(written)] = written
    return bytes(made)


def _stand_in(name: str, type_: Type, value: Any, stand_in: StandIn) -> Any:  # noqa: ANN401 -- as the table reads
    if name in _NUMBERS and type_ in (u32, u24) and value not in _NOBODYS:
        return stand_in.number(value)
    if name in _ADDRESSES and type_ is address:
        return stand_in.address(value)
    if name == "mac" and type_ is raw6:
        return stand_in.mac(value)
    return None
