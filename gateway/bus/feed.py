"""One sink's way through the outbox: from memory while it keeps up, from the disk when not."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from gateway.store import Row, Store

# Rows that are kept in memory for a sink before it counts as behind: half a second's worth.
_MEMORY_ROWS: Final = 8_192
_CHUNK_ROWS: Final = 512


class Sink(Protocol):
    """One destination of a cell's events."""

    name: str
    feed: "Feed"
    #: Why nothing gets through at present; empty if it does.
    trouble: str

    async def run(self) -> None:
        """Deliver until cancelled."""

    async def drain(self, limit_s: float) -> None:
        """Deliver what there is, for so long at the most."""


class Feed:
    """Rows in order, each until it is delivered.

    `cursor` is the newest row up to which everything is delivered; it is what the store notes,
    in passing: after a crash the rows behind the noted one are delivered again, with their ids.
    """

    def __init__(self, store: Store, cursor: int, committed: int, wake: Callable[[], None]) -> None:
        self.cursor = cursor
        self._store = store
        self._wake = wake
        self._ready: deque[Row] = deque()
        self._open: deque[int] = deque()
        self._early: set[int] = set()
        self._taken = cursor
        self._committed = committed
        self._behind = committed > cursor

    @property
    def idle(self) -> bool:
        """Whether everything that was committed is delivered."""
        return not (self._ready or self._open or self._behind)

    @property
    def lag_rows(self) -> int:
        """Roughly how many rows are not delivered."""
        return self._committed - self.cursor

    def committed(self, rows: Sequence[Row]) -> None:
        """These are durable now."""
        if not rows:
            return
        self._committed = rows[-1].row
        if not self._behind and len(self._ready) + len(rows) <= _MEMORY_ROWS:
            self._ready.extend(rows)
        else:
            self._behind = True
        self._wake()

    def take(self, limit: int) -> list[Row]:
        """The next rows to deliver, oldest first; each is then owed a `delivered`."""
        ready = self._ready
        if not ready and self._behind:
            ready.extend(self._store.between(self._taken, self._committed, _CHUNK_ROWS))
            self._behind = bool(ready) and ready[-1].row < self._committed
            if not ready:
                self._skip()
        rows = [ready.popleft() for _ in range(min(limit, len(ready)))]
        if rows:
            self._taken = rows[-1].row
            self._open.extend([row.row for row in rows])
        return rows

    def put_back(self, rows: Sequence[Row]) -> None:
        """These were taken and did not leave; they are the next ones again."""
        for row in reversed(rows):
            self._ready.appendleft(row)
            self._open.pop()
        if rows:
            self._taken = rows[0].row - 1

    def delivered(self, row: int) -> None:
        """This row has arrived; the cursor moves when all before it have too."""
        waiting = self._open
        if waiting and waiting[0] == row and not self._early:
            waiting.popleft()
            self.cursor = row
        else:
            self._early.add(row)
            while waiting and waiting[0] in self._early:
                self.cursor = waiting.popleft()
                self._early.discard(self.cursor)
        if not waiting:
            self._skip()

    def _skip(self) -> None:
        """Nothing is under way: rows that gave way in between are not waited for."""
        if not self._ready and not self._behind and not self._open:
            self.cursor = self._committed
