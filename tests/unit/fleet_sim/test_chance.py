"""Chance is born once, by name: the same everywhere, and nobody's is anybody else's."""

import os
import subprocess
import sys

from fleet_sim.chance import stream


def test_a_stream_is_known_for_all_time() -> None:
    assert [stream(7, "nuki/39000001").randrange(1000) for _ in range(2)] == [608, 608]


def test_streams_differ_by_name_and_by_seed() -> None:
    drawn = {stream(seed, name).random() for seed in range(10) for name in ("a", "b", "a/b", "1/a")}

    assert len(drawn) == 40


def test_a_stream_is_the_same_whatever_the_process_hashes_by() -> None:
    code = "from fleet_sim.chance import stream; print(stream(1, 'x').random())"

    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(said) == 1
