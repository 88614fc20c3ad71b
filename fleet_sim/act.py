"""One act of a scenario: a fault, for a while, at a share of one vendor's devices, or at all."""

from collections.abc import Mapping, Sequence
from typing import Final, Self

from pydantic import Field, model_validator

from fleet_sim.faults import FAULTS, Fault, Strikes, make, spells
from fleet_sim.world.fields import Seconds, Share, Site, Strict, Vendor, known
from fleet_sim.world.population import module_of
from vendors import registry
from vendors.sim import Chance

_OWN: Final = "fault:"
#: What strikes some devices and not others; the rest is one thing, and strikes it whole.
_OF_SOME: Final = (Strikes.LINK, Strikes.DEVICE)


class Act(Strict):
    """One fault, for a while, at a share of one vendor's devices."""

    at_s: Seconds = Field(alias="at", ge=0, description="When it begins, from the start.")
    for_s: Seconds = Field(alias="for", gt=0, description="How long it lasts.")
    vendor: Vendor | None = Field(
        default=None, description="Whose devices, sessions or cell; none for what strikes all."
    )
    fault: str = Field(description="Of the catalogue, or of this vendor's devices.")
    share: Share = Field(default=1.0, gt=0, description="The part of the devices it strikes.")
    site: Site | None = Field(default=None, description="Where; everywhere if it does not say.")
    settings: Mapping[str, bool | int | float | str] = Field(
        default={}, description="The fault's own."
    )

    @model_validator(mode="after")
    def _a_fault_that_exists(self) -> Self:
        own = {} if self.vendor is None else own_faults(self.vendor)
        name = self.fault.removeprefix(_OWN)
        known(name, own if self.fault.startswith(_OWN) else {*FAULTS, *own}, "fault")
        if self.vendor is not None and not able_to(self.vendor, self.fault):
            able = ", ".join(each for each in registry.names() if able_to(each, self.fault))
            raise ValueError(f"no {self.vendor} can fail so ({name}); take one of {able}")
        if self.fault in FAULTS:
            make(name, self.settings)
        elif self.settings:
            raise ValueError(f"{name} has no settings; leave them away")
        if self.strikes is Strikes.GATEWAY and self.vendor is not None:
            raise ValueError(f"{name} strikes all vendors alike; leave `vendor` away")
        if self.strikes is not Strikes.GATEWAY and self.vendor is None:
            raise ValueError(f"{name} strikes one vendor; say which, with `vendor`")
        if not self.of_devices and (self.share, self.site) != (1.0, None):
            raise ValueError(f"{name} strikes it whole; leave `share` and `site` away")
        return self

    @property
    def until_s(self) -> float:
        """When it ends, from the start."""
        return self.at_s + self.for_s

    @property
    def own(self) -> str | None:
        """The vendor's own name for it, if its devices act it out; None if it is no device's."""
        return None if self.vendor is None else own_name(self.vendor, self.fault)

    @property
    def strikes(self) -> Strikes:
        """What it strikes."""
        return Strikes.DEVICE if self.own is not None else FAULTS[self.fault].strikes

    @property
    def of_devices(self) -> bool:
        """Whether it strikes some devices, and not what they stand on."""
        return self.strikes in _OF_SOME

    @property
    def of_one(self) -> bool:
        """Whether it strikes a single device, whatever its share."""
        return self.own is None and FAULTS[self.fault].of_one

    @property
    def whom(self) -> str:
        """Whom it strikes, for people."""
        if not self.of_devices:
            return self.vendor or "everybody"
        if self.of_one:
            return f"one of {self.vendor}"
        return f"all of {self.vendor}" if self.share == 1 else f"{self.share:.0%} of {self.vendor}"

    @property
    def says_again(self) -> bool:
        """Whether devices repeat what they have told."""
        return self.own is None and self.make().says_again

    @property
    def late_ms(self) -> int:
        """How late the latest of what it delays can come."""
        return self.make().late_ms if self.own is None else 0

    @property
    def comes_and_goes(self) -> bool:
        """Whether it begins and ends more than once; on a link each message is asked about."""
        kind = FAULTS.get(self.fault)
        return kind is not None and kind.as_a_whole and self.make().probability < 1

    def spells(self, rng: Chance) -> Sequence[tuple[float, float]]:
        """When it is to begin and to end, from the start."""
        if not self.comes_and_goes:
            return ((self.at_s, self.until_s),)
        found = spells(self.make(), self.for_s, rng)
        return [(self.at_s + begins_s, self.at_s + ends_s) for begins_s, ends_s in found]

    def impossible(self, time: str) -> str:
        """What of it cannot be had in this time, `virtual` or `real`; empty if all of it can."""
        if self.own is not None:
            return ""
        kind = FAULTS[self.fault]
        if time not in kind.times:
            return f"fault: {self.fault} can be had in {kind.times[0]} time only"
        for name, value in self.settings.items():
            takes = kind.settings[name]
            if time not in takes.times and value != takes.default:
                return f"settings: {name} can be told in {takes.times[0]} time only"
        return ""

    def make(self) -> Fault:
        """The fault of the catalogue."""
        return make(self.fault, self.settings)


def own_name(vendor: str, fault: str) -> str | None:
    """The name that this vendor's devices have for a fault; None if no device acts it out."""
    kind = FAULTS.get(fault)
    if kind is None:
        return fault.removeprefix(_OWN)
    return kinds_of(vendor).get(fault) if kind.strikes is Strikes.DEVICE else None


def able_to(vendor: str, fault: str) -> bool:
    """Whether this vendor's devices can fail so: what they must act out themselves, some cannot."""
    kind = FAULTS.get(fault)
    return kind is None or kind.strikes is not Strikes.DEVICE or fault in kinds_of(vendor)


def kinds_of(vendor: str) -> Mapping[str, str]:
    """The kinds of the catalogue that a vendor's devices can act out, and their names for them."""
    found: Mapping[str, str] = getattr(module_of(vendor), "KINDS", {})
    return found


def own_faults(vendor: str) -> Mapping[str, str]:
    """The device-level faults that a vendor's simulator can act out, with a line for each."""
    return module_of(vendor).FAULTS
