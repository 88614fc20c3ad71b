"""A recording played through a gateway process, and what it makes of it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fleet_sim import replay

DOOR = "home/garage/left/status/door"


def frame(at_ms: int | None, topic: str, payload: str, **more: Any) -> dict[str, Any]:
    return {
        "at_ms": at_ms,
        "direction": "device->host",
        "transport": "mqtt",
        "topic": topic,
        "retained": None,
        "payload": payload,
        **more,
    }


def recordings(folder: Path) -> list[Path]:
    return [
        path
        for name in ("nuki", "ratgdo", "uhppote")
        for path in sorted(folder.glob(f"{name}/*.jsonl"))
    ]


async def test_frames_go_in_in_order_and_events_come_out_behind_them(
    gateway: Any, settings: Any, broker_url: str, tmp_path: Path, eventually: Any
) -> None:
    running = await gateway(settings(broker_url)).start()
    await eventually(
        lambda: all(running.cell(name).get("state") == "up" for name in ("ratgdo", "nuki"))
    )
    path = tmp_path / "street.jsonl"
    records = [
        frame(0, DOOR, "closed", retained=True),
        frame(100, "home/garage/left/command/#", "", note="a subscription"),
        frame(400, DOOR, "opening"),
        frame(800, DOOR, "opening"),
        frame(1200, "nuki/39000001/state", "1", qos=1),
        frame(1600, DOOR, "gar\u0000bage"),
        frame(2000, DOOR, "open"),
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))

    report = await replay.play(path, broker_url, replay.Options(1))

    assert (report["records"], report["played"], report["events"]) == (7, 6, 4)
    assert sum(report["skipped"].values()) == 1
    assert 1.95 <= report["seconds"] < 12
    came = [(each["after_line"], each["device"], each["changes"]) for each in report["came"]]
    assert [each[:2] for each in came] == [
        (1, "ratgdo/left"),
        (3, "ratgdo/left"),
        (5, "nuki/39000001"),
        (7, "ratgdo/left"),
    ]
    assert came[0][2]["position"] == "FullyClosed"
    assert came[2][2]["lock_state"] == "Locked"
    assert [each["sequence"] for each in report["came"]] == [1, 2, 1, 3]
    assert running.cell("ratgdo")["dead_letters"] == 1
    json.dumps(report)


async def test_frames_without_times_follow_at_once(
    gateway: Any, settings: Any, broker_url: str, tmp_path: Path, eventually: Any
) -> None:
    running = await gateway(settings(broker_url)).start()
    await eventually(lambda: running.cell("nuki").get("state") == "up")
    path = tmp_path / "lock.jsonl"
    path.write_text(json.dumps(frame(None, "nuki/39000001/state", "3")))

    report = await replay.play(path, broker_url, replay.Options(None))

    assert report["types"] == {"doorfleet.lock.changed.v1": 1}


async def test_an_event_that_was_kept_may_come_before_the_first_frame(
    broker_url: str, person: Any, tmp_path: Path
) -> None:
    path = tmp_path / "lock.jsonl"
    path.write_text(json.dumps(frame(0, "nuki/39000001/state", "3")))
    event = {"type": "t", "sequence": "1", "data": {"vendor": "nuki", "device": "a"}}
    topic = "doorfleet/v1/home/nuki/a/event/lock.changed"

    async with person(broker_url) as speaker:
        await speaker.publish(topic, json.dumps(event), qos=1, retain=True)
        report = await replay.play(path, broker_url, replay.Options(None, udp="localhost:9"))

    assert (report["played"], report["types"]) == (1, {"t": 1})
    assert report["came"][0]["device"] == "nuki/a"


async def test_the_recordings_of_real_devices_play(
    gateway: Any, settings: Any, broker_url: str, eventually: Any
) -> None:
    folder = os.environ.get("DOORFLEET_RECORDINGS")
    if folder is None:
        pytest.skip("DOORFLEET_RECORDINGS names no folder of recordings")
    running = await gateway(settings(broker_url)).start()
    await eventually(
        lambda: all(running.cell(name).get("state") == "up" for name in ("ratgdo", "nuki"))
    )
    played = records = 0
    for path in recordings(Path(folder)):
        report = await replay.play(path, broker_url, replay.Options(1000))
        played += report["played"]
        records += report["played"] + sum(report["skipped"].values())
        assert records

    assert played >= 10
    assert running.cell("ratgdo")["state"] == running.cell("nuki")["state"] == "up"
