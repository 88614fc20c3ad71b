"""Ten planted defects, each a patch on a copy of the code: the experiments must catch every one.

    patch ─► copy of the code ─► doorfleet-sim chaos ─► violated: which promise, with which seed
                                       └ --shrink ─► a file ─► violated in the copy, held in ours

A patch says in its head what is planted, which promise that breaks, and which experiment of the
library is to see it. What was found is written into `.bench/mutations/`, a file for each.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

HERE: Final = Path(__file__).parent
HOUSE: Final = HERE.parent.parent
PACKAGES: Final = ("devices", "vendors", "gateway", "fleet_sim", "config")
REPORTS: Final = HOUSE / ".bench" / "mutations"
SIM: Final = Path(sys.executable).with_name("doorfleet-sim")
SEEDS: Final = "1..3"
A_SEED: Final = "1"
ACTS_MAX: Final = 3
DEVICES_MAX: Final = 5
RUN_S: Final = 400
HELD, VIOLATED = 0, 1


class Defect(NamedTuple):
    """One patch; its head says the rest."""

    name: str
    planted: str
    promise: str
    experiment: str
    seen_by: str
    patch: Path


def read(patch: Path) -> Defect:
    head = patch.read_text(encoding="utf-8").partition("\n\n")[0]
    said = dict(line.split(": ", 1) for line in head.splitlines())
    return Defect(
        patch.stem, said["Planted"], said["Promise"], said["Experiment"], said["Seen by"], patch
    )


DEFECTS: Final = [read(patch) for patch in sorted(HERE.glob("*.patch"))]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The whole code, to be spoilt."""
    for name in PACKAGES:
        shutil.copytree(
            HOUSE / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path / "copy"


def chaos(code: Path, folder: Path, *arguments: str) -> tuple[int, str]:
    """Run `doorfleet-sim chaos` of this copy; its exit code and what it said."""
    done = subprocess.run(
        [SIM, "chaos", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(code)},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode in (HELD, VIOLATED), done.stderr
    return done.returncode, done.stdout


def broken(report: Path) -> list[Mapping[str, Any]]:
    """The breaches in a report, each with its seed."""
    (one,) = json.loads(report.read_text(encoding="utf-8"))["experiments"]
    found: list[Mapping[str, Any]] = one["breaches"]
    return found


def counted(fleet: Mapping[str, int] | Sequence[Mapping[str, Any]]) -> int:
    """How many devices a scenario's `fleet` means, in either of its forms."""
    if isinstance(fleet, Mapping):
        return sum(fleet.values())
    return sum(group["count"] for group in fleet)


def test_there_are_ten_of_them() -> None:
    assert len(DEFECTS) == 10


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_planted_defect_is_caught(
    defect: Defect, copy: Path, tmp_path: Path, shrinks: bool
) -> None:
    began_s = time.monotonic()
    # A copy that the patch does not fit is no proof of anything: make the patch anew.
    subprocess.run(["git", "apply", "--whitespace=nowarn", str(defect.patch)], cwd=copy, check=True)
    report = tmp_path / "report.json"
    seeds = SEEDS if shrinks else A_SEED
    code, said = chaos(copy, tmp_path, defect.experiment, "--seeds", seeds, "--json", str(report))
    assert code == VIOLATED, f"nobody saw that {defect.planted}\n{said}"
    breaches = [each for each in broken(report) if each["promise"] == defect.seen_by]
    assert breaches, f"{defect.seen_by!r} was kept; what was broken is another thing:\n{said}"
    seed = min(each["seed"] for each in breaches)
    found = {
        "defect": defect.name,
        "planted": defect.planted,
        "promise": defect.promise,
        "experiment": defect.experiment,
        "oracle": defect.seen_by,
        "seed": seed,
        "what": next(each["what"] for each in breaches if each["seed"] == seed),
    }
    if shrinks:
        found |= shrunk(defect, copy, tmp_path, seed)
    found["wall_s"] = round(time.monotonic() - began_s, 1)
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / f"{defect.name}.json").write_text(json.dumps(found, indent=2))


def shrunk(defect: Defect, copy: Path, folder: Path, seed: int) -> Mapping[str, Any]:
    """The smallest file that shows it: violated in the copy, held by our own code."""
    _, said = chaos(
        copy, folder, defect.experiment, "--seeds", str(seed), "--shrink", "--out", "."
    )  # fmt: skip
    file = folder / f"{defect.experiment}.seed{seed}.yaml"
    command = f"doorfleet-sim chaos {file.name}"
    assert command in said.replace(f"./{file.name}", file.name), said
    small = yaml.safe_load(file.read_text(encoding="utf-8"))
    devices = counted(small["fleet"])
    assert len(small["acts"]) <= ACTS_MAX
    assert devices <= DEVICES_MAX
    again, said_again = chaos(copy, folder, file.name)
    healthy, said_well = chaos(HOUSE, folder, file.name)
    assert again == VIOLATED, f"the counter-example does not show it:\n{said_again}"
    assert healthy == HELD, f"it breaks our own code, too:\n{said_well}"
    return {"acts": len(small["acts"]), "devices": devices, "command": command}
