"""Numbers and times, as people read them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
#: Below this, a digit behind the point says something.
_FINE: Final = 10


def span(seconds: float) -> str:
    """`7 s`, `12:30 min`, `06:40 h`, `3 d 06:40 h`."""
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S}:{whole % _MINUTE_S:02} min"
    days, rest = divmod(whole, _DAY_S)
    if days and rest:
        return f"{days} d {_clock(rest)} h"
    return f"{_clock(whole)} h"


def length(seconds: float) -> str:
    """A whole run: `24 h`, `1.5 h`, `30 s`."""
    if seconds >= _HOUR_S:
        return f"{seconds / _HOUR_S:.4g} h"
    return f"{seconds / _MINUTE_S:.4g} min" if seconds >= 2 * _MINUTE_S else f"{seconds:.4g} s"


@dataclass(frozen=True, slots=True)
class Clock:
    """What a second of a run is called.

    Of a run of hours it is the time at the devices; of a shorter one, the time since it began.

    Args:
        whole_s: how long the run is.
        starts_s: what the clock at the devices says then, in s since a Monday, 00:00.
    """

    whole_s: float
    starts_s: float = 0

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> "Clock":
        """A report's."""
        starts_s = 0.0
        if (said := report.get("starts")) is not None:
            starts = datetime.fromisoformat(str(said))
            of_day = timedelta(hours=starts.hour, minutes=starts.minute, seconds=starts.second)
            starts_s = starts.weekday() * _DAY_S + of_day.total_seconds()
        return cls(float(report.get("simulated_s") or 0), starts_s)

    @property
    def tells_time(self) -> bool:
        """Whether it says the time at the devices."""
        return self.whole_s >= 2 * _HOUR_S

    def at(self, seconds: float) -> str:
        """`06:40`, `Tue 06:40`, `1:30`, `4 s`."""
        if self.tells_time:
            wall_s = round(seconds + self.starts_s)
            if self.whole_s <= _DAY_S:
                # A day that begins at midnight ends at 24:00.
                ends = seconds and not wall_s % _DAY_S
                return "24:00" if ends else _clock(wall_s % _DAY_S)
            return f"{_DAYS[wall_s // _DAY_S % len(_DAYS)]} {_clock(wall_s % _DAY_S)}"
        if self.whole_s > 2 * _MINUTE_S:
            return f"{round(seconds) // _MINUTE_S}:{round(seconds) % _MINUTE_S:02}"
        return f"{seconds:.3g} s"

    def window(self, from_s: float, until_s: float) -> str:
        """`06:40 to 07:00`."""
        return f"{self.at(from_s)} to {self.at(until_s)}"


def _clock(seconds: int) -> str:
    return f"{seconds // _HOUR_S:02}:{seconds % _HOUR_S // _MINUTE_S:02}"


def left(eta_s: float | None) -> str:
    """`12 s left`; nothing, if nobody can say."""
    return "" if eta_s is None else f"{span(eta_s)} left"


def count(value: object) -> str:
    """`12,345`; what is no number stays as it is, and nothing is a dash."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


def short(value: float) -> str:
    """For an axis: `950`, `1.2k`, `30k`, `2M`."""
    value = float(f"{value:.3g}")  # first, so that 999.6 is 1k and not 1e+03
    for size, unit in ((1_000_000, "M"), (1000, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def ms(value: float | None) -> str:
    """`4.0`, or a dash if nobody knows."""
    return "-" if value is None else f"{value:,.1f}" if value < _FINE**3 else f"{value:,.0f}"


def rate(value: float) -> str:
    """`0.2`, `1,200`."""
    return f"{value:,.0f}" if value >= _FINE or not value else f"{value:.1f}"


def times(speed: float) -> str:
    """`3,400x`."""
    return f"{speed:,.0f}x" if speed >= _FINE else f"{speed:.2g}x"


def act(done: Mapping[str, Any]) -> str:
    """`nuki: flood (rate_factor 20), 10% of the devices`."""
    known = ("at_s", "until_s", "vendor", "fault", "share")
    more = ", ".join(f"{key} {value}" for key, value in done.items() if key not in known)
    share = done.get("share", 1)
    who = "" if share == 1 else f", {share:.0%} of the devices"
    whom = done["vendor"] or "everybody"
    return f"{whom}: {done['fault']}{f' ({more})' if more else ''}{who}"
