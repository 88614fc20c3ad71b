"""Couriers and the gateway: real commands over the bus, and each door opens once."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import orjson
import pytest

from fleet_sim import virtual, wire_run
from fleet_sim.scenario import Scenario

VENDORS: Final = ("ratgdo", "nuki", "tedee", "uhppote", "shelly")
QUICK: Final = {"uhppote": {"poll_ms": 20_000}, "tedee": {"poll_interval_s": 30}}


def scenario(*vendors: str, **more: Any) -> Scenario:
    """An hour at noon, in which couriers come and nobody else does."""
    return Scenario.model_validate(
        {
            "hours": 1,
            "starts": "tuesday 11:00",
            "pace": 0.0001,
            "fleet": dict.fromkeys(vendors, 3),
            "gateway": {name: told for name, told in QUICK.items() if name in vendors},
            "deliveries": {"per_day": 40, "place_min": 5, "place_max": 20, "patience": 60},
            **more,
        }
    )


def run(asked: Scenario) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        result = virtual.run(asked, seed=9, journal=path)
        return result, [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_courier_asks_places_and_has_it_closed(vendor: str) -> None:
    result, _ = run(scenario(vendor))
    found = result["deliveries"]

    assert (result["verdict"], result["evidence"]) == ("pass", [])
    assert found["asked"] >= 3
    assert found["done"] == found["asked"]
    assert found["failed"] == found["unknown"] == found["unfinished"] == found["left_open"] == 0
    assert 5 <= found["p50_s"] <= found["p90_s"] <= 120


def test_a_door_opens_once_for_each_parcel() -> None:
    result, lines = run(scenario("ratgdo"))
    truths = Counter(
        (key, value)
        for line in lines
        for key, value, sent in line.get("truths", ())
        if sent and key == "target_position"
    )

    done = result["deliveries"]["done"]
    # A door that stood open at first is opened once less.
    assert done - 3 <= truths["target_position", "MoveToFullyOpen"] <= done
    assert truths["target_position", "MoveToFullyClosed"] == done


def test_a_courier_gives_up_at_a_door_that_does_not_open() -> None:
    deaf = [{"at": 0, "for": "1h", "vendor": "ratgdo", "fault": "deaf"}]
    found = run(scenario("ratgdo", acts=deaf))[0]["deliveries"]

    assert found["done"] == 0
    assert found["asked"] == found["unknown"] + found["failed"] > 0
    assert found["left_open"] < found["asked"]  # those that stood open, and that nobody closed


def test_a_courier_is_refused_where_nobody_is_there() -> None:
    dark = [{"at": "2m", "for": "58m", "vendor": "nuki", "fault": "power_cut"}]
    found = run(scenario("nuki", acts=dark))[0]["deliveries"]

    assert found["asked"] > 3
    assert sum(found["refused"].values()) > 3
    assert set(found["refused"]) <= {"offline", "stale_state", "unavailable"}
    assert found["done"] + sum(found["refused"].values()) + found["unknown"] == found["asked"]


def test_without_a_gap_between_them_parcels_come_as_they_were_counted(tmp_path: Path) -> None:
    spec = {"gaps_s": [600.0], "place_min": 5, "place_max": 6}
    found = run(scenario("nuki", deliveries=spec))[0]["deliveries"]

    assert found["asked"] == 3 * 5  # every ten minutes, and none that could not be ended
    assert found["done"] == found["asked"]


def test_only_at_some_of_the_doors() -> None:
    spec = {"per_day": 40, "share": "0%"}

    assert run(scenario("nuki", deliveries=spec))[0]["deliveries"]["asked"] == 0


async def test_in_real_time_too() -> None:
    spec = {"per_day": 40, "place_min": 1, "place_max": 2}
    asked = scenario("ratgdo", "nuki", hours=6, deliveries=spec)
    result = await wire_run.run(asked, seed=9, seconds=10)
    found = result["deliveries"]

    assert (result["verdict"], result["evidence"]) == ("pass", [])
    assert found["asked"] > 5
    assert found["done"] > 0
    assert found["done"] + found["unfinished"] == found["asked"]
