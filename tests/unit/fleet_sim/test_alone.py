"""Devices without a gateway: the same lines in any blocks, and next to nothing kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from devices.errors import ConfigError
from fleet_sim import alone
from fleet_sim.alone import AloneRun, SteppedAgenda
from fleet_sim.fleet import blocks_of
from fleet_sim.life import BEGINS_MS, EPOCH_MS
from fleet_sim.scenario import Scenario
from fleet_sim.shard import WHOLE, Shard

FLEET = {"ratgdo": 40, "nuki": 30, "tedee": 10, "uhppote": 20}


def scenario(**more: Any) -> Scenario:
    return Scenario(**{"name": "alone", "hours": 0.2, "pace": 20, "fleet": FLEET} | more)


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_the_report_counts_what_the_devices_did(tmp_path: Path) -> None:
    told: list[float] = []

    report = alone.run(scenario(), seed=2, progress=told.append, journal=tmp_path / "j")
    found = lines(tmp_path / "j")

    assert report["verdict"] == "pass"
    assert {vendor: each["devices"] for vendor, each in report["vendors"].items()} == FLEET
    assert report["journal"]["lines"] == len(found)
    dids = [each["did"] for each in found]
    assert dids.count("connected") == sum(FLEET.values()) - FLEET["tedee"]
    habits = sum(did not in {"connected", "wake", "hub", "disconnected"} for did in dids)
    assert sum(each["deeds"] for each in report["vendors"].values()) == habits > 100
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert list(tmp_path.iterdir()) == [tmp_path / "j"]


def test_the_timeline_adds_up_over_the_blocks() -> None:
    one, many = AloneRun(scenario(), 2), AloneRun(scenario(), 2, block=7)

    assert one.play() == many.play()

    assert one.course == many.course
    deeds = {vendor: sum(line["deeds"]) for vendor, line in one.course["vendors"].items()}
    assert deeds == {vendor: tally.deeds for vendor, tally in one.tallies.items()}
    assert one.course["vendors"]["nuki"]["connected"][-1] == FLEET["nuki"]


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    assert AloneRun(scenario(), 2).play() == AloneRun(scenario(), 2, journal=tmp_path / "j").play()


def test_nothing_happens_before_the_scenario_begins_or_after_its_end(tmp_path: Path) -> None:
    AloneRun(scenario(), 2, journal=tmp_path / "j").play()
    found = lines(tmp_path / "j")

    began_ms = EPOCH_MS + BEGINS_MS
    rest_ms = began_ms + 720_000
    assert min(each["at"] for each in found if each["did"] != "hub") >= began_ms
    assert all(each["at"] < rest_ms for each in found if each["did"] not in {"wake", "hub"})


def test_acts_strike_devices_without_a_gateway_too(tmp_path: Path) -> None:
    acts = [
        {"at": "2m", "for": "4m", "vendor": "ratgdo", "fault": "reconnect_storm"},
        {"at": "2m", "for": "4m", "vendor": "nuki", "fault": next(iter(_own("nuki")))},
    ]
    AloneRun(scenario(acts=acts), 2, journal=tmp_path / "j").play()

    dids = {(each["device"].partition("/")[0], each["did"]) for each in lines(tmp_path / "j")}
    assert ("ratgdo", "disconnected") in dids
    assert {did.partition(":")[0] for vendor, did in dids if vendor == "nuki"} >= {"fault", "heal"}


def _own(vendor: str) -> Any:
    from fleet_sim.act import own_faults  # noqa: PLC0415 -- by the only test that needs it

    return own_faults(vendor)


def test_an_option_that_nobody_has_is_told_before_anything_is_made() -> None:
    with pytest.raises(ConfigError, match="colour"):
        AloneRun(scenario(options={"nuki": {"colour": "red"}}), 2).play()


def test_a_block_never_parts_a_hub() -> None:
    blocks = list(blocks_of("tedee", 50, EPOCH_MS, {"locks_per_bridge": 4}, WHOLE, 10))

    assert [list(block) for block in blocks][:2] == [list(range(1, 13)), list(range(13, 25))]
    assert sum(map(len, blocks)) == 50


def test_the_blocks_of_shards_are_the_fleet() -> None:
    blocks = [
        number
        for index in range(3)
        for block in blocks_of("ratgdo", 100, EPOCH_MS, None, Shard(index, 3), 9)
        for number in block
    ]

    assert sorted(blocks) == list(range(1, 101))


def test_an_agenda_of_its_own_stands_at_the_moment_of_what_is_done() -> None:
    agenda, seen = SteppedAgenda(10), []

    def note(at_ms: int) -> None:
        seen.append((agenda.now_ms, at_ms))

    def more(at_ms: int) -> None:
        note(at_ms)
        agenda.at(at_ms, note)
        agenda.at(at_ms + 100, note)

    moments: list[tuple[int, Callable[[int], None]]] = [(30, note), (20, more), (5, note)]
    for at_ms, what in moments:
        agenda.at(at_ms, what)
    agenda.step_to(100)

    assert seen == [(10, 10), (20, 20), (20, 20), (30, 30)]
    assert agenda.now_ms == 100

    agenda.stop()
    agenda.at(110, note)
    agenda.step_to(200)

    assert len(seen) == 4
