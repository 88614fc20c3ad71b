"""Shards: every device is in exactly one, hubs are never parted, and nobody changes by it."""

from collections import Counter
from importlib import import_module

import pytest

from devices.errors import ConfigError
from fleet_sim.fleet import Population, blocks_of
from fleet_sim.shard import WHOLE, Shard
from vendors import registry
from vendors.sim import Addresses, Group, SimDevice

EPOCH_MS = 1_767_571_200_000
OF = 3


def hub_of(device: SimDevice) -> str:
    return device.hub.name if device.hub is not None else device.name


@pytest.mark.parametrize("vendor", registry.names())
def test_the_shards_of_a_fleet_are_the_fleet_and_no_hub_is_in_two(vendor: str) -> None:
    whole = Population(vendor, 40, 1, EPOCH_MS)
    parts = [Population(vendor, 40, 1, EPOCH_MS, shard=Shard(index, OF)) for index in range(OF)]

    names = [[device.name for device in part.devices] for part in parts]
    hubs = Counter(hub for part in parts for hub in {hub_of(device) for device in part.devices})

    assert sorted(name for some in names for name in some) == sorted(
        device.name for device in whole.devices
    )
    assert set(hubs.values()) == {1}
    assert set(hubs) == {hub_of(device) for device in whole.devices}


@pytest.mark.parametrize("vendor", registry.names())
def test_a_device_is_the_same_in_a_shard(vendor: str) -> None:
    whole = Population(vendor, 12, 7, EPOCH_MS)
    by_name = {device.name: device for device in whole.devices}
    for index in range(2):
        for device in Population(vendor, 12, 7, EPOCH_MS, shard=Shard(index, 2)).devices:
            same = by_name[device.name]
            habits = list(whole.module.HABITS)
            assert device.connected(EPOCH_MS) == same.connected(EPOCH_MS)
            for at_ms in range(EPOCH_MS + 60_000, EPOCH_MS + 2_000_000, 60_000):
                habit = habits[at_ms // 60_000 % len(habits)]
                assert device.wake(at_ms) == same.wake(at_ms)
                assert device.act(habit, at_ms) == same.act(habit, at_ms)


@pytest.mark.parametrize("vendor", registry.names())
def test_a_gateway_of_a_shard_is_told_of_the_shards_hubs_only(vendor: str) -> None:
    def told(shard: Shard) -> str:
        part = Population(vendor, 40, 1, EPOCH_MS, shard=shard)
        hubs = {hub_of(device): f"http://127.0.0.1:{n}" for n, device in enumerate(part.devices, 1)}
        at = Addresses("mqtt://127.0.0.1:1883", "127.0.0.1:60000", hubs)
        settings = part.gateway_settings(at)
        # What a cell reads: whatever is missing or wrong is an error.
        registry.vendor(vendor).settings.model_validate(settings)
        return str(settings)

    whole = told(WHOLE)
    parts = [told(Shard(index, OF)) for index in range(OF)]

    if "405000001" in whole:  # panels are told one by one
        assert sum(part.count("'serial'") for part in parts) == whole.count("'serial'") == 40


def test_shards_are_about_as_big_as_each_other() -> None:
    sizes = Counter(
        next(index for index in range(4) if Shard(index, 4).has("ratgdo", number))
        for number in range(20_000)
    )

    assert set(sizes) == {0, 1, 2, 3}
    assert max(sizes.values()) < 1.06 * 5_000


@pytest.mark.parametrize(("index", "of"), [(1, 1), (-1, 2), (0, 0)])
def test_a_shard_that_is_none_is_refused(index: int, of: int) -> None:
    with pytest.raises(ValueError, match=f"shard {index} of {of}"):
        Shard(index, of)


def test_devices_of_a_group_are_otherwise_and_the_others_are_not() -> None:
    groups = (Group(range(2, 4), {"doors": 2}),)
    plain = Population("uhppote", 4, 1, EPOCH_MS)
    mixed = Population("uhppote", 4, 1, EPOCH_MS, groups=groups)

    assert [len(panel.doors) for panel in mixed.devices] == [4, 2, 2, 4]  # type: ignore[attr-defined]
    assert [panel.name for panel in mixed.devices] == [panel.name for panel in plain.devices]
    settings = mixed.gateway_settings(Addresses(datagrams="127.0.0.1:60000"))
    assert [panel["doors"] for panel in settings["panels"]] == [4, 2, 2, 4]  # type: ignore[index, attr-defined]


def test_what_concerns_a_whole_fleet_cannot_be_of_a_group() -> None:
    with pytest.raises(
        ConfigError, match=r"shelly: its devices cannot differ in transport; .*profile"
    ):
        Population("shelly", 4, 1, EPOCH_MS, groups=(Group(range(1, 2), {"transport": "mqtt"}),))


@pytest.mark.parametrize("vendor", registry.names())
def test_a_mistake_in_a_group_is_found_before_anything_is_made(vendor: str) -> None:
    own = getattr(import_module(registry.vendor(vendor).simulator), "OF_ONE", frozenset())
    for option in sorted({*own, "colour"}):
        with pytest.raises(ConfigError, match=vendor):
            Population(vendor, 4, 1, EPOCH_MS, groups=(Group(range(9, 10), {option: object()}),))


@pytest.mark.parametrize(
    ("vendor", "options"),
    [
        ("meross", {"model": "msg300"}),
        ("nuki_bridge", {"locks_per_bridge": "4"}),
        ("tedee", {"locks_per_bridge": "4"}),
        ("tedee", {"locks_per_bridge": 0}),
    ],
)
def test_a_mistake_is_the_same_in_a_shard(vendor: str, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as whole:
        Population(vendor, 4, 1, EPOCH_MS, options)
    with pytest.raises(ConfigError) as sharded:
        Population(vendor, 4, 1, EPOCH_MS, options, shard=Shard(0, 2))
    with pytest.raises(ConfigError) as in_blocks:
        list(blocks_of(vendor, 4, EPOCH_MS, options, WHOLE, 2))

    assert sharded.value.problems == in_blocks.value.problems == whole.value.problems


@pytest.mark.parametrize(("devices", "times"), [(0, 1), (100, 1), (101, 2), (250, 3)])
def test_a_shard_that_is_too_large_is_cut_into_slices_of_just_its_devices(
    devices: int, times: int
) -> None:
    shard = Shard(1, 2)
    slices = shard.slices(devices, 50)

    def has(each: Shard) -> set[int]:
        return {number for number in range(500) if each.has("nuki", number)}

    assert len(slices) == times
    assert set().union(*map(has, slices)) == has(shard)
    assert sum(len(has(each)) for each in slices) == len(has(shard))
