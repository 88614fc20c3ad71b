"""What a garage unit's signed messages say of its doors.

A door has one sensor, a contact of its shut place: `open` 0 is shut, 1 is everything else. Nothing
tells whether it moves, how far it is open, or what is in its way.
Source: krahabb/meross_lan `emulator_traces` (111c5e9) of a msg100 with 3.2.7 and 4.2.1 and of a
msg200 with 4.2.8; envelopes of arandall/meross (755c45b).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from devices.closure import MainState, Position
from devices.errors import DecodeError
from devices.health import Reachability
from devices.reading import NO_SENSOR, Provenance, Reading, Value
from vendors.api import Fact, Frame
from vendors.meross import envelope as envelopes
from vendors.meross.envelope import ANSWERS, SPEECH, Envelope

VENDOR: Final = "meross"
STATE: Final = "Appliance.GarageDoor.State"
ALL: Final = "Appliance.System.All"
BIND: Final = "Appliance.Control.Bind"

#: Answers to HTTP questions, and the adapter's own word that a device answers no more.
_LAN: Final = re.compile(r"http/([0-9A-Za-z_]{1,64})/config")
_SILENT: Final = re.compile(r"meross/([0-9A-Za-z_]{1,64}(?:-[0-9]{1,2})?)/silent")
# A msg200 has channels 1 to 3.
_CHANNEL_MAX: Final = 16
# Boards without NTP drift by 15 s (meross_lan#586) or live in 1970 after a reboot (its msg100
# trace): a clock this near to ours may tell when something was seen, any other may not.
_CLOCK_MS: Final = 5_000
# A push may have waited for us on the broker, for as long as our session is kept there. By a clock
# that is this far off nobody can tell, so that it shows what once was; an answer is as old as its
# question at most, whatever its clock says.
_AGE_MS: Final = 30_000

#: `open`: position and motion with their reasons. A shut door rests; of one that is not shut
#: nobody knows whether it does.
Row = tuple[Position | None, MainState | None, str | None]
CONTACT: Final[Mapping[int, Row]] = {
    0: (Position.FULLY_CLOSED, MainState.STOPPED, None),
    1: (Position.NOT_FULLY_CLOSED, None, NO_SENSOR),
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a cell was told of its devices.

    Attributes:
        key: of the account; None if no sign is checked.
        doors: channels of each device by uuid; empty if every device is listened to.
    """

    key: str | None = None
    doors: Mapping[str, frozenset[int]] = field(default_factory=dict)


def door_name(uuid: str, channel: int) -> str:
    """A door's id on our bus: a msg100 has one, channel 0; those of a msg200 are numbered."""
    return f"{uuid}-{channel}" if channel else uuid


def door_of(device: str) -> tuple[str, int]:
    """The unit and channel of a door's id."""
    uuid, _, channel = device.partition("-")
    return uuid, int(channel) if channel.isdigit() else 0


def decoder(dialect: Dialect) -> Callable[[Frame], Sequence[Fact]]:
    """The decoder of a cell."""

    def decode(frame: Frame) -> Sequence[Fact]:
        """Read one frame; a topic or namespace we do not model yields nothing.

        Raises:
            DecodeError: no message, one that was not signed with our key, or one of a door that
                the device does not have.
        """
        source = frame.source if len(frame.source) <= 256 else ""  # noqa: PLR2004 -- a topic of theirs
        if (silent := _SILENT.fullmatch(source)) is not None:
            return (Reading(silent[1], "reachability", Reachability.OFFLINE, Provenance.REPORT),)
        speaker = SPEECH.fullmatch(source) or _LAN.fullmatch(source)
        if speaker is None and ANSWERS.fullmatch(source) is None:
            return ()
        if speaker is not None and dialect.doors and speaker[1] not in dialect.doors:
            return ()  # of somebody else on the same broker, with a key of his own
        envelope = _believed(frame, dialect)
        uuid = speaker[1] if speaker is not None else envelope.uuid
        if uuid is None:
            raise DecodeError(VENDOR, "an answer that names no device")
        if envelope.uuid not in (None, uuid):
            raise DecodeError(VENDOR, "a message of another device than its topic's")
        if dialect.doors and uuid not in dialect.doors:
            return ()
        return _facts(uuid, envelope, frame, dialect.doors.get(uuid))

    return decode


def _believed(frame: Frame, dialect: Dialect) -> Envelope:
    try:
        envelope = envelopes.read(frame.payload)
    except ValueError as error:
        raise DecodeError(VENDOR, str(error)) from error
    if dialect.key is not None and not envelopes.genuine(envelope, dialect.key):
        raise DecodeError(VENDOR, "not signed with our key")
    return envelope


def entries(envelope: Envelope) -> Sequence[Mapping[str, Any]]:
    """What a message says of each door; empty if it speaks of something else.

    A SETACK is left out: it repeats the state *before* the command, whatever was asked for.

    Raises:
        DecodeError: its doors cannot be told apart.
    """
    said: Any = None
    match envelope.namespace, envelope.method:
        case (namespace, "GETACK" | "PUSH") if namespace == STATE:
            # One door comes as an object or as a list, by firmware (meross_lan#462).
            said = envelope.payload.get("state")
            if isinstance(said, dict):
                said = [said] if said else []
        case (namespace, "GETACK") if namespace == ALL:
            said = envelope.payload.get("all", {})
            # Old plugs have no digest; they have no doors either.
            digest = said.get("digest", {}) if isinstance(said, dict) else None
            if not isinstance(digest, dict):
                raise DecodeError(VENDOR, "System.All without its content")
            said = digest.get("garageDoor", [])
        case _:
            return ()
    if not isinstance(said, list) or not all(isinstance(each, dict) for each in said):
        raise DecodeError(VENDOR, "doors: neither an object nor a list of them")
    return said


def channel_of(entry: Mapping[str, Any]) -> int:
    """The door that an entry is of.

    Raises:
        DecodeError: of none.
    """
    channel = entry.get("channel")
    if type(channel) is not int or not 0 <= channel <= _CHANNEL_MAX:
        raise DecodeError(VENDOR, "a door without a channel")
    return channel


def _facts(
    uuid: str, envelope: Envelope, frame: Frame, doors: frozenset[int] | None
) -> Sequence[Fact]:
    off_ms = _off_ms(envelope, frame.received_at_ms)
    provenance = _provenance(envelope, frame, off_ms)
    rows: dict[int, Row] = {}
    for entry in entries(envelope):
        channel = channel_of(entry)
        row = _row(entry)
        if doors is not None and channel not in doors:
            if entry.get("doorEnable") == 0:
                continue  # a place for a door, and no door
            # A msg200 that says channel 0 means one of its doors, and nobody knows which
            # (meross_lan#498).
            raise DecodeError(VENDOR, f"channel {channel}, which this device does not have")
        if rows.setdefault(channel, row) != row:
            rows[channel] = (None, None, "contradictory")
    observed_ms = None
    if off_ms is not None and abs(off_ms) <= _CLOCK_MS:
        observed_ms = frame.received_at_ms + off_ms
    facts: list[Fact] = []
    for channel, (position, main_state, reason) in rows.items():
        door = door_name(uuid, channel)
        told: tuple[tuple[str, Value, str | None], ...] = (
            ("position", position, None if position else reason),
            ("main_state", main_state, None if main_state else reason),
            ("reachability", Reachability.ONLINE, None),
        )
        facts += [
            Reading(door, axis, value, provenance, observed_ms, why) for axis, value, why in told
        ]
    return facts


def _row(entry: Mapping[str, Any]) -> Row:
    """One door. `true` is not 1: no firmware is known that says it."""
    if entry.get("doorEnable") == 0:
        return (None, None, "disabled")
    said = entry.get("open")
    if type(said) is int and said in CONTACT:
        return CONTACT[said]
    if said is None:
        return (None, None, "no_report")
    raw = str(said)[:20] if isinstance(said, str | int | float) else type(said).__name__
    return (None, None, f"unmapped:{raw}")


def _off_ms(envelope: Envelope, received_ms: int) -> int | None:
    """How far the message's time is from ours; None if it has none."""
    if envelope.at_s is None:
        return None
    return envelope.at_s * 1_000 + envelope.at_ms - received_ms


def _provenance(envelope: Envelope, frame: Frame, off_ms: int | None) -> Provenance:
    if frame.retained:
        return Provenance.RETAINED
    if envelope.is_answer:
        return Provenance.POLL
    lately = off_ms is not None and abs(off_ms) <= _AGE_MS
    return Provenance.REPORT if lately else Provenance.CACHED
