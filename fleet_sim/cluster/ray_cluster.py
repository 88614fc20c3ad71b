"""Workers on a Ray cluster: an actor per shard, which has one worker process on its node.

Ray gives each actor a CPU somewhere, and tells when one is gone with its node. What is to follow
then is ours to say (`plan.py`), so Ray itself repeats nothing.
"""

import contextlib
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING, Any, Final

from devices.errors import ConfigError
from fleet_sim.cluster.local import LocalCrew
from fleet_sim.cluster.orders import Order
from fleet_sim.cluster.plan import Built, Done, Job, Lost, Part, Refused, Word
from fleet_sim.stage import StageError

if TYPE_CHECKING:
    import ray as ray_module

# How long nodes may take to join, an actor may be out of reach before it counts as lost, and a
# shard may wait for a place once there is none left in the cluster.
_JOIN_S: Final = 30.0
_OUT_OF_REACH_S: Final = 20.0
_NO_PLACE_S: Final = 120.0
_STOP_S: Final = 10.0
_KNOCK_S: Final = 5.0
_LISTEN_S: Final = 1.0
_CHUNK_BYTES: Final = 8 << 20


class OnNode:
    """The actor: a crew of one on whatever node it is."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="doorfleet-")
        self._crew = LocalCrew(Path(self._folder.name))

    def start(self, job: Job) -> None:
        """Give the shard to a process here."""
        self._crew.start(job)

    def tell(self, shard: int, order: Order) -> None:
        """Give it an order."""
        self._crew.tell(shard, order)

    def words(self, within_s: float) -> list[Word]:
        """What it has said."""
        return [_here(word) for word in self._crew.words(within_s)]

    def read(self, path: Path, offset: int) -> bytes:
        """A piece of a file of its own."""
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(_CHUNK_BYTES)

    def stop(self) -> None:
        """End the process, and leave nothing."""
        self._crew.stop()
        self._folder.cleanup()


@dataclass(slots=True)
class _Place:
    """An actor, what it was asked last, and since when it is out of reach."""

    actor: Any
    asked: Any
    where: str = "its actor"
    unreached_s: float | None = None


class RayCrew:
    """Workers on a cluster.

    Args:
        address: of its head, as `host:port`; absent, that of RAY_ADDRESS, or of the cluster that
            runs on this machine.
        folder: journals are brought here.

    Raises:
        ConfigError: Ray is not installed.
        StageError: the cluster cannot be reached.
    """

    def __init__(self, address: str | None, folder: Path) -> None:
        self._ray = _ray()
        self._folder = folder
        self._places: dict[int, _Place] = {}
        self._no_place_s: float | None = None
        _connect(self._ray, address)
        self._actor = self._ray.remote(
            num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )(OnNode)

    @property
    def cpus(self) -> int:
        """How many workers have a place in the cluster."""
        return int(self._ray.cluster_resources().get("CPU", 0))

    def room_for(self, workers: int | None) -> int:
        """How many workers there will be; those wanted, or one for each CPU.

        Raises:
            ConfigError: there is no room for so many, and all of them begin together.
        """
        deadline_s = time.monotonic() + _JOIN_S
        while self.cpus < (workers or 1):
            if time.monotonic() > deadline_s:
                found = f"--workers {workers or 1}: the cluster has {self.cpus} CPUs"
                raise ConfigError((f"{found}, one for each worker; give fewer, or add nodes",))
            time.sleep(0.2)
        return workers or self.cpus

    def start(self, job: Job) -> None:
        """Give a shard to a new actor."""
        actor = self._actor.remote()
        actor.start.remote(job)
        self._places[job.shard.index] = _Place(actor, actor.words.remote(_LISTEN_S))

    def tell(self, shard: int, order: Order) -> None:
        """Give it an order."""
        self._places[shard].actor.tell.remote(shard, order)

    def words(self, within_s: float) -> list[Word]:
        """What the workers have said; waits so long for the first word."""
        asked = {place.asked: shard for shard, place in self._places.items()}
        ready, _ = self._ray.wait(list(asked), num_returns=1, timeout=within_s)
        heard: list[Word] = []
        for ref in ready:
            heard += self._answer(asked[ref])
        self._look_for_room()
        return heard

    def _answer(self, shard: int) -> Sequence[Word]:
        place = self._places[shard]
        errors = self._ray.exceptions
        try:
            said: list[Word] = self._ray.get(place.asked)
            words = [self._brought(shard, word) for word in said]
        except errors.ActorUnavailableError:
            now_s = time.monotonic()
            place.unreached_s = place.unreached_s or now_s
            if now_s - place.unreached_s > _OUT_OF_REACH_S:
                return [self._lose(shard, f"{place.where} is out of reach")]
            words = []
        except (errors.RayActorError, errors.ObjectLostError) as error:
            return [self._lose(shard, f"{place.where} is gone: {_why(error)}")]
        else:
            place.unreached_s = None
        if any(isinstance(word, (Done, Refused, Lost)) for word in words):
            self._dismiss(shard)
        else:
            place.asked = place.actor.words.remote(_LISTEN_S)
        return words

    def _brought(self, shard: int, word: Word) -> Word:
        """As it was said, but with the journal on this machine, and the place remembered."""
        match word:
            case Built(where=where):
                self._places[shard].where = where
            case Done(part=Part(journal=Path() as there) as part):
                return Done(shard, replace(part, journal=self._bring(shard, there)))
            case _:
                pass
        return word

    def _bring(self, shard: int, there: Path) -> Path:
        here = self._folder / f"shard-{shard}.jsonl"
        read = self._places[shard].actor.read
        with here.open("wb") as file:
            while piece := self._ray.get(read.remote(there, file.tell())):
                file.write(piece)
        return here

    def _lose(self, shard: int, why: str) -> Lost:
        place = self._places.pop(shard)
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(place.actor)
        return Lost(shard, why)

    def _dismiss(self, shard: int) -> None:
        """Give its place back, with nothing left there."""
        place = self._places.pop(shard)
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.get(place.actor.stop.remote(), timeout=_STOP_S)
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(place.actor)

    def _look_for_room(self) -> None:
        """A shard that waits for a place waits in vain when there is none left."""
        if self.cpus:
            self._no_place_s = None
            return
        now_s = time.monotonic()
        self._no_place_s = self._no_place_s or now_s
        if now_s - self._no_place_s > _NO_PLACE_S:
            raise StageError(f"the cluster has had no CPU for {_NO_PLACE_S:.0f} s; add nodes")

    def stop(self) -> None:
        """End all of them, and leave the cluster."""
        for place in self._places.values():
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(place.actor)
        self._places.clear()
        self._ray.shutdown()


def _ray() -> "ray_module":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # noqa: PLC0415 -- an extra, and only who asks for Ray needs it
    except ImportError as error:
        raise ConfigError(
            ("--on ray: Ray is not installed; pip install 'doorfleet[cluster]'",)
        ) from error
    return ray


def _connect(ray: "ray_module", address: str | None) -> None:
    """Be a driver of that cluster."""
    told: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address is not None and address.startswith("127."):
        told["_node_ip_address"] = address.rpartition(":")[0]
    at = address or os.environ.get("RAY_ADDRESS") or _last_started()
    try:
        _knock(at)
        ray.init(address=address or "auto", **told)
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        why = str(error).partition("\n")[0]
        raise StageError(
            f"no Ray cluster at {at or 'this machine'}: {why};"
            " start one with `ray start --head`, or give --address"
        ) from error


def _last_started() -> str | None:
    """Where the cluster is that was started last on this machine, if Ray left word of it."""
    left = Path(os.environ.get("RAY_TMPDIR", gettempdir())) / "ray" / "ray_current_cluster"
    try:
        return left.read_text().strip() or None
    except OSError:
        return None


def _knock(at: str | None) -> None:
    """See that somebody is there: Ray itself would wait for minutes.

    Raises:
        OSError: nobody is.
    """
    host, _, port = (at or "").rpartition(":")
    if port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S).close()


def _here(word: Word) -> Word:
    """With the address of this node, where a word tells of a place."""
    if isinstance(word, Built):
        node = _ray().util.get_node_ip_address()
        return replace(word, where=f"{word.where} on node {node}")
    return word


def _why(error: Exception) -> str:
    """The sentence of Ray's long story that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "died" in line or "lost" in line]
    return (telling or lines or [type(error).__name__])[-1].partition(" Node Id")[0]
