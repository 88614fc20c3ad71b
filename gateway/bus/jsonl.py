"""Events as lines of a file: for the record, for tests, for whoever reads files."""

import asyncio
import os
from pathlib import Path
from typing import Final

import structlog

from gateway.bus.feed import Feed
from gateway.config import JsonlBus
from gateway.store import Row, Store

log = structlog.get_logger("gateway.bus")

_BATCH_ROWS: Final = 512
_RETRY_S: Final = 1.0
_TAIL_BYTES: Final = 1_048_576


class JsonlSink:
    """Appends every event of a cell to its file, one JSON object a line."""

    def __init__(self, config: JsonlBus, cell: str, store: Store, committed: int) -> None:
        self.name = config.name
        self.trouble = ""
        self._config = config
        self._path = config.path_of(cell)
        self._wake = asyncio.Event()
        self._file: int | None = None
        self.feed = Feed(store, store.sinks.get(config.name, 0), committed, self._wake.set)

    async def run(self) -> None:
        """Write until cancelled; a full disk is waited for."""
        while True:
            if not await self._step():
                await self._wake.wait()
            self._wake.clear()

    async def drain(self, limit_s: float) -> None:
        """Write what there is, once."""
        del limit_s  # a file takes its time or fails
        while not self.trouble and await self._step():
            pass
        if self._file is not None:
            os.close(self._file)
            self._file = None

    async def _step(self) -> bool:
        rows = self.feed.take(_BATCH_ROWS)
        if not rows:
            return False
        try:
            self._write(rows)
            if self._config.fsync and self._file is not None:
                await asyncio.get_running_loop().run_in_executor(None, os.fsync, self._file)
        except OSError as error:
            self.feed.put_back(rows)
            if not self.trouble:
                log.warning("sink.failed", sink=self.name, file=str(self._path), error=str(error))
            self.trouble = f"{self._path}: {error.strerror}"
            await asyncio.sleep(_RETRY_S)
            return True
        if self.trouble:
            self.trouble = ""
            log.info("sink.recovered", sink=self.name)
        for row in rows:
            self.feed.delivered(row.row)
        return True

    def _write(self, rows: list[Row]) -> None:
        if self._file is None:
            self._file = _opened(self._path)
        lines = b"".join([row.event + b"\n" for row in rows])
        at = os.lseek(self._file, 0, os.SEEK_END)
        written = 0
        try:
            while written < len(lines):
                written += os.write(self._file, lines[written:])
        except OSError:
            os.ftruncate(self._file, at)  # no half line, and none twice
            raise
        if at + len(lines) >= self._config.rotate_bytes:
            os.close(self._file)
            self._file = None
            self._path.replace(self._path.with_name(self._path.name + ".1"))


def _opened(path: Path) -> int:
    """The file for appending, without the torn line that a crash may have left at its end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    size = os.fstat(descriptor).st_size
    start = max(0, size - _TAIL_BYTES)
    tail = os.pread(descriptor, size - start, start)
    if tail and not tail.endswith(b"\n"):
        os.ftruncate(descriptor, start + tail.rfind(b"\n") + 1)
    return descriptor
