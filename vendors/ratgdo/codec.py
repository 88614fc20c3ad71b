"""ratgdo's MQTT dialect: plain text under `<prefix><device>/status/<what>`.

Shape: the prefix and the device's name are glued together without a separator, so
`home/garage/` gives `home/garage/Left/status/door` and `/home/garage` gives
`/home/garageLeft/status/door`. Every status is published retained, at QoS 0.
Source: github.com/ratgdo/mqtt-ratgdo a8e213a (firmware 2.58), src/ratgdo.h, src/ratgdo.cpp.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from devices.closure import Light, MainState, Obstruction, Position, RemoteLockout, TargetPosition
from devices.errors import DecodeError
from devices.health import Reachability
from devices.reading import Happening, Provenance, Reading, Value
from vendors.api import Decode, Fact, Frame

#: (axis, value, reason) of one fact.
Row = tuple[str, Value, str | None]

VENDOR: Final = "ratgdo"
STATUS: Final = "/status/"
COMMAND: Final = "/command/"

# PubSubClient's packet buffer on the board is 768 B: a longer topic comes from something else.
_TOPIC_CHARS_MAX: Final = 768
# The longest word that any status has is `obstructed`; what is four times as long is no word.
_WORD_BYTES_MAX: Final = 40
# Five topics a device for the first 6,500 devices; beyond that a topic is taken apart again.
_TOPICS_MAX: Final = 32_768

_RESTING: Final = TargetPosition.NONE


def _door(
    main_state: MainState | None,
    position: Position | None,
    target: TargetPosition | None,
    reason: str | None = None,
) -> tuple[Row, ...]:
    return (
        ("main_state", main_state, reason),
        ("position", position, reason),
        ("target_position", target, reason),
    )


#: `stopped` is also reported of a closed door (home-assistant/core#104667) and at the end of an
#: interrupted `closing`. It is read as partly open both times: a door that is called open
#: although it is shut harms nobody, and the other way round does.
#: `syncing` is the opener booting, not the door moving.
DOOR: Final[Mapping[bytes, tuple[Row, ...]]] = {
    b"open": _door(MainState.STOPPED, Position.FULLY_OPENED, _RESTING),
    b"closed": _door(MainState.STOPPED, Position.FULLY_CLOSED, _RESTING),
    b"stopped": _door(MainState.STOPPED, Position.PARTIALLY_OPENED, _RESTING),
    b"opening": _door(
        MainState.MOVING, Position.PARTIALLY_OPENED, TargetPosition.MOVE_TO_FULLY_OPEN
    ),
    b"closing": _door(
        MainState.MOVING, Position.PARTIALLY_OPENED, TargetPosition.MOVE_TO_FULLY_CLOSED
    ),
    b"unknown": _door(None, None, None, "no_report"),
    b"syncing": _door(None, None, None, "boot"),
}


def _axis(name: str, words: Mapping[bytes, Value]) -> Mapping[bytes, tuple[Row, ...]]:
    return {
        word: ((name, value, None if value is not None else "no_report"),)
        for word, value in words.items()
    }


#: What follows `status/`, and what its words mean.
TABLES: Final[Mapping[str, Mapping[bytes, tuple[Row, ...]]]] = {
    "door": DOOR,
    "availability": _axis(
        "reachability", {b"online": Reachability.ONLINE, b"offline": Reachability.OFFLINE}
    ),
    "light": _axis("light", {b"off": Light.OFF, b"on": Light.ON, b"unknown": None}),
    "lock": _axis(
        "remote_lockout",
        {b"unlocked": RemoteLockout.UNLOCKED, b"locked": RemoteLockout.LOCKED, b"unknown": None},
    ),
    "obstruction": _axis(
        "obstruction",
        {
            b"obstructed": Obstruction.BLOCKED_BY_SENSOR,
            b"clear": Obstruction.CLEAR,
            b"unknown": None,
        },
    ),
    # `clear` exists in the firmware's table and is never sent; it would be no occurrence.
    "motion": {b"detected": (), b"clear": ()},
}
_AXES: Final[Mapping[str, tuple[str, ...]]] = {
    what: tuple(dict.fromkeys(axis for rows in table.values() for axis, _, _ in rows))
    for what, table in TABLES.items()
}


def split(prefix: str, topic: str) -> tuple[str, str] | None:
    """(device, what) of a status topic under this prefix; None for any other topic."""
    if not topic.startswith(prefix):
        return None
    device, found, what = topic[len(prefix) :].partition(STATUS)
    if not (device and found) or "/" in device or what not in TABLES:
        return None
    return device, what


def decoder(prefix: str) -> Decode:
    """A decoder for the boards whose topics begin with this prefix."""
    route = lru_cache(maxsize=_TOPICS_MAX)(lambda topic: split(prefix, topic))

    def decode(frame: Frame) -> Sequence[Fact]:
        """Read one frame; a topic we do not model yields nothing.

        Raises:
            DecodeError: bytes that no firmware of this board can have sent.
        """
        topic, payload, _, retained, _ = frame
        if len(topic) > _TOPIC_CHARS_MAX:
            raise DecodeError(VENDOR, f"topic of {len(topic)} characters")
        found = route(topic)
        if found is None:
            return ()
        device, what = found
        rows = TABLES[what].get(payload)
        if rows is None:
            rows = _unmapped(what, payload)
        elif what == "motion":
            # `clear` never follows, so what a broker kept of it is of any age: no news.
            if retained or payload != b"detected":
                return ()
            return (Happening(device, "motion.detected", {}),)
        provenance = Provenance.RETAINED if retained else Provenance.REPORT
        return [Reading(device, axis, value, provenance, None, why) for axis, value, why in rows]

    return decode


def _unmapped(what: str, payload: bytes) -> tuple[Row, ...]:
    """Unknown words are unknown values; what is no word at all is refused.

    An empty payload is somebody who clears a retained topic on the broker: the board said nothing.
    """
    if not payload:
        return ()
    if len(payload) > _WORD_BYTES_MAX:
        raise DecodeError(VENDOR, f"{what}: {len(payload)} bytes are no word")
    try:
        word = payload.decode()
    except UnicodeDecodeError:
        raise DecodeError(VENDOR, f"{what}: not UTF-8") from None
    if not word.isprintable():
        raise DecodeError(VENDOR, f"{what}: control characters")
    return tuple((axis, None, f"unmapped:{word}") for axis in _AXES[what])
