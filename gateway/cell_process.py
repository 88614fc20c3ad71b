"""The life of a cell's process, from the fork to its exit code."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from typing import Final, NoReturn

import orjson
import structlog

from devices.errors import FleetError
from gateway.app import MakeCell
from gateway.config import CellConfig, GatewayConfig

log = structlog.get_logger("gateway.supervisor")

#: What a supervisor acts upon, and holds back while it forks.
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_BROKEN_CELL: Final = 70  # sysexits(3): EX_SOFTWARE
_BAD_CONFIG: Final = 2
_GIVE_BACK_S: Final = 5.0


def be_a_cell(
    config: GatewayConfig, cell: CellConfig, make: MakeCell, beats: int, parent: int
) -> NoReturn:
    """Run one cell in this process, just forked; `beats` is the pipe for its heartbeat."""
    code = _BROKEN_CELL
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C meets us all; the supervisor decides
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == parent:  # else it died before we could ask to be told
            asyncio.run(_live(config, cell, make, beats))
        code = 0
    except FleetError as error:
        log.error("cell.refused", cell=cell.name, error=str(error))  # noqa: TRY400 -- no bug: the sentence says all
        code = _BAD_CONFIG
    except BaseException:
        log.exception("cell.broke", cell=cell.name)
    finally:
        sys.stderr.flush()
        os._exit(code)


async def _live(config: GatewayConfig, cell_config: CellConfig, make: MakeCell, beats: int) -> None:
    """Run the cell until we are told to stop, or the supervisor is gone."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    os.set_blocking(beats, False)

    def beat(snapshot: dict[str, object]) -> None:
        try:
            os.write(beats, orjson.dumps(snapshot) + b"\n")
        except BlockingIOError:
            pass  # the supervisor is busy; it counts our silence, not our lines
        except OSError:
            stop.set()  # it is gone: finish, so that the next one finds the store free

    cell = make(config, cell_config, on_beat=beat)
    tidying = _give_back(loop)
    running = asyncio.create_task(cell.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    tidying.cancel()
    if not running.done():
        running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def _give_back(loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
    """Return what a burst left to the system now and then; glibc by itself keeps it for ever."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    async def now_and_then() -> None:
        while trim is not None:
            await asyncio.sleep(_GIVE_BACK_S)
            trim(0)

    return loop.create_task(now_and_then())
