"""A control that leaves nothing broken behind, whatever becomes of the experiment.

    "controls": [{"name": "heal", "provider": {"type": "python",
                  "module": "fleet_sim.chaostoolkit.controls"}}]

In the end everything heals; if `chaos` is killed, the leases of its faults run out.
"""

from typing import Any

from fleet_sim.chaostoolkit.leases import LEASES
from fleet_sim.live import client


def configure_control(**_: Any) -> None:  # noqa: ANN401 -- Chaos Toolkit's
    """Begin to hold leases."""
    LEASES.begin()


def after_experiment_control(at: str | None = None, **_: Any) -> None:  # noqa: ANN401 -- likewise
    """Heal everything; `at` is the run's URL, among the control's arguments.

    Raises:
        FleetError: the run is not there.
    """
    LEASES.end()
    client.at(at).heal()


def cleanup_control() -> None:
    """Hold no lease any more."""
    LEASES.end()
