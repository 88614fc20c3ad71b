"""Strikes what is in this process: devices, and what they stand on."""

from collections.abc import Iterable, Sequence

from fleet_sim import acts
from fleet_sim.act import Act
from fleet_sim.acts import Resident
from fleet_sim.ground import Ground
from fleet_sim.scenario import Scenario
from fleet_sim.unit import Unit
from fleet_sim.words import Words


class Here:
    """A `Hand` on the devices of this process.

    Args:
        scenario: which devices of its fleet stand first, where.
        seed: of who is struck.
        residents: the devices.
        ground: what else can fail; None: nothing.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        residents: Iterable[Resident],
        ground: Ground | None = None,
    ) -> None:
        self._scenario = scenario
        self._seed = seed
        self._residents = list(residents)
        self._struck: dict[str, tuple[Act, Sequence[Unit]]] = {}
        self.ground = ground

    def begin(self, name: str, act: Act) -> Sequence[str]:
        """See `Hand`."""
        if not act.of_devices:
            assert self.ground is not None
            self.ground.begin(act)
            self._struck[name] = act, ()
            return ()
        units = acts.chosen(self._scenario, act, lot(act), self._seed, self._residents)
        if act.says_again:
            for unit in units:
                unit.words = unit.words or Words()  # a run that was to have no flood kept none
        acts.begin(act, units)
        self._struck[name] = act, units
        return [unit.device.name for unit in units]

    def end(self, name: str) -> None:
        """See `Hand`."""
        act, units = self._struck.pop(name)
        if act.of_devices:
            acts.end(act, units)
        elif self.ground is not None:
            self.ground.end(act)

    def close(self) -> None:
        """Heal all that is struck."""
        for name in list(self._struck):
            self.end(name)


def lot(act: Act) -> str:
    """What the chance of who is struck is drawn by: a larger share strikes the same, and more."""
    return f"live/{act.fault}"
