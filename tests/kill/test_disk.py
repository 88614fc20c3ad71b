"""Power cuts on a simulated disk: what was committed stays, in order, and no frame is lost.

locks ─► broker ─► cell nuki ─► SQLite ─► SimDisk      the broker is elsewhere, and goes on
                      │  └─────► broker ─► witness
                  the power goes: at a moment, in the middle of a write or a sync, at a start

Each run is a function of its seed: real cells in simulated time, several power cuts in each, and
after each of them a new cell on what the disk kept.
"""

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from devices.errors import StoreError
from fleet_sim.broker.memory import MemoryBroker, MemoryTransport
from fleet_sim.broker.memory_client import MemoryClient
from fleet_sim.chance import generator, stream
from fleet_sim.clock import SimClock
from fleet_sim.ground.disk import SimDisk
from fleet_sim.virtual import simulated
from gateway.app import make_cell, parse
from gateway.store import Store

EPOCH_MS: Final = 1_735_689_600_000
LOCKS: Final = ("39000001", "39000002", "39000003")
FRAMES: Final = 24
CUTS: Final = 3
#: What our disk says when it is to blame for the end of a cell.
OURS: Final = ("the power went", "the disk fails", "the disk is full")
STATES: Final = {b"1": "Locked", b"3": "Unlocked"}
#: Simulated seconds within which everything must have come to rest.
SETTLE_S: Final = 60.0


class Cable:
    """A machine's way to the broker, until it is pulled: a `network` with MQTT alone."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._transports: list[MemoryTransport] = []
        self._pulled = False

    async def mqtt_opener(self, factory: Callable[[], Any]) -> tuple[MemoryTransport, Any]:
        if self._pulled:
            raise ConnectionRefusedError("no power")
        transport, protocol = await self._broker.connect_transport(factory)
        self._transports.append(transport)
        return transport, protocol

    def pull(self) -> None:
        self._pulled = True
        for transport in self._transports:
            transport.abort()


class WitnessedDisk(SimDisk):
    """Remembers every event whose commit has returned: (device, sequence) to its bytes."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.committed: dict[tuple[str, int], bytes] = {}
        self.committing = False
        self._last_row = 0

    def connect(self, path: Path) -> Any:
        self.db = super().connect(path)
        return self.db

    async def commit(self, commit: Callable[[], None]) -> None:
        self.committing = True
        try:
            await super().commit(commit)
        finally:
            self.committing = False
        for row, device, sequence, event in self.db.execute(
            "SELECT row, device, sequence, event FROM outbox WHERE row > ?", (self._last_row,)
        ):
            self._last_row = row
            self.committed[device, sequence] = event


class Run:
    """One seed's: load, cuts, and what is wrong in the end."""

    def __init__(self, seed: int, folder: Path, **pragmas: str) -> None:
        self.seed = seed
        self.faults: list[str] = []
        self.cuts = self.cuts_in_commit = 0
        self._chance = stream(seed, "run")
        self._folder = folder
        self.disk = WitnessedDisk(seed)
        # A short WAL is written back often: then the power goes in the middle of that, too.
        pragmas.setdefault("wal_autocheckpoint", self._chance.choice(["1000", "20", "5"]))
        self.disk.pragmas = (*self.disk.pragmas, *(f"{k}={v}" for k, v in pragmas.items()))
        self.disk.commit_s = self._chance.choice([0.0, 0.002, 0.02, 0.2])
        self._heard: dict[tuple[str, int], bytes] = {}
        self._order: dict[str, int] = dict.fromkeys(LOCKS, 0)
        self._users: dict[str, int] = dict.fromkeys(LOCKS, 0)
        self._said: dict[str, bytes] = {}
        self._loading = 0

    # --- the course ---------------------------------------------------------------------------

    async def run(self) -> list[str]:
        self._loop = asyncio.get_running_loop()
        self._broker = MemoryBroker()
        witness = MemoryClient(self._broker, self._hear)
        witness.connect("witness", keep_alive_s=0)
        witness.subscribe("doorfleet/v1/home/nuki/+/event/#", qos=1)
        self._power_on()
        await self._within(lambda: self._cell.snapshot().get("vendor_up"))
        self._load()
        for _ in range(CUTS):
            await self._until_a_cut()
            await self._down()
            await asyncio.sleep(self._chance.uniform(0, 1))
            self._power_on()
        await self._within(self._at_rest)
        self._task.cancel()
        await asyncio.wait([self._task])
        self._broker.stop()
        self._judge()
        return self.faults

    def _power_on(self) -> None:
        config = parse(
            {
                "site": "home",
                "state_dir": str(self._folder),
                "bus": [{"kind": "mqtt", "url": "mqtt://127.0.0.1:1883", "keepalive_s": 3600}],
                "cells": [
                    {
                        "vendor": "nuki",
                        "settings": {"url": "mqtt://127.0.0.1:1883", "keepalive_s": 3600},
                    }
                ],
            }
        )
        self.disk.power_on()
        self._cable = Cable(self._broker)
        self._cell = make_cell(
            config,
            config.cells[0],
            clock=SimClock(EPOCH_MS, self._loop),
            rng=generator(self.seed, f"cell/{self.cuts}"),
            network=self._cable,
            disk=self.disk,
        )
        self._task = asyncio.create_task(self._cell.run())
        self._went_dark = asyncio.Event()
        self.disk.on_power_cut = self._dark

    def _dark(self) -> None:
        """The process is gone in this moment, and nothing of it leaves the machine."""
        self._went_dark.set()
        self.cuts += 1
        self.cuts_in_commit += self.disk.committing
        self._cable.pull()
        if not self._task.cancelling():  # a cell that was told to stop is on its way
            self._task.cancel()

    async def _until_a_cut(self) -> None:
        """Whatever the cell does then; at times its disk failed or was full, or it was to stop."""
        await asyncio.sleep(self._chance.choice([0.0, self._chance.uniform(0, 1.5)]))
        if self._chance.random() < 0.3:
            self.disk.failing = self._chance.random() < 0.5
            self.disk.capacity_bytes = self.disk.used_bytes
            await asyncio.sleep(self._chance.uniform(0, 0.5))
            self.disk.failing, self.disk.capacity_bytes = False, None
        if self._chance.random() < 0.2:
            self._task.cancel()
        if self._chance.random() < 0.7:
            self.disk.cut_power_in(self._chance.randint(1, 40))
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self._went_dark.wait()
        if self.disk.powered:
            self.disk.cut_power()

    async def _down(self) -> None:
        await asyncio.wait([self._task])
        error = None if self._task.cancelled() else self._task.exception()
        if error is not None and not any(words in str(error) for words in OURS):
            self.faults.append(f"a cell broke: {error!r}")

    async def _within(self, what: Callable[[], object]) -> None:
        until_s = self._loop.time() + SETTLE_S
        while not what() and not self._task.done():
            if self._loop.time() > until_s:
                self.faults.append(f"no rest within {SETTLE_S} s: {self._cell.snapshot()}")
                return
            await asyncio.sleep(0.05)

    def _load(self) -> None:
        for lock in LOCKS:
            client = MemoryClient(self._broker)
            client.connect(lock, keep_alive_s=0)
            chance = stream(self.seed, f"load/{lock}")
            at_s = 0.0
            for number in range(1, FRAMES + 1):
                at_s += chance.expovariate(FRAMES / 4)
                self._loading += 1
                self._loop.call_later(at_s, self._say, client, lock, number)

    def _say(self, client: MemoryClient, lock: str, number: int) -> None:
        self._loading -= 1
        client.publish(f"nuki/{lock}/lockActionEvent", b"1,0,%d,0,0" % number, qos=1)
        if number % 3 == 0:
            self._said[lock] = (b"1", b"3")[number % 2]
            client.publish(f"nuki/{lock}/state", self._said[lock], qos=1, retain=True)

    def _at_rest(self) -> bool:
        if self._loading:
            return False
        state = self._cell.snapshot()
        return (
            state["state"] == "up" and not state["waiting"] and not any(state["lag_rows"].values())
        )

    # --- what is right ------------------------------------------------------------------------

    def _hear(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        del topic, qos, retain
        event = json.loads(payload)
        device, sequence = event["data"]["device"], int(event["sequence"])
        if self._heard.setdefault((device, sequence), payload) != payload:
            self.faults.append(f"{device} {sequence}: said differently")
        if sequence > self._order[device] + 1:
            self.faults.append(f"{device}: {sequence} came after {self._order[device]}")
        self._order[device] = max(self._order[device], sequence)
        if (user := event["data"].get("user")) is not None:
            if user > self._users[device] + 1:
                self.faults.append(f"{device}: frame {user} after {self._users[device]}")
            self._users[device] = max(self._users[device], user)

    def _judge(self) -> None:
        if self._task.done() and not self._task.cancelled() and self._task.exception():
            self.faults.append(f"the last cell broke: {self._task.exception()!r}")
        if aside := self._cell.snapshot().get("corrupt_store_kept_as"):
            self.faults.append(f"a store was corrupt: {aside}")
        self.faults += [
            f"committed, and never heard: {key}"
            for key, event in self.disk.committed.items()
            if self._heard.get(key) != event
        ]
        self.faults += [
            f"frames of {lock} end with {last}"
            for lock, last in self._users.items()
            if last != FRAMES
        ]
        try:
            self._judge_store()
        except (sqlite3.Error, StoreError) as error:
            self.faults.append(f"the store cannot be read: {error}")

    def _judge_store(self) -> None:
        with closing(Store(self._folder / "nuki.db", 0, 2**30, self.disk)):
            twins = self.disk.db.execute("SELECT device, sequence, axes FROM twins").fetchall()
        for device, sequence, axes in twins:
            if sequence != self._order[device]:
                self.faults.append(f"{device} is at {sequence}, heard was {self._order[device]}")
            if (state := json.loads(axes)["lock_state"]["value"]) != STATES[self._said[device]]:
                self.faults.append(f"{device} is {state}, not {STATES[self._said[device]]}")


def tried(seed: int, **pragmas: str) -> Run:
    with simulated() as (folder, runner):
        run = Run(seed, folder, **pragmas)
        runner.run(run.run())
    return run


def test_what_was_committed_survives_every_power_cut(
    seeds: Sequence[int], capsys: pytest.CaptureFixture[str]
) -> None:
    began_s = time.monotonic()
    cuts = in_commit = events = 0
    for seed in seeds:
        run = tried(seed)
        assert run.faults == [], f"again: make kill ARGS='-k disk --run-seed={seed}'"
        cuts += run.cuts
        in_commit += run.cuts_in_commit
        events += len(run.disk.committed)
    with capsys.disabled():
        spent_s = time.monotonic() - began_s
        sys.stdout.write(
            f"\n  {len(seeds)} runs in {spent_s:.0f} s: {cuts} power cuts, {in_commit} of them in"
            f" the middle of a commit; {events} events committed, none lost or out of order"
        )
    assert len(seeds) == 1 or in_commit > 0


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_a_store_that_syncs_less_is_found_out(synchronous: str) -> None:
    faults = [fault for seed in range(12) for fault in tried(seed, synchronous=synchronous).faults]

    assert any(fault.startswith("committed, and never heard") for fault in faults)


def test_a_run_is_a_function_of_its_seed() -> None:
    first, again = tried(5), tried(5)

    assert first.disk.committed == again.disk.committed
    assert (first.cuts_in_commit, first.disk.deeds) == (again.cuts_in_commit, again.disk.deeds)
