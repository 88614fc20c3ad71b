"""One toxic at work in one direction of one connection: what it remembers, and what it holds."""

import heapq
from collections.abc import Iterator
from itertools import count
from math import inf

from fleet_sim.proxy.items import Answer, Item, Sign
from fleet_sim.proxy.toxic import Toxic
from vendors.sim import Chance


class Stage:
    """Where a toxic puts what shall leave, and when.

    Attributes:
        free_s: nothing that comes now may leave before; the toxics look after it.
        passed: bytes, or messages, that it let by; likewise.
        open: a message goes by in pieces, and nothing may come between them.
        held: bytes that wait.
    """

    __slots__ = (
        "_count",
        "_plan",
        "_waiting",
        "chance",
        "free_s",
        "held",
        "name",
        "open",
        "passed",
        "toxic",
    )

    def __init__(self, name: str, toxic: Toxic, chance: Chance) -> None:
        self.name = name
        self.toxic = toxic
        self.chance = chance
        self.free_s = 0.0
        self.passed = 0
        self.open = False
        self.held = 0
        self._waiting: list[tuple[float, int, Item]] = []
        self._count = count()
        self._plan: tuple[float, Sign] | None = None

    def add(self, due_s: float, item: Item) -> None:
        """Let it leave then; what is due together leaves in the order it was added."""
        self.held += size_of(item)
        heapq.heappush(self._waiting, (due_s, next(self._count), item))

    def plan(self, due_s: float, sign: Sign) -> None:
        """End the connection then, if this toxic is still here with these settings."""
        self._plan = (due_s, sign)

    def hasten(self, at_s: float) -> None:
        """Whatever waits is due now, in the order that it had."""
        self.free_s = at_s
        # Equal times fall back on the numbers, so these are given anew.
        waiting = [item for _, _, item in sorted(self._waiting)]
        self._waiting = [(at_s, next(self._count), item) for item in waiting]

    @property
    def key(self) -> tuple[str, type[Toxic]]:
        """What stays the same when its settings change."""
        return self.name, type(self.toxic)

    @property
    def due_s(self) -> float:
        """When the next leaves; never, while another's pieces go by."""
        planned_s = self._plan[0] if self._plan else inf
        return min(planned_s, self._waiting[0][0] if self._waiting and not self.open else inf)

    def leaving(self, at_s: float) -> Iterator[Item]:
        """What is due by now."""
        while self._waiting and not self.open and self._waiting[0][0] <= at_s:
            item = heapq.heappop(self._waiting)[2]
            self.held -= size_of(item)
            yield item
        if self._plan and self._plan[0] <= at_s:
            sign, self._plan = self._plan[1], None
            yield sign

    def change(self, toxic: Toxic, at_s: float) -> None:
        """Other settings from now on; what the old ones held back goes on."""
        self._plan = None
        self.hasten(at_s)
        self.toxic = toxic
        toxic.begin(at_s, self)

    def dismiss(self, at_s: float) -> Iterator[Item]:
        """The toxic is taken away: all that it held back goes on, unless too much is missing."""
        self._plan = None
        self.open = False
        self.hasten(at_s)
        yield from self.leaving(at_s)
        if self.toxic.loses(self):
            yield Sign.CLOSE


def size_of(item: Item) -> int:
    """How many bytes it holds."""
    match item:
        case bytes():
            return len(item)
        case Sign():
            return 0
        case Answer():
            return len(item.message.raw)
        case _:
            return len(item.raw)
