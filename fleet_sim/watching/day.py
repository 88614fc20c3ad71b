"""A report's timeline, made ready to be drawn: not too many buckets, all vendors on one axis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any, Final

from fleet_sim import timeline
from fleet_sim.watching.charts import Axis
from fleet_sim.watching.words import Clock

#: As many as can be told apart on a screen, and read in a table.
_BUCKETS_MAX: Final = 96
#: As many columns as a heat map may have.
_CELLS_MAX: Final = 48

Window = tuple[float, float]


@dataclass(frozen=True)
class Day:
    """The course of a run.

    Args:
        report: whose.
        seconds: how long it was to be, in the scenario's time.
    """

    report: Mapping[str, Any]
    seconds: float

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> "Day | None":
        """Nothing, if the report has no timeline, or an empty one."""
        course = report.get("timeline") or {}
        lines = course.get("vendors") or {}
        buckets = max((len(line["events"]) for line in lines.values()), default=0)
        if not buckets:
            return None
        return cls(report, float(report.get("simulated_s") or buckets * course["bucket_s"]))

    @cached_property
    def _factor(self) -> int:
        bucket_s = float(self.report["timeline"]["bucket_s"])
        return max(1, ceil(self.seconds / bucket_s / _BUCKETS_MAX))

    @cached_property
    def axis(self) -> Axis:
        """Of all charts."""
        bucket_s = self.report["timeline"]["bucket_s"] * self._factor
        clock = Clock.of({**self.report, "simulated_s": self.seconds})
        return Axis(bucket_s, clock)

    @cached_property
    def vendors(self) -> Mapping[str, Mapping[str, Sequence[Any]]]:
        """Each vendor's line."""
        lines = self.report["timeline"]["vendors"]
        return {vendor: timeline.coarser(line, self._factor) for vendor, line in lines.items()}

    @cached_property
    def fleet(self) -> Mapping[str, Sequence[Any]]:
        """All vendors' line."""
        return timeline.together(list(self.vendors.values()))

    @cached_property
    def map_factor(self) -> int:
        """How many buckets a cell of the heat map is wide: an hour of a day."""
        whole = self.seconds / self.axis.bucket_s
        hour = 3600 / self.axis.bucket_s
        if hour >= 1 and hour.is_integer() and _CELLS_MAX / 4 <= whole / hour <= _CELLS_MAX:
            return int(hour)
        return max(1, ceil(whole / _CELLS_MAX))

    def coarse(self, line: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
        """A line with the heat map's buckets."""
        return timeline.coarser(line, self.map_factor)

    def windows(self, vendor: str | None = None) -> list[Window]:
        """When something was done to this vendor on purpose; to any of them, without a name."""
        return [
            (act["at_s"], act["until_s"])
            for act in self.report.get("acts", ())
            if vendor is None or act["vendor"] in (None, vendor)
        ]

    def per_minute(self, counts: Sequence[int], factor: int = 1) -> list[float]:
        """From how many in a bucket to how many a minute of the scenario."""
        bucket_s = self.axis.bucket_s * factor
        last_s = self.seconds - (len(counts) - 1) * bucket_s
        return [
            60 * n / (min(bucket_s, last_s) if at == len(counts) - 1 else bucket_s)
            for at, n in enumerate(counts)
        ]

    @cached_property
    def whole(self) -> Mapping[str, Any]:
        """The whole run as one bucket of the whole fleet."""
        line = timeline.coarser(self.fleet, len(self.fleet["events"]))
        return {name: values[0] for name, values in line.items()}
