"""The file under a store: who owns it, whether it can be read, and where a broken one goes."""

import fcntl
import os
import sqlite3
import time
from pathlib import Path
from typing import Final

import structlog

from devices.errors import ConfigError, StoreError
from gateway.disk import Disk

log = structlog.get_logger("gateway.store")

#: How long a second owner waits for the first one to let go of the file.
LOCK_WAIT_S: Final = 5.0
_PAGE_BYTES: Final = 4096
# Rows come and go at the ends of their tables: a cell needs little of its file in memory.
_CACHE_KIB: Final = 1024
# Twins, commands and dead letters need room beside the outbox before the hard cap strikes.
_BESIDE_BYTES: Final = 64 * 1_048_576
# A full disk or a file that may not be read is no reason to lay good events aside.
_UNREADABLE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS twins(
    device TEXT PRIMARY KEY, sequence INTEGER NOT NULL, axes BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox(
    row INTEGER PRIMARY KEY, device TEXT NOT NULL, sequence INTEGER NOT NULL, type TEXT NOT NULL,
    decision INTEGER NOT NULL, created_at_ms INTEGER NOT NULL, event BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS sinks(name TEXT PRIMARY KEY, row INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursors(name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead_letters(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, source TEXT NOT NULL,
    payload BLOB NOT NULL, reason TEXT NOT NULL, retained INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS commands(
    device TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, part TEXT NOT NULL,
    begun_at_ms INTEGER NOT NULL, deadline_ms INTEGER NOT NULL,
    outcome TEXT, reason TEXT, finished_at_ms INTEGER, PRIMARY KEY(device, id)) WITHOUT ROWID;
"""


class UnreadableError(StoreError):
    """The file is corrupt: the next start moves it aside, so this life of the cell must end."""


def owned(path: Path) -> int:
    """The descriptor of a lock that is ours; waits for an owner that is on its way out.

    Raises:
        ConfigError: another process owns it, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError((f"{path}: {error.strerror}; choose a writable `state_dir`",)) from error
    deadline_s = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline_s:
                os.close(descriptor)
                remedy = "stop it, or choose another `state_dir`"
                raise ConfigError((f"{path}: another gateway owns this store; {remedy}",)) from None
            time.sleep(0.05)
        else:
            return descriptor


def opened(
    path: Path, now_ms: int, outbox_max_bytes: int, disk: Disk
) -> tuple[sqlite3.Connection, Path | None]:
    """The store, sound and with its tables; and where an unsound one now lies, if there was one.

    Raises:
        StoreError: the disk is full or broken; the file stays where it is.
    """
    try:
        try:
            return _connected(path, outbox_max_bytes, disk), None
        except UnreadableError as error:
            aside = _move_aside(path, now_ms, str(error))
            return _connected(path, outbox_max_bytes, disk), aside
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def failure(path: Path, error: sqlite3.Error) -> StoreError:
    """What an error of SQLite's means for a cell."""
    # The low byte; what stands above it tells kinds of one error apart.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    kind = UnreadableError if code in _UNREADABLE else StoreError
    return kind(f"{path}: {error}")


def _connected(path: Path, outbox_max_bytes: int, disk: Disk) -> sqlite3.Connection:
    db = disk.connect(path)
    try:
        for pragma in disk.pragmas:
            db.execute(f"PRAGMA {pragma}")
        db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        found = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
        if found == "ok":
            db.executescript(_TABLES)
            pages = (outbox_max_bytes * 5 // 4 + _BESIDE_BYTES) // _PAGE_BYTES
            db.execute(f"PRAGMA max_page_count={pages}")
            return db
    except sqlite3.Error as error:
        db.close()
        raise failure(path, error) from error
    db.close()
    raise UnreadableError(f"{path}: {found}")


def _move_aside(path: Path, now_ms: int, why: str) -> Path:
    """Keep a file that cannot be read, for whoever can; never delete it."""
    aside = path.with_name(f"{path.name}.corrupt-{now_ms}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    log.error("store.moved_aside", file=str(path), kept_as=str(aside), why=why)
    return aside
