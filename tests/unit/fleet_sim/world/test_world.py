"""A world in a run: what is drawn for a device is its own, whoever else is there."""

from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import orjson

from fleet_sim import alone, virtual
from fleet_sim.alone import AloneRun
from fleet_sim.scenario import Scenario
from fleet_sim.shard import Shard

FLEET: Final = [
    {"vendor": "nuki", "count": 4, "site": "a", "habits": "household", "radio": "poor"},
    {"vendor": "ratgdo", "count": 4, "site": "b", "habits": "commuters", "firmware": "2.50"},
    {"vendor": "uhppote", "count": 3, "site": "b", "drift_ms_per_day": 90_000},
]


def everything(**more: Any) -> Scenario:
    """Three hours in which all happens that can."""
    return Scenario.model_validate(
        {
            "hours": 3,
            "starts": "monday 07:00",
            "pace": 3,
            "fleet": FLEET,
            "gateway": {"uhppote": {"poll_ms": 60_000, "upkeep_ms": 86_400_000}},
            "batteries": {"day_pct": 60, "from_pct": 12},
            "weather": {"mean_c": -3, "storms": [{"at": "1h", "for": "1h", "site": "a"}]},
            "rollouts": [
                {"at": "20m", "vendor": "nuki", "to": "4.1", "waves": ["50%", "100%"]}
                | {"every": "40m", "fails": "30%", "retry": "20m"}
            ],
            "acts": [
                {"at": "2h", "for": "10m", "vendor": "ratgdo", "fault": "power_cut", "share": 0.5},
                {"at": "1h", "for": "20m", "vendor": "nuki", "fault": "silent_hand", "share": 0.1},
            ],
            **more,
        }
    )


def journal(scenario: Scenario, folder: Path, seed: int = 5) -> list[dict[str, Any]]:
    path = folder / "journal.jsonl"
    result = virtual.run(scenario, seed=seed, journal=path)
    assert result["verdict"] == "pass", (result["problems"], result["evidence"])
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def by_device(lines: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    for line in lines:
        found[line["device"]].append(line)
    return found


def did(lines: list[dict[str, Any]], verb: str) -> list[str]:
    return [line["did"].partition(":")[2] for line in lines if line["did"].startswith(f"{verb}:")]


def test_everything_happens_to_whom_it_can(tmp_path: Path) -> None:
    lines = by_device(journal(everything(), tmp_path))

    for device, its in lines.items():
        vendor = device.partition("/")[0]
        assert bool(did(its, "battery")) == (vendor == "nuki"), device
        assert bool(did(its, "clock")) == (vendor == "uhppote"), device
        firmware = {"nuki": ["4.1"], "ratgdo": ["2.50"], "uhppote": []}[vendor]
        assert did(its, "firmware") == firmware, device
        if vendor == "nuki":
            assert sum(line["did"] == "connected" for line in its) > 1
    # A clock that is a minute and a half wrong in a day is so in small steps.
    steps = [int(ms) for ms in did(lines["uhppote/405000001"], "clock")]
    assert len(steps) == 3
    assert all(abs(ms) < 4 * 90_000 / 24 for ms in steps)


def test_a_device_that_is_added_changes_no_other(tmp_path: Path) -> None:
    fewer, more = (
        by_device(
            journal(
                everything(
                    fleet=[{**FLEET[0], "count": count}, *FLEET[1:]], deliveries={"per_day": 20}
                ),
                tmp_path,
            )
        )
        for count in (4, 5)
    )

    assert len(more) == len(fewer) + 1
    for device, lines in fewer.items():
        if not device.startswith("uhppote/"):  # a poll comes when the gateway likes
            assert more[device] == lines, device


def test_a_run_is_a_function_of_scenario_and_seed(tmp_path: Path) -> None:
    asked = everything(deliveries={"per_day": 20}, hours=2.5)
    one = journal(asked, tmp_path)

    assert journal(asked, tmp_path) == one
    assert journal(asked, tmp_path, seed=6) != one


def test_an_empty_world_costs_a_device_nothing(tmp_path: Path) -> None:
    """What a scenario does not speak of is not drawn: the same people do the same things."""
    plain = {"hours": 3, "fleet": {"nuki": 2}, "pace": 3}
    lines = journal(Scenario.model_validate(plain), tmp_path)
    told = journal(Scenario.model_validate({**plain, "batteries": {}}), tmp_path)

    def deeds(lines: list[dict[str, Any]]) -> list[tuple[int, str]]:
        verbs = ("wake", "connected", "disconnected")
        return [(line["at"], line["did"]) for line in lines if line["did"] not in verbs]

    assert deeds(lines) == [deed for deed in deeds(told) if ":" not in deed[1]]


def test_without_a_gateway_shards_say_what_the_whole_says(tmp_path: Path) -> None:
    asked = everything(deliveries={"per_day": 20}, fleet=[*FLEET, {"vendor": "tedee", "count": 3}])
    whole = AloneRun(asked, 5)
    said = whole.play()

    parts = [AloneRun(asked, 5, shard=Shard(number, 3)) for number in range(3)]
    digests = [part.play() for part in parts]

    assert all(part.devices for part in parts)
    assert sum(digests[1:], digests[0]) == said
    for what in ("asked", "done"):
        counts = [getattr(part.world.tour, what) for part in parts]
        assert sum(counts) == getattr(whole.world.tour, what) > 0


def test_without_a_gateway_a_courier_uses_the_door_as_people_do(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    asked = Scenario.model_validate(
        {
            "hours": 4,
            "starts": "tuesday 09:00",
            "pace": 0.0001,
            "fleet": {"nuki": 2, "opengarage": 2},
            "deliveries": {"per_day": 20},
        }
    )

    found = alone.run(asked, seed=2, journal=path)["deliveries"]

    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    deeds = [(line["device"].partition("/")[0], line["did"]) for line in lines]
    nuki = deeds.count(("nuki", "come_home"))
    assert found["done"] == found["asked"] > 10
    assert nuki > 3
    assert deeds.count(("nuki", "leave")) == nuki  # he locks behind him
    assert deeds.count(("opengarage", "come_home")) == found["done"] - nuki
