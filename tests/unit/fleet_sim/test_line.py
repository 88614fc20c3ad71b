"""What a slow link carries, in what order and how fast."""

from collections.abc import Callable
from typing import Any

import pytest

from fleet_sim.alone import SteppedAgenda
from fleet_sim.line import Line, Parcel, size_of
from vendors.http import HttpReply
from vendors.sim import Publish, Push, Reply, Webhook, WsClose, WsText


class Clock:
    """A time that is stepped through."""

    def __init__(self) -> None:
        self.agenda = SteppedAgenda(0)

    def now_ms(self) -> float:
        return float(self.agenda.now_ms)

    def later(self, wait_ms: float, what: Callable[[], None]) -> None:
        self.agenda.at(round(self.now_ms() + wait_ms), lambda _: what())


class Carried:
    """A line, and what came out of it when."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.came: list[tuple[float, bytes, float]] = []
        self.line = Line(self.clock, self._hand)

    def _hand(self, parcel: Parcel) -> None:
        assert isinstance(parcel.message, Publish)
        self.came.append((self.clock.now_ms(), parcel.message.payload, parcel.over_ms))

    def put(self, word: bytes, *given: Any, **more: Any) -> None:
        self.line.put(Publish("t", word), *given, **more)


def test_whoever_is_late_holds_up_whoever_comes_behind() -> None:
    it = Carried()
    it.put(b"a", 300)
    it.put(b"b", 100)
    assert (bool(it.line), it.line.since_ms, it.line.bytes) == (True, 0, 4)
    it.clock.agenda.step_to(1_000)

    assert it.came == [(300, b"a", 0), (300, b"b", 0)]
    assert (bool(it.line), it.line.bytes) == (False, 0)


def test_a_narrow_link_takes_one_after_the_other() -> None:
    it = Carried()
    it.put(b"a", 0, 100)
    it.clock.agenda.step_to(50)
    it.put(b"b", 0, 100)
    it.put(b"c", 500, 100)
    it.clock.agenda.step_to(2_000)

    assert it.came == [(100, b"a", 0), (200, b"b", 0), (650, b"c", 0)]


def test_what_trickles_leaves_at_its_first_byte_and_keeps_the_next_waiting() -> None:
    it = Carried()
    it.put(b"a", 100, 400, early=True)
    it.put(b"b", 0, 400, early=True)
    it.clock.agenda.step_to(450)
    assert (bool(it.line), it.line.since_ms) == (True, 0)
    it.clock.agenda.step_to(2_000)

    assert it.came == [(100, b"a", 400), (500, b"b", 400)]


def test_a_cut_takes_all_of_it() -> None:
    it = Carried()
    it.put(b"a", 100)
    it.line.clear()
    it.put(b"b", 500)
    it.clock.agenda.step_to(2_000)

    assert it.came == [(500, b"b", 0)]


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (Publish("a/b", b"open"), 7),
        (Reply(b"12345"), 5),
        (Push(b"12345", ("127.0.0.1", 1)), 5),
        (HttpReply(200, b"{}"), 2),
        (Webhook("http://127.0.0.1", b"{}"), 2),
        (WsText("peer", "hello"), 5),
        (WsClose("peer"), 0),
    ],
)
def test_a_message_is_as_long_as_what_it_says(message: Any, size: int) -> None:
    assert size_of(message) == size
