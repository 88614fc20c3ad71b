"""pytest fixtures: a fleet, a broker, a gateway, simulated time, and the ledger over all of them.

Loaded by pytest wherever doorfleet is installed, so it imports nothing until a fixture is asked
for. TESTING.md is its manual; the types of the fixtures are in `fleet_sim.testing`.
"""

import inspect
import itertools
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from fleet_sim.stage import BrokerAt
    from fleet_sim.testing.backstage import Backstage
    from fleet_sim.testing.chaos import Chaos
    from fleet_sim.testing.fleet import Fleet
    from fleet_sim.testing.gateway import Gateway
    from fleet_sim.testing.ledger import Ledger
    from fleet_sim.testing.scene import Scene
    from fleet_sim.testing.virtual import VirtualClock

_SCENE: Final = pytest.StashKey["Scene"]()
_CLOCK: Final = pytest.StashKey["VirtualClock"]()
_SEED: Final = "doorfleet_seed"
_BROKER_S: Final = 90.0
#: What the marker takes, for each of them a line in TESTING.md.
_MARK: Final = (
    "broker",
    "fleet",
    "ledger",
    "options",
    "pace",
    "patience_s",
    "seed",
    "shared_broker",
)
_MARKER: Final = (
    "doorfleet(fleet={vendor: count}, seed=7, pace=0, options={}, broker=..., shared_broker=True,"
    " ledger=False, patience_s=5): how the doorfleet fixtures of a test are made"
)
_FIXTURES: Final = frozenset({"broker", "chaos", "fleet", "gateway", "ledger", "virtual_clock"})
_sites: Final = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which broker, and of which chance."""
    group = parser.getgroup("doorfleet")
    group.addoption(
        "--doorfleet-broker",
        metavar="CHOICE",
        help="embedded (default), mosquitto, docker, or mqtt://host:port",
    )
    group.addoption(
        "--doorfleet-seed",
        metavar="N",
        type=int,
        help="of all chance in fleets; drawn anew for each run if absent",
    )
    parser.addini("doorfleet_broker", "as --doorfleet-broker", default="embedded")
    parser.addini(_SEED, "as --doorfleet-seed", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Know the marker, and draw the seed where nobody gave one."""
    config.addinivalue_line("markers", _MARKER)
    given_to_worker: Mapping[str, Any] = getattr(config, "workerinput", {})
    if _SEED in given_to_worker:
        config.option.doorfleet_seed = given_to_worker[_SEED]
    elif config.option.doorfleet_seed is None:
        given = str(config.getini(_SEED))
        if given and not given.isdigit():
            raise pytest.UsageError(f"{_SEED} = {given!r}: write a whole number")
        config.option.doorfleet_seed = int(given) if given else int.from_bytes(os.urandom(3), "big")
        config.option.doorfleet_drawn = not given
    if config.option.doorfleet_broker is not None:
        from devices.errors import ConfigError  # noqa: PLC0415 -- see the module
        from fleet_sim.testing import brokers  # noqa: PLC0415 -- likewise

        try:
            brokers.checked(config.option.doorfleet_broker, "--doorfleet-broker")
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 -- xdist's, which may not be there
    """All workers of xdist have one seed, so that one number repeats the run."""
    node.workerinput[_SEED] = node.config.option.doorfleet_seed


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What was chosen, if anybody chose; whoever does not use us reads nothing of us."""
    chosen = config.option.doorfleet_broker
    drawn = getattr(config.option, "doorfleet_drawn", False)
    if chosen is None and drawn:
        return []
    return [f"doorfleet: broker {_choice(config)}, seed {config.option.doorfleet_seed}"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The seed of a run with fleets, and how to have it again."""
    seeds = {
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == _SEED
    }
    drawn = terminalreporter.config.option.doorfleet_seed
    if drawn in seeds:
        terminalreporter.write_line(
            f"doorfleet: seed {drawn}; the same again with --doorfleet-seed={drawn}"
        )


# --- the fixtures -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _doorfleet_backstage() -> Iterator["Backstage"]:
    from fleet_sim.testing.backstage import Backstage  # noqa: PLC0415 -- see the module

    backstage = Backstage()
    yield backstage
    backstage.close()


@pytest.fixture(scope="session")
def shared_broker(
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
    _doorfleet_backstage: "Backstage",
) -> Iterator["BrokerAt"]:
    """One broker for all tests of the session (of one xdist worker): `url`, `host`, `port`.

    Tests marked `doorfleet(shared_broker=True)` find it as their `broker`, one after the other,
    and leave nothing retained on it.
    """
    folder = tmp_path_factory.mktemp("doorfleet-broker")
    yield from _opened(_doorfleet_backstage, _choice(pytestconfig), folder)


@pytest.fixture
def broker(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _doorfleet_backstage: "Backstage",
) -> Iterator["BrokerAt"]:
    """A broker of the test's own on loopback, at a port of its own: `url`, `host`, `port`, `kind`.

    Which one says `--doorfleet-broker`, the ini option `doorfleet_broker`, or the marker. Override
    this fixture to bring your own: return its URL.
    """
    from devices.errors import ConfigError  # noqa: PLC0415 -- see the module
    from fleet_sim.testing import brokers  # noqa: PLC0415 -- likewise

    marked = _marked(request.node)
    choice, problem = marked.get("broker") or _choice(request.config), ""
    try:
        brokers.checked(choice, "broker")
    except ConfigError as error:
        problem = str(error)
    if problem:
        pytest.fail(problem, pytrace=False)
    with ExitStack() as mine:
        if choice not in brokers.WAYS:
            mine.enter_context(brokers.turn(choice))
        if marked.get("shared_broker"):
            yield request.getfixturevalue("shared_broker")
        else:
            folder = tmp_path_factory.mktemp("doorfleet-broker")
            yield from _opened(_doorfleet_backstage, choice, folder)


@pytest.fixture
def _doorfleet_scene(
    request: pytest.FixtureRequest, broker: object, _doorfleet_backstage: "Backstage"
) -> Iterator["Scene"]:
    from fleet_sim.stage import BrokerAt  # noqa: PLC0415 -- see the module
    from fleet_sim.testing import brokers  # noqa: PLC0415 -- likewise
    from fleet_sim.testing.scene import Scene  # noqa: PLC0415 -- likewise

    marked = _marked(request.node)
    at = broker if isinstance(broker, BrokerAt) else brokers.given(str(broker))
    scene = Scene(
        _doorfleet_backstage,
        at,
        site=f"test-{os.getpid()}-{next(_sites)}",
        seed=_seed_of(request.node),
        sweep=bool(marked.get("shared_broker")) or at.kind not in brokers.WAYS,
    )
    scene.breakable = "chaos" in request.fixturenames
    request.node.stash[_SCENE] = scene
    yield scene
    scene.close()


@pytest.fixture
def fleet(request: pytest.FixtureRequest, _doorfleet_scene: "Scene") -> "Fleet":
    """The test's devices on real sockets: `fleet(ratgdo=5, nuki=3)`, then `fleet["ratgdo"][0]`.

    Each can be moved (`act`), broken (`strike`, `heal`, `cut`) and waited for (`wait`).
    """
    from fleet_sim.testing.fleet import Fleet  # noqa: PLC0415 -- see the module

    made = Fleet(_doorfleet_scene)
    marked = _marked(request.node)
    if counts := marked.get("fleet"):
        _doorfleet_scene.plan = lambda: _doorfleet_scene.make(
            counts, None, marked.get("pace", 0.0), marked.get("options", {})
        )
        if "gateway" not in request.fixturenames:
            _doorfleet_scene.make_planned()
    return made


@pytest.fixture
def gateway_config() -> Mapping[str, Any]:
    """What the gateway's file says beside where the devices are; override it to say more.

    As the file, but `cells` is a mapping from vendor to what its cell says:
    `{"supervisor": {"hang_s": 2}, "cells": {"uhppote": {"settings": {"poll_ms": 500}}}}`.
    """
    return {}


@pytest.fixture
def gateway(
    fleet: "Fleet", gateway_config: Mapping[str, Any], _doorfleet_scene: "Scene"
) -> "Gateway":
    """`doorfleet-gateway` as a process, a cell for each vendor of the fleet.

    It runs, and has heard of every device, when `fleet(...)` returns; or when the test begins, if
    a marker names the fleet. `events`, `stop`, `start`, `restart`, `kill`.
    """
    from fleet_sim.testing.gateway import Gateway  # noqa: PLC0415 -- see the module

    del fleet
    scene = _doorfleet_scene
    scene.with_gateway, scene.gateway_extra = True, gateway_config
    scene.make_planned()
    if scene.is_made:
        scene.start_gateway()
    return Gateway(scene)


@pytest.fixture
def ledger(fleet: "Fleet", _doorfleet_scene: "Scene") -> "Ledger":
    """Holds the bus against what really happened: `assert ledger.verdict()`.

    A test with `fleet` and `gateway` is judged at its end even if it does not ask for this.
    """
    from fleet_sim.testing.ledger import Ledger  # noqa: PLC0415 -- see the module

    del fleet
    return Ledger(_doorfleet_scene)


@pytest.fixture
def chaos(
    request: pytest.FixtureRequest, fleet: "Fleet", _doorfleet_scene: "Scene"
) -> Iterator["Chaos"]:
    """Breaks the fleet, and proves who was hurt: `inject`, `heal`, `assert_blast_radius`.

    What was injected is healed when the test ends, whatever came of it.
    """
    from fleet_sim.testing.chaos import Chaos  # noqa: PLC0415 -- see the module

    del fleet
    yield Chaos(_doorfleet_scene, lambda: _again(request.node, _doorfleet_scene.seed))
    _doorfleet_scene.heal_all()


@pytest.fixture
def virtual_clock(request: pytest.FixtureRequest) -> "VirtualClock":
    """Simulated time: `run(coroutine)` and `scenario("quiet_day")`, hours in milliseconds."""
    from fleet_sim.testing.virtual import VirtualClock  # noqa: PLC0415 -- see the module

    clock = VirtualClock(_seed_of(request.node))
    request.node.stash[_CLOCK] = clock
    return clock


# --- the course of a test ---------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A test that passed is judged by the ledger, and fails if a promise was broken."""
    yield
    scene = item.stash.get(_SCENE, None)
    if scene is None or scene.judged or not (scene.is_made and scene.with_gateway):
        return
    if not _marked(item).get("ledger", True) or scene.is_stopped:
        return
    from fleet_sim.testing.ledger import PATIENCE_S  # noqa: PLC0415 -- see the module

    scene.heal_all()
    verdict = scene.settle(_marked(item).get("patience_s", PATIENCE_S))
    if not verdict:
        pytest.fail(f"the ledger does not agree:\n{verdict}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Evidence and the seed, to a test that failed; the seed alone to the others."""
    report = yield
    scene = item.stash.get(_SCENE, None)
    used = scene or item.stash.get(_CLOCK, None)
    if used is not None:
        if report.when == "call":
            report.user_properties.append((_SEED, used.seed))
        if report.failed:
            again = _again(item, used.seed)
            story = scene.story() if scene is not None else ""
            report.sections.append(
                ("doorfleet", f"seed {used.seed}; again: {again}\n{story}".rstrip())
            )
    return report


def _again(item: pytest.Item, seed: int) -> str:
    return f"pytest '{item.nodeid}' --doorfleet-seed={seed}"


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """An `async def` test that no other plugin took would be told nothing that helps."""
    if inspect.iscoroutinefunction(pyfuncitem.obj) and _FIXTURES & set(pyfuncitem.fixturenames):
        pytest.fail(
            "an `async def` test needs a plugin that runs it: pip install 'doorfleet[test]', which"
            " brings pytest-asyncio, and set asyncio_mode = auto (or mark the test asyncio)",
            pytrace=False,
        )


def _choice(config: pytest.Config) -> str:
    given = config.option.doorfleet_broker
    return str(config.getini("doorfleet_broker") if given is None else given)


def _marked(node: pytest.Item) -> dict[str, Any]:
    """What the markers of a test say; the nearest wins."""
    said: dict[str, Any] = {}
    for mark in node.iter_markers("doorfleet"):
        if mark.args or (strangers := sorted(set(mark.kwargs) - set(_MARK))):
            wrong = "write names" if mark.args else f"no {', '.join(strangers)}"
            pytest.fail(f"marker doorfleet: {wrong}; it takes {', '.join(_MARK)}", pytrace=False)
        said = {**mark.kwargs, **said}
    return said


def _seed_of(node: pytest.Item) -> int:
    """What the marker says, or else the whole run's."""
    marked = _marked(node).get("seed")
    seed: int = node.config.option.doorfleet_seed if marked is None else marked
    return seed


def _opened(backstage: "Backstage", choice: str, folder: Any) -> Iterator["BrokerAt"]:  # noqa: ANN401 -- a Path
    from fleet_sim.stage import StageError  # noqa: PLC0415 -- likewise
    from fleet_sim.testing import brokers  # noqa: PLC0415 -- see the module
    from fleet_sim.testing.docker_broker import NoEngineError  # noqa: PLC0415 -- likewise

    running = AsyncExitStack()
    opening = running.enter_async_context(brokers.opened(choice, folder, backstage.guardian))
    problem: StageError | None = None
    try:
        found = backstage.run(opening, _BROKER_S, f"the broker {choice}")
    except StageError as error:
        problem = error
    if isinstance(problem, NoEngineError):
        pytest.skip(str(problem))
    if problem is not None:
        pytest.fail(str(problem), pytrace=False)
    yield found
    backstage.run(running.aclose(), _BROKER_S, "stopping the broker")
