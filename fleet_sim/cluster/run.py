"""A run on many workers, from its start to the report."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fleet_sim.cluster import coordinate, merge
from fleet_sim.cluster.local import LocalCrew
from fleet_sim.cluster.plan import Job
from fleet_sim.meter import Watch
from fleet_sim.scenario import Scenario
from fleet_sim.shard import Shard


@dataclass(frozen=True, slots=True)
class Where:
    """Who does the work.

    Args:
        workers: how many; None is one for each CPU of a Ray cluster, and one on this machine.
        ray: on a Ray cluster, and not on this machine alone.
        address: of that cluster; None finds it.
    """

    workers: int | None = None
    ray: bool = False
    address: str | None = None


def run(  # noqa: PLR0913 -- what is run, where, and who is told
    scenario: Scenario,
    *,
    seed: int,
    where: Where,
    watch: Watch,
    gateway: bool = True,
    journal: Path | None = None,
) -> dict[str, Any]:
    """Run it in simulated time; the report is that of one process, with what befell the workers.

    Args:
        scenario: what to run.
        seed: of all chance.
        where: who does the work.
        watch: is shown how it goes.
        gateway: whether real cells listen.
        journal: where to write what happened to every device.

    Raises:
        ConfigError: the scenario, the number of workers or the journal's file will not do.
        StageError: the cluster cannot be reached, or a shard was lost again and again.
    """
    with TemporaryDirectory(prefix="doorfleet-") as folder:
        with _crew(where, Path(folder)) as (crew, workers):
            job = Job(scenario, seed, Shard(0, workers), gateway, journal is not None)
            finished = coordinate.drive(crew, job, watch)
        if journal is not None:
            merge.journals(finished.parts, journal)
    report = merge.result(scenario, seed, finished.parts, finished.restarted, gateway=gateway)
    return {**report, "on": "ray" if where.ray else "this machine", "wall_s": finished.wall_s}


@contextmanager
def _crew(where: Where, folder: Path) -> Iterator[tuple[coordinate.Crew, int]]:
    """Whoever has the workers, and how many there will be."""
    crew: coordinate.Crew
    if where.ray:
        # Only who asks for Ray needs it.
        from fleet_sim.cluster.ray_cluster import RayCrew  # noqa: PLC0415 -- see above

        crew = ray_crew = RayCrew(where.address, folder)
        try:
            yield crew, ray_crew.room_for(where.workers)
        finally:
            crew.stop()
    else:
        crew = LocalCrew(folder)
        try:
            yield crew, where.workers or 1
        finally:
            crew.stop()
