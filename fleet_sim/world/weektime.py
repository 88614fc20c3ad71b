"""What the clock on the fleet's wall says, and what day of the week it is; pure."""

from datetime import datetime
from typing import Final

HOUR_MS: Final = 3_600_000
DAY_HOURS: Final = 24
DAY_MS: Final = DAY_HOURS * HOUR_MS
WEEK_MS: Final = 7 * DAY_MS
HOURS: Final = 7 * DAY_HOURS
YEAR_DAYS: Final = 365.2425
# 1970 began on a Thursday: the Monday before is three days earlier.
_MONDAY_MS: Final = 3 * DAY_MS
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 -- the local time of the fleet, in no zone


class WallClock:
    """From a run's clock to the fleet's local time.

    Args:
        starts: what the wall says when the scenario begins.
        speed: how many seconds pass on the wall for each of the run's.
    """

    __slots__ = ("_began_ms", "_starts_ms", "speed")

    def __init__(self, starts: datetime, speed: float = 1.0) -> None:
        self.speed = speed
        self._starts_ms = (starts - _EPOCH).total_seconds() * 1000 + _MONDAY_MS
        self._began_ms: float | None = None

    def begin(self, now_ms: float) -> None:
        """The scenario begins now; before that its first moment lasts."""
        self._began_ms = now_ms

    def at(self, now_ms: float) -> float:
        """Local ms since a Monday 00:00, `now_ms` being the run's Unix ms."""
        if self._began_ms is None:
            return self._starts_ms
        return self._starts_ms + (now_ms - self._began_ms) * self.speed


def day_of_year(wall_ms: float) -> float:
    """Days since 1 January, near enough for the sun."""
    return (wall_ms - _MONDAY_MS) / DAY_MS % YEAR_DAYS


def hour_of_day(wall_ms: float) -> float:
    """0 to below 24, with its fraction."""
    return wall_ms % DAY_MS / HOUR_MS
