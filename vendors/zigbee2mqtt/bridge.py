"""What the bridge says about itself: which devices are locks, and what it could not do; pure.

Source: Koenkk/zigbee2mqtt 6835cbf `lib/extension/{bridge,publish}.ts`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from devices.command import Reason
from vendors.zigbee2mqtt import codec

_IEEE: Final = re.compile(r"0x[0-9a-f]{16}")
# Zigbee addresses are 16 bits: a network has no more devices than that.
_DEVICES_MAX: Final = 65_536
# A failure line quotes the command, and is no longer than a few of them.
_LINE_CHARS_MAX: Final = 4_096
_FAILED: Final = re.compile(
    r"Publish '(set|get)' '([a-z_]{1,40})' to '(.{1,256}?)' failed: '(.*)", re.DOTALL
)
_NO_CONVERTER: Final = re.compile(r"No converter available for '([a-z_]{1,40})' on '(.{1,256}?)'")
_ZCL_STATUS: Final = re.compile(r"Status '([A-Z_]{1,40})'")
#: A PIN wherever a document has one; also in a torn one.
_CODE: Final = re.compile(
    rb'("(?:pin_code|pincode|pincodevalue|code)"\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|[0-9]+)'
)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock of the network. `device` is its id on our bus: the address, which no rename moves."""

    device: str
    name: str
    has_pins: bool


class Failure(NamedTuple):
    """The bridge could not do what it was asked. `refusal` None: the lock may have done it."""

    verb: str
    key: str
    name: str
    refusal: str | None


def locks(payload: bytes) -> Mapping[str, Lock] | None:
    """The locks in `bridge/devices` by friendly name; None if it is no such list.

    A lock is what exposes one. What its owner disabled, or what was never interviewed to the
    end, is not heard by the bridge and not taken.
    """
    try:
        listed = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(listed, list):
        return None
    found: dict[str, Lock] = {}
    for each in listed[:_DEVICES_MAX]:
        if not isinstance(each, dict) or each.get("disabled") is True:
            continue
        name, ieee, definition = (
            each.get(k) for k in ("friendly_name", "ieee_address", "definition")
        )
        exposes = definition.get("exposes") if isinstance(definition, dict) else None
        if (
            isinstance(name, str)
            and isinstance(ieee, str)
            and _IEEE.fullmatch(ieee)
            and isinstance(exposes, list)
            and any(_is_lock(expose) for expose in exposes)
        ):
            has_pins = any(isinstance(e, dict) and e.get("name") == "pin_code" for e in exposes)
            found[name] = Lock(ieee, name, has_pins)
    return found


def _is_lock(expose: Any) -> bool:  # noqa: ANN401 -- somebody's JSON
    """A lock whose `state` is the device's own; with two bolts they are `state_left` and so on."""
    if not isinstance(expose, dict) or expose.get("type") != "lock":
        return False
    features = expose.get("features")
    return isinstance(features, list) and any(
        isinstance(feature, dict) and feature.get("property") == "state" for feature in features
    )


def failure(payload: bytes) -> Failure | None:
    """What a line of `bridge/logging` says of a failure. Never kept: it may quote a PIN."""
    try:
        line = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    message = line.get("message") if isinstance(line, dict) else None
    if not isinstance(message, str) or len(message) > _LINE_CHARS_MAX:
        return None
    if (found := _FAILED.match(message)) is not None:
        return Failure(found[1], found[2], found[3], _refusal(found[4]))
    if (found := _NO_CONVERTER.match(message)) is not None:
        return Failure("set", found[1], found[2], Reason.UNSUPPORTED)
    return None


def _refusal(error: str) -> str | None:
    """Why nothing happened, if that is certain.

    A time-out is no refusal: bolts moved all the same (Koenkk/zigbee2mqtt#2541, #3018).
    """
    if (status := _ZCL_STATUS.search(error)) is not None:
        return str(Reason.NOT_AUTHORIZED if status[1] == "NOT_AUTHORIZED" else "") or (
            f"vendor:{status[1].lower()}"
        )
    if "must be in range" in error or "must be numbers" in error or "must be a number" in error:
        return Reason.INVALID_ARGUMENT
    if "not allowed, choose between" in error or "has no command" in error:
        return Reason.UNSUPPORTED
    return None


def without_codes(payload: bytes) -> bytes:
    """The payload with every PIN blotted out: with `expose_pin` the bridge tells them."""
    return _CODE.sub(rb'\1"***"', payload) if b"code" in payload else payload


def link(payload: bytes) -> bool | None:
    """Whether the bridge says that it is there; None if it says neither."""
    word = codec.link_word(payload)
    return None if word is None else word == "online"
