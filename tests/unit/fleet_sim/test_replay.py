"""Recordings are read whole, with every mistake named by its line."""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.errors import ConfigError
from fleet_sim import replay
from fleet_sim.stage import StageError


def frame(**more: Any) -> dict[str, Any]:
    return {
        "at_ms": 0,
        "direction": "device->host",
        "transport": "mqtt",
        "topic": "a/b",
        "retained": None,
        "payload": "open",
        **more,
    }


@pytest.fixture
def recording(tmp_path: Path) -> Any:
    def write(*records: Any) -> Path:
        path = tmp_path / "recording.jsonl"
        lines = [each if isinstance(each, str) else json.dumps(each) for each in records]
        path.write_text("\n".join(lines))
        return path

    return write


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        replay.read(path)
    return caught.value.problems


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, (1, 0, "a/b", b"open", False)),
        ({"payload": ""}, (1, 0, "a/b", b"", False)),
        ({"payload": {"a": [1, None]}}, (1, 0, "a/b", b'{"a":[1,null]}', False)),
        ({"payload": 3}, (1, 0, "a/b", b"3", False)),
        ({"payload_hex": "00ff"}, (1, 0, "a/b", b"\0\xff", False)),
        ({"retained": True, "qos": 1}, (1, 0, "a/b", b"open", True)),
        ({"at_ms": None, "qos": None}, (1, None, "a/b", b"open", False)),
        ({"at_ms": 1.5}, (1, 1.5, "a/b", b"open", False)),
    ],
)
def test_a_line_becomes_a_frame(recording: Any, more: dict[str, Any], said: Any) -> None:
    found = replay.read(recording(frame(**more)))

    assert list(found.frames) == [said]
    assert (found.records, found.skipped) == (1, {})


def test_what_cannot_be_played_is_counted_with_its_reason(recording: Any) -> None:
    path = recording(
        frame(),
        "",
        frame(direction="host->device"),
        frame(transport="udp", payload_hex="17"),
        frame(topic="a/command/#"),
        frame(at_ms=5, note="kept in order"),
    )

    found = replay.read(path)

    assert [each.line for each in found.frames] == [1, 6]
    assert found.records == 5
    assert sorted(found.skipped.values()) == [1, 1, 1]


def test_every_mistake_is_told_at_once_with_its_line_and_a_remedy(recording: Any) -> None:
    path = recording(
        "{",
        "[]",
        {"topic": "a"},
        frame(topic=7),
        frame(at_ms="soon"),
        frame(qos=3),
        frame(payload_hex="xyz"),
        {key: value for key, value in frame().items() if key != "payload"},
        frame(topic="x" * 70_000),
        frame(at_ms=True),
    )

    told = problems(path)

    assert [line.split(":")[1] for line in told] == [str(n) for n in range(1, 11)]
    assert all(line.startswith(str(path)) and "; " in line and "write" in line for line in told)
    assert all(len(line) < 400 for line in told)


def test_a_file_of_nothing_but_mistakes_is_told_in_short(recording: Any) -> None:
    told = problems(recording(*["?"] * 50))

    assert len(told) == 21
    assert told[-1].endswith("30 lines more")


def test_an_empty_file_is_a_mistake(recording: Any) -> None:
    (told,) = problems(recording("", " "))

    assert "it is empty" in told


def test_a_recording_without_anything_to_play_says_why(recording: Any) -> None:
    found = replay.read(recording(frame(transport="udp"), frame(transport="udp")))

    assert found.frames == []
    assert dict(found.skipped) == {"udp: give --udp to have datagrams sent": 2}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (told,) = problems(tmp_path / "none.jsonl")

    assert "No such file" in told


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    path = Path(tempfile.gettempdir()) / f"doorfleet-replay-{os.getpid()}.jsonl"
    path.write_bytes(data)
    with contextlib.suppress(ConfigError):
        replay.read(path)
    path.unlink()


async def test_a_wrong_address_is_told_before_anything_is_played(recording: Any) -> None:
    with pytest.raises(ConfigError, match="write mqtt://host:port"):
        await replay.play(recording(frame()), "localhost:1883")


async def test_a_broker_that_is_not_there(recording: Any, free_port: int) -> None:
    with pytest.raises(StageError, match="is a broker running there"):
        await replay.play(recording(frame()), f"mqtt://127.0.0.1:{free_port}")
