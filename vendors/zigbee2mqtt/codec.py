"""Zigbee2MQTT's locks: one JSON document per lock, in which the bridge's cache is merged.

The bridge says `zigbee2mqtt/<friendly name>` with everything that it remembers, whatever it has
just heard: a battery report carries last week's bolt along. Only who has seen the message before
knows what is new in this one, and that is the adapter (`news`). It hands a document over as

    lock/<ieee address>/state?bolt=report&battery=cached

which names the parts that say something, and how they reached us. Of a part that is not named
nothing is read. `*` stands for every part that is not named.

Source: Koenkk/zigbee2mqtt 6835cbf (2.12.1) `lib/{controller,state,mqtt}.ts`,
`lib/extension/{publish,availability,bridge}.ts`; zigbee-herdsman-converters 26.112.0, run:
`tests/interop/zigbee_herdsman_converters`.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import orjson

from devices.errors import DecodeError
from devices.health import PowerLevel, Reachability
from devices.lock import CredentialStatus, DoorState, LockState
from devices.reading import Provenance, Reading, Value
from vendors.api import Fact, Frame
from vendors.zigbee2mqtt import actions

VENDOR: Final = "zigbee2mqtt"
#: (axis, value, reason) of one fact.
Row = tuple[str, Value, str | None]

_SOURCE: Final = re.compile(
    r"lock/(0x[0-9a-f]{16})/(state|availability|bridge|silent)(?:\?([a-z0-9_.*=&]*))?"
)
# The longest names every one of 250 slots; a longer one is nobody's.
_SOURCE_CHARS_MAX: Final = 8_192
_SOURCES_MAX: Final = 4_096
# A lock with 250 slots in its document stays below 20 KB.
_DOCUMENT_BYTES_MAX: Final = 65_536
_RAW_CHARS_MAX: Final = 40
_PERCENT_MAX: Final = 100
#: Slots that a credential's part can have; 0 is the master's in most locks.
_SLOT: Final = re.compile(r"[1-9][0-9]{0,2}")
#: How a part reached us. `doubt`: the bridge remembers another value than we do, and nobody knows
#: whose is the older one.
HOW: Final[Mapping[str, Provenance]] = {
    "report": Provenance.REPORT,
    "poll": Provenance.POLL,
    "cached": Provenance.CACHED,
    "doubt": Provenance.CACHED,
}
_LIVE: Final = frozenset({"report", "poll"})

#: `state`: whether the bolt is out as far as it goes, and no more. Two spellings: Yale's C4 models
#: say LOCKED and UNLOCKED against what they announce (zigbee-herdsman-converters `yale.ts`).
STATE: Final[Mapping[str, bool]] = {
    "LOCK": True,
    "LOCKED": True,
    "UNLOCK": False,
    "UNLOCKED": False,
}
LOCK_STATE: Final[Mapping[str, LockState]] = {
    "locked": LockState.LOCKED,
    "unlocked": LockState.UNLOCKED,
    "not_fully_locked": LockState.NOT_FULLY_LOCKED,
}
DOOR_STATE: Final[Mapping[str, DoorState]] = {
    "open": DoorState.DOOR_OPEN,
    "closed": DoorState.DOOR_CLOSED,
    "error_jammed": DoorState.DOOR_JAMMED,
    "error_forced_open": DoorState.DOOR_FORCED_OPEN,
    "error_unspecified": DoorState.DOOR_UNSPECIFIED_ERROR,
}
USER_STATUS: Final[Mapping[str, CredentialStatus]] = {
    "available": CredentialStatus.AVAILABLE,
    "enabled": CredentialStatus.OCCUPIED_ENABLED,
    "disabled": CredentialStatus.OCCUPIED_DISABLED,
}
LINK: Final[Mapping[str, Reachability]] = {
    "online": Reachability.ONLINE,
    "offline": Reachability.OFFLINE,
}
#: What changes with every message, whoever sent it.
NO_NEWS: Final = frozenset({"elapsed", "last_seen", "linkquality"})


@lru_cache(maxsize=_SOURCES_MAX)
def split(source: str) -> tuple[str, str, Mapping[str, str]] | None:
    """(device, what, part to how) of a source; None for any other."""
    found = _SOURCE.fullmatch(source) if len(source) <= _SOURCE_CHARS_MAX else None
    if found is None:
        return None
    told = [pair.split("=") for pair in (found[3] or "").split("&") if pair]
    if any(len(pair) != 2 or pair[1] not in HOW for pair in told):  # noqa: PLR2004 -- a pair
        return None
    return found[1], found[2], dict(told)


def decode(frame: Frame) -> Sequence[Fact]:
    """Read one frame; a source that we do not model yields nothing.

    Raises:
        DecodeError: what no bridge can have said.
    """
    source, payload, _, retained, _ = frame
    if source.startswith("bridge/"):
        return _bridge(source, payload)
    if (found := split(source)) is None:
        return ()
    device, what, how = found
    provenance = Provenance.RETAINED if retained else Provenance.REPORT
    if what == "silent":
        return (Reading(device, "reachability", Reachability.OFFLINE, Provenance.POLL),)
    if what == "state":
        return _state(device, document(payload), how, retained=retained)
    word = link_word(payload)
    if word is None:
        raise DecodeError(VENDOR, f"{what}: neither online nor offline")
    if what == "bridge" and word == "online":
        # It is there again; whether its locks are is not known before they say something.
        return (Reading(device, "reachability", None, provenance, None, "bridge_started"),)
    return (Reading(device, "reachability", LINK[word], provenance),)


def document(payload: bytes) -> dict[str, Any]:
    """A lock's document.

    Raises:
        DecodeError: it is none; the reason never quotes it, for it may hold a code.
    """
    if len(payload) > _DOCUMENT_BYTES_MAX:
        raise DecodeError(VENDOR, f"state: more than {_DOCUMENT_BYTES_MAX} bytes")
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise DecodeError(VENDOR, "state: not JSON") from None
    if not isinstance(found, dict):
        raise DecodeError(VENDOR, "state: not a JSON object")
    return found


def link_word(payload: bytes) -> str | None:
    """`online` or `offline`, as JSON or (before 2.0) bare; None if it is neither."""
    if payload in {b"online", b"offline"}:
        return payload.decode()
    if len(payload) > _DOCUMENT_BYTES_MAX:
        return None
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    word = found.get("state") if isinstance(found, dict) else None
    return word if isinstance(word, str) and word in LINK else None


def _bridge(source: str, payload: bytes) -> Sequence[Fact]:
    """The adapter hands over what it could not read, so that it is kept; nothing else."""
    if source == "bridge/state" and link_word(payload) is None:
        raise DecodeError(VENDOR, "bridge/state: neither online nor offline")
    if source == "bridge/devices":
        try:
            found = orjson.loads(payload)
        except orjson.JSONDecodeError:
            raise DecodeError(VENDOR, "bridge/devices: not JSON") from None
        if not isinstance(found, list):
            raise DecodeError(VENDOR, "bridge/devices: not a list")
    return ()


def _state(
    device: str, told: Mapping[str, Any], how: Mapping[str, str], *, retained: bool
) -> Sequence[Fact]:
    """What the named parts of a document say, and what took place."""
    facts: list[Fact] = []
    # The bridge never remembers an action; one that a broker kept is no news either.
    action = None if retained or how.get("*") in {"cached", "doubt"} else actions.read(device, told)
    alive = action is not None
    for part, rows in parts(told).items():
        came = "report" if retained else how.get(part, how.get("*"))
        if came is None:
            continue
        alive = alive or (came in _LIVE and not retained)
        provenance = Provenance.RETAINED if retained else HOW[came]
        for axis, value, reason in rows:
            doubted = came == "doubt" and value is not None
            facts.append(
                Reading(device, axis, None, provenance, None, "contradictory")
                if doubted
                else Reading(device, axis, value, provenance, None, reason)
            )
    if action is not None:
        if actions.contradicts(told, bolt(told)[1]):
            # Somebody turned it, and the bolt is said to be where it was: G8, or late. An event
            # is no state, so it is not known where the bolt is until that is said.
            facts = [fact for fact in facts if not is_bolt(fact)]
            facts.append(
                Reading(device, "lock_state", None, Provenance.EVENT, None, "contradictory")
            )
        facts.append(action)
    if alive:
        facts.append(Reading(device, "reachability", Reachability.ONLINE, provenance_of(retained)))
    return facts


def provenance_of(retained: bool) -> Provenance:  # noqa: FBT001 -- the flag of the frame
    """Of what the frame says as a whole."""
    return Provenance.RETAINED if retained else Provenance.REPORT


def is_bolt(fact: Fact) -> bool:
    """Whether it is a reading of the bolt."""
    return isinstance(fact, Reading) and fact.axis == "lock_state"


def parts(told: Mapping[str, Any]) -> Mapping[str, tuple[Row, ...]]:
    """Each part that a document has, with what it says: `bolt`, `users.3` and the like."""
    found: dict[str, tuple[Row, ...]] = {}
    if "state" in told or "lock_state" in told:
        found["bolt"] = (bolt(told),)
    if "door_state" in told:
        found["door_state"] = (_mapped("door_state", told["door_state"], DOOR_STATE),)
    if "battery" in told:
        found["battery"] = (_battery(told["battery"]),)
    if "battery_low" in told:
        found["battery_low"] = (_battery_low(told["battery_low"]),)
    users = told.get("users")
    for slot, user in users.items() if isinstance(users, dict) else ():
        if _SLOT.fullmatch(slot):
            status = user.get("status") if isinstance(user, dict) else None
            found[f"users.{slot}"] = (_mapped(f"credential.{slot}.status", status, USER_STATUS),)
    return found


def bolt(told: Mapping[str, Any]) -> Row:
    """Where the bolt is: two keys that must agree. `UNLOCK` alone says only "not locked".

    The converter makes `UNLOCK` of everything that is not 1: of 0 (half thrown), of null (not
    known), of 2. Only `lock_state` tells them apart, and is left out with null.
    """
    state, lock_state = told.get("state"), told.get("lock_state")
    place = LOCK_STATE.get(lock_state) if isinstance(lock_state, str) else None
    out = STATE.get(state) if isinstance(state, str) else None
    reason = None
    if state is not None and out is None:
        place, reason = None, f"unmapped:{_raw(state)}"
    elif lock_state is not None and place is None:
        reason = f"unmapped:{_raw(lock_state)}"
    elif "lock_state" not in told:
        place = LockState.LOCKED if out else None
        reason = "no_report" if out is None else "no_lock_state"
    elif lock_state is None or ("state" in told and state is None):
        place, reason = None, "no_report"
    elif out is not None and out != (place is LockState.LOCKED):
        place, reason = None, "contradictory"
    return ("lock_state", place, reason if place is None else None)


def _battery(raw: object) -> Row:
    """Percent; whole numbers on our bus."""
    if raw is None:
        return ("battery_pct", None, "no_report")
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw <= _PERCENT_MAX:
        return ("battery_pct", None, f"unmapped:{_raw(raw)}")
    return ("battery_pct", round(raw), None)


def _battery_low(raw: object) -> Row:
    if raw is None:
        return ("power_level", None, "no_report")
    if not isinstance(raw, bool):
        return ("power_level", None, f"unmapped:{_raw(raw)}")
    return ("power_level", PowerLevel.WARNING if raw else PowerLevel.OK, None)


def _mapped(axis: str, raw: object, table: Mapping[str, Value]) -> Row:
    if raw is None:
        return (axis, None, "no_report")
    value = table.get(raw) if isinstance(raw, str) else None
    return (axis, value, None if value is not None else f"unmapped:{_raw(raw)}")


def _raw(raw: object) -> str:
    """An unmapped value for a reason; digits alone may be somebody's code."""
    if isinstance(raw, str):
        return "number" if raw.isdigit() else raw[:_RAW_CHARS_MAX]
    return type(raw).__name__
