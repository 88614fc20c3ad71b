"""The weather over a fleet: temperature by day and season, and storms; pure."""

from math import cos, pi
from typing import Final

from pydantic import Field, model_validator

from fleet_sim.world.fields import Seconds, Site, Strict
from fleet_sim.world.radio import Radio, RadioField
from fleet_sim.world.weektime import DAY_HOURS, YEAR_DAYS, day_of_year, hour_of_day

# The coldest is a month after the shortest day, and the warmest hour three after noon.
_COLDEST_DAY: Final = 20.0
_WARMEST_HOUR: Final = 15.0
_STORM: Final = Radio(late=0.4, late_ms=3_000, cuts_per_day=48.0)


class Storm(Strict):
    """A while of bad weather."""

    at_s: Seconds = Field(alias="at", ge=0, description="When it begins, from the start.")
    for_s: Seconds = Field(alias="for", gt=0, description="How long it lasts.")
    site: Site | None = Field(default=None, description="Where; everywhere if it does not say.")
    colder_c: float = Field(
        default=6.0, ge=0, le=60, description="How many degrees colder it is meanwhile."
    )
    radio: RadioField = Field(default=_STORM, description="What it does to every radio there.")

    @property
    def until_s(self) -> float:
        """When it ends, from the start."""
        return self.at_s + self.for_s

    def blows(self, at_s: float, site: str) -> bool:
        """Whether it does at this second and place."""
        return self.at_s <= at_s < self.until_s and self.over(site)

    def over(self, site: str) -> bool:
        """Whether it is at this place that it blows."""
        return self.site in (None, site)


class Weather(Strict):
    """What it is like outside. Without it, it is 15 °C and still."""

    mean_c: float = Field(default=10.0, ge=-60, le=60, description="Temperature of the whole year.")
    yearly_c: float = Field(
        default=9.0, ge=0, le=60, description="How far summer and winter are from it."
    )
    daily_c: float = Field(
        default=4.0, ge=0, le=40, description="How far afternoon and night are from the day's."
    )
    storms: tuple[Storm, ...] = Field(default=(), description="When the wind blows.")

    @model_validator(mode="before")
    @classmethod
    def _always_so_warm(cls, given: object) -> object:
        return {"mean_c": given, "yearly_c": 0, "daily_c": 0} if _number(given) else given

    def temperature_c(self, wall_ms: float, at_s: float, site: str = "") -> float:
        """Outside, at this local time (`weektime`) and second of the scenario."""
        season = -cos(2 * pi * (day_of_year(wall_ms) - _COLDEST_DAY) / YEAR_DAYS)
        hour = cos(2 * pi * (hour_of_day(wall_ms) - _WARMEST_HOUR) / DAY_HOURS)
        storms = sum(storm.colder_c for storm in self.storms if storm.blows(at_s, site))
        return self.mean_c + self.yearly_c * season + self.daily_c * hour - storms


def _number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


STILL: Final = Weather(mean_c=15.0, yearly_c=0.0, daily_c=0.0)
