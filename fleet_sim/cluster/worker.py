"""One shard in a process of its own: `python -m fleet_sim.cluster.worker FD STATE FOLDER`.

It is given a `Job` through the socket FD, says `Built` when its devices are there, waits to be let
go, says about once a second how far it is, and `Done` with what it found. STATE is for what it
needs while it runs, its journal is in FOLDER; both belong to whoever started it.
"""

import _thread
import os
import socket
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from devices.errors import ConfigError
from fleet_sim.cluster import shard_run, wire_shard
from fleet_sim.cluster.orders import Orders
from fleet_sim.cluster.plan import Built, Done, Job, Lost, Progress, Refused, Word
from fleet_sim.meter import Moment

_TELL_S: Final = 1.0
# Whoever was told to end and has not done so by then is ended.
_END_S: Final = 3.0
_ORPHANED: Final = 70


class _Mouth:
    """Says words from more than one thread."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def say(self, word: Word) -> None:
        with self._lock:
            self._pipe.send(word)


class _Told:
    """Tells how the shard stands, at most once a second. A `meter.Watch`."""

    def __init__(self, shard: int, mouth: _Mouth) -> None:
        self._shard = shard
        self._mouth = mouth
        self._told_s = 0.0

    def say(self, text: str) -> None:
        """What there is to say, whoever started the worker says."""

    def show(self, moment: Moment) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= _TELL_S or moment.elapsed_s >= moment.seconds:
            self._told_s = now_s
            self._mouth.say(Progress(self._shard, moment))


def main(fd: int, state: Path, folder: Path) -> None:
    """Do the one job that comes through this socket."""
    pipe = Connection(fd)
    job: Job = pipe.recv()
    mouth, orders = _Mouth(pipe), Orders()
    threading.Thread(target=_listen, args=(pipe, orders), name="listen", daemon=True).start()
    shard = job.shard.index
    over = threading.Event()

    def beat() -> None:
        while not over.wait(_TELL_S):
            mouth.say(Progress(shard, None))

    where = f"{socket.gethostname()} process {os.getpid()}"
    threading.Thread(target=beat, name="beat", daemon=True).start()
    try:
        if job.wire is not None:
            part = wire_shard.run(job, job.wire, folder, where, mouth.say, orders)
        else:

            def built() -> None:
                mouth.say(Built(shard, where))
                orders.next()

            part = shard_run.run(job, state, folder, watch=_Told(shard, mouth), built=built)
        over.set()
        mouth.say(Done(shard, part))
    except KeyboardInterrupt:
        sys.exit(_ORPHANED)
    except ConfigError as error:
        mouth.say(Refused(shard, error.problems))
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is told, and told there
        traceback.print_exc()
        mouth.say(Lost(shard, f"{type(error).__name__}: {error}"))


def _listen(pipe: Connection, orders: Orders) -> None:
    """Hear the orders; and end when there is nobody left to work for."""
    try:
        while True:
            orders.give(pipe.recv())
    except (EOFError, OSError):
        pass
    # The main thread cleans up behind itself; one that is stuck is not waited for.
    _thread.interrupt_main()
    orders.give(None)
    threading.Event().wait(_END_S)
    os._exit(_ORPHANED)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
    # All is said. To take a whole fleet apart, object by object, takes half a second.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
