"""A connection of apsw's that speaks what a store speaks of `sqlite3.Connection`, errors included.

apsw lets SQLite write through a disk of ours, which Python's own module does not.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw


def connect(path: Path, vfs: str) -> "SimConnection":
    """The database at this path of that VFS, made if it is not there.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    with _in_words_of_sqlite3():
        return SimConnection(apsw.Connection(str(path), vfs=vfs))


class SimConnection:
    """What `gateway.store` uses of a `sqlite3.Connection` in autocommit mode.

    Every method raises `sqlite3.Error`s that carry SQLite's own code as `sqlite_errorcode`.
    """

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    @property
    def in_transaction(self) -> bool:
        """Whether one is open."""
        return self._db.in_transaction

    def execute(self, sql: str, values: Sequence[Any] = ()) -> "Rows":
        """Run one statement."""
        with _in_words_of_sqlite3():
            return Rows(self._db.execute(sql, values))

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run it for each row."""
        with _in_words_of_sqlite3():
            self._db.executemany(sql, rows)

    def executescript(self, sql: str) -> None:
        """Run statement after statement."""
        with _in_words_of_sqlite3():
            self._db.execute(sql)

    def close(self) -> None:
        """Let go; on a dead disk, too."""
        with contextlib.suppress(apsw.Error):
            self._db.close()


class Rows:
    """What a statement found: all of it at once, so that errors come up in `execute`."""

    def __init__(self, found: Iterable[Any]) -> None:
        self._rows = iter(list(found))

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def fetchone(self) -> Any:  # noqa: ANN401 -- a row, or None
        """The next row; None if there is none."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        return list(self._rows)


@contextlib.contextmanager
def _in_words_of_sqlite3() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        said = sqlite3.OperationalError(str(error) or type(error).__name__)
        said.sqlite_errorcode = getattr(error, "extendedresult", apsw.SQLITE_ERROR)
        raise said from error
