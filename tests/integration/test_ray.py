"""A run on a Ray cluster: what becomes of it when one of two nodes dies in the middle.

Ray is an extra; `make cluster-test` has an environment with it, and with our wheel.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from fleet_sim import cli

TWO_NODES: Final = Path(__file__).parents[1] / "cluster" / "two_nodes.py"
HAVE_RAY: Final = importlib.util.find_spec("ray") is not None


@pytest.mark.skipif(not HAVE_RAY, reason="Ray is not installed; `make cluster-test` installs it")
@pytest.mark.skipif(sys.platform != "linux", reason="two nodes need two loopback addresses")
@pytest.mark.timeout(300)
def test_a_node_that_is_killed_in_the_middle_costs_time_and_nothing_else(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(TWO_NODES), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    report, said = found["report"], "".join(found["said"])

    assert found["code"] == 0, said
    assert report["verdict"] == "pass"
    assert {vendor: each["devices"] for vendor, each in report["vendors"].items()} == {
        "ratgdo": 10_000,
        "nuki": 10_000,
    }
    (again,) = report["restarted"]
    assert "on node 127.0.0.3 is gone" in again["why"]
    assert f"shard {again['shard']} is lost, and begun again: {again['why']}" in said
    with (tmp_path / "town.jsonl").open("rb") as journal:
        assert sum(1 for _ in journal) == report["journal"]["lines"]


@pytest.mark.skipif(HAVE_RAY, reason="Ray is installed")
def test_without_ray_it_says_how_to_have_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "quiet_day", "--on", "ray"]) == cli.BAD_INPUT
    assert "pip install 'doorfleet[cluster]'" in capsys.readouterr().err
