"""What a cell must not forget: one SQLite file, one connection, one owner.

WAL and `synchronous=FULL`: what was committed survives kill -9 and a power cut. One connection
because SQLite 3.7.0 to 3.51.2 can corrupt a WAL that two of them reset. Rows are inserted in the
event loop and only COMMIT, the wait for the disk, may run in a thread (`gateway.commit`).
"""

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from devices.command import Command, Outcome, Result
from gateway.disk import Disk, RealDisk
from gateway.events import GAP
from gateway.roster import Roster
from gateway.store_file import failure, opened, owned

VERSION: Final = 1
# What gives way: telemetry, and older `gap` events, since the next one tells their news again.
_GIVES_WAY: Final = f"(decision = 0 OR type = '{GAP}')"

_INTO_OUTBOX: Final = "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?)"
_INTO_TWINS: Final = (
    "INSERT INTO twins VALUES (?, ?, ?) ON CONFLICT(device)"
    " DO UPDATE SET sequence = excluded.sequence, axes = excluded.axes"
)
_INTO_CURSORS: Final = "INSERT OR REPLACE INTO cursors VALUES (?, ?)"
_INTO_DEAD_LETTERS: Final = (
    "INSERT INTO dead_letters(at_ms, source, payload, reason, retained) VALUES (?, ?, ?, ?, ?)"
)


class Row(NamedTuple):
    """One committed event, in the order of the outbox."""

    row: int
    device: str
    sequence: int
    type: str
    decision: bool
    created_at_ms: int
    event: bytes


class DeadLetter(NamedTuple):
    """A frame that could not be read, or an event that a sink refused for good."""

    at_ms: int
    source: str
    payload: bytes
    reason: str
    retained: bool = False


class Dropped(NamedTuple):
    """Events of one device that give way: how many, and between which sequences."""

    device: str
    events: int
    first: int
    last: int


class GivingWay(NamedTuple):
    """What is to give way: whatever may, up to the row `upto`; 0 is nothing."""

    upto: int
    dropped: Sequence[Dropped]


class CommandRow(NamedTuple):
    """How a command ended, and what it was; outcome None while it runs."""

    outcome: str | None
    reason: str | None
    finished_at_ms: int | None
    name: str
    part: str


class Writes(NamedTuple):
    """All that one transaction holds.

    `gives_way` is the `upto` of a `GivingWay`; `statements` are SQL with their values.
    """

    rows: Sequence[Row] = ()
    twins: Collection[tuple[str, int, bytes]] = ()
    cursors: Collection[tuple[str, int]] = ()
    dead_letters: Sequence[DeadLetter] = ()
    sinks: Iterable[tuple[str, int]] = ()
    statements: Iterable[tuple[str, tuple[object, ...]]] = ()
    gives_way: int = 0


class Store:
    """The file of one cell. `write` opens a transaction, `commit` or `rollback` ends it.

    Args:
        path: `<state_dir>/<cell>.db`; a sibling `.lock` says who owns it.
        now_ms: for the epoch of a new file and the name of one that is moved aside.
        outbox_max_bytes: room for events; a fifth of it is for decisions alone.
        disk: what the file lies on; absent, the machine's own.

    Raises:
        ConfigError: another process owns the file, or the folder cannot be written.
        StoreError: the disk is full or broken.
    """

    def __init__(
        self, path: Path, now_ms: int, outbox_max_bytes: int, disk: Disk | None = None
    ) -> None:
        self.path = path
        self._lock_fd = owned(path.with_suffix(".lock"))
        try:
            #: Where a file that could not be read was moved to.
            self.moved_aside: Path | None
            self._db, self.moved_aside = opened(
                path, now_ms, outbox_max_bytes, RealDisk() if disk is None else disk
            )
            self._begin(now_ms)
        except BaseException:
            os.close(self._lock_fd)
            raise

    def _begin(self, now_ms: int) -> None:
        try:
            self.epoch_ms = self._meta("epoch_ms", now_ms)
            self._meta("version", VERSION)
            self.outbox_bytes, self.outbox_rows, last = self._db.execute(
                "SELECT coalesce(sum(length(event)), 0), count(*), coalesce(max(row), 0)"
                " FROM outbox"
            ).fetchone()
            self.sinks: dict[str, int] = dict(self._db.execute("SELECT name, row FROM sinks"))
        except sqlite3.Error as error:
            self._db.close()
            raise failure(self.path, error) from error
        self.next_row: int = max([last, *self.sinks.values()]) + 1
        self._before = (self.outbox_bytes, self.outbox_rows)
        self._last = self.next_row - 1
        self._firm = 0  # up to this row there is nothing left that may give way

    def _meta(self, key: str, default: int) -> int:
        self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, default))
        (value,) = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return int(value)

    def restore(self, roster: Roster) -> None:
        """Give the roster every device that the disk knows."""
        for device, sequence, axes in self._db.execute("SELECT device, sequence, axes FROM twins"):
            roster.restore(device, sequence, axes)

    def close(self) -> None:
        """Let go of file and lock; what was not committed is gone. Once more changes nothing."""
        self._db.close()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    # --- writing ------------------------------------------------------------------------------

    def write(self, writes: Writes) -> None:
        """Begin a transaction and put everything into it; nothing is durable before `commit`.

        Raises:
            StoreError: the disk is full or broken; the transaction is rolled back.
        """
        db = self._db
        self._before = (self.outbox_bytes, self.outbox_rows)
        try:
            db.execute("BEGIN IMMEDIATE")
            self._advance(dict(writes.sinks))
            if writes.gives_way:
                self._forget(f"row <= ? AND {_GIVES_WAY}", writes.gives_way)
            for statement, rows in (
                (_INTO_OUTBOX, writes.rows),
                (_INTO_TWINS, writes.twins),
                (_INTO_CURSORS, writes.cursors),
                (_INTO_DEAD_LETTERS, writes.dead_letters),
            ):
                if rows:
                    db.executemany(statement, rows)
            for statement, values in writes.statements:
                db.execute(statement, values)
        except sqlite3.Error as error:
            self.rollback()
            raise failure(self.path, error) from error
        self.outbox_bytes += sum([len(row[6]) for row in writes.rows])
        self.outbox_rows += len(writes.rows)
        if writes.rows:
            self._last = writes.rows[-1].row

    def _advance(self, sinks: dict[str, int]) -> None:
        """Note how far the sinks are, and forget what all of them have."""
        if not sinks or sinks == self.sinks:
            return
        self._db.executemany("INSERT OR REPLACE INTO sinks VALUES (?, ?)", sinks.items())
        self._forget("row <= ?", min(sinks.values()))
        self.sinks = sinks

    def _forget(self, which: str, row: int) -> None:
        count, size = self._db.execute(
            f"SELECT count(*), coalesce(sum(length(event)), 0) FROM outbox WHERE {which}",  # noqa: S608 -- our own words
            (row,),
        ).fetchone()
        if count:
            self._db.execute(f"DELETE FROM outbox WHERE {which}", (row,))  # noqa: S608 -- likewise
            self.outbox_rows -= count
            self.outbox_bytes -= size

    def commit(self) -> None:
        """Make the transaction durable: returns when the disk has it. May run in a thread.

        Raises:
            StoreError: it is not durable; the transaction is rolled back.
        """
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self.rollback()
            raise failure(self.path, error) from error

    def rollback(self) -> None:
        """Undo what `write` did, the counts included.

        Raises:
            StoreError: the disk is broken.
        """
        self.outbox_bytes, self.outbox_rows = self._before
        self.sinks = {}  # so that the next transaction notes them, whatever this one did
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise failure(self.path, error) from error

    def giving_way(self, bytes_wanted: int, older_than_ms: int) -> GivingWay:
        """What must give way, oldest first, for so many bytes to be free, and all that is older.

        Nothing is deleted: the transaction that tells of it in `gap` events does that.

        Raises:
            StoreError: the disk is broken.
        """
        upto = freed = 0
        lost: dict[str, Dropped] = {}
        try:
            for row, device, sequence, created_at_ms, size, gap in self._db.execute(
                "SELECT row, device, sequence, created_at_ms, length(event),"  # noqa: S608 -- our own words
                f" CASE type WHEN '{GAP}' THEN event END FROM outbox"
                f" WHERE row > ? AND {_GIVES_WAY} ORDER BY row",
                (self._firm,),
            ):
                if freed >= bytes_wanted and created_at_ms >= older_than_ms:
                    self._firm = max(self._firm, upto)
                    break
                upto, freed = row, freed + size
                events, first = (1, sequence) if gap is None else _told(gap, sequence)
                before = lost.get(device, Dropped(device, 0, first, sequence))
                lost[device] = Dropped(
                    device, before.events + events, min(before.first, first), sequence
                )
            else:
                self._firm = self._last
        except sqlite3.Error as error:
            raise failure(self.path, error) from error
        return GivingWay(upto, list(lost.values()))

    # --- reading ------------------------------------------------------------------------------

    def between(self, row: int, upto: int, limit: int) -> list[Row]:
        """Events behind `row`, oldest first; `upto` keeps a transaction that is still open out."""
        return [
            Row(*fields)
            for fields in self._db.execute(
                "SELECT * FROM outbox WHERE row > ? AND row <= ? ORDER BY row LIMIT ?",
                (row, upto, limit),
            )
        ]

    def cursor(self, name: str) -> int | None:
        """A vendor's position, as committed."""
        found = self._db.execute("SELECT position FROM cursors WHERE name = ?", (name,)).fetchone()
        return None if found is None else int(found[0])

    def dead_letters(self) -> Iterator[tuple[int, DeadLetter]]:
        """All of them, oldest first."""
        yield from letters_in(self._db)

    def command(self, device: str, id_: str) -> CommandRow | None:
        """A command as it is known; None if it never was."""
        found = self._db.execute(
            "SELECT outcome, reason, finished_at_ms, name, part FROM commands"
            " WHERE device = ? AND id = ?",
            (device, id_),
        ).fetchone()
        return None if found is None else CommandRow(*found)

    def unfinished(self) -> list[Command]:
        """Commands that began and have no outcome."""
        return [
            Command(id_, device, name, deadline_ms, part)
            for id_, device, name, deadline_ms, part in self._db.execute(
                "SELECT id, device, name, deadline_ms, part FROM commands"
                " WHERE outcome IS NULL ORDER BY begun_at_ms, device, id"
            )
        ]


def letters_in(db: sqlite3.Connection) -> Iterator[tuple[int, DeadLetter]]:
    """The dead letters of an open store, oldest first."""
    for id_, at_ms, source, payload, reason, retained in db.execute(
        "SELECT id, at_ms, source, payload, reason, retained FROM dead_letters ORDER BY id"
    ):
        yield id_, DeadLetter(at_ms, source, payload, reason, bool(retained))


def begun(command: Command, at_ms: int) -> tuple[str, tuple[object, ...]]:
    """The write that notes a command's beginning."""
    return (
        "INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, NULL)",
        (command.device, command.id, command.name, command.part, at_ms, command.deadline_ms),
    )


def finished(command: Command, result: Result) -> tuple[str, tuple[object, ...]]:
    """The write that notes a command's end."""
    return (
        "UPDATE commands SET outcome=?, reason=?, finished_at_ms=? WHERE device=? AND id=?",
        (str(result.outcome), result.reason, result.finished_at_ms, command.device, command.id),
    )


def result_of(id_: str, found: CommandRow) -> Result | None:
    """The outcome in a row of `Store.command`; None while it runs."""
    outcome, reason, finished_at_ms, *_ = found
    return None if outcome is None else Result(id_, Outcome(outcome), reason, finished_at_ms or 0)


def prunings(
    dead_letters_max: int, dead_letters_max_bytes: int, commands_before_ms: int
) -> list[tuple[str, tuple[object, ...]]]:
    """The writes that keep the side tables within their bounds; the oldest rows go first."""
    return [
        (
            "DELETE FROM dead_letters WHERE id <= (SELECT max(id) FROM dead_letters) - ?",
            (dead_letters_max,),
        ),
        (
            (
                "DELETE FROM dead_letters WHERE id IN (SELECT id FROM (SELECT id,"
                " sum(length(payload)) OVER (ORDER BY id DESC) AS total FROM dead_letters)"
                " WHERE total > ?)"
            ),
            (dead_letters_max_bytes,),
        ),
        ("DELETE FROM commands WHERE begun_at_ms < ?", (commands_before_ms,)),
    ]


def _told(gap: bytes, sequence: int) -> tuple[int, int]:
    """How many events a `gap` event stands for, itself among them, and the first of them."""
    data = orjson.loads(gap)["data"]
    first = data.get("first_sequence")
    return (1, sequence) if first is None else (1 + data["count"], first)
