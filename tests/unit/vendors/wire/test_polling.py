"""Asking beside a vendor that also tells: an answer is never newer than its question."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from random import Random
from typing import Any

import pytest

from devices.twin import Twin
from fleet_sim.clock import SimLoop
from vendors.api import Frame
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.polling import Poller


class Rig:
    """A poller, a target that takes `takes_s` over its answer, and a cell that keeps it."""

    network: Any = None

    def __init__(self, *, takes_s: float = 1.0, interval_ms: int = 10_000) -> None:
        self.rng = Random(1)
        self.takes_s = takes_s
        self.interval_ms = interval_ms
        self.asked_ms: list[int] = []
        self.frames: list[Frame] = []
        self.told: list[str | None] = []
        self.failures: list[Exception] = []
        self.poller = Poller(
            self, self.ask, interval_ms=lambda: self.interval_ms, told=self.told.append
        )

    async def ask(self, asked_ms: int) -> Mapping[str, Sequence[Frame]]:
        self.asked_ms.append(asked_ms)
        await asyncio.sleep(self.takes_s)
        if self.failures:
            raise self.failures.pop(0)
        return {name: [Frame(f"http/{name}", b"%d" % asked_ms, asked_ms)] for name in "ab"}

    def sources(self) -> list[tuple[str, int]]:
        return [(frame.source, frame.received_at_ms) for frame in self.frames]

    # a `vendors.api.Port`

    def now_ms(self) -> int:
        return round(asyncio.get_running_loop().time() * 1_000)

    def offer(self, frames: Sequence[Frame], committed: Callable[[], None] | None) -> None:
        assert committed is None
        self.frames += frames

    def cursor(self, name: str) -> int | None:
        del name

    def link(self, *, up: bool, reason: str) -> None:
        del up, reason

    def twin(self, device: str) -> Twin | None:
        del device


def in_simulated_time(what: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(what())


def test_an_answer_is_as_old_as_its_question() -> None:
    async def story() -> None:
        rig = Rig(takes_s=3)
        await asyncio.sleep(5)
        await rig.poller.once()

        assert rig.sources() == [("http/a", 5_000), ("http/b", 5_000)]
        assert rig.told == [None]

    in_simulated_time(story)


def test_an_answer_older_than_a_push_is_dropped_and_asked_anew() -> None:
    async def story() -> None:
        rig = Rig(takes_s=1)
        asyncio.get_running_loop().call_later(0.5, rig.poller.touched, "a")
        await rig.poller.once()

        assert rig.sources() == [("http/b", 0), ("http/a", 1_000), ("http/b", 1_000)]

    in_simulated_time(story)


def test_a_push_before_the_question_or_after_the_answer_is_no_matter() -> None:
    async def story() -> None:
        rig = Rig(takes_s=1)
        rig.poller.touched("a")
        await rig.poller.once()
        rig.poller.touched("b")
        await rig.poller.once()

        assert rig.sources() == [
            ("http/a", 0), ("http/b", 0), ("http/a", 1_000), ("http/b", 1_000)
        ]  # fmt: skip

    in_simulated_time(story)


def test_a_push_of_a_device_that_is_not_asked_about_costs_nothing() -> None:
    async def story() -> None:
        rig = Rig(takes_s=1)
        asyncio.get_running_loop().call_later(0.5, rig.poller.touched, "stranger")
        await rig.poller.once()

        assert rig.asked_ms == [0]

    in_simulated_time(story)


def test_a_device_that_pushes_all_the_time_is_believed_and_not_asked_forever() -> None:
    async def story() -> None:
        rig = Rig(takes_s=1)
        for number in range(50):
            asyncio.get_running_loop().call_later(number / 4 + 0.1, rig.poller.touched, "a")
        await rig.poller.once()

        assert rig.asked_ms == [0, 1_000, 2_000]
        assert {frame.source for frame in rig.frames} == {"http/b"}

    in_simulated_time(story)


def test_whoever_asks_while_a_question_waits_to_leave_shares_its_answer() -> None:
    async def story() -> None:
        rig = Rig(takes_s=1)
        first = asyncio.create_task(rig.poller.once())
        await asyncio.sleep(0.5)  # its question has left: it may be too old for those who come now
        await asyncio.gather(*(rig.poller.once() for _ in range(10)), first)

        assert rig.asked_ms == [0, 1_000]

    in_simulated_time(story)


def test_whoever_shares_a_question_shares_its_failure() -> None:
    async def story() -> None:
        rig = Rig(takes_s=1)
        first = asyncio.create_task(rig.poller.once())
        await asyncio.sleep(0.5)
        asking = [asyncio.create_task(rig.poller.once()) for _ in range(3)]
        await first
        rig.failures = [NoReplyError("silence")]
        met = await asyncio.gather(*asking, return_exceptions=True)

        assert [type(each) for each in met] == [NoReplyError] * 3
        assert rig.asked_ms == [0, 1_000]

    in_simulated_time(story)


@pytest.mark.parametrize("failure", [NotSentError("nobody there"), NoReplyError("silence")])
def test_a_failure_is_told_and_raised_and_the_next_question_is_a_new_one(failure) -> None:
    async def story() -> None:
        rig = Rig()
        rig.failures = [failure]
        with pytest.raises(type(failure)):
            await rig.poller.once()
        await rig.poller.once()

        assert rig.told == [str(failure), None]
        assert len(rig.frames) == 2

    in_simulated_time(story)


def test_it_asks_again_and_again_whatever_it_meets_and_follows_its_interval() -> None:
    async def story() -> None:
        rig = Rig(takes_s=0, interval_ms=10_000)
        rig.failures = [NoReplyError("silence"), NotSentError("held")]
        running = asyncio.create_task(rig.poller.run())
        await asyncio.sleep(25)
        rig.interval_ms = 1_000
        await asyncio.sleep(10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

        first = rig.asked_ms[0]
        assert 0 <= first <= 1_000
        assert rig.asked_ms[:4] == [first, first + 10_000, first + 20_000, first + 30_000]
        assert rig.asked_ms[4] == first + 31_000
        assert rig.told[:3] == ["silence", "held", None]

    in_simulated_time(story)


def test_soon_is_now_and_not_forgotten_while_a_question_is_under_way() -> None:
    async def story() -> None:
        rig = Rig(takes_s=2, interval_ms=600_000)
        running = asyncio.create_task(rig.poller.run())
        await asyncio.sleep(1.5)
        rig.poller.soon()
        rig.poller.soon()
        await asyncio.sleep(60)
        again = list(rig.asked_ms)
        rig.poller.soon()
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

        assert len(again) == 2
        assert again[1] == again[0] + 2_000
        assert len(rig.asked_ms) == 3

    in_simulated_time(story)


def test_pollers_that_begin_together_do_not_ask_together() -> None:
    firsts = set()
    for seed in range(20):

        async def story(seed: int = seed) -> None:
            rig = Rig(takes_s=0)
            rig.rng = Random(seed)
            running = asyncio.create_task(rig.poller.run())
            await asyncio.sleep(2)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            firsts.add(rig.asked_ms[0])

        in_simulated_time(story)

    assert len(firsts) > 15
