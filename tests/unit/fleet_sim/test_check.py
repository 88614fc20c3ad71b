"""`doorfleet-sim check`: what a scenario comes to, or every mistake in it."""

import json
from pathlib import Path

import pytest
import yaml

from fleet_sim import cli, scenario
from fleet_sim.world.outlook import outlook
from vendors import registry

FLEET = [
    {"vendor": "nuki", "count": 10, "site": "a", "firmware": "3.8", "habits": "commuters"},
    {"vendor": "uhppote", "count": 2, "habits": {"rhythm": {"hours": [0] * 23 + [1]}, "pace": 2}},
]


def make(**more: object) -> scenario.Scenario:
    return scenario.Scenario.model_validate(
        {"hours": 24, "starts": "monday 06:00", "fleet": FLEET, **more}
    )


def test_deeds_are_counted_by_group_and_hour() -> None:
    found = outlook(make(fleet=FLEET[:1]))["deeds_per_hour"]

    monday = scenario.Scenario.model_validate({"hours": 168, "fleet": FLEET[:1]})
    assert outlook(monday)["deeds_per_hour"]["mean"] == pytest.approx(10 * 13.7 / 24, abs=0.1)
    assert found["peak_at"] == "monday 08:00"
    assert found["peak"] > 3 * found["mean"] / 2


def test_a_pace_is_everybodys_and_a_groups_its_own() -> None:
    usual, twice = (outlook(make(pace=pace))["deeds_per_hour"]["mean"] for pace in (1, 2))

    assert twice == pytest.approx(2 * usual, abs=0.2)
    assert outlook(make(fleet=FLEET[1:]))["deeds_per_hour"]["mean"] == pytest.approx(
        2 * 2 * 15.4 / 24, abs=0.1
    )


def test_deliveries_and_batteries_are_those_of_whoever_has_them() -> None:
    found = outlook(make(deliveries={"per_day": 3, "site": "a"}, batteries={}))

    assert (found["deliveries_per_day"], found["batteries"]) == (30, 10)
    assert outlook(make())["deliveries_per_day"] == outlook(make())["batteries"] == 0


def test_people_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    act = {"at": "1h", "for": "90s", "vendor": "nuki", "fault": "hang"}
    rollout = {"at": "2h", "vendor": "nuki", "to": "4.0", "waves": ["10%", "100%"]}
    path.write_text(
        yaml.safe_dump(
            {"hours": 6, "fleet": FLEET, "acts": [act], "rollouts": [rollout]}
            | {"weather": {"storms": [{"at": "3h", "for": "1h", "site": "a"}]}, "deliveries": {}}
        )
    )

    assert cli.main(["check", str(path)]) == cli.OK

    said = capsys.readouterr().out
    for word in (
        f"{path}: good",
        "12 devices",
        "10 nuki 3.8 at a (commuters)",
        "2 uhppote (of its own)",
        "deeds an hour in the mean",
        "18 deliveries a day",
        "1:00:00 nuki: hang, for 0:01:30",
        "3:00:00 storm a, for 1:00:00",
        "2:00:00 nuki: 4.0 to 10%, 100%",
    ):
        assert word in said, word


def test_machines_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "storm", "--json"]) == cli.OK

    found = json.loads(capsys.readouterr().out)
    assert found["scenario"] == "storm"
    assert found["devices"] == sum(scenario.load("storm").fleet.values())
    assert found["storms"][0]["site"] == "coast"


def test_without_a_name_ours_are_listed_each_with_its_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["check"]) == cli.OK

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == scenario.names()
    assert all(len(line.split()) > 3 for line in lines)


def test_the_schema_names_every_vendor_that_is_installed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["check", "--schema"]) == cli.OK

    schema = json.loads(capsys.readouterr().out)
    assert schema["$defs"]["Rollout"]["properties"]["vendor"]["enum"] == list(registry.names())


def test_every_mistake_is_told_and_the_exit_code_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("hours: -1\nfleet: {nuky: 3}\nstarts: soon\n")

    assert cli.main(["check", str(path)]) == cli.BAD_INPUT

    assert len(capsys.readouterr().err.splitlines()) == 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("gateway: {nuki: {keepalive: 3}}", "gateway.nuki.keepalive: unknown key (got 3); did"),
        ("gateway: {uhppote: {poll_ms: -3}}", "gateway.uhppote.poll_ms: "),
        ("options: {uhppote: {doors: 9}}", "uhppote: option doors: 9; use 1 to 4"),
        ("options: {ratgdo: {prefix: x}}", "ratgdo: options prefix; there is only topic_prefix"),
    ],
)
def test_what_a_vendor_would_refuse_is_said_before_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, said: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(f"hours: 1\nfleet: {{nuki: 9, uhppote: 9, ratgdo: 9}}\n{more}\n")

    assert cli.main(["check", str(path)]) == cli.BAD_INPUT

    assert f"{path}: {said}" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["check", "run"])
def test_firmware_that_a_vendor_cannot_tell_is_refused_before_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "hours: 1\nfleet: [{vendor: uhppote, count: 1, firmware: v8.92}]\n"
        "rollouts: [{at: 1m, vendor: uhppote, to: latest}]\n"
    )

    assert cli.main([verb, str(path)]) == cli.BAD_INPUT

    said = capsys.readouterr().err
    assert f"{path}: fleet[0]: uhppote takes no firmware 'v8.92'; write it like 8.92" in said
    assert f"{path}: rollouts[0]: uhppote takes no firmware 'latest'; write it like 8.92" in said


@pytest.mark.parametrize("name", scenario.names())
def test_our_own_scenarios_are_good(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", name]) == cli.OK
    assert f"{name}: good" in capsys.readouterr().out


def test_a_fleet_of_every_vendor_is_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "all.yaml"
    fleet = ", ".join(f"{name}: 2" for name in registry.OURS)
    path.write_text(f"hours: 1\nfleet: {{{fleet}}}\n")

    assert cli.main(["check", str(path)]) == cli.OK
    assert "22 devices" in capsys.readouterr().out
