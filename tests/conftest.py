"""What every test may ask for: a real broker, a free port, and patience with a limit."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

import vendors

TESTS: Final = Path(__file__).parent
#: Each folder marks its tests, and says how long one of them may take before it counts as hung.
FOLDERS_S: Final = {
    "unit": 60, "contract": 60, "integration": 120, "fuzz": 300, "kill": 300, "bench": 300,
    "mutations": 900,
}  # fmt: skip

# `dev` is what a person waits for, `ci` what a machine may take its time over. A deadline
# would measure the neighbours on a shared machine, not the code.
settings.register_profile("dev", max_examples=200, deadline=None)
settings.register_profile(
    "ci",
    max_examples=10_000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# CI asks for its profile in `make fuzz` alone, so a property test elsewhere stays quick.
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

# Tools that a person may lack and a CI machine may not: a skip over one of them is a failure there.
CI: Final = os.environ.get("CI", "").lower() in {"1", "true"}
OWED_IN_CI: Final = ("mosquitto", "systemd-analyze", "openssl", "chromium")


# Whatever a test starts inherits this variable, however far it forks from us.
RUN: Final = "DOORFLEET_TEST_RUN"
# With it set, the product must come from an installed copy: `make wheel-test`.
INSTALLED: Final = "DOORFLEET_TEST_INSTALLED"


def pytest_configure(config: pytest.Config) -> None:
    """Give this run its mark, and see to it that the right copy of the product is tested."""
    if not hasattr(config, "workerinput"):
        os.environ[RUN] = uuid.uuid4().hex
    # A shell that starts us in its background has SIGINT ignored, and every child inherits that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    here = Path(vendors.__file__).parent.parent
    if os.environ.get(INSTALLED) and here.name != "site-packages":
        pytest.exit(f"{INSTALLED} is set, and the product comes from {here}", returncode=4)


def pytest_report_header() -> str:
    """Which copy of the product is tested."""
    return f"product: {Path(vendors.__file__).parent.parent}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the folder that it lives in, and limit its time."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if (limit_s := FOLDERS_S.get(folder)) is not None:
            item.add_marker(folder)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(limit_s))


def need(program: str) -> str:
    """Path of a program; skips where it is absent, and fails where it was promised."""
    if (path := shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")) is not None:
        return path
    if program.startswith("mosquitto") and os.environ.get("DOORFLEET_REQUIRE_MOSQUITTO") == "1":
        pytest.fail(f"{program} is required here and is not installed")
    pytest.skip(f"{program} is not installed")


@pytest.fixture(scope="session", name="need")
def need_fixture() -> Callable[[str], str]:
    """`need("openssl")` is the program's path, or the end of the test with a reason."""
    return need


def unused_port() -> int:
    """A TCP port on loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def free_port() -> int:
    """One unused loopback port. Another process may still take it: check who answers."""
    return unused_port()


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """`await eventually(predicate, within_s=5)`: polls, and fails with the predicate's name."""

    async def poll(
        predicate: Callable[[], object | Awaitable[object]], within_s: float = 5.0
    ) -> None:
        deadline_s = time.monotonic() + within_s
        while True:
            answer = predicate()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            if time.monotonic() > deadline_s:
                pytest.fail(f"not within {within_s} s: {getattr(predicate, '__name__', predicate)}")
            await asyncio.sleep(0.01)

    return poll


@dataclass(frozen=True, slots=True)
class Mosquitto:
    """A running broker of our own; `port` and `other_port` are on loopback."""

    port: int
    other_port: int
    process: subprocess.Popen[bytes]
    config: Path
    log: Path

    @property
    def url(self) -> str:
        """Where a plain MQTT client connects."""
        return f"mqtt://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End exactly this process."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


PLAIN_CONFIG: Final = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
persistence false
max_inflight_messages 0
max_queued_messages 0
"""


def start_mosquitto(
    folder: Path, config_text: str = PLAIN_CONFIG, within_s: float = 10.0
) -> Mosquitto:
    """Start a broker from a config with `{port}` (and `{other_port}`) in it, once it is ours.

    The port is drawn first and may be taken before the broker binds it: Mosquitto then exits,
    and another port is drawn. Its own log line is the witness, since a foreign broker on the
    same port would answer just as politely.
    """
    binary = need("mosquitto")
    for attempt in range(5):
        port, other_port = unused_port(), unused_port()
        config, log = folder / f"mosquitto-{attempt}.conf", folder / f"mosquitto-{attempt}.log"
        config.write_text(
            config_text.replace("{port}", str(port)).replace("{other_port}", str(other_port))
        )
        with log.open("wb") as sink:
            process = subprocess.Popen([binary, "-v", "-c", str(config)], stdout=sink, stderr=sink)
        broker = Mosquitto(port, other_port, process, config, log)
        deadline_s = time.monotonic() + within_s
        while process.poll() is None and time.monotonic() < deadline_s:
            if b" running" in log.read_bytes():
                return broker
            time.sleep(0.01)
        broker.stop()
        if b"in use" not in log.read_bytes():
            break
    pytest.fail(f"mosquitto did not start: {log.read_text()}")


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Mosquitto]]:
    """`mosquitto()` starts a broker of its own; `mosquitto(text)` one with that config."""
    with contextlib.ExitStack() as running:

        def start(config_text: str = PLAIN_CONFIG) -> Mosquitto:
            broker = start_mosquitto(tmp_path_factory.mktemp("mosquitto"), config_text)
            running.callback(broker.stop)
            return broker

        yield start


LEFT_BEHIND: Final = pytest.StashKey[list[str]]()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process left behind fails the run; so does, in CI, a skip for a tool CI should have."""
    if hasattr(session.config, "workerinput"):
        return
    session.config.stash[LEFT_BEHIND] = left = list(_end_what_was_left_behind())
    if session.exitstatus == pytest.ExitCode.OK and (left or (CI and _owed(session.config))):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name the tests that CI owed, and the processes that outlived their tests."""
    for title, lines in (
        ("skipped, but owed in CI", _owed(config) if CI else []),
        ("processes that a test left behind", config.stash.get(LEFT_BEHIND, [])),
    ):
        if lines:
            terminalreporter.section(title, sep="=", red=True)
            for line in lines:
                terminalreporter.write_line(line)


def _end_what_was_left_behind(within_s: float = 5.0) -> Iterator[str]:
    """Processes with our mark that do not end by themselves; ended here. Linux only."""
    mark = f"{RUN}={os.environ[RUN]}".encode()

    def marked() -> Iterator[Path]:
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    yield process

    deadline_s = time.monotonic() + within_s
    while (left := list(marked())) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    for process in left:
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            os.kill(int(process.name), signal.SIGKILL)
            yield f"pid {process.name}: {b' '.join(words).decode(errors='replace')}"


def _owed(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    return [
        f"{report.nodeid}: {report.longrepr[2]}"
        for report in skipped
        if isinstance(report.longrepr, tuple)
        and any(tool in report.longrepr[2] for tool in OWED_IN_CI)
    ]
