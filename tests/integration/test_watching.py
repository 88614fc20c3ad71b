"""A run that is watched over HTTP while it lasts, in simulated and in real time."""

import asyncio
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from fleet_sim.meter import Moment, Row
from fleet_sim.stage import StageError
from fleet_sim.watching.server import RunServer

SIM: Final = str(Path(sys.executable).parent / "doorfleet-sim")
SCENARIO: Final = """\
hours: 1
pace: 20
fleet: {ratgdo: 20, nuki: 20}
acts:
  - {at: 15m, for: 30m, vendor: nuki, fault: hang}
"""


def get(url: str) -> tuple[int, str, str]:
    """Status, content type and text."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def moment(elapsed_s: float = 1.0) -> Moment:
    rows = [Row("nuki", 3, 2, "up", "hang", 0, 0, None, None, events=5)]
    return Moment("quiet_day", 7, elapsed_s, 10.0, 1.0, virtual=True, rows=rows)


def test_before_the_run_begins_it_says_so() -> None:
    with RunServer("127.0.0.1", 0) as server:
        for path in ("", "metrics", "status"):
            assert get(server.url + path)[0] == 503


def test_each_path_says_how_it_stands_now() -> None:
    with RunServer("127.0.0.1", 0) as server:
        server.show(moment(1.0))
        server.show(moment(5.0))
        page, metrics, status = (get(server.url + path) for path in ("", "metrics", "status"))

    assert page[:2] == (200, "text/html; charset=utf-8")
    assert metrics[:2] == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert status[:2] == (200, "application/json; charset=utf-8")
    assert "doorfleet_run_elapsed_seconds 5\n" in metrics[2]
    assert json.loads(status[2])["elapsed_s"] == 5.0
    assert "5 s of 10 s" in page[2]


def test_a_port_that_is_taken_is_named_with_a_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(StageError, match=rf"--http 127.0.0.1:{port}: .*give another port"):
            RunServer("127.0.0.1", port).__enter__()


def test_a_host_that_no_name_can_be_is_refused_at_once_and_with_the_reason() -> None:
    with pytest.raises(StageError, match=r"--http \.\.:0: .*label"):
        RunServer("..", 0).__enter__()


class Silent(RunServer):
    """Its address is never told, as when a name server does not answer."""

    async def _listen(self) -> None:
        await asyncio.wrap_future(self._over)


def test_an_address_that_is_not_to_be_had_in_time_is_given_up_and_no_thread_is_left() -> None:
    before = threading.active_count()

    with pytest.raises(StageError, match=r"--http 127\.0\.0\.1:0: not within 0\.05 s"):
        Silent("127.0.0.1", 0, patience_s=0.05).__enter__()

    assert threading.active_count() == before


def test_nobody_may_frame_it_or_keep_what_it_says() -> None:
    with RunServer("127.0.0.1", 0) as server:
        server.show(moment())
        with urllib.request.urlopen(server.url, timeout=10) as answer:
            told = answer.headers

    assert told["X-Frame-Options"] == "DENY"
    assert told["Cache-Control"] == "no-store"
    assert told["X-Content-Type-Options"] == "nosniff"


def test_its_port_is_free_again_when_the_run_is_over() -> None:
    with RunServer("127.0.0.1", 0) as server:
        url = server.url
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)


@contextmanager
def running(folder: Path, *more: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A run, and where it is watched."""
    scenario = folder / "watched.yaml"
    scenario.write_text(SCENARIO)
    run = subprocess.Popen(
        [SIM, "run", str(scenario), "--no-ui", "--http", "0", "--json", str(folder / "out.json"),
         *more],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert run.stderr is not None
        found = re.match(r"watch it at (\S+) ", run.stderr.readline())
        assert found is not None
        yield found.group(1), run
    finally:
        run.terminate()
        run.wait(20)
        run.stderr.close()


@pytest.mark.parametrize(
    "more",
    [["--time", "virtual"], ["--time", "real", "--seconds", "4"]],
    ids=["simulated", "real"],
)
def test_a_run_is_watched_from_its_first_to_its_last_moment(
    tmp_path: Path, more: list[str]
) -> None:
    told = []
    with running(tmp_path, *more) as (url, run):
        while run.poll() is None:
            try:
                code, _, text = get(f"{url}status")
            except (urllib.error.URLError, ConnectionError):
                break  # it has ended in between
            if code == 200:
                told.append(json.loads(text))
            time.sleep(0.02)  # whoever asks without a pause holds the run up
        _, code = run.communicate(timeout=60), run.returncode

    assert code == 0
    report = json.loads((tmp_path / "out.json").read_text())
    elapsed = [each["elapsed_s"] for each in told]
    assert len(set(elapsed)) >= 3
    assert elapsed == sorted(elapsed)
    assert any(each["acts"] for each in told)
    assert {each["total"]["devices"] for each in told} == {40}
    assert max(each["total"]["connected"] for each in told) == 40
    assert 0 < told[-1]["total"]["events"] <= sum(v["events"] for v in report["vendors"].values())
    assert (
        sum(report["timeline"]["vendors"]["nuki"]["events"]) <= report["vendors"]["nuki"]["events"]
    )
