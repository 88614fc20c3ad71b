"""A gateway whose vendors' code misbehaves on order; all else of it is the real one.

    python -m fleet_sim.ground.saboteur CONFIG      runs what `doorfleet-gateway run CONFIG` runs

    Saboteur.order ─ {"what", "until_s"} ─► <state_dir>/<cell>.orders ─► the adapter's code
              └───── SIGKILL, SIGSTOP ────► the cell's process, whatever it runs

An order is a lease of a second, said again while it holds: whoever dies heals all that it ordered.
A cell that is restarted meanwhile is told again, as a vendor's bug would strike again.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from devices.command import Command
from devices.errors import ConfigError
from gateway.app import Cell, CellConfig, GatewayConfig, RealDisk, load, make_cell, run
from vendors import registry
from vendors.api import Adapter, HasHosts, HostStanding

#: What to run instead of `doorfleet-gateway run`.
PROGRAM: Final = (sys.executable, "-m", "fleet_sim.ground.saboteur")
#: What cannot go on without being said again; longer than the pauses between two sayings.
LEASE_S: Final = 1.0
_AGAIN_S: Final = 0.2
_STEP_S: Final = 0.05
_MB: Final = 1_000_000
#: Every file's first page can be written, and nothing behind it.
_FILE_BYTES: Final = 4_096
_EXIT_CODE: Final = 71
_ORDER_BYTES: Final = 1_024
# Source: unix(7), `sun_path`; one byte is its end, and macOS has four less than Linux.
_PATH_BYTES_MAX: Final = 103

#: How much of it, of what can be more or less: MB/s of a leak, as many as a machine bears whose
#: gateway looks at its cells' memory every second or two; seconds of a slow commit.
USUAL: Final[Mapping[str, float]] = {"leak": 80.0, "disk_slow": 0.5}
#: What can be done to its process: the signal that begins it, and the one that ends it.
OUTSIDE: Final[Mapping[str, tuple[signal.Signals, signal.Signals | None]]] = {
    "kill": (signal.SIGKILL, None),
    "freeze": (signal.SIGSTOP, signal.SIGCONT),
}


class Saboteur:
    """Gives the orders, knowing a gateway's state folder alone."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    async def order(self, cell: str, what: str, for_s: float, much: float | None = None) -> int:
        """Have a cell misbehave for so long, each life of it anew; to be cancelled is to heal it.

        A frozen process cannot heal by itself: if we die, the gateway counts it as hung.

        Args:
            cell: whose code.
            what: of `INSIDE` or `OUTSIDE`.
            for_s: how long.
            much: MB/s of a leak, seconds of a slow commit; absent, as `USUAL` says.

        Returns:
            How often a life of the cell was told; 0 says that there was none.

        Raises:
            ConfigError: see `orders_of`.
            ValueError: nobody can do that.
        """
        if what not in {**INSIDE, **OUTSIDE}:
            raise ValueError(f"{what!r}: unknown; known are {', '.join([*INSIDE, *OUTSIDE])}")
        until_s = time.monotonic() + for_s
        told = 0
        try:
            while (left_s := until_s - time.monotonic()) > 0:
                told += self._tell(cell, what, min(LEASE_S, left_s), much)
                await asyncio.sleep(min(_AGAIN_S, left_s))
        finally:
            self._tell(cell, what, 0.0)
        return told

    def pid(self, cell: str) -> int | None:
        """The cell's process, as the gateway last said; None if it has none."""
        with contextlib.suppress(OSError, ValueError, LookupError):
            status = orjson.loads((self._state_dir / "status.json").read_bytes())
            pid: int | None = status["cells"][cell]["pid"]
            return pid
        return None

    def _tell(self, cell: str, what: str, lease_s: float, much: float | None = None) -> bool:
        if what in INSIDE:
            much = USUAL.get(what, 0.0) if much is None else much
            until_s = time.monotonic() + lease_s
            return self._write(cell, {"what": what, "until_s": until_s, "much": much})
        number = OUTSIDE[what][0 if lease_s else 1]
        pid = self.pid(cell)
        if pid is None or number is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
        return False

    def _write(self, cell: str, order: Mapping[str, object]) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(0)
            try:
                out.sendto(orjson.dumps(order), str(orders_of(self._state_dir, cell)))
            except OSError:  # between two lives; or it does not read, and was told before
                return False
        return True


def orders_of(state_dir: Path, cell: str) -> Path:
    """The socket on which a cell's adapter listens for orders.

    Raises:
        ConfigError: no socket can have so long a path.
    """
    path = state_dir / f"{cell}.orders"
    if len(os.fsencode(path)) > _PATH_BYTES_MAX:
        raise ConfigError((f"state_dir: {path} is too long for a socket; choose a shorter one",))
    return path


# --- in the cell ------------------------------------------------------------------------------


class SlowDisk(RealDisk):
    """The machine's, whose commits may take `commit_s` longer."""

    commit_s = 0.0

    async def commit(self, commit: Callable[[], None]) -> None:
        """See `gateway.disk.Disk.commit`."""
        await asyncio.sleep(self.commit_s)
        await super().commit(commit)


class Sabotaged:
    """A vendor's adapter that takes orders beside its work; an `Adapter`."""

    def __init__(self, adapter: Adapter, orders: Path, disk: SlowDisk) -> None:
        self.disk = disk
        self._adapter = adapter
        self._orders = orders
        #: How much of what is ordered.
        self.much: dict[str, float] = {}
        self._until_s: dict[str, float] = {}
        self._at_it: dict[str, asyncio.Task[None]] = {}

    async def send(self, command: Command) -> None:
        """As the adapter does."""
        await self._adapter.send(command)

    async def refresh(self, device: str) -> None:
        """As the adapter does."""
        await self._adapter.refresh(device)

    def hosts(self) -> Iterable[HostStanding]:
        """As the adapter says, if it has any."""
        return self._adapter.hosts() if isinstance(self._adapter, HasHosts) else ()

    async def run(self) -> None:
        """Work, and misbehave when told to."""
        loop = asyncio.get_running_loop()
        self._broken: asyncio.Future[None] = loop.create_future()
        with _listening(self._orders) as self._socket:
            loop.add_reader(self._socket, self._listen)
            working = asyncio.create_task(self._adapter.run())
            try:
                await asyncio.wait([working, self._broken], return_when=asyncio.FIRST_COMPLETED)
                (working if working.done() else self._broken).result()
            finally:
                loop.remove_reader(self._socket)
                tasks = [working, *self._at_it.values()]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def ordered(self, what: str) -> bool:
        """Whether to go on with it; looks for orders, since nobody else may get to it."""
        self._listen()
        return time.monotonic() < self._until_s[what]

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                order = orjson.loads(self._socket.recv(_ORDER_BYTES))
                what, until_s = order["what"], order["until_s"]
                self._until_s[what], self.much[what] = until_s, order["much"]
                if until_s > time.monotonic() and what not in self._at_it:
                    task = self._at_it[what] = asyncio.create_task(INSIDE[what](self))
                    task.add_done_callback(partial(self._done, what))

    def _done(self, what: str, task: asyncio.Task[None]) -> None:
        del self._at_it[what]
        if not task.cancelled() and (error := task.exception()) and not self._broken.done():
            self._broken.set_exception(error)


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    path.unlink(missing_ok=True)  # of a life that was killed
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as orders:
        orders.settimeout(0)
        orders.bind(str(path))
        yield orders


async def _over(life: Sabotaged, what: str) -> None:
    while life.ordered(what):  # noqa: ASYNC110 -- it ends by the clock
        await asyncio.sleep(_STEP_S)


async def _hang(life: Sabotaged) -> None:
    """Wait, and let nobody else of the cell run."""
    while life.ordered("hang"):
        time.sleep(_STEP_S)  # noqa: ASYNC251 -- to let nobody else run is what is ordered


async def _spin(life: Sabotaged) -> None:
    """Compute without end."""
    while life.ordered("spin"):
        pass


async def _leak(life: Sabotaged) -> None:
    """Take so many MB a second, and keep them."""
    kept = []
    while life.ordered("leak"):
        # Not zeros, which cost nothing before they are read.
        kept.append(b"\xff" * round(life.much["leak"] * _MB * _STEP_S))
        await asyncio.sleep(_STEP_S)


async def _crash(life: Sabotaged) -> None:
    """Raise what nobody expects."""
    del life
    raise RuntimeError("told to crash")


async def _exit(life: Sabotaged) -> None:
    """End the process at once, with an exit code of its own."""
    del life
    os._exit(_EXIT_CODE)


async def _files(life: Sabotaged) -> None:
    """Let no further file or socket be opened (EMFILE)."""
    # The lowest limit that the system allows to be set: what is open stays open.
    with _limited(resource.RLIMIT_NOFILE, 0):
        await _over(life, "files")


async def _disk_full(life: Sabotaged) -> None:
    """Let no file be written behind its first 4 KiB (EFBIG)."""
    with _limited(resource.RLIMIT_FSIZE, _FILE_BYTES):
        await _over(life, "disk_full")


async def _disk_slow(life: Sabotaged) -> None:
    """Have each commit take so much longer."""
    life.disk.commit_s = life.much["disk_slow"]
    try:
        await _over(life, "disk_slow")
    finally:
        life.disk.commit_s = 0.0


@contextlib.contextmanager
def _limited(what: int, limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


#: What can be ordered of a cell's code; each says in its docstring what it does.
INSIDE: Final[Mapping[str, Callable[[Sabotaged], Coroutine[Any, Any, None]]]] = {
    "hang": _hang,
    "spin": _spin,
    "leak": _leak,
    "crash": _crash,
    "exit": _exit,
    "files": _files,
    "disk_full": _disk_full,
    "disk_slow": _disk_slow,
}


def sabotaged(
    config: GatewayConfig, cell: CellConfig, *, on_beat: Callable[[dict[str, object]], None]
) -> Cell:
    """A `gateway.app.MakeCell`: the cell as it is, with an adapter that takes orders."""
    vendor, disk = registry.vendor(cell.vendor), SlowDisk()
    orders = orders_of(Path(config.state_dir), cell.name)

    def connect(settings: Any, port: Any) -> Adapter:  # noqa: ANN401 -- the vendor's own
        return Sabotaged(vendor.connect(settings, port), orders, disk)

    return make_cell(
        config, cell, vendor=replace(vendor, connect=connect), disk=disk, on_beat=on_beat
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the gateway of this configuration until SIGTERM; its exit code, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m fleet_sim.ground.saboteur",
        description="Run a gateway whose vendors' code misbehaves on order.",
    )
    parser.add_argument("config", type=Path, help="a gateway's YAML file")
    try:
        return run(load(parser.parse_args(arguments).config), sabotaged)
    except ConfigError as error:
        sys.stderr.write("\n".join(error.problems) + "\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
