"""A pause lasts as long as it should, or until somebody ends it."""

import asyncio

import pytest

from fleet_sim.clock import SimLoop
from vendors.wire.pause import pause


def lasts(wake_after_s: float | None, longest_ms: float) -> tuple[float, bool]:
    async def main() -> tuple[float, bool]:
        loop, wake = asyncio.get_running_loop(), asyncio.Event()
        if wake_after_s is not None:
            loop.call_later(wake_after_s, wake.set)
        await pause(wake, longest_ms)
        return loop.time(), wake.is_set()

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        return runner.run(main())


@pytest.mark.parametrize(("wake_after_s", "seconds"), [(None, 60.0), (5.0, 5.0), (90.0, 60.0)])
def test_it_ends_when_it_is_over_or_sooner_and_leaves_nothing_set(
    wake_after_s: float | None, seconds: float
) -> None:
    assert lasts(wake_after_s, 60_000) == (seconds, False)


def test_whoever_was_waked_before_does_not_wait() -> None:
    async def main() -> float:
        wake = asyncio.Event()
        wake.set()
        await pause(wake, 60_000)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        assert runner.run(main()) == 0.0


async def test_a_pause_that_is_cancelled_leaves_no_timer() -> None:
    wake = asyncio.Event()
    task = asyncio.create_task(pause(wake, 20))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.04)
    assert not wake.is_set()
