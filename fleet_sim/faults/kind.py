"""One entry of the catalogue: a fault with its name, what it does, and who saw it in the field."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fleet_sim.faults.fault import TIMES, Fault, Setting, made, settings_of


class Family(StrEnum):
    """Where in the chain it fails."""

    WIRE = "wire"
    MQTT = "mqtt"
    HTTP = "http"
    DEVICE = "device"
    HOST = "host"


class Strikes(StrEnum):
    """What an act with it strikes, and so what it must name.

    `link` and `device` strike a share of a vendor's devices; `vendor` what a vendor's cell has with
    its broker or cloud as a whole; `cell` the vendor's cell itself; `gateway` all that runs.
    """

    LINK = "link"
    DEVICE = "device"
    VENDOR = "vendor"
    CELL = "cell"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to fail.

    Attributes:
        fault: its settings, and what it does to a link.
        what: one line: what fails.
        seen: one line: what shows on the wire or in the host while it lasts.
        source: the real incident, rule or measurement that it is taken from.
        strikes: what an act with it strikes.
        times: in which times it can be had.
        of_one: it strikes a single device, whatever the share.
        by_the_message: whether it harms is asked for each message, though it strikes no link.
    """

    family: Family
    fault: type[Fault]
    what: str
    seen: str
    source: str
    strikes: Strikes = Strikes.LINK
    times: tuple[str, ...] = TIMES
    of_one: bool = False
    by_the_message: bool = False

    @property
    def settings(self) -> Mapping[str, Setting]:
        """What it can be told, by name."""
        return settings_of(self.fault)

    @property
    def as_a_whole(self) -> bool:
        """Whether it begins and ends anew each time that it is to harm, or to harm no more."""
        return not (self.strikes is Strikes.LINK or self.by_the_message)

    def make(self, name: str, given: Mapping[str, Any]) -> Fault:
        """The fault with these settings.

        Raises:
            ValueError: it takes no such setting, or not this value.
        """
        return made(self.fault, name, given)
