"""The fixtures as a user meets them: TESTING.md is run as it stands, and failures are told."""

import asyncio
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

import fleet_sim.pytest_plugin
from fleet_sim.testing import docker_broker

pytest_plugins = ["pytester"]

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "TESTING.md").read_text()
#: "`path`:" on a line of its own, and the block below it.
FILES: Final = dict(
    re.findall(r"^`([\w./-]+)`:\n\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
)
#: A project that takes its warnings seriously.
INI: Final = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
PATIENCE_S: Final = 100


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty project, and a pytest that knows nothing of ours."""
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        monkeypatch.delenv(name, raising=False)
    pytester.makefile(".ini", pytest=INI)
    return pytester


def run(project: pytest.Pytester, *words: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-p", "no:cacheprovider", *words, timeout=PATIENCE_S)


def test_the_plugin_is_found_by_every_pytest_beside_it() -> None:
    points = importlib.metadata.entry_points(group="pytest11")

    assert points["doorfleet"].value == "fleet_sim.pytest_plugin"


def test_whoever_does_not_use_it_pays_next_to_nothing() -> None:
    ask = (
        "import sys, pytest; before = set(sys.modules); import fleet_sim.pytest_plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )

    done = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=True
    )

    assert set(done.stdout.split()) <= {"fleet_sim", "fleet_sim.pytest_plugin"}


def test_the_page_is_true(project: pytest.Pytester) -> None:
    for name, text in FILES.items():
        (project.path / name).write_text(text)

    result = run(project, "--doorfleet-seed=11", "-n2", "--dist=loadfile")

    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines(
        [
            "doorfleet: broker embedded, seed 11",
            "doorfleet: seed 11; the same again with --doorfleet-seed=11",
        ]
    )


def test_the_example_is_as_short_as_it_says() -> None:
    assert len([line for line in FILES["test_my_doors.py"].splitlines() if line]) <= 15


def test_the_page_names_every_fixture_option_and_mark() -> None:
    source = Path(fleet_sim.pytest_plugin.__file__).read_text()
    fixtures = re.findall(r"^@pytest\.fixture.*\ndef ([a-z]\w+)", source, re.MULTILINE)
    options = re.findall(r'"(--doorfleet-\w+|doorfleet_broker|doorfleet_seed)"', source)
    marks = re.findall(r"(\w+)=", re.search(r"^_MARKER.*?^\)", source, re.MULTILINE | re.DOTALL)[0])

    assert {"broker", "chaos", "fleet", "gateway", "ledger", "virtual_clock"} <= set(fixtures)
    assert {"fleet", "seed", "ledger", "patience_s"} <= set(marks)
    for name in (*fixtures, *options, *marks):
        assert re.search(rf"`[^`]*{name}\b[^`]*`", PAGE), name


BROKEN: Final = """
import os, signal, pytest

@pytest.mark.doorfleet(fleet={"nuki": 1}, patience_s=1)
def test_a_gateway_that_hangs_loses_an_event(fleet, gateway):
    os.killpg(gateway.pid, signal.SIGSTOP)
    fleet["nuki"][0].act("turn_by_hand")

@pytest.mark.doorfleet(fleet={"nuki": 1}, ledger=False)
def test_nobody_judges_this_one(fleet, gateway):
    os.killpg(gateway.pid, signal.SIGSTOP)
    fleet["nuki"][0].act("turn_by_hand")

@pytest.mark.doorfleet(fleet={"nuki": 1})
def test_a_gateway_that_ends(fleet, gateway):
    os.kill(gateway.pid, signal.SIGKILL)
    gateway.events.get("lock.changed")

def test_an_own_gateway_that_says_nothing(fleet, ledger):
    fleet(nuki=1)
    assert ledger.verdict(within_s=0)

@pytest.mark.doorfleet(fleet={"nuki": 1, "ratgdo": 1})
def test_somebody_else_is_hurt(fleet, gateway, chaos):
    for refused, said in (
        (lambda: chaos.assert_blast_radius(only=["nuki"]), "nothing was injected; break"),
        (lambda: chaos.assert_blast_radius(only=["tedee"]), "only: no tedee in this fleet"),
        (lambda: chaos.inject("nuki", "hagn"), "fault; did you mean hang?"),
    ):
        with pytest.raises(Exception, match=said.replace("?", ".")):
            refused()
    chaos.inject("nuki", "hang")
    os.killpg(gateway.pid, signal.SIGSTOP)
    fleet["ratgdo"][0].act("light_switch")
    chaos.assert_blast_radius(only=["nuki"], within_s=1)

def test_an_unknown_vendor(fleet):
    fleet(ratgo=1)

def test_an_unknown_deed(fleet):
    fleet(nuki=1)["nuki"].act("come_hom")

def test_an_unknown_fault(fleet):
    fleet(nuki=1)["nuki"].strike("hangs")

@pytest.mark.doorfleet(flet={})
def test_an_unknown_mark(fleet):
    pass

@pytest.mark.doorfleet(broker="docker")
def test_in_a_container(broker):
    pass
"""


def test_what_goes_wrong_is_told_with_evidence_and_the_seed(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    project.makepyfile(test_broken=BROKEN)

    result = run(project, "--doorfleet-seed=3", "-rs")

    result.assert_outcomes(passed=1, failed=7, errors=1, skipped=1)
    told = result.stdout.str()
    for line in (
        # Lost: device, axis and value.
        r"lost 1: nuki/39000001 lock_state: \['\w+'\]",
        r"no lock\.changed can come: the gateway ended by itself \(status -9\)",
        r"assert <broken: .*nuki: not one event came",
        r"unknown vendor 'ratgo': did you mean 'ratgdo'\?",
        # Who, which promise, the evidence, what failed, and how to see it again.
        r"others than nuki were hurt:\nE +ratgdo: 1 lost\nE +lost 1: ratgdo/ratgdo-0001 light: ",
        r"E +hang at all of nuki, \d\.\d s\nE +again: pytest 'test_broken\.py::test_somebody",
        r"nuki: unknown habit 'come_hom'; did you mean 'come_home'\?",
        r"nuki: unknown fault 'hangs'; did you mean 'hang'\?",
        r"marker doorfleet: no flet; it takes broker, fleet,",
        r"SKIPPED .*no container engine answers at unix:///nowhere/docker\.sock",
        r"seed 3; again: pytest 'test_broken\.py::test_an_unknown_deed' --doorfleet-seed=3",
        r"last deeds:\n  nuki/39000001 turn_by_hand",
    ):
        assert re.search(line, told), line


INJECTED: Final = """
import time, pytest

@pytest.mark.doorfleet(fleet={"nuki": 1, "ratgdo": 1}, patience_s=20)
def test_a_cell_and_the_bus(fleet, gateway, chaos):
    door, lock = fleet["ratgdo"][0], fleet["nuki"][0]
    killed = chaos.inject("nuki", "cell_kill")
    while gateway.cells["nuki"]["state"] == "up":
        time.sleep(0.01)
    door.act("light_switch")
    gateway.events.get("closure.changed", device=door)
    killed.heal()
    chaos.assert_blast_radius(only=["nuki"], within_s=20)

    down = chaos.inject("bus_down")
    lock.act("turn_by_hand")
    with pytest.raises(AssertionError, match="no lock.changed"):
        gateway.events.get("lock.changed", device=lock, within_s=1)
    down.heal()
    gateway.events.get("lock.changed", device=lock)
    with pytest.raises(AssertionError, match="ratgdo: its cell was "):
        chaos.assert_blast_radius(only=["nuki"], within_s=20)
    with pytest.raises(Exception, match="command_late: a test sends its own commands"):
        chaos.inject("command_late")
    chaos.inject("nuki", "hang")  # and nobody heals it but the end of the test
"""


def test_what_is_injected_may_be_the_gateways_own_cells_and_bus(project: pytest.Pytester) -> None:
    project.makepyfile(test_injected=INJECTED)

    result = run(project)

    result.assert_outcomes(passed=1)


def test_a_choice_that_is_none_is_refused_before_any_test(project: pytest.Pytester) -> None:
    result = run(project, "--doorfleet-broker=mosquito")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--doorfleet-broker: 'mosquito'; write embedded, mosquitto,*"])


def test_without_a_plugin_for_asyncio_the_rest_works_and_the_way_out_is_named(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        test_both="""
        async def test_async(fleet):
            pass

        def test_plain(broker):
            assert broker.kind == "embedded"
        """
    )

    result = run(project, "-p", "no:asyncio", "-o", "filterwarnings=default")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*pip install 'doorfleet[[]test]'*"])


KILLED: Final = """
import os, pathlib, pytest

@pytest.mark.doorfleet(fleet={"nuki": 1}, broker="mosquitto")
def test_that_ends_its_own_process(fleet, gateway):
    pids = os.popen("pgrep -x mosquitto -P " + str(os.getpid())).read().split()
    assert len(pids) == 1
    pathlib.Path("pids").write_text(" ".join([*pids, str(gateway.pid)]))
    os._exit(70)
"""


@pytest.mark.mosquitto
async def test_nothing_runs_on_when_the_tests_themselves_are_killed(
    need: Callable[[str], str], project: pytest.Pytester, eventually: Any
) -> None:
    need("mosquitto")
    need("pgrep")
    project.makepyfile(test_killed=KILLED)

    result = await asyncio.to_thread(run, project)

    assert result.ret == 70
    pids = [int(pid) for pid in (project.path / "pids").read_text().split()]
    assert len(pids) == 2
    await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 10)


SHARED: Final = """
import pytest

from vendors import registry

urls = set()

@pytest.mark.doorfleet(shared_broker=True, fleet={"nuki": 1})
@pytest.mark.parametrize("turn", range(2))
def test_on_the_same_broker(turn, fleet, gateway, broker):
    urls.add(broker.url)
    fleet["nuki"][0].act("turn_by_hand")
    gateway.events.get("lock.changed", device=fleet["nuki"][0])
    assert len(urls) == 1
    assert broker.kind == "mosquitto"
    if turn:
        gateway.kill()
        gateway.start()

def test_a_power_cut_is_over_before_anybody_judges(fleet, gateway, ledger):
    fleet(nuki=1, uhppote=1)
    for group in fleet.values():
        group.strike("power_cut", return_ms=900)
        assert group[0].struck
        group.act(group[0].habits[0])
        group.heal()
    assert ledger.verdict()
    assert all(device.connected for device in fleet.devices)

def test_every_vendor_is_introduced_used_and_judged(fleet, gateway, ledger):
    fleet(dict.fromkeys(registry.OURS, 2))
    for device in fleet.devices:
        device.act(device.habits[0])
    assert ledger.verdict()
"""


@pytest.mark.mosquitto
def test_mosquitto_serves_a_session_and_every_vendor(
    need: Callable[[str], str], project: pytest.Pytester
) -> None:
    need("mosquitto")
    project.makepyfile(test_shared=SHARED)

    result = run(project, "-o", "doorfleet_broker=mosquitto")

    result.assert_outcomes(passed=4)


@pytest.mark.docker
def test_a_container_serves_too(project: pytest.Pytester) -> None:
    if (why := docker_broker.why_not()) is not None:
        pytest.skip(why)
    project.makepyfile(
        test_contained="""
        def test_in_a_container(fleet, gateway, broker):
            fleet(nuki=1)
            fleet["nuki"][0].act("turn_by_hand")
            assert broker.kind == "docker"
        """
    )

    result = run(project, "--doorfleet-broker=docker")

    result.assert_outcomes(passed=1)
