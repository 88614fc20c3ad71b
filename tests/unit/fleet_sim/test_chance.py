"""Chance is born once, by name: the same everywhere, and nobody's is anybody else's."""

import itertools
import os
import random
import subprocess
import sys
from collections import Counter
from math import sqrt
from statistics import fmean, pstdev

import pytest

from fleet_sim.chance import Stream, generator, stream

MANY = 40_000


def chi_square(counts: Counter[int], cells: int) -> float:
    """How far counts are from even, in standard deviations of what chance does; 0 on average."""
    expected = counts.total() / cells
    found = sum((counts[cell] - expected) ** 2 / expected for cell in range(cells))
    return (found - (cells - 1)) / sqrt(2 * (cells - 1))


def test_a_stream_is_known_for_all_time() -> None:
    assert [stream(7, "nuki/39000001").randrange(1000) for _ in range(2)] == [601, 601]
    # The published reference output of SplitMix64 for the seed 1234567.
    assert [Stream(1234567).getrandbits(64)] == [6457827717110365317]


def test_streams_differ_by_name_and_by_seed() -> None:
    drawn = {stream(seed, name).random() for seed in range(10) for name in ("a", "b", "a/b", "1/a")}

    assert len(drawn) == 40


def test_a_stream_is_the_same_whatever_the_process_hashes_by() -> None:
    code = "from fleet_sim.chance import stream; print(stream(1, 'x').random())"

    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(said) == 1


def test_a_stream_weighs_little() -> None:
    made = stream(1, "x")

    assert sys.getsizeof(made) + sys.getsizeof(made.state) < 100


def test_numbers_between_0_and_1_are_even_and_do_not_follow_from_each_other() -> None:
    drawn = [chance.random() for chance in [stream(3, "x")] for _ in range(MANY)]
    pairs = Counter(
        int(one * 16) * 16 + int(other * 16) for one, other in itertools.pairwise(drawn)
    )

    assert 0 <= min(drawn) < max(drawn) < 1
    assert abs(chi_square(Counter(int(each * 100) for each in drawn), 100)) < 4
    assert abs(chi_square(pairs, 256)) < 4


@pytest.mark.parametrize("draw", [0, 1, 7])
def test_the_streams_of_neighbours_have_nothing_to_do_with_each_other(draw: int) -> None:
    """The same draw of device after device is as good as one stream."""

    def nth(name: str) -> float:
        chance = stream(1, name)
        return [chance.random() for _ in range(draw + 1)][-1]

    drawn = [nth(f"ratgdo/ratgdo-{number:04d}") for number in range(10_000)]
    pairs = Counter(
        int(one * 10) * 10 + int(other * 10) for one, other in itertools.pairwise(drawn)
    )

    assert abs(chi_square(Counter(int(each * 100) for each in drawn), 100)) < 4
    assert abs(chi_square(pairs, 100)) < 4


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1_000])
def test_each_of_so_many_numbers_is_as_likely(count: int) -> None:
    chance = stream(5, f"{count}")
    drawn = Counter(chance.randrange(count) for _ in range(MANY))

    assert set(drawn) == set(range(count))
    assert count == 1 or abs(chi_square(drawn, count)) < 4


@pytest.mark.parametrize("count", [3 << 62, (1 << 64) + 1, 10**30])
def test_big_numbers_are_not_bent_towards_the_small_ones(count: int) -> None:
    chance = stream(5, "big")
    drawn = Counter(chance.randrange(count) * 3 // count for _ in range(MANY))

    assert abs(chi_square(drawn, 3)) < 4


def test_both_ends_are_in_and_the_end_of_a_range_is_not() -> None:
    chance = stream(1, "ends")

    assert {chance.randint(-1, 1) for _ in range(100)} == {-1, 0, 1}
    assert {chance.randrange(5, 7) for _ in range(100)} == {5, 6}
    assert {chance.randint(4, 4) for _ in range(3)} == {4}
    assert all(2.5 <= chance.uniform(2.5, 3) < 3 for _ in range(100))
    for nothing in (
        lambda: chance.randrange(0),
        lambda: chance.randint(2, 1),
        lambda: chance.choice([]),
    ):
        with pytest.raises(ValueError, match="one of"):
            nothing()


def test_bits_and_bytes_are_as_wide_as_asked_for() -> None:
    chance = stream(1, "bits")

    assert all(chance.getrandbits(width) < 1 << width for width in (1, 8, 63, 64, 65, 200))
    assert max(chance.getrandbits(200) for _ in range(50)).bit_length() > 195
    assert [len(chance.randbytes(count)) for count in (0, 1, 9)] == [0, 1, 9]
    assert abs(chi_square(Counter(stream(1, "b").randbytes(MANY)), 256)) < 4


def test_choices_go_by_weight_and_samples_by_none() -> None:
    chance = stream(1, "choice")
    weighed = Counter(chance.choices("abc", [1, 0, 3], k=MANY))
    samples = Counter(tuple(chance.sample(range(3), 2)) for _ in range(MANY))

    assert weighed["b"] == 0
    assert weighed["c"] / weighed["a"] == pytest.approx(3, rel=0.05)
    assert set(chance.choices("ab", k=50)) == set("ab")
    assert len(samples) == 6
    assert max(samples.values()) / min(samples.values()) < 1.1
    with pytest.raises(ValueError, match="4 of 3"):
        chance.sample("abc", 4)
    with pytest.raises(ValueError, match="2 weights for 3"):
        chance.choices("abc", [1, 2])


def test_every_order_is_as_likely() -> None:
    chance, orders = stream(1, "order"), Counter[str]()
    for _ in range(MANY):
        cards = list("abc")
        chance.shuffle(cards)
        orders["".join(cards)] += 1

    assert len(orders) == 6
    assert max(orders.values()) / min(orders.values()) < 1.1


def test_waits_and_deviations_are_as_the_library_has_them() -> None:
    chance, witness = stream(1, "waits"), random.Random(1)
    waits = [chance.expovariate(0.5) for _ in range(MANY)]
    seen = [witness.expovariate(0.5) for _ in range(MANY)]
    normal = [chance.gauss(10, 2) for _ in range(MANY)]

    assert fmean(waits) == pytest.approx(fmean(seen), rel=0.03)
    assert pstdev(waits) == pytest.approx(pstdev(seen), rel=0.05)
    assert sorted(waits)[MANY // 2] == pytest.approx(sorted(seen)[MANY // 2], rel=0.04)
    assert (fmean(normal), pstdev(normal)) == pytest.approx((10, 2), rel=0.02)
    assert sum(abs(each - 10) < 2 for each in normal) / MANY == pytest.approx(0.6827, abs=0.01)


def test_a_generator_is_the_librarys_own_and_by_name_too() -> None:
    one, again, other = (generator(1, name) for name in ("cell/a", "cell/a", "cell/b"))

    assert isinstance(one, random.Random)
    assert one.random() == again.random() != other.random()
