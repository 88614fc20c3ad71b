"""One act of a scenario: a fault, for a while, at a share of one vendor's devices."""

from collections.abc import Mapping
from typing import Final, Self

from pydantic import Field, model_validator

from fleet_sim.faults import FAULTS, Fault
from fleet_sim.faults import parameters as parameters_of
from fleet_sim.world.fields import Seconds, Share, Site, Strict, Vendor, known
from fleet_sim.world.population import module_of

_OWN: Final = "fault:"


class Act(Strict):
    """One fault, for a while, at a share of one vendor's devices."""

    at_s: Seconds = Field(alias="at", ge=0, description="When it begins, from the start.")
    for_s: Seconds = Field(alias="for", gt=0, description="How long it lasts.")
    vendor: Vendor = Field(description="Whose devices.")
    fault: str = Field(description="Of any link, or of this vendor's devices.")
    share: Share = Field(default=1.0, gt=0, description="The part of the devices it strikes.")
    site: Site | None = Field(default=None, description="Where; everywhere if it does not say.")
    parameters: Mapping[str, float | int] = Field(default={}, description="The fault's own.")

    @model_validator(mode="after")
    def _a_fault_that_exists(self) -> Self:
        own = own_faults(self.vendor)
        name = self.fault.removeprefix(_OWN)
        known(name, own if self.fault.startswith(_OWN) else {*FAULTS, *own}, "fault")
        takes = {} if self.own else parameters_of(name)
        for parameter, value in self.parameters.items():
            if parameter not in takes:
                hint = f"it takes {', '.join(takes)}" if takes else "it takes none"
                raise ValueError(f"{name} has no parameter {parameter!r}; {hint}")
            whole = takes[parameter] is int
            if value <= 0 or (whole and not isinstance(value, int)):
                number = "a whole number" if whole else "a number"
                raise ValueError(f"parameter {parameter} is {value!r}; write {number} above 0")
        return self

    @property
    def until_s(self) -> float:
        """When it ends, from the start."""
        return self.at_s + self.for_s

    @property
    def own(self) -> str | None:
        """The vendor's own name for it; None for a fault of the link."""
        name = self.fault.removeprefix(_OWN)
        return None if self.fault in FAULTS else name

    @property
    def says_again(self) -> bool:
        """Whether devices repeat what they have told."""
        return self.own is None and self.make().rate_factor > 1

    def make(self) -> Fault:
        """The link's fault."""
        return FAULTS[self.fault][0](**self.parameters)


def own_faults(vendor: str) -> Mapping[str, str]:
    """The device-level faults that a vendor's simulator can act out, with a line for each."""
    return module_of(vendor).FAULTS
