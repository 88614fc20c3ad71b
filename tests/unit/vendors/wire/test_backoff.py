from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vendors.wire.backoff import Backoff

BACKOFF = Backoff(base_ms=200, cap_ms=30_000)


@pytest.mark.parametrize(
    ("attempt", "ceiling_ms"), [(0, 200), (1, 400), (5, 6_400), (8, 30_000), (10**9, 30_000)]
)
def test_the_ceiling_doubles_up_to_the_cap(attempt, ceiling_ms):
    assert BACKOFF.ceiling_ms(attempt) == ceiling_ms


@given(seed=st.integers(), attempt=st.integers(0, 100))
def test_a_wait_is_anything_up_to_its_ceiling(seed, attempt):
    assert 0 <= BACKOFF.delay_ms(attempt, Random(seed)) <= BACKOFF.ceiling_ms(attempt)


def test_the_same_seed_waits_the_same():
    def waits() -> list[int]:
        rng = Random(7)
        return [BACKOFF.delay_ms(attempt, rng) for attempt in range(20)]

    assert waits() == waits()


def test_clients_that_lost_one_broker_do_not_come_back_together():
    waits = [BACKOFF.delay_ms(5, Random(seed)) for seed in range(200)]

    assert min(waits) < 400
    assert max(waits) > 6_000
    assert len(set(waits)) > 150


@given(seed=st.integers())
def test_the_longest_wait_is_never_short(seed):
    assert 15_000 <= BACKOFF.longest_ms(Random(seed)) <= 30_000


@pytest.mark.parametrize(("base_ms", "cap_ms"), [(0, 10), (-1, 10), (11, 10)])
def test_a_backoff_that_is_none_is_refused(base_ms, cap_ms):
    with pytest.raises(ValueError, match="base_ms"):
        Backoff(base_ms, cap_ms)
