"""Workers on this machine: a process each, spoken to through a pair of sockets.

A worker outlives nobody: when the other end of its socket is closed, however that came about, it
ends. Nor is it reached by Ctrl-C; it is ended by whoever started it.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Final

from fleet_sim.cluster.orders import Heal, Order, Strike
from fleet_sim.cluster.plan import Done, Job, Lost, Refused, Word
from fleet_sim.scratch import scratch

# A worker says about once a second that it lives; one that is silent for so long hangs.
_SILENT_S: Final = 60.0
_END_S: Final = 5.0


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: Connection
    heard_s: float
    #: How long it may say nothing; until its first word it loads what it needs.
    silent_s: float = _SILENT_S
    #: It has said its last.
    over: bool = False


class LocalCrew:
    """Worker processes.

    Args:
        folder: journals are written there.
        silent_s: who has spoken, and says nothing for so long, is lost.
    """

    def __init__(self, folder: Path, silent_s: float = _SILENT_S) -> None:
        self._folder = folder
        self._silent_s = silent_s
        # Ours and not the workers', so that one that is killed leaves nothing.
        self._state = scratch()
        self._workers: dict[int, _Worker] = {}

    def start(self, job: Job) -> None:
        """Give a shard to a new process."""
        shard = job.shard.index
        if shard in self._workers:
            self._end(shard)
        ours, theirs = Pipe()
        with theirs:
            process = subprocess.Popen(  # noqa: S603 -- this interpreter, and words of ours
                [
                    *(sys.executable, "-P", "-m", "fleet_sim.cluster.worker"),
                    *(str(theirs.fileno()), self._state.name, str(self._folder)),
                ],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno() if _real(sys.stderr) else subprocess.DEVNULL,
                start_new_session=True,
            )
        self._workers[shard] = _Worker(process, ours, time.monotonic())
        with contextlib.suppress(OSError):  # who has gone already is heard of by `words`
            ours.send(job)

    def tell(self, shard: int, order: Order | Strike | Heal) -> None:
        """Give it an order."""
        with contextlib.suppress(OSError):
            self._workers[shard].pipe.send(order)

    def words(self, within_s: float) -> list[Word]:
        """What the workers have said; waits so long for the first word."""
        talking = {worker.pipe: shard for shard, worker in self._workers.items() if not worker.over}
        ready = wait(list(talking), within_s)
        heard: list[Word] = []
        for pipe in ready:
            assert isinstance(pipe, Connection)
            heard += self._read(talking[pipe])
        now_s = time.monotonic()
        for shard, worker in list(self._workers.items()):
            if not worker.over and now_s - worker.heard_s > worker.silent_s:
                worker.process.kill()
                why = f"process {worker.process.pid} said nothing for {worker.silent_s:g} s"
                heard.append(self._lose(shard, why))
        return heard

    def _read(self, shard: int) -> Iterator[Word]:
        worker = self._workers[shard]
        try:
            while worker.pipe.poll():
                word: Word = worker.pipe.recv()
                worker.heard_s, worker.silent_s = time.monotonic(), self._silent_s
                worker.over = isinstance(word, (Done, Refused, Lost))
                yield word
                if worker.over:
                    return
        except (EOFError, OSError, pickle.UnpicklingError):
            yield self._lose(shard, None)

    def _lose(self, shard: int, why: str | None) -> Lost:
        pid = self._workers[shard].process.pid
        code = self._end(shard)
        return Lost(shard, why or f"process {pid} {_ended(code)}")

    def _end(self, shard: int) -> int:
        """Have the process gone; its exit code."""
        worker = self._workers.pop(shard)
        worker.pipe.close()
        try:
            return worker.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            return worker.process.wait()

    def stop(self) -> None:
        """End all of them."""
        for worker in self._workers.values():
            worker.pipe.close()
        for shard in list(self._workers):
            self._end(shard)
        self._state.cleanup()


def _real(stream: object) -> bool:
    """Whether it is a file that a process may write to."""
    try:
        return os.fstat(stream.fileno()) is not None  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False


def _ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
