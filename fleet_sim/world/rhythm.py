"""When in a week people do things: a shape over its 168 hours, and the next moment by it; pure.

    how often in the mean ─► an exponential wait ─► the rhythm stretches it at night
                                                    and presses it at eight in the morning

This is the exact way to draw a Poisson process whose rate changes: the wait is drawn in a time
in which the rate is constant, and that time is read back as the wall's. One draw, one bisection,
and nobody else's state. The shapes are guesses of ours: what of them matters is where the peaks
are. Who has counted imports a CSV.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

from fleet_sim.world.weektime import DAY_HOURS, HOUR_MS, HOURS, WEEK_MS

_WORKDAYS: Final = 5


class Rhythm:
    """One shape. Its mean over the week is 1.

    Args:
        weights: how much happens in each hour, compared with the others: 24 of a day, or 168 of a
            week from Monday 00:00.

    Raises:
        ValueError: not so many, one below 0, or none above 0.
    """

    __slots__ = ("_starts_ms", "flat", "hours")

    def __init__(self, weights: Sequence[float]) -> None:
        if len(weights) == DAY_HOURS:
            weights = tuple(weights) * 7
        if len(weights) != HOURS:
            raise ValueError(f"{len(weights)} hours; give 24 of a day, or 168 of a week")
        total = sum(weights)
        if min(weights) < 0 or not 0 < total < float("inf"):
            raise ValueError("hours below 0, or nothing in any; give counts, one above 0 at least")
        #: By hour of the week, compared with the mean.
        self.hours = tuple(weight * HOURS / total for weight in weights)
        self.flat = len(set(weights)) == 1
        self._starts_ms = (0.0, *accumulate(each * HOUR_MS for each in self.hours))

    def __eq__(self, other: object) -> bool:
        """The same hours."""
        return isinstance(other, Rhythm) and self.hours == other.hours

    def __hash__(self) -> int:
        return hash(self.hours)

    def now(self, wall_ms: float) -> float:
        """How many times the mean happens in this hour."""
        return self.hours[int(wall_ms % WEEK_MS // HOUR_MS)]

    def wait_ms(self, wall_ms: float, mean_ms: float) -> float:
        """How long from now until as much has happened as in `mean_ms` of an even week."""
        if self.flat:
            return mean_ms
        starts_ms, hours = self._starts_ms, self.hours
        at_ms = wall_ms % WEEK_MS
        hour = int(at_ms // HOUR_MS)
        due = starts_ms[hour] + hours[hour] * (at_ms - hour * HOUR_MS) + mean_ms
        weeks, rest = divmod(due, starts_ms[HOURS])
        hour = min(bisect_right(starts_ms, rest) - 1, HOURS - 1)
        within_ms = (rest - starts_ms[hour]) / hours[hour] if hours[hour] else 0.0
        return weeks * WEEK_MS + hour * HOUR_MS + within_ms - at_ms


def _week(workday: str, weekend: str, days: Sequence[float] = (1,) * 7) -> Rhythm:
    """A digit for each hour of a day, from midnight on, and a weight for each day."""
    shapes = [[float(digit) for digit in text.replace(" ", "")] for text in (workday, weekend)]
    return Rhythm(
        [weight * hour for day, weight in enumerate(days) for hour in shapes[day >= _WORKDAYS]]
    )


FLAT: Final = Rhythm((1.0,) * DAY_HOURS)
#: Names as scenarios write them. Each digit is an hour:  0     6      12     18
RHYTHMS: Final[Mapping[str, Rhythm]] = {
    "flat": FLAT,
    # Out in the morning, back from the afternoon on; late and lazy at the weekend.
    "household": _week("100002 684333 444568 875432", "211001 245677 766666 665443"),
    # Two sharp peaks, and nothing to speak of at the weekend.
    "commuters": _week(
        "000002 589311 111114 896310", "000001 122222 222222 211111", (1, 1, 1, 1, 0.9, 0.3, 0.2)
    ),
    # From eight to seven, most before noon; some on Saturday, nobody on Sunday.
    "couriers": _week(
        "000000 137999 766653 421000", "000000 025787 643210 000000", (1.1, 1, 1, 1, 1.1, 0.5, 0)
    ),
    # Rounds at seven and three; a doorman's weekend is short.
    "property_staff": _week(
        "000012 974333 235432 111000", "000001 332211 111100 000000", (1, 1, 1, 1, 1, 0.3, 0.1)
    ),
    # Watchmen, shifts, and who comes home from them.
    "night": _week("987656 631111 111111 123469", "999876 531111 111111 123479"),
    "office": _week(
        "000001 489544 765444 743100", "000000 011111 111100 000000", (1,) * 5 + (0.1, 0)
    ),
}
