"""A loop whose time jumps: days pass in milliseconds, in order, and never go back."""

import asyncio
import math
import time

import pytest

from fleet_sim import clock
from fleet_sim.clock import SimClock, SimLoop


def run(main):
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        return runner.run(main)


def test_a_day_of_waiting_takes_no_time() -> None:
    async def day() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    began_s = time.monotonic()

    assert run(day()) == pytest.approx(86_400)
    assert time.monotonic() - began_s < 5


def test_waits_end_in_their_order_and_at_their_time() -> None:
    async def main() -> list[tuple[str, float]]:
        ended: list[tuple[str, float]] = []

        async def wait(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            ended.append((name, asyncio.get_running_loop().time()))

        await asyncio.gather(wait("c", 3600), wait("a", 0.5), wait("b", 60))
        return ended

    assert run(main()) == [("a", 0.5), ("b", 60.0), ("c", 3600.0)]


def test_a_timeout_strikes_at_its_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(30)


def test_work_that_takes_turns_takes_no_time() -> None:
    async def main() -> float:
        for _ in range(100):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert run(main()) == 0.0


def test_work_without_end_is_an_error_and_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_TURNS_MAX", 1_000)

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def again(left: int) -> None:
            if left:
                loop.call_soon(again, left - 1)

        again(1_500)  # longer than is waited for it, and then the loop can be closed
        await asyncio.sleep(1)

    with pytest.raises(RuntimeError, match="livelock: no end of work at 0"):
        run(main())


def test_waiting_for_nothing_is_an_error_and_no_hang() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    loop = SimLoop()
    task = loop.create_task(main())
    with pytest.raises(RuntimeError, match="deadlock"):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


def test_the_wall_clock_follows_the_loop() -> None:
    async def main() -> list[int]:
        clock = SimClock(1_767_571_200_000, asyncio.get_running_loop())
        seen = [clock.now_ms()]
        for seconds in (0.0004, 0.0004, 1.5):
            await asyncio.sleep(seconds)
            seen.append(clock.now_ms())
        return [at_ms - 1_767_571_200_000 for at_ms in seen]

    assert run(main()) == [0, 0, 1, 1501]


def test_a_century_passes() -> None:
    """A float that counts seconds knows no nanoseconds after half a year."""
    seconds = 100 * 365 * 86_400

    async def main() -> float:
        await asyncio.sleep(seconds)
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(seconds, abs=1e-5)


def test_of_two_timers_for_the_same_time_the_first_that_was_asked_for_comes_first() -> None:
    async def story() -> list[int]:
        loop, said = asyncio.get_running_loop(), list[int]()
        for number in range(20):
            loop.call_at(1.0, said.append, number)
            loop.call_at(0.5 + number / 100, said.append, -1)  # others, who must not matter
        await asyncio.sleep(2)
        return [number for number in said if number >= 0]

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        assert runner.run(story()) == list(range(20))


def test_what_is_to_happen_at_one_moment_does_not_depend_on_who_else_waits() -> None:
    """A tenth of a second ten times, and a second once: equal but in floats."""

    async def story(*others: float) -> list[str]:
        loop, said = asyncio.get_running_loop(), list[str]()

        async def steps() -> None:
            for _ in range(10):
                await asyncio.sleep(0.1)
            said.append("steps")

        async def jump() -> None:
            await asyncio.sleep(1.0)
            said.append("jump")

        for each in others:
            loop.call_later(each, said.__len__)
        await asyncio.sleep(1502.12)
        await asyncio.gather(steps(), jump())
        return said

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        alone = runner.run(story())
    for others in ((0.1,), (1502.12 + 0.2999999,), (1502.37, 1502.6199999999), (7.7, 1503.02)):
        with asyncio.Runner(loop_factory=SimLoop) as runner:
            assert runner.run(story(*others)) == alone


def test_whoever_waits_for_less_than_a_tick_gets_on() -> None:
    async def story() -> int:
        loop, turns = asyncio.get_running_loop(), 0
        deadline_s = loop.time() + 10.000_000_3
        while (left_s := deadline_s - loop.time()) > 0:
            await asyncio.sleep(left_s)
            turns += 1
        return turns

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        assert runner.run(story()) == 1


def test_no_timer_rings_early_however_its_time_was_worked_out() -> None:
    async def story() -> list[float]:
        loop, early = asyncio.get_running_loop(), list[float]()

        def ring(when: float) -> None:
            if loop.time() < when:
                early.append(when)

        for ms in range(1_500_000, 1_502_000):
            when = ms / 1_000
            for each in (math.nextafter(when, 0), when, math.nextafter(when, math.inf)):
                loop.call_at(each, ring, each)
        await asyncio.sleep(2_000)
        return early

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        assert runner.run(story()) == []
