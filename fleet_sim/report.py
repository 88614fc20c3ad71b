"""What a run found out, as plain JSON values."""

from collections.abc import Mapping, Sequence
from typing import Any

from fleet_sim.ledger import Tally
from fleet_sim.scenario import Scenario

Cells = Mapping[str, Mapping[str, Any]]


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


def result(
    scenario: Scenario, seed: int, tallies: Mapping[str, Tally], cells: Cells
) -> dict[str, Any]:
    """The verdict on a scenario: what every way to run one has to say.

    Args:
        scenario: what was run.
        seed: of all chance.
        tallies: by vendor, closed.
        cells: see `problems`.
    """
    found = problems(tallies, cells)
    return {
        "scenario": scenario.name,
        "seed": seed,
        "simulated_s": scenario.seconds,
        "verdict": "fail" if found else "pass",
        "problems": found,
        "vendors": {vendor: figures(tallies[vendor]) for vendor in scenario.fleet},
        "evidence": [line for vendor in scenario.fleet for line in tallies[vendor].evidence],
        "cells": {name: dict(cell) for name, cell in cells.items()},
    }


def problems(tallies: Mapping[str, Tally], cells: Cells) -> list[str]:
    """What breaks a promise, in words; empty is a pass.

    Args:
        tallies: by vendor, closed.
        cells: by name, as `gateway.app.Cell.snapshot` told it last.
    """
    found = []
    for vendor, tally in tallies.items():
        found += [
            f"{vendor}: {getattr(tally, sin)} {sin}"
            for sin in ("lost", "duplicated", "reordered", "invented")
            if getattr(tally, sin)
        ]
        if tally.devices and not tally.events:
            found.append(f"{vendor}: not one event came")
    found += [
        f"{name}: its cell is {cell['state']}: {cell.get('reason')}"
        for name, cell in cells.items()
        if cell["state"] != "up"
    ]
    return found
