"""How often simulated devices are used at pace 1, in the measure that recordings are taken in."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import orjson

from fleet_sim import alone
from fleet_sim.recording.deeds import deeds, journal_sightings
from fleet_sim.scenario import Scenario

# Enough that chance says little: some hundred deeds of each vendor.
_DEVICES: Final = 100
_HOURS: Final = 24.0
_SEED: Final = 7


def per_day(vendors: Iterable[str]) -> dict[str, float]:
    """Deeds per device and day, by vendor: a simulated day of a few devices, without a gateway.

    Raises:
        ConfigError: a vendor that nobody speaks.
    """
    found = {}
    for vendor in vendors:
        with TemporaryDirectory(prefix="doorfleet-") as folder:
            journal = Path(folder) / "journal.jsonl"
            day = Scenario.model_validate(
                {"name": vendor, "hours": _HOURS, "fleet": {vendor: _DEVICES}}
            )
            alone.run(day, seed=_SEED, journal=journal)
            with journal.open("rb") as lines:
                seen = list(journal_sightings(orjson.loads(line) for line in lines))
        found[vendor] = sum(1 for _ in deeds(seen)) / _DEVICES / _HOURS * 24
    return found
