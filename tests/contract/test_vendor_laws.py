"""What holds for every vendor of the registry: the laws of `doorfleet-sim conform`, and our own."""

import ast
import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, Final

import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from devices.command import Command
from devices.errors import DecodeError
from devices.reading import Provenance, Reading
from fleet_sim.conform.laws import LAWS, Bench, BreachError, Law, WaivedError
from fleet_sim.conform.scorecard import score
from vendors import registry
from vendors.api import Fact, Frame
from vendors.nuki import adapter as nuki
from vendors.nuki import simulator
from vendors.nuki.simulator import Lock
from vendors.sim import Effects, FleetSpec, RandomFor


@cache
def bench(vendor: str) -> Bench:
    """One for all laws of a vendor: what is played once need not be played again."""
    return Bench(vendor)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_vendor_keeps_the_law(vendor: str, law: Law) -> None:
    try:
        law.check(bench(vendor))
    except WaivedError as reason:
        pytest.skip(str(reason))


# --- the laws themselves ----------------------------------------------------------------------


def test_a_law_that_is_broken_is_told_with_what_was_seen() -> None:
    def broken(_: Bench) -> None:
        raise BreachError("it fell over")

    def waived(_: Bench) -> None:
        raise WaivedError("not here")

    def crashes(_: Bench) -> None:
        raise ZeroDivisionError("by zero")

    lines: list[str] = []
    laws = [Law("it stands", broken), Law("it flies", waived), Law("it is", lambda _: None)]

    card = score("nuki", [*laws, Law("it divides", crashes)], lines.append)

    assert (card["passed"], card["failed"], card["waived"]) == (1, 2, 1)
    assert [each["outcome"] for each in card["laws"]] == ["broken", "waived", "kept", "broken"]
    assert lines[0] == "  broken  it stands: it fell over"
    assert lines[3] == "  broken  it divides: ZeroDivisionError: by zero"


def replaced(**changes: Any) -> Callable[[Bench], None]:
    """The vendor's value with something else in it."""

    def spoil(lying: Bench) -> None:
        lying.vendor = replace(lying.vendor, **changes)

    return spoil


def simulated(**changes: Any) -> Callable[[Bench], None]:
    """Its simulator with something else in it."""

    def spoil(lying: Bench) -> None:
        lying.module = SimpleNamespace(**{**vars(lying.module), **changes})

    return spoil


class Loose(BaseModel):
    """Takes everything."""

    model_config = ConfigDict(extra="allow", frozen=True)


def deaf(_: object) -> Callable[[Frame], list[Fact]]:
    """A decoder that understands nothing."""

    def refuse(_: Frame) -> list[Fact]:
        raise DecodeError("nuki", "what?")

    return refuse


def optimist(_: object) -> Callable[[Frame], list[Fact]]:
    """A decoder that reads everything as locked."""
    return lambda _: [Reading("39000001", "lock_state", "Locked", Provenance.REPORT)]


def forgetful(settings: Any) -> Callable[[Frame], list[Fact]]:
    """A decoder that leaves out the bolt, and what takes place."""
    decode = nuki.decoder(settings)
    return lambda frame: [
        fact for fact in decode(frame) if isinstance(fact, Reading) and fact.axis != "lock_state"
    ]


def fleet_with(change: Callable[[Lock], None]) -> Callable[[FleetSpec, RandomFor], list[Lock]]:
    """A fleet whose locks are a little otherwise."""

    def fleet(spec: FleetSpec, rng_for: RandomFor) -> list[Lock]:
        locks = list(simulator.fleet(spec, rng_for))
        for lock in locks:
            change(lock)
        return locks

    return fleet


def never_heals(lock: Lock) -> None:
    act = lock.act
    lock.act = lambda what, now_ms: act("door" if what.startswith("heal:") else what, now_ms)  # type: ignore[method-assign]


def notices_no_loss(lock: Lock) -> None:
    lock.disconnected = lambda _: Effects()  # type: ignore[method-assign]


def one_chance_for_all(spec: FleetSpec, _: RandomFor) -> list[Lock]:
    rng = Random(spec.count)
    return list(simulator.fleet(spec, lambda _: rng))


class Endless:
    """An adapter that listens as Nuki's does, and never comes back from a command."""

    def __init__(self, settings: Any, port: Any) -> None:
        real = nuki.connect(settings, port)
        self.run, self.refresh = real.run, real.refresh

    async def send(self, _: Command) -> None:
        await asyncio.Event().wait()


#: By law: what a vendor does that breaks it.
SPOILT: Final[dict[str, Callable[[Bench], None]]] = {
    "a_vendor_is_one_well_formed_value": replaced(commands=("FlyAway",)),
    "habits_have_rates_and_faults_have_sources": simulated(HABITS={"door": 0.0}),
    "a_wrong_setting_is_named_and_only_that": replaced(settings=Loose),
    "a_fleet_option_that_does_not_exist_is_named": simulated(fleet=lambda *_: []),
    "what_the_simulator_says_the_codec_hears": replaced(decoder=deaf),
    "the_twins_end_as_the_devices_say_they_are": replaced(decoder=forgetful),
    "what_took_place_is_told_as_often_as_it_took_place": replaced(decoder=forgetful),
    "the_same_seed_makes_the_same_frames": simulated(
        fleet=lambda spec, _: simulator.fleet(spec, lambda _: Random())
    ),
    "another_device_changes_nobody_else_s_chance": simulated(fleet=one_chance_for_all),
    "broken_links_cost_nothing_but_time": simulated(fleet=fleet_with(notices_no_loss)),
    "each_fault_shows_is_survived_and_heals": simulated(fleet=fleet_with(never_heals)),
    "each_command_is_seen_to_be_done": replaced(decoder=forgetful),
    "each_command_ends_whoever_is_silent": replaced(connect=Endless),
    "garbage_is_refused_or_unknown_never_a_promise": replaced(decoder=optimist),
    "a_source_that_nobody_has_says_nothing": replaced(decoder=optimist),
}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_no_law_holds_for_a_vendor_that_lies(law: Law) -> None:
    lying = Bench("nuki")
    SPOILT[law.name](lying)

    with pytest.raises(BreachError):
        law.check(lying)


def test_a_waiver_for_a_fault_that_does_not_exist_breaks_the_law() -> None:
    lying = Bench("nuki")
    simulated(QUIET_FAULTS={"no_such_fault": "quiet"})(lying)
    law = next(law for law in LAWS if law.name == "each_fault_shows_is_survived_and_heals")

    with pytest.raises(BreachError, match="no_such_fault"):
        law.check(lying)


@pytest.mark.parametrize(
    "kinds", [{"jam": "no_such_fault"}, {"no_such_kind": "mqtt_dead"}, {"hang": "mqtt_dead"}]
)
def test_a_kind_that_is_none_or_nobody_s_breaks_the_law(kinds: dict[str, str]) -> None:
    lying = Bench("nuki")
    simulated(KINDS=kinds)(lying)
    law = next(law for law in LAWS if law.name == "habits_have_rates_and_faults_have_sources")

    with pytest.raises(BreachError, match=next(iter(kinds))):
        law.check(lying)


def test_every_law_has_a_name_of_its_own() -> None:
    assert len({law.name for law in LAWS}) == len(LAWS)


# --- ours -------------------------------------------------------------------------------------


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
