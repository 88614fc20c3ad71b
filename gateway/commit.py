"""Group commit: everything that waits becomes durable together, and only then counts.

add rows ─► open batch ─► (full, urgent, or lingered) ─► write ─► COMMIT ─► committed callbacks
                ▲                                         │ disk full, I/O error
                └── the loop goes on collecting           └─► rolled back, tried again as it is
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from devices.errors import StoreError
from devices.twin import Change
from gateway.clock import Clock
from gateway.config import Limits
from gateway.disk import Disk
from gateway.roster import Entry
from gateway.store import DeadLetter, Dropped, Row, Store, Writes, prunings
from gateway.store_file import UnreadableError

log = structlog.get_logger("gateway.commit")

#: The share of the outbox that telemetry may fill; the rest is for decisions and alarms.
TELEMETRY_SHARE: Final = 0.8
# When telemetry must give way, this share of the outbox is freed at once, not one row at a time.
_GIVE_WAY_SHARE: Final = 0.02
_RETRY_MIN_S: Final = 0.1
_RETRY_MAX_S: Final = 5.0
_HOUSEKEEPING_S: Final = 30.0
_SINKS_LAG_S: Final = 1.0


class Batch:
    """What the next transaction will hold, and who is told afterwards.

    A batch that was closed stays as it is, however often it must be tried: `twins` are the
    devices as they were then, because the twins themselves go on.
    """

    __slots__ = (
        "callbacks",
        "commands",
        "cursors",
        "dead_letters",
        "entries",
        "gives_way",
        "rows",
        "seen",
        "twins",
    )

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.entries: dict[Entry, None] = {}
        self.cursors: dict[str, int] = {}
        self.dead_letters: list[DeadLetter] = []
        self.commands: list[tuple[str, tuple[object, ...]]] = []
        self.seen: list[tuple[str, list[Change], int]] = []
        self.callbacks: list[Callable[[], None]] = []
        self.twins: list[tuple[str, int, bytes]] = []
        self.gives_way = 0

    def __bool__(self) -> bool:
        return bool(self.callbacks) or self.writes

    @property
    def writes(self) -> bool:
        """Whether there is anything for the disk, and not only somebody to be told."""
        return bool(
            self.rows
            or self.entries
            or self.cursors
            or self.dead_letters
            or self.commands
            or self.gives_way
        )


class Committer:
    """Owns the store's transactions; all methods are the event loop's.

    Args:
        on_committed: told of every durable batch, before its callbacks run.
        on_dropped: told what telemetry gave way, so that a `gap` event can say so.
        sinks: how far each sink is; noted in passing with every commit.
        inline: the pace of simulated time: no company is waited for, and sinks are noted seldom.
    """

    def __init__(  # noqa: PLR0913 -- by keyword, from one place
        self,
        *,
        store: Store,
        disk: Disk,
        limits: Limits,
        clock: Clock,
        on_committed: Callable[[Batch], None],
        on_dropped: Callable[[Sequence[Dropped], str], None],
        sinks: Callable[[], dict[str, int]],
        inline: bool,
    ) -> None:
        self.batch = Batch()
        #: Why nothing can be committed at present; empty if it can.
        self.trouble = ""
        self.commits = 0
        self._store = store
        self._disk = disk
        self._limits = limits
        self._clock = clock
        self._on_committed = on_committed
        self._on_dropped = on_dropped
        self._sinks = sinks
        self._inline = inline
        # A simulated day is not to be filled with noting where the sinks are.
        self._lag_s = 60 * _SINKS_LAG_S if inline else _SINKS_LAG_S
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._closed: Batch | None = None
        self._in_flight = 0
        self._sweep_at_s = 0.0
        self._active: asyncio.Future[None] | None = None

    @property
    def pending(self) -> int:
        """Events that wait for a commit."""
        return len(self.batch.rows) + self._in_flight

    @property
    def room(self) -> bool:
        """Whether another frame may be taken in."""
        return (
            not self.trouble and len(self.batch.rows) + self._in_flight < self._limits.pending_max
        )

    def wake(self, *, urgent: bool = False) -> None:
        """Something was put into the open batch."""
        self._wake.set()
        if urgent or len(self.batch.rows) >= self._limits.batch_max:
            self._urgent.set()

    async def run(self) -> None:
        """Commit until cancelled; what is open then is for `flush`."""
        # In simulated time nothing is gained by it: what happens in one turn is together anyway.
        linger_s = 0.0 if self._inline else self._limits.linger_ms / 1000
        while True:
            try:
                # Without a row in the outbox there is no cursor to note, and nothing to wake for.
                async with asyncio.timeout(self._lag_s if self._store.outbox_rows else None):
                    await self._wake.wait()
            except TimeoutError:
                await self.note_sinks()
                continue
            if linger_s and not self._urgent.is_set():
                try:
                    async with asyncio.timeout(linger_s):
                        await self._urgent.wait()
                except TimeoutError:
                    pass
            await self.flush()

    async def flush(self) -> None:
        """Commit all that waits, however long the disk takes to have room for it.

        Raises:
            UnreadableError: the file is corrupt.
        """
        async with self._one_at_a_time:
            if self._active is not None and not self._active.done():
                # Of a `run` that was cancelled in the middle; if it fails, the batch is still here.
                await asyncio.gather(self._active, return_exceptions=True)
            while self._closed is not None or self.batch:
                await self._settle()

    async def _settle(self) -> None:
        """Commit one batch: the one that was tried before, or else the open one."""
        delay_s = _RETRY_MIN_S
        while True:
            try:
                closed = self._closed = self._closed or self._close()
                if self._disk.instant:
                    await self._persist(closed)  # waits for nothing, so nothing interrupts it
                else:
                    self._active = asyncio.ensure_future(self._persist(closed))
                    await asyncio.shield(self._active)
            except UnreadableError:
                raise
            except StoreError as error:
                if self.trouble != str(error):
                    self.trouble = str(error)
                    log.warning("store.commit_failed", error=self.trouble)
            else:
                return
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _RETRY_MAX_S)

    def _close(self) -> Batch:
        """The open batch, to be written as it stands now, and a new one in its place."""
        self._make_room(self.batch)
        self._wake.clear()
        self._urgent.clear()
        batch, self.batch = self.batch, Batch()
        batch.twins = [(e.name, e.sequence, e.encode_axes()) for e in batch.entries]
        self._in_flight = len(batch.rows)
        return batch

    async def _persist(self, batch: Batch) -> None:
        """One transaction, and the news of it; not to be interrupted between the two."""
        if batch.writes:  # an acknowledgement of what changed nothing waits for no disk
            await self._write(batch)
        for entry, (_, sequence, axes_json) in zip(batch.entries, batch.twins, strict=True):
            entry.axes_json = axes_json
            entry.committed = sequence
        self._closed = None
        self._in_flight = 0
        self._on_committed(batch)
        for callback in batch.callbacks:
            callback()

    async def _write(self, batch: Batch) -> None:
        store = self._store
        store.write(
            Writes(
                batch.rows,
                batch.twins,
                batch.cursors.items(),
                batch.dead_letters,
                self._sinks().items(),
                batch.commands,
                batch.gives_way,
            )
        )
        if batch.rows and store.outbox_bytes > self._limits.outbox_max_bytes:
            store.rollback()
            raise StoreError(f"{store.path}: outbox full of decisions; is every sink down?")
        await self._disk.commit(store.commit)
        self.commits += 1
        if self.trouble:
            self.trouble = ""
            log.info("store.recovered", file=str(store.path))

    def _make_room(self, batch: Batch) -> None:
        """Have telemetry give way before the outbox is full or it is too old; decisions never do.

        The `gap` events that say so join the batch whose transaction deletes the telemetry.
        """
        limits, store = self._limits, self._store
        coming = sum([len(row.event) for row in batch.rows])
        over = store.outbox_bytes + coming - int(limits.outbox_max_bytes * TELEMETRY_SHARE)
        if over > 0:
            wanted = over + int(limits.outbox_max_bytes * _GIVE_WAY_SHARE)
            self._give_way(batch, wanted, 0, "outbox_full")
        now_s = asyncio.get_running_loop().time()
        if now_s < self._sweep_at_s:
            return
        self._sweep_at_s = now_s + _HOUSEKEEPING_S
        now_ms = self._clock.now_ms()
        self._give_way(batch, 0, now_ms - limits.outbox_max_age_s * 1000, "outbox_age")
        batch.commands += prunings(
            limits.dead_letters_max,
            limits.dead_letters_max_bytes,
            now_ms - limits.commands_keep_s * 1000,
        )

    def _give_way(self, batch: Batch, bytes_wanted: int, older_than_ms: int, cause: str) -> None:
        going = self._store.giving_way(bytes_wanted, older_than_ms)
        if going.upto:
            batch.gives_way = max(batch.gives_way, going.upto)
            self._on_dropped(going.dropped, cause)

    async def note_sinks(self) -> None:
        """Nothing to commit, but the sinks may have moved."""
        if self._active is not None and not self._active.done():
            return  # its transaction notes them, or its failure says why not
        if self._sinks() == self._store.sinks:
            return
        try:
            self._store.write(Writes(sinks=self._sinks().items()))
            await self._disk.commit(self._store.commit)
        except StoreError as error:
            log.warning("store.cursors_not_noted", error=str(error))

    def close(self) -> None:
        """Nothing is committed after this."""
        self._disk.close()
