import pytest

from vendors.wire.breaker import Breaker, BreakerState

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def broken(now_ms: int = 0) -> Breaker:
    """A breaker that has just opened, for a second."""
    breaker = Breaker(failures_max=3, open_ms=1_000, open_ms_max=4_000)
    for _ in range(3):
        breaker.begin(now_ms)
        breaker.failed(now_ms)
    return breaker


def probe(breaker: Breaker, now_ms: int) -> None:
    """The one request that is let through fails."""
    assert breaker.wait_ms(now_ms) == 0
    breaker.begin(now_ms)
    breaker.failed(now_ms)


def test_it_opens_at_the_last_failure_of_a_row_and_not_before() -> None:
    breaker = Breaker(failures_max=3)

    states = []
    for _ in range(3):
        states.append(breaker.state(0))
        breaker.begin(0)
        breaker.failed(0)

    assert states == [CLOSED] * 3
    assert breaker.state(0) is OPEN


def test_it_counts_how_often_it_opened_failed_probes_included() -> None:
    breaker = broken()
    probe(breaker, 1_000)
    breaker.failed(1_001)  # it is open already
    probe(breaker, 3_000)
    breaker.succeeded()

    assert breaker.opened == 3


def test_a_success_in_between_begins_the_row_anew() -> None:
    breaker = Breaker(failures_max=3)
    for _ in range(2):
        breaker.failed(0)

    breaker.succeeded()
    breaker.failed(0)
    breaker.failed(0)

    assert breaker.state(0) is CLOSED


@pytest.mark.parametrize(
    ("now_ms", "state", "wait_ms"),
    [(0, OPEN, 1_000), (999, OPEN, 1), (1_000, HALF_OPEN, 0), (10**9, HALF_OPEN, 0)],
)
def test_nobody_asks_until_the_pause_is_over(now_ms, state, wait_ms) -> None:
    breaker = broken()

    assert (breaker.state(now_ms), breaker.wait_ms(now_ms)) == (state, wait_ms)


def test_one_probe_is_let_through_and_everybody_else_waits() -> None:
    breaker = broken()
    breaker.begin(1_000)

    assert breaker.wait_ms(1_001) > 0


def test_a_probe_that_succeeds_closes_it_and_the_next_pause_is_a_short_one() -> None:
    breaker = broken()
    probe(breaker, 1_000)
    breaker.begin(3_000)
    breaker.succeeded()

    assert (breaker.state(3_000), breaker.wait_ms(3_000), breaker.failures) == (CLOSED, 0, 0)
    for _ in range(3):
        breaker.failed(4_000)
    assert breaker.wait_ms(4_000) == 1_000


def test_each_probe_that_fails_doubles_the_pause_up_to_the_longest() -> None:
    breaker, now_ms, pauses = broken(), 0, []

    for _ in range(4):
        now_ms += breaker.wait_ms(now_ms)
        probe(breaker, now_ms)
        pauses.append(breaker.wait_ms(now_ms))

    assert pauses == [2_000, 4_000, 4_000, 4_000]


def test_a_probe_that_was_given_up_makes_room_for_another() -> None:
    breaker = broken()
    breaker.begin(1_000)

    breaker.withdrawn()

    assert breaker.wait_ms(1_001) == 0
    assert breaker.state(1_001) is HALF_OPEN


def test_what_was_under_way_when_it_opened_lengthens_no_pause() -> None:
    breaker = broken()

    for _ in range(20):
        breaker.failed(10)

    assert breaker.wait_ms(10) == 990


def test_an_answer_to_what_was_under_way_closes_it() -> None:
    breaker = broken()

    breaker.succeeded()

    assert breaker.state(10) is CLOSED
