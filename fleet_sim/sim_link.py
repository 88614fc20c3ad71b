"""A board's connection to a broker in simulated time, made again as its firmware does."""

from abc import ABC, abstractmethod
from typing import Final

from fleet_sim.hub import HubUnit
from fleet_sim.unit import Unit
from vendors.sim import MqttSession, Publish

# How long a board whose broker refuses it waits before it tries again, where none says so.
_REFUSED_S: Final = 1.0


class SimLink(ABC):
    """A `unit.Link`. Everything that happens to it is on the run's agenda, in whole ms."""

    __slots__ = ("_stopped", "session", "unit")

    def __init__(self, unit: Unit | HubUnit) -> None:
        assert unit.session is not None
        self.unit = unit
        self.session: MqttSession = unit.session
        self._stopped = False

    @property
    @abstractmethod
    def up(self) -> bool:
        """Whether what is published now arrives."""

    @abstractmethod
    def publish(self, message: Publish) -> None:
        """Send one, while `up`."""

    @abstractmethod
    def join(self) -> bool:
        """Connect and subscribe; False if the broker refuses."""

    @abstractmethod
    def break_off(self, *, politely: bool) -> None:
        """End the connection."""

    def connect(self) -> None:
        """Connect; try again later if the broker refuses, and when there is power again."""
        if self._stopped:
            return
        if self.unit.away is not None:
            self.unit.away.append(self.connect)
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

    def drop(self) -> None:
        """Cut it: the broker sees that at once, and the board next."""
        if self.up:
            self.break_off(politely=False)
            fleet = self.unit.fleet
            fleet.agenda.at(int(fleet.now_ms()), lambda _: self.lost())

    def leave(self) -> None:
        """Say DISCONNECT, and do not come back."""
        self._stopped = True
        self.break_off(politely=True)
