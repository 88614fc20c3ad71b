"""What a run found out, as plain JSON values."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fleet_sim.ledger import Tally
from fleet_sim.scenario import Scenario

Cells = Mapping[str, Mapping[str, Any]]

#: What must not be: each breaks a promise.
SINS: Final = ("lost", "duplicated", "reordered", "invented")


def percentile(values: Sequence[float], per_cent: float) -> float | None:
    """By nearest rank, to a tenth; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * per_cent // 100))
    return round(ordered[int(rank) - 1], 1)


def figures(tally: Tally) -> dict[str, Any]:
    """One vendor's line."""
    latencies_ms = [ms for _, ms in tally.latencies]
    return {
        "devices": tally.devices,
        "deeds": tally.deeds,
        "frames": tally.frames,
        "events": tally.events,
        "lost": tally.lost,
        "duplicated": tally.duplicated,
        "reordered": tally.reordered,
        "invented": tally.invented,
        "redelivered": tally.redelivered,
        "late": tally.late,
        "p50_ms": percentile(latencies_ms, 50),
        "p99_ms": percentile(latencies_ms, 99),
    }


def about(scenario: Scenario, seed: int, *, virtual: bool) -> dict[str, Any]:
    """What every `fleet_sim.meter.Moment` of a run has in common."""
    return {
        "scenario": scenario.name,
        "seed": seed,
        "seconds": scenario.seconds,
        "starts": scenario.starts.isoformat(sep=" "),
        "virtual": virtual,
        "acts": acts(scenario),
    }


def acts(scenario: Scenario) -> list[dict[str, Any]]:
    """What went wrong on purpose, in seconds of the scenario's time."""
    return [
        {
            "at_s": act.at_s,
            "until_s": act.until_s,
            "vendor": act.vendor,
            "fault": act.fault,
            "share": act.share,
            **act.settings,
        }
        for act in scenario.acts
    ]


def result(  # noqa: PLR0913 -- a report has so many parts
    scenario: Scenario,
    seed: int,
    tallies: Mapping[str, Tally],
    cells: Cells,
    course: Mapping[str, Any],
    *,
    gateway: bool = True,
) -> dict[str, Any]:
    """The verdict on a scenario: what every way to run one has to say.

    Args:
        scenario: what was run.
        seed: of all chance.
        tallies: by vendor, closed.
        cells: see `problems`.
        course: `Timeline.so_far` in the end.
        gateway: whether one was there to be judged.
    """
    found = problems(tallies, cells) if gateway else []
    return {
        "scenario": scenario.name,
        "description": scenario.description,
        "seed": seed,
        "simulated_s": scenario.seconds,
        "starts": scenario.starts.isoformat(sep=" "),
        "verdict": "fail" if found else "pass",
        "problems": found,
        "vendors": {vendor: figures(tallies[vendor]) for vendor in scenario.fleet},
        "evidence": [line for vendor in scenario.fleet for line in tallies[vendor].evidence],
        "cells": {name: dict(cell) for name, cell in cells.items()},
        "acts": acts(scenario),
        "timeline": dict(course),
    }


def problems(tallies: Mapping[str, Tally], cells: Cells) -> list[str]:
    """What breaks a promise, in words; empty is a pass.

    Args:
        tallies: by vendor, closed.
        cells: by name, as `gateway.app.Cell.snapshot` told it last.
    """
    found = []
    for vendor, tally in tallies.items():
        found += [f"{vendor}: {getattr(tally, sin)} {sin}" for sin in SINS if getattr(tally, sin)]
        if tally.devices and not tally.events:
            found.append(f"{vendor}: not one event came")
    found += [
        f"{name}: its cell is {cell['state']}: {cell.get('reason')}"
        for name, cell in cells.items()
        if cell["state"] != "up"
    ]
    return found
