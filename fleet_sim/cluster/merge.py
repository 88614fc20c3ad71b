"""What the shards found, as one run would have found it; pure but for the journal's files."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from fleet_sim import journal, report, timeline
from fleet_sim.cluster.plan import Part, Restarted
from fleet_sim.journal import Digest
from fleet_sim.ledger import EVIDENCE_MAX, Tally
from fleet_sim.scenario import Scenario
from fleet_sim.world.courier import Tour
from fleet_sim.world.world import World

#: What of a tally adds up.
_SUMS: Final = tuple(
    each.name for each in fields(Tally) if each.name not in ("evidence", "latencies")
)

_TOUR_SUMS: Final = tuple(each.name for each in fields(Tour))


def tallies(parts: Sequence[Part]) -> dict[str, Tally]:
    """Counts add up, and latencies are those of all: a percentile of percentiles is none."""
    whole: dict[str, Tally] = {}
    for part in parts:
        for vendor, tally in part.tallies.items():
            into = whole.setdefault(vendor, Tally())
            for name in _SUMS:
                setattr(into, name, getattr(into, name) + getattr(tally, name))
            into.evidence += tally.evidence[: EVIDENCE_MAX - len(into.evidence)]
            into.latencies += tally.latencies
    return whole


def cells(parts: Mapping[int, Part]) -> dict[str, Mapping[str, Any]]:
    """Every shard has cells of its own, named `vendor#shard`."""
    return {
        f"{name}#{shard}": cell
        for shard, part in sorted(parts.items())
        for name, cell in part.cells.items()
    }


def result(
    scenario: Scenario,
    seed: int,
    parts: Mapping[int, Part],
    restarted: Sequence[Restarted],
    *,
    gateway: bool = True,
) -> dict[str, Any]:
    """The report on a run of many workers.

    Args:
        scenario: what was run.
        seed: of all chance.
        parts: by shard, all of them.
        restarted: what was begun again.
        gateway: whether there was one.
    """
    ordered = [part for _, part in sorted(parts.items())]
    course = timeline.merge([part.course for part in ordered])
    digest = sum((part.digest for part in ordered), Digest())
    return {
        **report.result(scenario, seed, tallies(ordered), cells(parts), course, gateway=gateway),
        **world(scenario, seed, ordered),
        "time": "virtual",
        "journal": {"digest": str(digest), "lines": digest.lines},
        "workers": len(parts),
        "restarted": [each._asdict() for each in restarted],
    }


def world(scenario: Scenario, seed: int, parts: Sequence[Part]) -> dict[str, Any]:
    """Deliveries and rollouts of all shards, as a report says them."""
    whole = World(scenario, seed)
    for part in parts:
        for name in _TOUR_SUMS:
            before, more = getattr(whole.tour, name), getattr(part.tour, name)
            setattr(whole.tour, name, before + more)
        for into, told in zip(whole.told, part.told, strict=False):
            for key, number in told.items():
                into[key] += number
    return whole.result()


def wire(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What went over the connections of all shards: counts and rates add up, waits do not."""
    found: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            before = found.get(name, 0)
            found[name] = max(before, value) if name == "worst_wait" else round(before + value, 1)
    return found


def journals(parts: Mapping[int, Part], whole: Path) -> Digest:
    """The lines of all shards as one file, in order of time.

    Raises:
        ConfigError: a file cannot be read or written.
    """
    found = [part.journal for _, part in sorted(parts.items()) if part.journal is not None]
    return journal.merge(found, whole)
