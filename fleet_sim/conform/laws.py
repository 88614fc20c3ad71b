"""What holds for every vendor, ours and third parties'. Each law is a function that a breach stops.

A law is told a `Bench`: one vendor, and streets of its devices to play in. It raises `BreachError`
with what it saw, or `WaivedError` with the reason why it does not apply.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from random import Random
from typing import Any, Final

from pydantic import ValidationError

from devices.command import COMMANDS, Command
from devices.errors import (
    ConfigError,
    DecodeError,
    FleetError,
    RefusedError,
    RejectedError,
    UnavailableError,
)
from devices.kinds import HAPPENINGS, KINDS
from devices.reading import Reading
from fleet_sim.conform.street import ARGUMENTS, EPOCH_MS, Play, Street, perform
from fleet_sim.faults import FAULTS, Strikes
from fleet_sim.promises import is_promise
from vendors import registry
from vendors.api import Delivery, Frame
from vendors.sim import Addresses, FleetSpec, SimDevice

#: Measured by the adapter and spoken for by the broker's will: no truth of the device's.
NOT_THE_DEVICES: Final = frozenset({"clock_skew_s"})
_FRAMES_MIN: Final = 100
_LIVES: Final = range(7, 15)
_SPOILT_MAX: Final = 400
# A command ends at its deadline; its adapter may need a moment more to let go.
_PATIENCE_S: Final = 2.0


class BreachError(FleetError):
    """The vendor's author's move: the law is broken; says what was seen."""


class WaivedError(FleetError):
    """Nobody's move: the law does not apply; says why."""


def must(holds: object, seen: object) -> None:
    """Go on if it holds.

    Raises:
        BreachError: with what was seen.
    """
    if not holds:
        raise BreachError(str(seen)[:2_000])


class Bench:
    """One vendor under test; a play on the same street ends the same and is played once."""

    def __init__(self, name: str) -> None:
        self.vendor = registry.vendor(name)
        self.module: Any = import_module(self.vendor.simulator)
        self._played: dict[tuple[Play, int, int], Street] = {}

    def street(self, play: Play, *, count: int = 2, seed: int = 7, fresh: bool = False) -> Street:
        """The street after the play."""
        if fresh:
            return perform(self.vendor, self.module, play, count=count, seed=seed)
        key = (play, count, seed)
        if key not in self._played:
            self._played[key] = perform(self.vendor, self.module, play, count=count, seed=seed)
        return self._played[key]

    def devices(self, options: Mapping[str, object] | None = None) -> list[SimDevice]:
        """Two devices, not running."""
        spec = FleetSpec(2, self.vendor.name, EPOCH_MS, options or {})
        return list(self.module.fleet(spec, lambda _: Random(1)))  # noqa: S311 -- as good as any

    def settings(self) -> dict[str, object]:
        """What its simulator would have a gateway's cell told."""
        hubs = {device.hub.name: device.hub for device in self.devices() if device.hub is not None}
        urls = {
            name: f"{'https' if hub.tls else 'http'}://192.0.2.1:8080" for name, hub in hubs.items()
        }
        at = Addresses("mqtt://broker.example:1883", "192.0.2.1:60000", urls)
        return dict(self.module.gateway_settings(FleetSpec(2, self.vendor.name, EPOCH_MS, {}), at))


@dataclass(frozen=True, slots=True)
class Law:
    """One law: a sentence, and what tries it."""

    sentence: str
    check: Callable[[Bench], None]

    @property
    def name(self) -> str:
        """The sentence as an identifier."""
        return re.sub(r"[^a-z]+", "_", self.sentence.lower()).strip("_")


# --- plays ------------------------------------------------------------------------------------


async def an_hour(here: Street) -> None:
    """People use everything."""
    await here.people(3_000, gap_s=60)
    await asyncio.sleep(600)


async def ten_minutes(here: Street) -> None:
    """People are in a hurry."""
    await here.people(600, gap_s=10)


async def bad_links(here: Street) -> None:
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


async def busy_street(here: Street, fault: str | None) -> None:
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


# --- the value that the registry lists --------------------------------------------------------


def well_formed(bench: Bench) -> None:
    """The value that the registry lists is complete."""
    vendor = bench.vendor
    must(re.fullmatch(r"[a-z][a-z0-9_]{1,31}", vendor.name), f"name {vendor.name!r}")
    must(vendor.title and vendor.transports and vendor.checked_by, "a title, transport or witness")
    must(KINDS[vendor.kind.name] is vendor.kind, "its kind is none of devices.kinds")
    must(len(set(vendor.commands)) == len(vendor.commands), "a command is listed twice")
    strange = set(vendor.commands) - set(COMMANDS[vendor.kind.name])
    must(not strange, f"{sorted(strange)}: no commands of a {vendor.kind.name}")
    must(
        vendor.delivery is not Delivery.POLL or vendor.staleness_s is not None,
        "who polls knows how old a state may be: staleness_s",
    )
    must(find_spec(vendor.simulator) is not None, f"{vendor.simulator}: no such module")


def habits_and_faults(bench: Bench) -> None:
    """Rates are rates, and each fault says where it was seen."""
    module = bench.module
    must(module.HABITS and all(rate > 0 for rate in module.HABITS.values()), module.HABITS)
    must(module.FAULTS, "a vendor without a fault: look again")
    for name, source in module.FAULTS.items():
        must(len(source) > len("invented"), f"{name}: where was it seen?")
    for kind, name in getattr(module, "KINDS", {}).items():
        known = kind in FAULTS and FAULTS[kind].strikes is Strikes.DEVICE
        must(known, f"{kind}: no kind of the catalogue that strikes a device")
        must(name in module.FAULTS, f"{kind} is {name}: no fault of its own")
    for what in ("no_such_habit", "fault:no_such_fault", "heal:no_such_fault"):
        try:
            bench.devices()[0].act(what, EPOCH_MS)
        except KeyError:
            continue
        must(False, f"{what} is taken for something")  # noqa: FBT003 -- reached is broken


def settings_are_strict(bench: Bench) -> None:
    """The simulator's settings are good ones, and what is wrong is named."""
    model, good = bench.vendor.settings, bench.settings()
    settings = model.model_validate(good)
    must(settings.model_config.get("frozen"), "settings are frozen=True")
    must(settings.model_config.get("extra") == "forbid", 'settings are extra="forbid"')
    wrong: list[tuple[str, object]] = [("no_such_setting", 1)]
    for name, field in model.model_fields.items():
        must(field.description, f"{name} says nothing to the operator")
        wrong.append((name, object()))
    for name, value in wrong:
        try:
            model.model_validate(good | {name: value})
        except ValidationError as error:
            places = {problem["loc"][0] for problem in error.errors()}
            must(places == {name}, f"{name} is wrong, and {sorted(map(str, places))} are named")
        else:
            must(False, f"{name}={value!r} is taken")  # noqa: FBT003 -- reached is broken


def options_are_known(bench: Bench) -> None:
    """A fleet option that does not exist is named."""
    try:
        bench.devices({"no_such_option": 1})
    except ConfigError as error:
        must("no_such_option" in str(error), error)
    else:
        must(False, "no_such_option is taken")  # noqa: FBT003 -- reached is broken


# --- an hour in the street --------------------------------------------------------------------


def understood(bench: Bench) -> None:
    """What the simulator says, the codec hears."""
    here = bench.street(an_hour)
    must(not here.errors, here.errors[:3])
    must(len(here.frames) > _FRAMES_MIN, f"{len(here.frames)} frames in an hour")


def twins_end_true(bench: Bench) -> None:
    """The twins end as the devices say they are, on just the axes that they tell."""
    here = bench.street(an_hour)
    for device in here.devices:
        must(device.name in here.twins, f"{device.name} was never heard of")
        true = _without(here.finally_true(device.name))
        axes = _without(here.twins[device.name].axes)
        must(set(axes) == set(true), f"{device.name}: {set(axes) ^ set(true)} only on one side")
        _compare(here, device)


def happenings_counted(bench: Bench) -> None:
    """What took place is told as often as it took place."""
    here = bench.street(an_hour)
    took_place = [truth for truth in here.truths if here.vendor.kind.axis(truth.key) is None]
    for truth in took_place:
        must(truth.key in HAPPENINGS, f"{truth.key}: neither an axis nor a happening")
    for device in here.devices:
        for what in {truth.key for truth in took_place}:
            true = sum(t.sent for t in took_place if (t.device, t.key) == (device.name, what))
            heard = here.happened[device.name, what]
            must(heard == true, f"{device.name} {what}: {true} times, and heard {heard} times")


def repeatable(bench: Bench) -> None:
    """The same seed makes the same frames, and another one others."""

    def told(seed: int) -> list[tuple[str, bytes, int]]:
        here = bench.street(ten_minutes, seed=seed, fresh=True)
        return [(frame.source, frame.payload, frame.received_at_ms) for frame in here.frames]

    first = told(7)
    must(first == told(7), "two runs of one seed differ")
    must(first != told(8), "the seed makes no difference")


def chance_is_the_devices_own(bench: Bench) -> None:
    """Another device in the street changes nobody else's chance."""
    small, large = bench.street(ten_minutes), bench.street(ten_minutes, count=4)
    for device in small.devices:
        ours = [truth for truth in small.truths if truth.device == device.name]
        theirs = [truth for truth in large.truths if truth.device == device.name]
        must(ours == theirs, f"{device.name} lives otherwise among four than among two")


def links_may_break(bench: Bench) -> None:
    """Broken links cost nothing but time."""
    device = bench.devices()[0]
    if (device if device.hub is None else device.hub).session is None:
        raise WaivedError("datagram devices and servers have no link of their own to lose")
    here = bench.street(bad_links)
    must(not here.said_without_link, f"said without a link: {here.said_without_link[:3]}")
    must(not here.errors, here.errors[:3])
    for device in here.devices:
        _compare(here, device)


# --- faults and commands ----------------------------------------------------------------------


async def a_busy_day(here: Street) -> None:
    """With no fault."""
    await busy_street(here, None)


def faults_show_and_heal(bench: Bench) -> None:
    """Each fault of its catalogue shows, is survived, and heals."""
    quiet = getattr(bench.module, "QUIET_FAULTS", {})
    strange = set(quiet) - set(bench.module.FAULTS)
    must(not strange, f"quiet, and no faults: {sorted(strange)}")
    for fault in bench.module.FAULTS:

        async def ill(here: Street, fault: str = fault) -> None:
            await busy_street(here, fault)

        # In one life nobody may have done what the fault is about: then another is looked at.
        for seed in _LIVES if fault not in quiet else _LIVES[:1]:
            here = bench.street(ill, seed=seed, fresh=True)
            for device in here.devices:
                _compare(here, device, f"after {fault}")
            if here.sent != bench.street(a_busy_day, seed=seed).sent:
                break
        else:
            must(fault in quiet, f"{fault} makes no difference")


def commands_are_done(bench: Bench) -> None:
    """Each command is understood, and seen to be done."""
    done: dict[str, bool] = {}

    async def attempt(here: Street) -> None:
        for name in here.vendor.commands:
            done[name] = await _until_done(here, name)

    bench.street(attempt, count=1, fresh=True)
    missing = [name for name in bench.vendor.commands if not done[name]]
    must(not missing, f"never seen to be done: {', '.join(missing)}")


async def _until_done(here: Street, name: str) -> bool:
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


def commands_end(bench: Bench) -> None:
    """Each command ends by its deadline, whoever is silent, and in a way that has a name."""
    problems: list[str] = []

    async def into_silence(here: Street) -> None:
        device = here.devices[0]
        await asyncio.sleep(30)
        for mute in (True, False):
            here.mute = mute
            for number, name in enumerate((*here.vendor.commands, "NoSuchCommand")):
                args = ARGUMENTS.get(name, {})
                part = here.part(name) if name in here.vendor.commands else ""
                until_ms = here.now_ms() + 3_000
                command = Command(f"c{number}", device.name, name, until_ms, part, args)
                try:
                    async with asyncio.timeout(3 + _PATIENCE_S):
                        await here.adapter.send(command)
                except (RefusedError, RejectedError, UnavailableError):
                    pass
                except TimeoutError:
                    problems.append(f"{name}: still under way after its deadline (mute: {mute})")
                except Exception as error:  # noqa: BLE001 -- what it is, is the finding
                    problems.append(f"{name}: {type(error).__name__}: {error} (mute: {mute})")

    bench.street(into_silence, count=1, fresh=True)
    must(not problems, "; ".join(problems))


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


def garbage_is_refused(bench: Bench) -> None:
    """Bytes that nobody can mean are refused or unknown, never a promise, and never a crash."""
    here = bench.street(an_hour)
    decode = bench.vendor.decoder(here.settings)
    for source, payload in sorted({(f.source, f.payload) for f in here.frames})[:_SPOILT_MAX]:
        for bad in spoilt(payload):
            for retained in (False, True):
                seen = f"{source} {bad[:40]!r}"
                try:
                    facts = decode(Frame(source, bad, EPOCH_MS, retained))
                except DecodeError:
                    continue
                except Exception as error:
                    raise BreachError(f"{seen}: {type(error).__name__}: {error}") from error
                for fact in facts:
                    if isinstance(fact, Reading):
                        must(not is_promise(fact.axis, fact.value), f"{seen}: {fact}")
                        must(fact.value is not None or fact.reason, f"{seen}: {fact}")


def strange_sources(bench: Bench) -> None:
    """A source that nobody has is refused or says nothing."""
    decode = bench.vendor.decoder(bench.vendor.settings.model_validate(bench.settings()))
    for source in ("", "/", "\0", "udp/", "udp/x", "nuki//state", "a" * 70_000, "$SYS/x", "😀"):
        for payload in (b"", b"1", b"closed", b"\x17" + b"\0" * 63, b"\xff" * 64, b"{}"):
            try:
                facts = decode(Frame(source, payload, EPOCH_MS))
            except DecodeError:
                continue
            must(not list(facts), f"{source[:40]!r} {payload[:20]!r}: {facts}")


LAWS: Final = (
    Law("a vendor is one well-formed value", well_formed),
    Law("habits have rates and faults have sources", habits_and_faults),
    Law("a wrong setting is named, and only that", settings_are_strict),
    Law("a fleet option that does not exist is named", options_are_known),
    Law("what the simulator says, the codec hears", understood),
    Law("the twins end as the devices say they are", twins_end_true),
    Law("what took place is told as often as it took place", happenings_counted),
    Law("the same seed makes the same frames", repeatable),
    Law("another device changes nobody else's chance", chance_is_the_devices_own),
    Law("broken links cost nothing but time", links_may_break),
    Law("each fault shows, is survived, and heals", faults_show_and_heal),
    Law("each command is seen to be done", commands_are_done),
    Law("each command ends, whoever is silent", commands_end),
    Law("garbage is refused or unknown, never a promise", garbage_is_refused),
    Law("a source that nobody has says nothing", strange_sources),
)


def _without(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in NOT_THE_DEVICES}


def _compare(here: Street, device: SimDevice, when: str = "in the end") -> None:
    """Hold a device's twin against what is true of it."""
    twin = here.twins.get(device.name)
    axes = twin.axes if twin is not None else {}
    wrong = {
        axis: f"{axes[axis].value if axis in axes else 'absent'}, and is {value}"
        for axis, value in _without(here.finally_true(device.name)).items()
        if axis not in axes or axes[axis].value != value
    }
    must(not wrong, f"{device.name} {when}: {wrong}")
