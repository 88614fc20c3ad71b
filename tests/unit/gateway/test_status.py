"""`status.json`, as written by one process and read by another."""

import json
import os
import time
from pathlib import Path

import pytest

from devices.errors import ConfigError
from gateway import status


def test_what_is_written_is_read_as_running(tmp_path: Path) -> None:
    status.write(tmp_path, "home", {"nuki": {"state": "up"}})

    body = status.read(tmp_path)

    assert (body["site"], body["pid"], body["cells"]) == (
        "home",
        os.getpid(),
        {"nuki": {"state": "up"}},
    )
    assert body["running"] is True
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_an_old_status_is_of_a_gateway_that_does_not_run(tmp_path: Path) -> None:
    status.write(tmp_path, "home", {})
    file = tmp_path / "status.json"
    old_ms = time.time_ns() // 1_000_000 - 60_000
    file.write_text(json.dumps(json.loads(file.read_text()) | {"at_ms": old_ms}))

    body = status.read(tmp_path)

    assert body["running"] is False
    assert 59 < body["age_s"] < 90


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff"])
def test_no_status_is_told_with_the_place(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError, match="is the gateway running") as caught:
        status.read(tmp_path)

    assert str(file) in str(caught.value)


def test_a_folder_that_cannot_be_written_does_not_end_us(tmp_path: Path) -> None:
    (tmp_path / "status.json").mkdir()

    status.write(tmp_path, "home", {})

    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
