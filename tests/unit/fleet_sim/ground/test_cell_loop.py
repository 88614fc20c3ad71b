"""A cell's own loop: it stands still or dies, and nobody else does."""

import asyncio

import pytest

from fleet_sim.clock import SimLoop
from fleet_sim.ground.cell_loop import CellLoop


def simulated(story: object) -> None:
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(story)  # type: ignore[arg-type]  # a coroutine


async def ticking(ticks: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1)
        ticks.append(loop.time())


def test_who_stands_still_does_what_became_due_when_it_goes_on() -> None:
    async def story() -> None:
        loop, ticks, others = CellLoop(), list[float](), list[float]()
        loop.create_task(ticking(ticks))
        other = asyncio.create_task(ticking(others))
        await asyncio.sleep(2.5)

        loop.stand_still()
        await asyncio.sleep(5)
        assert ticks == [1, 2]
        assert others == [1, 2, 3, 4, 5, 6, 7]

        loop.go_on()
        await asyncio.sleep(2)
        assert ticks == [1, 2, 7.5, 8.5]
        await loop.die()
        other.cancel()

    simulated(story())


def test_a_timer_that_is_called_off_when_it_goes_on_does_not_fire() -> None:
    async def story() -> None:
        loop, said = CellLoop(), list[str]()
        late = loop.call_at(3, said.append, "late")
        loop.call_at(2, late.cancel)
        loop.call_at(4, said.append, "last")

        loop.stand_still()
        await asyncio.sleep(9)
        loop.go_on()
        await asyncio.sleep(1)
        assert said == ["last"]

    simulated(story())


def test_who_dies_ends_every_task_even_one_that_waits_for_another() -> None:
    async def story() -> None:
        loop, ended = CellLoop(), list[str]()

        async def child() -> None:
            try:
                await asyncio.sleep(1_000)
            finally:
                ended.append("child")

        async def parent() -> None:
            task = asyncio.create_task(child())
            try:
                await asyncio.sleep(1_000)
            finally:
                await asyncio.wait([task])
                ended.append("parent")

        loop.create_task(parent())
        await asyncio.sleep(1)
        loop.stand_still()
        await loop.die()
        assert ended == ["child"]  # the parent was told to end a second time, in its last wait
        assert asyncio.get_running_loop().time() == pytest.approx(1)

    simulated(story())


def test_what_it_asks_of_the_world_is_done_in_the_worlds_loop_and_answered_in_its_own() -> None:
    async def story() -> None:
        loop, outer = CellLoop(), asyncio.get_running_loop()

        async def of_the_world() -> str:
            assert asyncio.get_running_loop() is outer
            await asyncio.sleep(3)
            return "answer"

        async def asks() -> str:
            answer = await loop.out(of_the_world())
            assert asyncio.get_running_loop() is loop
            return answer

        assert await loop.within(asks()) == "answer"
        assert outer.time() == pytest.approx(3)

    simulated(story())


def test_a_call_into_one_that_dies_is_cancelled() -> None:
    async def story() -> None:
        loop = CellLoop()

        async def never() -> None:
            await asyncio.sleep(1_000)

        calling = asyncio.ensure_future(loop.within(never()))
        await asyncio.sleep(1)
        await loop.die()
        with pytest.raises(asyncio.CancelledError):
            await calling

    simulated(story())


def test_an_error_of_the_worlds_is_the_askers() -> None:
    async def story() -> None:
        loop = CellLoop()

        async def fails() -> None:
            raise OSError("nobody listens")

        with pytest.raises(OSError, match="nobody listens"):
            await loop.within(loop.out(fails()))

    simulated(story())
