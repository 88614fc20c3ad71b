"""What a cell's store lies on: how it is connected to, and who waits while it commits."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

#: What was committed survives kill -9 and a power cut.
DURABLE: Final = ("journal_mode=WAL", "synchronous=FULL")
#: What was committed survives nothing, and costs as little; nobody else may look at it meanwhile.
FORGOTTEN: Final = ("locking_mode=EXCLUSIVE", "journal_mode=MEMORY", "synchronous=OFF")


class Disk(Protocol):
    """One cell's disk."""

    #: How much each connection is to promise.
    pragmas: Sequence[str]
    #: Whether a commit is over in the same turn of the loop, so that nothing can come between.
    instant: bool

    def connect(self, path: Path) -> sqlite3.Connection:
        """The file, made if it is not there; no transaction begins or ends by itself.

        Raises:
            sqlite3.Error: it cannot be opened.
        """

    async def commit(self, commit: Callable[[], None]) -> None:
        """Call this, which waits for the disk; returns, or raises, when it did."""

    def close(self) -> None:
        """The cell has no further use for it."""


class RealDisk:
    """The machine's own; the event loop goes on while a thread waits for it."""

    pragmas: Sequence[str] = DURABLE
    instant = False

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="commit")

    def connect(self, path: Path) -> sqlite3.Connection:
        """See `Disk.connect`; waits a second for whoever else reads the file."""
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1)

    async def commit(self, commit: Callable[[], None]) -> None:
        """Have the thread do it."""
        await asyncio.get_running_loop().run_in_executor(self._pool, commit)

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown()


class ScratchDisk:
    """A file that is forgotten with the run: nothing is forced onto it, so nobody waits."""

    pragmas: Sequence[str] = FORGOTTEN
    instant = True

    def connect(self, path: Path) -> sqlite3.Connection:
        """See `Disk.connect`."""
        return sqlite3.connect(path, isolation_level=None)

    async def commit(self, commit: Callable[[], None]) -> None:
        """Do it now, in one turn of the loop with what follows."""
        commit()

    def close(self) -> None:
        """Nothing runs."""
