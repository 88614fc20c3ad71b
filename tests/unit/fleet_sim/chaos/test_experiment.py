"""An experiment file: strict, and with defaults so good that eight lines are one."""

from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
import yaml

from devices.errors import ConfigError
from fleet_sim import scenario_file
from fleet_sim.chaos import experiment, schema
from fleet_sim.chaos.experiment import SHELF, Experiment, May
from vendors import registry

ROOT = Path(__file__).parents[4]
EIGHT_LINES = """\
description: Nuki hangs for ten minutes, and nobody else may notice.
hours: 0.5
pace: 40
fleet: {ratgdo: 6, nuki: 6}
acts:
  - {at: 8m, for: 10m, vendor: nuki, fault: hang}
"""


def made(**changes: Any) -> Experiment:
    return Experiment.model_validate({**yaml.safe_load(EIGHT_LINES), **changes})


def complaints(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "broken.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        experiment.load(file)
    return [line.removeprefix(f"{file}: ") for line in error.value.problems]


def test_eight_lines_are_an_experiment_and_whoever_is_not_struck_is_untouched(
    tmp_path: Path,
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(EIGHT_LINES)

    found = experiment.load(file).experiment

    assert found.name == "small"
    assert found.healthy == ["ratgdo"]
    assert found.allowed("nuki") == {May.LATE, May.DEGRADED}
    assert (found.begins_s, found.ends_s) == (480, 1080)


def test_an_act_on_the_whole_gateway_strikes_every_vendor() -> None:
    found = made(acts=[{"at": 60, "for": 60, "fault": "bus_down"}])

    assert found.healthy == []
    assert found.allowed("ratgdo") == {May.LATE, May.DEGRADED, May.RESTARTS}


def test_the_file_s_own_word_on_a_vendor_replaces_the_usual() -> None:
    found = made(blast_radius={"nuki": [], "ratgdo": ["late"]})

    assert found.allowed("nuki") == set()
    assert found.allowed("ratgdo") == {May.LATE}
    assert found.healthy == ["nuki"]


def test_experiments_that_differ_in_their_acts_alone_have_one_twin() -> None:
    one = made(name="one", recovery="5m", steady_state={"p99_ms_max": 5})
    other = made(name="other", acts=[{"at": 60, "for": 60, "vendor": "nuki", "fault": "flood"}])

    assert one.twin() == other.twin()
    assert one.twin().acts == ()
    assert one.twin() != made(pace=41).twin()


def test_every_mistake_is_named_at_once_with_place_and_remedy(tmp_path: Path) -> None:
    broken = EIGHT_LINES + "recovry: 5m\nblast_radius: {nuki: [lost]}\nsteady_state: {p99: 1}\n"

    found = "\n".join(complaints(tmp_path, broken))

    assert "recovry: unknown key (got 5m); did you mean recovery?" in found
    assert "blast_radius.nuki[0]" in found
    assert "steady_state.p99: unknown key (got 1)" in found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"acts": []}, "acts: none; an experiment breaks something"),
        (
            {"acts": [{"at": 0, "for": 60, "vendor": "nuki", "fault": "hang"}]},
            "acts: one at the very start; begin later",
        ),
        ({"blast_radius": {"tedee": []}}, "blast_radius.tedee: no tedee in the fleet; add some"),
    ],
)
def test_what_could_prove_nothing_is_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    text = yaml.safe_dump({**yaml.safe_load(EIGHT_LINES), **change})

    assert any(said in line for line in complaints(tmp_path, text))


def test_a_name_that_nobody_knows_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean vendor_hangs"):
        experiment.load("vendor_hang")


def test_the_schema_is_what_make_schemas_writes() -> None:
    found = (ROOT / "config" / "experiment.schema.json").read_bytes()

    assert found == schema.text(), "run make schemas"


def test_every_experiment_of_ours_is_valid_says_why_and_names_its_schema() -> None:
    validator = jsonschema_rs.validator_for(orjson.loads(schema.text(registry.OURS)))
    for name in experiment.names():
        words = (scenario_file.folder(SHELF) / f"{name}.yaml").read_text()
        found = experiment.load(name).experiment

        assert words.startswith("# yaml-language-server: $schema=../experiment.schema.json\n")
        assert not list(validator.iter_errors(yaml.safe_load(words))), name
        assert found.description, name
