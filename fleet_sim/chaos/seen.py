"""What a run has shown, as the judge looks at it: plain values, the same for either time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import orjson

_MARK_BYTES: Final = 8
_REACHABILITY: Final = "reachability"


class Said(NamedTuple):
    """One event of the bus: when, of which device, of which type, and a digest of its bytes."""

    at_s: float
    device: str
    type: str
    mark: bytes


class Told(NamedTuple):
    """Something that a device told and that was announced: when it told it, and how soon."""

    at_s: float
    latency_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One run.

    All `at_s` are seconds of the scenario's time, latencies are ms of the time that was lived in.

    Attributes:
        hurry: how many seconds of the scenario passed in one that was lived; 1 in simulated time.
        report: what `fleet_sim.report.result` says of it, and whatever the run adds to that.
        told: by vendor, in the order of the bus.
        said: likewise, each event once.
        rewritten: by vendor, how many events came again under their id with other bytes.
        reached: by vendor, when something was said of a device's reachability.
        lost_states: by vendor, how many of the lost were states.
        torn: by vendor and topic, how many torn frames reached the broker.
    """

    hurry: float = 1.0
    report: Mapping[str, Any]
    told: Mapping[str, Sequence[Told]]
    said: Mapping[str, Sequence[Said]]
    rewritten: Mapping[str, int] = field(default_factory=dict)
    reached: Mapping[str, Sequence[float]] = field(default_factory=dict)
    lost_states: Mapping[str, int] = field(default_factory=dict)
    torn: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def latencies(self, vendor: str, from_s: float, until_s: float) -> list[float]:
        """Of what its devices told in that time, in ms."""
        told = self.told.get(vendor, ())
        return [latency_ms for at_s, latency_ms in told if from_s <= at_s < until_s]

    def announced(self, vendor: str, until_s: float) -> list[float]:
        """Of what was on the bus by then, in ms: what is under way when an act begins is its."""
        told = self.told.get(vendor, ())
        return [ms for at_s, ms in told if at_s + ms / 1000 * self.hurry < until_s]

    def figure(self, vendor: str, name: str) -> int:
        """One of the ledger's figures."""
        value: int = self.report["vendors"][vendor].get(name) or 0
        return value

    def health(self, vendor: str) -> list[Mapping[str, Any]]:
        """Each change of what the vendor's cells said of themselves, while the scenario lasted."""
        return [
            change
            for change in self.report.get("health", ())
            if str(change["cell"]).partition("#")[0] == vendor
            and change["at_s"] <= self.report["simulated_s"]
        ]

    def cells(self, vendor: str) -> Mapping[str, Mapping[str, Any]]:
        """What the vendor's cells said last, by name."""
        return {
            name: cell
            for name, cell in self.report["cells"].items()
            if name.partition("#")[0] == vendor
        }


class Ear:
    """Hears each message of a run's bus, in Unix ms; `Seen` has them in the scenario's time."""

    def __init__(self) -> None:
        self._marks: dict[tuple[str, str, str], bytes] = {}
        self.said: dict[str, list[Said]] = {}
        self.rewritten: dict[str, int] = {}
        self.reached: dict[str, list[float]] = {}
        #: What cells said of themselves, and when.
        self.health: list[tuple[float, Mapping[str, Any]]] = []

    def hear(self, payload: bytes, at_ms: float) -> None:
        """One message, as it stands on the bus."""
        body = orjson.loads(payload)
        if "data" not in body:
            self.health.append((at_ms, body))
            return
        data = body["data"]
        vendor = data["vendor"]
        mark = blake2b(payload, digest_size=_MARK_BYTES).digest()
        before = self._marks.setdefault((vendor, data["device"], body["id"]), mark)
        if before is not mark:  # said again
            self.rewritten[vendor] = self.rewritten.get(vendor, 0) + (before != mark)
            return
        self.said.setdefault(vendor, []).append(Said(at_ms, data["device"], body["type"], mark))
        if _REACHABILITY in data.get("changes", ()):
            self.reached.setdefault(vendor, []).append(at_ms)
