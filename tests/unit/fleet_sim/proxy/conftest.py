"""One direction of a connection, played in a time of its own."""

from collections.abc import Callable, Iterable, Sequence
from math import inf

import pytest

from fleet_sim import chance
from fleet_sim.proxy import sniff
from fleet_sim.proxy.catalogue import TOXICS
from fleet_sim.proxy.flow import Cutter, Flow, Wanted
from fleet_sim.proxy.items import Answer, Item, Sign
from fleet_sim.proxy.sniff import Speaks
from fleet_sim.proxy.toxic import made


def wanted(kind: str, /, name: str = "", seed: int = 1, **settings: object) -> Wanted:
    """A toxic, as a proxy asks a flow for it."""
    return Wanted(name or kind, made(TOXICS[kind], settings), chance.stream(seed, kind))


class Course:
    """A flow, and what left it: (when in ms, bytes or a sign or an answer), joined if together."""

    def __init__(self, *toxics: Wanted, cutter: Cutter | None = None) -> None:
        self.flow = Flow()
        self.flow.cutter = cutter
        self.left: list[tuple[int, Item]] = []
        self.now_s = 0.0
        self.arrange(*toxics)

    def arrange(self, *toxics: Wanted) -> None:
        """Have these toxics at work."""
        cutting = any(each.toxic.reads for each in toxics)
        self._note(self.flow.arrange(toxics, self.now_s, cutting=cutting))

    def says(self, data: bytes, at_ms: float = 0) -> "Course":
        """Bytes arrive."""
        self.until(at_ms)
        self._note(self.flow.feed(data, self.now_s))
        return self

    def ends(self, at_ms: float = 0) -> "Course":
        """The sender says no more."""
        self.until(at_ms)
        self._note(self.flow.end(Sign.END, self.now_s))
        return self

    def until(self, at_ms: float) -> "Course":
        """Time goes by."""
        while (due_s := self.flow.due_s) <= at_ms / 1000:
            self.now_s = max(self.now_s, due_s)
            self._note(self.flow.advance(self.now_s))
        self.now_s = max(self.now_s, at_ms / 1000)
        return self

    def all(self) -> list[tuple[int, Item]]:
        """Wait for everything that will ever leave."""
        while self.flow.due_s < inf:
            self.until(self.flow.due_s * 1000)
        return self.left

    @property
    def bytes(self) -> bytes:
        """All bytes that left."""
        return b"".join(item for _, item in self.left if isinstance(item, bytes))

    def _note(self, items: Iterable[Item]) -> None:
        for item in items:
            keep = item if isinstance(item, bytes | Sign | Answer) else item.raw
            self.left.append((round(self.now_s * 1000), keep))


@pytest.fixture
def toxic() -> Callable[..., Wanted]:
    """`toxic("latency", latency=100)`, to be put into a course."""
    return wanted


@pytest.fixture
def course() -> Callable[..., Course]:
    """`course(toxic(...), ...)` is one direction of a connection that speaks nothing known."""
    return Course


@pytest.fixture
def client_course() -> Callable[..., Course]:
    """`client_course("mqtt", toxic(...))` is what a client says in that protocol."""
    return lambda speaks, *toxics: Course(*toxics, cutter=sniff.cutters(Speaks(speaks))[0])


@pytest.fixture
def in_pieces() -> Callable[[bytes, int], Sequence[bytes]]:
    """`in_pieces(data, 3)` is the data, three bytes at a time."""
    return lambda data, size: [data[at : at + size] for at in range(0, len(data), size)]
