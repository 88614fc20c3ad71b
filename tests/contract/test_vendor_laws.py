"""What holds for every vendor of the registry, ours and third parties'."""

import ast
import asyncio
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Final

import pytest
import yaml
from pydantic import ValidationError

from devices.command import COMMANDS
from devices.errors import ConfigError, DecodeError
from devices.kinds import KINDS
from devices.reading import Reading
from vendors import registry
from vendors.api import Delivery, Frame, Vendor
from vendors.sim import Addresses, FleetSpec, SimDevice

#: What must never be read out of bytes that nobody can mean.
PROMISES: Final = {
    "position": {"FullyClosed", "FullyOpened"},
    "lock_state": {"Locked", "Unlocked", "Unlatched"},
    "door_state": {"DoorClosed"},
    "physical_state": {"Closed"},
    "remote_lockout": {"Locked"},
}
#: Measured by the adapter and spoken for by the broker's will: no truth of the device's.
NOT_THE_DEVICES: Final = {"clock_skew_s"}
#: Faults that a gateway which never was away cannot see, with the reason.
QUIET_FAULTS: Final = {
    ("uhppote", "ring_full"): "records are erased that a gateway at work has long read",
}


def fleet_of(vendor: Vendor, options: dict[str, object] | None = None) -> list[SimDevice]:
    spec = FleetSpec(2, vendor.name, 1_767_225_600_000, options or {})
    return list(import_module(vendor.simulator).fleet(spec, lambda _: Random(1)))


def good_settings(vendor: Vendor) -> dict[str, object]:
    hubs = {device.hub.name: device.hub for device in fleet_of(vendor) if device.hub is not None}
    at = Addresses(
        "mqtt://broker.example:1883",
        "192.0.2.1:60000",
        {name: f"{'https' if hub.tls else 'http'}://192.0.2.1:8080" for name, hub in hubs.items()},
    )
    spec = FleetSpec(2, vendor.name, 1_767_225_600_000, {})
    return dict(import_module(vendor.simulator).gateway_settings(spec, at))


# --- the value that the registry lists --------------------------------------------------------


def test_a_vendor_is_one_well_formed_value(vendor: str) -> None:
    found = registry.vendor(vendor)

    assert found.name == vendor
    assert re.fullmatch(r"[a-z][a-z0-9_]{1,31}", found.name)
    assert found.title
    assert KINDS[found.kind.name] is found.kind
    assert found.transports
    assert found.checked_by
    assert len(set(found.commands)) == len(found.commands)
    assert found.delivery is not Delivery.POLL or found.staleness_s is not None
    assert find_spec(found.simulator) is not None


def test_its_commands_are_commands_of_its_kind(vendor: str) -> None:
    found = registry.vendor(vendor)

    assert set(found.commands) <= set(COMMANDS[found.kind.name])


def test_its_simulator_offers_habits_and_faults_with_their_source(vendor: str) -> None:
    module = import_module(registry.vendor(vendor).simulator)

    assert module.HABITS
    assert all(rate > 0 for rate in module.HABITS.values())
    assert module.FAULTS
    assert all(len(source) > 10 for source in module.FAULTS.values())


@pytest.mark.parametrize("what", ["codec", "simulator"])
def test_what_codec_and_simulator_use_of_their_folder_is_as_pure_as_they_are(
    vendor: str, what: str
) -> None:
    """The linter looks at `codec` and `simulator` themselves; this looks behind them."""
    impure = {"asyncio", "os", "socket", "ssl", "subprocess", "threading", "time", "structlog"}
    package = registry.vendor(vendor).simulator.rpartition(".")[0]
    waiting, seen, found = [f"{package}.{what}"], set(), []
    while waiting:
        name = waiting.pop()
        spec = find_spec(name) if name not in seen else None
        seen.add(name)
        if spec is None or spec.origin is None:
            continue
        for node in ast.walk(ast.parse(Path(spec.origin).read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            found += [f"{name}: {each}" for each in names if each.partition(".")[0] in impure]
            waiting += [each for each in names if each.startswith(f"{package}.") and _module(each)]

    assert found == []


def _module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


# --- settings ---------------------------------------------------------------------------------


def test_the_simulators_own_settings_are_good_ones(vendor: str) -> None:
    found = registry.vendor(vendor)

    settings = found.settings.model_validate(good_settings(found))

    assert settings.model_config.get("frozen")
    assert settings.model_config.get("extra") == "forbid"


def test_the_settings_that_its_readme_shows_are_good_ones(vendor: str) -> None:
    spec = find_spec(registry.vendor(vendor).simulator)
    assert spec is not None
    readme = Path(str(spec.origin)).parent / "README.md"
    if vendor not in registry.OURS and not readme.exists():
        pytest.skip("a package of its own, without a README beside the code")

    shown = [
        cell
        for block in re.findall(r"(?ms)^```yaml\n(.*?)^```$", readme.read_text())
        for cell in yaml.safe_load(block).get("cells", [])
    ]

    assert all(cell["vendor"] == vendor for cell in shown)
    for cell in shown:
        registry.vendor(vendor).settings.model_validate(cell["settings"])


def test_a_setting_that_does_not_exist_is_named(vendor: str) -> None:
    found = registry.vendor(vendor)

    with pytest.raises(ValidationError) as raised:
        found.settings.model_validate(good_settings(found) | {"no_such_setting": 1})

    assert [error["loc"] for error in raised.value.errors()] == [("no_such_setting",)]


def test_each_setting_of_a_wrong_type_is_named(vendor: str) -> None:
    found = registry.vendor(vendor)
    fields = found.settings.model_fields

    for name, field in fields.items():
        with pytest.raises(ValidationError) as raised:
            found.settings.model_validate(good_settings(found) | {name: object()})
        assert {error["loc"][0] for error in raised.value.errors()} == {name}
        assert field.description, f"{vendor}.{name} says nothing to the operator"


def test_a_fleet_option_that_does_not_exist_is_named(vendor: str) -> None:
    with pytest.raises(ConfigError, match="no_such_option"):
        fleet_of(registry.vendor(vendor), {"no_such_option": 1})


# --- an hour in the street --------------------------------------------------------------------


async def an_hour(here) -> None:
    await here.people(3_000, gap_s=60)
    await asyncio.sleep(600)


async def ten_minutes(here) -> None:
    await here.people(600, gap_s=10)


def test_all_that_the_simulator_sends_is_understood(vendor: str, street) -> None:
    here = street(vendor, an_hour)

    assert here.errors == []
    assert len(here.frames) > 100


def test_the_twins_end_as_the_devices_say_they_are(vendor: str, street) -> None:
    here = street(vendor, an_hour)

    for device in here.devices:
        true = here.finally_true(device.name)
        axes = here.twins[device.name].axes
        assert set(axes) - NOT_THE_DEVICES == set(true) - NOT_THE_DEVICES
        assert {key: axes[key].value for key in true if key not in NOT_THE_DEVICES} == {
            key: value for key, value in true.items() if key not in NOT_THE_DEVICES
        }


def test_what_took_place_is_told_as_often_as_it_took_place(vendor: str, street) -> None:
    here = street(vendor, an_hour)
    kind = here.vendor.kind

    took_place = [truth for truth in here.truths if kind.axis(truth.key) is None]

    assert took_place or vendor not in registry.OURS
    for device in here.devices:
        for what in {truth.key for truth in took_place}:
            true = sum(t.sent for t in took_place if (t.device, t.key) == (device.name, what))
            assert (what, here.happened[device.name, what]) == (what, true)


def test_the_same_seed_makes_the_same_frames_and_another_one_others(vendor: str, street) -> None:
    def told(seed: int) -> list[tuple[str, bytes, int]]:
        here = street(vendor, ten_minutes, seed=seed, fresh=True)
        return [(f.source, f.payload, f.received_at_ms) for f in here.frames]

    assert told(7) == told(7)
    assert told(7) != told(8)


def test_another_device_in_the_street_changes_nobody_elses_chance(vendor: str, street) -> None:
    small, large = street(vendor, ten_minutes), street(vendor, ten_minutes, count=4)

    for device in small.devices:
        assert [t for t in small.truths if t.device == device.name] == [
            t for t in large.truths if t.device == device.name
        ]


async def bad_links(here) -> None:
    """Links break at every stage of a connect, for a moment and for a minute."""
    for away_s in (0.1, 1, 3, 30):
        for linked_s in (0.05, 1, 2.1, 2.3, 5, 20):
            await here.people(linked_s, gap_s=2)
            for device in here.devices:
                here.cut(device)
            await here.people(away_s, gap_s=0.5)
            for device in here.devices:
                here.join(device)
    await here.people(60, gap_s=5)
    await asyncio.sleep(60)


def test_broken_links_cost_nothing_but_time(vendor: str, street) -> None:
    if fleet_of(registry.vendor(vendor))[0].session is None:
        pytest.skip("datagram devices and servers have no link of their own to lose")

    here = street(vendor, bad_links)

    assert here.said_without_link == []
    assert here.errors == []
    for device in here.devices:
        true, axes = here.finally_true(device.name), here.twins[device.name].axes
        assert {key: axes[key].value for key in true} == true


# --- faults -----------------------------------------------------------------------------------


async def busy_street(here, fault: str | None) -> None:
    """Every habit and every command, some with the fault, and calm at the end."""
    device = here.devices[0]

    async def work(minutes: int) -> None:
        for turn in range(minutes):
            for name in here.vendor.commands:
                await here.send(device, name, 4_000)
                await asyncio.sleep(3 + turn % 7)
            await here.adapter.refresh(device.name)
            await here.people(60, gap_s=10)

    await work(2)
    if fault is not None:
        here.act(device, f"fault:{fault}")
    await work(4)
    if fault is not None:
        here.act(device, f"heal:{fault}")
    await asyncio.sleep(60)
    await work(2)
    await asyncio.sleep(300)


def test_each_fault_shows_and_heals(vendor: str, street) -> None:
    module = import_module(registry.vendor(vendor).simulator)

    healthy = street(vendor, lambda here: busy_street(here, None))
    for fault in module.FAULTS:
        here = street(vendor, lambda here, fault=fault: busy_street(here, fault))
        quiet = (vendor, fault) in QUIET_FAULTS
        assert quiet or here.sent != healthy.sent, f"{fault} makes no difference"
        for device in here.devices:
            true = here.finally_true(device.name)
            axes = here.twins[device.name].axes
            wrong = {
                key: (axes[key].value if key in axes else "absent", value)
                for key, value in true.items()
                if key not in NOT_THE_DEVICES and (key not in axes or axes[key].value != value)
            }
            assert (fault, wrong) == (fault, {})


def test_each_waiver_is_for_a_fault_that_exists() -> None:
    for name, fault in QUIET_FAULTS:
        assert fault in import_module(registry.vendor(name).simulator).FAULTS


def test_a_fault_or_habit_that_does_not_exist_is_a_key_error(vendor: str) -> None:
    device = fleet_of(registry.vendor(vendor))[0]

    for what in ("no_such_habit", "fault:no_such_fault", "heal:no_such_fault"):
        with pytest.raises(KeyError):
            device.act(what, 1_767_225_600_000)


# --- commands ---------------------------------------------------------------------------------


async def until_done(here, name: str) -> bool:
    """Try the command in one state after the other, until it was seen to be done."""
    spec, device = COMMANDS[here.vendor.kind.name][name], here.devices[0]
    habits = sorted(here.module.HABITS)
    await asyncio.sleep(30)
    for turn in range(60):
        here.act(device, habits[turn % len(habits)])
        await asyncio.sleep(3)
        await here.adapter.refresh(device.name)
        await asyncio.sleep(1)
        if here.holds(device, name, already=True) or not await here.send(device, name):
            continue
        for _ in range(spec.timeout_ms // 200):
            if here.holds(device, name):
                return True
            await asyncio.sleep(0.2)
    return False


def test_each_command_is_understood_and_seen_to_be_done(vendor: str, street) -> None:
    done: dict[str, bool] = {}

    async def try_each(here) -> None:
        for name in here.vendor.commands:
            done[name] = await until_done(here, name)

    street(vendor, try_each, count=1)

    assert done == dict.fromkeys(registry.vendor(vendor).commands, True)


# --- bytes that nobody can mean ---------------------------------------------------------------


def spoilt(payload: bytes) -> list[bytes]:
    """What no device can have meant by it."""
    return [
        payload + b"\0",
        payload + b"x",
        payload.upper() + b" ",
        bytes(byte | 0x80 for byte in payload),
        payload[: len(payload) // 2] + b"\xff",
        b"0" * 5 + payload,
        b"\xff\xfe",
        b"NaN",
        b"-1",
        b"1e400",
        b"null",
        b"[" * 2_000,
        b'{"state":1}',
        b"A" * 1_000_000,
    ]


def test_bytes_that_nobody_can_mean_are_refused_or_unknown_and_never_a_promise(
    vendor: str, street
) -> None:
    found = registry.vendor(vendor)
    here = street(vendor, an_hour)
    decode = found.decoder(here.settings)

    for source, payload in sorted({(f.source, f.payload) for f in here.frames})[:400]:
        for bad in spoilt(payload):
            for retained in (False, True):
                try:
                    facts = decode(Frame(source, bad, 1_767_225_600_000, retained))
                except DecodeError:
                    continue
                for fact in facts:
                    if isinstance(fact, Reading):
                        axis = fact.axis.rpartition(".")[2]
                        assert fact.value not in PROMISES.get(axis, ()), (source, bad[:40], fact)
                        assert fact.value is not None or fact.reason, (source, bad[:40], fact)


def test_a_source_that_nobody_has_is_refused_or_says_nothing(vendor: str) -> None:
    found = registry.vendor(vendor)
    decode = found.decoder(found.settings.model_validate(good_settings(found)))

    for source in ("", "/", "\0", "udp/", "udp/x", "nuki//state", "a" * 70_000, "$SYS/x", "😀"):
        for payload in (b"", b"1", b"closed", b"\x17" + b"\0" * 63, b"\xff" * 64):
            try:
                facts = decode(Frame(source, payload, 1_767_225_600_000))
            except DecodeError:
                continue
            assert list(facts) == []
