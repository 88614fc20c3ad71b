"""The house rules that no linter knows. A rule that matters is executable; these are."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from vendors import registry

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("devices", "vendors", "gateway", "fleet_sim")
# A file beyond this is two files: nobody holds more of it in the head at once.
LINES_MAX: Final = 500
VENDOR_FILES: Final = {
    "README.md",
    "__init__.py",
    "adapter.py",
    "codec.py",
    "samples",
    "simulator.py",
}
# One letter of each stands in brackets, so that this file keeps its own rule.
BANNED: Final = {
    "a path of one machine": r"(?<![\w.-])/w[o]rk\b|/U[s]ers/\w+/|\.\./sh[a]red\b|/\.libr[a]ry\b",
    "a package registry": r"pyp[i]\.(org|python)|pythonh[o]sted\.|registry\.npmj[s]|crates\.i[o]/",
    "a task that nobody numbered": r"\bTOD[O]\b(?!\(#\d+\))|\bFIXM[E]\b|\bXX[X]\b",
    "a merge that was not finished": r"^(<{7}|>{7}) ",
}
# Of a vendor's modules, those that compute and do nothing else; `mqtt311` is one of `wire`.
PURE: Final = ("codec", "simulator", "packets", "mqtt311")
# What the pure modules may not import, but for the names that are harmless.
CLOCK_AND_CHANCE: Final = {
    "asyncio": set(),
    "datetime": {"UTC", "date", "datetime", "time", "timedelta", "timezone"},
    "logging": set(),
    "os": set(),
    "random": set(),
    "secrets": set(),
    "selectors": set(),
    "socket": set(),
    "structlog": set(),
    "subprocess": set(),
    "threading": set(),
    "time": set(),
    "uuid": {"UUID", "uuid5"},
}
READS_THE_CLOCK_OR_ROLLS_DICE: Final = {"now", "utcnow", "today", "Random", "SystemRandom"}


def tracked() -> list[Path]:
    """Every file that git keeps, or would keep if told to; binary ones are read as they are."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    said = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True, text=True
    ).stdout
    return [path for name in said.split("\0") if name and (path := ROOT / name).is_file()]


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def vendor_folders() -> list[Path]:
    """Where the registry says that vendors live; one may live within another's folder."""
    return sorted(ROOT / name.replace(".", "/") for name in registry.OURS.values())


def owner(path: Path) -> str:
    """The vendor whose module this is, by the folder below `vendors`; empty if it is shared."""
    parts = path.relative_to(ROOT / "vendors").parts
    return parts[0] if len(parts) > 1 and parts[0] != "wire" else ""


def imported(path: Path) -> set[str]:
    """What a module imports, by full names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{name.name}" for name in node.names}
    return names


def pure_modules() -> list[Path]:
    """`devices`, and each vendor's pure modules, be they a file or a folder."""
    return [
        *modules("devices"),
        *(
            path
            for what in PURE
            for found in (f"*/**/{what}.py", f"*/**/{what}/**/*.py")
            for path in (ROOT / "vendors").glob(found)
        ),
    ]


def impurities(source: str) -> Iterator[str]:
    """Where a module reaches for a clock, a loop, a socket, a logger or dice."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                for name in names:
                    if name.name.partition(".")[0] in CLOCK_AND_CHANCE:
                        yield f"line {node.lineno} imports {name.name}"
            case ast.ImportFrom(module=str(module), names=names):
                harmless = CLOCK_AND_CHANCE.get(module.partition(".")[0])
                for name in names:
                    if harmless is not None and name.name not in harmless:
                        yield f"line {node.lineno} imports {module}.{name.name}"
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                if name in READS_THE_CLOCK_OR_ROLLS_DICE:
                    yield f"line {node.lineno} calls {name}()"
            case _:
                pass


@pytest.mark.parametrize("rule", BANNED)
def test_no_tracked_file_holds(rule: str) -> None:
    pattern = re.compile(BANNED[rule], re.MULTILINE)

    found = [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, hit.start()) + 1} {hit.group()!r}"
        for path in tracked()
        for text in [path.read_bytes().decode("utf-8", "replace")]
        for hit in pattern.finditer(text)
    ]

    assert found == []


def test_every_file_of_ours_is_short_enough_to_hold_in_the_head() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in modules(*PACKAGES)
    }

    assert {path: lines for path, lines in lengths.items() if lines > LINES_MAX} == {}


def test_devices_codecs_and_simulators_are_told_the_time_and_given_their_chance() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in pure_modules()
        if (lines := list(impurities(path.read_text())))
    }

    assert found == {}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import time", "line 1 imports time"),
        ("import asyncio.events", "line 1 imports asyncio.events"),
        ("import random", "line 1 imports random"),
        ("from random import Random", "line 1 imports random.Random"),
        ("def f():\n    return Random(3)", "line 2 calls Random()"),
        ("from datetime import UTC, datetime\ndatetime.now(UTC)", "line 2 calls now()"),
    ],
)
def test_the_purity_check_sees_what_it_looks_for(source: str, said: str) -> None:
    assert list(impurities(source)) == [said]


def test_a_pure_module_may_name_the_type_of_chance() -> None:
    named = "from vendors.sim import Chance\ndef f(rng: Chance): rng.random()"

    assert list(impurities(named)) == []


@pytest.mark.parametrize("folder", vendor_folders(), ids=lambda folder: folder.name)
def test_a_vendors_folder_holds_what_every_vendors_folder_holds(folder: Path) -> None:
    assert VENDOR_FILES - {path.name for path in folder.iterdir()} == set()
    assert any((folder / "samples").iterdir())


def test_a_vendor_knows_no_other_vendor_and_no_registry() -> None:
    vendors = {folder.relative_to(ROOT / "vendors").parts[0] for folder in vendor_folders()}

    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules("vendors")
        if owner(path)
        for name in imported(path)
        if name.startswith("vendors.")
        and name.split(".")[1] in {*vendors, "registry"} - {owner(path)}
    ]

    assert found == []


def test_only_the_registry_names_a_vendor() -> None:
    """The gateway and the simulators ask for one by its name."""
    vendors = {folder.relative_to(ROOT / "vendors").parts[0] for folder in vendor_folders()}

    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules("gateway", "fleet_sim", "devices")
        for name in imported(path)
        if name.startswith("vendors.") and name.split(".")[1] in vendors
    ]

    assert found == []


def test_every_folder_of_a_vendor_is_in_the_registry() -> None:
    listed = {folder.relative_to(ROOT / "vendors").parts[0] for folder in vendor_folders()}

    assert {owner(path) for path in modules("vendors")} - {""} == listed


def test_config_and_tests_are_no_packages() -> None:
    assert [*modules("config"), *(ROOT / "tests").rglob("__init__.py")] == []


def test_tests_use_what_we_ship_and_patch_nothing() -> None:
    patched = re.compile(r"^\s*(from|import) (unittest\.)?mock\b|\bmocker\b", re.MULTILINE)

    assert [str(path) for path in modules("tests") if patched.search(path.read_text())] == []
