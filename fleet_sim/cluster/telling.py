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
        self,
        vendor: str,
        truth: Truth,
        *,
        at_ms: float | None = None,
        copies: int = 1,
        stored: bool = False,
    ) -> None:
        """Something happened."""
        self._note("truth", vendor, truth, at_ms=at_ms, copies=copies, stored=stored)

    def loosen(  # noqa: PLR0913 -- as the ledger's
        self,
        vendor: str,
        name: str,
        since_ms: float,
        until_ms: float = math.inf,
        *,
        states_only: bool = False,
        unless_stored: bool = False,
    ) -> None:
        """What was told in that time may not have arrived."""
        more = {"states_only": states_only, "unless_stored": unless_stored}
        self._note("loosen", vendor, name, since_ms, until_ms, **more)

    def retold(self, vendor: str, name: str, told_ms: float, at_ms: float) -> None:
        """What was told then arrives once more, or only now."""
        self._note("retold", vendor, name, told_ms, at_ms)

    def veil(self, vendor: str, name: str, at_ms: float) -> None:
        """What was told was changed on its way."""
        self._note("veil", vendor, name, at_ms)

    def _note(self, method: str, *words: Any, **more: Any) -> None:  # noqa: ANN401 -- any method's
        if self._keeps:
            self._news.append((self._now_ms(), method, words, more))

    def take(self) -> list[Told]:
        """What is new since it was asked last."""
        news, self._news = self._news, []
        return news
