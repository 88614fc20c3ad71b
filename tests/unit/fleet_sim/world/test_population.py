"""Who lives in a scenario: counts, or groups that are ranges of one population."""

from pathlib import Path
from pickle import dumps, loads
from typing import Any

import pytest
import yaml

from devices.errors import ConfigError
from fleet_sim import scenario
from fleet_sim.scenario import Scenario
from fleet_sim.world.rhythm import Rhythm
from fleet_sim.world.world import World

GROUPS = [
    {"vendor": "nuki", "count": 3, "site": "north", "habits": "household", "firmware": "3.8.0"},
    {"vendor": "meross", "count": 2, "firmware": "3.2.7"},
    {
        "vendor": "nuki",
        "count": 2,
        "site": "south",
        "habits": {"rhythm": {"hours": [0] * 23 + [1]}, "pace": 2, "rates": {"door": 12}},
        "radio": "poor",
    },
]


def make(fleet: Any, **more: Any) -> Scenario:
    return Scenario.model_validate({"hours": 1, "fleet": fleet, **more})


def test_the_short_form_and_the_long_say_the_same_to_everybody_else() -> None:
    assert dict(make({"nuki": 5, "meross": 2}).fleet) == dict(make(GROUPS).fleet)
    assert list(make(GROUPS).fleet) == ["nuki", "meross"]
    assert make(GROUPS).fleet["nuki"] == 5
    assert sum(make(GROUPS).fleet.values()) == 7


def test_groups_of_a_vendor_are_ranges_of_its_numbers() -> None:
    numbers = [(numbers, group.site) for numbers, group in make(GROUPS).groups("nuki")]

    assert numbers == [(range(1, 4), "north"), (range(4, 6), "south")]


def test_a_population_has_the_groups_options_and_manners() -> None:
    nuki, meross = World(make(GROUPS), 7).populations(0)

    assert [nuki.manner(place).per_ms for place in range(5)] == [
        *[nuki.manner(0).per_ms] * 3,
        *[nuki.manner(4).per_ms] * 2,
    ]
    assert nuki.manner(4).per_ms == pytest.approx(2 * (13.7 - 6 + 12) / 86_400_000)
    assert [device.box.firmware for device in meross.devices] == ["3.2.7", "3.2.7"]  # type: ignore[attr-defined]


def test_it_can_be_written_and_read_again() -> None:
    one = make(GROUPS, weather={"storms": [{"at": "1m", "for": "2m"}]}, deliveries={})

    again = Scenario.model_validate(one.model_dump(mode="json"))

    assert again.model_dump(mode="json") == one.model_dump(mode="json")
    assert again.groups("nuki") == one.groups("nuki")
    assert loads(dumps(one)).groups("nuki") == one.groups("nuki")


def test_cut_down_it_keeps_its_groups() -> None:
    small = make(GROUPS).cut_down(1)

    assert dict(small.fleet) == {"nuki": 2, "meross": 1}
    assert [group.site for _, group in small.groups("nuki")] == ["north", "south"]


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ({"vendor": "nuky"}, "fleet[0].vendor: unknown vendor (got nuky); did you mean nuki?"),
        ({"count": 0}, "fleet[0].count: input should be greater"),
        ({"habits": "houshold"}, "fleet[0].habits.rhythm: unknown rhythm (got houshold); did you"),
        ({"habits": {"rates": {"dor": 1}}}, "fleet[0]: unknown habit of nuki; did you mean door?"),
        ({"habits": {"rhythm": {"hours": [1]}}}, "fleet[0].habits.rhythm: 1 hours; give 24"),
        ({"habits": {"rhythm": {}}}, "fleet[0].habits.rhythm: neither hours nor csv, or both; g"),
        (
            {"habits": {"paces": 1}},
            "fleet[0].habits.paces: unknown key (got 1); did you mean pace?",
        ),
        ({"radio": "bad"}, "fleet[0].radio: unknown radio (got bad); known are fair, good"),
        ({"radio": {"late": "130%"}}, "fleet[0].radio.late: input should be less than or equal"),
        ({"model": "9"}, "fleet[0]: nuki has no models to choose; remove model"),
        ({"vendor": "zigbee2mqtt", "firmware": "9"}, "fleet[0]: zigbee2mqtt tells no firmware"),
        (
            {"vendor": "uhppote", "firmware": "v8.92"},
            "fleet[0]: uhppote takes no firmware 'v8.92'; write it like 8.92: at most two digits",
        ),
        ({"drift_ms_per_day": 9}, "fleet[0]: nuki tells no time, so no clock of it can drift; rem"),
        ({"sight": "x"}, "fleet[0].sight: unknown key (got x); did you mean site?"),
    ],
)
def test_a_mistake_in_a_group(tmp_path: Path, group: dict[str, Any], said: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        yaml.safe_dump({"hours": 1, "fleet": [{"vendor": "nuki", "count": 2, **group}]})
    )

    with pytest.raises(ConfigError) as caught:
        scenario.load(path)

    assert caught.value.problems[0].startswith(f"{path}: {said}"), caught.value.problems
    assert all("; " in line for line in caught.value.problems)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"starts": "mooday"}, "starts: no moment (got mooday); write it like monday 08:00"),
        ({"weather": {"storms": [{"at": 0, "for": "2h"}]}}, "weather.storms[0]: ends after the 1"),
        (
            {"weather": {"storms": [{"at": 0, "for": 1, "site": "x"}]}},
            "weather.storms[0].site: no device is at x; known are north",
        ),
        ({"rollouts": [{"at": 0, "vendor": "tedee", "to": "1"}]}, "rollouts[0].vendor: no tedee"),
        (
            {
                "fleet": {"uhppote": 1},
                "rollouts": [{"at": 0, "vendor": "uhppote", "to": "1008.92"}],
            },
            "rollouts[0]: uhppote takes no firmware '1008.92'; write it like 8.92: at most two",
        ),
        ({"deliveries": {"vendors": ["tedee"]}}, "deliveries.vendors[0]: no tedee in the fleet"),
        ({"deliveries": {"place_min": 9, "place_max": 1}}, "deliveries: place_max is below"),
        ({"deliveries": {"per_dya": 9}}, "deliveries.per_dya: unknown key (got 9); did you mean"),
        ({"batteries": {"use": 9}}, "batteries.use: unknown key (got 9); did you mean use_pct?"),
        (
            {"acts": [{"at": 0, "for": 1, "vendor": "nuki", "fault": "hang", "site": "x"}]},
            "acts[0].site",
        ),
        ({"rhythm": "daily"}, "rhythm: unknown rhythm (got daily); known are"),
    ],
)
def test_a_mistake_in_the_world(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    path = tmp_path / "a.yaml"
    fleet = [{"vendor": "nuki", "count": 2, "site": "north"}]
    path.write_text(yaml.safe_dump({"hours": 1, "fleet": fleet, **more}))

    with pytest.raises(ConfigError) as caught:
        scenario.load(path)

    assert caught.value.problems[0].startswith(f"{path}: {said}"), caught.value.problems


# --- files beside it ------------------------------------------------------------------------------


def test_counts_come_from_a_file_beside_the_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "doors.csv").write_text("hour,count\n8,3\n9,1\n")
    (tmp_path / "data" / "parcels.csv").write_text("gap_s\n60\n180\n")
    path = tmp_path / "a.yaml"
    path.write_text(
        "hours: 1\nfleet: [{vendor: nuki, count: 1, habits: {rhythm: {csv: data/doors.csv}}}]\n"
        "rhythm: {csv: data/doors.csv}\ndeliveries: {csv: data/parcels.csv}\n"
    )
    monkeypatch.chdir("/")  # it is beside the scenario, not beside us

    found = scenario.load(path)

    ((_, group),) = found.groups("nuki")
    assert group.habits is not None
    assert group.habits.rhythm.rhythm() == Rhythm([0] * 8 + [3, 1] + [0] * 14)  # type: ignore[union-attr]
    assert found.rhythm == group.habits.rhythm
    assert found.deliveries is not None
    assert (found.deliveries.gaps_s, found.deliveries.a_day) == ((60, 180), 720)
    (tmp_path / "data" / "doors.csv").unlink()
    assert Scenario.model_validate(found.model_dump(mode="json")).rhythm == found.rhythm


def test_deliveries_by_their_moments_keep_their_rate(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("timestamp\n2026-01-05T08:00:00\n2026-01-06T08:10:00\n")
    path = tmp_path / "a.yaml"
    path.write_text("hours: 1\nfleet: {nuki: 1}\ndeliveries: {csv: p.csv, per_day: 4}\n")

    spec = scenario.load(path).deliveries

    assert spec is not None
    assert spec.a_day == 4
    assert spec.shape() == Rhythm([0] * 8 + [1] + [0] * 15)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "rhythm: d.csv: No such file or directory; give its path from the scenario's"),
        (b"hour,count\n77,1\n", "rhythm: d.csv, line 2: hour is '77'; write 0 to 23"),
        (b"\xff", "rhythm: d.csv: byte 0 is not UTF-8; save it as UTF-8"),
    ],
)
def test_a_mistake_in_such_a_file(tmp_path: Path, text: bytes | None, said: str) -> None:
    if text is not None:
        (tmp_path / "d.csv").write_bytes(text)
    path = tmp_path / "a.yaml"
    path.write_text("hours: 1\nfleet: {nuki: 1}\nrhythm: {csv: d.csv}\n")

    with pytest.raises(ConfigError) as caught:
        scenario.load(path)

    assert caught.value.problems[0].startswith(f"{path}: {said}"), caught.value.problems


def test_a_file_can_be_named_in_a_file_only() -> None:
    with pytest.raises(ValueError, match="a file can be named in a file only"):
        make({"nuki": 1}, rhythm={"csv": "x.csv"})
