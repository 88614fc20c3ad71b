"""The 64-byte packets of UHPPOTE panels, as one table read by codec, adapter and simulator.

Shape: `17 <function> 00 00 <serial u32>` and the fields below, zero padded to 64 bytes, in both
directions; numbers little-endian, dates and times BCD in the panel's local time without zone.
A request and its reply share the function code. Firmware 6.62 starts pushed events with 0x19.

Source: uhppoted/uhppoted-lib-python 740714f (`encode.py`, `decode.py`), which reads and writes
real panels; uhppoted/uhppote-simulator fa99083 for what a panel does with them.
"""

import struct
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any, Final, NamedTuple

SIZE: Final = 64
START: Final = 0x17
#: Pushed events of firmware 6.62 only. Source: uhppoted-lib-python 740714f `codec.py` SOM_v6_62.
START_662: Final = 0x19
#: Word that destructive requests must carry. Source: uhppoted-lib-python 740714f `encode.py`.
MAGIC: Final = 0x55AAAA55

# Function codes. Source: uhppoted-lib-python 740714f `codec.py`.
STATUS: Final = 0x20  #: also the function of a pushed event
SET_TIME: Final = 0x30
TIME: Final = 0x32
OPEN_DOOR: Final = 0x40
PUT_CARD: Final = 0x50
DELETE_CARD: Final = 0x52
DELETE_CARDS: Final = 0x54
CARD_COUNT: Final = 0x58
CARD: Final = 0x5A
CARD_AT: Final = 0x5C
SET_DOOR: Final = 0x80
DOOR: Final = 0x82
SET_ANTI_PASSBACK: Final = 0x84
ANTI_PASSBACK: Final = 0x86
SET_PROFILE: Final = 0x88
CLEAR_PROFILES: Final = 0x8A
SET_PASSCODES: Final = 0x8C
SPECIAL_EVENTS: Final = 0x8E
SET_LISTENER: Final = 0x90
LISTENER: Final = 0x92
CONTROLLER: Final = 0x94
SET_ADDRESS: Final = 0x96
PROFILE: Final = 0x98
PC_CONTROL: Final = 0xA0
SET_INTERLOCK: Final = 0xA2
KEYPADS: Final = 0xA4
CLEAR_TASKS: Final = 0xA6
ADD_TASK: Final = 0xA8
SET_FIRST_CARD: Final = 0xAA
REFRESH_TASKS: Final = 0xAC
EVENT: Final = 0xB0
SET_EVENT_INDEX: Final = 0xB2
EVENT_INDEX: Final = 0xB4
FACTORY_RESET: Final = 0xC8

#: Event indices that are not indices. Source: uhppote-simulator fa99083 `eventslist.go`.
OLDEST: Final = 0
NEWEST: Final = 0xFFFF_FFFF
#: Event type of a record that the ring has overwritten.
OVERWRITTEN: Final = 0xFF

#: Door control modes. Source: uhppote-simulator fa99083 `set_door_control_state.go`.
NORMALLY_OPEN: Final = 1
NORMALLY_CLOSED: Final = 2
CONTROLLED: Final = 3

#: Offsets of the hot fields of a status or event packet, read without the table.
AT_SERIAL: Final = 4
AT_INDEX: Final = 8
AT_TYPE: Final = 12
AT_RELAYS: Final = 49
AT_INPUTS: Final = 50
U32: Final = struct.Struct("<I")

#: Byte to its two decimal digits, -1 where a nibble is none.
BCD: Final = tuple(
    (byte >> 4) * 10 + (byte & 15) if max(byte >> 4, byte & 15) <= 9 else -1  # noqa: PLR2004 -- a decimal digit
    for byte in range(256)
)
_DIGITS: Final = bytes(BCD.index(value) for value in range(100))


def read_datetime(packet: bytes, at: int) -> datetime | None:
    """BCD `yyyymmddHHMMSS`; None where no clock could have said that."""
    century, year, month, day, hour, minute, second = (BCD[byte] for byte in packet[at : at + 7])
    try:
        return datetime(century * 100 + year, month, day, hour, minute, second)  # noqa: DTZ001 -- the panel knows no zone
    except ValueError:
        return None


def read_date(packet: bytes, at: int) -> date | None:
    """BCD `yyyymmdd`; None if it is no date."""
    century, year, month, day = (BCD[byte] for byte in packet[at : at + 4])
    try:
        return date(century * 100 + year, month, day)
    except ValueError:
        return None


def _read_short_date(packet: bytes, at: int) -> date | None:
    try:
        return date(2000 + BCD[packet[at]], BCD[packet[at + 1]], BCD[packet[at + 2]])
    except ValueError:
        return None


def _read_time(packet: bytes, at: int) -> time | None:
    try:
        return time(BCD[packet[at]], BCD[packet[at + 1]], BCD[packet[at + 2]])
    except ValueError:
        return None


def _read_hhmm(packet: bytes, at: int) -> time | None:
    try:
        return time(BCD[packet[at]], BCD[packet[at + 1]])
    except ValueError:
        return None


def _read_ipv4(packet: bytes, at: int) -> str:
    return ".".join(map(str, packet[at : at + 4]))


def write_datetime(moment: datetime | None) -> bytes:
    """Seven BCD bytes; zeros for None."""
    if moment is None:
        return bytes(7)
    return _write_date(moment) + bytes(
        _DIGITS[part] for part in (moment.hour, moment.minute, moment.second)
    )


def _write_date(day: date | None) -> bytes:
    if day is None:
        return bytes(4)
    parts = (day.year // 100, day.year % 100, day.month, day.day)
    return bytes(_DIGITS[part] for part in parts)


def _write_short_date(day: date | None) -> bytes:
    return _write_date(day)[1:]


def _write_time(moment: time | None) -> bytes:
    if moment is None:
        return bytes(3)
    return bytes(_DIGITS[part] for part in (moment.hour, moment.minute, moment.second))


def _write_hhmm(moment: time | None) -> bytes:
    return _write_time(moment)[:2]


class Type(NamedTuple):
    """How a field is read out of a packet, and the bytes that it becomes."""

    read: Callable[[bytes, int], Any]
    write: Callable[[Any], bytes]


u8: Final = Type(lambda packet, at: packet[at], lambda value: bytes((value,)))
u16: Final = Type(
    lambda packet, at: packet[at] | packet[at + 1] << 8, lambda value: value.to_bytes(2, "little")
)
u24: Final = Type(
    lambda packet, at: int.from_bytes(packet[at : at + 3], "little"),
    lambda value: value.to_bytes(3, "little"),
)
u32: Final = Type(lambda packet, at: U32.unpack_from(packet, at)[0], U32.pack)
flag: Final = Type(lambda packet, at: packet[at] == 1, lambda value: bytes((bool(value),)))
raw6: Final = Type(lambda packet, at: bytes(packet[at : at + 6]), bytes)
raw2: Final = Type(lambda packet, at: bytes(packet[at : at + 2]), bytes)
ipv4: Final = Type(_read_ipv4, lambda text: bytes(map(int, text.split("."))))
day8: Final = Type(read_date, _write_date)
day6: Final = Type(_read_short_date, _write_short_date)
clock: Final = Type(_read_time, _write_time)
hhmm: Final = Type(_read_hhmm, _write_hhmm)
moment: Final = Type(read_datetime, write_datetime)

#: Field name to (offset, type).
Layout = Mapping[str, tuple[int, Type]]


def _row(at: int, type_: Type, step: int, *names: str) -> dict[str, tuple[int, Type]]:
    return {name: (at + step * place, type_) for place, name in enumerate(names)}


_OK: Final[Layout] = {"ok": (8, flag)}
_MAGIC: Final[Layout] = {"magic": (8, u32)}
_DAYS: Final = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
_DOOR: Final[Layout] = {"door": (8, u8), "mode": (9, u8), "delay_s": (10, u8)}
_CARD: Final[Layout] = {
    "card": (8, u32),
    "from": (12, day8),
    "to": (16, day8),
    **_row(20, u8, 1, "door1", "door2", "door3", "door4"),
    "pin": (24, u24),
    "first_card": (27, u8),
}
_EVENT: Final[Layout] = {
    "index": (AT_INDEX, u32),
    "type": (AT_TYPE, u8),
    "granted": (13, flag),
    "door": (14, u8),
    "direction": (15, u8),
    "card": (16, u32),
    "at": (20, moment),
    "reason": (27, u8),
}
_PROFILE: Final[Layout] = {
    "profile": (8, u8),
    "from": (9, day8),
    "to": (13, day8),
    **_row(17, flag, 1, *_DAYS),
    **_row(24, hhmm, 2, "start1", "end1", "start2", "end2", "start3", "end3"),
    "linked": (36, u8),
}
_LISTENER: Final[Layout] = {"host": (8, ipv4), "port": (12, u16), "interval_s": (14, u8)}

REQUESTS: Final[Mapping[int, Layout]] = {
    STATUS: {},
    SET_TIME: {"at": (8, moment)},
    TIME: {},
    OPEN_DOOR: {"door": (8, u8)},
    PUT_CARD: _CARD,
    DELETE_CARD: {"card": (8, u32)},
    DELETE_CARDS: _MAGIC,
    CARD_COUNT: {},
    CARD: {"card": (8, u32)},
    CARD_AT: {"index": (8, u32)},
    SET_DOOR: _DOOR,
    DOOR: {"door": (8, u8)},
    SET_ANTI_PASSBACK: {"rule": (8, u8)},
    ANTI_PASSBACK: {},
    SET_PROFILE: _PROFILE,
    CLEAR_PROFILES: _MAGIC,
    SET_PASSCODES: {"door": (8, u8), **_row(12, u32, 4, "code1", "code2", "code3", "code4")},
    SPECIAL_EVENTS: {"enabled": (8, flag)},
    SET_LISTENER: _LISTENER,
    LISTENER: {},
    CONTROLLER: {},
    SET_ADDRESS: {**_row(8, ipv4, 4, "host", "mask", "gateway"), "magic": (20, u32)},
    PROFILE: {"profile": (8, u8)},
    PC_CONTROL: {"magic": (8, u32), "enabled": (12, flag)},
    SET_INTERLOCK: {"rule": (8, u8)},
    KEYPADS: _row(8, flag, 1, "reader1", "reader2", "reader3", "reader4"),
    CLEAR_TASKS: _MAGIC,
    ADD_TASK: {
        "from": (8, day8),
        "to": (12, day8),
        **_row(16, flag, 1, *_DAYS),
        "start": (23, hhmm),
        "door": (25, u8),
        "task": (26, u8),
        "more_cards": (27, u8),
    },
    SET_FIRST_CARD: {
        "door": (8, u8),
        "start": (9, hhmm),
        "active": (11, u8),
        "end": (12, hhmm),
        "inactive": (14, u8),
        **_row(15, flag, 1, *_DAYS),
    },
    REFRESH_TASKS: _MAGIC,
    EVENT: {"index": (8, u32)},
    SET_EVENT_INDEX: {"index": (8, u32), "magic": (12, u32)},
    EVENT_INDEX: {},
    FACTORY_RESET: _MAGIC,
}

#: `SET_ADDRESS` has no reply: the panel restarts on its new address.
REPLIES: Final[Mapping[int, Layout]] = {
    STATUS: {
        **_EVENT,
        **_row(28, flag, 1, "open1", "open2", "open3", "open4"),
        **_row(32, flag, 1, "button1", "button2", "button3", "button4"),
        "error": (36, u8),
        "time": (37, clock),
        "sequence": (40, u32),
        "special": (48, u8),
        "relays": (AT_RELAYS, u8),
        "inputs": (AT_INPUTS, u8),
        "date": (51, day6),
    },
    SET_TIME: {"at": (8, moment)},
    TIME: {"at": (8, moment)},
    OPEN_DOOR: _OK,
    PUT_CARD: _OK,
    DELETE_CARD: _OK,
    DELETE_CARDS: _OK,
    CARD_COUNT: {"count": (8, u32)},
    CARD: _CARD,
    CARD_AT: _CARD,
    SET_DOOR: _DOOR,
    DOOR: _DOOR,
    SET_ANTI_PASSBACK: _OK,
    ANTI_PASSBACK: {"rule": (8, u8)},
    SET_PROFILE: _OK,
    CLEAR_PROFILES: _OK,
    SET_PASSCODES: _OK,
    SPECIAL_EVENTS: _OK,
    SET_LISTENER: _OK,
    LISTENER: _LISTENER,
    CONTROLLER: {
        **_row(8, ipv4, 4, "host", "mask", "gateway"),
        "mac": (20, raw6),
        "version": (26, raw2),
        "released": (28, day8),
    },
    PROFILE: _PROFILE,
    PC_CONTROL: _OK,
    SET_INTERLOCK: _OK,
    KEYPADS: _OK,
    CLEAR_TASKS: _OK,
    ADD_TASK: _OK,
    SET_FIRST_CARD: _OK,
    REFRESH_TASKS: _OK,
    EVENT: _EVENT,
    SET_EVENT_INDEX: _OK,
    EVENT_INDEX: {"index": (8, u32)},
    FACTORY_RESET: _OK,
}


def pack(
    function: int,
    serial: int,
    layout: Layout,
    values: Mapping[str, Any],
    *,
    start: int = START,
) -> bytes:
    """One packet; fields that `values` leaves out are zero."""
    packet = bytearray(SIZE)
    packet[0] = start
    packet[1] = function
    U32.pack_into(packet, AT_SERIAL, serial)
    for name, value in values.items():
        at, type_ = layout[name]
        written = type_.write(value)
        packet[at : at + len(written)] = written
    return bytes(packet)


def request(function: int, serial: int, **values: object) -> bytes:
    """What a host sends; keyword names are those of `REQUESTS`."""
    return pack(function, serial, REQUESTS[function], values)


def unpack(layout: Layout, packet: bytes) -> dict[str, Any]:
    """The fields of a packet of 64 bytes; what is no date or time is None."""
    return {name: type_.read(packet, at) for name, (at, type_) in layout.items()}
