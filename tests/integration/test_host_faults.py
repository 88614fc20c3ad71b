"""What strikes a gateway's cells, its box and its bus, on real processes and sockets."""

import asyncio
from collections import Counter
from datetime import datetime
from statistics import median
from typing import Any, Final, NamedTuple

import orjson
import pytest

from devices.errors import ConfigError
from fleet_sim import wire_run
from fleet_sim.scenario import Scenario


class Blow(NamedTuple):
    """One act, and in how many seconds from its beginning the bus says that the cell is gone."""

    vendor: str
    fault: str
    at_s: float
    for_s: float
    gone_from_s: float
    gone_to_s: float


BLOWS: Final = (
    Blow("nuki", "cell_kill", 2, 2, 0, 2),
    Blow("uhppote", "cell_hang", 2, 13, 7, 12.5),  # given up after 10 s without a heartbeat
    Blow("nuki", "cell_crash", 7, 2, 0, 2.5),
    Blow("nuki", "files_exhausted", 12, 3, 0, 2),
)
UNTOUCHED: Final = "ratgdo"
BEGINS_S, LASTS_S, APART_S = 4.0, 3.0, 5.0
#: Two boxes, each with its bus, and what strikes them one after the other.
BOXES: Final = (("bus_down", "disk_full", "disk_slow"), ("bus_slow", "bus_throttled"))
PER_S: Final = 2
BOX_AT_S: Final = {
    fault: BEGINS_S + number * APART_S for faults in BOXES for number, fault in enumerate(faults)
}
SETTINGS: Final = {"bus_throttled": {"per_s": PER_S}, "bus_slow": {"late_ms": 900}}


class Heard(NamedTuple):
    at_ms: float
    body: dict[str, Any]


async def played(
    scenario: dict[str, Any],
) -> tuple[dict[str, Any], list[Heard], float]:
    """The report, all that was heard on the bus, and when the scenario began."""
    heard: list[Heard] = []
    one = await wire_run.play(
        Scenario.model_validate({"pace": 500, "arrive_s": 1, **scenario}),
        seed=3,
        overhears=lambda payload, at_ms: heard.append(Heard(at_ms, orjson.loads(payload))),
    )
    return wire_run.result(one), heard, one.began_ms


def during(heard: list[Heard], began_ms: float, from_s: float, to_s: float) -> list[Heard]:
    return [each for each in heard if from_s <= (each.at_ms - began_ms) / 1000 < to_s]


def events(heard: list[Heard]) -> list[Heard]:
    return [each for each in heard if "specversion" in each.body]


def said_ms(event: Heard) -> float:
    return datetime.fromisoformat(event.body["time"]).timestamp() * 1000


def behind_ms(heard: list[Heard]) -> list[float]:
    return [each.at_ms - said_ms(each) for each in events(heard)]


def said_during(heard: list[Heard], began_ms: float, from_s: float, to_s: float) -> list[Heard]:
    """By their own time: a slow bus brings them when it likes."""
    there = events(heard)
    return [each for each in there if from_s <= (said_ms(each) - began_ms) / 1000 < to_s]


async def test_what_strikes_cells_box_and_bus_is_seen_heals_and_costs_nothing() -> None:
    cells, *boxes = await asyncio.gather(  # all mostly wait
        played(
            {
                "hours": 16 / 3600,
                "fleet": dict.fromkeys(("nuki", "uhppote", UNTOUCHED), 3),
                "gateway": {"uhppote": {"poll_ms": 2_000}},
                "acts": [
                    {"at": each.at_s, "for": each.for_s, "vendor": each.vendor, "fault": each.fault}
                    for each in BLOWS
                ],
            }
        ),
        *(
            played(
                {
                    "hours": (BEGINS_S + len(faults) * APART_S) / 3600,
                    "fleet": {"nuki": 8, "ratgdo": 8},
                    "acts": [
                        {
                            "at": BOX_AT_S[fault],
                            "for": LASTS_S,
                            "fault": fault,
                            "settings": SETTINGS.get(fault, {}),
                        }
                        for fault in faults
                    ],
                }
            )
            for faults in BOXES
        ),
    )

    for report, _, _ in (cells, *boxes):
        assert (report["verdict"], report["problems"], report["evidence"]) == ("pass", [], [])
        assert all(cell["state"] == "up" for cell in report["cells"].values())
    struck_cells_went_as_they_should(*cells[1:])
    then: dict[str, list[Heard]] = {}
    for faults, (_, heard, began_ms) in zip(BOXES, boxes, strict=True):
        before = during(heard, began_ms, 1, BEGINS_S)
        assert len(events(before)) > 5
        assert median(behind_ms(before)) < 200
        for fault in faults:
            from_s = BOX_AT_S[fault]
            look = said_during if fault == "bus_slow" else during
            then[fault] = look(heard, began_ms, from_s + 0.3, from_s + LASTS_S - 0.1)
    box_and_bus_delayed_what_was_said(then)


def struck_cells_went_as_they_should(heard: list[Heard], began_ms: float) -> None:
    gone = [
        ((each.at_ms - began_ms) / 1000, each.body["cell"])
        for each in heard
        if each.body.get("state") in ("down", "stopped")
    ]
    assert UNTOUCHED not in {cell for _, cell in gone}
    for blow in BLOWS:
        after_s = [at_s - blow.at_s for at_s, cell in gone if cell == blow.vendor]
        seen = [at_s for at_s in after_s if -0.1 <= at_s <= blow.for_s]
        assert seen, blow.fault
        assert blow.gone_from_s - 0.1 <= seen[0] <= blow.gone_to_s, blow.fault


def box_and_bus_delayed_what_was_said(then: dict[str, list[Heard]]) -> None:
    assert events(then["bus_down"]) == []
    assert "degraded" in {each.body["state"] for each in then["disk_full"] if "cell" in each.body}
    assert min(behind_ms(then["disk_slow"])) > 400
    assert max(behind_ms(then["bus_slow"])) > 400
    a_second = Counter(
        (each.body["data"]["vendor"], int(each.at_ms / 1000))
        for each in events(then["bus_throttled"])
    )
    assert 0 < max(a_second.values()) <= PER_S + 1  # their seconds and ours begin apart


async def test_what_cannot_be_had_is_said_before_anything_starts() -> None:
    scenario = Scenario.model_validate(
        {
            "hours": 0.1,
            "fleet": {"nuki": 1},
            "acts": [{"at": "1m", "for": "1m", "fault": "clock_jump"}],
        }
    )

    with pytest.raises(
        ConfigError, match=r"acts\[0\].fault: clock_jump can be had in virtual time"
    ):
        await asyncio.wait_for(wire_run.play(scenario, seed=1), 5)
