"""A simulated MQTT gateway of Z-Wave JS UI: a driver's values as topics; pure.

    lock ─► driver ─► <prefix>/nodeID_<n>/98/0/currentMode {"time": ..., "value": 255}, kept
                  ◄── <prefix>/nodeID_<n>/98/0/targetMode/set, _CLIENTS/.../api/<function>/set

Source: zwave-js/zwave-js-ui cd01655a `lib/Gateway.ts`, `lib/MqttClient.ts`, read and not run; that
values are kept by the broker and published at QoS 1 is a setting, and a guess as a default.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from vendors.sim import Arrival, HubEffects, Message, MqttSession, Publish
from vendors.zwave_js.lock import Lock
from vendors.zwave_js.memory import DOOR_LOCK, USER_CODE, Asked, Key, Memory, Said

_ODD: Final = re.compile(r"[^a-zA-Z0-9 _-]")
_STATUS: Final = {1: "Asleep", 2: "Awake", 3: "Dead", 4: "Alive"}
_KEEPALIVE_S: Final = 60
_CODE_LEVELS: Final = 5
_MODE_LEVELS: Final = 4
#: Words that are taken for a mode.
_WORDS: Final = {"lock": 255, "on": 255, "true": 255, "unlock": 0, "off": 0, "false": 0}


def _level(name: object) -> str:
    return _ODD.sub("", str(name)).replace(" ", "_")


class Gateway:
    """A `vendors.sim.Hub`: one network behind one connection to a broker."""

    tls = False

    def __init__(self, name: str, prefix: str = "zwave") -> None:
        self.name = name
        self.locks: dict[int, Lock] = {}
        self.stalled_ms = 0
        self._prefix = prefix
        self._client = f"{prefix}/_CLIENTS/ZWAVE_GATEWAY-{name}"
        self._linked = False
        self.session: MqttSession | None = MqttSession(
            client_id=f"ZWAVE_GATEWAY-{name}",
            keepalive_s=_KEEPALIVE_S,
            subscriptions=(
                (f"{prefix}/+/98/0/targetMode/set", 1),
                (f"{prefix}/+/98/0/currentMode/set", 1),
                (f"{prefix}/+/99/0/userCode/+/set", 1),
                (f"{prefix}/+/99/0/userIdStatus/+/set", 1),
                (f"{self._client}/api/+/set", 1),
            ),
            will=Publish(f"{self._client}/status", b'{"value":false}', qos=1, retain=True),
        )

    # --- Hub ---

    def connected(self, now_ms: int) -> HubEffects:
        """It greets, and publishes every value that it remembers."""
        self._linked = True
        there: object = True
        messages: list[Message] = [
            self._publish(f"{self._client}/status", now_ms, there),
            self._publish(f"{self._client}/version", now_ms, "11.22.2"),
        ]
        devices = {}
        for lock in self.locks.values():
            messages += self._everything(lock, now_ms)
            lock.remembered(now_ms)
            devices[lock.name] = lock.effects()
        return HubEffects(messages=messages, devices=devices)

    def disconnected(self, now_ms: int) -> HubEffects:
        """The will speaks for it."""
        self._linked = False
        devices = {}
        for lock in self.locks.values():
            lock.gone(now_ms)
            devices[lock.name] = lock.effects()
        return HubEffects(devices=devices)

    def wake(self, now_ms: int) -> HubEffects:
        """It plans nothing; its locks do."""
        del now_ms
        return HubEffects()

    def receive(self, message: Arrival, now_ms: int) -> HubEffects:
        """A value is set, or a function of its API called; the rest is ignored."""
        if not isinstance(message, Publish) or not self._linked:
            return HubEffects()
        levels = message.topic.removeprefix(f"{self._prefix}/").split("/")
        if levels[0] == "_CLIENTS":
            return self._api(levels, message, now_ms)
        lock = next((each for each in self.locks.values() if each.name == levels[0]), None)
        asked = _asked(levels[1:-1], message.payload)
        if lock is None or asked is None:
            return HubEffects()
        lock.ask(asked, now_ms)
        return HubEffects(about=lock.name, devices={lock.name: lock.effects()})

    def _api(self, levels: list[str], message: Publish, now_ms: int) -> HubEffects:
        """`pollValue` and `pingNode`; the answer comes on the topic without `set`."""
        body = _json(message.payload)
        args = body.get("args") if isinstance(body, dict) else None
        argument = args[0] if isinstance(args, list) and args else None
        topic = message.topic.removesuffix("/set")
        if levels[-2] == "pingNode":
            number, asked = argument, Asked("ping", topic, (DOOR_LOCK, "", None))
        elif levels[-2] == "pollValue" and isinstance(argument, dict):
            cc, name, more = (argument.get(k) for k in ("commandClass", "property", "propertyKey"))
            key = (cc if isinstance(cc, int) else 0, str(name), more)
            number, asked = argument.get("nodeId"), Asked("poll", topic, key)
        else:
            return HubEffects()
        lock = self.locks.get(number) if isinstance(number, int) else None
        if lock is None:
            return HubEffects()
        lock.ask(asked, now_ms)
        return HubEffects(about=lock.name, devices={lock.name: lock.effects()})

    # --- a `Network` for the locks ---

    @property
    def heard(self) -> bool:
        """Whether a topic reaches the broker now."""
        return self._linked

    def render(self, lock: Memory, said: Said) -> list[Message]:
        """An event as a topic; an answer on the topic of the question."""
        if not self._linked or (said.kind != "event" and not isinstance(said.reply, str)):
            return []
        if isinstance(said.reply, str):
            answer = {"success": said.kind == "result", "message": "", "result": dict(said.body)}
            return [Publish(said.reply, json.dumps(answer).encode(), qos=1)]
        match said.body["event"]:
            case "value updated" | "value added" | "notification":
                return [self._value(lock, said.body)]
            case "dead" | "alive":
                return [self._status(lock)]
            case "ready":
                return self._everything(lock, lock.now_ms)
            case _:
                return []

    def _value(self, lock: Memory, event: Mapping[str, Any]) -> Publish:
        """A value, or a notification as a value that nobody keeps."""
        args = event["args"]
        if event["event"] == "notification":
            levels, value = [113, 0, args["label"], args["eventLabel"]], args.get("parameters")
        else:
            levels, value = [args["commandClass"], 0, args["property"]], args["newValue"]
            levels += [args["propertyKey"]] if "propertyKey" in args else []
        topic = "/".join([f"{self._prefix}/{lock.name}", *map(_level, levels)])
        return self._publish(topic, lock.now_ms, value, retain="label" not in args)

    def _everything(self, lock: Memory, now_ms: int) -> list[Message]:
        lock.now_ms = now_ms
        messages: list[Message] = [self._status(lock)]
        for (cc, name, more), value in lock.values.items():
            levels = [cc, 0, name, *([] if more is None else [more])]
            topic = "/".join([f"{self._prefix}/{lock.name}", *map(_level, levels)])
            messages.append(self._publish(topic, now_ms, value))
        return messages

    def _status(self, lock: Memory) -> Publish:
        body = {
            "time": lock.now_ms,
            "value": lock.status != 3,  # noqa: PLR2004 -- dead
            "status": _STATUS[lock.status],
            "nodeId": lock.number,
        }
        topic = f"{self._prefix}/{lock.name}/status"
        return Publish(topic, json.dumps(body).encode(), qos=1, retain=True)

    def _publish(self, topic: str, now_ms: int, value: object, *, retain: bool = True) -> Publish:
        body = json.dumps({"time": now_ms, "value": value}).encode()
        return Publish(topic, body, qos=1, retain=retain)


def _json(payload: bytes) -> object:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload.decode(errors="replace")


def _asked(levels: list[str], payload: bytes) -> Asked | None:
    """What a topic below a node asks for; None if nothing that we model."""
    body = _json(payload)
    value = body.get("value") if isinstance(body, Mapping) else body
    if len(levels) == _MODE_LEVELS - 1 and levels[:2] == ["98", "0"]:
        mode: Any = _WORDS.get(str(value).lower(), value)
        if isinstance(mode, int) and not isinstance(mode, bool):
            return Asked("set_mode", None, (DOOR_LOCK, "targetMode", None), mode)
    if len(levels) == _CODE_LEVELS - 1 and levels[:2] == ["99", "0"] and levels[3].isdecimal():
        key: Key = (USER_CODE, levels[2], int(levels[3]))
        if levels[2] == "userIdStatus" and value == 0:
            return Asked("set_code", None, key)
        if levels[2] == "userCode" and isinstance(value, str | int):
            return Asked("set_code", None, key, str(value))
    return None
