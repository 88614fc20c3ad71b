"""What a panel's packets say, as facts.

Source of a frame           what it holds                            what it becomes
`udp/<serial>`              any reply, or a pushed event             readings, happenings
`udp/<serial>/live`         a ring record of the last seconds        a happening, and its alarm
`udp/<serial>/buffered`     a ring record of an earlier time         a happening marked so
`udp/<serial>/lost/<n>-<m>` nothing: overwritten before it was read  `controller.events_lost`
`udp/<serial>/restarted/<n>-<n>` nothing: the ring was erased        `controller.events_lost`
`udp/<serial>/silent`       nothing: the panel did not answer        reachability

Occurrences come from the ring only (0xB0). A status and a pushed event repeat the newest record,
and anybody on the network can send one, so of those only the state is read.

Source: uhppoted-lib-python 740714f and uhppoted-lib-dotnet (reasons); uhppote-simulator fa99083;
uhppoted-app-home-assistant (a set relay bit is an unlocked door).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timezone
from functools import lru_cache, partial
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from devices.access_panel import (
    DenyReason,
    DoorAlarm,
    DoorMode,
    DoorPhysicalState,
    FaultState,
    LockPhysicalState,
)
from devices.errors import DecodeError
from devices.health import Reachability
from devices.reading import Happening, Provenance, Reading, Value
from vendors.api import Decode, Fact, Frame
from vendors.uhppote import packets

VENDOR: Final = "uhppote"
DOORS_MAX: Final = 4
Zone = timezone | ZoneInfo

_SOURCE: Final = re.compile(r"udp/([1-9][0-9]{0,9})(?:/([a-z]+)(?:/([0-9]{1,10})-([0-9]{1,10}))?)?")
_SOURCES_MAX: Final = 16_384
# About 2.5 kB each: the usual states of some hundred panels.
_STATES_MAX: Final = 4_096
_AT_OPEN: Final = 28
_AT_ERROR: Final = 36
_AT_EVENT_TIME: Final = slice(20, 27)
# A clock that reads whole seconds is up to one second behind for no fault of its own.
_SKEW_NONE_S: Final = 1


class Doors(NamedTuple):
    """What is wired to one panel: its doors, and those of them with a contact."""

    number: int = DOORS_MAX
    contacts: frozenset[int] = frozenset(range(1, DOORS_MAX + 1))


_ALL: Final = Doors()

#: Source: uhppote-simulator fa99083; 2 denies even valid cards (reason 11).
MODES: Final[Mapping[int, DoorMode]] = {
    packets.NORMALLY_OPEN: DoorMode.UNLOCKED,
    packets.NORMALLY_CLOSED: DoorMode.BLOCKED,
    packets.CONTROLLED: DoorMode.LOCKED,
}
_CONTACT: Final[Mapping[int, DoorPhysicalState]] = {
    0: DoorPhysicalState.CLOSED,
    1: DoorPhysicalState.OPEN,
}
#: Why records are gone.
_LOST: Final[Mapping[str, str]] = {"lost": "overwritten", "restarted": "ring_restarted"}
_DIRECTION: Final[Mapping[int, str]] = {1: "In", 2: "Out"}

# --- ring records, by their reason ------------------------------------------------------------

GRANTED: Final = frozenset({1, 2, 3})
#: Of a card, and (31 to 33) of the push button.
DENIED: Final[Mapping[int, DenyReason]] = {
    5: DenyReason.HOST_CONTROL,
    6: DenyReason.UNAUTHORIZED,
    7: DenyReason.INVALID_PIN,
    8: DenyReason.ANTI_PASSBACK,
    9: DenyReason.MORE_CARDS_REQUIRED,
    10: DenyReason.FIRST_CARD_REQUIRED,
    11: DenyReason.DOOR_BLOCKED,
    12: DenyReason.INTERLOCK,
    13: DenyReason.NOT_PERMITTED_AT_THIS_TIME,
    15: DenyReason.NOT_PERMITTED_AT_THIS_TIME,
    18: DenyReason.CREDENTIAL_NOT_FOUND,
    31: DenyReason.DOOR_BLOCKED,
    32: DenyReason.HOST_CONTROL,
    33: DenyReason.INTERLOCK,
}
_PLAIN: Final[Mapping[int, str]] = {
    20: "access.request_to_exit",
    23: "door.opened",
    24: "door.closed",
}
_UNLOCKED_BY: Final[Mapping[int, str]] = {25: "code", 44: "command", 45: "command"}
_STARTED: Final = frozenset({28, 29})
ALARMS: Final[Mapping[int, str]] = {
    34: "Threat",
    37: DoorAlarm.DOOR_OPEN_TOO_LONG.value,
    38: DoorAlarm.DOOR_FORCED_OPEN.value,
    39: "Fire",
    40: "ForcedClosed",
    41: "Tamper",
    42: "Zone24h",
    43: "Emergency",
}
#: Those that say what the door is in now, until it is seen closed.
_STANDING: Final = frozenset({37, 38})


def decoder(zone: Zone, doors: Mapping[int, Doors]) -> Decode:
    """A decoder for panels whose clocks run in `zone`; an unlisted one has four doors."""
    return partial(_decode, zone, doors)


def checked(packet: bytes) -> tuple[int, int]:
    """(function, serial) of a packet from a panel.

    Raises:
        DecodeError: not 64 bytes, or a start that no panel sends.
    """
    if len(packet) != packets.SIZE:
        raise DecodeError(VENDOR, f"{len(packet)} bytes, not {packets.SIZE}")
    start, function = packet[0], packet[1]
    if start != packets.START and (start != packets.START_662 or function != packets.STATUS):
        raise DecodeError(VENDOR, f"start 0x{start:02x} with function 0x{function:02x}")
    return function, packets.U32.unpack_from(packet, packets.AT_SERIAL)[0]


@lru_cache(maxsize=_SOURCES_MAX)
def _split(source: str) -> tuple[int, str, int, int] | None:
    found = _SOURCE.fullmatch(source)
    if found is None:
        return None
    return int(found[1]), found[2] or "", int(found[3] or 0), int(found[4] or 0)


class _From(NamedTuple):
    """What a reader is told beside the packet."""

    device: str
    what: str
    zone: Zone
    doors: Doors
    received_at_ms: int


def _decode(zone: Zone, doors: Mapping[int, Doors], frame: Frame) -> Sequence[Fact]:
    """Read one frame; a reply that tells no state yields nothing.

    Raises:
        DecodeError: no panel's packet, or not the packet of the panel that it came from.
    """
    found = _split(frame.source)
    if found is None:
        return ()
    serial, what, first, last = found
    device = str(serial)
    if what == "silent":
        return (Reading(device, "reachability", Reachability.OFFLINE, Provenance.POLL),)
    if what in _LOST:
        return (_lost(device, what, first, last),)
    function, said = checked(frame.payload)
    if said != serial:
        raise DecodeError(VENDOR, f"a packet of {said} from {serial}")
    if function not in packets.REPLIES:
        raise DecodeError(VENDOR, f"function 0x{function:02x}, which no panel answers")
    if (reader := _READERS.get(function)) is None:
        return ()
    wired = doors.get(serial, _ALL)
    return reader(_From(device, what, zone, wired, frame.received_at_ms), frame.payload)


def _status(of: _From, packet: bytes) -> Sequence[Fact]:
    contacts = packet[_AT_OPEN : _AT_OPEN + DOORS_MAX]
    return _states(of.device, contacts, packet[_AT_ERROR], packet[packets.AT_RELAYS], of.doors)


@lru_cache(maxsize=_STATES_MAX)
def _states(
    device: str, contacts: bytes, error: int, relays: int, doors: Doors
) -> tuple[Reading, ...]:
    """The same few states come again and again, once a second from every panel."""
    fault = FaultState.FAULT_DETECTED if error else FaultState.NOT_IN_FAULT
    readings = [
        Reading(device, "reachability", Reachability.ONLINE, Provenance.POLL),
        Reading(device, "fault", fault, Provenance.POLL),
    ]
    for number in range(1, doors.number + 1):
        relay = relays >> (number - 1) & 1
        state = LockPhysicalState.UNLOCKED if relay else LockPhysicalState.LOCKED
        readings.append(Reading(device, f"door.{number}.lock_state", state, Provenance.POLL))
        raw = contacts[number - 1]
        contact = _CONTACT.get(raw) if number in doors.contacts else None
        why = None
        if contact is None:
            why = f"unmapped:{raw}" if number in doors.contacts else "no_sensor"
        axis = f"door.{number}.physical_state"
        readings.append(Reading(device, axis, contact, Provenance.POLL, None, why))
        if contact is DoorPhysicalState.CLOSED:
            # Forced or held: either is over when the door is seen closed; no record says so.
            axis = f"door.{number}.alarm"
            readings.append(Reading(device, axis, DoorAlarm.NORMAL, Provenance.POLL))
    return tuple(readings)


def _mode(of: _From, packet: bytes) -> Sequence[Fact]:
    door, raw = packet[8], packet[9]
    if not 1 <= door <= of.doors.number:
        return ()
    mode = MODES.get(raw)
    why = f"unmapped:{raw}" if mode is None else None
    return (Reading(of.device, f"door.{door}.mode", mode, Provenance.POLL, None, why),)


def _skew(of: _From, packet: bytes) -> Sequence[Fact]:
    """How far the panel's clock is ahead of ours."""
    at_ms = unix_ms(packets.read_datetime(packet, 8), of.zone)
    if at_ms is None:
        return (Reading(of.device, "clock_skew_s", None, Provenance.POLL, None, "no_time"),)
    skew_s = round((at_ms + 500 - of.received_at_ms) / 1000)
    if abs(skew_s) <= _SKEW_NONE_S:
        skew_s = 0
    return (Reading(of.device, "clock_skew_s", skew_s, Provenance.POLL),)


def unix_ms(local: datetime | None, zone: Zone) -> int | None:
    """Unix ms of a panel's local time; None for the hour that its zone skips or lives twice."""
    if local is None:
        return None
    early = local.replace(tzinfo=zone)
    if early.utcoffset() != early.replace(fold=1).utcoffset():
        return None
    try:
        return round(early.astimezone(UTC).timestamp() * 1000)
    except OverflowError:  # the first or last day of the calendar, elsewhere
        return None


def vendor_key(packet: bytes) -> str:
    """A record's identity: its index and time, since a ring that was erased counts from 1 again."""
    index = packets.U32.unpack_from(packet, packets.AT_INDEX)[0]
    return f"{index}-{packet[_AT_EVENT_TIME].hex()}"


def _lost(device: str, what: str, first: int, last: int) -> Happening:
    """Records that nobody can read any more; how many went with an erased ring is unknown: 0."""
    count = max(0, last - first + 1) if what == "lost" else 0
    data: dict[str, Value] = {"count": count, "first": first, "last": last, "cause": _LOST[what]}
    return Happening(device, "controller.events_lost", data)


def _event(of: _From, packet: bytes) -> Sequence[Fact]:
    fields = packets.unpack(packets.REPLIES[packets.EVENT], packet)
    if not fields["index"] or fields["type"] == packets.OVERWRITTEN:
        return ()  # an empty place: beyond the newest, or overwritten
    door, code = fields["door"], fields["reason"]
    known = 1 <= door <= of.doors.number
    type_, data = _meaning(fields) if known or code in _STARTED else _unmapped(fields)
    at_ms = unix_ms(fields["at"], of.zone)
    key, buffered = vendor_key(packet), of.what == "buffered"
    happening = Happening(of.device, type_, data, at_ms, key, buffered)
    if of.what == "live" and known and code in _STANDING:
        axis = f"door.{door}.alarm"
        return Reading(of.device, axis, ALARMS[code], Provenance.EVENT, at_ms), happening
    return (happening,)


def _meaning(fields: Mapping[str, int]) -> tuple[str, Mapping[str, Value]]:
    """(type, data) of a record with a door; one that contradicts itself is `unmapped`."""
    code, door = fields["reason"], fields["door"]
    data: dict[str, Value] = {"code": code}
    if code in _STARTED:
        return "controller.power_on", data
    data["door"] = door
    if code in _PLAIN:
        return _PLAIN[code], data
    if code in ALARMS:
        return "door.alarm", data | {"alarm": ALARMS[code]}
    return _decision(fields, data) or _unmapped(fields, door)


def _decision(
    fields: Mapping[str, int], data: dict[str, Value]
) -> tuple[str, Mapping[str, Value]] | None:
    """What the panel decided about a card, a code, a button or a command of a host."""
    code, granted = fields["reason"], bool(fields["granted"])
    if fields["card"]:
        data["card"] = fields["card"]
    if code in _UNLOCKED_BY and granted:
        return "door.unlocked", data | {"source": _UNLOCKED_BY[code]}
    if (direction := _DIRECTION.get(fields["direction"])) is not None:
        data["direction"] = direction
    if code in GRANTED and granted:
        return "access.granted", data
    if code in DENIED and not granted:
        return "access.denied", data | {"reason": DENIED[code].value}
    return None


def _unmapped(
    fields: Mapping[str, int], door: int | None = None
) -> tuple[str, Mapping[str, Value]]:
    data: dict[str, Value] = {"code": fields["reason"]}
    if door is not None:
        data["door"] = door
    if fields["card"]:
        data["card"] = fields["card"]
    return "controller.unmapped", data


_READERS: Final[Mapping[int, Callable[[_From, bytes], Sequence[Fact]]]] = {
    packets.STATUS: _status,
    packets.EVENT: _event,
    packets.DOOR: _mode,
    packets.SET_DOOR: _mode,
    packets.TIME: _skew,
}
