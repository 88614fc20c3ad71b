"""What a run on real sockets needs around its fleet: a broker, and a gateway, as processes.

Each is started as a user would start it, is watched, and is ended by its own pid and no other.
"""

import asyncio
import contextlib
import os
import re
import shutil
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from devices.errors import FleetError

_START_S: Final = 20.0
_END_S: Final = 8.0
_PORT_TRIES: Final = 5
_LINES_KEPT: Final = 20
_MQTT_PORT: Final = 1883
# Where packages put it, and where a person's PATH often does not look.
_SBIN: Final = ":/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
# No limit to what waits for a client: what a broker drops would look like the gateway's loss. Its
# log of every packet would cost it more than the packets do.
_MOSQUITTO: Final = """\
listener {port} {host}
allow_anonymous true
persistence false
set_tcp_nodelay true
max_inflight_messages 1000
max_queued_messages 1000000
log_type error
log_type warning
log_type information
connection_messages false
"""


class StageError(FleetError):
    """A process that the run needs could not be had; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class BrokerAt:
    """A broker to connect to; `kind` is `embedded`, `mosquitto`, `docker`, or the URL given."""

    kind: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """Where an MQTT client connects."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt://{host}:{self.port}"

    @property
    def ours(self) -> bool:
        """Whether it was made for this run, and nobody else's retained messages are on it."""
        return self.kind in ("embedded", "mosquitto")


class Process:
    """One child with a name for people. Its last lines are kept, to be shown if it fails.

    It has a session of its own: Ctrl-C reaches us alone, and we end the children in order.
    """

    def __init__(
        self, name: str, child: asyncio.subprocess.Process, patience_s: float = _END_S
    ) -> None:
        self.name = name
        self._patience_s = patience_s
        self._child = child
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._heard = asyncio.Event()
        self._over = False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls,
        name: str,
        *command: str,
        env: dict[str, str] | None = None,
        patience_s: float = _END_S,
    ) -> "Process":
        """Run `command`; `patience_s` is what it gets to end in when it is told to.

        Raises:
            StageError: there is no such program, or it may not be run.
        """
        try:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
        except OSError as error:
            raise StageError(f"{name} could not be started: {error}") from error
        return cls(name, child, patience_s)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._child.returncode is not None

    @property
    def lines(self) -> Sequence[str]:
        """The last that it said."""
        return tuple(self._lines)

    def failure(self) -> StageError:
        """What to raise when it ended and should not have."""
        said = "\n  ".join(self._lines) or "(nothing)"
        return StageError(
            f"{self.name} ended by itself (status {self._child.returncode}); it said:\n  {said}"
        )

    async def line(self, pattern: str, within_s: float = _START_S) -> re.Match[str] | None:
        """The first line that matches, or None if it ended or said nothing like it in time."""
        seen = re.compile(pattern)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while True:
                    for each in self._lines:
                        if found := seen.search(each):
                            return found
                    if self._over:
                        return None
                    self._heard.clear()
                    await self._heard.wait()
        return None

    async def over(self) -> None:
        """Wait until it is gone, by itself or not."""
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        assert self._child.stdout is not None
        line = b"\n"
        while line:
            try:
                line = await self._child.stdout.readline()
            except ValueError:  # too long, and left out; unread, it would stop the child
                continue
            if line:
                self._lines.append(line.decode(errors="replace").rstrip())
            self._heard.set()
        await self._child.wait()
        self._over = True
        self._heard.set()

    async def stop(self) -> None:
        """SIGTERM, patience, SIGKILL."""
        for end in (self._child.terminate, self._child.kill):
            with contextlib.suppress(ProcessLookupError):
                end()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s):
                    await self._child.wait()
                    break
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        # A grandchild may still hold the pipe's other end; ours must not outlive the loop.
        self._child._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 -- no public way


@asynccontextmanager
async def broker(choice: str, folder: Path) -> AsyncIterator[tuple[BrokerAt, Process | None]]:
    """A broker for one run: `embedded`, `mosquitto`, or the URL of one that runs already.

    Raises:
        StageError: it cannot be had.
    """
    if choice == "embedded":
        process = await Process.start(
            "the embedded broker", sys.executable, "-m", "fleet_sim.broker", "--port", "0"
        )
        try:
            found = await process.line(r"mqtt://127\.0\.0\.1:(\d+)")
            if found is None:
                raise process.failure()
            yield BrokerAt(choice, "127.0.0.1", int(found[1])), process
        finally:
            await process.stop()
    elif choice == "mosquitto":
        process, port = await _mosquitto(folder)
        try:
            yield BrokerAt(choice, "127.0.0.1", port), process
        finally:
            await process.stop()
    else:
        if (given := broker_at(choice)) is None:
            raise StageError(
                f"--broker {choice!r}: write embedded, mosquitto, or a URL mqtt://host:port"
            )
        yield given, None


def broker_at(url: str) -> BrokerAt | None:
    """The broker at this URL, which somebody else keeps; None if it is no such URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # half of an IPv6 address, or a port that is no port
        return None
    if parts.scheme != "mqtt" or not host:
        return None
    return BrokerAt(url, host, port or _MQTT_PORT)


async def _mosquitto(folder: Path) -> tuple[Process, int]:
    """A Mosquitto of our own on a port that nobody else has."""
    found = mosquitto_program(search_path())
    config = folder / "mosquitto.conf"
    for _ in range(_PORT_TRIES):
        port = unused_port()
        config.write_text(mosquitto_config(port), encoding="utf-8")
        process = await Process.start("mosquitto", found, "-c", str(config))
        if await process.line(r" running$") is not None:
            return process, port
        await process.stop()  # somebody else took the port in between
    raise process.failure()


def mosquitto_config(port: int, host: str = "127.0.0.1") -> str:
    """A configuration of Mosquitto for one run: it lets anybody in and drops nothing."""
    return _MOSQUITTO.format(port=port, host=host)


def unused_port() -> int:
    """A TCP port on loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def search_path() -> str:
    """Where to look for programs: a person's PATH, and where packages put services."""
    return os.environ.get("PATH", "") + _SBIN


def mosquitto_program(path: str) -> str:
    """Where the broker is on this search path.

    Raises:
        StageError: nowhere.
    """
    if (found := shutil.which("mosquitto", path=path)) is None:
        raise StageError(
            "mosquitto is not installed: install it (Debian: apt install mosquitto; macOS:"
            " brew install mosquitto), or leave --broker away for the embedded broker"
        )
    return found


@asynccontextmanager
async def gateway(
    config_text: str, folder: Path, command: Sequence[str] = ()
) -> AsyncIterator[Process]:
    """`doorfleet-gateway run` with this configuration, once it says that it is ready.

    Args:
        config_text: its configuration file.
        folder: where to put that.
        command: what to run instead, with the file behind it.

    Raises:
        StageError: it refused, or was not ready in time.
    """
    config = folder / "gateway.yaml"
    config.write_text(config_text, encoding="utf-8")
    address = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(address)
        told.setblocking(False)  # noqa: FBT003 -- its own signature
        process = await Process.start(
            "the gateway",
            *(command or (*program("doorfleet-gateway"), "run")),
            str(config),
            env={**os.environ, "NOTIFY_SOCKET": address},
        )
        try:
            await _ready(process, told)
            # What it says from now on nobody needs; unread, it would fill the queue.
            asyncio.get_running_loop().add_reader(told, told.recv, 4096)
            yield process
        finally:
            asyncio.get_running_loop().remove_reader(told)
            await process.stop()


async def _ready(process: Process, told: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.create_task(process.over())
    try:
        async with asyncio.timeout(_START_S):
            while True:
                word = asyncio.create_task(loop.sock_recv(told, 4096))
                await asyncio.wait([word, ended], return_when=asyncio.FIRST_COMPLETED)
                if not word.done():
                    word.cancel()
                    raise process.failure()
                if word.result().startswith(b"READY=1"):
                    return
    except TimeoutError:
        raise StageError(f"the gateway was not ready within {_START_S:.0f} s") from None
    finally:
        ended.cancel()


def program(name: str) -> Sequence[str]:
    """The command line of one of our own programs, as installed beside this Python.

    Raises:
        StageError: it is not installed.
    """
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise StageError(f"{name} is not installed beside {sys.executable}; run `make setup`")
    return (found,)
