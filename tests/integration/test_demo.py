"""The demo as a person starts it: its report, its bad starts, and its end at any moment."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

SIM: Final = str(Path(sys.executable).with_name("doorfleet-sim"))
SHORT: Final = ("demo", "--seconds", "10", "--devices", "30", "--no-ui")
FIGURES: Final = {
    "devices",
    "frames",
    "events",
    "lost",
    "duplicated",
    "reordered",
    "invented",
    "p50_ms",
    "p99_ms",
    "baseline_p99_ms",
}


class Demo(NamedTuple):
    """One that runs, and where its report will be."""

    broker: str
    child: "subprocess.Popen[str]"
    file: Path

    def end(self) -> tuple[int, dict[str, Any], str]:
        """Its exit code, its report, and what it printed, once it is over."""
        said, trouble = self.child.communicate(timeout=90)
        assert self.child.returncode in (0, 1), trouble
        return self.child.returncode, json.loads(self.file.read_text()), said


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SIM, *arguments], capture_output=True, text=True, timeout=90, check=False
    )


@pytest.fixture(scope="module")
def demos(
    mosquitto: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Demo]]:
    """A short demo on each kind of broker. All run at once, since each mostly waits."""
    brokers = {"embedded": "embedded", "mosquitto": "mosquitto"}
    with contextlib.suppress(pytest.skip.Exception):  # whoever asks for it skips for that reason
        brokers["theirs"] = mosquitto().url
    with contextlib.ExitStack() as running:
        found = {}
        for kind, broker in brokers.items():
            file = tmp_path_factory.mktemp(kind) / "out.json"
            child = subprocess.Popen(
                [SIM, *SHORT, "--broker", broker, "--json", str(file)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            running.enter_context(child)
            running.callback(child.terminate)  # it ends its children; nothing to one that is over
            found[kind] = Demo(broker, child, file)
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("broker", ["embedded", "mosquitto"])
def test_a_short_demo_ends_with_a_report_and_nothing_lost(
    broker: str, demos: Mapping[str, Demo], need: Callable[[str], str]
) -> None:
    if broker == "mosquitto":
        need("mosquitto")

    code, report, said = demos[broker].end()

    assert report["broker"] == broker
    assert (report["verdict"] == "pass") == (code == 0)
    assert [act["fault"] for act in report["acts"]] == ["hang", "flood"]
    assert set(report["vendors"]) == {"ratgdo", "nuki", "uhppote"}
    for vendor, figures in report["vendors"].items():
        assert set(figures) >= FIGURES
        assert figures["devices"] == 10
        assert figures["events"] > 0
        # How fast it was is the machine's matter as well; what came is ours alone.
        sins = {sin: figures[sin] for sin in ("lost", "duplicated", "reordered", "invented")}
        assert not any(sins.values()), (vendor, sins, report["evidence"])
    assert f"verdict: {report['verdict']}" in said


@pytest.mark.slow
def test_nothing_is_left_on_a_broker_that_is_not_ours(
    demos: Mapping[str, Demo], need: Callable[[str], str]
) -> None:
    need("mosquitto")
    demo = demos["theirs"]

    _, report, _ = demo.end()

    assert report["broker"] == demo.broker
    port = demo.broker.rpartition(":")[2]
    ask = [need("mosquitto_sub"), "-p", port, "-t", "#", "--retained-only", "-W", "1"]
    left = subprocess.run([*ask, "-F", "%t"], capture_output=True, text=True, check=False)
    assert left.stdout.splitlines() == []


def family(pid: int) -> set[int]:
    """A process's descendants, by /proc or ps."""
    said = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    parents = {
        int(pid): int(parent) for pid, parent in (x.split() for x in said.stdout.splitlines())
    }
    found: set[int] = set()
    fresh = {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def alive(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        found.add(pid)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seed", range(3))
def test_interrupted_at_any_moment_it_ends_cleanly_and_leaves_nobody_behind(
    number: int, seed: int
) -> None:
    moment_s = random.Random(seed * 100 + number).uniform(0.3, 4.0)
    child = subprocess.Popen(
        [SIM, *SHORT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(moment_s)  # the moment is the test's input
    children = family(child.pid)
    child.send_signal(number)
    _, said = child.communicate(timeout=30)

    assert child.returncode == 130 or (child.returncode == -number and moment_s < 1), said
    assert "Traceback" not in said
    deadline_s = time.monotonic() + 10
    while (left := alive(children)) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert left == set()


def test_a_broker_that_nobody_runs_is_named(free_port: int) -> None:
    done = run(*SHORT, "--broker", f"mqtt://127.0.0.1:{free_port}")

    assert done.returncode == 3
    assert f"127.0.0.1:{free_port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broker_that_is_no_address_is_refused() -> None:
    done = run(*SHORT, "--broker", "mosquito")

    assert done.returncode == 3
    assert "embedded, mosquitto, or a URL" in done.stderr


@pytest.mark.slow
def test_a_gateway_that_dies_ends_the_run_with_what_it_said() -> None:
    child = subprocess.Popen(
        [SIM, *SHORT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stderr is not None
    said = child.stderr.readline()
    gateway = int(said.rpartition(" ")[2])
    os.kill(gateway, signal.SIGKILL)
    _, rest = child.communicate(timeout=40)

    assert child.returncode == 3
    assert "the gateway ended by itself" in rest
    assert "Traceback" not in rest
