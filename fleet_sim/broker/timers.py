"""What is to be done when: a heap whose entries can be called off without staying behind."""

import heapq
from collections.abc import Callable
from typing import Final

# Fewer called-off entries than this are not worth rebuilding the heap for.
_SWEEP_FROM: Final = 64


class Timer:
    """One thing to do; equal times keep the order in which they were set."""

    __slots__ = ("action", "order", "when_s")

    def __init__(self, when_s: float, order: int, action: Callable[[float], None]) -> None:
        self.when_s = when_s
        self.order = order
        self.action: Callable[[float], None] | None = action

    def __lt__(self, other: "Timer") -> bool:
        return (self.when_s, self.order) < (other.when_s, other.order)


class Timers:
    """All of a broker's; the clock is the caller's."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._order = 0
        self._called_off = 0

    def __len__(self) -> int:
        """How many are kept, those called off and not yet swept out included."""
        return len(self._heap)

    @property
    def next_s(self) -> float | None:
        """When the next one is due."""
        heap = self._heap
        while heap and heap[0].action is None:
            heapq.heappop(heap)
            self._called_off -= 1
        return heap[0].when_s if heap else None

    def at(self, when_s: float, action: Callable[[float], None]) -> Timer:
        """Have `run` call `action(now_s)`."""
        self._order += 1
        timer = Timer(when_s, self._order, action)
        heapq.heappush(self._heap, timer)
        return timer

    def call_off(self, timer: Timer | None) -> None:
        """Do not do it after all; nothing happens to one that is done, called off or None."""
        if timer is None or timer.action is None:
            return
        timer.action = None
        self._called_off += 1
        if self._called_off >= _SWEEP_FROM and self._called_off * 2 > len(self._heap):
            self._heap = [each for each in self._heap if each.action is not None]
            heapq.heapify(self._heap)
            self._called_off = 0

    def run(self, now_s: float) -> None:
        """Do what is due."""
        while (due_s := self.next_s) is not None and due_s <= now_s:
            timer = heapq.heappop(self._heap)
            action, timer.action = timer.action, None
            if action is not None:
                action(now_s)
