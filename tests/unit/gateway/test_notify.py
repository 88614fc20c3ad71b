"""A word to the service manager."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.notify import VARIABLE, notify


def test_nobody_wants_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)

    assert notify("READY=1") is False


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_it_is_told(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = str(tmp_path / "notify") if kind == "path" else f"@doorfleet-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        monkeypatch.setenv(VARIABLE, name)

        assert notify("READY=1\nSTATUS=2 cells") is True
        assert manager.recv(4096) == b"READY=1\nSTATUS=2 cells"


def test_a_manager_that_is_gone_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "absent"))

    assert notify("WATCHDOG=1") is False


@pytest.fixture
def deaf_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A service manager that listens, and does not read."""
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        monkeypatch.setenv(VARIABLE, name)
        yield


@pytest.mark.usefixtures("deaf_manager")
def test_a_manager_that_does_not_read_cannot_stop_us() -> None:
    began_s = time.monotonic()

    told = 0
    while notify("WATCHDOG=1"):  # until the queue of the kernel is full
        told += 1
        assert told < 100_000

    assert told > 0
    assert time.monotonic() - began_s < 10


@pytest.mark.usefixtures("deaf_manager")
def test_waiting_for_a_manager_costs_no_cpu() -> None:
    while notify("WATCHDOG=1"):
        pass
    began_s, began_cpu_s = time.monotonic(), time.process_time()

    assert notify("WATCHDOG=1") is False

    assert time.process_time() - began_cpu_s < 0.5 * (time.monotonic() - began_s)
