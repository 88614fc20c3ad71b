"""How long it took: to see it, to keep it from others, to be well again; pure."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from fleet_sim.chaos.experiment import Experiment, May
from fleet_sim.chaos.seen import Seen
from fleet_sim.ledger import LATE_MS

_UP: Final = "up"


class Trouble(NamedTuple):
    """The last sign of it: how long after the last act, as it was lived, and what it was."""

    after_s: float
    why: str


def last_trouble(
    experiment: Experiment, run: Seen, twin: Seen | None, vendor: str
) -> Trouble | None:
    """The last sign that something was still wrong after the last act; None if there was none."""
    over_s = experiment.ends_s
    # What was lost, and was allowed to be, looks late when the same is said the next time.
    news = [] if May.LOST_STATE in experiment.allowed(vendor) else _late_news(run, vendor, over_s)
    signs = [
        *news,
        *_ill_cells(experiment, run, vendor),
        *_missing(experiment, run, twin, vendor),
    ]
    found = max(((at_s, why) for at_s, why in signs if at_s > over_s), default=None)
    return None if found is None else Trouble((found[0] - over_s) / run.hurry, found[1])


def _late_news(run: Seen, vendor: str, over_s: float) -> Iterable[tuple[float, str]]:
    """What was told long before it was announced."""
    for at_s, latency_ms in run.told.get(vendor, ()):
        said_s = at_s + latency_ms / 1000 * run.hurry
        if latency_ms > LATE_MS and said_s > over_s:
            yield said_s, f"news of {at_s:.0f} s came {latency_ms / 1000:.1f} s late"


def _ill_cells(experiment: Experiment, run: Seen, vendor: str) -> Iterator[tuple[float, str]]:
    """Until when a cell said that it is not well."""
    ill: dict[str, str] = {}
    for change in run.health(vendor):
        cell, state = str(change["cell"]), str(change["state"])
        if cell in ill:
            yield float(change["at_s"]), f"its cell was {ill.pop(cell)}"
        if state != _UP:
            ill[cell] = f"{state}: {change['reason']}"
    for name, last in run.cells(vendor).items():
        if last["state"] != _UP:
            ill[name] = f"{last['state']}: {last.get('reason')}"
    for why in ill.values():
        yield experiment.seconds, f"its cell is still {why}"


def _missing(
    experiment: Experiment, run: Seen, twin: Seen | None, vendor: str
) -> Iterator[tuple[float, str]]:
    """Until when devices were not connected that would have been."""
    course = run.report["timeline"]
    there = course["vendors"][vendor]["connected"]
    devices = run.figure(vendor, "devices")
    due = [devices] * len(there)
    if twin is not None:
        due = twin.report["timeline"]["vendors"][vendor]["connected"]
    for number, (now, wanted) in enumerate(zip(there, due, strict=False)):
        if now < wanted:
            ended_s = min((number + 1) * course["bucket_s"], experiment.seconds)
            yield ended_s, f"{wanted - now} of {devices} devices were not connected"


def detected_s(experiment: Experiment, run: Seen, vendor: str) -> float | None:
    """How long it took until the bus said that something is wrong with this vendor.

    From the beginning of the first act that was noticed at all; None if none was.
    """
    signs = [
        *run.reached.get(vendor, ()),
        *(float(change["at_s"]) for change in run.health(vendor) if change["state"] != _UP),
    ]
    for act in sorted(experiment.acts_on(vendor), key=lambda one: one.at_s):
        within = [at_s for at_s in signs if act.at_s <= at_s <= act.until_s]
        if within:
            return (min(within) - act.at_s) / run.hurry
    return None


def contained_s(experiment: Experiment, run: Seen, vendor: str, limit_ms: float) -> float:
    """Until when a vendor that was to stay untouched was out of its limit; 0 if it never was."""
    began_s = experiment.begins_s
    out = [
        at_s + latency_ms / 1000 * run.hurry - began_s
        for at_s, latency_ms in run.told.get(vendor, ())
        if began_s <= at_s < experiment.ends_s and latency_ms > limit_ms
    ]
    return max(out, default=0.0) / run.hurry
