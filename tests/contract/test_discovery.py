"""What our boards announce to Home Assistant is what Home Assistant takes.

The keys, which of them are required, and the allowed values are Home Assistant's, from its
documentation of MQTT discovery and of the components cover, light, lock and binary_sensor
(home-assistant.io/integrations/{mqtt,cover.mqtt,light.mqtt,lock.mqtt,binary_sensor.mqtt}) and
`components/mqtt/abbreviations.py` of 2024.3.3. Unknown keys are refused there and here.
"""

import json
import os
import re
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final, Literal

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    ValidationError,
    model_validator,
)

from vendors import registry
from vendors.sim import FleetSpec, Publish

FOLDER: Final = os.environ.get("DOORFLEET_RECORDINGS", "")
RECORDED: Final = sorted(Path(FOLDER or "-").glob("*/*discovery*.jsonl"))
VENDORS: Final = ("nuki", "ratgdo")
#: Keys that may be written short, as far as locks and openers use them.
ABBREVIATIONS: Final = {
    "avty_t": "availability_topic",
    "pl_avail": "payload_available",
    "pl_not_avail": "payload_not_available",
    "cmd_t": "command_topic",
    "stat_t": "state_topic",
    "val_tpl": "value_template",
    "dev": "device",
    "dev_cla": "device_class",
    "uniq_id": "unique_id",
    "pl_lock": "payload_lock",
    "pl_unlk": "payload_unlock",
    "pl_open": "payload_open",
    "stat_locked": "state_locked",
    "stat_locking": "state_locking",
    "stat_unlocked": "state_unlocked",
    "stat_unlocking": "state_unlocking",
    "stat_jam": "state_jammed",
}
DEVICE_ABBREVIATIONS: Final = {
    "ids": "identifiers",
    "mf": "manufacturer",
    "mdl": "model",
    "sw": "sw_version",
    "cu": "configuration_url",
}
DISCOVERY_TOPIC: Final = re.compile(
    r"homeassistant/(cover|light|lock|binary_sensor)(?:/[a-zA-Z0-9_-]+)?/[a-zA-Z0-9_-]+/config"
)


def _a_topic(topic: str) -> str:
    if not 0 < len(topic.encode()) <= 65_535 or set(topic) & set("+#\0"):
        raise ValueError("no topic that can be published to")
    return topic


Topic = Annotated[str, AfterValidator(_a_topic)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Device(_Strict):
    """At least one identifier; the rest is for people."""

    identifiers: str | list[str] = Field(min_length=1)
    name: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    sw_version: str | None = None
    configuration_url: HttpUrl | None = None


class Entity(_Strict):
    """What every component may have. A device needs a unique id, or it is ignored."""

    name: str | None = None
    unique_id: str | None = None
    device: Device | None = None
    availability_topic: Topic | None = None
    payload_available: str = "online"
    payload_not_available: str = "offline"
    value_template: str | None = None

    @model_validator(mode="after")
    def _device_needs_unique_id(self) -> "Entity":
        if self.device is not None and not self.unique_id:
            raise ValueError("a device without a unique_id")
        return self


class Cover(Entity):
    device_class: Literal[
        "awning",
        "blind",
        "curtain",
        "damper",
        "door",
        "garage",
        "gate",
        "shade",
        "shutter",
        "window",
    ]
    command_topic: Topic | None = None
    state_topic: Topic | None = None
    payload_open: str = "OPEN"
    payload_close: str = "CLOSE"
    payload_stop: str = "STOP"
    state_open: str = "open"
    state_opening: str = "opening"
    state_closed: str = "closed"
    state_closing: str = "closing"
    state_stopped: str = "stopped"


class Light(Entity):
    command_topic: Topic
    state_topic: Topic | None = None
    payload_on: str = "ON"
    payload_off: str = "OFF"


class Lock(Entity):
    command_topic: Topic
    state_topic: Topic | None = None
    payload_lock: str = "LOCK"
    payload_unlock: str = "UNLOCK"
    payload_open: str | None = None
    state_locked: str = "LOCKED"
    state_locking: str = "LOCKING"
    state_unlocked: str = "UNLOCKED"
    state_unlocking: str = "UNLOCKING"
    state_jammed: str = "JAMMED"


class BinarySensor(Entity):
    # All that Home Assistant has; the ones that could be about a door.
    device_class: Literal[
        "door", "garage_door", "lock", "motion", "moving", "opening", "problem", "safety"
    ]
    state_topic: Topic
    payload_on: str = "ON"
    payload_off: str = "OFF"


COMPONENTS: Final[dict[str, type[Entity]]] = {
    "cover": Cover,
    "light": Light,
    "lock": Lock,
    "binary_sensor": BinarySensor,
}


def written_out(config: dict[str, Any]) -> dict[str, Any]:
    """Short keys made long, and `~` at either end of a topic replaced."""
    base = config.pop("~", None)
    found = {ABBREVIATIONS.get(key, key): value for key, value in config.items()}
    for key, value in found.items():
        if base is not None and key.endswith("_topic"):
            if value.startswith("~"):
                found[key] = base + value[1:]
            elif value.endswith("~"):
                found[key] = value[:-1] + base
    if isinstance(found.get("device"), dict):
        found["device"] = {
            DEVICE_ABBREVIATIONS.get(key, key): value for key, value in found["device"].items()
        }
    return found


def entity_of(topic: str, payload: bytes) -> Entity:
    found = DISCOVERY_TOPIC.fullmatch(topic)
    assert found is not None, topic
    return COMPONENTS[found[1]].model_validate(written_out(json.loads(payload)))


def first_words(vendor: str) -> tuple[Any, list[Publish], list[Publish]]:
    """A device, its announcements, and all else that it says within ten seconds."""
    module = import_module(registry.vendor(vendor).simulator)
    device = module.fleet(FleetSpec(1, vendor, 0, {}), lambda _: Random(1))[0]
    said = list(device.connected(0).messages)
    for at_ms in range(100, 10_000, 100):
        said += device.wake(at_ms).messages
    announced = [each for each in said if each.topic.startswith("homeassistant/")]
    return device, announced, [each for each in said if each not in announced]


@pytest.mark.parametrize("name", VENDORS)
def test_home_assistant_takes_every_announcement(name: str) -> None:
    _, announced, _ = first_words(name)

    entities = [entity_of(each.topic, each.payload) for each in announced]

    assert entities
    assert all(each.retain for each in announced)
    assert len({entity.unique_id for entity in entities}) == len(entities)


@pytest.mark.parametrize("name", VENDORS)
def test_what_is_announced_is_where_the_device_speaks_and_listens(name: str) -> None:
    device, announced, said = first_words(name)
    spoken = {each.topic for each in said} | {device.session.will.topic}
    heard = [topic for topic, _ in device.session.subscriptions]

    for each in announced:
        entity = entity_of(each.topic, each.payload)
        assert entity.availability_topic == device.session.will.topic
        assert entity.payload_not_available == device.session.will.payload.decode()
        assert getattr(entity, "state_topic", None) in spoken
        command = getattr(entity, "command_topic", None)
        assert command is None or any(
            command == topic or (topic.endswith("#") and command.startswith(topic[:-1]))
            for topic in heard
        )


@pytest.mark.parametrize("name", VENDORS)
def test_what_is_announced_as_a_command_is_one(name: str) -> None:
    """Each payload of the discovery message moves the device in some state of it."""
    _, announced, _ = first_words(name)
    module = import_module(registry.vendor(name).simulator)

    for each in announced:
        entity = entity_of(each.topic, each.payload)
        topic = getattr(entity, "command_topic", None)
        words = {
            key: value
            for key, value in entity.model_dump().items()
            if key.startswith("payload_") and "available" not in key and value is not None
        }
        for key, word in words.items() if topic is not None else ():
            answered = [
                answers(module, name, habit, Publish(topic, word.encode()))
                for habit in sorted(module.HABITS)
            ]
            assert any(answered), f"{topic} {key} {word}"


def answers(module: Any, name: str, habit: str, command: Publish) -> bool:
    """Whether a device says anything upon the command, after somebody did something."""
    device = module.fleet(FleetSpec(1, name, 0, {}), lambda _: Random(1))[0]
    device.connected(0)
    device.wake(60_000)
    device.act(habit, 60_000)
    return bool(device.receive(command, 61_000).messages)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"command_topic": None}, "command_topic"),
        ({"command_topic": "a/#"}, "command_topic"),
        ({"payload_lokc": "2"}, "payload_lokc"),
        ({"device": {"name": "no identifiers"}}, "identifiers"),
        ({"unique_id": ""}, "unique_id"),
    ],
)
def test_the_schema_here_refuses_what_home_assistant_refuses(
    change: dict[str, Any], place: str
) -> None:
    good = {
        "command_topic": "a/b",
        "unique_id": "u",
        "device": {"identifiers": "i"},
    }
    Lock.model_validate(good)

    with pytest.raises(ValidationError, match=place):
        Lock.model_validate(good | change)


@pytest.mark.skipif(not FOLDER, reason="DOORFLEET_RECORDINGS names no folder of recordings")
def test_recorded_announcements_pass_and_ours_have_the_same_keys() -> None:
    ours = {
        (name, each.topic.split("/")[1]): written_out(json.loads(each.payload))
        for name in VENDORS
        for each in first_words(name)[1]
    }
    seen = set()

    for path in RECORDED:
        for line in map(json.loads, path.read_text().splitlines()):
            if not str(line.get("topic", "")).startswith("homeassistant/"):
                continue
            entity_of(line["topic"], json.dumps(line["payload"]).encode())
            key = (path.parent.name, line["topic"].split("/")[1])
            real, made = written_out(dict(line["payload"])), ours[key]
            seen.add(key)
            assert made.keys() == real.keys(), key
            assert made["device"].keys() == real["device"].keys(), key
            for word in real.keys() - {"name", "unique_id", "device"}:
                if not word.endswith("_topic"):
                    assert made[word] == real[word], (key, word)

    assert len(seen) >= 4
