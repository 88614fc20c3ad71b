"""Rates and latencies of a run while it lasts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleet_sim.report import percentile
from fleet_sim.wire import WireFleet


@dataclass(frozen=True, slots=True)
class Row:
    """One vendor since the row before; rates per second, latencies in ms, None if unknown."""

    vendor: str
    devices: int
    connected: int
    cell: str
    fault: str
    frames_per_s: float
    events_per_s: float
    p50_ms: float | None
    p99_ms: float | None


class Meter:
    """Makes the rows.

    Args:
        fleet: whose ledger is read.
        cells: each cell's last word on its health, kept up to date by others.
    """

    def __init__(self, fleet: WireFleet, cells: Mapping[str, Mapping[str, Any]]) -> None:
        self._fleet = fleet
        self._cells = cells
        self._last: dict[str, tuple[int, int, int]] = {}

    def rows(self, passed_s: float, struck: Mapping[str, str]) -> Sequence[Row]:
        """One row per vendor; `struck` names the fault that a vendor suffers from."""
        rows = []
        for vendor in dict.fromkeys(unit.vendor for unit in self._fleet.units):
            tally, units = self._fleet.ledger.tally(vendor), self._fleet.of(vendor)
            frames, events, seen = self._last.get(vendor, (0, 0, 0))
            fresh = [ms for _, ms in tally.latencies[seen:]]
            self._last[vendor] = (tally.frames, tally.events, len(tally.latencies))
            rows.append(
                Row(
                    vendor=vendor,
                    devices=tally.devices,
                    connected=sum(1 for unit in units if unit.up),
                    cell=str(self._cells.get(vendor, {}).get("state", "?")),
                    fault=struck.get(vendor, ""),
                    frames_per_s=(tally.frames - frames) / passed_s,
                    events_per_s=(tally.events - events) / passed_s,
                    p50_ms=percentile(fresh, 50),
                    p99_ms=percentile(fresh, 99),
                )
            )
        return rows
