"""What an experiment asks about a fleet: for hypotheses, and for probes in a method."""

import logging
import time
from collections.abc import Sequence
from typing import Any, Final

from devices.errors import FleetError
from fleet_sim.live import client

__all__ = ["cell_state", "faults", "harm", "healthy_vendors_unhurt", "p99_ms"]

_LOG: Final = logging.getLogger("chaostoolkit")
_LOOK_S: Final = 0.5


class ProbeError(FleetError):
    """The experiment's move: what it asks cannot be answered; the text says why."""


def harm(vendor: str, at: str | None = None) -> int:
    """Events of a vendor that were lost, duplicated, reordered or invented so far; expect 0.

    Raises:
        FleetError: the run is not there, or has no such vendor.
    """
    return sum(_row(vendor, at)["sins"].values())


def p99_ms(vendor: str, within_s: float = 10.0, at: str | None = None) -> float:
    """How long an event took from device to bus at worst but one in a hundred, of the last second.

    Raises:
        FleetError: the run is not there, or nothing of the vendor came within `within_s`.
    """
    until_s = time.monotonic() + within_s
    while (found := _row(vendor, at)["p99_ms"]) is None:
        if time.monotonic() > until_s:
            raise ProbeError(f"{vendor}: no event in {within_s:g} s; give within_s more")
        time.sleep(_LOOK_S)
    return float(found)


def cell_state(vendor: str, at: str | None = None) -> str:
    """What the gateway's cell of a vendor says of itself: up, degraded, down, ...

    Raises:
        FleetError: the run is not there, or has no such vendor.
    """
    return str(_row(vendor, at)["cell"])


def healthy_vendors_unhurt(
    broken: str | Sequence[str], p99_ms_max: float | None = None, at: str | None = None
) -> bool:
    """Whether nobody but these vendors was harmed, has a cell that is not up, or is slow.

    Who was hurt, and how, is in the log as a warning.

    Raises:
        FleetError: the run is not there, or has no such vendor.
    """
    named = [broken] if isinstance(broken, str) else list(broken)
    rows = _rows(at)
    for vendor in named:
        _known(vendor, rows)
    hurt = [
        f"{vendor}: {wrong}"
        for vendor, row in rows.items()
        if vendor not in named
        for wrong in _wrongs(row, p99_ms_max)
    ]
    for each in hurt:
        _LOG.warning("%s", each)
    return not hurt


def faults(at: str | None = None) -> list[dict[str, Any]]:
    """What is broken by hand at present.

    Raises:
        FleetError: the run is not there.
    """
    return client.at(at).faults()


def _wrongs(row: dict[str, Any], p99_ms_max: float | None) -> list[str]:
    found = [f"{count} {sin}" for sin, count in row["sins"].items() if count]
    if row["cell"] != "up":
        found.append(f"its cell is {row['cell']}")
    if p99_ms_max is not None and (row["p99_ms"] or 0) > p99_ms_max:
        found.append(f"p99 {row['p99_ms']:.1f} ms, above {p99_ms_max:g}")
    return found


def _row(vendor: str, at: str | None) -> dict[str, Any]:
    rows = _rows(at)
    _known(vendor, rows)
    return rows[vendor]


def _rows(at: str | None) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = client.at(at).status()["vendors"]
    return found


def _known(vendor: str, rows: dict[str, dict[str, Any]]) -> None:
    if vendor not in rows:
        raise ProbeError(f"{vendor}: not in this fleet; there is {', '.join(rows)}")
