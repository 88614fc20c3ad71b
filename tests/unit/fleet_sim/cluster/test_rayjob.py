"""The Kubernetes manifest says what our own program understands."""

import shlex
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from fleet_sim import cli, scenario

MANIFEST: Final = Path(__file__).parents[4] / "config" / "deploy" / "rayjob.yaml"


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(MANIFEST.read_text())
    return found


def test_its_entrypoint_is_a_command_line_that_we_take(job: dict[str, Any]) -> None:
    program, *words = shlex.split(job["spec"]["entrypoint"])
    options = cli.build().parse_args(words)

    assert program == "doorfleet-sim"
    assert options.on == "ray"
    assert options.act is not None
    assert scenario.load(options.scenario).fleet


def test_it_ends_by_itself_and_once(job: dict[str, Any]) -> None:
    spec = job["spec"]

    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["backoffLimit"] == 0


def test_every_container_says_what_it_needs_and_no_machine_is_named(job: dict[str, Any]) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [one for group in groups for one in group["template"]["spec"]["containers"]]

    assert len(containers) == 2
    for container in containers:
        assert container["image"].startswith("REGISTRY/")  # a placeholder, for whoever deploys it
        assert container["resources"]["requests"] == container["resources"]["limits"]


def test_the_head_has_no_shard_of_its_own(job: dict[str, Any]) -> None:
    assert job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
