"""What fails alike in simulated and in real time: the bus, and the commands that come by it.

Each way to fail is a function that lets it begin and gives back what ends it.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from fleet_sim.faults import Fault, host
from fleet_sim.ground import Heal
from fleet_sim.ground.commands import CommandFaults


class Bus(Protocol):
    """What can befall the gateway's connections to its bus."""

    def down(self) -> Heal:
        """All are broken, and none is let in."""

    def slow(self, late_ms: int) -> Heal:
        """What comes waits for the next of the moments that are so far apart."""

    def throttled(self, per_s: int) -> Heal:
        """Of each connection so many messages are taken in every second."""


class Around(Protocol):
    """What a gateway is among."""

    commands: CommandFaults

    @property
    def bus(self) -> Bus:
        """Where it says what it knows."""


def _bus_is_down(around: Around, cell: str, fault: Fault) -> Heal:
    del cell, fault
    return around.bus.down()


def _bus_is_slow(around: Around, cell: str, fault: Fault) -> Heal:
    del cell
    assert isinstance(fault, host.BusSlow)
    return around.bus.slow(fault.late_ms)


def _bus_throttles(around: Around, cell: str, fault: Fault) -> Heal:
    del cell
    assert isinstance(fault, host.BusThrottled)
    return around.bus.throttled(fault.per_s)


def _commands_are_late(around: Around, cell: str, fault: Fault) -> Heal:
    del cell
    assert isinstance(fault, host.CommandLate)
    return around.commands.late(fault)


def _commands_come_twice(around: Around, cell: str, fault: Fault) -> Heal:
    del cell
    assert isinstance(fault, host.CommandDoubled)
    return around.commands.doubled(fault)


#: (what is around the gateway, whose cell, the fault) to what ends it.
WAYS: Final[Mapping[type[Fault], Callable[[Around, str, Fault], Heal]]] = {
    host.BusDown: _bus_is_down,
    host.BusSlow: _bus_is_slow,
    host.BusThrottled: _bus_throttles,
    host.CommandLate: _commands_are_late,
    host.CommandDoubled: _commands_come_twice,
}
