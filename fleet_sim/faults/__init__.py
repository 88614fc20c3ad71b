"""Ways to fail: a typed catalogue, one small value for each kind."""

from collections.abc import Mapping
from typing import Any, Final

from fleet_sim.faults import device, host, http, mqtt, wire
from fleet_sim.faults.fault import (
    Arrivals,
    Carried,
    Certificate,
    End,
    Fault,
    Setting,
    Spell,
    spells,
)
from fleet_sim.faults.kind import Family, Kind, Strikes

__all__ = [
    "FAULTS",
    "Arrivals",
    "Carried",
    "Certificate",
    "End",
    "Family",
    "Fault",
    "Kind",
    "Setting",
    "Spell",
    "Strikes",
    "make",
    "name_of",
    "spells",
]

#: Every kind by its name, as scenarios write it. Device-level faults of one vendor alone are the
#: vendor's own: `SimDevice.act("fault:…")`.
FAULTS: Final[Mapping[str, Kind]] = {
    name: kind for family in (wire, mqtt, http, device, host) for name, kind in family.KINDS.items()
}
_NAMES: Final = {
    kind.fault: name for name, kind in FAULTS.items() if kind.strikes is not Strikes.DEVICE
}


def make(name: str, given: Mapping[str, Any] | None = None) -> Fault:
    """The fault of this name with these settings.

    Raises:
        KeyError: there is none of this name.
        ValueError: it takes no such setting, or not this value.
    """
    return FAULTS[name].make(name, given or {})


def name_of(fault: Fault) -> str:
    """The name of a fault of the catalogue; what a device acts out itself is no value here."""
    return _NAMES[type(fault)]
