"""A ledger that holds nothing against anything: it passes on what it is told."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from fleet_sim.ledger import Ledger
from vendors.sim import Truth

#: When, which method of a ledger, and with what.
Told = tuple[float, str, Sequence[Any], Mapping[str, Any]]


class Telling(Ledger):
    """The ledger of a shard on real sockets: the one that counts is the coordinator's.

    Args:
        polled: see `Ledger`.
        now_ms: Unix ms.
        keeps: whether anybody wants to know.
    """

    def __init__(
        self, polled: Collection[str], now_ms: Callable[[], float], *, keeps: bool = True
    ) -> None:
        super().__init__(polled)
        self._now_ms = now_ms
        self._keeps = keeps
        self._news: list[Told] = []

    def truth(
        self, vendor: str, truth: Truth, *, at_ms: float | None = None, copies: int = 1
    ) -> None:
        """Something happened."""
        if self._keeps:
            more = {"at_ms": at_ms, "copies": copies}
            self._news.append((self._now_ms(), "truth", (vendor, truth), more))

    def loosen(
        self,
        vendor: str,
        name: str,
        since_ms: float,
        until_ms: float = math.inf,
        *,
        states_only: bool = False,
    ) -> None:
        """What was told in that time may not have arrived."""
        if self._keeps:
            more = {"states_only": states_only}
            until = (vendor, name, since_ms, until_ms)
            self._news.append((self._now_ms(), "loosen", until, more))

    def take(self) -> list[Told]:
        """What is new since it was asked last."""
        news, self._news = self._news, []
        return news
