"""Mosquitto in a container, from an image that is made here: nothing is pulled.

mosquitto of this machine + the libraries that it loads ─► context/rootfs ─► FROM scratch
"""

import asyncio
import os
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from fleet_sim import stage

IMAGE: Final = "doorfleet-mosquitto:local"
#: Names an image of one's own, with a Mosquitto that lets anybody in at port 1883.
IMAGE_VARIABLE: Final = "DOORFLEET_MOSQUITTO_IMAGE"
_PORT: Final = 1883
_START_S: Final = 30.0
_LDD_S: Final = 20.0
_ENGINE: Final = "unix:///var/run/docker.sock"
_ENGINE_PORT: Final = 2375
_ENGINE_S: Final = 5.0
_DOCKERFILE: Final = """\
FROM scratch
COPY rootfs/ /
EXPOSE 1883
CMD ["/usr/sbin/mosquitto", "-v", "-c", "/etc/mosquitto.conf"]
"""
#: Files of the image beside the program and its libraries.
_FILES: Final = {
    "etc/passwd": "root:x:0:0::/:/bin/false\nmosquitto:x:1883:1883::/:/bin/false\n",
    "etc/group": "root:x:0:\nmosquitto:x:1883:\n",
    "etc/mosquitto.conf": stage.mosquitto_config(_PORT, "0.0.0.0") + "log_dest stderr\n",  # noqa: S104 -- in a container of its own
}


class NoEngineError(stage.StageError):
    """There is no container engine to be had here; the message says what is missing."""


def recipe(folder: Path) -> Path:
    """Write a build context for the image: `Dockerfile` and `rootfs`; its folder.

    Raises:
        StageError: Mosquitto is not installed here, or what it loads cannot be listed.
    """
    program = Path(stage.mosquitto_program(stage.search_path()))
    root = folder / "rootfs"
    for source, name in [(program, "/usr/sbin/mosquitto"), *_libraries(program)]:
        target = root / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)  # what a link leads to, under the link's name
    for name, text in _FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (folder / "Dockerfile").write_text(_DOCKERFILE, encoding="utf-8")
    return folder


def _libraries(program: Path) -> list[tuple[Path, str]]:
    """What the program loads, each with the path under which it looks for it."""
    if (ldd := shutil.which("ldd")) is None:
        raise stage.StageError("the image of Mosquitto is made with ldd, which is not here")
    said = subprocess.run(  # noqa: S603 -- both were found on the search path
        [ldd, str(program)], capture_output=True, text=True, timeout=_LDD_S, check=False
    )
    if said.returncode:
        raise stage.StageError(f"ldd {program}: {said.stderr.strip()}")
    paths = re.findall(r"(?:=> |^\s+)(/\S+) \(0x", said.stdout, re.MULTILINE)
    return [(Path(path), path) for path in paths]


def why_not() -> str | None:
    """What is missing for a container; None if all is there."""
    if find_spec("testcontainers") is None:
        return "testcontainers is not installed (pip install testcontainers)"
    engine = os.environ.get("DOCKER_HOST") or _ENGINE
    where = urlsplit(engine)
    family, address = (
        (socket.AF_UNIX, where.path)
        if where.scheme == "unix"
        else (socket.AF_INET, (where.hostname, where.port or _ENGINE_PORT))
    )
    with socket.socket(family) as probe:  # the client library would leave its own one open
        probe.settimeout(_ENGINE_S)
        try:
            probe.connect(address)
        except OSError as error:
            return f"no container engine answers at {engine}: {error}"
    return None


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[stage.BrokerAt]:
    """A container for as long as this lasts.

    Raises:
        NoEngineError: containers cannot be had here.
        StageError: the image could not be made, or the broker did not come up in it.
    """
    if (why := await asyncio.to_thread(why_not)) is not None:
        raise NoEngineError(f"--doorfleet-broker=docker: {why}")
    with ExitStack() as running:
        host, port = await asyncio.to_thread(_run, running, folder)
        try:
            yield stage.BrokerAt("docker", host, port)
        finally:
            await asyncio.to_thread(running.close)


def _run(running: ExitStack, folder: Path) -> tuple[str, int]:
    # Its reaper is an image that would have to be pulled; what we start we stop ourselves.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 -- likewise
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415

    image = os.environ.get(IMAGE_VARIABLE)
    if image is None:
        image = IMAGE
        _build(recipe(folder / "image"))
    container: Any = DockerContainer(image).with_exposed_ports(_PORT)
    container.waiting_for(LogMessageWaitStrategy(" running").with_startup_timeout(int(_START_S)))
    try:
        running.enter_context(container)
    except Exception as error:
        with suppress(Exception):
            container.stop()
        raise stage.StageError(f"mosquitto in a container ({image}): {error}") from error
    return container.get_container_host_ip(), int(container.get_exposed_port(_PORT))


def _build(context: Path) -> None:
    """Make the image; an engine that has made it before takes no time."""
    import docker  # type: ignore[import-untyped]  # noqa: PLC0415 -- only who chose it has it

    client = docker.from_env()
    try:
        client.images.build(path=str(context), tag=IMAGE, rm=True)
    except docker.errors.DockerException as error:
        raise stage.StageError(f"the image {IMAGE} could not be made: {error}") from error
    finally:
        client.close()
