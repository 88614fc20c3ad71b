"""The simulated server and its locks, asked as a client would."""

import json
from random import Random
from typing import Any

import pytest

from devices.errors import ConfigError
from vendors.http import HttpRequest
from vendors.sim import Addresses, FleetSpec, HubEffects, WsClose, WsOpen, WsText
from vendors.zwave_js import simulator
from vendors.zwave_js.faulty import FaultyLock

NOW_MS = 1_767_225_600_000
PEER = "client/1"


class Network:
    """A fleet, one client, and what it was told."""

    def __init__(self, count: int = 1) -> None:
        spec = FleetSpec(count, "zwave_js", NOW_MS, {})
        self.locks = [*simulator.fleet(spec, Random)]
        hub = self.locks[0].hub
        assert hub is not None
        self.hub = hub
        self.now_ms = NOW_MS
        self.told: list[dict[str, Any]] = []
        self.truths: dict[str, object] = {}
        self._wakes: dict[str, int] = {}
        self.hub.connected(NOW_MS)
        self._took(self.hub.receive(WsOpen(PEER, HttpRequest("GET", "/")), NOW_MS))

    def say(self, command: str, **fields: object) -> None:
        body = {"messageId": "m", "command": command, **fields}
        self._took(self.hub.receive(WsText(PEER, json.dumps(body)), self.now_ms))

    def act(self, what: str, number: int = 0) -> None:
        lock = self.locks[number]
        self._took(HubEffects(devices={lock.name: lock.act(what, self.now_ms)}))

    def listen(self, schema: int = 50) -> None:
        self.say("initialize", schemaVersion=schema)
        self.say("start_listening")

    def run(self, seconds: float) -> list[dict[str, Any]]:
        """Let time pass; what was told meanwhile."""
        since, end_ms = len(self.told), self.now_ms + round(seconds * 1000)
        while self._wakes and min(self._wakes.values()) <= end_ms:
            name = min(self._wakes, key=lambda each: self._wakes[each])
            self.now_ms = max(self.now_ms, self._wakes.pop(name))
            lock = next(each for each in self.locks if each.name == name)
            self._took(HubEffects(devices={name: lock.wake(self.now_ms)}))
        self.now_ms = end_ms
        return self.told[since:]

    def _took(self, effects: HubEffects) -> None:
        messages = [*effects.messages]
        for name, each in effects.devices.items():
            messages += each.messages
            self.truths |= {truth.key: truth.value for truth in each.truths}
            self._wakes.pop(name, None)
            if each.wake_at_ms is not None:
                self._wakes[name] = each.wake_at_ms
        self.told += [json.loads(each.text) for each in messages if isinstance(each, WsText)]


def names(messages: list[dict[str, Any]]) -> list[str]:
    """What messages are about."""
    return [
        "result"
        if each["type"] == "result"
        else each["event"].get("args", {}).get("property", each["event"]["event"])
        for each in messages
    ]


def set_mode(network: Network, mode: object) -> None:
    value_id = {"commandClass": 98, "endpoint": 0, "property": "targetMode"}
    network.say("node.set_value", nodeId=2, valueId=value_id, value=mode)


def test_the_mode_is_assumed_before_the_bolt_moves() -> None:
    network = Network()
    network.listen()
    mode = 0 if network.truths["lock_state"] == "Locked" else 255

    set_mode(network, mode)
    first = network.run(1.3)
    assumed = dict(network.truths)
    rest = network.run(5)

    assert names(first)[:2] == ["result", "currentMode"]
    assert assumed["lock_state"] is None
    assert names(rest)[-8:][0] == "insideHandlesCanOpenDoor"
    assert network.truths["lock_state"] == ("Unlocked" if mode == 0 else "Locked")


def test_a_jam_that_somebody_finds_is_one_truth_of_the_bolt() -> None:
    network = Network()
    lock = network.locks[0]
    if lock.values[98, "currentMode", None] == 255:
        network.act("turn_by_hand")
        network.run(1)
    network.act("jam")
    network.listen()

    listen = {"command": "start_listening", "messageId": "again"}
    again = network.hub.receive(WsText(PEER, json.dumps(listen)), network.now_ms)
    truths = [t for t in again.devices[lock.name].truths if t.key == "lock_state"]

    assert [(truth.value, truth.sent) for truth in truths] == [(None, True)]


def test_nothing_is_told_to_who_does_not_listen() -> None:
    network = Network()

    network.act("door")

    assert [each["type"] for each in network.told] == ["version"]


@pytest.mark.parametrize(
    ("schema", "keys"), [(28, {"success"}), (29, {"result"}), (50, {"result"})]
)
def test_an_answer_is_in_the_words_of_its_schema(schema: int, keys: set[str]) -> None:
    network = Network()
    network.listen(schema)

    set_mode(network, 255)
    answer = next(each for each in network.run(2) if each["type"] == "result")

    assert answer["result"].keys() == keys


def test_an_error_is_a_number_before_schema_32() -> None:
    network = Network()
    network.listen(31)
    network.say("node.ping", nodeId=77)
    old = network.told[-1]
    network.listen(32)
    network.say("node.ping", nodeId=77)

    assert (old["zwaveErrorCode"], old["zwaveErrorMessage"]) == (-1, "node_not_found: ")
    assert network.told[-1]["errorCode"] == "node_not_found"


def test_a_schema_that_does_not_exist_is_refused() -> None:
    network = Network()

    network.say("initialize", schemaVersion=51)

    assert network.told[-1]["errorCode"] == "schema_incompatible"


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"command": 7}', "[" * 100_000])
def test_what_no_client_says_costs_that_client_at_most(text: str) -> None:
    network = Network()

    effects = network.hub.receive(WsText(PEER, text), NOW_MS)

    (message,) = effects.messages
    if isinstance(message, WsText):
        assert json.loads(message.text)["errorCode"] in {"unknown_command", "zwave_error"}
    else:
        assert message == WsClose(PEER)


def test_a_dead_node_stalls_the_radio_of_all() -> None:
    network = Network(2)
    network.listen()
    network.act("fault:presumed_dead")

    set_mode(network, 255)
    network.say("node.ping", nodeId=3)

    assert "result" not in names(network.run(2.9))
    assert names(network.run(0.2))[:2] == ["result", "dead"]
    assert "result" in names(network.run(1.3))


def test_a_second_try_works_where_the_first_was_answered_by_the_old_state() -> None:
    network = Network()
    network.listen()
    before = network.truths["lock_state"]
    mode = 0 if before == "Locked" else 255
    network.act("fault:ignores_first")

    set_mode(network, mode)
    network.run(10)
    first = network.truths["lock_state"]
    set_mode(network, mode)
    network.run(10)

    assert first == before
    assert network.truths["lock_state"] not in (before, None)


def test_a_network_has_so_many_nodes() -> None:
    locks = simulator.fleet(FleetSpec(300, "zwave_js", NOW_MS, {}), Random)

    assert [lock.name for lock in locks[229:233]] == [
        "nodeID_231",
        "nodeID_232",
        "nodeID_256",
        "nodeID_257",
    ]
    with pytest.raises(ConfigError, match="at most"):
        simulator.fleet(FleetSpec(5_000, "zwave_js", NOW_MS, {}), Random)


def test_a_transport_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match="pigeon"):
        simulator.fleet(FleetSpec(1, "zwave_js", NOW_MS, {"transport": "pigeon"}), Random)


def test_the_settings_name_the_server_that_was_opened() -> None:
    spec = FleetSpec(1, "zwave_js", NOW_MS, {})
    at = Addresses(hubs={"zwave_js-server": "http://127.0.0.1:4711"})

    settings = simulator.gateway_settings(spec, at)

    assert settings["server"] == {"url": "ws://127.0.0.1:4711", "poll_interval_s": 60}


def test_a_lock_is_a_device_behind_its_hub() -> None:
    (lock,) = Network().locks

    assert isinstance(lock, FaultyLock)
    assert lock.session is None
    assert lock.receive(b"", NOW_MS).messages == ()
    assert lock.connected(NOW_MS) == lock.disconnected(NOW_MS)
