"""What our simulated boards announce, held against Home Assistant's own schemas and templates.

Home Assistant is not started: its modules are imported, its tables expand the messages, its
schemas judge them, and its template engine reads the states that the boards then publish.
"""

import asyncio
import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import voluptuous as vol
from homeassistant.components.mqtt import discovery
from homeassistant.components.mqtt.abbreviations import (
    ABBREVIATIONS,
    DEVICE_ABBREVIATIONS,
    ORIGIN_ABBREVIATIONS,
)
from homeassistant.components.mqtt.models import MqttValueTemplate
from homeassistant.core import HomeAssistant
from homeassistant.helpers.template import Template
from kit import kit

VENDORS = ("ratgdo", "nuki", "zigbee2mqtt")
HABITS = {
    "ratgdo": ["leave", "light_switch", "lockout"],
    "nuki": ["come_home", "leave", "turn_by_hand", "lock_n_go"],
    "zigbee2mqtt": ["keypad_unlock", "one_touch_lock", "turn_by_hand", "battery"],
}
#: Words that Home Assistant ignores, as its entity then keeps its last state.
IGNORED = {
    "ratgdo": {"unknown", "syncing"},
    "nuki": {"0", "252", "253", "255"},
    # C4 modules say LOCKED and UNLOCKED against what is announced of them.
    "zigbee2mqtt": {"LOCKED", "UNLOCKED"},
}
_HEARD_S = 0.6


class Fleet:
    """Another vendor's fleet than the one of `fleet.json`, served by our own Python."""

    def __init__(self, vendor: str) -> None:
        command = [os.environ["INTEROP_PYTHON"], str(Path(__file__).parents[1] / "serve.py")]
        self._process = subprocess.Popen(
            [*command, vendor, "--count", "2"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )
        assert self._process.stdout is not None
        self._url = self._process.stdout.readline().strip()
        assert self._url.startswith("http"), f"no fleet of {vendor}"
        self.about = self.ask("about")

    def ask(self, question: str, **body: Any) -> Any:
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}/{question}", data, method="POST")
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.loads(reply.read())

    def act(self, device: str, what: str) -> None:
        self.ask("act", device=device, what=what)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def fleet(vendor: str) -> Iterator[Any]:
    """The fleet of this vendor, whoever serves it."""
    if vendor == kit.about["vendor"]:
        yield kit
        return
    served = Fleet(vendor)
    try:
        yield served
    finally:
        served.close()


class Ear:
    """Hears everything on a broker, as Home Assistant does: MQTT 3.1.1."""

    def __init__(self, broker: dict[str, Any]) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self._client = paho.Client("homeassistant-check")
        self._client.on_message = lambda _, __, m: self.heard.append((m.topic, m.payload, m.retain))
        self._client.connect(broker["host"], broker["port"])
        self._client.subscribe("#", 0)
        self._client.loop_start()

    def publish(self, topic: str, payload: str) -> None:
        self._client.publish(topic, payload, qos=0)

    def close(self) -> None:
        self._client.loop_stop()
        self._client.disconnect()


#: What is newer than the last Home Assistant for Python 3.11: 2024.8 and 2025.10 take them.
NEWER_OF_DEVICE = {"model_id"}
NEWER = {"default_entity_id"}


def written_out(payload: bytes) -> dict[str, Any]:
    """A message without its abbreviations and its `~`, by Home Assistant's own tables."""
    found = {ABBREVIATIONS.get(key, key): value for key, value in json.loads(payload).items()}
    if "device" in found:
        told = found["device"].items()
        found["device"] = {DEVICE_ABBREVIATIONS.get(key, key): value for key, value in told}
    if "origin" in found:
        told = found["origin"].items()
        found["origin"] = {ORIGIN_ABBREVIATIONS.get(key, key): value for key, value in told}
    base = found.pop(discovery.TOPIC_BASE, None)
    for key, value in found.items():
        if base and isinstance(value, str) and key.endswith("topic"):
            found[key] = value.replace("~", base) if "~" in {value[:1], value[-1:]} else value
    return found


def judged(topic: str, payload: bytes) -> tuple[str, dict[str, Any]]:
    """(component, configuration) as Home Assistant would set it up; raises if it would not."""
    match = discovery.TOPIC_MATCHER.match(topic.removeprefix("homeassistant/"))
    assert match is not None, f"illegal discovery topic {topic}"
    component = match.group(1)
    assert component in discovery.SUPPORTED_COMPONENTS, component
    told = written_out(payload)
    if "origin" in told:
        discovery.MQTT_ORIGIN_INFO_SCHEMA(told["origin"])
    for key in NEWER_OF_DEVICE & told.get("device", {}).keys():
        del told["device"][key]
    module = importlib.import_module(f"homeassistant.components.mqtt.{component}")
    return component, module.DISCOVERY_SCHEMA({**told, "platform": "mqtt"})


def announced(heard: list[tuple[str, bytes, bool]]) -> dict[str, bytes]:
    return {topic: told for topic, told, _ in heard if topic.startswith("homeassistant/")}


def rendered(template: object, payload: bytes, hass: HomeAssistant) -> str:
    text = getattr(template, "template", template)
    read = MqttValueTemplate(Template(text, hass) if text else None, hass=hass)
    return str(read.async_render_with_possible_json_value(payload.decode()))


def words(config: dict[str, Any], component: str) -> set[str]:
    """What an entity takes for a state."""
    prefix = "state_" if component in {"lock", "cover"} else "payload_"
    found = {
        value for key, value in config.items() if key.startswith(prefix) and "topic" not in key
    }
    return {str(value) for value in found if "template" not in str(value)}


class Case:
    """One vendor's announcements, and what follows them."""

    def __init__(self, vendor: str, served: Any) -> None:
        self.vendor = vendor
        self.served = served
        self.ear = Ear(served.about["broker"])
        self.hass = HomeAssistant(tempfile.gettempdir())
        self.messages: dict[str, bytes] = {}
        self.entities: dict[str, tuple[str, dict[str, Any]]] = {}

    async def run(self) -> None:
        """Every check, one after the other."""
        try:
            await self.listen()
            for about, holds in (
                ("each announcement passes Home Assistant's own schema", self.schema),
                ("nothing that is announced is dropped by the schema", self.nothing_dropped),
                ("availability is told where it is announced, in its words", self.availability),
                ("what Home Assistant publishes moves the device", self.commands),
                ("each state reads, by Home Assistant's template, as a word", self.states),
                ("Home Assistant refuses it without its command topic", self.refused),
            ):
                with kit.check(f"{self.vendor}: {about}"):
                    await holds()
        finally:
            self.ear.close()

    async def listen(self) -> None:
        """Boards announce themselves some seconds after they connect."""
        for _ in range(20):
            before = len(self.messages)
            await asyncio.sleep(_HEARD_S)
            self.messages = announced(self.ear.heard)
            if self.messages and len(self.messages) == before:
                return

    async def schema(self) -> None:
        assert self.messages, "nothing was announced"
        self.entities = {topic: judged(topic, told) for topic, told in self.messages.items()}
        configs = [config for _, config in self.entities.values()]
        devices = {tuple(config["device"]["identifiers"]) for config in configs}
        assert len(devices) == len(self.served.about["devices"])
        assert len({config["unique_id"] for config in configs}) == len(configs)

    async def nothing_dropped(self) -> None:
        for topic, payload in self.messages.items():
            lost = set(written_out(payload)) - {"origin"} - set(self.entities[topic][1])
            assert lost <= NEWER, (topic, lost)

    async def availability(self) -> None:
        kept = {topic: payload for topic, payload, _ in self.ear.heard}
        for _, config in self.entities.values():
            for place in config.get("availability") or [
                {
                    "topic": config["availability_topic"],
                    "payload_available": config["payload_available"],
                }
            ]:
                said = rendered(place.get("value_template"), kept[place["topic"]], self.hass)
                assert said == place["payload_available"], (place, said)

    async def states(self) -> None:
        for device in self.served.about["devices"]:
            for habit in HABITS[self.vendor]:
                await asyncio.to_thread(self.served.act, device, habit)
                await asyncio.sleep(_HEARD_S / 2)
        await asyncio.sleep(3 * _HEARD_S)
        said = {
            (component, rendered(config.get("value_template"), payload, self.hass))
            for component, config in self.entities.values()
            for topic, payload, _ in list(self.ear.heard)
            if topic == config.get("state_topic") and component != "binary_sensor"
        }
        known = {
            (component, word)
            for component, config in self.entities.values()
            for word in words(config, component)
        }
        foreign = {word for _, word in said - known} - IGNORED[self.vendor]
        assert not foreign, foreign
        assert len(said & known) >= 2, said

    async def commands(self) -> None:
        """One of two opposite words moves whatever is at rest; a board just born hears neither."""
        entities = [
            (config, component)
            for component, config in self.entities.values()
            if component in {"lock", "cover"}
        ]
        assert entities
        for config, component in entities:
            verbs = ("lock", "unlock") if component == "lock" else ("close", "open")
            before, heard = len(self.ear.heard), set[str]()
            for verb in verbs * 3:
                self.ear.publish(config["command_topic"], config[f"payload_{verb}"])
                await asyncio.sleep(5 * _HEARD_S)
                heard = {topic for topic, _, _ in self.ear.heard[before:]}
                if heard - {config["command_topic"]}:
                    break
            assert heard - {config["command_topic"]}, config["command_topic"]

    async def refused(self) -> None:
        locks = [topic for topic in self.messages if topic.startswith("homeassistant/lock/")]
        assert locks
        for topic in locks:
            told = json.loads(self.messages[topic])
            bare = {k: v for k, v in told.items() if ABBREVIATIONS.get(k, k) != "command_topic"}
            try:
                judged(topic, json.dumps(bare).encode())
            except vol.Invalid:
                continue
            raise AssertionError(f"{topic} passes without a command topic")


async def tried(vendor: str, served: Any) -> None:
    """A case needs the loop that it lives in."""
    await Case(vendor, served).run()


for name in VENDORS:
    with kit.check(f"{name}: its fleet can be served"), fleet(name) as one:
        asyncio.run(tried(name, one))
sys.exit(0)
