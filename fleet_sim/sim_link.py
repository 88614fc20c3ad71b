"""A board's connection to a broker in simulated time, made again as its firmware does."""

from abc import ABC, abstractmethod
from typing import Final

from fleet_sim.faults import End
from fleet_sim.hub import HubUnit
from fleet_sim.unit import Unit
from vendors.sim import MqttSession, Publish

# How long a board whose broker refuses it waits before it tries again, where none says so.
_REFUSED_S: Final = 1.0


class SimLink(ABC):
    """An `around.Link`. Everything that happens to it is on the run's agenda, in whole ms."""

    __slots__ = ("_dead", "_stopped", "session", "unit")

    drips = False

    def __init__(self, unit: Unit | HubUnit) -> None:
        assert unit.session is not None
        self.unit = unit
        self.session: MqttSession = unit.session
        self._stopped = False
        #: Nothing passes any more, and the board was not told.
        self._dead = False

    @property
    @abstractmethod
    def up(self) -> bool:
        """Whether what is published now arrives."""

    @abstractmethod
    def publish(self, message: Publish, over_ms: float = 0.0) -> bool:
        """Send one, while `up`; whether it is known to be lost."""

    @abstractmethod
    def join(self) -> bool:
        """Connect and subscribe; False if the broker refuses."""

    @abstractmethod
    def break_off(self, *, politely: bool) -> None:
        """End the connection."""

    @abstractmethod
    def vanish(self) -> None:
        """Say nothing any more: the broker finds that out by the keepalive."""

    @abstractmethod
    def usurp(self) -> None:
        """Have somebody else connect with its client id, while `up`."""

    def connect(self) -> None:
        """Connect; try again later if the broker refuses, and when there is power again."""
        if self._stopped:
            return
        waits = self.unit.waits
        if waits is not None:
            waits.append(self.connect)
        elif self.join():
            self.unit.came_up()
        else:
            self._again(max(_REFUSED_S, self.session.reconnect_s))

    def _again(self, wait_s: float) -> None:
        fleet = self.unit.fleet
        fleet.agenda.at(int(fleet.now_ms()) + round(wait_s * 1000), lambda _: self.connect())

    def lost(self) -> None:
        """The board sees that the connection is gone."""
        self.unit.went_down()
        if not self._stopped:
            self._again(self.session.reconnect_s)

    def drop(self, how: End = End.CLOSED) -> None:
        """Cut it: the broker sees that at once, and the board next; of silence neither knows."""
        if how is End.SILENT:
            if self.up:
                self._dead = True
                self.vanish()
        elif self.up or self._dead:
            self._dead = False
            self.break_off(politely=False)
            fleet = self.unit.fleet
            fleet.agenda.at(int(fleet.now_ms()), lambda _: self.lost())

    def tear(self, message: Publish, share: float) -> None:
        """Half a packet is none: all that the broker sees is the end."""
        del message, share
        self.drop()

    def leave(self) -> None:
        """Say DISCONNECT, and do not come back."""
        self._stopped = True
        self.break_off(politely=True)
