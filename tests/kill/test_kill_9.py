"""kill -9 of anything at any instant, under load: what was committed reaches the bus, in order.

publisher ─► broker ─► cell ratgdo, cell nuki ─► broker (journal on disk) and jsonl files
                │            │  ▲
              kill -9     kill -9, or their supervisor, or all three at once

A nuki `lockActionEvent` carries a user number: here a counter, so that frames can be counted, too.
"""

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import aiomqtt
import pytest
import yaml

PYTHON: Final = Path(sys.executable)
BROKER: Final = Path(__file__).with_name("broker_with_journal.py")
LOCKS: Final = [f"3900000{number}" for number in range(1, 7)]
DOORS: Final = [f"door-{number}" for number in range(1, 7)]
DOOR_WORDS: Final = (b"opening", b"open", b"closing", b"stopped", b"closing", b"closed")
# Frames of one device, one after the other: about 30 a second each.
PAUSE_S: Final = 0.03
SETTLE_S: Final = 60.0
# Between two kills; half of them come within 80 ms, when somebody is still at its start.
PAUSE_MIN_S, PAUSE_MAX_S = 0.01, 0.6
# aiomqtt warns of every publish that waits for its turn.
_QUIET: Final = logging.getLogger("tests.kill")
_QUIET.setLevel(logging.ERROR)


class Broker:
    """The broker's process, always on the same port."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.journal = folder / "journal.jsonl"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            PYTHON, BROKER, str(self.port), self.journal, stdout=asyncio.subprocess.PIPE
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            assert await self.process.stdout.readline() == b"ready\n"

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()


class Gateway:
    """The gateway's processes; who they are is read from its log."""

    def __init__(self, folder: Path, port: int) -> None:
        quick = {"url": f"mqtt://127.0.0.1:{port}", "backoff_base_ms": 20, "backoff_max_ms": 100}
        self.state_dir = folder / "state"
        self.record = {cell: folder / f"{cell}.jsonl" for cell in ("ratgdo", "nuki")}
        limits = {"rate_per_s": 1_000, "burst": 10_000}
        config = {
            "site": "home",
            "state_dir": str(self.state_dir),
            "bus": [
                {"kind": "mqtt", **quick},
                {"kind": "jsonl", "path": str(folder / "{cell}.jsonl"), "rotate_bytes": 2**30},
            ],
            "cells": [
                {"vendor": cell, "settings": quick, "limits": limits} for cell in self.record
            ],
            "supervisor": {
                "heartbeat_s": 0.1,
                "restart_base_ms": 20,
                "restart_max_ms": 100,
                "stable_s": 0.5,
            },
        }
        self._file = folder / "gateway.yaml"
        self._file.write_text(yaml.safe_dump(config))
        self._log = folder / "gateway.log"
        self._log.touch()
        self._read_to = 0
        self.process: asyncio.subprocess.Process | None = None
        self.pids: dict[str, int] = {}

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                PYTHON.with_name("doorfleet-gateway"), "run", self._file, stdout=log, stderr=log
            )

    def cells(self) -> list[int]:
        """The pids of the cells that run now."""
        with self._log.open("rb") as log:
            log.seek(self._read_to)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._read_to += len(line)
                if b'"cell.started"' in line:
                    said = json.loads(line)
                    self.pids[said["cell"]] = said["pid"]
        return [pid for pid in self.pids.values() if _parent_of(pid) == self._pid]

    @property
    def _pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def log(self, event: str) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for line in self._log.read_text().splitlines()
            if f'"event": "{event}"' in line
        ]

    def idle(self) -> bool:
        """Whether every cell is up, and every sink has everything."""
        with contextlib.suppress(OSError, ValueError):
            body = json.loads((self.state_dir / "status.json").read_text())
            cells = body["cells"].values()
            return body["pid"] == self._pid and all(
                cell.get("state") == "up"
                and not cell["waiting"]
                and not any(cell["lag_rows"].values())
                for cell in cells
            )
        return False


class Load:
    """A publisher that says each frame until it is acknowledged, and counts."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.acknowledged = dict.fromkeys((*LOCKS, *DOORS), 0)
        self.stopping = False

    async def run(self) -> None:
        while not self.stopping:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    "127.0.0.1", self._port, timeout=2, logger=_QUIET
                ) as client:
                    tasks = [asyncio.create_task(self._lock(client, each)) for each in LOCKS]
                    tasks += [asyncio.create_task(self._door(client, each)) for each in DOORS]
                    try:
                        await asyncio.gather(*tasks)
                    finally:
                        for task in tasks:
                            task.cancel()
                        await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0.02)

    async def _lock(self, client: aiomqtt.Client, device: str) -> None:
        while not self.stopping:
            number = self.acknowledged[device] + 1
            await client.publish(f"nuki/{device}/lockActionEvent", f"1,0,{number},0,0", qos=1)
            self.acknowledged[device] = number
            await asyncio.sleep(PAUSE_S)

    async def _door(self, client: aiomqtt.Client, device: str) -> None:
        while not self.stopping:
            number = self.acknowledged[device] + 1
            word = DOOR_WORDS[number % len(DOOR_WORDS)]
            await client.publish(f"home/garage/{device}/status/door", word, qos=1, retain=True)
            self.acknowledged[device] = number
            await asyncio.sleep(PAUSE_S)


def _parent_of(pid: int) -> int | None:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else int(fields[1])
    return None


async def _within(limit_s: float, what: Callable[[], object]) -> bool:
    deadline_s = time.monotonic() + limit_s
    while not what():
        if time.monotonic() > deadline_s:
            return False
        await asyncio.sleep(0.01)
    return True


def _in_order(
    lines: Iterable[bytes], epochs: set[tuple[str, str]]
) -> tuple[dict[str, int], list[str]]:
    """Per device the last sequence, in order of first appearance, and every breach of it."""
    last: dict[str, int] = {}
    seen: dict[tuple[str, int], bytes] = {}
    breaches = []
    for line in lines:
        event = json.loads(line)
        device, sequence = event["data"]["device"], int(event["sequence"])
        epochs.add((event["data"]["vendor"], event["id"].split("-")[0]))
        if (before := seen.setdefault((device, sequence), line)) != line:
            breaches.append(f"{device} {sequence}: said differently: {before!r} and {line!r}")
        if sequence > last.get(device, 0) + 1:
            breaches.append(f"{device}: {sequence} came after {last.get(device, 0)}")
        last[device] = max(last.get(device, 0), sequence)
    return last, breaches


def _lines(*files: Path) -> Iterator[bytes]:
    for file in files:
        yield from file.read_bytes().splitlines()


def _committed(state_dir: Path) -> dict[str, int]:
    """The last sequence of every device, as the stores have it."""
    found: dict[str, int] = {}
    for store in state_dir.glob("*.db"):
        with contextlib.closing(sqlite3.connect(store)) as db:
            found |= dict(db.execute("SELECT device, sequence FROM twins"))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "share", "victims"),
    [
        # A broker that lives keeps the cells' sessions: not even a frame may be lost.
        (7, 0.6, {"cell": 8, "supervisor": 2, "gateway": 1}),
        (11, 0.4, {"cell": 6, "supervisor": 2, "gateway": 1, "broker": 3}),
    ],
    ids=["cells and supervisor", "the broker too"],
)
async def test_what_was_committed_reaches_the_bus_whoever_is_killed_when(
    seed: int,
    share: float,
    victims: dict[str, int],
    kills: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kills = round(kills * share)
    broker = Broker(tmp_path)
    gateway = Gateway(tmp_path, broker.port)
    load = Load(broker.port)
    await broker.start()
    await gateway.start()
    # Before its first subscription nothing on the broker is a cell's.
    assert await _within(30, gateway.idle)
    publishing = asyncio.create_task(load.run())
    try:
        await _kill(kills, victims, random.Random(seed), gateway, broker, load, capsys)
        load.stopping = True
        await asyncio.wait_for(publishing, 20)
        settled = await _within(SETTLE_S, gateway.idle)
        assert settled, (gateway.state_dir / "status.json").read_text()
        assert gateway.process is not None
        gateway.process.terminate()
        async with asyncio.timeout(15):
            assert await gateway.process.wait() == 0
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        for process in (gateway.process, broker.process):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()

    epochs: set[tuple[str, str]] = set()
    committed = _committed(gateway.state_dir)
    on_bus, bus_breaches = _in_order(_lines(broker.journal), epochs)
    on_record, record_breaches = _in_order(_lines(*gateway.record.values()), epochs)
    events, heard = sum(committed.values()), sum(1 for _ in _lines(broker.journal))
    _tell(
        capsys,
        f"{events} events committed, {heard} heard on the bus ({heard - events} of them repeats);"
        f" lost: {events - sum(on_bus.values())}, out of order: {len(bus_breaches)}",
    )
    assert (bus_breaches, record_breaches) == ([], [])
    assert on_bus == committed
    assert on_record == committed
    assert set(committed) == {*LOCKS, *DOORS}
    # A store each, and never a second one; two that are made in the same millisecond look alike.
    assert sorted(vendor for vendor, _ in epochs) == ["nuki", "ratgdo"]
    assert gateway.log("store.moved_aside") == []
    assert gateway.log("cell.broke") + gateway.log("cell.refused") == []
    if "broker" not in victims:
        users = _users(broker.journal)
        lost = sum(load.acknowledged[device] - users[device] for device in LOCKS)
        _tell(capsys, f"{sum(users.values())} frames of locks acknowledged to them; lost: {lost}")
        assert users == {device: load.acknowledged[device] for device in LOCKS}


async def _kill(
    kills: int,
    victims: dict[str, int],
    chance: random.Random,
    gateway: Gateway,
    broker: Broker,
    load: Load,
    capsys: pytest.CaptureFixture[str],
) -> None:
    began_s = time.monotonic()
    tally = dict.fromkeys(victims, 0)
    for number in range(1, kills + 1):
        # The instant is what is random here, over starts and long lives alike.
        await asyncio.sleep(PAUSE_MIN_S * (PAUSE_MAX_S / PAUSE_MIN_S) ** chance.random())
        victim = chance.choices(list(victims), list(victims.values()))[0]
        await _strike(victim, gateway, broker, chance)
        tally[victim] += 1
        if number % 100 == 0 or number == kills:
            spent_s = time.monotonic() - began_s
            frames = sum(load.acknowledged.values())
            told = f"{number} kills of {kills} in {spent_s:.0f} s, {frames} frames acknowledged"
            _tell(capsys, f"{told}, {tally}")


def _tell(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n  {line}")
        sys.stdout.flush()


async def _strike(victim: str, gateway: Gateway, broker: Broker, chance: random.Random) -> None:
    """kill -9; a supervisor and a broker are started again, as the service manager would."""
    if victim == "broker":
        await broker.kill()
        await broker.start()
        return
    cells: list[int] = []
    if victim != "supervisor":
        wanted = 1 if victim == "cell" else len(gateway.record)
        assert await _within(20, lambda: len(gateway.cells()) >= wanted), gateway.pids
        cells = chance.sample(gateway.cells(), wanted)
    assert gateway.process is not None
    if victim != "cell":
        gateway.process.kill()
    for pid in cells:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if victim != "cell":
        await gateway.process.wait()
        await gateway.start()


def _users(journal: Path) -> dict[str, int]:
    """The counters of each lock as they first appeared: the last one, if none is missing."""
    last: dict[str, int] = {}
    for line in _lines(journal):
        data = json.loads(line)["data"]
        if data["vendor"] == "nuki":
            assert data["user"] <= last.get(data["device"], 0) + 1, data
            last[data["device"]] = max(last.get(data["device"], 0), data["user"])
    return last
