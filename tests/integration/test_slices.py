"""A fleet that is too large for one gateway is run in slices, and nobody lives otherwise by it."""

from pathlib import Path

import orjson
import pytest

from fleet_sim import virtual
from fleet_sim.cluster import shard_run
from fleet_sim.cluster.plan import Job, Part
from fleet_sim.meter import Moment
from fleet_sim.scenario import Scenario
from fleet_sim.shard import WHOLE

FLEET = {"nuki": 14, "ratgdo": 14, "tedee": 8}
SCENARIO = Scenario(
    name="large", hours=0.1, pace=40, fleet=FLEET, gateway={"tedee": {"poll_interval_s": 300}}
)


class Silent:
    """A watch that nobody looks at."""

    def say(self, text: str) -> None:
        pass

    def show(self, moment: Moment) -> None:
        pass


def run(folder: Path) -> tuple[Part, list[bytes], int]:
    """The shard, its lines, and how often a start was waited for."""
    folder.mkdir()
    starts: list[int] = []
    part = shard_run.run(
        Job(SCENARIO, 5, WHOLE, journal=True),
        folder,
        folder,
        watch=Silent(),
        built=lambda: starts.append(1),
    )
    assert part.journal is not None
    return part, part.journal.read_bytes().splitlines(), len(starts)


def test_slices_find_what_the_whole_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, lines, _ = run(tmp_path / "whole")

    monkeypatch.setattr(virtual, "DEVICES_MAX", 10)
    sliced, same, starts = run(tmp_path / "sliced")

    assert same == lines
    assert sliced.digest == whole.digest
    assert starts == 1
    assert {vendor: tally.devices for vendor, tally in sliced.tallies.items()} == FLEET
    assert all(tally.sins == 0 for tally in sliced.tallies.values())
    assert {tally.deeds for tally in sliced.tallies.values()} == {
        tally.deeds for tally in whole.tallies.values()
    }
    # Each slice has cells of its own, and every device is in one of them.
    assert len(sliced.cells) > len(whole.cells) == len(FLEET)
    assert sum(int(cell["devices"]) for cell in sliced.cells.values()) == sum(FLEET.values())
    assert {orjson.loads(line)["device"].partition("/")[0] for line in lines} == set(FLEET)
