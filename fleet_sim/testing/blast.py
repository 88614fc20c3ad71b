"""Who was hurt while others failed; pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fleet_sim.demo import compared, slowed
from fleet_sim.ledger import LATE_MS
from fleet_sim.testing.verdict import Verdict

_UP = "up"
#: What a cell says before it has begun, and no sign of trouble.
_WELL = (_UP, "starting")


class Failed(NamedTuple):
    """What failed, in words, and from when until when, in Unix ms."""

    what: str
    begin_ms: float
    end_ms: float


class Health(NamedTuple):
    """What a cell said of itself, and when (Unix ms)."""

    at_ms: float
    cell: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is known of a test.

    Attributes:
        verdict: the ledger's, on all until now.
        latencies: by vendor, (Unix ms of the announcement, ms since the device told it).
        health: what cells said, whenever it was something else than before.
        failed: what was made to fail.
        since_ms: when the test began to be one, in Unix ms: before, devices introduce themselves.
    """

    verdict: Verdict
    latencies: Mapping[str, Sequence[tuple[int, float]]]
    health: Sequence[Health]
    failed: Sequence[Failed]
    since_ms: float = 0.0

    @property
    def began_ms(self) -> float:
        """When the first of it began to fail."""
        return min(each.begin_ms for each in self.failed)

    def figures(self, vendor: str, factor: float) -> dict[str, Any]:
        """Its latencies while others failed, and before; see `fleet_sim.demo.compared`."""
        told = [(at_ms - ms, ms) for at_ms, ms in self.latencies.get(vendor, ())]
        before = [ms for at_ms, ms in told if self.since_ms <= at_ms < self.began_ms]
        during = [
            ms
            for at_ms, ms in told
            if any(each.begin_ms <= at_ms < each.end_ms for each in self.failed)
        ]
        return {**compared(before, during, factor), "late": sum(ms > LATE_MS for ms in during)}


def harms(seen: Seen, only: Collection[str], factor: float) -> Iterator[str]:
    """What befell others than these: whom, which promise, figures and evidence, a line each."""
    for line in seen.verdict.problems:
        vendor, _, what = line.partition(": ")
        if vendor not in only:
            yield line
            sin = what.rpartition(" ")[2]
            yield from (
                f"  {each}"
                for each in seen.verdict.evidence
                if each.startswith(f"{sin} ") and f" {vendor}/" in each
            )
    for vendor in seen.latencies:
        if vendor not in only:
            yield from _slow(vendor, seen.figures(vendor, factor))
    for said in seen.health:
        if said.cell not in only and said.at_ms >= seen.began_ms and said.state not in _WELL:
            after_s = (said.at_ms - seen.began_ms) / 1000
            yield f"{said.cell}: its cell was {said.state} after {after_s:.1f} s: {said.reason}"


def _slow(vendor: str, figures: Mapping[str, Any]) -> Iterator[str]:
    if late := figures["late"]:
        yield f"{vendor}: slow: {late} event{'s' * (late > 1)} took more than {LATE_MS / 1000:g} s"
    elif (found := slowed(figures)) is not None:
        what, allowed = found
        yield f"{vendor}: slow: {what}, before {figures['baseline_p99_ms']} ms{allowed}"
