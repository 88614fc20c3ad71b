"""What a fleet stands on: the brokers' sessions, the cells, the gateway's host."""

from typing import Protocol

from fleet_sim.act import Act


class Ground(Protocol):
    """Carries out the acts that strike no device: see `fleet_sim.faults.Strikes`."""

    def begin(self, act: Act) -> None:
        """Let it fail."""

    def end(self, act: Act) -> None:
        """Let it fail no more."""
