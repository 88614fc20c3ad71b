"""The journal is a function of commit, scenario and seed; nothing else moves a line of it."""

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from fleet_sim.alone import AloneRun
from fleet_sim.clock import SimLoop
from fleet_sim.journal import Digest, Journal
from fleet_sim.quiet import quiet_log
from fleet_sim.scenario import Scenario
from fleet_sim.shard import WHOLE, Shard
from fleet_sim.virtual import VirtualRun
from vendors import registry

#: Everybody, with a fault of the link and one of their own for some, and people in a hurry.
EVERYBODY: Final = dict.fromkeys(registry.names(), 4)
PACE: Final = 30
#: How often the cells ask: seldom enough for a test of many runs.
GATEWAY: Final = {
    "meross": {"poll_interval_s": 300},
    "nuki_bridge": {"poll_interval_s": 300},
    "opengarage": {"poll_ms": 300_000},
    "shelly": {"poll_interval_ms": 300_000},
    "switchbot": {"poll_min_ms": 300_000},
    "tedee": {"poll_interval_s": 300},
    "uhppote": {"poll_ms": 300_000, "upkeep_ms": 3_600_000},
    "zigbee2mqtt": {"poll_interval_s": 300},
}


def scenario(fleet: Mapping[str, int] = EVERYBODY, hours: float = 0.2, **more: Any) -> Scenario:
    acts = [
        {"at": "2m", "for": "4m", "vendor": vendor, "share": 0.5, "fault": fault}
        for vendor, fault in (("ratgdo", "reconnect_storm"), ("nuki", "hang"))
        if vendor in fleet
    ]
    asked = {vendor: GATEWAY[vendor] for vendor in fleet if vendor in GATEWAY}
    given = {"fleet": dict(fleet), "acts": acts, "gateway": asked, **more}
    return Scenario(name="exact", hours=hours, pace=PACE, **given)


def alone(
    what: Scenario, folder: Path, *, block: int = 4_000, shard: Shard = WHOLE, seed: int = 3
) -> set[bytes]:
    """The lines of a run without a gateway, which come in order."""
    path = folder / f"{block}-{shard.index}-{shard.of}.jsonl"
    AloneRun(what, seed, shard=shard, journal=path, block=block).play()
    lines = path.read_bytes().splitlines()
    assert lines == sorted(lines, key=key)
    assert len(set(lines)) == len(lines)
    return set(lines)


def with_gateway(
    what: Scenario, folder: Path, *, shard: Shard = WHOLE, seed: int = 3
) -> set[bytes]:
    """The lines of a run with the gateway's cells."""
    file = io.BytesIO()
    state = folder / f"state-{shard.index}-{shard.of}-{sum(what.fleet.values())}"
    state.mkdir()
    journal = Journal(file)
    with quiet_log(), asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(VirtualRun(what, seed, state, shard=shard, journal=journal).play())
    journal.close()
    return set(file.getvalue().splitlines())


def key(line: bytes) -> tuple[int, str, int]:
    one = orjson.loads(line)
    return one["at"], one["device"], one["n"]


def of_devices(lines: Iterable[bytes], names: set[str]) -> set[bytes]:
    return {line for line in lines if orjson.loads(line)["device"] in names}


def names(lines: Iterable[bytes]) -> set[str]:
    return {orjson.loads(line)["device"] for line in lines}


def test_a_block_at_a_time_writes_the_lines_of_all_at_once(tmp_path: Path) -> None:
    many = scenario({"ratgdo": 100, "nuki": 100, "tedee": 60, "uhppote": 40}, hours=1 / 6)

    whole = alone(many, tmp_path)

    assert len(whole) > 1_000
    assert alone(many, tmp_path, block=7) == whole


def test_four_shards_write_the_lines_of_one_without_a_gateway(tmp_path: Path) -> None:
    whole = alone(scenario(), tmp_path)
    parts = [alone(scenario(), tmp_path, shard=Shard(index, 4)) for index in range(4)]

    assert set().union(*parts) == whole
    assert sum(map(len, parts)) == len(whole)


def test_four_shards_write_the_lines_of_one_with_a_gateway(tmp_path: Path) -> None:
    whole = with_gateway(scenario(), tmp_path)
    parts = [with_gateway(scenario(), tmp_path, shard=Shard(index, 4)) for index in range(4)]

    assert sum((Digest.of(part) for part in parts), Digest()) == Digest.of(whole)


def test_one_device_more_changes_nobody_elses_line_without_a_gateway(tmp_path: Path) -> None:
    before = alone(scenario(), tmp_path)
    after = alone(scenario(dict.fromkeys(registry.names(), 5)), tmp_path)

    assert of_devices(after, names(before)) == before
    assert len(names(after)) == len(names(before)) + len(registry.names())


def test_one_device_more_changes_nobody_elses_line_with_a_gateway(tmp_path: Path) -> None:
    before = with_gateway(scenario(), tmp_path)
    after = with_gateway(scenario(dict.fromkeys(registry.names(), 5)), tmp_path)

    assert of_devices(after, names(before)) == before


def test_boards_live_as_they_do_whether_a_gateway_listens_or_not(tmp_path: Path) -> None:
    """Of devices that tell of themselves: a bridge also tells who asked it to."""
    boards = scenario(
        {"ratgdo": 6, "nuki": 6, "shelly": 6}, options={"shelly": {"transport": "mqtt"}}
    )

    assert with_gateway(boards, tmp_path) == alone(boards, tmp_path)


CODE: Final = f"""
GATEWAY = {GATEWAY}
from fleet_sim.alone import AloneRun
from fleet_sim.scenario import Scenario
from vendors import registry
what = Scenario(
    name="x", hours=0.1, pace=60, fleet=dict.fromkeys(registry.names(), 2), gateway=GATEWAY
)
print(AloneRun(what, 3).play())
from fleet_sim import virtual
for _ in range(2):
    found = virtual.run(what, seed=3)
    print(found["journal"]["digest"], found["digest"])
"""


def test_four_runs_under_two_hash_seeds_are_one_journal() -> None:
    said = [
        subprocess.run(
            [sys.executable, "-c", CODE],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]

    alone, first, second = said[0].splitlines()
    assert first == second
    assert first != alone
    assert said[0] == said[1]


def test_another_seed_is_another_journal() -> None:
    few = scenario({"ratgdo": 3})

    assert AloneRun(few, 1).play() != AloneRun(few, 2).play()
