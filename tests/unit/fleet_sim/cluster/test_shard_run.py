"""One shard in its process: slices that follow each other, and a shard in which nobody lives."""

from pathlib import Path

from fleet_sim.cluster import shard_run
from fleet_sim.cluster.plan import Job
from fleet_sim.meter import Moment, Row
from fleet_sim.scenario import load
from fleet_sim.shard import Shard


def moment(elapsed_s: float, events: int, events_per_s: float) -> Moment:
    row = Row(
        vendor="nuki",
        devices=10,
        connected=10,
        cell="up",
        fault="",
        frames_per_s=0.0,
        events_per_s=events_per_s,
        p50_ms=None,
        p99_ms=None,
        events=events,
    )
    return Moment("s", 1, elapsed_s, 100.0, 1.0, virtual=True, rows=[row])


def test_slices_that_follow_each_other_are_shown_as_one_run(watcher) -> None:
    seen = watcher()
    told = shard_run.InSlices(seen, 4)

    told.show(moment(50.0, 5, 2.0))
    told.show(moment(100.0, 9, 2.0))
    told.next()
    told.show(moment(20.0, 1, 3.0))

    assert [each.elapsed_s for each in seen.moments] == [12.5, 25.0, 30.0]
    rows = [each.rows[0] for each in seen.moments]
    assert [(row.devices, row.events, row.events_per_s) for row in rows] == [
        (10, 5, 2.0),
        (10, 9, 2.0),
        (20, 10, 3.0),
    ]


def test_a_shard_in_which_nobody_lives_is_over_at_once(tmp_path: Path, watcher) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("description: One.\nhours: 0.01\nfleet: {zigbee2mqtt: 3}\n")
    scenario, began = load(str(path)), []

    parts = [
        shard_run.run(
            Job(scenario, 7, Shard(index, 4), journal=True),
            tmp_path,
            tmp_path,
            watch=watcher(),
            built=lambda: began.append(1),
        )
        for index in range(4)
    ]

    devices = [part.tallies["zigbee2mqtt"].devices for part in parts]
    assert sorted(devices) == [0, 0, 0, 3]  # all behind one coordinator
    assert len(began) == 4
    assert all(part.journal is not None and part.journal.exists() for part in parts)
    assert [bool(part.cells) for part in parts] == [bool(count) for count in devices]
