"""`doorfleet-sim` as typed: what it refuses, and how it says so."""

import json
import re
import subprocess
import sys
from keyword import iskeyword
from pathlib import Path

import pytest

from fleet_sim import cli


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["break"], "break nothing: write VENDOR FAULT; `doorfleet-sim faults` lists"),
        (["break", "nuki", "hang", "--set", "x"], "--set x: no KEY=VALUE; write it like latency"),
        (["heal"], "heal: write which, such as f1, or --all"),
        (["demo", "--seconds", "3"], "--seconds 3: give at least 10"),
        (["demo", "--devices", "1"], "--devices 1: give at least 3, one of each vendor"),
        (["demo", "--json", "/nowhere/out.json"], "there is no folder /nowhere"),
        (["demo", "--svg", "/nowhere/out.svg"], "there is no folder /nowhere"),
        (["check", "quiet_dya"], "quiet_day"),
    ],
)
def test_bad_input_is_refused_with_its_remedy_before_anything_starts(
    arguments, said, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == cli.BAD_INPUT
    assert said in capsys.readouterr().err


def test_every_mistake_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--seconds", "3", "--devices", "1"]) == cli.BAD_INPUT
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_without_a_command_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == cli.BAD_INPUT
    assert "examples:" in capsys.readouterr().out


def test_every_example_of_the_help_is_a_command_line_that_it_takes() -> None:
    parser = cli.build()
    examples = re.findall(r"^  doorfleet-sim (.+)$", parser.epilog or "", re.MULTILINE)

    assert len(examples) >= 5
    for example in examples:
        assert parser.parse_args(example.split()).act is not None


def test_every_module_of_a_verb_is_in_the_table() -> None:
    folder = Path(cli.__file__).parent / "verbs"

    shared = {"__init__", "common", "identity", "outputs"}
    verbs = {verb + "_" * iskeyword(verb) for verb in cli.VERBS}
    assert {path.stem for path in folder.glob("*.py")} == verbs | shared


def test_help_loads_nothing_that_only_a_run_needs() -> None:
    code = (
        "import sys; from fleet_sim.cli import build; build().format_help();"
        "print(*sorted({'aiohttp', 'pydantic', 'orjson', 'rich', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )

    assert done.stdout.split() == []


def test_a_shipped_scenario_is_found_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "quiet_day"]) == cli.OK
    assert "1,000 devices" in capsys.readouterr().out


def test_faults_are_listed_for_people_and_for_machines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["faults"]) == cli.OK
    assert "reconnect_storm" in capsys.readouterr().out
    assert cli.main(["faults", "--json"]) == cli.OK
    table = json.loads(capsys.readouterr().out)
    assert isinstance(table, list)
    assert {"wire", "mqtt", "http", "vendor"} <= {entry["family"] for entry in table}
    assert {"ratgdo", "nuki", "uhppote"} <= {entry.get("vendor") for entry in table}
    assert all(entry["what"] for entry in table)


def test_one_fault_has_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["faults", "latency"]) == cli.OK
    page = capsys.readouterr().out
    assert "latency_ms         how late everything is (int, 500 ms)" in page
    assert "source:" in page


def test_a_fault_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["faults", "flod"]) == cli.BAD_INPUT
    assert "did you mean flood?" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == cli.OK
    said = capsys.readouterr().out
    assert "replay" in said
    assert "--seconds" in said


def test_a_report_that_cannot_be_written_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "quiet_day", "--json", str(tmp_path / "no" / "such" / "f")]) == (
        cli.BAD_INPUT
    )
    assert "no/such" in capsys.readouterr().err
