"""`doorfleet-gateway`: what each subcommand says, and with which code it ends."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from gateway import cli
from gateway.config_file import VARIABLE
from gateway.status import write
from vendors import registry

EXAMPLE: Final = Path(__file__).parents[3] / "config" / "gateway.example.yaml"


def subcommands() -> Sequence[str]:
    (group,) = [action for action in cli.build()._actions if hasattr(action, "_name_parser_map")]  # noqa: SLF001 -- argparse has no other way
    return sorted(group.choices)


@pytest.fixture
def state(tmp_path: Path) -> tuple[Path, Path]:
    """A configuration file, and the state folder that it names."""
    folder = tmp_path / "state"
    folder.mkdir()
    file = tmp_path / "gateway.yaml"
    file.write_text(EXAMPLE.read_text().replace("/var/lib/doorfleet", str(folder)))
    return file, folder


@pytest.mark.parametrize("name", subcommands())
def test_every_subcommand_has_examples_that_it_understands(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])

    text = capsys.readouterr().out
    assert ended.value.code == 0
    lines = text.partition("examples:\n")[2].splitlines()
    calls = [line.split("#")[0] for line in lines if "doorfleet-gateway" in line]
    assert calls
    for call in calls:
        words = call.partition("doorfleet-gateway")[2].split(">")[0].strip(" )").split()
        cli.build().parse_args([word.strip("'") for word in words])


def test_without_a_subcommand_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == cli.BAD_INPUT
    assert "examples:" in capsys.readouterr().out


def test_check_says_good_or_lists_the_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", str(EXAMPLE)]) == cli.OK
    assert (
        "good; site home, cells ratgdo (ratgdo), nuki (nuki), bus mqtt" in capsys.readouterr().out
    )

    bad = tmp_path / "bad.yaml"
    bad.write_text("site: A\nbus: []\n")
    assert cli.main(["check", str(bad)]) == cli.BAD_INPUT
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.split(": ")[1] for line in said.err.splitlines()] == [
        "site",
        "state_dir",
        "bus",
        "cells",
    ]

    assert cli.main(["check", str(bad), "--json"]) == cli.BAD_INPUT
    body = json.loads(capsys.readouterr().out)
    assert (body["file"], body["good"], len(body["problems"])) == (str(bad), False, 4)
    assert cli.main(["check", str(EXAMPLE), "--json"]) == cli.OK
    assert json.loads(capsys.readouterr().out)["good"] is True


def test_the_configuration_may_be_named_by_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, str(EXAMPLE))
    assert cli.main(["check"]) == cli.OK
    monkeypatch.delenv(VARIABLE)
    assert cli.main(["check"]) == cli.BAD_INPUT
    assert VARIABLE in capsys.readouterr().err


def test_vendors_lists_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["vendors"]) == cli.OK
    text = capsys.readouterr().out
    assert cli.main(["vendors", "--json"]) == cli.OK
    rows = json.loads(capsys.readouterr().out)

    assert [row["name"] for row in rows] == list(registry.names())
    assert all(row["settings"]["properties"] for row in rows)
    assert all(row["title"] in text for row in rows)


def test_status_is_well_only_while_every_cell_is_up(
    state: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = state
    assert cli.main(["status", str(file)]) == cli.BAD_INPUT
    assert "is the gateway running?" in capsys.readouterr().err

    write(folder, "home", {"nuki": {"state": "up", "devices": 3}})
    assert cli.main(["status", str(file)]) == cli.OK
    assert "nuki         up" in capsys.readouterr().out

    write(folder, "home", {"nuki": {"state": "degraded", "reason": "no broker"}})
    assert cli.main(["status", str(file)]) == cli.FAILED
    assert "no broker" in capsys.readouterr().out
    assert cli.main(["status", str(file), "--json"]) == cli.FAILED
    assert json.loads(capsys.readouterr().out)["cells"]["nuki"]["state"] == "degraded"


def test_status_names_the_hosts_that_are_left_alone(
    state: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = state
    counts = {"opened": 3, "asked": 17, "refused": 4}
    hosts = [
        {"host": "192.0.2.1:80", "breaker": "open", **counts},
        {"host": "192.0.2.2:80", "breaker": "closed", **counts},
    ]
    write(folder, "home", {"tedee": {"state": "up", "hosts": hosts}})

    assert cli.main(["status", str(file)]) == cli.OK
    said = capsys.readouterr().out
    assert "192.0.2.1:80 left alone: breaker open, opened 3 times, 17 asked, 4 refused" in said
    assert "192.0.2.2" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["send", "nuki", "lock"], "'nuki': write vendor/device, such as nuki/39000001"),
        (["send", "nuki/1", "lock", "--broker", "http://x"], "--broker: must start with mqtt://"),
        (["send", "nuki/1", "lock", "--broker", "mqtt://127.0.0.1:1"], "which site? give --site"),
        (["send", "a/b", "lock", "--arg", "x", "--broker", "mqtt://h", "--site", "s"], "KEY=VALUE"),
        (["tail"], "no configuration: give the file as an argument"),
        (
            ["tail", "--broker", "mqtts://h", "--cert-file", "x"],
            "cert_file and key_file come together",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_told_with_the_remedy_before_anything_is_sent(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)

    assert cli.main(arguments) == cli.BAD_INPUT
    assert said in capsys.readouterr().err


def test_schemas_are_written_where_one_wants_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["schemas", str(tmp_path)]) == cli.OK
    assert f"{len(list(tmp_path.glob('*.json')))} schemas" in capsys.readouterr().out
