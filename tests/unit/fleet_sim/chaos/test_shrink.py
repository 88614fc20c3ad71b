"""Making it smaller: each step proposes what is smaller, and what names nobody who is gone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fleet_sim.chaos import shrink
from fleet_sim.chaos.experiment import Experiment
from fleet_sim.chaos.shrink import Small

DOCUMENT: dict[str, Any] = {
    "description": "why",
    "hours": 1.0,
    "fleet": [{"vendor": "nuki", "count": 9}, {"vendor": "tedee", "count": 4}],
    "gateway": {"tedee": {"poll_interval_s": 5}},
    "blast_radius": {"tedee": ["late"]},
    "acts": [
        {"at": 600.0, "for": 600.0, "vendor": "nuki", "fault": "hang"},
        {"at": 1500.0, "for": 300.0, "vendor": "tedee", "fault": "hang"},
    ],
}


def proposals(step: Any, document: dict[str, Any] = DOCUMENT) -> list[dict[str, Any]]:
    found: Iterator[dict[str, Any]] = step(document)
    return list(found)


def test_a_vendor_goes_with_all_that_names_it() -> None:
    (without_nuki, without_tedee) = proposals(shrink._fewer_vendors)  # noqa: SLF001 -- one step

    assert [act["vendor"] for act in without_nuki["acts"]] == ["tedee"]
    assert without_tedee["fleet"] == [{"vendor": "nuki", "count": 9}]
    assert (without_tedee["gateway"], without_tedee["blast_radius"]) == ({}, {})
    Experiment.model_validate(without_tedee)


def test_few_devices_are_tried_before_many() -> None:
    counts = [one["fleet"][0]["count"] for one in proposals(shrink._fewer_devices)[:5]]  # noqa: SLF001 -- one step

    assert counts == [1, 2, 3, 5, 8]


def test_what_is_shorter_is_shorter_and_still_an_experiment() -> None:
    def seconds(document: dict[str, Any]) -> float:
        return document["hours"] * 3600 + sum(act["at"] + act["for"] for act in document["acts"])

    for one in proposals(shrink._shorter):  # noqa: SLF001 -- one step
        assert seconds(one) <= seconds(DOCUMENT)
        Experiment.model_validate(one)


def test_the_file_says_what_it_shows_and_how_to_see_it(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    small = Small(DOCUMENT, "once", 7, 12)

    text = shrink.text_of(small, file)

    assert small.what == "2 acts, 13 devices"
    assert text.startswith("# Breaks the promise 'once'")
    assert f"#   doorfleet-sim chaos {file}\n" in text
    assert "fleet: {nuki: 9, tedee: 4}" in text
    assert "seeds: [7]" in text
