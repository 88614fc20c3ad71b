"""Who was hurt while others failed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fleet_sim.testing.blast import Failed, Health, Seen, harms
from fleet_sim.testing.verdict import Verdict

FAILED = (Failed("hang at all of nuki, 2.0 s", 1_000_000, 1_002_000),)


def told(at_ms: float, count: int, ms: float) -> list[tuple[int, float]]:
    """So many announcements, a ms apart, each so late."""
    return [(int(at_ms + n + ms), ms) for n in range(count)]


def seen(
    problems: Sequence[str] = (),
    evidence: Sequence[str] = (),
    health: Sequence[Health] = (),
    **latencies: Any,
) -> Seen:
    return Seen(Verdict(problems, evidence, {}), latencies, health, FAILED)


def found(what: Seen, *only: str, factor: float = 1.25) -> list[str]:
    return list(harms(what, only, factor))


def test_what_befell_the_broken_vendor_itself_is_no_harm() -> None:
    what = seen(
        ["nuki: 2 lost", "nuki: its cell is degraded: polls fail"],
        ["lost 2: nuki/1 lock_state: ['Locked']"],
        [Health(1_000_500, "nuki", "degraded", "polls fail")],
        nuki=told(999_000, 200, 5) + told(1_000_000, 200, 900),
    )

    assert found(what, "nuki") == []


def test_what_somebody_else_lost_is_told_with_its_evidence() -> None:
    evidence = ["lost 1: nuki/1 x: [1]", "invented 1: ratgdo/2 y: [1]", "lost 1: ratgdo/2 x: [2]"]

    assert found(seen(["nuki: 1 lost", "ratgdo: 1 lost"], evidence), "nuki") == [
        "ratgdo: 1 lost",
        "  lost 1: ratgdo/2 x: [2]",
    ]


def test_who_became_slow_is_told_with_both_figures_and_what_is_allowed() -> None:
    what = seen(ratgdo=told(999_000, 200, 10) + told(1_000_500, 200, 40))

    assert found(what, "nuki") == [
        "ratgdo: slow: p99 40 ms, before 10 ms, allowed are 14.5 ms",
    ]
    assert found(what, "nuki", factor=4) == []


def test_a_few_events_have_no_p99_but_none_of_them_may_be_late() -> None:
    few = told(999_000, 5, 10) + told(1_000_500, 5, 40)

    assert found(seen(ratgdo=few), "nuki") == []
    assert found(seen(ratgdo=[*few, (1_006_600, 5_100.0)]), "nuki") == [
        "ratgdo: slow: 1 event took more than 5 s"
    ]


def test_what_was_told_when_nothing_failed_any_more_is_not_counted() -> None:
    what = seen(ratgdo=told(999_000, 200, 10) + told(1_003_000, 200, 40))

    assert found(what, "nuki") == []
    assert what.figures("ratgdo", 1.25)["samples"] == [200, 0]


def test_how_slow_devices_were_to_introduce_themselves_is_nobodys_measure() -> None:
    what = seen(ratgdo=told(990_000, 50, 900) + told(999_000, 200, 10))

    assert replace(what, since_ms=998_000).figures("ratgdo", 1.25)["samples"] == [200, 0]


@pytest.mark.parametrize(
    ("health", "said"),
    [
        (
            Health(1_000_500, "tedee", "degraded", "slow"),
            ["tedee: its cell was degraded after 0.5"],
        ),
        (Health(999_500, "tedee", "degraded", "before"), []),
        (Health(1_000_500, "tedee", "up", ""), []),
        (Health(1_000_500, "tedee", "starting", ""), []),
    ],
)
def test_a_cell_that_was_not_well_meanwhile_is_told(health: Health, said: list[str]) -> None:
    assert [line.partition(" s: ")[0] for line in found(seen(health=[health]), "nuki")] == said
