"""New firmware in waves: who gets it when, and at whom it fails; pure."""

from typing import Final, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from fleet_sim.world.fields import Seconds, Share, Site, Strict, Vendor
from fleet_sim.world.population import check_version, world_of
from vendors.sim import Chance


class Rollout(Strict):
    """One version for one vendor's devices."""

    at_s: Seconds = Field(alias="at", ge=0, description="When the first wave begins.")
    vendor: Vendor = Field(description="Whose devices.")
    to: str = Field(min_length=1, max_length=32, description="The new version.")
    waves: tuple[Share, ...] = Field(
        default=(1.0,), min_length=1, description="How many have it after each wave, rising."
    )
    every_s: Seconds = Field(
        default=7200.0, alias="every", gt=0, description="From one wave to the next."
    )
    within_s: Seconds = Field(
        default=1800.0, alias="within", gt=0, description="In how long a wave's devices are told."
    )
    reboot_s: Seconds = Field(
        default=60.0, alias="reboot", gt=0, description="How long a device is away for it."
    )
    fails: Share = Field(default=0.0, description="At how many it fails: they stay away.")
    retry_s: Seconds = Field(
        default=3600.0, alias="retry", gt=0, description="When it is tried again where it failed."
    )
    site: Site | None = Field(default=None, description="Where; everywhere if it does not say.")

    @field_validator("waves")
    @classmethod
    def _rising(cls, given: tuple[float, ...]) -> tuple[float, ...]:
        if list(given) != sorted(set(given)) or not given[0]:
            raise ValueError("waves that do not rise; write them like [10%, 50%, 100%]")
        return given

    @model_validator(mode="after")
    def _that_its_vendor_takes(self) -> Self:
        # Who tells no firmware is away for it all the same.
        if "firmware" in world_of(self.vendor):
            check_version(self.vendor, self.to)
        return self

    @property
    def until_s(self) -> float:
        """When the last device of the last wave is told."""
        return self.at_s + (len(self.waves) - 1) * self.every_s + min(self.within_s, self.every_s)


class Turn(NamedTuple):
    """When a device gets it, in seconds from the start: down, and up again with the new version.

    `failed`: it stays away until it is tried again, at `up_s`.
    """

    wave: int
    down_s: float
    up_s: float
    failed: bool


# Boots take their time: not the same for each.
_BOOT: Final = (0.7, 1.6)


def turn(rollout: Rollout, rng: Chance) -> Turn | None:
    """The turn of the device whose stream this is; None if no wave reaches it."""
    place, within, boot = rng.random(), rng.random(), rng.uniform(*_BOOT)
    failed = rng.random() < rollout.fails
    for wave, share in enumerate(rollout.waves):
        if place < share:
            spread_s = min(rollout.within_s, rollout.every_s)
            down_s = rollout.at_s + wave * rollout.every_s + within * spread_s
            away_s = boot * rollout.reboot_s + (rollout.retry_s if failed else 0)
            return Turn(wave, down_s, down_s + away_s, failed)
    return None
