"""Who is due when, for many who are due seldom: a place in a list each, where a heap takes a tuple.

    slot 17 ─► [door 4, door 9000]        slot 18 ─► []        slot 19 ─► [door 2]

An entry is not taken back. Whoever is called too early (it has spoken since) asks for another turn,
and whoever is called by an entry that it has replaced knows by the slot's number.
"""

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

#: Nobody's keepalive, patience or reconnect is finer than this.
TICK_S: Final = 0.1

Who = TypeVar("Who")


class Wheel(Generic[Who]):
    """Slots of `TICK_S` each.

    Args:
        now_s: of the clock that all other times are of.
    """

    __slots__ = ("_slots", "_turned")

    def __init__(self, now_s: float) -> None:
        self._turned = int(now_s / TICK_S)
        self._slots: dict[int, list[Who]] = {}

    def at(self, when_s: float, who: Who) -> int:
        """Call it at or after then; the number of its slot, never 0."""
        slot = max(-int(-when_s // TICK_S), self._turned + 1)
        entries = self._slots.get(slot)
        if entries is None:
            entries = self._slots[slot] = []
        entries.append(who)
        return slot

    def due(self, now_s: float) -> Iterator[tuple[int, Who]]:
        """Everybody whose slot has come, with its number, the oldest slot first."""
        until = int(now_s / TICK_S)
        while self._turned < until:
            self._turned += 1
            slot = self._turned
            for who in self._slots.pop(slot, ()):
                yield slot, who
