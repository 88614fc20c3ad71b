"""Who did something when, as a recording shows it; pure.

    frames ──► sightings: (vendor, device, when, did something move?) ──► deeds

A deed is what begins after a while of quiet at a device: a door that opens, stops and closes within
a minute was used once. Batteries, signal strengths and a device's first report of itself are no
deeds. The same measure is taken of simulated devices, so that it does not matter what it is.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson

from fleet_sim.recording import lines
from gateway.app import ROOT

#: A device that was quiet for so long is used anew by what comes next.
QUIET_MS: Final = 60_000
#: Axes that change though nobody touches the device.
_AXES: Final = frozenset(
    {
        "reachability",
        "power_level",
        "battery_pct",
        "charging",
        "keypad_power_level",
        "door_sensor_power_level",
        "clock_skew_s",
    }
)
_HAPPENINGS: Final = frozenset(
    {"gap", "command.finished", "controller.power_on", "controller.events_lost"}
)
#: Words of vendors' topics and keys whose values change by themselves.
_BY_ITSELF: Final = re.compile(
    r"(?i)battery|voltage|current$|power|energy|temperature|rssi|signal|linkquality|lqi|uptime|time"
    r"|stamp|^ts$|last_?seen|seen|heap|ram|free|connected|availab|online|firmware|version|minute"
    r"|messageid|sign$|^id$|sequence|status/light"
)
_EVENT_LEVELS: Final = 7


class Sighting(NamedTuple):
    """A device that said something; `moved` if somebody or something used it."""

    vendor: str
    device: str
    at_ms: float
    moved: bool


#: Where a vendor's topics name the device. Source: the codecs of the vendors.
_DEVICES: Final[Mapping[str, re.Pattern[str]]] = {
    "meross": re.compile(r"/appliance/([^/]+)/publish"),
    "nuki": re.compile(r"nuki/([^/]+)/(?!lockAction$|(?:un)?lock$)[^/]+"),
    "opengarage": re.compile(r"([^/]+)/OUT/[^/]+"),
    "ratgdo": re.compile(r"(.+)/status/(?:door|obstruction|motion|lock|light)"),
    "shelly": re.compile(r"([^/]+)/(?:status/(?:cover|switch|input):\d+|events/rpc)"),
    "zigbee2mqtt": re.compile(r"zigbee2mqtt/((?!bridge(?:/|$))[^/]+)"),
    "zwave_js": re.compile(r"zwave/(?!_)(.+?)/(?:98|113|102|128)/.+(?<!/set)"),
}


def sightings(records: Iterable[Mapping[str, Any]]) -> Iterator[Sighting]:
    """What the records of a recording show of devices, in their order."""
    began_ms = 0.0
    seen = _Seen()
    for record in records:
        if isinstance(record.get("began_at_ms"), int):
            began_ms = record["began_at_ms"]
        topic, at_ms = record.get("topic"), record.get("at_ms")
        if record.get("transport") != lines.MQTT or not isinstance(topic, str):
            continue
        try:
            payload = lines.payload_of(dict(record))
        except lines.Mistake:
            continue
        moment = began_ms + (at_ms if isinstance(at_ms, int | float) else 0)
        kept = record.get("retained") is True or record.get("stored") is True
        if topic.startswith(ROOT + "/"):
            found = _northbound(topic, payload, moment)
        else:
            found = seen.vendor(topic, payload, moment, kept=kept)
        if found is not None:
            yield found


def deeds(seen: Iterable[Sighting], quiet_ms: float = QUIET_MS) -> Iterator[Sighting]:
    """The first sighting of each deed, in the order of the sightings."""
    last_ms: dict[tuple[str, str], float] = {}
    for each in seen:
        if not each.moved:
            continue
        device = each.vendor, each.device
        before_ms = last_ms.get(device, float("-inf"))
        last_ms[device] = each.at_ms
        if each.at_ms - before_ms >= quiet_ms:
            yield each


def journal_sightings(journal: Iterable[Mapping[str, Any]]) -> Iterator[Sighting]:
    """The same of a run's journal: what really happened, whoever was told of it."""
    for line in journal:
        vendor, _, device = line["device"].partition("/")
        keys = [key for key, _, _ in line.get("truths", ())]
        moved = any(_axis(key) not in _AXES | _HAPPENINGS for key in keys)
        # What a device says of itself when it connects is no use of it.
        yield Sighting(vendor, device, line["at"], moved and line["did"] != "connected")


def _axis(key: str) -> str:
    return key if key in _HAPPENINGS else key.rpartition(".")[2]


def _northbound(topic: str, payload: bytes, received_ms: float) -> Sighting | None:
    levels = topic.split("/")
    if len(levels) != _EVENT_LEVELS or levels[5] != "event":
        return None
    try:
        event = orjson.loads(payload)
        data, kind = event["data"], event["type"]
        vendor, device = data["vendor"], data["device"]
        changes = data.get("changes")
        if changes is not None:
            moved = any(
                _axis(axis) not in _AXES and change.get("was") is not None
                for axis, change in changes.items()
            )
            times = [change.get("received_at_ms") or 0 for change in changes.values()]
            at_ms = max(times, default=0)
        else:
            moved = kind.removeprefix("doorfleet.").rpartition(".v")[0] not in _HAPPENINGS
            at_ms = data.get("received_at_ms") or 0
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    # Whoever may write to the broker may write anything there.
    if not (isinstance(vendor, str) and isinstance(device, str) and isinstance(kind, str)):
        return None
    if not isinstance(at_ms, int | float):
        return None
    return Sighting(vendor, device, at_ms or received_ms, moved)


class _Seen:
    """The newest value of everything that vendors' topics said: only what changes is a use."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, Any]] = {}

    def vendor(self, topic: str, payload: bytes, at_ms: float, *, kept: bool) -> Sighting | None:
        for vendor, pattern in _DEVICES.items():
            if (found := pattern.fullmatch(topic)) is not None:
                return Sighting(vendor, found[1], at_ms, self._changed(topic, payload) and not kept)
        return None

    def _changed(self, topic: str, payload: bytes) -> bool:
        leaves = dict(_leaves(topic.rpartition("/")[2], payload))
        before = self._values.get(topic)
        self._values[topic] = {**(before or {}), **leaves}
        happening = topic.endswith(("lockActionEvent", "/motion"))
        if before is None:
            return happening and bool(leaves)
        return happening or any(before.get(key, value) != value for key, value in leaves.items())


def _leaves(name: str, payload: bytes) -> Iterator[tuple[str, Any]]:
    """What a payload says, but for what changes by itself."""
    try:
        document = orjson.loads(payload)
    except ValueError:
        document = payload
    stack: list[tuple[str, str, Any]] = [("", name, document)]
    while stack:
        path, key, value = stack.pop()
        if _BY_ITSELF.search(key):
            continue
        if isinstance(value, dict):
            stack += [(f"{path}/{each}", each, inner) for each, inner in value.items()]
        elif isinstance(value, list):
            stack += [(f"{path}/{number}", "", inner) for number, inner in enumerate(value)]
        else:
            yield path, value
