"""Strikes devices that are in other processes: a `live.faults.Hand` on a crew."""

from collections.abc import Callable, Iterable, Sequence

from fleet_sim import acts
from fleet_sim.act import Act
from fleet_sim.cluster.orders import Heal, Strike
from fleet_sim.cluster.plan import Seat
from fleet_sim.live.here import lot
from fleet_sim.scenario import Scenario


class Everywhere:
    """Tells every shard; who is struck there, each process knows without asking.

    Args:
        scenario: which devices of its fleet stand first, where.
        seed: of who is struck.
        seats: all devices.
        tell: has it done in every shard.
    """

    #: What devices stand on is in no shard.
    ground = None

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        seats: Iterable[Seat],
        tell: Callable[[Strike | Heal], None],
    ) -> None:
        self._scenario = scenario
        self._seed = seed
        self._seats = [(seat, seat.number, seat.site) for seat in seats]
        self._tell = tell
        self._struck: dict[str, Act] = {}

    @property
    def deeds(self) -> Sequence[Strike]:
        """What a shard that is begun again has to be told."""
        return [Strike(name, act) for name, act in self._struck.items()]

    def begin(self, name: str, act: Act) -> Sequence[str]:
        """See `Hand`."""
        self._struck[name] = act
        self._tell(Strike(name, act))
        struck = acts.chosen(self._scenario, act, lot(act), self._seed, self._seats)
        return [seat.device for seat in struck]

    def end(self, name: str) -> None:
        """See `Hand`."""
        del self._struck[name]
        self._tell(Heal(name))
