"""Topics of Z-Wave JS UI's MQTT gateway: which value of which node a message is about; pure.

Shape:

    <prefix>/[<location>/]<node>/<class>/<endpoint>/<property>[/<key>]   {"time": ms, "value": ...}
    <prefix>/[<location>/]<node>/status           {"time", "value", "status": "Alive", "nodeId"}
    <prefix>/_CLIENTS/ZWAVE_GATEWAY-<name>/status {"value": true, "time"}; its will has no time
    <prefix>/_CLIENTS/ZWAVE_GATEWAY-<name>/api/<function>    answers to .../set

    class and endpoint are numbers, or names (`door_lock`, `endpoint_0`); spaces are `_`, other
    special characters are dropped.

Source: zwave-js/zwave-js-ui cd01655a `lib/Gateway.ts`, `lib/MqttClient.ts`; a recording of a user
(domoticz/domoticz#6377).
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from vendors.zwave_js import operations
from vendors.zwave_js.names import (
    ACCESS_CONTROL,
    BATTERY,
    DOOR_LOCK,
    DOOR_STATE,
    LOCK_STATE,
    NOTIFICATION,
    USER_CODE,
)

_CLASSES: Final[Mapping[str, int]] = {
    "door_lock": DOOR_LOCK,
    "user_code": USER_CODE,
    "notification": NOTIFICATION,
    "battery": BATTERY,
    **{str(number): number for number in (DOOR_LOCK, USER_CODE, NOTIFICATION, BATTERY)},
}
_ENDPOINT: Final = re.compile(r"(?:endpoint_)?([0-9]{1,3})")
_LEVELS_MAX: Final = 12
_CHARS_MAX: Final = 400
_ODD: Final = re.compile(r"[^a-zA-Z0-9 _-]")


def written(name: str) -> str:
    """A name as the gateway writes it into a topic."""
    return _ODD.sub("", name).replace(" ", "_")


_NAMES: Final[Mapping[str, str]] = {
    written(name): name for name in (ACCESS_CONTROL, LOCK_STATE, DOOR_STATE)
}
_EVENTS: Final[Mapping[str, int]] = {
    written(label): event for label, event in operations.LABELS.items()
}
#: What the gateway calls a node's state, and the number of zwave-js `NodeStatus`.
STATUS: Final[Mapping[str, int]] = {"Unknown": 0, "Asleep": 1, "Awake": 2, "Dead": 3, "Alive": 4}


class ValueTopic(NamedTuple):
    """A value of a node. `way` is its class and endpoint as they stand in its topics."""

    device: str
    args: Mapping[str, Any]
    way: str


class StatusTopic(NamedTuple):
    """The gateway's verdict on a node."""

    device: str


class GatewayTopic(NamedTuple):
    """The gateway's own: `status`, or `api/<function>`."""

    what: str


Topic = ValueTopic | StatusTopic | GatewayTopic


def read(prefix: str, gateway: str, topic: str) -> Topic | None:
    """What a topic is about; None for what we do not model."""
    levels = topic.removeprefix(f"{prefix}/").split("/") if len(topic) <= _CHARS_MAX else []
    if not topic.startswith(f"{prefix}/") or len(levels) > _LEVELS_MAX or not all(levels):
        return None
    if levels[:2] == ["_CLIENTS", f"ZWAVE_GATEWAY-{gateway}"]:
        return GatewayTopic("/".join(levels[2:]))
    if levels and levels[0].startswith("_"):
        return None
    for at in (1, 2):  # a node may stand in a location
        device, rest = "/".join(levels[:at]), levels[at:]
        if rest == ["status"]:
            return StatusTopic(device)
        if len(rest) in (3, 4) and rest[0] in _CLASSES and _ENDPOINT.fullmatch(rest[1]):
            return _value(device, rest)
    return None


def _value(device: str, rest: list[str]) -> ValueTopic:
    endpoint = _ENDPOINT.fullmatch(rest[1])
    assert endpoint is not None
    args: dict[str, Any] = {
        "commandClass": _CLASSES[rest[0]],
        "endpoint": int(endpoint[1]),
        "property": _NAMES.get(rest[2], rest[2]),
    }
    if len(rest) == 4:  # noqa: PLR2004 -- with a key
        args["propertyKey"] = _NAMES.get(rest[3], rest[3])
    return ValueTopic(device, args, f"{rest[0]}/{rest[1]}")


def event_of(args: Mapping[str, Any]) -> int | None:
    """The number of a notification by its topic; None if it is no notification of ours."""
    if args.get("commandClass") != NOTIFICATION or args.get("property") != ACCESS_CONTROL:
        return None
    return _EVENTS.get(str(args.get("propertyKey")))
