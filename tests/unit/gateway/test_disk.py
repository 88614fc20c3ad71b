"""What a store lies on: the promise of each disk, and who waits while it commits."""

import asyncio
import threading
from contextlib import closing
from pathlib import Path

import pytest

from gateway.disk import Disk, RealDisk, ScratchDisk
from gateway.store import Store, Writes

FULL, OFF = 2, 0


@pytest.mark.parametrize(
    ("disk", "journal", "synchronous"), [(RealDisk(), "wal", FULL), (ScratchDisk(), "memory", OFF)]
)
def test_a_store_promises_what_its_disk_says(
    disk: Disk, journal: str, synchronous: int, tmp_path: Path
) -> None:
    with closing(Store(tmp_path / "cell.db", 1, 2**20, disk)) as store:
        db = store._db  # noqa: SLF001 -- a pragma is no part of what a store tells
        said = [
            db.execute(f"PRAGMA {what}").fetchone()[0] for what in ("journal_mode", "synchronous")
        ]

    assert said == [journal, synchronous]


def test_a_store_of_which_nothing_is_said_lies_on_the_machines_own_disk(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "cell.db", 1, 2**20)) as store:
        (journal,) = store._db.execute("PRAGMA journal_mode").fetchone()  # noqa: SLF001 -- see above

    assert journal == "wal"


async def test_the_loop_goes_on_while_the_machines_disk_commits(tmp_path: Path) -> None:
    disk, moved_on = RealDisk(), threading.Event()
    with closing(Store(tmp_path / "cell.db", 1, 2**20, disk)) as store:
        store.write(Writes(cursors=[("ring", 7)]))

        def commit() -> None:
            assert moved_on.wait(5)
            store.commit()

        committing = asyncio.create_task(disk.commit(commit))
        await asyncio.sleep(0)
        moved_on.set()
        await committing

        assert store.cursor("ring") == 7
    disk.close()


async def test_a_commit_that_nobody_waits_for_is_over_in_the_same_turn() -> None:
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "another")

    await ScratchDisk().commit(lambda: turns.append("commit"))

    assert turns == ["commit"]
