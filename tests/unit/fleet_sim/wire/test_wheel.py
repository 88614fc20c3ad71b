"""Timers for many who are due seldom."""

from hypothesis import given
from hypothesis import strategies as st

from fleet_sim.wire.wheel import TICK_S, Wheel


def test_nobody_is_called_before_the_time_and_everybody_within_a_tick_of_it() -> None:
    wheel: Wheel[str] = Wheel(100.0)
    wheel.at(101.03, "door")

    assert list(wheel.due(101.0)) == []
    assert [who for _, who in wheel.due(101.03 + TICK_S)] == ["door"]
    assert list(wheel.due(200.0)) == []


def test_a_time_that_is_over_comes_with_the_next_tick() -> None:
    wheel: Wheel[str] = Wheel(100.0)
    wheel.at(3.0, "late")

    assert list(wheel.due(100.0)) == []
    assert [who for _, who in wheel.due(100.0 + 2 * TICK_S)] == ["late"]


def test_whoever_is_called_may_ask_for_another_turn_meanwhile() -> None:
    wheel: Wheel[str] = Wheel(0.0)
    wheel.at(0.5, "door")
    called = []
    for slot, who in wheel.due(2.0):
        called.append((slot, who))
        if len(called) < 3:
            wheel.at(1.0, who)

    assert [who for _, who in called] == ["door"] * 3
    assert len({slot for slot, _ in called}) == 3


def test_an_entry_is_known_by_its_slot() -> None:
    wheel: Wheel[str] = Wheel(0.0)
    first, second = wheel.at(0.4, "door"), wheel.at(0.9, "door")

    assert [slot for slot, _ in wheel.due(5.0)] == [first, second]


@given(st.lists(st.floats(0, 1_000), max_size=50), st.lists(st.floats(0, 1_100), max_size=20))
def test_everybody_is_called_once_and_never_early(wanted: list[float], turns: list[float]) -> None:
    wheel: Wheel[float] = Wheel(0.0)
    for when_s in wanted:
        wheel.at(when_s, when_s)

    called = []
    for now_s in [*sorted(turns), 2_000.0]:
        for _, when_s in wheel.due(now_s):
            assert when_s <= now_s + 1e-6
            called.append(when_s)

    assert sorted(called) == sorted(wanted)
