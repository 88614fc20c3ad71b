"""ADDING_A_VENDOR.md is true: its files make a vendor, and its commands are run."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "ADDING_A_VENDOR.md").read_text()
#: "`path`:" on a line of its own, and the block below it.
FILES: Final = dict(
    re.findall(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
)
COMMANDS: Final = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
OUTPUT: Final = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PATIENCE_S: Final = 300
CONFORM: Final = (
    "import sys; from fleet_sim.cli import main; sys.exit(main(['conform', 'gatelink']))"
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, written out beside where the commands are run."""
    folder = tmp_path_factory.mktemp("beside") / "doorfleet-gatelink"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def run(commands: str, package: Path) -> str:
    """Run commands of the page, here, with its three places put in."""
    places = {
        "../doorfleet-gatelink": str(package),
        "build/vendors": str(package.parent / "vendors"),
        ".venv/bin/": f"{Path(sys.executable).parent}/",
    }
    for place, here in places.items():
        commands = commands.replace(place, here)
    # A vendor's tests are run by these commands within a test: neither knows of the other.
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    done = subprocess.run(
        ["bash", "-euxc", commands],
        cwd=ROOT,
        env=clean | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-5_000:]
    return done.stdout


def test_the_page_has_the_files_that_it_draws() -> None:
    drawn = set(re.findall(r"^ +([\w.]+\.(?:py|toml)) ?", PAGE, re.MULTILINE))

    assert {Path(name).name for name in FILES} >= drawn
    assert {"__init__.py", "codec.py", "adapter.py", "simulator.py", "pyproject.toml"} <= drawn


def test_its_commands_make_a_vendor_that_keeps_every_law(package: Path) -> None:
    if find_spec("pip") is None or find_spec("hatchling") is None:
        pytest.skip("pip and hatchling are not in this environment")
    install_and_check, try_it = COMMANDS

    checked = run(install_and_check, package)
    tried = run(try_it, package)

    assert "gatelink   Gatelink gates" in checked
    passed = re.search(r"(\d+) passed", checked)
    assert passed is not None, checked
    assert int(passed[1]) >= 15
    assert "failed" not in checked
    assert " kept, 0 broken" in checked
    assert tried == OUTPUT[0]


def test_its_files_are_written_as_ours_are(package: Path) -> None:
    ruff = shutil.which("ruff", path=Path(sys.executable).parent)
    if ruff is None:
        pytest.skip("ruff is not in this environment")
    config = ["--config", str(ROOT / "pyproject.toml")]

    for words in (["check", "--ignore", "INP001,T201,D100,I001"], ["format", "--check"]):
        done = subprocess.run(
            [ruff, *words, *config, "--no-cache", str(package)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_places_that_it_names_in_this_tree_exist() -> None:
    if not (ROOT / "vendors").exists():
        pytest.skip("not in a checkout: the tree is what this is about")

    assert "OURS: Final" in (ROOT / "vendors/registry.py").read_text()
    for link in re.findall(r"\]\(([\w./]+)\)", PAGE):
        assert (ROOT / link).exists(), link


def test_one_line_and_a_folder_put_a_vendor_into_this_tree(package: Path, tmp_path: Path) -> None:
    """The end of the page: a copy of the tree, the folder, the line, and nothing else."""
    if not (ROOT / "vendors").exists():
        pytest.skip("not in a checkout: the tree is what this is about")
    for name in ("devices", "vendors", "gateway", "fleet_sim"):
        shutil.copytree(ROOT / name, tmp_path / name)
    folder = tmp_path / "vendors" / "gatelink"
    shutil.copytree(package / "gatelink", folder)
    for module in folder.glob("*.py"):
        text = module.read_text()
        text = text.replace("from gatelink import", "from vendors.gatelink import")
        module.write_text(text.replace('"gatelink.simulator"', '"vendors.gatelink.simulator"'))
    registry = tmp_path / "vendors" / "registry.py"
    line = '    "gatelink": "vendors.gatelink",\n'
    registry.write_text(registry.read_text().replace('    "nuki": ', line + '    "nuki": ', 1))

    done = subprocess.run(
        [sys.executable, "-c", CONFORM],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
