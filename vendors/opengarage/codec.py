"""OpenGarage's dialect: one JSON document over HTTP (`/jc`) and MQTT (`OUT/JSON`), and words.

Shape: {"dist":cm,"sn2":?,"secv":0-2,"door":0-5,"vehicle":0-3,"rcnt":0-99,"fwv":124,"has_swrx":?,
    "light":?,"lock":?,"obstruct":?,"nopenings":?,"pemu":?,"name":"…","mac":"…","cid":…,"rssi":…,
    "cld":…,"clds":?,"temp":?,"humid":?}; the name is written without any escaping.
    `OUT/STATE` says OPEN, CLOSED or STOPPED; `OUT/STATUS` is online, or offline as the will.
Source: github.com/OpenGarage/OpenGarage-Firmware bebb181 (firmware 1.2.4), OpenGarage/main.cpp
    `sta_controller_fill_json`, `check_status`, `mqtt_connect_subscribe`; docs/docs/1.2.4/api.md.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from devices.closure import Light, MainState, Obstruction, Position, RemoteLockout, TargetPosition
from devices.errors import DecodeError
from devices.health import Reachability
from devices.reading import NO_SENSOR, Provenance, Reading, Value
from vendors.api import Decode, Fact, Frame
from vendors.opengarage.settings import OpenerSettings, OpenGarageSettings, Sensor

VENDOR: Final = "opengarage"
#: (axis, value, reason) of one fact.
Row = tuple[str, Value, str | None]

#: Added to a source by the adapter: the door was elsewhere so lately that a ceiling sensor's
#: `closed` is not to be believed yet.
SETTLING: Final = "/settling"
#: Likewise: it was not seen for so long that it may have been open meanwhile. Nobody knows then
#: where it is, so such a `closed` says nothing of its place.
UNSURE: Final = "/unsure"
#: Likewise: it says what another frame has just said better. Such a source is not modelled.
REDUNDANT: Final = "/redundant"

# With every field and a name of 32 letters it is below 400 bytes; the board reserves 2 KiB.
_BODY_MAX: Final = 4_096
_WORD_MAX: Final = 40
# The firmware's own limits: beyond them it looks no further, and says what it said before.
_DISTANCES: Final = range(1, 501)
CLOSED: Final = 0
_UNKNOWN: Final = 5
#: Before its name an opener writes numbers only, and behind its MAC address too, so the first
#: `name` and the last `mac` are its own, whatever a person wrote in between.
_NAME: Final = re.compile(rb'"name"\s*:\s*"')
_MAC: Final = re.compile(rb'"\s*,\s*("mac"\s*:\s*")')


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


#: `door` of an opener that hears its motor (Security+ 1.0 and 2.0).
DOOR: Final[Mapping[int, tuple[Row, ...]]] = {
    0: _door(MainState.STOPPED, Position.FULLY_CLOSED, TargetPosition.NONE),
    1: _door(MainState.STOPPED, Position.FULLY_OPENED, TargetPosition.NONE),
    2: _door(MainState.STOPPED, Position.PARTIALLY_OPENED, TargetPosition.NONE),
    3: _door(MainState.MOVING, Position.PARTIALLY_OPENED, TargetPosition.MOVE_TO_FULLY_CLOSED),
    4: _door(MainState.MOVING, Position.PARTIALLY_OPENED, TargetPosition.MOVE_TO_FULLY_OPEN),
    _UNKNOWN: _door(None, None, None, "no_report"),
}
#: `door` of one that only looks at it: what it cannot see, it has no sensor for.
SEEN: Final[Mapping[Sensor, Mapping[int, Position]]] = {
    Sensor.CEILING: {CLOSED: Position.FULLY_CLOSED, 1: Position.FULLY_OPENED},
    Sensor.SIDE: {CLOSED: Position.FULLY_CLOSED, 1: Position.NOT_FULLY_CLOSED},
    Sensor.SWITCH: {CLOSED: Position.FULLY_CLOSED, 1: Position.NOT_FULLY_CLOSED},
}
_UNSEEN: Final[tuple[Row, ...]] = (
    ("main_state", None, NO_SENSOR),
    ("target_position", None, NO_SENSOR),
)
FLAGS: Final[Mapping[str, tuple[str, Mapping[int, Value]]]] = {
    "light": ("light", {0: Light.OFF, 1: Light.ON}),
    "lock": ("remote_lockout", {0: RemoteLockout.UNLOCKED, 1: RemoteLockout.LOCKED}),
    "obstruct": ("obstruction", {0: Obstruction.CLEAR, 1: Obstruction.BLOCKED_BY_SENSOR}),
}
#: `OUT/STATE`, sent of a door at rest only; it does not say whether the motor is heard.
STATE: Final[Mapping[bytes, int]] = {b"CLOSED": CLOSED, b"OPEN": 1, b"STOPPED": 2}
#: How the text of `OUT/NOTIFY` ends when the door was open a look ago.
JUST_CLOSED: Final = b" just CLOSED!"
STATUS: Final[Mapping[bytes, Reachability]] = {
    b"online": Reachability.ONLINE,
    b"offline": Reachability.OFFLINE,
}


class Said(NamedTuple):
    """What the adapter must know of a document: see `glance`.

    `door` None: it is not to be believed, or says nothing of the door.
    """

    secv: int
    door: int | None


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a frame came from."""

    opener: OpenerSettings
    what: str
    mark: str = ""


def decoder(settings: OpenGarageSettings) -> Decode:
    """A decoder for the openers of a cell."""
    sources: dict[str, _Source] = {}
    for opener in settings.openers:
        for at, what in source_names(opener).items():
            for mark in ("", SETTLING, UNSURE):
                sources[at + mark] = _Source(opener, what, mark)

    def decode(frame: Frame) -> Sequence[Fact]:
        """Read one frame; a source we do not model yields nothing.

        Raises:
            DecodeError: bytes that no firmware of this board can have sent.
        """
        source, payload, _, retained, _ = frame
        found = sources.get(source)
        if found is None:
            return ()
        device = found.opener.device
        live = Provenance.POLL if source.startswith("http/") else Provenance.REPORT
        provenance = Provenance.RETAINED if retained else live
        rows: Sequence[Row]
        match found.what:
            case "json":
                rows = _document(found, payload)
                if not retained:
                    rows = _reached(rows)
            case "STATE":
                rows = _word(found, payload)
            case "STATUS":
                rows = _status(payload)
            case _:
                rows = (("reachability", Reachability.OFFLINE, None),)
        return [Reading(device, axis, value, provenance, None, why) for axis, value, why in rows]

    return decode


def source_names(opener: OpenerSettings) -> Mapping[str, str]:
    """The sources of an opener's frames, and what each is."""
    if opener.topic is None:
        at = f"http/{opener.device}"
        return {f"{at}/jc": "json", f"{at}/silent": "silent"}
    at = f"{opener.topic}/OUT"
    return {
        f"{at}/JSON": "json",
        f"{at}/STATE": "STATE",
        f"{at}/STATUS": "STATUS",
        f"mqtt/{opener.device}/silent": "silent",
    }


def document(payload: bytes) -> Mapping[str, Any]:
    """The fields of a document, without the name: that may break the JSON, or add to it.

    Raises:
        DecodeError: it is none of an opener's.
    """
    if len(payload) > _BODY_MAX:
        raise DecodeError(VENDOR, f"json: {len(payload)} bytes")
    name = _NAME.search(payload)
    if name is None:
        fields = _object(payload)
    else:
        mac = None
        for mac in _MAC.finditer(payload, name.end()):  # noqa: B007 -- the last one
            pass
        if mac is None:
            raise DecodeError(VENDOR, "json: a name, and no MAC address behind it")
        head = _object(payload[: name.start()].rstrip().removesuffix(b",") + b"}")
        tail = _object(b"{" + payload[mac.start(1) :])
        if head.keys() & tail.keys():
            raise DecodeError(VENDOR, "json: a field on both sides of the name")
        fields = head | tail
    if "result" in fields:
        code = fields["result"] if _is_number(fields["result"]) else "?"
        raise DecodeError(VENDOR, f"json: result {code} instead of a state")
    if not isinstance(fields.get("mac"), str) or not _is_number(fields.get("fwv")):
        raise DecodeError(VENDOR, "json: no opener's state: mac or fwv is missing")
    return fields


def glance(payload: bytes, opener: OpenerSettings) -> Said | None:
    """What the adapter remembers of a document between frames; None if it is none of its own."""
    try:
        fields = document(payload)
        secv, door = _number(fields, "secv") or 0, _number(fields, "door")
        believed = _disbelief(fields, opener.sensor) is None
    except DecodeError:
        return None
    if _of_another(fields, opener):
        return None
    places = DOOR.keys() - {_UNKNOWN} if secv else SEEN[opener.sensor].keys()
    return Said(secv, door if believed and door in places else None)


def _of_another(fields: Mapping[str, Any], opener: OpenerSettings) -> bool:
    """Whether another opener answers at this one's address."""
    return opener.mac is not None and fields["mac"].upper() != opener.mac.upper()


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise DecodeError(VENDOR, "json: it cannot be read") from None
    if not isinstance(found, dict):
        raise DecodeError(VENDOR, "json: not an object")
    return found


def _number(fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if value is not None and not _is_number(value):
        raise DecodeError(VENDOR, f"json: {name} is no whole number")
    return value


def _disbelief(fields: Mapping[str, Any], sensor: Sensor) -> str | None:
    """Why `door` is not to be believed, whatever it says; None if it is."""
    distance = _number(fields, "dist")
    if _number(fields, "door") is None or distance is None:
        return "no_report"
    if sensor is not Sensor.SWITCH and distance not in _DISTANCES:
        # The firmware leaves its cycle before it looks at the door, with Security+ too.
        return "no_echo"
    return None


def _document(source: _Source, payload: bytes) -> list[Row]:
    fields = document(payload)
    if _of_another(fields, source.opener):
        return [
            *_door(None, None, None, "other_device"),
            ("reachability", Reachability.OFFLINE, None),
        ]
    secv, door = _number(fields, "secv") or 0, _number(fields, "door")
    why = _disbelief(fields, source.opener.sensor)
    rows = [*(_heard(door, why) if secv else _looked_at(source, door, why))]
    unheard = door == _UNKNOWN or (secv and door is None)
    for name, (axis, values) in FLAGS.items():
        value = _number(fields, name)
        if value is None:
            continue
        if unheard:
            rows.append((axis, None, "no_report"))  # 0 until the motor was heard once
        elif value in values:
            rows.append((axis, values[value], None))
        else:
            rows.append((axis, None, _unmapped(value)))
    return rows


def _unmapped(value: object) -> str:
    return f"unmapped:{str(value)[:20]}"


def _heard(door: int | None, why: str | None) -> tuple[Row, ...]:
    if why is not None:
        return _door(None, None, None, why)
    assert door is not None
    return DOOR.get(door) or _door(None, None, None, _unmapped(door))


def _looked_at(source: _Source, door: int | None, why: str | None) -> tuple[Row, ...]:
    """Without Security+ it is the sensor's word alone."""
    return (*_place(source, door, why), *_UNSEEN)


def _place(source: _Source, door: int | None, why: str | None) -> tuple[Row, ...]:
    """The sensor sees one place only."""
    position: Position | None = None
    if why is None:
        assert door is not None
        position = SEEN[source.opener.sensor].get(door)
        if position is None:
            # 2 to 4 need an ear; 5 is a board that has not looked yet.
            why = {_UNKNOWN: "boot"}.get(door, "contradictory" if door in DOOR else _unmapped(door))
        elif door == CLOSED and source.mark and source.opener.sensor is Sensor.CEILING:
            if source.mark == UNSURE:
                return ()
            position = Position.PARTIALLY_OPENED
    return (("position", position, why),)


def _reached(rows: Sequence[Row]) -> Sequence[Row]:
    if any(axis == "reachability" for axis, _, _ in rows):
        return rows
    return [("reachability", Reachability.ONLINE, None), *rows]


def _text(what: str, payload: bytes) -> str:
    text = payload.decode("ascii", "replace")
    if len(payload) > _WORD_MAX or not text.isascii() or not text.isprintable():
        raise DecodeError(VENDOR, f"{what}: {len(payload)} bytes that are no word")
    return text


def _word(source: _Source, payload: bytes) -> Sequence[Row]:
    """The place only: whether the motor is heard, and so whether it rests, is not said."""
    door = STATE.get(payload)
    if door is None:
        return (("position", None, _unmapped(_text("STATE", payload))),) if payload else ()
    if door in SEEN[source.opener.sensor]:
        return _place(source, door, None)
    return (("position", Position.PARTIALLY_OPENED, None),)


def _status(payload: bytes) -> Sequence[Row]:
    """An empty payload is somebody who clears what the broker kept."""
    reachability = STATUS.get(payload)
    if reachability is not None:
        return (("reachability", reachability, None),)
    return (("reachability", None, _unmapped(_text("STATUS", payload))),) if payload else ()
