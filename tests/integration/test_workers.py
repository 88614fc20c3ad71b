"""One run on several processes: what they find together, and what becomes of those that end."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from fleet_sim.cluster.local import LocalCrew
from fleet_sim.cluster.plan import Built, Job, Lost, Word
from fleet_sim.fleet import Population
from fleet_sim.scenario import load
from fleet_sim.shard import Shard
from fleet_sim.wire import WireFleet, wall_ms

SIM: Final = (sys.executable, "-c", "import sys; from fleet_sim.cli import main; sys.exit(main())")
SCENARIO: Final = """\
description: A street, and a vendor that hangs.
hours: 1
fleet: {ratgdo: 40, nuki: 30, tedee: 6, zigbee2mqtt: 6}
acts:
  - {at: 10m, for: 5m, vendor: nuki, fault: hang, share: 0.5}
"""
BUILT: Final = re.compile(r"shard (\d+) is built: .* process (\d+)")


@dataclass(frozen=True)
class Street:
    """A scenario's file, and where its runs leave what they found."""

    folder: Path

    @contextmanager
    def running(self, name: str, *more: str) -> Iterator[subprocess.Popen[str]]:
        """A run in a process of its own, ended in the end."""
        command = [*SIM, "run", "street.yaml", "--seed", "5", *more]
        command += ["--json", f"{name}.json", "--journal", f"{name}.jsonl"]
        with subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def report(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return found

    def journal(self, name: str) -> bytes:
        return (self.folder / f"{name}.jsonl").read_bytes()


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    """With what one process finds in it, as `one`."""
    found = Street(tmp_path_factory.mktemp("street"))
    (found.folder / "street.yaml").write_text(SCENARIO)
    with found.running("one") as process:
        process.communicate(timeout=60)
        assert process.returncode == 0
    return found


def begun(process: subprocess.Popen[str]) -> dict[int, int]:
    """The workers' processes by their shard, when all of them have begun."""
    assert process.stderr is not None
    pids = {}
    for line in process.stderr:
        if found := BUILT.search(line):
            pids[int(found[1])] = int(found[2])
        if "all shards begin" in line:
            return pids
    pytest.fail("it ended before it began")


def test_two_workers_find_what_one_finds_to_the_byte(street: Street) -> None:
    with street.running("two", "--workers", "2") as process:
        process.communicate(timeout=60)

    one, two = street.report("one"), street.report("two")
    assert process.returncode == 0
    assert street.journal("two") == street.journal("one") != b""
    assert two["vendors"] == one["vendors"]
    assert two["journal"] == one["journal"]
    assert two["timeline"] == one["timeline"]
    assert (two["workers"], two["restarted"]) == (2, [])
    assert {"nuki#0", "nuki#1"} <= set(two["cells"])


def test_a_worker_that_is_killed_costs_time_and_is_named(street: Street) -> None:
    with street.running("killed", "--workers", "2") as process:
        pid = begun(process)[1]
        os.kill(pid, signal.SIGKILL)
        _, said = process.communicate(timeout=60)

    report = street.report("killed")
    assert process.returncode == 0
    assert street.journal("killed") == street.journal("one")
    (again,) = report["restarted"]
    assert (again["shard"], again["why"]) == (1, f"process {pid} was ended by SIGKILL")
    assert f"shard 1 is lost, and begun again: {again['why']}" in said


@pytest.mark.parametrize(
    ("how", "code"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130), (signal.SIGTERM, 130)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_no_worker_outlives_whoever_started_it(street: Street, how: int, code: int) -> None:
    with street.running("ended", "--workers", "2") as process:
        assert len(begun(process)) == 2
        process.send_signal(how)
        # The workers have this pipe, too: it ends with the last of them.
        process.communicate(timeout=20)

    assert process.returncode == code


def test_a_worker_that_says_nothing_any_more_is_lost(tmp_path: Path) -> None:
    (tmp_path / "street.yaml").write_text(SCENARIO)
    crew = LocalCrew(tmp_path, silent_s=3)
    said: list[Word] = []
    try:
        crew.start(Job(load(str(tmp_path / "street.yaml")), 5, Shard(0, 2)))
        deadline_s = time.monotonic() + 30
        while not any(isinstance(word, Lost) for word in said) and time.monotonic() < deadline_s:
            for word in crew.words(0.2):
                said.append(word)
                if isinstance(word, Built):
                    pid = int(word.where.split()[-1])
                    os.kill(pid, signal.SIGSTOP)
    finally:
        crew.stop()

    assert said[-1] == Lost(0, f"process {pid} said nothing for 3 s")


def test_without_a_gateway_the_workers_write_the_same_journal_as_one(street: Street) -> None:
    for name, more in (("alone", ()), ("alone-two", ("--workers", "2"))):
        with street.running(name, "--no-gateway", *more) as process:
            process.communicate(timeout=60)
        assert process.returncode == 0

    assert street.journal("alone-two") == street.journal("alone") != b""
    assert street.report("alone-two")["vendors"] == street.report("alone")["vendors"]


def test_on_sockets_a_worker_that_is_killed_comes_back_and_its_devices_are_judged_no_more(
    tmp_path: Path,
) -> None:
    fleet = {"ratgdo": 12, "nuki": 8, "uhppote": 4}
    (tmp_path / "yard.yaml").write_text(f"description: A yard.\nhours: 1\nfleet: {fleet}\n")
    words = ["--time", "real", "--seconds", "6", "--workers", "2", "--json", "yard.json"]
    with subprocess.Popen(
        [*SIM, "run", "yard.yaml", *words],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        pid = begun(process)[0]
        os.kill(pid, signal.SIGKILL)
        _, said = process.communicate(timeout=90)

    report = json.loads((tmp_path / "yard.json").read_text())
    assert process.returncode == 0, said
    assert [again["why"] for again in report["restarted"]] == [
        f"process {pid} was ended by SIGKILL"
    ]
    assert 0 < report["unjudged"] < sum(fleet.values())
    assert {vendor: each["devices"] for vendor, each in report["vendors"].items()} == fleet
    assert report["wire"]["connected"] == report["wire"]["sessions"] == 20  # panels have none
    assert {name: cell["state"] for name, cell in report["cells"].items()} == dict.fromkeys(
        fleet, "up"
    )


def test_what_the_broker_of_all_workers_cannot_carry_is_said_before_the_start(
    tmp_path: Path,
) -> None:
    (tmp_path / "yard.yaml").write_text("hours: 1\nfleet: {nuki: 260}\n")
    words = ["--time", "real", "--seconds", "6", "--workers", "2", "--no-gateway"]

    done = subprocess.run(
        ["prlimit", "--nofile=300:300", *SIM, "run", "yard.yaml", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 3, done.stderr
    assert "the broker would need 3" in done.stderr


async def test_servers_that_are_begun_again_are_where_they_were_and_are_trusted(
    tmp_path: Path,
) -> None:
    def fleet() -> WireFleet:
        populations = [Population(name, 2, 1, wall_ms()) for name in ("opengarage", "switchbot")]
        return WireFleet(populations, seed=1, pace=1.0, broker=("127.0.0.1", 1))

    def pem(path: str) -> bytes:
        return Path(path).read_bytes()

    first = fleet()
    before = await first.open_hubs(tmp_path)
    trusted = pem(before.ca_file)
    await first.stop()
    ports = {name: int(url.rpartition(":")[2]) for name, url in before.hubs.items()}
    second = fleet()
    try:
        assert await second.open_hubs(tmp_path, ports) == before
        assert pem(before.ca_file) == trusted
        (cloud,) = [url for url in before.hubs.values() if url.startswith("https")]
        context = ssl.create_default_context(cafile=before.ca_file)
        async with aiohttp.ClientSession() as client, client.get(cloud, ssl=context) as reply:
            assert reply.status in range(400, 500)  # who asks for nothing that it knows
    finally:
        await second.stop()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--workers", "0"], "--workers 0: give at least 1"),
        (["--address", "127.0.0.1:1"], "give --on ray, too"),
        (["--time", "real", "--on", "ray"], "--on ray is for simulated time only"),
        (["--workers", "2", "--journal", "/nowhere/j"], "there is no folder /nowhere"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(words: list[str], said: str) -> None:
    done = subprocess.run(
        [*SIM, "run", "quiet_day", *words], capture_output=True, text=True, timeout=30, check=False
    )

    assert done.returncode == 2
    assert said in done.stderr


def test_a_worker_that_is_refused_its_work_says_why(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "description: Bad.\nhours: 1\nfleet: {nuki: 2, ratgdo: 2}\n"
        "options: {nuki: {no_such_option: 1}}\n"
    )
    done = subprocess.run(
        [*SIM, "run", str(tmp_path / "bad.yaml"), "--workers", "2"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "no_such_option" in done.stderr
