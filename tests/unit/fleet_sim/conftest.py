"""What tests of runs share."""

import pytest

from fleet_sim.meter import Moment


class Watcher:
    """Keeps all moments. A `meter.Watch`."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def say(self, text: str) -> None:
        """Nothing is said in simulated time."""
        raise AssertionError(text)

    def show(self, moment: Moment) -> None:
        self.moments.append(moment)


@pytest.fixture(scope="session")
def watcher() -> type[Watcher]:
    """`watcher()` keeps all moments that it is shown, and is told nothing else."""
    return Watcher
