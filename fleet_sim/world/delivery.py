"""Deliveries, as a scenario says them: how many come when, and how long a courier waits."""

from typing import Self

from pydantic import Field, ValidationInfo, model_validator

from fleet_sim.world.fields import Seconds, Share, Site, Strict, Vendor
from fleet_sim.world.people import Hours, RhythmField, read_counts, rhythm_of
from fleet_sim.world.rhythm import Rhythm


class Deliveries(Strict):
    """Couriers: they arrive, ask, open, place, close and lock."""

    per_day: float = Field(
        default=1.5, gt=0, le=1_000, description="How many come to a door in a day, in the mean."
    )
    rhythm: RhythmField = Field(default="couriers", description="When in the week.")
    csv: str | None = Field(
        default=None,
        description=(
            "A CSV file beside the scenario: gap_s, the seconds from one delivery at a door to the"
            " next, or timestamp, when deliveries came."
        ),
    )
    gaps_s: tuple[float, ...] = Field(
        default=(),
        description="Seconds from one delivery at a door to the next: one of these each time.",
    )
    vendors: tuple[Vendor, ...] = Field(
        default=(), description="Whose devices; all that can be opened and closed if it is empty."
    )
    site: Site | None = Field(default=None, description="Where; everywhere if it does not say.")
    share: Share = Field(default=1.0, description="At how many of the doors couriers deliver.")
    place_min_s: Seconds = Field(
        alias="place_min", default=10.0, ge=0, description="How soon a parcel is placed."
    )
    place_max_s: Seconds = Field(
        alias="place_max", default=60.0, gt=0, description="How long that takes at most."
    )
    patience_s: Seconds = Field(
        alias="patience",
        default=90.0,
        gt=0,
        description="How long a courier waits for a door before he gives up.",
    )

    @model_validator(mode="after")
    def _as_counted(self, info: ValidationInfo) -> Self:
        if self.csv is not None:
            found = read_counts(self.csv, info, gaps=True)
            changed: dict[str, object] = {"csv": None}
            if found.rhythm is None:
                changed["gaps_s"] = found.gaps_s
            else:
                changed["rhythm"] = Hours(hours=found.rhythm.hours)
            # What was read is what counts from now on: the scenario may go to another machine.
            self.__dict__.update(changed)
        if self.gaps_s and not 0 < sum(self.gaps_s) < float("inf"):
            raise ValueError("gaps_s that are all 0; give one above 0 at least")
        if self.place_max_s < self.place_min_s:
            raise ValueError("place_max is below place_min; give it as much at least")
        return self

    def come_to(self, vendor: str, site: str) -> bool:
        """Whether couriers come to this vendor's devices at this place."""
        return self.site in (None, site) and (not self.vendors or vendor in self.vendors)

    def shape(self) -> Rhythm:
        """When in the week they come."""
        return rhythm_of(self.rhythm)

    @property
    def longest_s(self) -> float:
        """How long one may take: to be let in, to place, to have it closed, and to be told so."""
        return 2 * (self.patience_s + 5) + self.place_max_s

    @property
    def a_day(self) -> float:
        """How many come to a door in a day, in the mean."""
        if self.gaps_s:
            return 86_400 * len(self.gaps_s) / sum(self.gaps_s)
        return self.per_day
