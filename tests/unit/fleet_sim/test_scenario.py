"""Scenario files: what they say, and every mistake in them at once."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from devices.errors import ConfigError
from fleet_sim import scenario
from fleet_sim.faults.wire import Flood, Latency
from fleet_sim.scenario import Act, Scenario

GOOD = {
    "description": "A short one.",
    "hours": 2,
    "fleet": {"nuki": 3, "ratgdo": 2},
    "acts": [
        {"at": "10m", "for": "90s", "vendor": "nuki", "fault": "flood"},
        {"at": 3600, "for": "1h", "vendor": "ratgdo", "fault": "flapping_eye", "share": 0.5},
    ],
}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def to_file(document: Any, name: str = "day.yaml") -> Path:
        path = tmp_path / name
        path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
        return path

    return to_file


def problems(path: str | Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        scenario.load(path)
    return caught.value.problems


def test_a_good_one(write: Any) -> None:
    found = scenario.load(write(GOOD))

    assert (found.name, found.hours, found.seconds) == ("day", 2.0, 7200.0)
    assert dict(found.fleet) == {"nuki": 3, "ratgdo": 2}
    flood, eye = found.acts
    assert (flood.at_s, flood.for_s, flood.until_s, flood.own) == (600, 90, 690, None)
    assert flood.make() == Flood()
    assert (eye.at_s, eye.until_s, eye.own, eye.share) == (3600, 7200, "flapping_eye", 0.5)
    assert scenario.load(write(GOOD)) == found


def test_our_own_are_found_by_name_and_are_good() -> None:
    assert {"one_bad_day", "quiet_day"} <= set(scenario.names())
    for name in scenario.names():
        found = scenario.load(name)
        assert found.name == name
        assert found.description

    quiet = scenario.load("quiet_day")
    assert (quiet.hours, sum(quiet.fleet.values()), quiet.acts) == (24, 1000, ())


def test_a_file_beats_a_name(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write({**GOOD, "hours": 9}, "quiet_day")
    monkeypatch.chdir(path.parent)

    assert scenario.load("quiet_day").hours == 9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("20m", 1200), ("1h30m", 5400), ("1h0m5s", 3605), (45, 45), (0.5, 0.5)],
)
def test_durations(text: Any, seconds: float) -> None:
    act = Act.model_validate({"at": 0, "for": text, "vendor": "nuki", "fault": "latency"})

    assert act.for_s == seconds


def test_a_fault_takes_its_settings() -> None:
    slow = {"at": 0, "for": 1, "vendor": "nuki", "fault": "latency", "settings": {"latency_ms": 7}}

    assert Act.model_validate(slow).make() == Latency(latency_ms=7)


@pytest.mark.parametrize("fault", ["jam_self_heals", "fault:jam_self_heals"])
def test_a_vendors_own_fault_goes_by_both_names(fault: str) -> None:
    act = Act.model_validate({"at": 0, "for": 1, "vendor": "nuki", "fault": fault})

    assert act.own == "jam_self_heals"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hours": 0}, "hours: input should be greater than 0 (got 0); write more than 0"),
        ({"hours": "long"}, "hours: input should be a valid number"),
        ({"fleet": {}}, "fleet: "),
        ({"fleet": {"nuky": 3}}, "fleet.nuky: unknown vendor (got nuky); did you mean nuki?"),
        ({"fleet": {"nuki": 0}}, "fleet.nuki: "),
        ({"flet": {}}, "flet: unknown key (got {}); did you mean fleet?"),
        ({"pace": -1}, "pace: "),
        ({"options": {"uhppote": {}}}, "options.uhppote: no uhppote in the fleet; add some"),
        ({"gateway": {"uhppote": {}}}, "gateway.uhppote: no uhppote in the fleet; add some"),
        ({"acts": {}}, "acts: "),
    ],
)
def test_a_mistake_names_its_place_value_and_remedy(
    write: Any, change: dict[str, Any], said: str
) -> None:
    path = write({**GOOD, "acts": [], **change})

    (told,) = problems(path)

    assert told.startswith(f"{path}: {said}")
    assert "; " in told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"at": "soon"}, "acts[0].at: no duration (got soon); write it like 90s"),
        ({"at": -1}, "acts[0].at: "),
        ({"for": 0}, "acts[0].for: "),
        ({"for": ".inf"}, "acts[0].for: no duration"),
        ({"for": float("inf")}, "acts[0].for: "),
        ({"vendor": "ratgod"}, "acts[0].vendor: unknown vendor (got ratgod); did you mean ratgdo?"),
        ({"vendor": "uhppote"}, "acts[0].vendor: no uhppote in the fleet; add some"),
        ({"fault": "flod"}, "acts[0]: unknown fault; did you mean flood?"),
        ({"fault": "flapping_eye"}, "acts[0]: unknown fault; "),
        ({"fault": "fault:flood"}, "acts[0]: unknown fault; "),
        ({"share": 2}, "acts[0].share: "),
        ({"sahre": 1}, "acts[0].sahre: unknown key (got 1); did you mean share?"),
        ({"settings": {"rate": 3}}, "acts[0]: flood has no setting 'rate'; it takes rate_f"),
        ({"settings": {"rate_factor": -3}}, "acts[0]: setting rate_factor is -3"),
        ({"settings": {"rate_factor": "x"}}, "acts[0]: setting rate_factor is 'x'"),
        ({"at": "2h"}, "acts[0]: ends after the 2 hours; begin earlier"),
    ],
)
def test_a_mistake_in_an_act(write: Any, change: dict[str, Any], said: str) -> None:
    path = write({**GOOD, "acts": [{**GOOD["acts"][0], **change}]})

    told = problems(path)

    assert told[0].startswith(f"{path}: {said}"), told
    assert all("; " in line for line in told)


def test_two_faults_of_one_link_at_once(write: Any) -> None:
    act = GOOD["acts"][0]
    path = write({**GOOD, "acts": [act, {**act, "at": "11m", "fault": "hang"}]})

    (told,) = problems(path)

    assert "acts[1]: overlaps acts[0]" in told


def test_a_link_and_its_device_may_fail_together(write: Any) -> None:
    act = GOOD["acts"][0]
    own = {**act, "fault": "silent_hand"}

    assert len(scenario.load(write({**GOOD, "acts": [act, own]})).acts) == 2


def test_all_mistakes_at_once(write: Any) -> None:
    path = write(
        {
            "hours": -1,
            "fleet": {"nuky": 1},
            "acts": [{"at": "x", "for": 1, "vendor": "nuki", "fault": "hang"}, {"at": 1}],
        }
    )

    told = problems(path)

    assert len(told) == 5  # three, and the two keys that the second act lacks
    assert sum("required, but missing; add it" in line for line in told) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no keys and values; begin with a copy"),
        ("- 1", "no keys and values"),
        ("hours: [", "line 1, column"),
        ("a: b: c", "line 1, column 5"),
        ("hours: 1\nhours: 2", "line 2, column 1: the key 'hours' stands here twice"),
    ],
)
def test_what_is_no_scenario(write: Any, text: str, said: str) -> None:
    (told,) = problems(write(text))

    assert said in told


def test_what_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "day.yaml"
    path.write_bytes(b"hours: \xff")

    assert "byte 7 is not UTF-8" in problems(path)[0]


def test_what_is_not_there() -> None:
    (told,) = problems("quite_day")

    assert told.startswith("quite_day: no such file; did you mean quiet_day? ours are ")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    assert "Is a directory" in problems(tmp_path)[0]


def test_every_field_is_described() -> None:
    for model in (Act, Scenario):
        assert all(
            field.description or name == "name" for name, field in model.model_fields.items()
        )
