"""Who does what in a run of many workers, and what follows when one is lost; pure.

    waiting ──built, all of them──► running ──done──► done
       ▲                               │
       └─────── lost, and given to another worker ◄────┘     at most ATTEMPTS_MAX times

A shard of a virtual run is a pure function of commit, scenario, seed and shard: one that is begun
again comes to the same lines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from fleet_sim.journal import Digest
from fleet_sim.ledger import Tally
from fleet_sim.meter import Moment
from fleet_sim.scenario import Scenario
from fleet_sim.shard import Shard
from fleet_sim.stage import BrokerAt
from fleet_sim.world.courier import Tour

#: A shard that was lost so often takes its workers with it: it is not begun again.
ATTEMPTS_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class WireJob:
    """What a shard on real sockets has to know besides.

    Args:
        broker: whom its devices connect to.
        seconds: how long the scenario lasts in our time.
        connects_per_s: how many connections this shard may begin in a second.
        ports: where its servers were, if it is begun again: by name of the hub, "" the datagrams.
        began_ms: when the scenario began, Unix ms, if that is over.
    """

    broker: BrokerAt
    seconds: float
    connects_per_s: float
    ports: Mapping[str, int] = field(default_factory=dict)
    began_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One shard of a run, as a worker is given it.

    Args:
        scenario: what is run, the whole of it.
        seed: of all chance.
        shard: which devices are meant.
        gateway: whether real cells listen to them.
        journal: whether the lines are wanted, and not their digest alone.
        wire: with real sockets and in real time, and then whereto; None is simulated time.
    """

    scenario: Scenario
    seed: int
    shard: Shard
    gateway: bool = True
    journal: bool = False
    wire: WireJob | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What one shard found.

    Attributes:
        tallies: by vendor, closed; in real time the coordinator has them.
        cells: by name, as each told its health last; none without a gateway.
        course: its timeline, as `Timeline.so_far` tells it.
        digest: of its journal.
        journal: the file with its lines, on the machine of whoever holds this.
        tour: its deliveries.
        told: by place in the scenario's rollouts, what became of it.
        wire: what went over its connections (`fleet_sim.wire.verdict`).
    """

    tallies: Mapping[str, Tally] = field(default_factory=dict)
    cells: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    course: Mapping[str, Any] = field(default_factory=dict)
    digest: Digest = field(default_factory=Digest)
    journal: Path | None = None
    tour: Tour = field(default_factory=Tour)
    told: Sequence[Mapping[str, int]] = ()
    wire: Mapping[str, Any] = field(default_factory=dict)


# --- what a worker says ---------------------------------------------------------------------------


class Seat(NamedTuple):
    """A device: its number among all of its vendor's, and where it is. `fleet_sim.acts.Named`."""

    vendor: str
    device: str
    number: int
    site: str

    @property
    def name(self) -> str:
        """`vendor/name`."""
        return f"{self.vendor}/{self.device}"


@dataclass(frozen=True, slots=True)
class Opened:
    """Where a shard on real sockets is found.

    Attributes:
        settings: by vendor, what a gateway has to be told of these devices.
        devices: all of them.
        retained: topics on which a broker may keep their word.
        ports: see `WireJob`.
        sessions: how many connections to the broker it will have.
    """

    settings: Mapping[str, Mapping[str, Any]]
    devices: Sequence[Seat]
    retained: Sequence[str]
    ports: Mapping[str, int]
    sessions: int


@dataclass(frozen=True, slots=True)
class Built:
    """Its devices exist; it waits for the others. `where` is its host and process."""

    shard: int
    where: str
    opened: Opened | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How it stands; `moment` is None if nothing is new but that it lives."""

    shard: int
    moment: Moment | None


@dataclass(frozen=True, slots=True)
class Done:
    """It came to its end."""

    shard: int
    part: Part


@dataclass(frozen=True, slots=True)
class Refused:
    """What it was given cannot be run, by anybody."""

    shard: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """Whoever had it is gone, and why."""

    shard: int
    why: str


@dataclass(frozen=True, slots=True)
class Up:
    """On real sockets: each of its devices has tried to connect."""

    shard: int


@dataclass(frozen=True, slots=True)
class Still:
    """On real sockets: its people rest; it answers questions until it is told to end."""

    shard: int


class Count(NamedTuple):
    """How one vendor stands in one shard, since its start."""

    devices: int = 0
    connected: int = 0
    deeds: int = 0
    frames: int = 0


@dataclass(frozen=True, slots=True)
class News:
    """On real sockets: what happened to its devices up to then (Unix ms), and how they stand.

    `told` is what a ledger is to be told: (Unix ms, method, arguments, keywords).
    """

    shard: int
    until_ms: float
    told: Sequence[tuple[float, str, Sequence[Any], Mapping[str, Any]]]
    counts: Mapping[str, Count]


Word = Built | Progress | Up | News | Still | Done | Refused | Lost


# --- what follows ---------------------------------------------------------------------------------


class Restarted(NamedTuple):
    """A shard that was begun again: which, why, and when, in s since the run began."""

    shard: int
    why: str
    at_s: float


@dataclass(slots=True)
class Plan:
    """The state of a run.

    Args:
        shards: how many there are.
    """

    shards: int
    restarted: list[Restarted] = field(default_factory=list)
    parts: dict[int, Part] = field(default_factory=dict)
    moments: dict[int, Moment] = field(default_factory=dict)
    _waiting: set[int] = field(default_factory=set)
    #: Those that the start waits for; one that was lost before it is waited for no longer.
    _owed: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self._owed = set(range(self.shards))

    @property
    def over(self) -> bool:
        """Whether every shard came to its end."""
        return len(self.parts) == self.shards

    @property
    def begun(self) -> bool:
        """Whether the start is over."""
        return not self._owed

    def built(self, shard: int) -> Sequence[int]:
        """A shard is ready; those that may go now: all at once, or one that comes late."""
        self._owed.discard(shard)
        self._waiting.add(shard)
        return self._go()

    def _go(self) -> Sequence[int]:
        if self._owed:
            return ()
        found = sorted(self._waiting)
        self._waiting.clear()
        return found

    def lost(self, shard: int, why: str, at_s: float) -> tuple[bool, Sequence[int]]:
        """A worker is gone: whether its shard is to be begun again, and who may go now."""
        if sum(each.shard == shard for each in self.restarted) + 1 >= ATTEMPTS_MAX:
            return False, ()
        self.restarted.append(Restarted(shard, why, round(at_s, 2)))
        self.moments.pop(shard, None)
        self._waiting.discard(shard)
        self._owed.discard(shard)
        return True, self._go()

    def done(self, shard: int, part: Part) -> None:
        """A shard came to its end."""
        self.parts[shard] = part
