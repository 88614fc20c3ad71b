"""The schema for editors: up to date, and of one mind with what reads the file."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from fleet_sim import scenario
from fleet_sim.act import able_to
from fleet_sim.faults import FAULTS
from fleet_sim.scenario_schema import schema, text
from vendors import registry

ROOT = Path(__file__).parents[3]
VALIDATOR = jsonschema_rs.validator_for(schema(registry.OURS))
GOOD: dict[str, Any] = {
    "description": "Of everything something.",
    "hours": 3,
    "starts": "monday 06:00",
    "fleet": [
        {"vendor": "nuki", "count": 2, "site": "a", "habits": "household", "radio": "poor"},
        {"vendor": "nuki", "count": 2, "habits": {"rates": {"door": 2}, "rhythm": {"csv": "a"}}},
        {"vendor": "meross", "count": 2, "options": {"firmware": "4.2.1"}},
    ],
    "weather": {"mean_c": 3, "storms": [{"at": "1h", "for": "90s", "site": "a"}]},
    "batteries": {},
    "deliveries": {"per_day": 4, "rhythm": "couriers", "share": "50%"},
    "rollouts": [{"at": 0, "vendor": "nuki", "to": "4.0", "waves": ["10%", 1]}],
    "gateway": {"nuki": {"keepalive_s": 30}},
    "acts": [
        {
            "at": "1h30m",
            "for": 60,
            "vendor": "nuki",
            "fault": "flood",
            "settings": {"rate_factor": 3},
        },
        {"at": "1h", "for": "1m", "vendor": "meross", "fault": "fault:deaf", "share": 0.5},
    ],
}


def plain(document: Any) -> Any:
    """As an editor sees it: JSON knows no dates."""
    if isinstance(document, dict):
        return {key: plain(value) for key, value in document.items()}
    if isinstance(document, list):
        return [plain(value) for value in document]
    return str(document) if isinstance(document, date | datetime) else document


def mistakes(document: Any) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(plain(document))]


def test_the_file_is_what_make_schemas_writes() -> None:
    found = (ROOT / "config" / "scenario.schema.json").read_bytes()

    assert found == text(), "run make schemas"


@pytest.mark.parametrize("name", scenario.names())
def test_our_own_scenarios_are_valid_and_name_their_schema(name: str) -> None:
    words = (scenario.folder() / f"{name}.yaml").read_text()

    assert words.startswith("# yaml-language-server: $schema=../scenario.schema.json\n")
    assert mistakes(yaml.safe_load(words)) == []


def test_a_scenario_with_everything_is_valid() -> None:
    assert mistakes(GOOD) == []
    assert mistakes({"hours": 1, "fleet": {"nuki": 3}, "weather": -4}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"hours": "long"},
        {"hours": 0},
        {"fleet": {"nuky": 3}},
        {"fleet": {"nuki": 0}},
        {"fleet": []},
        {"fleet": [{"vendor": "nuki"}]},
        {"fleet": [{"vendor": "nuki", "count": 1, "habits": "houshold"}]},
        {"fleet": [{"vendor": "nuki", "count": 1, "habits": {"rates": {"dor": 2}}}]},
        {"fleet": [{"vendor": "nuki", "count": 1, "radio": "bad"}]},
        {"fleet": [{"vendor": "meross", "count": 1, "options": {"doors": 9}}]},
        {"flet": {"nuki": 1}},
        {"starts": "mooday 08:00"},
        {"pace": -1},
        {"weather": {"storms": [{"at": "soon", "for": 1}]}},
        {"weather": {"storms": [{"at": 1}]}},
        {"batteries": {"drain": 3}},
        {"deliveries": {"rhythm": "daily"}},
        {"deliveries": {"share": "half"}},
        {"rollouts": [{"at": 0, "vendor": "nuki"}]},
        {"rollouts": [{"at": 0, "vendor": "nukky", "to": "4"}]},
        {"gateway": {"nuki": {"poll": 3}}},
        {"acts": [{"at": 0, "for": 1, "vendor": "nuki", "fault": "flod"}]},
        {"acts": [{"at": 0, "for": 1, "vendor": "nuki", "fault": "flapping_eye"}]},
        {"acts": [{"at": 0, "for": 1, "vendor": "nuki", "fault": "flood", "settings": {"r": 1}}]},
        {"acts": [{"at": "x", "for": 1, "vendor": "nuki", "fault": "hang"}]},
        {"acts": [{"at": 0, "for": 1, "vendor": "nuki", "fault": "hang", "share": 2}]},
    ],
)
def test_what_the_reader_refuses_the_schema_refuses_too(change: dict[str, Any]) -> None:
    document = {**GOOD, "acts": [], "rollouts": [], **change}

    assert mistakes(document)
    with pytest.raises(ValueError, match="validation error"):
        scenario.Scenario.model_validate(document)


@pytest.mark.parametrize("vendor", registry.OURS)
def test_an_editor_is_offered_every_fault_of_a_vendor_with_its_line(vendor: str) -> None:
    act = schema(registry.OURS)["$defs"]["Act"]
    rule = next(
        each["then"]["properties"]["fault"]
        for each in act["allOf"]
        if each["if"]["properties"].get("vendor") == {"const": vendor}
    )

    able = {name for name in FAULTS if able_to(vendor, name)}
    own = set(scenario.own_faults(vendor))
    assert able | own <= set(rule["enum"])
    assert not (set(FAULTS) - able - own) & set(rule["enum"])
    assert len(rule["enum"]) == len(rule["enumDescriptions"])


def test_every_key_is_described() -> None:
    document = schema(registry.OURS)

    for name, part in {"Scenario": document, **document["$defs"]}.items():
        for key, about in part["properties"].items():
            assert "description" in about, f"{name}.{key}"
