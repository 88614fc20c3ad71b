"""A verdict in words."""

from fleet_sim.ledger import Tally
from fleet_sim.testing.verdict import Verdict


def tally(**sins: int) -> Tally:
    one = Tally(devices=2, events=7)
    for sin, count in sins.items():
        one.sin(sin, count, f"nuki/a motion: ['Idle'] {sin}")
    return one


def test_a_kept_promise_is_true_and_says_over_how_much() -> None:
    verdict = Verdict.of([], {"nuki": tally(), "ratgdo": tally()})

    assert verdict
    assert str(verdict) == "kept: every promise, over 14 events"


def test_a_broken_one_names_device_key_and_value() -> None:
    verdict = Verdict.of(["nuki: 2 lost"], {"nuki": tally(lost=2), "ratgdo": tally()})

    assert not verdict
    assert verdict.count("lost") == 2
    assert verdict.count("invented") == 0
    assert str(verdict) == "broken: nuki: 2 lost\n  lost 2: nuki/a motion: ['Idle'] lost"


def test_a_failed_assert_shows_one_line() -> None:
    verdict = Verdict.of(["nuki: 3 sins"], {"nuki": tally(lost=2, invented=1)})

    assert repr(verdict) == (
        "<broken: nuki: 3 sins; lost 2: nuki/a motion: ['Idle'] lost, and 1 more>"
    )
