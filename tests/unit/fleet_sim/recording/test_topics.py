"""Where vendors' devices speak on a broker, held against what our simulated ones do."""

import pytest

from devices.errors import ConfigError
from fleet_sim.broker.topics import matches
from fleet_sim.fleet import Population
from fleet_sim.recording import topics
from fleet_sim.recording.deeds import sightings
from vendors import registry
from vendors.sim import MqttSession, Publish

NOW_MS = 1_767_571_200_000
#: What lets a vendor's devices speak over a broker, where they do it only if they are told to.
BY_MQTT = {"opengarage": {"transport": "mqtt"}, "zwave_js": {"transport": "mqtt"}}


def spoken(vendor: str) -> tuple[list[Publish], list[MqttSession]]:
    """What a few of a vendor's devices, or their hub, publish when they come up and are used."""
    population = Population(vendor, 3, 1, NOW_MS, BY_MQTT.get(vendor))
    said, sessions = [], []
    for device in population.devices:
        speaker = device if device.session is not None else device.hub
        if speaker is None or speaker.session is None:
            continue
        sessions.append(speaker.session)
        said += [m for m in speaker.connected(NOW_MS).messages if isinstance(m, Publish)]
        for number, habit in enumerate(population.module.HABITS):
            at_ms = NOW_MS + 600_000 * (number + 1)
            for effects in (device.act(habit, at_ms), device.wake(at_ms + 30_000)):
                said += [m for m in effects.messages if isinstance(m, Publish)]
    return said, sessions


@pytest.mark.parametrize("vendor", sorted(topics.VENDORS))
def test_all_that_a_simulated_device_says_is_listened_to(vendor: str) -> None:
    said, sessions = spoken(vendor)
    heard = topics.of_vendor(vendor).all
    assert sessions

    names = {publish.topic for publish in said}
    names |= {session.will.topic for session in sessions if session.will is not None}
    discovery = {name for name in names if name.startswith("homeassistant/")}
    if vendor == "opengarage":  # its notifications have no topic that could be told from others'
        names = {name for name in names if "/" in name}
    assert names
    assert {n for n in names - discovery if not any(matches(f, n) for f in heard)} == set()
    assert {name for name in names if topics.is_host(name)} == set()


def test_what_devices_of_a_broker_say_shows_who_they_are() -> None:
    shown = set()
    for vendor in topics.VENDORS:
        said, _ = spoken(vendor)
        records = [
            {
                "at_ms": 0,
                "transport": "mqtt",
                "topic": each.topic,
                "payload_hex": each.payload.hex(),
            }
            for each in said
        ]
        seen = {each.vendor for each in sightings(records)}
        assert seen <= {vendor}, vendor
        shown |= seen

    assert {"nuki", "ratgdo", "zigbee2mqtt", "meross", "shelly"} <= shown


@pytest.mark.parametrize(
    ("topic", "host"),
    [
        ("nuki/398172F4/lockAction", True),
        ("nuki/398172F4/state", False),
        ("home/garage/left/command/door", True),
        ("zigbee2mqtt/Haus/set", True),
        ("doorfleet/v1/home/nuki/a/command", True),
        ("doorfleet/v1/home/nuki/a/event/lock.changed", False),
    ],
)
def test_a_command_is_the_hosts(topic: str, host: bool) -> None:
    assert topics.is_host(topic) is host


@pytest.mark.parametrize(
    ("pattern", "topic", "wanted"),
    [
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("+/b", "a/b", True),
        ("#", "$SYS/x", False),
        ("a/b", "a/b/c", False),
    ],
)
def test_filters_are_read_as_brokers_read_them(pattern: str, topic: str, wanted: bool) -> None:
    assert matches(pattern, topic) is wanted


@pytest.mark.parametrize("pattern", ["", "a/#/b", "a#", "a+/b", "#/#"])
def test_a_filter_that_is_none_is_told_with_a_remedy(pattern: str) -> None:
    assert "; write" in str(topics.problem(pattern))


@pytest.mark.parametrize("vendor", sorted({*registry.names()} - {*topics.VENDORS}))
def test_who_does_not_speak_over_a_broker_is_told_what_to_do(vendor: str) -> None:
    with pytest.raises(ConfigError, match="--northbound"):
        topics.of_vendor(vendor)
