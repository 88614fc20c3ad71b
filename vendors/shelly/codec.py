"""Shelly Gen2+ over MQTT, WebSocket and HTTP: JSON-RPC frames and component statuses.

Shape, with `<P>` the device's topic prefix:

    <P>/online                 true, or false (the will); retained
    <P>/events/rpc             NotifyStatus, NotifyFullStatus, NotifyEvent
    <P>/status/<component>     a component's full status, if the device has `status_ntf`
    <reply_to>/<device>/rpc    replies to our questions, over MQTT
    ws/<device>                whatever its WebSocket said
    http/<device>              a reply over HTTP
    silent/<device>            ours: it answered nothing for a while

Source: shelly-api-docs.shelly.cloud/gen2 ComponentsAndServices/Mqtt, General/RPCProtocol,
General/Notifications; iobroker-community-adapters/ioBroker.shelly#970, #1592, #1594 for topics,
QoS and retain flags as captured.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from devices.errors import DecodeError
from devices.health import Reachability
from devices.reading import Provenance, Reading
from vendors.api import Decode, Fact, Frame
from vendors.shelly import cover, opener
from vendors.shelly.cover import Row
from vendors.shelly.opener import Opener

VENDOR: Final = "shelly"
#: A level of a topic that we take for a device's name.
NAME: Final = r"[A-Za-z0-9._-]{1,100}"
#: The component that is a door by itself. A second cover of a device is not modelled.
COVER: Final = "cover:0"

# A full status of a device with all its components is 4 kB; what is far longer is none.
_PAYLOAD_MAX: Final = 256 * 1024
_TOPIC_CHARS_MAX: Final = 512
_WORD_BYTES_MAX: Final = 40
_TOPICS_MAX: Final = 32_768
_NOTIFICATIONS: Final = {"NotifyStatus": False, "NotifyFullStatus": True}
_ONLINE: Final = {b"true": Reachability.ONLINE, b"false": Reachability.OFFLINE}
# Device time is believed between 2020 and 2100; a clock that was never set counts from 1970.
_TS_RANGE_S: Final = (1_577_836_800, 4_102_444_800)


class Route(NamedTuple):
    """What a source is: the device, and `online`, `events`, `status`, `reply` or `silent`."""

    device: str
    what: str
    component: str = ""


def router(prefix: str, reply_to: str, devices: Sequence[str] = ()) -> "Router":
    """Source to route, for devices below this prefix; None for what says nothing to us."""
    ours = frozenset(devices)
    topic = re.compile(
        rf"{re.escape(prefix)}({NAME})/(?:(online)|events/(rpc)|status/([a-z0-9_]+:[0-9]+))"
    )
    reply = re.compile(rf"{re.escape(reply_to)}/({NAME})/rpc")
    direct = re.compile(rf"(ws|http|silent)/({NAME})")

    def route(source: str) -> Route | None:
        found: Route | None = None
        if (it := reply.fullmatch(source)) is not None:
            found = Route(it[1], "reply")
        elif (it := topic.fullmatch(source)) is not None:
            if it[2] is not None:
                found = Route(it[1], "online")
            elif it[3] is not None:
                found = Route(it[1], "events")
            else:
                found = Route(it[1], "status", it[4])
        elif (it := direct.fullmatch(source)) is not None:
            found = Route(it[2], "silent" if it[1] == "silent" else "reply")
        return found if found is not None and (not ours or found.device in ours) else None

    return lru_cache(maxsize=_TOPICS_MAX)(route)


Router = Callable[[str], Route | None]


def decoder(route: Router, openers: Mapping[str, Opener]) -> Decode:
    """A decoder for these sources; `openers` are the devices whose relay presses a button."""

    def decode(frame: Frame) -> Sequence[Fact]:
        """Read one frame; a source we do not model yields nothing.

        Raises:
            DecodeError: what no device can have sent.
        """
        if len(frame.source) > _TOPIC_CHARS_MAX:
            raise DecodeError(VENDOR, f"topic of {len(frame.source)} characters")
        found = route(frame.source)
        if found is None:
            return ()
        device = found.device
        if found.what == "silent":
            return (Reading(device, "reachability", Reachability.OFFLINE, Provenance.POLL),)
        if found.what == "online":
            return _online(device, frame)
        said = _json(frame.payload)
        if found.what == "status":
            told = _Told({found.component: said}, full=False, whole=True)
        else:
            answer = _frame(said)
            if answer is None:
                return ()
            told = answer
        wiring = openers.get(device)
        # What a broker kept may be of any age, and so shows nobody alive.
        alive = () if frame.retained else (("reachability", Reachability.ONLINE, None),)
        provenance = Provenance.RETAINED if frame.retained else told.provenance
        return [
            Reading(device, axis, value, provenance, told.at_ms, reason)
            for axis, value, reason in (*alive, *_door(told, wiring))
        ]

    return decode


class _Told(NamedTuple):
    """Components, and what their absence means.

    `full`: a component that is absent does not exist. `whole`: a field that is absent is not so.
    """

    components: Mapping[str, Any]
    full: bool
    whole: bool
    provenance: Provenance = Provenance.REPORT
    at_ms: int | None = None


def _door(told: _Told, wiring: Opener | None) -> list[Row]:
    if wiring is not None:
        return opener.rows(wiring, told.components, full=told.full)
    if COVER not in told.components:
        return cover.missing() if told.full else []
    status = told.components[COVER]
    if not isinstance(status, Mapping):
        raise DecodeError(VENDOR, f"{COVER} is no object")
    return cover.rows(status, full=told.whole)


def _online(device: str, frame: Frame) -> Sequence[Fact]:
    """An empty payload is somebody who clears the topic on the broker: nobody said anything."""
    word = frame.payload
    if not word:
        return ()
    provenance = Provenance.RETAINED if frame.retained else Provenance.REPORT
    if word in _ONLINE:
        return (Reading(device, "reachability", _ONLINE[word], provenance),)
    if len(word) > _WORD_BYTES_MAX or not word.isascii() or not word.decode().isprintable():
        raise DecodeError(VENDOR, "online: no word")
    return (Reading(device, "reachability", None, provenance, None, cover.unmapped(word.decode())),)


def _json(payload: bytes) -> Mapping[str, Any]:
    if len(payload) > _PAYLOAD_MAX:
        raise DecodeError(VENDOR, f"{len(payload)} bytes are no frame")
    try:
        said = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise DecodeError(VENDOR, "not JSON") from None
    if not isinstance(said, dict):
        raise DecodeError(VENDOR, "no JSON object")
    return said


def _frame(said: Mapping[str, Any]) -> _Told | None:
    """The components that an RPC frame tells of; None of a refusal: it shows nothing of a door."""
    method = said.get("method")
    if isinstance(method, str):
        if method not in _NOTIFICATIONS:
            return _Told({}, full=False, whole=False)  # an event or a request: it lives
        params = said.get("params")
        if not isinstance(params, dict):
            raise DecodeError(VENDOR, f"{method} without params")
        full = _NOTIFICATIONS[method]
        return _Told(params, full, full, Provenance.REPORT, _ms(params.get("ts")))
    if "result" in said:
        result = said["result"]
        system = result.get("sys") if isinstance(result, dict) else None
        # Of all answers, only a whole status has a system component that counts its seconds.
        if isinstance(system, dict) and "uptime" in system:
            at_ms = _ms(system.get("unixtime"))
            return _Told(result, full=True, whole=True, provenance=Provenance.POLL, at_ms=at_ms)
        return _Told({}, full=False, whole=False)
    if isinstance(said.get("error"), dict):
        return None
    raise DecodeError(VENDOR, "neither a notification nor a reply")


def _ms(seconds: object) -> int | None:
    """Unix seconds of the device's clock in ms; None if it was never set."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    if not math.isfinite(seconds) or not _TS_RANGE_S[0] <= seconds < _TS_RANGE_S[1]:
        return None
    return round(seconds * 1_000)
