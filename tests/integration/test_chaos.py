"""`doorfleet-sim chaos` as people run it: whole runs, what they write, and what shrinking does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import parse

import pytest
import yaml

from fleet_sim.chaos.oracles import PROMISES
from fleet_sim.cli import BAD_INPUT, FAILED, OK, main

HELD = """\
description: Nuki hangs, and two garage doors do not notice.
hours: 0.25
pace: 60
fleet: {nuki: 2, ratgdo: 2}
acts:
  - {at: 4m, for: 5m, vendor: nuki, fault: hang}
"""
# Four acts, one of which strikes a vendor that is said to be untouched.
VIOLATED = """\
description: A blast radius that leaves out whom an act strikes.
hours: 0.4
pace: 40
fleet: {nuki: 4, ratgdo: 4, shelly: 2}
deliveries: {per_day: 100, rhythm: flat}
blast_radius: {ratgdo: []}
acts:
  - {at: 4m, for: 3m, vendor: nuki, fault: latency, settings: {latency_ms: 900}}
  - {at: 6m, for: 5m, vendor: ratgdo, fault: power_cut}
  - {at: 9m, for: 2m, vendor: shelly, fault: reconnect_storm}
  - {at: 14m, for: 4m, vendor: nuki, fault: flood}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "small.yaml").write_text(HELD)
    (tmp_path / "wide.yaml").write_text(VIOLATED)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(*words: str, **environment: str) -> int:
    """The command in a process of its own, as a shell would run it."""
    code = "import sys; from fleet_sim.cli import main; sys.exit(main())"
    env = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-c", code, "chaos", *words], check=False, env=env
    ).returncode


def test_an_experiment_that_holds_is_written_in_every_form(folder: Path) -> None:
    written = ["--json", "a.json", "--html", "a.html", "--junit", "a.xml", "--journal", "journals"]

    assert typed("small.yaml", "--seeds", "1..2", "--workers", "2", *written) == OK

    found = json.loads((folder / "a.json").read_text())
    (one,) = found["experiments"]
    assert (found["verdict"], one["seeds"], one["violated"]) == ("held", [1, 2], [])
    assert set(one["matrix"]["ratgdo"]) == {promise.name for promise in PROMISES}
    assert one["matrix"]["ratgdo"]["unchanged"]["word"] == "kept"
    cases = list(parse(folder / "a.xml").getroot().iter("testcase"))
    assert [case for case in cases if case.find("failure") is not None] == []
    assert len(cases) > len(PROMISES) - 3
    page = (folder / "a.html").read_text()
    assert "Nobody was hurt who should not be" in page
    assert "doorfleet-sim chaos small.yaml --seeds 1" in page
    journal = json.loads((folder / "journals" / "small.seed2.json").read_text())
    assert {
        "chaoslib-version", "platform", "node", "experiment", "start", "end", "status", "deviated",
        "steady_states", "run", "rollbacks",
    } <= set(journal)  # fmt: skip
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    assert journal["steady_states"]["after"]["steady_state_met"] is True
    assert [one["activity"]["name"] for one in journal["run"]] == ["nuki: hang"]


def test_a_violated_one_is_made_small_and_its_printed_command_shows_it_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chaos", "wide.yaml", "--seeds", "5", "--workers", "1", "--shrink"]) == FAILED

    said = capsys.readouterr().out
    assert "again: doorfleet-sim chaos wide.yaml --seeds 5" in said
    small = yaml.safe_load((folder / "wide.seed5.yaml").read_text())
    assert len(small["acts"]) == 1
    assert sum(small["fleet"].values()) <= 5
    assert small["acts"][0]["vendor"] == "ratgdo"
    assert main(["chaos", "wide.seed5.yaml", "--workers", "1"]) == FAILED
    assert "ratgdo: unchanged" in capsys.readouterr().out


def test_a_run_is_the_same_whatever_python_s_hash_seed_is(folder: Path) -> None:
    found: list[Any] = []
    for hash_seed in ("1", "77"):
        out = folder / f"{hash_seed}.json"
        assert typed("small.yaml", "--json", str(out), PYTHONHASHSEED=hash_seed) == OK
        run = json.loads(out.read_text())["experiments"][0]["run"]
        del run["wall_s"]
        found.append(run)

    assert found[0] == found[1]


def test_bad_input_is_told_before_anything_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.yaml").write_text(HELD.replace("acts:", "akts:"))

    assert main(["chaos", "bad.yaml", "nowhere.yaml"]) == BAD_INPUT
    assert main(["chaos"]) == BAD_INPUT
    assert main(["chaos", "small.yaml", "--shrink", "--time", "real"]) == BAD_INPUT

    said = capsys.readouterr().err
    assert "bad.yaml: akts: unknown key" in said
    assert "nowhere.yaml: no such file" in said
    assert "no experiment: give a file, a name, or --all" in said
    assert "--shrink is for simulated time only" in said


def test_on_real_sockets_the_same_file_holds(folder: Path) -> None:
    # Boards take two seconds to say their first word, and two doors might say nothing after it.
    (folder / "small.yaml").write_text(HELD.replace("nuki: 2, ratgdo: 2", "nuki: 12, ratgdo: 12"))

    code = typed("small.yaml", "--time", "real", "--seconds", "12", "--json", "real.json")

    (one,) = json.loads((folder / "real.json").read_text())["experiments"]
    assert one["breaches"] == []
    assert code == OK
    assert one["run"]["broker"] == "embedded"
    assert one["matrix"]["nuki"]["complete"]["word"] == "kept"
