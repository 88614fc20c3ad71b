"""What a recording says of when devices were used, and the scenario that is as busy."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from fleet_sim import scenario
from fleet_sim.recording import lines, rhythm
from fleet_sim.recording.deeds import Sighting, deeds, sightings

MONDAY_MS = 1_767_571_200_000
HOUR_MS = 3_600_000


def event(
    device: str, at_ms: int, changes: dict[str, tuple[Any, Any]], vendor: str = "nuki"
) -> Any:
    return {
        "at_ms": at_ms - MONDAY_MS,
        "began_at_ms": MONDAY_MS,
        "transport": "mqtt",
        "topic": f"doorfleet/v1/home/{vendor}/{device}/event/lock.changed",
        "payload": {
            "type": "doorfleet.lock.changed.v1",
            "data": {
                "vendor": vendor,
                "device": device,
                "changes": {
                    axis: {"was": was, "value": value, "received_at_ms": at_ms}
                    for axis, (was, value) in changes.items()
                },
            },
        },
    }


def used(at_ms: int, device: str = "a", vendor: str = "nuki") -> Any:
    return event(device, at_ms, {"lock_state": ("Locked", "Unlocked")}, vendor)


def test_what_follows_within_a_minute_belongs_to_one_deed() -> None:
    records = [used(MONDAY_MS + s * 1000) for s in (0, 10, 65, 200, 210)]

    found = list(deeds(sightings(records)))

    assert [each.at_ms - MONDAY_MS for each in found] == [0, 200_000]


@pytest.mark.parametrize(
    "changes",
    [
        {"battery_pct": (80, 79)},
        {"reachability": ("Online", "Offline")},
        {"lock_state": (None, "Locked"), "door_state": (None, "DoorOpen")},
    ],
)
def test_batteries_links_and_first_reports_are_no_deeds(changes: dict[str, Any]) -> None:
    (seen,) = sightings([event("a", MONDAY_MS, changes)])

    assert (seen.device, seen.moved) == ("a", False)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (1, {}),
        ("doorfleet.lock.changed.v1", {"changes": [1]}),
        ("doorfleet.lock.changed.v1", {"changes": {"x": 1}}),
        ("doorfleet.lock.changed.v1", {"changes": {"x": {"received_at_ms": "x"}}}),
        ("doorfleet.lock.changed.v1", {"changes": {"x": {"received_at_ms": [1]}}}),
        ("doorfleet.lock.happened.v1", {"received_at_ms": "x"}),
        ("doorfleet.lock.happened.v1", {"device": ["a"]}),
        ("doorfleet.lock.happened.v1", {"vendor": None}),
    ],
)
def test_what_only_stands_where_an_event_should_shows_nothing(
    kind: Any, data: dict[str, Any]
) -> None:
    said = event("a", MONDAY_MS, {})
    own = {"vendor": "nuki", "device": "a", **data}

    found = deeds(sightings([{**said, "payload": {"type": kind, "data": own}}, used(MONDAY_MS)]))

    assert [(each.device, each.at_ms) for each in found] == [("a", MONDAY_MS)]


def test_an_event_that_nobody_timed_is_as_old_as_its_line() -> None:
    said = event("a", MONDAY_MS, {"lock_state": ("Locked", "Unlocked")})
    said["payload"]["data"]["changes"]["lock_state"]["received_at_ms"] = None

    assert [each.at_ms for each in sightings([{**said, "at_ms": 5}])] == [MONDAY_MS + 5]


def frame(at_ms: int, topic: str, payload: Any, **more: Any) -> dict[str, Any]:
    return {"at_ms": at_ms, "transport": "mqtt", "topic": topic, "payload": payload, **more}


def test_a_vendors_own_topics_show_the_same() -> None:
    records = [
        frame(0, "nuki/398172F4/state", "1", stored=True, retained=True),
        frame(0, "zigbee2mqtt/Haus", {"state": "LOCK", "linkquality": 9}, stored=True),
        frame(1_000, "nuki/398172F4/state", "3"),
        frame(2_000, "nuki/398172F4/batteryChargeState", "80"),
        frame(3_000, "zigbee2mqtt/Haus", {"state": "LOCK", "linkquality": 3}),
        frame(90_000, "zigbee2mqtt/Haus", {"state": "UNLOCK", "linkquality": 3}),
        frame(90_000, "zigbee2mqtt/bridge/state", {"state": "online"}),
        frame(95_000, "home/garage/tor/status/door", "closed"),
        frame(96_000, "home/garage/tor/status/door", "opening"),
        frame(97_000, "somebody/else", "on"),
    ]

    seen = list(sightings(records))

    assert {(each.vendor, each.device) for each in seen} == {
        ("nuki", "398172F4"),
        ("zigbee2mqtt", "Haus"),
        ("ratgdo", "home/garage/tor"),
    }
    assert [(each.vendor, each.at_ms) for each in deeds(seen)] == [
        ("nuki", 1_000),
        ("zigbee2mqtt", 90_000),
        ("ratgdo", 96_000),
    ]


def busy(days: int, per_hour: dict[int, int], devices: int = 2) -> list[Sighting]:
    """So many deeds of each device in these hours, on each day."""
    return [
        Sighting("nuki", f"d{device}", MONDAY_MS + (day * 24 + hour) * HOUR_MS + n * 120_000, True)
        for day in range(days)
        for hour, count in per_hour.items()
        for n in range(count)
        for device in range(devices)
    ]


def test_a_day_gives_the_shape_of_a_day_and_its_pace() -> None:
    seen = busy(1, {7: 6, 18: 18})

    found = rhythm.derive(seen, {"nuki": 12.0}, UTC, (MONDAY_MS, MONDAY_MS + 24 * HOUR_MS))

    assert found is not None
    one = found.vendors["nuki"]
    assert (found.began, found.hours) == (datetime(2026, 1, 5, tzinfo=UTC), 24)
    assert (one.devices, one.deeds, one.per_day, one.pace) == (2, 48, 24, pytest.approx(2.0))
    assert {h: w for h, w in enumerate(one.shape) if w} == {7: 6.0, 18: 18.0}


def test_a_morning_keeps_the_mean_for_the_hours_that_nobody_recorded() -> None:
    seen = busy(1, {6: 2, 7: 10})
    span = MONDAY_MS + 6 * HOUR_MS, MONDAY_MS + 8 * HOUR_MS

    found = rhythm.derive(seen, {"nuki": 12.0}, UTC, span)

    assert found is not None
    one = found.vendors["nuki"]
    assert one.shape[7] == pytest.approx(5 * one.shape[6])
    assert set(one.shape[8:]) == {one.shape[0]}
    # Within these two hours as often as it was: 12 deeds of each device.
    within = (one.shape[6] + one.shape[7]) / 2
    assert one.pace * within * 12.0 / 24 * 2 == pytest.approx(12)


def test_a_week_gives_a_csv_of_a_week_that_check_accepts(tmp_path: Path) -> None:
    seen = [each for each in busy(7, {8: 4}) if (each.at_ms - MONDAY_MS) // HOUR_MS < 5 * 24]
    found = rhythm.derive(seen, {"nuki": 12.0}, UTC, (MONDAY_MS, MONDAY_MS + 168 * HOUR_MS))
    assert found is not None

    for name, text in rhythm.scenario(found, "week", "week.jsonl").items():
        (tmp_path / name).write_text(text)

    loaded = scenario.load(tmp_path / "week.yaml")
    assert dict(loaded.fleet) == {"nuki": 2}
    (group,) = loaded.fleet.groups
    hours = group.habits.rhythm.hours
    assert [hour for hour, weight in enumerate(hours) if weight] == [8 + 24 * d for d in range(5)]
    assert (tmp_path / "week.nuki.csv").exists()


def test_a_recording_that_shows_no_device_makes_no_scenario() -> None:
    assert rhythm.derive([], {"nuki": 12.0}) is None


def test_a_vendor_whose_simulated_devices_do_nothing_has_the_pace_of_life(tmp_path: Path) -> None:
    found = rhythm.derive(busy(1, {8: 4}), {"nuki": 0.0}, UTC)
    assert found is not None

    (text,) = rhythm.scenario(found, "day", "day.jsonl").values()

    (tmp_path / "day.yaml").write_text(text)
    assert found.vendors["nuki"].pace == 1.0
    assert scenario.load(tmp_path / "day.yaml").fleet["nuki"] == 2


def test_devices_that_nobody_used_are_there_and_rest(tmp_path: Path) -> None:
    records = [event("a", MONDAY_MS, {"lock_state": (None, "Locked")})]
    found = rhythm.derive(list(sightings(records)), {"nuki": 12.0}, UTC)
    assert found is not None

    (text,) = rhythm.scenario(found, "still", "x.jsonl").values()

    (tmp_path / "still.yaml").write_text(text)
    assert scenario.load(tmp_path / "still.yaml").fleet["nuki"] == 1


def test_lines_survive_as_bytes() -> None:
    for payload in (
        b'{"a":1,"b":[2]}',
        b'{"a": 1}',
        b"3",
        b'"x"',
        b"\xff\0",
        b"",
        b'{"a":1,"a":2}',
    ):
        record = {"transport": "mqtt", **lines.payload_fields(payload)}

        assert lines.payload_of(orjson.loads(lines.line(record))) == payload
