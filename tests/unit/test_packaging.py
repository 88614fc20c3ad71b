"""What is in the wheel, and what it leaves in an environment.

Built from this checkout, and installed into an environment of its own: an editable install
shows none of this, since there the folders are simply on the path.
"""

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = {"devices", "fleet_sim", "gateway", "vendors"}
# Data folders, and where an installed copy of the code looks for them.
DATA: Final = {
    "config/schemas": "gateway/schemas",
    "config/scenarios": "fleet_sim/scenarios",
    "config/experiments": "fleet_sim/experiments",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / "gateway").exists():
        pytest.skip("not in a checkout: there is nothing to build from")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("doorfleet-*.whl")
    return built


def on_disk(folder: str) -> set[str]:
    """Files under a folder as paths from the root, without what running leaves behind."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_four_packages_their_data_and_nothing_else(wheel: Path) -> None:
    expected = {name for package in PACKAGES for name in on_disk(package)}
    for source, target in DATA.items():
        expected |= {name.replace(source, target, 1) for name in on_disk(source)}

    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert names == expected


def test_the_wheel_carries_the_licence_and_names_no_path_of_this_machine(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(
            next(name for name in names if name.endswith(".dist-info/METADATA"))
        ).decode()

    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "License-Expression: Apache-2.0" in metadata
    assert str(ROOT) not in metadata


def test_an_installed_wheel_owns_its_four_names_and_no_others(wheel: Path, tmp_path: Path) -> None:
    ask = (
        "import json, importlib.metadata as m;"
        "owners = m.packages_distributions();"
        "scripts = m.distribution('doorfleet').entry_points.select(group='console_scripts');"
        "import devices;"
        "print(json.dumps([owners, sorted(s.name for s in scripts), devices.__file__]))"
    )
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    # The pip that we have installs into the environment that has none; no network is needed.
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "install"]
    subprocess.run([*pip, "--no-index", "--no-deps", str(wheel)], check=True)

    said = subprocess.run(
        [python, "-P", "-c", ask], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    owners, scripts, where = json.loads(said)

    assert {name for name, dists in owners.items() if "doorfleet" in dists} == PACKAGES
    assert all(owners[name] == ["doorfleet"] for name in PACKAGES)
    assert {"config", "tests"}.isdisjoint(owners)
    assert scripts == ["doorfleet-gateway", "doorfleet-sim"]
    assert Path(where).is_relative_to(environment)
