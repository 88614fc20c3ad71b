"""Our own scenarios, cut down to a few devices: they pass, and show what they promise."""

from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import orjson
import pytest

from fleet_sim import scenario, virtual

#: Devices of each group: enough to see what is meant, and few enough to be quick.
MOST: Final = {"monday_8am": 12, "firmware_rollout": 12, "power_cut": 12, "storm": 4}


@cache
def played(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A run's report, and what its journal says."""
    small = scenario.load(name).cut_down(MOST.get(name, 2))
    with TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.jsonl"
        result = virtual.run(small, seed=1, journal=journal)
        lines = [orjson.loads(line) for line in journal.read_bytes().splitlines()]
    return result, lines


def did(name: str, vendor: str, what: str) -> list[dict[str, Any]]:
    return [
        line
        for line in played(name)[1]
        if line["device"].startswith(f"{vendor}/") and line["did"].startswith(what)
    ]


@pytest.mark.parametrize("name", scenario.names())
def test_it_says_why_it_is_there_and_keeps_every_promise(name: str) -> None:
    result, _ = played(name)

    assert scenario.load(name).description
    assert result["verdict"] == "pass", (result["problems"], result["evidence"])


def test_monday_has_its_peak_at_eight() -> None:
    result, _ = played("monday_8am")
    buckets = result["timeline"]
    by_hour: Counter[int] = Counter()
    for vendor in buckets["vendors"].values():
        for number, deeds in enumerate(vendor["deeds"]):
            by_hour[6 + int(number * buckets["bucket_s"] // 3600)] += deeds

    assert max(by_hour, key=by_hour.__getitem__) in (7, 8)
    assert by_hour[8] > 1.5 * by_hour[6]
    assert by_hour[8] > 1.5 * by_hour[9]


def test_a_storm_drains_batteries_and_breaks_links_where_it_blows() -> None:
    ours = scenario.load("storm").cut_down(MOST["storm"])
    coast = {f"nuki/{39_000_000 + number:d}" for number in ours.groups("nuki")[0][0]}
    lines = did("storm", "nuki", "")
    known = {line["device"] for line in lines}
    assert coast <= known, known
    cuts = Counter(line["device"] in coast for line in did("storm", "nuki", "disconnected"))
    drained = did("storm", "nuki", "battery:")

    assert cuts[True] > 5 * max(1, cuts[False])
    assert played("storm")[0]["vendors"]["nuki"]["p99_ms"] > 300  # a message in three is late
    assert {line["device"] for line in drained} == known
    for device in known:
        told = [int(line["did"].partition(":")[2]) for line in drained if line["device"] == device]
        assert told[-1] < told[0] or 100 in told
    assert {line["device"].partition("/")[0] for line in played("storm")[1]} == set(ours.fleet)


def test_new_firmware_comes_in_waves_and_is_told_after_a_boot() -> None:
    result, lines = played("firmware_rollout")
    at_h = {
        line["device"]: (line["at"] - lines[0]["at"]) / 3_600_000
        for line in did("firmware_rollout", "nuki", "firmware:3.10.2")
    }
    for device in at_h:
        its = [line["did"] for line in lines if line["device"] == device]
        told = its.index("firmware:3.10.2")
        assert "disconnected" in its[:told]
        assert "connected" in its[told:]

    assert len(at_h) == 12
    assert sum(1 <= hour < 2 for hour in at_h.values()) < 6
    assert sum(hour >= 5 for hour in at_h.values()) >= 3
    nuki, shelly = result["rollouts"]
    assert (nuki["told"], shelly["told"]) == (12, 12)


def test_after_a_power_cut_all_come_back_at_once() -> None:
    ours = scenario.load("power_cut").cut_down(MOST["power_cut"])
    result, lines = played("power_cut")
    begins_ms = lines[0]["at"] - lines[0]["at"] % 1000
    back = [
        (line["at"] - begins_ms) / 1000
        for line in did("power_cut", "ratgdo", "connected")
        if line["at"] - begins_ms > 60_000
    ]

    assert len(back) == ours.groups("ratgdo")[0][1].count
    assert max(back) - min(back) <= 3.5
    assert min(back) == pytest.approx(30 * 60, abs=40)
    up = result["timeline"]["vendors"]["ratgdo"]["connected"]
    assert min(up) == ours.groups("ratgdo")[1][1].count
    assert up[0] == up[-1] == ours.fleet["ratgdo"]


def test_every_parcel_is_delivered_and_no_door_is_left_open() -> None:
    found = played("delivery_peak")[0]["deliveries"]

    assert found["asked"] > 10
    assert found["done"] == found["asked"]
    assert found["left_open"] == 0
    assert 10 <= found["p50_s"] <= found["p90_s"] <= 120


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    words = (scenario.folder() / "README.md").read_text()
    path = tmp_path / "street.yaml"
    path.write_text(words.split("```yaml\n")[1].split("```")[0])
    example = scenario.load(path)

    result = virtual.run(example.cut_down(2).model_copy(update={"hours": 12.0}), seed=1)

    assert result["verdict"] == "pass", (result["problems"], result["evidence"])
    assert result["deliveries"]["done"] == result["deliveries"]["asked"] > 0
    assert result["rollouts"][0]["told"] == 2
