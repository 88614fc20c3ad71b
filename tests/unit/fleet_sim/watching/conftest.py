"""A run's report and moment, made by the code that makes them, without the run."""

from collections.abc import Mapping
from typing import Any

import pytest

from fleet_sim import report
from fleet_sim.ledger import Ledger
from fleet_sim.meter import Meter, Moment
from fleet_sim.scenario import Scenario
from fleet_sim.timeline import Timeline

HOSTILE = "nu<script>alert(1)</script>\"'&\N{RIGHT-TO-LEFT OVERRIDE}ki"


class Rig:
    """Half an hour of ratgdo and nuki, told bucket by bucket."""

    def __init__(self) -> None:
        self.scenario = Scenario.model_validate(
            {
                "name": "half_hour",
                "hours": 0.5,
                "fleet": {"ratgdo": 4, "nuki": 2},
                "acts": [{"at": "10m", "for": "5m", "vendor": "nuki", "fault": "hang"}],
            }
        )
        self.ledger = Ledger()
        self.tallies = {vendor: self.ledger.tally(vendor) for vendor in self.scenario.fleet}
        self.course = Timeline(self.tallies, self.scenario.seconds)
        cells = {vendor: {"state": "up", "reason": ""} for vendor in self.tallies}
        self.cells: dict[str, Mapping[str, Any]] = cells
        about = report.about(self.scenario, 7, virtual=True)
        self._meter = Meter(about, self.ledger, self.course, cells)
        for vendor, tally in self.tallies.items():
            tally.devices = self.scenario.fleet[vendor]
            tally.linked(tally.devices)
        self.tallies["nuki"].charge(None, 80)

    def pass_time(self, buckets: int = 180) -> None:
        """Some of everything in each bucket."""
        for number in range(buckets):
            for tally in self.tallies.values():
                tally.deeds += 1
                tally.frames += 3
                tally.events += 2
                tally.latencies += [(0, 4.0), (0, 4.0 + number)]
            self.course.close_bucket()

    def report(self) -> dict[str, Any]:
        """In the end."""
        return {
            **report.result(self.scenario, 7, self.tallies, self.cells, self.course.so_far()),
            "time": "virtual",
            "digest": "0123abcd",
            "wall_s": 2.0,
        }

    def moment(self, elapsed_s: float = 900.0) -> Moment:
        """While it goes on."""
        return self._meter.moment(elapsed_s, {})


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.pass_time()
    return rig


@pytest.fixture
def hostile() -> str:
    """What a device may call itself."""
    return HOSTILE
