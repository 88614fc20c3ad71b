"""The thread behind a test: asked from another one, bounded, and gone when it is closed."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from fleet_sim.testing.backstage import Backstage, BackstageError


@pytest.fixture
def backstage() -> Iterator[Backstage]:
    one = Backstage()
    yield one
    one.close()


def test_it_runs_elsewhere_and_gives_back_what_came_of_it(backstage: Backstage) -> None:
    async def where() -> str:
        return threading.current_thread().name

    assert backstage.run(where(), 5) == "doorfleet"
    assert backstage.call(lambda: threading.current_thread().name) == "doorfleet"


def test_an_error_there_is_raised_here(backstage: Backstage) -> None:
    with pytest.raises(ZeroDivisionError):
        backstage.call(lambda: 1 // 0)


def test_a_timeout_of_its_own_is_not_mistaken_for_ours(backstage: Backstage) -> None:
    async def late() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(30)

    with pytest.raises(TimeoutError):
        backstage.run(late(), 5)


def test_what_takes_too_long_is_cancelled_and_named(backstage: Backstage) -> None:
    ended = threading.Event()

    async def long() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(BackstageError, match=r"making tea took longer than 0\.05 s"):
        backstage.run(long(), 0.05, "making tea")
    assert ended.wait(5)


def test_it_does_not_wait_for_itself(backstage: Backstage) -> None:
    def ask() -> None:
        backstage.call(lambda: None)

    with pytest.raises(RuntimeError, match="fleet's own thread"):
        backstage.call(ask)


def test_it_may_be_asked_by_an_async_test_too(backstage: Backstage) -> None:
    async def main() -> int:
        return await asyncio.to_thread(backstage.call, lambda: 7)

    assert asyncio.run(main()) == 7


def test_no_thread_is_left_when_it_is_closed() -> None:
    before = threading.active_count()
    one = Backstage()
    assert threading.active_count() == before + 1

    one.close()
    one.close()

    assert threading.active_count() == before
