"""Which broker a test gets: a table of ways to have one, and the URL of one that runs."""

import fcntl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from devices.errors import ConfigError
from fleet_sim import stage
from fleet_sim.broker.tcp import TcpBroker
from fleet_sim.testing import docker_broker
from fleet_sim.testing.guardian import Guardian

Opening = Callable[[Path, Guardian], AbstractAsyncContextManager[stage.BrokerAt]]

#: Whoever tests on the same broker at the same time is waited for so long.
TURN_S: Final = 300.0
_LOOK_S: Final = 0.1
_HOST: Final = "127.0.0.1"


@asynccontextmanager
async def _embedded(folder: Path, guardian: Guardian) -> AsyncIterator[stage.BrokerAt]:
    del folder, guardian
    async with TcpBroker(host=_HOST) as broker:
        yield stage.BrokerAt("embedded", _HOST, broker.port)


@asynccontextmanager
async def _mosquitto(folder: Path, guardian: Guardian) -> AsyncIterator[stage.BrokerAt]:
    async with stage.broker("mosquitto", folder) as (found, process):
        assert process is not None
        guardian.watch(process.pid)
        try:
            yield found
        finally:
            await process.stop()
            guardian.release(process.pid)


@asynccontextmanager
async def _docker(folder: Path, guardian: Guardian) -> AsyncIterator[stage.BrokerAt]:
    del guardian  # a container is no child of ours
    async with docker_broker.opened(folder) as found:
        yield found


#: By the word that chooses it; anything else is a URL.
WAYS: Final[Mapping[str, Opening]] = {
    "embedded": _embedded,
    "mosquitto": _mosquitto,
    "docker": _docker,
}


def checked(choice: str, where: str) -> str:
    """The choice, if it is one.

    Raises:
        ConfigError: it is none; `where` says whose it is.
    """
    if choice not in WAYS:
        given(choice, where)
    return choice


def given(url: str, where: str = "the broker") -> stage.BrokerAt:
    """The broker at this URL, which somebody else keeps.

    Raises:
        ConfigError: it is no such URL.
    """
    if (found := stage.broker_at(url)) is None:
        raise ConfigError(
            (f"{where}: {url!r}; write {', '.join(WAYS)}, or a URL mqtt://host:port",)
        )
    return found


@asynccontextmanager
async def opened(choice: str, folder: Path, guardian: Guardian) -> AsyncIterator[stage.BrokerAt]:
    """A broker for as long as this lasts.

    Args:
        choice: a word of `WAYS`, or a URL.
        folder: for its files.
        guardian: is entrusted its process.

    Raises:
        StageError: it cannot be had. ConfigError: the choice is none.
    """
    if choice in WAYS:
        async with WAYS[choice](folder, guardian) as found:
            yield found
    else:
        yield given(choice)


def turn(url: str, within_s: float = TURN_S) -> ExitStack:
    """Be the only test on a broker that others know too, until this is closed.

    Devices of two tests have the same names, and a broker throws out the first of two clients of
    one name.

    Raises:
        ConfigError: somebody else has been on it all the time.
    """
    held = ExitStack()
    file = held.enter_context(lock_file(url).open("w"))
    deadline_s = monotonic() + within_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() > deadline_s:
                held.close()
                problem = (
                    f"{url}: other tests have been on it for {within_s:g} s; wait for them, or"
                    " give each run a broker of its own"
                )
                raise ConfigError((problem,)) from None
            sleep(_LOOK_S)
        else:
            return held


def lock_file(url: str) -> Path:
    """What stands for this broker among all tests of this machine."""
    name = f"doorfleet-{blake2b(url.encode(), digest_size=8).hexdigest()}.lock"
    return Path(tempfile.gettempdir()) / name
