"""A disk in memory under the real SQLite: it forgets what was not synced, tears, fills up, fails.

    Store ─► sqlite ─► SQLite ─► SimDisk.xOpen ─► OpenFile ─► SimFile ── content
                                     (an apsw VFS)                   └── durable + unsynced pieces

At a power cut a file is what was synced, and of the rest a beginning, or anything at all: a disk
with a cache writes in an order of its own. A write is torn between sectors of 512 bytes, never
within one. A name in the folder lasts from the first sync of its file, or of any new journal, with
which SQLite syncs the folder; until then it may be gone, and a deleted one may be back.

WAL needs memory that several connections share, which a VFS in Python cannot give: a store here is
locked exclusively, and keeps the index of its WAL to itself. That index is never on a disk, and
what is written to WAL and database, and when it is synced, is the same; a store has one connection.
The SQLite is apsw's own, newer than Python's; `tests/kill` has the processes of the latter killed.

Source: https://sqlite.org/atomiccommit.html, sections 2 and 3.4; https://sqlite.org/wal.html,
"Use of WAL without shared memory"; SQLite 3.54 os_unix.c, UNIXFILE_DIRSYNC.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import count, pairwise
from pathlib import Path
from sqlite3 import Connection
from typing import Final, NamedTuple, TypeVar, cast

import apsw

from devices.errors import StoreError
from fleet_sim.chance import Stream, stream
from fleet_sim.ground import sqlite
from gateway.app import DURABLE

T = TypeVar("T")

#: What a disk writes whole or not at all.
SECTOR_BYTES: Final = 512
# A write changes no byte outside of it, even when the power goes: the flag that unix reports.
_CHARACTERISTICS: Final = apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE
_PAGE_BYTES: Final = 4096
# With the first sync of one of these SQLite's own unix VFS syncs the folder, too.
_SYNCS_FOLDER: Final = (
    apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL
)
_EVEN: Final = 0.5
_NO_POWER: Final = "the power went"
_names: Final = count(1)


class Piece(NamedTuple):
    """So much of a write as lies in one sector; or, without data, that the file ends here."""

    offset: int
    data: bytes | None


def pieces(data: bytes, offset: int) -> list[Piece]:
    """A write, cut where sectors end."""
    ends = range(offset - offset % SECTOR_BYTES + SECTOR_BYTES, offset + len(data), SECTOR_BYTES)
    cuts = [offset, *ends, offset + len(data)]
    return [Piece(start, data[start - offset : end - offset]) for start, end in pairwise(cuts)]


def survivors(unsynced: Sequence[T], chance: Stream) -> Sequence[T]:
    """What reached the disk of what no sync had waited for: a beginning of it, or anything."""
    if chance.random() < _EVEN:
        return unsynced[: chance.randint(0, len(unsynced))]
    return [each for each in unsynced if chance.random() < _EVEN]


class SimFile:
    """One file: `content` is what reading shows, `durable` what a power cut surely leaves."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.durable = bytearray()
        self.unsynced: list[Piece] = []
        self.named = False  # whether its name in the folder is durable

    def write(self, data: bytes, offset: int) -> None:
        """Have it read back at once, and on the disk some time."""
        _put(self.content, Piece(offset, data))
        self.unsynced += pieces(data, offset)

    def truncate(self, size: int) -> None:
        """End here."""
        piece = Piece(size, None)
        _put(self.content, piece)
        self.unsynced.append(piece)

    def sync(self) -> None:
        """Have everything on the disk."""
        for piece in self.unsynced:
            _put(self.durable, piece)
        self.unsynced.clear()
        self.named = True

    def lose_power(self, chance: Stream) -> None:
        """Be what the disk kept."""
        for piece in survivors(self.unsynced, chance):
            _put(self.durable, piece)
        self.unsynced.clear()
        self.content = bytearray(self.durable)


def _put(content: bytearray, piece: Piece) -> None:
    offset, data = piece
    if data is None:
        del content[offset:]
        return
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class SimDisk(apsw.VFS):
    """The `disk` of `gateway.app.make_cell`, for cells in simulated time.

    Args:
        seed: of all its chance.
        name: of its stream of chance.

    Attributes:
        pragmas: see `gateway.disk.Disk`.
        commit_s: how long a commit takes, in the run's own time; half of it before anything is on
            the disk, half after.
        capacity_bytes: SQLITE_FULL when the files would take more than this; None is endless.
        failing: every write and every sync is answered with SQLITE_IOERR.
        powered: whether it can be used.
        deeds: writes, syncs, truncations and deletions so far.
        on_power_cut: called in the moment when the power goes, from wherever that is.
    """

    instant = False

    def __init__(self, seed: int, name: str = "disk") -> None:
        self.pragmas: Sequence[str] = ("locking_mode=EXCLUSIVE", *DURABLE)
        self.commit_s = 0.0
        self.capacity_bytes: int | None = None
        self.failing = False
        self.powered = True
        self.deeds = 0
        self.on_power_cut: Callable[[], None] = lambda: None
        self._chance = stream(seed, f"disk/{name}")
        self._cut_at: int | None = None
        self._files: dict[str, SimFile] = {}
        self._deleted: dict[str, SimFile] = {}
        self._life = 0
        self._vfs_name = f"simdisk-{next(_names)}"
        super().__init__(self._vfs_name, "", iVersion=1)

    # --- what a cell does with it (gateway.disk.Disk) -----------------------------------------

    def connect(self, path: Path) -> Connection:
        """See `gateway.disk.Disk.connect`."""
        return cast("Connection", sqlite.connect(path, self._vfs_name))

    async def commit(self, commit: Callable[[], None]) -> None:
        """Call it, in the middle of `commit_s`.

        Raises:
            StoreError: the disk has it, and the power went before anybody could be told.
        """
        life = self._life
        await asyncio.sleep(self.commit_s / 2)
        commit()
        await asyncio.sleep(self.commit_s / 2)
        if life != self._life:
            raise StoreError(_NO_POWER)

    def close(self) -> None:
        """Nothing: the next life of the cell finds its files here."""

    # --- what can befall it -------------------------------------------------------------------

    def cut_power(self) -> None:
        """Forget what was not synced, or some of it; until `power_on` nothing can be done."""
        self._cut_at = None
        self.powered = False
        self._life += 1
        sure = {name: file for name, file in self._files.items() if file.named}
        maybe = {name: file for name, file in self._files.items() if not file.named}
        for name, file in [*maybe.items(), *self._deleted.items()]:
            if name not in sure and self._chance.random() < _EVEN:
                sure[name] = file
        self._files = sure
        for file in sure.values():
            file.lose_power(self._chance)
        self.folder_synced()  # what is there now stays
        self.on_power_cut()

    def power_on(self) -> None:
        """Be there again, with what was kept; files that were open stay dead."""
        self.powered = True

    def cut_power_in(self, deeds: int) -> None:
        """Cut the power in the middle of the so manieth write, sync or the like from now on."""
        self._cut_at = self.deeds + deeds

    @property
    def used_bytes(self) -> int:
        """What all files take."""
        return sum(len(file.content) for file in self._files.values())

    def deed(self, life: int | None = None, grows_bytes: int = 0) -> None:
        """Allow the next deed, or raise what SQLite is to hear instead.

        Raises:
            apsw.IOError: the power is off, or went since this file was opened in its `life`; or
                the disk fails.
            apsw.FullError: there is no room.
        """
        self.in_power(life)
        self.deeds += 1
        if self.failing:
            raise _error(apsw.SQLITE_IOERR, "the disk fails")
        room = self.capacity_bytes
        if grows_bytes > 0 and room is not None and self.used_bytes + grows_bytes > room:
            raise _error(apsw.SQLITE_FULL, "the disk is full")

    def done(self) -> None:
        """A deed has been done, unless the power goes in this moment.

        Raises:
            apsw.IOError: it does.
        """
        if self.deeds == self._cut_at:
            self.cut_power()
            raise _error(apsw.SQLITE_IOERR, _NO_POWER)

    def in_power(self, life: int | None = None) -> int:
        """Which life it is, if it is still that in which the file was opened.

        Raises:
            apsw.IOError: it is not.
        """
        if not self.powered or life not in {None, self._life}:
            raise _error(apsw.SQLITE_IOERR, _NO_POWER)
        return self._life

    def folder_synced(self) -> None:
        """All names are durable, and what was deleted is gone."""
        self._deleted.clear()
        for file in self._files.values():
            file.named = True

    # --- what SQLite does with it (apsw.VFS) --------------------------------------------------

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 -- apsw's
        """A file, made if it is not there; one without a name is nobody else's."""
        life = self.in_power()
        if name is None:
            file = SimFile()
        else:
            known = name if isinstance(name, str) else name.filename()
            file = self._files.setdefault(known, SimFile())
        return cast("apsw.VFSFile", OpenFile(self, file, life, bool(flags[0] & _SYNCS_FOLDER)))

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: FBT001, N802 -- apsw's
        """Take the name out of the folder; with `syncdir` for good."""
        self.deed()
        file = self._files.pop(filename, None)
        if file is not None:
            self._deleted[filename] = file
        if syncdir:
            self.folder_synced()
        self.done()

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802 -- apsw's
        """Whether it is there."""
        del flags
        self.in_power()
        return pathname in self._files

    def xFullPathname(self, name: str) -> str:  # noqa: N802 -- apsw's
        """It is full already."""
        return name


class OpenFile:
    """An open `SimFile`, as SQLite wants it (`apsw.VFSFile`); dead once the power went."""

    def __init__(self, disk: SimDisk, file: SimFile, life: int, syncs_folder: bool) -> None:  # noqa: FBT001 -- from one place
        self._disk = disk
        self._file = file
        self._life = life
        self._syncs_folder = syncs_folder

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 -- apsw's
        """As much of it as there is."""
        self._disk.in_power(self._life)
        return bytes(self._file.content[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 -- apsw's
        """Write, if there is room."""
        self._disk.deed(self._life, offset + len(data) - len(self._file.content))
        self._file.write(bytes(data), offset)
        self._disk.done()

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 -- apsw's
        """End the file here."""
        self._disk.deed(self._life)
        self._file.truncate(newsize)
        self._disk.done()

    def xSync(self, flags: int) -> None:  # noqa: N802 -- apsw's
        """Have it on the disk; when the power goes meanwhile, some of it."""
        del flags
        self._disk.deed(self._life)
        self._disk.done()
        if self._syncs_folder and not self._file.named:
            self._disk.folder_synced()
        self._file.sync()

    def xFileSize(self) -> int:  # noqa: N802 -- apsw's
        """In bytes."""
        self._disk.in_power(self._life)
        return len(self._file.content)

    def xLock(self, level: int) -> None:  # noqa: N802 -- apsw's
        """Granted: a store has one owner, and a lock file that says so."""

    def xUnlock(self, level: int) -> None:  # noqa: N802 -- apsw's
        """See `xLock`."""

    def xCheckReservedLock(self) -> bool:  # noqa: N802 -- apsw's
        """See `xLock`."""
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802 -- apsw's
        """Nothing is understood."""
        del op, ptr
        return False

    def xSectorSize(self) -> int:  # noqa: N802 -- apsw's
        """As unix says."""
        return _PAGE_BYTES

    def xDeviceCharacteristics(self) -> int:  # noqa: N802 -- apsw's
        """As unix says."""
        return _CHARACTERISTICS

    def xClose(self) -> None:  # noqa: N802 -- apsw's
        """What was not synced may be lost all the same."""


def _error(code: int, words: str) -> Exception:
    error = apsw.exception_for(code)
    error.args = (words,)
    return error
