"""Toxics that look at bytes alone."""

from fleet_sim.proxy.items import Sign


def test_without_toxics_all_leaves_as_it_came(course) -> None:
    sent = course().says(b"a").says(b"b", 5).ends(9)

    assert sent.all() == [(0, b"a"), (5, b"b"), (9, Sign.END)]


def test_latency_delays_everything_and_keeps_the_order(course, toxic) -> None:
    sent = course(toxic("latency", latency=100)).says(b"a", 0).says(b"b", 30).ends(31)

    assert sent.all() == [(100, b"a"), (130, b"b"), (130, Sign.END)]


def test_jitter_never_turns_the_order_round(course, toxic) -> None:
    sent = course(toxic("latency", latency=50, jitter=50))
    for number in range(100):
        sent.says(bytes([number]), number)

    times = [at_ms for at_ms, _ in sent.all()]

    assert sent.bytes == bytes(range(100))
    assert times == sorted(times)
    assert len(set(times)) > 10


def test_the_same_seed_draws_the_same_delays(course, toxic) -> None:
    def times(seed: int) -> list[int]:
        sent = course(toxic("latency", latency=50, jitter=50, seed=seed))
        for number in range(20):
            sent.says(b"x", number * 200)
        return [at_ms for at_ms, _ in sent.all()]

    assert times(7) == times(7) != times(8)


def test_bandwidth_lets_through_so_much_a_second(course, toxic) -> None:
    sent = course(toxic("bandwidth", rate=10)).says(bytes(5_000)).ends()

    assert [at_ms for at_ms, _ in sent.all()] == [100, 200, 300, 400, 500, 500]
    assert [len(item) for _, item in sent.left[:-1]] == [1_000] * 5


def test_bandwidth_0_holds_everything_until_it_is_taken_away(course, toxic) -> None:
    sent = course(toxic("bandwidth")).says(b"abc").ends()
    assert sent.until(10_000).left == []
    assert sent.flow.held == 3

    sent.arrange()

    assert sent.left == [(10_000, b"abc"), (10_000, Sign.END)]


def test_slow_close_delays_the_end_alone(course, toxic) -> None:
    sent = course(toxic("slow_close", delay=500)).says(b"a", 10).ends(20)

    assert sent.all() == [(10, b"a"), (520, Sign.END)]


def test_timeout_loses_all_and_closes_after_its_time(course, toxic) -> None:
    sent = course(toxic("timeout", timeout=300)).says(b"a", 10).says(b"b", 299)

    assert sent.all() == [(300, Sign.CLOSE)]


def test_timeout_0_closes_only_when_it_is_taken_away(course, toxic) -> None:
    sent = course(toxic("timeout")).says(b"a")
    assert sent.until(100_000).left == []

    sent.arrange()

    assert sent.left == [(100_000, Sign.CLOSE)]


def test_reset_peer_waits_for_somebody_to_speak(course, toxic) -> None:
    sent = course(toxic("reset_peer", timeout=50))
    assert sent.until(1_000).left == []

    sent.says(b"a", 2_000).says(b"b", 2_001)

    assert sent.all() == [(2_050, Sign.RESET)]


def test_slicer_cuts_within_its_limits_and_loses_nothing(course, toxic) -> None:
    data = bytes(range(256)) * 8
    sent = course(toxic("slicer", average_size=32, size_variation=8, delay=2_000)).says(data)

    sizes = [len(item) for _, item in sent.all()]

    assert sent.bytes == data
    assert all(24 <= size <= 40 for size in sizes[:-1])
    assert [at_ms for at_ms, _ in sent.left[:4]] == [0, 2, 4, 6]


def test_limit_data_closes_at_exactly_so_many_bytes(course, toxic) -> None:
    sent = course(toxic("limit_data", bytes=5)).says(b"abc", 1).says(b"defg", 2)

    assert sent.all() == [(1, b"abc"), (2, b"de"), (2, Sign.CLOSE)]


def test_half_open_hides_even_the_end(course, toxic) -> None:
    sent = course(toxic("half_open")).says(b"a").ends(5)

    assert sent.until(100_000).left == []


def test_toxics_work_one_after_the_other(course, toxic) -> None:
    late = toxic("latency", latency=100)

    sent = course(toxic("limit_data", bytes=2), late).says(b"abc").all()

    assert sent == [(100, b"ab"), (100, Sign.CLOSE)]


def test_what_a_toxic_held_back_goes_on_when_it_is_taken_away_or_changed(course, toxic) -> None:
    sent = course(toxic("latency", latency=60_000)).says(b"a").says(b"b", 5)

    sent.until(10).arrange(toxic("latency", latency=20))
    sent.says(b"c", 15)

    assert sent.all() == [(10, b"a"), (10, b"b"), (35, b"c")]


def test_taking_one_away_leaves_what_waits_in_the_others(course, toxic) -> None:
    first, second = toxic("latency", "one", latency=100), toxic("latency", "two", latency=200)
    sent = course(first, second).says(b"a").until(50)

    sent.arrange(second)

    assert sent.all() == [(250, b"a")]


def test_a_planned_end_goes_with_the_toxic_that_planned_it(course, toxic) -> None:
    sent = course(toxic("timeout", timeout=300)).until(200)

    sent.arrange(toxic("timeout", timeout=1_000))

    assert sent.all() == [(1_200, Sign.CLOSE)]
