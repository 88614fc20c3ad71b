"""One process per cell, watched: a cell that hangs, grows or dies is restarted, and only it.

supervisor ──fork──► cell nuki     each forked from a warm image: imports done, heap frozen,
    ▲    └──fork──► cell ratgdo    no thread and no event loop yet
    └─ a heartbeat a second, over a pipe of its own
"""

import contextlib
import gc
import os
import random
import select
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

import orjson
import structlog

from devices.health import CellState
from gateway import schemas, status
from gateway.app import MakeCell
from gateway.cell_process import SIGNALS, be_a_cell
from gateway.config import CellConfig, GatewayConfig
from gateway.config_file import vendor_of
from gateway.notify import notify
from gateway.state_dir import owned

log = structlog.get_logger("gateway.supervisor")

_TICK_S: Final = 0.1
_STATUS_S: Final = 1.0
_MEMORY_S: Final = 5.0
_PIPE_BYTES: Final = 65_536
# A cell that was told to stop before it had learnt to listen, and had nothing to finish.
_IN_PEACE: Final = ("exit 0", f"signal {signal.SIGTERM:d}")


class Child:
    """One cell's process, or the pause before its next one."""

    def __init__(self, config: CellConfig) -> None:
        self.config = config
        self.pid = 0
        self.pipe = -1
        self.unread = b""
        self.began_s = self.heard_s = 0.0
        self.beaten = False
        self.failures = 0
        self.restarts = 0
        self.start_at_s = 0.0
        self.said: dict[str, object] = {}
        self.last_end = ""


class Supervisor:
    """Forks the cells and keeps them."""

    def __init__(
        self, config: GatewayConfig, make: MakeCell, rng: random.Random, lock: int
    ) -> None:
        self._config = config
        self._make = make
        self._lock = lock
        self._times = config.supervisor
        self._rng = rng
        self._children = [Child(cell) for cell in config.cells]
        self._stopping = False
        self._ready = False
        self._status_s = self._memory_s = 0.0

    def run(self) -> int:
        """Until SIGTERM or SIGINT; 0 if every cell went in peace."""
        for number in SIGNALS:
            signal.signal(number, self._stop)
        for child in self._children:
            self._start(child)
        while not self._stopping:
            self._turn()
        return self._drain()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stopping = True

    def _turn(self) -> None:
        now_s = time.monotonic()
        self._listen(_TICK_S)
        self._reap()
        for child in self._children:
            if not child.pid and now_s >= child.start_at_s and not self._stopping:
                self._start(child)
            elif child.pid:
                self._watch(child, now_s)
        if now_s - self._memory_s >= _MEMORY_S:
            self._memory_s = now_s
            self._weigh()
        if now_s - self._status_s >= min(_STATUS_S, self._times.heartbeat_s):
            self._status_s = now_s
            self._report()
        if not self._ready and all(child.beaten for child in self._children):
            self._report()
            self._ready = True
            notify(f"READY=1\nMAINPID={os.getpid()}\nSTATUS={len(self._children)} cells")
            log.info("gateway.ready", cells=[child.config.name for child in self._children])

    # --- one child ----------------------------------------------------------------------------

    def _start(self, child: Child) -> None:
        try:
            ours, theirs = os.pipe()
        except OSError as error:
            self._not_started(child, error)
            return
        sys.stderr.flush()
        sys.stdout.flush()
        parent = os.getpid()
        # Held back, or a stop in this moment would meet our handler in the child and be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                os.close(ours)
                os.close(self._lock)  # else it would outlive us in our cells
                for other in self._children:
                    if other.pipe >= 0:
                        os.close(other.pipe)
                be_a_cell(self._config, child.config, self._make, theirs, parent)
        except OSError as error:
            os.close(ours)
            self._not_started(child, error)
            return
        finally:
            os.close(theirs)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.set_blocking(ours, False)
        child.pid, child.pipe, child.unread = pid, ours, b""
        child.began_s = child.heard_s = time.monotonic()
        child.beaten = False
        log.info("cell.started", cell=child.config.name, pid=pid)

    def _not_started(self, child: Child, error: OSError) -> None:
        """No process or descriptor to be had at present."""
        wait_ms = self._backoff_ms(child)
        log.error(
            "cell.not_started",
            cell=child.config.name,
            error=error.strerror,
            restart_in_ms=wait_ms,
        )

    def _listen(self, wait_s: float) -> None:
        pipes = {child.pipe: child for child in self._children if child.pipe >= 0}
        readable, _, _ = select.select(list(pipes), [], [], wait_s)
        for pipe in readable:
            child = pipes[pipe]
            with contextlib.suppress(BlockingIOError):
                data = os.read(pipe, _PIPE_BYTES)
                if not data:
                    os.close(pipe)
                    child.pipe = -1
                    continue
                *lines, child.unread = (child.unread + data).split(b"\n")
                if lines:
                    with contextlib.suppress(orjson.JSONDecodeError):  # it lives, whatever it said
                        child.said = orjson.loads(lines[-1])
                    child.heard_s = time.monotonic()
                    child.beaten = True

    def _watch(self, child: Child, now_s: float) -> None:
        allowed_s = self._times.hang_s if child.beaten else self._times.start_s
        if now_s - child.heard_s > allowed_s:
            log.error("cell.hung", cell=child.config.name, pid=child.pid, silent_s=allowed_s)
            os.kill(child.pid, signal.SIGKILL)
            child.heard_s = now_s  # killed once; reaped within a moment

    def _weigh(self) -> None:
        """Private memory, where /proc tells it."""
        for child in self._children:
            if child.pid and (private_mb := private_memory_mb(child.pid)) is not None:
                child.said["private_mb"] = round(private_mb, 1)
                limit_mb = child.config.limits.memory_max_mb
                if private_mb > limit_mb:
                    log.error(
                        "cell.too_large",
                        cell=child.config.name,
                        private_mb=round(private_mb),
                        limit_mb=limit_mb,
                    )
                    os.kill(child.pid, signal.SIGKILL)

    def _reap(self) -> None:
        for child in self._children:
            if not child.pid:
                continue
            pid, code = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._ended(child, code)

    def _ended(self, child: Child, code: int) -> None:
        ended = os.waitstatus_to_exitcode(code)
        child.last_end = f"signal {-ended}" if ended < 0 else f"exit {ended}"
        if child.pipe >= 0:
            os.close(child.pipe)
            child.pipe = -1
        child.pid = 0
        if self._stopping:
            return
        if time.monotonic() - child.began_s >= self._times.stable_s:
            child.failures = 0
        wait_ms = self._backoff_ms(child)
        child.restarts += 1
        log.error("cell.ended", cell=child.config.name, how=child.last_end, restart_in_ms=wait_ms)

    def _backoff_ms(self, child: Child) -> int:
        """Plan its next start; full jitter below a ceiling that doubles."""
        wait_ms = self._times.backoff.delay_ms(child.failures, self._rng)
        child.failures += 1
        child.start_at_s = time.monotonic() + wait_ms / 1000
        return wait_ms

    # --- all of them --------------------------------------------------------------------------

    def _report(self) -> None:
        now_s = time.monotonic()
        cells = {
            child.config.name: {
                **child.said,
                **({} if child.pid else {"state": self._state_of(child)}),
                "pid": child.pid or None,
                "restarts": child.restarts,
                "last_end": child.last_end,
                "silent_s": round(now_s - child.heard_s, 1),
            }
            for child in self._children
        }
        status.write(Path(self._config.state_dir), self._config.site, cells)
        if self._ready:
            up = sum(1 for child in self._children if child.pid)
            # READY again, should the first one not have got through; once known it changes nothing.
            notify(f"READY=1\nWATCHDOG=1\nSTATUS={up} of {len(self._children)} cells run")

    def _state_of(self, child: Child) -> CellState:
        """What a cell without a process is."""
        in_peace = self._stopping and child.last_end in _IN_PEACE
        return CellState.STOPPED if in_peace else CellState.DOWN

    def _drain(self) -> int:
        """Ask all to finish, kill who does not, and say how it went."""
        notify("STOPPING=1")
        deadline_s = time.monotonic() + self._times.drain_s
        leaving = [child for child in self._children if child.pid]
        for child in leaving:
            os.kill(child.pid, signal.SIGTERM)
        while any(child.pid for child in leaving) and time.monotonic() < deadline_s:
            self._listen(0.02)
            self._reap()
        clean = all(child.last_end in _IN_PEACE for child in leaving if not child.pid)
        for child in leaving:
            if child.pid:
                clean = False
                child.last_end = "killed: did not stop in time"
                log.error("cell.killed", cell=child.config.name, after_s=self._times.drain_s)
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
                child.pid = 0
        self._report()
        log.info("gateway.stopped", clean=clean)
        return 0 if clean else 1


def supervise(config: GatewayConfig, make: MakeCell) -> int:
    """Run the gateway with a process per cell; the exit code."""
    for cell in config.cells:
        vendor_of(cell)  # imported here, once, for all forks to share
    schemas.installed()  # likewise compiled
    with owned(Path(config.state_dir)) as lock:
        gc.collect()
        gc.freeze()
        return Supervisor(config, make, random.Random(), lock).run()  # noqa: S311 -- jitter, not secrets


def private_memory_mb(pid: int) -> float | None:
    """Memory that only this process has; None where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024
