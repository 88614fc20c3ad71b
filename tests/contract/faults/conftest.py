"""A life of some boards in simulated time, as an outsider sees it: with a fault, and without."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import pytest

from fleet_sim.broker.core import Broker
from fleet_sim.broker.memory_client import MemoryClient
from fleet_sim.faults import FAULTS, Strikes
from fleet_sim.life import BEGINS_MS, EPOCH_MS
from fleet_sim.scenario import Scenario
from fleet_sim.virtual import VirtualRun, simulated

#: When the fault begins and ends, and when it is long over; seconds of the scenario.
BEGINS_S: Final = 120.0
ENDS_S: Final = 240.0
HEALED_S: Final = 330.0
OVER_S: Final = 480.0
STRUCK: Final = "ratgdo"
NEIGHBOUR: Final = "nuki"
FLEET: Final = {STRUCK: 3, NEIGHBOUR: 3}
_PACE: Final = 1_500
_RETRY_S: Final = 1.0


class Frame(NamedTuple):
    """One message as the broker handed it on; `at_s` of the scenario."""

    at_s: float
    topic: str
    payload: bytes

    @property
    def device(self) -> str:
        return self.topic.split("/")[2]


class Life:
    """What an outsider saw.

    Attributes:
        frames: of the struck vendor's devices.
        beside: of the neighbours', and what the bus said of them.
        events: when the bus told something of the struck vendor's.
        cuts: when its own link ended, and when it was there again with what session (or not).
        result: of the run.
    """

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.beside: list[Frame] = []
        self.events: list[float] = []
        self.cuts: list[tuple[float, bool | None]] = []
        self.looks: dict[float, Any] = {}
        self.result: Mapping[str, Any] = {}

    def within(self, begins_s: float = BEGINS_S, ends_s: float = ENDS_S) -> list[Frame]:
        return [frame for frame in self.frames if begins_s <= frame.at_s < ends_s]

    @property
    def healed(self) -> list[Frame]:
        return self.within(HEALED_S, OVER_S)


class _Outsider(VirtualRun):
    """A run with somebody at its broker who belongs to nobody."""

    life: Life
    look: Callable[[Broker], Any] | None = None

    def begin(self) -> None:
        self._client = MemoryClient(self._broker, self._saw)
        self._client.on_lost = self._cut
        self._join()
        for at_s in (BEGINS_S - 1, ENDS_S - 1, OVER_S - 1):
            self._loop.call_at(BEGINS_MS / 1000 + at_s, self._looks, at_s)

    def _join(self) -> None:
        try:
            present = self._client.connect("outsider", clean=False, keep_alive_s=0)
        except ConnectionRefusedError:
            self._loop.call_later(_RETRY_S, self._join)
            return
        if self.life.cuts:
            self.life.cuts.append((self.at_s, present))
        self._client.subscribe("#", qos=0)

    def _cut(self) -> None:
        self.life.cuts.append((self.at_s, None))
        self._loop.call_later(_RETRY_S, self._join)

    def _looks(self, at_s: float) -> None:
        if self.look is not None:
            self.life.looks[at_s] = self.look(self._broker.core)

    @property
    def at_s(self) -> float:
        return (self.now_ms() - EPOCH_MS - BEGINS_MS) / 1000

    def _saw(self, topic: str, payload: bytes, _qos: int, retain: bool) -> None:
        if retain:
            return
        frame = Frame(round(self.at_s, 3), topic, payload)
        if frame.at_s > OVER_S:
            return  # a run whose news may be slow waits longer for them
        if not topic.startswith("doorfleet/"):
            (self.life.beside if topic.startswith("nuki/") else self.life.frames).append(frame)
        elif f"/{NEIGHBOUR}/" in topic and "/event/" in topic:
            self.life.beside.append(frame)
        elif f"/{STRUCK}/" in topic and "/event/" in topic:
            self.life.events.append(frame.at_s)


def _live(kind: str, settings: Mapping[str, Any], look: Callable[[Broker], Any] | None) -> Life:
    acts: list[dict[str, Any]] = []
    if kind:
        act = {"at": BEGINS_S, "for": ENDS_S - BEGINS_S, "fault": kind, "settings": settings}
        whole = FAULTS[kind].strikes is Strikes.GATEWAY
        acts.append(act if whole else {**act, "vendor": STRUCK})
    what = Scenario(name="x", hours=OVER_S / 3_600, pace=_PACE, fleet=FLEET, acts=acts)
    with simulated() as (folder, runner):
        run = _Outsider(what, 7, folder)
        run.life, run.look = Life(), look
        run.life.result = runner.run(run.run(built=run.begin))
    return run.life


@cache
def _unhurt(kind: str) -> Life:
    return _live(kind, {"latency_ms": 1} if kind else {}, None)


@pytest.fixture(scope="session")
def live() -> Callable[..., Life]:
    """`live(kind, settings, look)`: a life with this fault; `look` is shown the broker thrice."""
    return lambda kind, settings, look=None: _live(kind, settings, look)


@pytest.fixture(scope="session")
def unhurt() -> Life:
    """The same people and devices, struck by what does no harm: people begin anew with it."""
    return _unhurt("latency")


@pytest.fixture(scope="session")
def undisturbed() -> Life:
    """The same people and devices, and nothing begins or ends."""
    return _unhurt("")


@pytest.fixture
def sins() -> Callable[[Life], Iterator[str]]:
    """What the ledger has against anybody."""

    def found(life: Life) -> Iterator[str]:
        yield from life.result["evidence"]
        for vendor, tally in life.result["vendors"].items():
            for sin in ("lost", "duplicated", "reordered", "invented"):
                if tally[sin]:
                    yield f"{vendor}: {sin} {tally[sin]}"

    return found
