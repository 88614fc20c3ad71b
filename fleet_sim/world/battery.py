"""How batteries drain: by what is done, by time, and faster in the cold; pure.

The figures are guesses of ours in the order of what vendors promise (a few months at some ten
movements a day); cold takes from alkaline cells about 1 % of what they give per degree below 20,
and more below freezing.
"""

from typing import Final

from pydantic import Field

from fleet_sim.world.fields import Strict
from fleet_sim.world.weektime import DAY_MS
from vendors.sim import Chance

_COMFORT_C: Final = 20.0
_PER_DEGREE: Final = 0.015
_FREEZING: Final = 0.03
_FULL: Final = 100.0
# At less than this no radio wakes up; people have long been told.
_EMPTY: Final = 1.0


class Batteries(Strict):
    """How the batteries of all devices that have any drain, and who changes them."""

    from_pct: int = Field(default=20, ge=1, le=100, description="The emptiest at the start.")
    to_pct: int = Field(default=100, ge=1, le=100, description="The fullest at the start.")
    use_pct: float = Field(
        default=0.02, ge=0, le=50, description="What one use takes, at room temperature."
    )
    day_pct: float = Field(
        default=0.15, ge=0, le=1000, description="What a day takes, used or not."
    )
    change_pct: float = Field(
        default=8.0, ge=0, le=100, description="Below this people think of new batteries."
    )
    change_days: float = Field(
        default=2.0, gt=0, le=365, description="How long it takes them in the mean."
    )


def haste(outside_c: float) -> float:
    """How many times as fast a battery drains at this temperature as at 20 °C."""
    cold = max(0.0, _COMFORT_C - outside_c)
    frost = max(0.0, -outside_c)
    return 1.0 + _PER_DEGREE * cold + _FREEZING * frost


class Battery:
    """One device's: what is left of it."""

    __slots__ = ("_left", "_replaced_ms", "_since_ms", "_spec", "_uses", "told")

    def __init__(self, spec: Batteries, rng: Chance, now_ms: float) -> None:
        low, high = sorted((spec.from_pct, spec.to_pct))
        self._spec = spec
        self._left = rng.uniform(low, high)
        self._since_ms = now_ms
        self._uses = 0
        self._replaced_ms: float | None = None
        #: The percentage that the device was told last.
        self.told: int | None = None

    def used(self) -> None:
        """Somebody did something."""
        self._uses += 1

    @property
    def percent(self) -> int:
        """As a device shows it."""
        return round(self._left)

    def drain(self, now_ms: float, outside_c: float, rng: Chance, speed: float = 1.0) -> bool:
        """Let the time since the last look pass, and what was done in it.

        Args:
            now_ms: Unix ms of the run.
            outside_c: the temperature meanwhile.
            rng: draws when somebody changes it.
            speed: how many seconds pass at the device for each of the run's.

        Returns:
            whether it now shows another percentage.
        """
        spec, passed_ms = self._spec, (now_ms - self._since_ms) * speed
        taken = spec.use_pct * self._uses + spec.day_pct * passed_ms / DAY_MS
        self._left = max(_EMPTY, self._left - taken * haste(outside_c))
        self._since_ms, self._uses = now_ms, 0
        if self._replaced_ms is not None and now_ms >= self._replaced_ms:
            self._left, self._replaced_ms = _FULL, None
        elif self._replaced_ms is None and self._left < spec.change_pct:
            wait_ms = rng.expovariate(1 / (spec.change_days * DAY_MS)) / speed
            self._replaced_ms = now_ms + wait_ms
        return self.percent != self.told
