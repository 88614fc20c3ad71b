"""A fleet's life in simulated time, the same whether a gateway listens or nobody does.

    power on ─► begins ─► each arrives ─► people, weather, acts ─► rest ─► all stands still

Everything is an entry of one agenda, in whole milliseconds. Two entries of the same millisecond go
in the order in which they were planned, so no device's order depends on another's being there.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from fleet_sim import acts
from fleet_sim.around import Host
from fleet_sim.chance import stream
from fleet_sim.fleet import Population
from fleet_sim.ground import Ground
from fleet_sim.hub import HubUnit, hubs_of
from fleet_sim.scenario import Scenario
from fleet_sim.unit import Unit
from fleet_sim.world.world import World

#: Every simulated run begins on Monday, 5 January 2026, 00:00 UTC.
EPOCH_MS: Final = 1_767_571_200_000
#: The scenario begins so long after that: a gateway has everything connected by then.
BEGINS_MS: Final = 30_000
#: At the end people rest for so long, and for as long as the slowest poll takes; and then the world
#: stands still as long again.
SETTLE_S: Final = 10.0


# Devices arrive at such steps: who comes at the same moment is committed together.
_STEP_MS: Final = 50


class Connects(Protocol):
    """Gives a device or hub with a session of its own a link to its broker."""

    def __call__(self, unit: Unit | HubUnit) -> None:
        """Make the link, and connect it."""


class Life:
    """The devices and hubs of a run, or of a part of it.

    Args:
        host: what they are given; its agenda is there.
        world: what they live in.
        populations: its devices, in their order.
    """

    def __init__(
        self, host: Host, scenario: Scenario, world: World, populations: Sequence[Population]
    ) -> None:
        self._host = host
        self._scenario = scenario
        self._world = world
        self.units = [
            Unit(host, population, device, population.manner(place))
            for population in populations
            for place, device in enumerate(population.devices)
        ]
        self.hubs = hubs_of(host, self.units)
        #: When people rest, and when all stands still; Unix ms.
        self.rests_ms = EPOCH_MS + BEGINS_MS + round(scenario.seconds * 1000)
        self.ends_ms = self.rests_ms + round((SETTLE_S + scenario.longest_wait_s) * 1000)
        for unit in self.units:
            host.ledger.tally(unit.vendor).devices += 1

    def power_on(self) -> None:
        """Let the servers run, before anybody asks: who finds nobody backs off."""
        for hub in self.hubs:
            if hub.session is None:
                hub.came_up()

    def begin(self, connect: Connects, ground: Ground | None = None) -> None:
        """It is `BEGINS_MS` after the epoch: the scenario begins, up to its end.

        Args:
            connect: makes links.
            ground: what else than devices can fail.
        """
        host, began_ms = self._host, EPOCH_MS + BEGINS_MS
        # What is planned first comes first in its millisecond: the end goes before all else.
        host.agenda.at(self.ends_ms, lambda _: host.agenda.stop())
        host.agenda.at(self.rests_ms, lambda _: self.rest())
        residents = self._world.residents(self.units)
        for at_s, what in acts.cues(self._scenario, host.seed, self.units, residents, ground):
            host.agenda.at(began_ms + round(at_s * 1000), partial(_act, what))
        self._world.begin(self.units, began_ms)
        for hub in self.hubs:
            if hub.session is not None:
                connect(hub)
        for unit in self.units:
            arrival = stream(host.seed, f"arrival/{unit.name}")
            step = arrival.randrange(max(1, round(self._scenario.arrive_s * 1000) // _STEP_MS))
            at_ms = began_ms + step * _STEP_MS
            host.agenda.at(at_ms, partial(self._arrives, unit, connect))

    def _arrives(self, unit: Unit, connect: Connects, _now_ms: int) -> None:
        if unit.behind is None:
            if unit.session is None:
                unit.came_up()
            else:
                connect(unit)
        unit.live()

    def rest(self) -> None:
        """Nothing new begins; what is begun comes to its end."""
        self._world.rest()
        for unit in self.units:
            unit.rest()


def _act(what: Callable[[], None], _now_ms: int) -> None:
    what()
