"""A device's people: what they do how often, and when in the week; pure.

Every device has a stream of chance for its people. It can tell its next moment without the state
of anything else, so a device that is added moves no other.
"""

from bisect import bisect_right
from collections.abc import Mapping
from functools import cache
from itertools import accumulate
from typing import Final

from fleet_sim.world.rhythm import FLAT, Rhythm
from fleet_sim.world.weektime import DAY_MS, WallClock
from vendors.sim import Chance, SimulatorModule

# Nobody does something more often than every 20 ms, however great a flood is asked for: whoever
# runs a device has others to run.
_PER_MS_MAX: Final = 1 / 20


class Manner:
    """How people use some devices: what they do how often, and when in the week; shared by all.

    Args:
        habits: times per device and day.
        pace: how many times as often.
        rhythm: when in the week.
        wall: what the devices' local time is; a flat rhythm needs none.
    """

    __slots__ = ("_names", "_per_day", "_rhythm", "_sums", "_wall", "per_ms")

    def __init__(
        self,
        habits: Mapping[str, float],
        pace: float = 1.0,
        rhythm: Rhythm = FLAT,
        wall: WallClock | None = None,
    ) -> None:
        self._names = tuple(name for name, rate in habits.items() if rate)
        self._sums = tuple(accumulate(rate for rate in habits.values() if rate))
        self._per_day = self._sums[-1] if self._sums else 0.0
        self._rhythm = rhythm
        self._wall = None if rhythm.flat else wall
        #: How often somebody does something, in the mean of a week.
        self.per_ms = self._per_day * pace / DAY_MS

    def gap_ms(self, mean_ms: float, now_ms: float) -> int:
        """How long it is until so much of an even week's time has passed."""
        wall = self._wall
        if wall is not None:
            mean_ms = self._rhythm.wait_ms(wall.at(now_ms), mean_ms * wall.speed) / wall.speed
        return max(1, round(mean_ms))

    def pick(self, chance: float) -> str:
        """What they do, by a number from 0 to below 1."""
        names = self._names
        return names[min(bisect_right(self._sums, chance * self._per_day), len(names) - 1)]


def manner_of(module: SimulatorModule) -> Manner:
    """How people use a vendor's devices if a scenario says nothing of it; one for all of them."""
    return _usual(tuple(module.HABITS.items()))


@cache
def _usual(habits: tuple[tuple[str, float], ...]) -> Manner:
    return Manner(dict(habits))


class Habits:
    """One device's people: each habit a Poisson process of its own rate."""

    __slots__ = ("_manner", "_rng")

    def __init__(self, manner: Manner, rng: Chance) -> None:
        self._manner = manner
        self._rng = rng

    def gap_ms(self, factor: float, now_ms: float) -> int | None:
        """How long until somebody does something; None: nobody ever does.

        Args:
            factor: how many times as often as usual they do.
            now_ms: Unix ms of the run.
        """
        per_ms = min(self._manner.per_ms * factor, _PER_MS_MAX)
        if not per_ms:
            return None
        return self._manner.gap_ms(self._rng.expovariate(per_ms), now_ms)

    def pick(self) -> str:
        """What they do."""
        return self._manner.pick(self._rng.random())
