"""How busy the recorded devices were at which hour, and a scenario that is as busy; pure.

    deeds ──► counts by hour ──► shape (mean 1) and pace ──► YAML, and a CSV where it is a week's

Less than a day gives the hours that were recorded, and their mean for those that were not. A day
gives a shape of the day, a week one of the week.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from statistics import median
from typing import Any, Final

import yaml

from fleet_sim.recording.deeds import Sighting, deeds
from fleet_sim.world.fields import DAYS
from fleet_sim.world.weektime import HOUR_MS, HOURS

_DAY: Final = 24
_HOURS_MIN: Final = 0.05
_HOURS_MAX: Final = 168.0
# The least and the most that a scenario takes.
_PACE_MIN: Final = 0.001
_PACE_MAX: Final = 10_000.0


@dataclass(frozen=True, slots=True)
class Rhythm:
    """One vendor's devices, and when they were used.

    Attributes:
        devices: how many there were.
        deeds: how often they were used, all of them.
        per_day: deeds per device and day, in the mean of the recording.
        shape: weights of 24 hours of a day, or of 168 of a week; their mean is 1.
        pace: how many times as often as simulated devices do in life, in the mean of the shape.
        gap_s: the median from one deed of a device to its next; None of fewer than two.
    """

    devices: int
    deeds: int
    per_day: float
    shape: tuple[float, ...]
    pace: float
    gap_s: float | None


@dataclass(frozen=True, slots=True)
class Rhythms:
    """What a recording was like.

    Attributes:
        began: its first sighting, local time of the devices.
        hours: how long it was.
        vendors: by name.
    """

    began: datetime
    hours: float
    vendors: Mapping[str, Rhythm]


def derive(
    seen: Sequence[Sighting],
    usual_per_day: Mapping[str, float],
    zone: tzinfo | None = None,
    span_ms: tuple[float, float] | None = None,
) -> Rhythms | None:
    """What a recording was like; None if it shows no device that we know.

    Args:
        seen: all sightings.
        usual_per_day: deeds per device and day at pace 1, by vendor, in the same measure.
        zone: the local time of the devices; None that of this machine.
        span_ms: when the recording began and ended; absent, its first and last sighting.
    """
    known = [each for each in seen if each.vendor in usual_per_day]
    if not known:
        return None
    times = [each.at_ms for each in known]
    first_ms, last_ms = span_ms or (min(times), max(times))
    hours = max(_HOURS_MIN, (last_ms - first_ms) / HOUR_MS)
    cover = _cover(first_ms, first_ms + hours * HOUR_MS, zone)
    found = {}
    for vendor in dict.fromkeys(each.vendor for each in known):
        own = [each for each in known if each.vendor == vendor]
        found[vendor] = _rhythm(own, cover, hours, usual_per_day[vendor], zone)
    return Rhythms(_local(first_ms, zone), min(hours, _HOURS_MAX), found)


def scenario(rhythms: Rhythms, name: str, recording: str) -> dict[str, str]:
    """Files by name: the scenario, and the CSV files that it names.

    Args:
        rhythms: what it was like.
        name: of the scenario's file, without its ending.
        recording: what it was made of, for the comment.
    """
    files: dict[str, str] = {}
    fleet = []
    for vendor, one in rhythms.vendors.items():
        if len(one.shape) == HOURS:
            csv = csv_of(name, vendor)
            files[csv] = _csv(one.shape)
            shape: dict[str, Any] = {"csv": csv}
        else:
            shape = {"hours": [round(weight, 3) for weight in one.shape]}
        habits = {"rhythm": shape, "pace": round(one.pace, 3)}
        fleet.append({"vendor": vendor, "count": one.devices, "habits": habits})
    document = {
        "description": f"As busy as {recording} was.",
        "hours": round(rhythms.hours, 2),
        "starts": f"{DAYS[rhythms.began.weekday()]} {rhythms.began:%H:%M}",
        "fleet": fleet,
    }
    made = f"Made by doorfleet-sim record of {recording}: {rhythms.hours:.1f} h from"
    head = [
        f"{made} {rhythms.began:%Y-%m-%d %H:%M}.",
        *(_line(vendor, one) for vendor, one in rhythms.vendors.items()),
    ]
    text = yaml.safe_dump(document, sort_keys=False, width=96, default_flow_style=None)
    comment = "".join(f"# {line}\n" for line in head)
    return {f"{name}.yaml": comment + text, **files}


def csv_of(name: str, vendor: str) -> str:
    """The file of a vendor's week, beside the scenario of this name."""
    return f"{name}.{vendor}.csv"


def _line(vendor: str, one: Rhythm) -> str:
    gap = "" if one.gap_s is None else f", {one.gap_s:.0f} s between two in the median"
    return f"{vendor}: {one.devices} devices, {one.deeds} deeds, {one.per_day:.2f} a day each{gap}."


def _rhythm(
    own: Sequence[Sighting],
    cover: Sequence[float],
    hours: float,
    usual_per_day: float,
    zone: tzinfo | None,
) -> Rhythm:
    devices = len({each.device for each in own})
    done = list(deeds(own))
    per_day = len(done) / devices / hours * _DAY
    shape = _shape([_local(each.at_ms, zone) for each in done], cover)
    # What the shape says of the recorded hours: the pace is that of its mean.
    covered = sum(cover)
    within = sum(shape[hour % len(shape)] * share for hour, share in enumerate(cover)) / covered
    pace = 1.0  # where simulated devices do nothing, there is nothing to compare with
    if usual_per_day:
        pace = per_day / usual_per_day / within if within else 0.0
    return Rhythm(
        devices,
        len(done),
        per_day,
        shape,
        min(max(pace, _PACE_MIN), _PACE_MAX),
        _gap_s(done),
    )


def _shape(moments: Iterable[datetime], cover: Sequence[float]) -> tuple[float, ...]:
    """Deeds per recorded hour, compared with their mean; hours without a record have the mean."""
    counts = [0.0] * HOURS
    for moment in moments:
        counts[moment.weekday() * _DAY + moment.hour] += 1
    size = HOURS if all(cover) else _DAY
    sums = [sum(counts[hour::size]) for hour in range(size)]
    shares = [sum(cover[hour::size]) for hour in range(size)]
    total, covered = sum(sums), sum(shares)
    if not total:
        return (1.0,) * size
    mean = total / covered
    weights = [count / share if share else mean for count, share in zip(sums, shares, strict=True)]
    return tuple(weight * size / sum(weights) for weight in weights)


def _cover(first_ms: float, last_ms: float, zone: tzinfo | None) -> list[float]:
    """For how many hours each hour of the week was recorded."""
    cover = [0.0] * HOURS
    at_ms = first_ms
    while at_ms < last_ms:
        local = _local(at_ms, zone)
        within_ms = (local.minute * 60 + local.second) * 1000 + at_ms % 1000
        step_ms = min(max(1.0, HOUR_MS - within_ms), last_ms - at_ms)
        cover[local.weekday() * _DAY + local.hour] += step_ms / HOUR_MS
        at_ms += step_ms
    return cover


def _gap_s(done: Sequence[Sighting]) -> float | None:
    last_ms: dict[str, float] = {}
    gaps = []
    for each in done:
        if each.device in last_ms:
            gaps.append((each.at_ms - last_ms[each.device]) / 1000)
        last_ms[each.device] = each.at_ms
    return median(gaps) if gaps else None


def _csv(shape: Sequence[float]) -> str:
    rows = (
        f"{DAYS[hour // _DAY]},{hour % _DAY},{weight:.3f}\n" for hour, weight in enumerate(shape)
    )
    return "weekday,hour,count\n" + "".join(rows)


def _local(at_ms: float, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, zone).astimezone(zone)
