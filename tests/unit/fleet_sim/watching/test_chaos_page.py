"""Verdicts as a page and as JUnit: the worst is said first, and nothing from outside is markup."""

from typing import Any
from xml.etree.ElementTree import fromstring

import pytest

from fleet_sim.chaos import summary, toolkit_journal
from fleet_sim.chaos.oracles import PROMISES
from fleet_sim.watching import chaos_junit, chaos_page
from fleet_sim.watching.chaos_pictures import states

HOSTILE = "<script>alert(1)</script>"
ACT = {"at_s": 60.0, "until_s": 120.0, "vendor": "nuki", "fault": "hang", "share": 1.0}


def report(name: str, seed: int, broken: bool = False, what: str = "2 lost") -> dict[str, Any]:
    counts = {key: [4, 5, 6] for key in ("deeds", "frames", "events", "connected", "connected_min")}
    line = {
        **counts, "battery_sum": [0.0] * 3, "battery_devices": [0] * 3, "latency_ms": [[], [], []],
    }  # fmt: skip
    row = {promise.name: {"word": "kept", "what": [], "broken": []} for promise in PROMISES}
    row["gentle"] = {"word": "unseen", "what": [], "broken": []}
    if broken:
        row["complete"] = {"word": "broken", "what": [what], "broken": [what]}
    sins = dict.fromkeys(("lost", "duplicated", "reordered", "invented"), 0)
    return {
        "experiment": name,
        "scenario": name,
        "description": "why it is there",
        "seed": seed,
        "time": "virtual",
        "starts": "2026-01-05 00:00:00",
        "simulated_s": 180.0,
        "verdict": "violated" if broken else "held",
        "breaches": [{"vendor": "nuki", "promise": "complete", "what": what}] if broken else [],
        "matrix": {"nuki": row},
        "vendors": {"nuki": {"devices": 6, "events": 15, **sins}},
        "cells": {"nuki": {"state": "up", "reason": ""}},
        "steady_state": [{"what": "nuki: its cell", "wanted": "up", "found": "up", "met": True}],
        "times": {"detect_s": 2.0, "contain_s": 0.0, "recover_s": 75.0},
        "recovery_s": 180.0,
        "struck": ["nuki"],
        "acts": [ACT],
        "timeline": {"bucket_s": 60.0, "vendors": {"nuki": line}},
        "health": [
            {"at_s": -9.0, "cell": "nuki", "state": "up", "reason": ""},
            {"at_s": 70.0, "cell": "nuki", "state": "degraded", "reason": "gone", "hosts_open": 2},
            {"at_s": 130.0, "cell": "nuki", "state": "up", "reason": ""},
        ],
        "command": f"doorfleet-sim chaos {name} --seeds {seed}",
    }


def found(*reports: dict[str, Any]) -> dict[str, Any]:
    return summary.of(reports, "doorfleet-sim chaos --all")


def test_what_held_says_so_with_the_blast_radius_and_the_command() -> None:
    page = chaos_page.html_of(found(report("one", 1), report("one", 2)))

    assert "Nobody was hurt who should not be, in 2 runs of 1 experiment" in page
    assert "doorfleet-sim chaos --all" in page
    assert page.count('class="broken"') == 1  # in the legend
    assert "1:15 min" in page


def test_what_was_violated_comes_first_with_the_command_that_shows_it() -> None:
    page = chaos_page.html_of(found(report("one", 1), report("two", 7, broken=True)))

    verdict = page[: page.index("</section>")]
    assert "A promise was broken by 1 of 2 experiments" in verdict
    assert "two, seed 7: nuki: complete: 2 lost" in verdict
    assert "doorfleet-sim chaos two --seeds 7" in verdict
    assert 'href="#two"' in page


def test_a_name_that_wants_to_be_markup_is_text() -> None:
    page = chaos_page.html_of(found(report(HOSTILE, 1, broken=True, what=HOSTILE)))

    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_cell_s_states_are_told_from_when_until_when_and_why() -> None:
    assert states(report("one", 1), "nuki", 180.0) == [
        (0.0, 70.0, "up", ""),
        (70.0, 130.0, "degraded", "2 breakers open; gone"),
        (130.0, 180.0, "up", ""),
    ]


def test_junit_has_a_case_for_each_experiment_and_promise_that_was_looked_at() -> None:
    root = fromstring(chaos_junit.xml_of(found(report("one", 1), report("two", 7, broken=True))))

    one, two = root.findall("testsuite")
    assert len(one.findall("testcase")) == len(PROMISES)  # the steady state, and all but one
    (failure,) = two.iter("failure")
    assert failure.text is not None
    assert failure.text.splitlines() == [
        "seed 7: nuki: complete: 2 lost",
        "again: doorfleet-sim chaos two --seeds 7",
    ]
    assert (root.get("failures"), one.get("failures")) == ("1", "0")


@pytest.mark.parametrize("broken", [False, True])
def test_a_journal_has_what_readers_of_the_chaos_toolkit_look_for(broken: bool) -> None:
    journal = toolkit_journal.of(report("one", 1, broken=broken))

    assert (journal["status"], journal["deviated"]) == ("completed", broken)
    assert journal["experiment"]["steady-state-hypothesis"]["probes"][0]["tolerance"] is True
    assert [one["type"] for one in journal["experiment"]["method"]] == ["action"]
    (run,) = journal["run"]
    assert run["activity"]["name"] == "nuki: hang"
    assert (run["status"], run["start"]) == ("succeeded", "2026-01-05T00:01:00")
    assert journal["rollbacks"][0]["start"] == "2026-01-05T00:02:00"
    after = journal["steady_states"]["after"]
    assert after["steady_state_met"] is not broken
    assert len(after["probes"]) == len(PROMISES) - 1
