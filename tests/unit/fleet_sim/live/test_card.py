"""Where a run that may be broken is found."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from devices.errors import ConfigError
from fleet_sim.live import card, client
from fleet_sim.live.card import Card
from fleet_sim.stage import StageError


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for name in (client.URL_FROM, client.TOKEN_FROM):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def a_card(pid: int = os.getpid(), port: int = 9100) -> Card:
    return Card(f"http://127.0.0.1:{port}/", "secret", pid, "quiet_day")


def gone() -> int:
    """The number of a process that is no more."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_only_its_user_can_read_it_and_it_is_gone_with_the_run() -> None:
    with card.laid_out(a_card()) as path:
        mode, beside = path.stat().st_mode, path.parent.stat().st_mode
        found = card.cards()

    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE(beside) == 0o700
    assert found == [a_card()]
    assert card.cards() == []


def test_what_a_killed_run_left_behind_is_removed() -> None:
    lying = card.laid_out(a_card(gone()))
    path = lying.__enter__()

    assert card.cards() == []
    assert not path.exists()


def test_a_folder_that_others_may_write_to_is_refused(runtime: Path) -> None:
    (runtime / "doorfleet").mkdir(mode=0o700)
    (runtime / "doorfleet").chmod(0o777)

    with pytest.raises(ConfigError, match="not a folder of yours alone; remove it, or chmod 700"):
        card.folder()


def test_a_link_in_its_place_is_refused(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (runtime / "doorfleet").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ConfigError, match="not a folder of yours alone"):
        card.folder()


def test_without_a_runtime_folder_it_is_a_temporary_one_of_this_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert card.folder() == tmp_path / f"doorfleet-{os.geteuid()}"


def test_the_only_run_is_found_and_its_token_too() -> None:
    with card.laid_out(a_card()):
        found = client.at(None)
        named = client.at("http://127.0.0.1:9100")

    assert found.url == named.url == "http://127.0.0.1:9100"
    assert found.token == named.token == "secret"


def test_of_several_runs_somebody_must_say_which() -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with (
            card.laid_out(a_card()),
            card.laid_out(a_card(other.pid, 9200)),
            pytest.raises(
                ConfigError, match=r"(?s)say which:\n.*--at http://127.0.0.1:9100/  quiet"
            ),
        ):
            client.at(None)
    finally:
        other.communicate(b"\n")


def test_without_any_run_the_remedy_is_named() -> None:
    with pytest.raises(StageError, match="start one: doorfleet-sim run NAME --time real"):
        client.at(None)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="no URL of a run; write http://host:port"):
        client.at("127.0.0.1:9100")


def test_an_address_where_nobody_is_says_so() -> None:
    with pytest.raises(StageError, match=r"http://127\.0\.0\.1:1: no run answers there"):
        client.at("http://127.0.0.1:1").faults()
