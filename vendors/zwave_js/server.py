"""A simulated zwave-js-server: one driver, one controller, and the locks in its network; pure.

Source: zwave-js-server 3.10.2 `server.ts`, `state.ts`, `forward.ts` and what it answered when
asked (`tests/interop/zwave_js_server`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from vendors.sim import Arrival, HubEffects, Message, MqttSession, WsClose, WsOpen, WsText
from vendors.zwave_js.lock import Lock
from vendors.zwave_js.memory import CLASS_NAMES, Asked, Key, Memory, Said
from vendors.zwave_js.state import HOME_ID, dump, state

SCHEMA_MAX: Final = 50
#: Schema before `initialize`.
_SCHEMA_FIRST: Final = 0
_ERROR_BY_NUMBER_TO: Final = 31
_RESULT_STATUS_FROM: Final = 29
_ENDPOINT_FROM: Final = 32


_ON_THE_AIR: Final = {
    "node.poll_value": "poll",
    "node.refresh_values": "refresh",
    "node.refresh_cc_values": "refresh",
    "node.ping": "ping",
}


@dataclass(slots=True)
class _Peer:
    """One client."""

    schema: int = _SCHEMA_FIRST
    listening: bool = False


class Server:
    """A `vendors.sim.Hub`: what speaks for all locks of one network."""

    session: MqttSession | None = None
    tls = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.locks: dict[int, Lock] = {}
        #: A node that does not answer keeps the radio until then.
        self.stalled_ms = 0
        self._peers: dict[str, _Peer] = {}

    # --- Hub ---

    def connected(self, now_ms: int) -> HubEffects:
        """Power on: nobody listens yet."""
        del now_ms
        self._peers.clear()
        return HubEffects()

    def disconnected(self, now_ms: int) -> HubEffects:
        """Power off."""
        del now_ms
        self._peers.clear()
        return HubEffects()

    def wake(self, now_ms: int) -> HubEffects:
        """The server plans nothing; its locks do."""
        del now_ms
        return HubEffects()

    def receive(self, message: Arrival, now_ms: int) -> HubEffects:
        """A client comes, speaks or goes."""
        match message:
            case WsOpen():
                self._peers[message.peer] = _Peer()
                return HubEffects(messages=(WsText(message.peer, _json(_version())),))
            case WsClose():
                self._peers.pop(message.peer, None)
            case WsText() if message.peer in self._peers:
                return self._spoken(message, now_ms)
            case _:
                pass
        return HubEffects()

    # --- a `Network` for the locks ---

    @property
    def heard(self) -> bool:
        """Whether an event reaches anybody now."""
        return any(peer.listening for peer in self._peers.values())

    def render(self, lock: Memory, said: Said) -> list[Message]:
        """An event to each listener, an answer to whoever asked."""
        if said.kind == "event":
            return [
                WsText(name, _json({"type": "event", "event": _event(lock, said.body, peer)}))
                for name, peer in self._peers.items()
                if peer.listening
            ]
        if not isinstance(said.reply, tuple):
            return []
        name, message_id = said.reply
        peer = self._peers.get(name)
        if peer is None:
            return []
        return [_answer(name, peer, message_id, said)]

    # --- a conversation ---

    def _spoken(self, message: WsText, now_ms: int) -> HubEffects:
        name, peer = message.peer, self._peers[message.peer]
        try:
            asked = orjson.loads(message.text)
        except orjson.JSONDecodeError:
            del self._peers[name]
            return HubEffects(messages=(WsClose(name),))
        if not isinstance(asked, dict):
            asked = {}
        command, message_id = str(asked.get("command")), asked.get("messageId")
        match command:
            case "initialize" | "set_api_schema":
                return self._schema(name, peer, message_id, asked.get("schemaVersion"))
            case "start_listening":
                return self._listen(name, peer, message_id, now_ms)
            case "driver.get_log_config":
                config = {"config": {"enabled": False, "level": "info", "logToFile": False}}
                said = Said("result", config)
            case _ if command.startswith("node."):
                return self._node(name, peer, asked, now_ms)
            case _:
                said = _error("unknown_command", command=command)
        return HubEffects(messages=(_answer(name, peer, message_id, said),))

    def _schema(self, name: str, peer: _Peer, message_id: object, wanted: object) -> HubEffects:
        known = isinstance(wanted, int) and 0 <= wanted <= SCHEMA_MAX
        if isinstance(wanted, int):
            peer.schema = wanted
        said = Said("result", {}) if known else _error("schema_incompatible", schemaId=wanted)
        return HubEffects(messages=(_answer(name, peer, message_id, said),))

    def _listen(self, name: str, peer: _Peer, message_id: object, now_ms: int) -> HubEffects:
        said = Said("result", {"state": state(self.locks.values(), peer.schema)})
        peer.listening = True
        effects = {}
        for lock in self.locks.values():
            lock.remembered(now_ms)
            effects[lock.name] = lock.effects()
        return HubEffects(messages=(_answer(name, peer, message_id, said),), devices=effects)

    def _node(self, name: str, peer: _Peer, asked: Mapping[str, Any], now_ms: int) -> HubEffects:
        number, message_id = asked.get("nodeId"), asked.get("messageId")
        lock = self.locks.get(number) if isinstance(number, int) else None
        if lock is None:
            said: Said | Asked = _error("node_not_found", nodeId=number)
        else:
            said = _question(lock, asked, (name, message_id), peer.schema)
        if isinstance(said, Said):
            return HubEffects(messages=(_answer(name, peer, message_id, said),))
        assert lock is not None
        lock.ask(said, now_ms)
        return HubEffects(about=lock.name, devices={lock.name: lock.effects()})


def _json(body: object) -> str:
    return json.dumps(body, separators=(",", ":"))


def _version() -> Mapping[str, Any]:
    return {
        "type": "version",
        "homeId": HOME_ID,
        "driverVersion": "15.29.0",
        "serverVersion": "3.10.2",
        "minSchemaVersion": 0,
        "maxSchemaVersion": SCHEMA_MAX,
    }


def _error(code: str, **args: object) -> Said:
    return Said("error", {"errorCode": code, "message": "", "args": args})


def _answer(name: str, peer: _Peer, message_id: object, said: Said) -> WsText:
    """An answer in the words of the client's schema."""
    body = dict(said.body)
    if said.kind == "error" and peer.schema <= _ERROR_BY_NUMBER_TO:
        if "zwaveErrorCode" in body:
            body.pop("zwaveErrorCodeName", None)
        else:
            text = f"{body['errorCode']}: {body['message']}"
            body = {
                "errorCode": "zwave_error",
                "zwaveErrorCode": -1,
                "zwaveErrorMessage": text,
            }
    message = {"type": "result", "success": said.kind == "result", "messageId": message_id}
    if said.kind == "error":
        return WsText(name, _json(message | body))
    status = body.get("result")
    if isinstance(status, dict) and peer.schema < _RESULT_STATUS_FROM:
        body = {"success": status.get("status") in {1, 254, 255}}
    return WsText(name, _json(message | {"result": body}))


def _event(lock: Memory, body: Mapping[str, Any], peer: _Peer) -> Mapping[str, Any]:
    if body["event"] == "ready":
        return {**body, "nodeState": dump(lock, peer.schema)}
    if body["event"] == "notification" and peer.schema < _ENDPOINT_FROM:
        return {key: value for key, value in body.items() if key != "endpointIndex"}
    return body


def _question(
    lock: Lock, asked: Mapping[str, Any], reply: tuple[str, object], schema: int
) -> Asked | Said:
    """What waits for the radio, or an answer at once."""
    value_id = asked.get("valueId")
    key = _key(value_id if isinstance(value_id, dict) else {})
    command = asked["command"]
    if command == "node.set_value":
        return _set(key, asked.get("value"), reply)
    if command in _ON_THE_AIR:
        return Asked(_ON_THE_AIR[command], reply, key)
    at_once: Mapping[str, Mapping[str, Any]] = {
        "node.get_value": {"value": lock.values.get(key)},
        "node.get_state": {"state": dump(lock, schema)},
    }
    if command in at_once:
        return Said("result", at_once[command])
    return _error("unknown_command", command=command)


def _key(value_id: Mapping[str, Any]) -> Key:
    cc, name, more = (value_id.get(key) for key in ("commandClass", "property", "propertyKey"))
    more = int(more) if isinstance(more, str) and more.isdecimal() else more
    number = cc if isinstance(cc, int) else 0
    return number, str(name), more if isinstance(more, int | str) else None


def _set(key: Key, value: object, reply: object) -> Asked | Said:
    """Statuses as the driver gives them without asking the lock."""
    match key:
        case (98, "targetMode", None):
            if isinstance(value, int) and not isinstance(value, bool):
                return Asked("set_mode", reply, key, value)
            text = 'Door Lock: "targetMode" must be of type "number" (ZW0322)'
        case (99, "userIdStatus", int()) if value == 0:
            return Asked("set_code", reply, key)
        case (99, "userCode", int()) if isinstance(value, str):
            return Asked("set_code", reply, key, value)
        case (cc, name, _):
            text = f'{CLASS_NAMES.get(cc, cc)}: "{name}" is not a supported property (ZW0322)'
    return Said("result", {"result": {"status": 5, "message": text}})
