"""Each oracle has teeth: a run that breaks its promise, and no other, is caught by it."""

from dataclasses import replace
from typing import Any

import pytest

from fleet_sim.chaos.experiment import Experiment
from fleet_sim.chaos.oracles import PROMISES, Case
from fleet_sim.chaos.seen import Ear, Said, Seen, Told
from fleet_sim.chaos.verdict import HELD, VIOLATED, judge

EXPERIMENT = Experiment.model_validate(
    {
        "name": "small",
        "hours": 0.5,
        "fleet": {"ratgdo": 2, "nuki": 2},
        "acts": [{"at": 600, "for": 600, "vendor": "nuki", "fault": "hang"}],
    }
)
BUCKETS = 18


def vendor(**figures: int) -> dict[str, int]:
    sins = dict.fromkeys(("lost", "duplicated", "reordered", "invented"), 0)
    return {"devices": 2, "events": 300, **sins, **figures}


def report(**changes: Any) -> dict[str, Any]:
    line = {"connected": [2] * BUCKETS, "events": [1] * BUCKETS}
    return {
        "scenario": "small",
        "description": "",
        "seed": 1,
        "simulated_s": 1800.0,
        "vendors": {"ratgdo": vendor(), "nuki": vendor()},
        "cells": {
            name: {"state": "up", "reason": "", "lag_rows": {"mqtt": 0}}
            for name in ("ratgdo", "nuki")
        },
        "timeline": {"bucket_s": 100, "vendors": {"ratgdo": line, "nuki": line}},
        "health": [],
        "restarts": {"ratgdo": 0, "nuki": 0},
        "maxima": {"ratgdo": {"waiting": 3}, "nuki": {"waiting": 3}},
        "dead_letters": {"ratgdo": 0, "nuki": 0},
        "requests": {},
        "commands": [],
        "actuations": [],
        "evidence": [],
        **changes,
    }


SAID = [Said(float(at_s), "one", "lock.changed", bytes([at_s % 256])) for at_s in range(0, 1800, 6)]
TOLD = [Told(float(at_s), 1.0) for at_s in range(0, 1800, 6)]


def seen(**changes: Any) -> Seen:
    both = ("ratgdo", "nuki")
    usual: dict[str, Any] = {
        "report": report(),
        "told": dict.fromkeys(both, TOLD),
        "said": dict.fromkeys(both, SAID),
    }
    return Seen(**{**usual, **changes})


def verdict(run: Seen, experiment: Experiment = EXPERIMENT) -> dict[str, Any]:
    return judge(Case(experiment, run, seen()))


def broken(run: Seen, experiment: Experiment = EXPERIMENT) -> set[tuple[str, str]]:
    return {
        (breach["vendor"], breach["promise"]) for breach in verdict(run, experiment)["breaches"]
    }


def with_vendor(name: str, **figures: int) -> Seen:
    return seen(report=report(vendors={**report()["vendors"], name: vendor(**figures)}))


def health(cell: str, state: str, at_s: float) -> dict[str, Any]:
    return {"cell": cell, "state": state, "reason": "vendor: gone", "at_s": at_s}


def test_a_run_like_its_twin_holds_and_nothing_is_unseen_that_could_be_seen() -> None:
    found = verdict(seen())

    assert found["verdict"] == HELD
    words = {promise: one["word"] for promise, one in found["matrix"]["ratgdo"].items()}
    assert words == {**dict.fromkeys([p.name for p in PROMISES], "kept"), "gentle": "unseen"}


SLOW = [Told(at_s, 9.0 if 600 <= at_s < 1200 else 1.0) for at_s, _ in TOLD]
STILL_LATE = [Told(1100.0, 400_000.0)]

CAUGHT: list[tuple[str, Seen, set[tuple[str, str]]]] = [
    ("complete", with_vendor("ratgdo", lost=1), {("ratgdo", "complete")}),
    ("complete, of who is struck", with_vendor("nuki", lost=1), {("nuki", "complete")}),
    ("once", with_vendor("ratgdo", duplicated=1), {("ratgdo", "once")}),
    ("in order", with_vendor("nuki", reordered=1), {("nuki", "in order")}),
    ("true", with_vendor("nuki", invented=1), {("nuki", "true")}),
    (
        "unchanged, another word",
        seen(said={"ratgdo": [*SAID[:-1], SAID[-1]._replace(mark=b"?")], "nuki": SAID}),
        {("ratgdo", "unchanged")},
    ),
    (
        "unchanged, a word less",
        seen(said={"ratgdo": SAID[:-1], "nuki": SAID}),
        {("ratgdo", "unchanged")},
    ),
    ("fast", seen(told={"ratgdo": SLOW, "nuki": TOLD}), {("ratgdo", "fast")}),
    (
        "up, degraded",
        seen(report=report(health=[health("ratgdo", "degraded", 700), health("ratgdo", "up", 9)])),
        {("ratgdo", "up")},
    ),
    (
        "up, restarted",
        seen(report=report(restarts={"ratgdo": 1, "nuki": 0})),
        {("ratgdo", "up")},
    ),
    (
        "up, restarted though only degraded was allowed",
        seen(report=report(restarts={"ratgdo": 0, "nuki": 1})),
        {("nuki", "up")},
    ),
    (
        "doors",
        seen(
            report=report(
                actuations=[{"device": "nuki/1", "at_s": 9.0, "changes": {"motion": "Unlocking"}}]
            )
        ),
        {("nuki", "doors")},
    ),
    ("committed, other bytes", seen(rewritten={"nuki": 1}), {("nuki", "committed")}),
    (
        "committed, and still owed",
        seen(
            report=report(
                cells={
                    **report()["cells"],
                    "nuki": {"state": "up", "reason": "", "lag_rows": {"mqtt": 2}},
                }
            )
        ),
        {("nuki", "committed")},
    ),
    ("kept, none at all", seen(torn={"nuki": {"a": 3}}), {("nuki", "kept")}),
    (
        "kept, fewer than were found",
        seen(
            report=report(
                cells={
                    **report()["cells"],
                    "nuki": {"state": "up", "reason": "", "dead_letters": 3},
                },
                dead_letters={"ratgdo": 0, "nuki": 2},
            )
        ),
        {("nuki", "kept")},
    ),
    (
        "bounded",
        seen(report=report(maxima={"ratgdo": {"waiting": 10_001}})),
        {("ratgdo", "bounded")},
    ),
    (
        "gentle",
        seen(report=report(requests={"nuki": [600.0 + n / 2 for n in range(1200)]})),
        {("nuki", "gentle")},
    ),
    (
        "converged, news",
        seen(told={"ratgdo": TOLD, "nuki": [*TOLD, *STILL_LATE]}),
        {("nuki", "converged")},
    ),
    (
        "converged, cell",
        seen(report=report(health=[health("nuki", "degraded", 700)])),
        {("nuki", "converged")},
    ),
]


@pytest.mark.parametrize(("name", "run", "expected"), CAUGHT, ids=[each[0] for each in CAUGHT])
def test_what_breaks_a_promise_is_caught_by_its_oracle_alone(
    name: str, run: Seen, expected: set[tuple[str, str]]
) -> None:
    assert broken(run) == expected


def test_every_oracle_is_seen_to_catch_something() -> None:
    caught = {promise for _, run, _ in CAUGHT for _, promise in broken(run)}

    assert caught == {promise.name for promise in PROMISES}


def test_what_the_blast_radius_allows_is_no_breach() -> None:
    wide = EXPERIMENT.model_copy(
        update={"blast_radius": {"nuki": ("late", "degraded", "restarts", "lost_state")}}
    )
    restarted = seen(report=report(restarts={"ratgdo": 0, "nuki": 4}))
    lost = replace(with_vendor("nuki", lost=2), lost_states={"nuki": 2})
    lost_more = replace(with_vendor("nuki", lost=2), lost_states={"nuki": 1})

    assert verdict(restarted, wide)["matrix"]["nuki"]["up"]["word"] == "allowed"
    assert broken(lost, wide) == set()
    assert broken(lost_more, wide) == {("nuki", "complete")}


def test_a_steady_state_that_did_not_hold_before_the_acts_is_a_violation() -> None:
    quiet = seen(said={"ratgdo": [one for one in SAID if one.at_s > 600], "nuki": SAID})

    found = judge(Case(EXPERIMENT, quiet, quiet))

    assert found["verdict"] == VIOLATED
    assert found["problems"] == ["steady state: ratgdo: events a minute: 0.0, wanted 0.5 or more"]


def test_the_times_are_told_from_the_acts_on() -> None:
    said = [health("nuki", "degraded", 612.0), health("nuki", "up", 1230.0)]
    slow = [Told(at_s, 9.0 if 600 <= at_s < 700 else 1.0) for at_s, _ in TOLD]
    run = seen(report=report(health=said), told={"ratgdo": slow, "nuki": TOLD})

    found = verdict(run)["times"]

    assert found["detect_s"] == 12.0
    assert found["contain_s"] == pytest.approx(96.0, abs=0.1)
    assert found["recover_s"] == 30.0


def test_in_a_run_that_hurries_objectives_count_in_seconds_that_were_lived() -> None:
    said = [health("nuki", "degraded", 612.0), health("nuki", "up", 1230.0)]

    found = verdict(seen(report=report(health=said), hurry=10.0))["times"]

    assert (found["detect_s"], found["recover_s"]) == (1.2, 3.0)


def test_an_event_that_comes_again_is_heard_once_and_compared_byte_by_byte() -> None:
    ear = Ear()
    first = b'{"id":"1","type":"lock.changed","data":{"vendor":"nuki","device":"a","changes":{}}}'

    for payload in (first, first, first.replace(b"{}", b"{ }")):
        ear.hear(payload, 1_000.0)
    ear.hear(b'{"cell":"nuki","state":"up","reason":""}', 2_000.0)

    assert [len(said) for said in ear.said.values()] == [1]
    assert ear.rewritten == {"nuki": 1}
    assert [at_ms for at_ms, _ in ear.health] == [2_000.0]
