"""Strikes what is in this process: devices, and what they stand on."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from fleet_sim import acts
from fleet_sim.act import Act
from fleet_sim.acts import Resident, Stroke
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
        hurry: how many times as fast as the scenario's is our time.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        residents: Iterable[Resident],
        ground: Ground | None = None,
        *,
        hurry: float = 1.0,
    ) -> None:
        self._scenario = scenario
        self._seed = seed
        self._residents = list(residents)
        self._struck: dict[str, list[_Blow]] = {}
        self.ground = ground
        self._hurry = hurry

    def begin(self, name: str, act: Act) -> Sequence[str]:
        """See `Hand`."""
        units: Sequence[Unit] = ()
        if act.of_devices:
            units = acts.chosen(self._scenario, act, lot(act), self._seed, self._residents)
        if act.says_again:
            for unit in units:
                unit.words = unit.words or Words()  # a run that was to have no flood kept none
        blows = self._struck[name] = []
        for stroke in acts.strokes(act, units, self.ground):
            blow = _Blow(stroke)
            blows.append(blow)
            for at_s, until_s in acts.spells(act, stroke, lot(act), self._seed):
                blow.plan((at_s - act.at_s) / self._hurry, blow.begin)
                if until_s < act.until_s:  # that it is over at its end we are told
                    blow.plan((until_s - act.at_s) / self._hurry, blow.end)
        return [unit.device.name for unit in units]

    def end(self, name: str) -> None:
        """See `Hand`."""
        for blow in self._struck.pop(name):
            blow.close()

    def close(self) -> None:
        """Heal all that is struck."""
        for name in list(self._struck):
            self.end(name)


class _Blow:
    """One stroke of a live fault, which may come and go."""

    def __init__(self, stroke: Stroke) -> None:
        self._stroke = stroke
        self._harms = False
        self._timers: list[asyncio.TimerHandle] = []

    def plan(self, wait_s: float, what: Callable[[], None]) -> None:
        """Do it after so long; at once, if that is no time."""
        if wait_s > 0:
            self._timers.append(asyncio.get_running_loop().call_later(wait_s, what))
        else:
            what()

    def begin(self) -> None:
        self._harms = True
        self._stroke.begin()

    def end(self) -> None:
        self._harms = False
        self._stroke.end()

    def close(self) -> None:
        """Harm no more, now or later."""
        for timer in self._timers:
            timer.cancel()
        if self._harms:
            self.end()


def lot(act: Act) -> str:
    """What the chance of who is struck is drawn by: a larger share strikes the same, and more."""
    return f"live/{act.fault}"
