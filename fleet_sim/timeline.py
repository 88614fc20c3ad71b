"""A run's course, bucket by bucket: what was done and said, who was there, how fast it was; pure.

Nothing is counted twice: at the end of each bucket the running tallies are read, and what they
have gained since belongs to it. So a deed, a frame or an event costs the timeline nothing itself.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from operator import itemgetter
from typing import Any, Final

from fleet_sim.ledger import Tally

# A day in buckets of five minutes: as much as a picture can show.
_BUCKETS_MAX: Final = 288
# What people count time in.
_STEPS_S: Final = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 86400)
#: What is added up, over time and over shards.
COUNTS: Final = ("deeds", "frames", "events")
# Simulated time is a sum of floats: what it adds to a latency is no tenth of a millisecond.
_NOISE: Final = 0.01

Latencies = Sequence[Sequence[float]]


class Timeline:
    """Gathers a run's course.

    Args:
        tallies: by vendor, running; read at the end of each bucket, and at no other time.
        seconds: how long the run is.
        at_least_s: no bucket is shorter.
    """

    def __init__(
        self, tallies: Mapping[str, Tally], seconds: float, at_least_s: float = 1.0
    ) -> None:
        self.bucket_s = step_s(seconds, at_least_s)
        #: When each of them ends, from the start; the last one with the run.
        self.ends_s = [
            min(seconds, number * self.bucket_s)
            for number in range(1, ceil(seconds / self.bucket_s - _NOISE) + 1)
        ]
        self._read = {vendor: _Reader(tally) for vendor, tally in tallies.items()}
        #: By vendor since the beginning: how many took at most so many ms.
        self.latencies: dict[str, Counter[float]] = {vendor: Counter() for vendor in tallies}
        self._vendors: dict[str, dict[str, list[Any]]] = {
            vendor: {name: [] for name in _NAMES} for vendor in tallies
        }

    def close_bucket(self) -> None:
        """The time of one more bucket is over."""
        for vendor, reader in self._read.items():
            fresh, line = reader.read(), self._vendors[vendor]
            self.latencies[vendor].update(dict(fresh["latency_ms"]))
            for name, value in fresh.items():
                line[name].append(value)

    def so_far(self) -> dict[str, Any]:
        """As plain JSON values: a copy, which changes no more.

        Shape:
            {"bucket_s": s, "vendors": {vendor: {"deeds": [n per bucket], "frames": [n],
            "events": [n], "connected": [devices at its end], "connected_min": [at its worst],
            "p50_ms": [ms or None], "p99_ms": [ms or None], "battery_pct": [mean or None],
            "battery_sum": [of so many], "battery_devices": [n],
            "latency_ms": [[[at most ms, n], …] per bucket]}}}
        """
        return {
            "bucket_s": self.bucket_s,
            "vendors": {
                vendor: {name: list(values) for name, values in line.items()}
                for vendor, line in self._vendors.items()
            },
        }


def step_s(seconds: float, at_least_s: float = 1.0) -> float:
    """How long a bucket is: a round number, and short enough for a picture of the whole run."""
    wanted_s = max(at_least_s, seconds / _BUCKETS_MAX)
    return float(next((step for step in _STEPS_S if step >= wanted_s), ceil(wanted_s)))


class _Reader:
    """What one vendor's tally has gained since it was read last."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._last = dict.fromkeys(COUNTS, 0)
        self._latencies = 0

    def read(self) -> dict[str, Any]:
        tally, last = self._tally, self._last
        now = {name: getattr(tally, name) for name in COUNTS}
        counts = {name: now[name] - last[name] for name in COUNTS}
        self._last = now
        latencies = sketch(ms for _, ms in tally.latencies[self._latencies :])
        self._latencies = len(tally.latencies)
        worst = min(tally.connected_min, tally.connected)
        tally.connected_min = tally.connected
        return {
            **counts,
            "connected": tally.connected,
            "connected_min": worst,
            "p50_ms": percentile(latencies, 50),
            "p99_ms": percentile(latencies, 99),
            "battery_pct": mean(tally.battery_sum, tally.battery_devices),
            "battery_sum": tally.battery_sum,
            "battery_devices": tally.battery_devices,
            "latency_ms": latencies,
        }


#: A line's parts that add up over vendors and shards, and of them those that stay as they are when
#: nothing is heard: what is there, not what happened.
_STANDING: Final = ("connected", "connected_min", "battery_sum", "battery_devices")
_SUMS: Final = (*COUNTS, *_STANDING)
#: What follows from them, and from the latencies.
_NAMES: Final = (*_SUMS, "p50_ms", "p99_ms", "battery_pct", "latency_ms")


def mean(total: float, count: int) -> float | None:
    """To a tenth; None of nothing."""
    return round(total / count, 1) if count else None


# --- latencies, so that they can be added up --------------------------------------------------


def at_most(ms: float) -> float:
    """The next mark above: in steps of 0.1 ms up to 10 ms, and of two digits from there on."""
    tenths = max(0, ceil(ms * 10 - _NOISE))
    step = 1
    while tenths >= 100 * step:
        step *= 10
    return -(-tenths // step) * step / 10


def sketch(latencies_ms: Iterable[float]) -> list[list[float]]:
    """How many took at most so long: [[ms, n], …], the shortest first."""
    return [[ms, n] for ms, n in sorted(Counter(map(at_most, latencies_ms)).items())]


def added(sketches: Iterable[Latencies]) -> list[list[float]]:
    """One sketch of all."""
    some = [sketch for sketch in sketches if sketch]
    if len(some) <= 1:
        return [list(mark) for mark in some[0]] if some else []
    total: Counter[float] = Counter()
    for one in some:
        for ms, n in one:
            total[ms] += int(n)
    return [[ms, n] for ms, n in sorted(total.items())]


def percentile(latencies: Latencies, per_cent: float) -> float | None:
    """By nearest rank, as exact as the marks are; None without values."""
    wanted = sum(n for _, n in latencies) * per_cent / 100
    passed = 0.0
    for ms, n in latencies:
        passed += n
        if passed >= wanted:
            return ms
    return None


# --- timelines, as plain JSON values ----------------------------------------------------------

Line = Mapping[str, Sequence[Any]]


def merge(timelines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One timeline of several shards of a run; devices, deeds and latencies add up.

    Raises:
        ValueError: their buckets are not equally long, so they are no shards of one run.
    """
    if len({timeline["bucket_s"] for timeline in timelines}) != 1:
        raise ValueError("timelines with buckets of different lengths are not of one run")
    vendors = dict.fromkeys(vendor for each in timelines for vendor in each["vendors"])
    return {
        "bucket_s": timelines[0]["bucket_s"],
        "vendors": {
            vendor: together([each["vendors"].get(vendor, {}) for each in timelines])
            for vendor in vendors
        },
    }


def together(lines: Sequence[Line]) -> dict[str, list[Any]]:
    """One line of several, over the same time: of shards, or of vendors."""
    length = max((len(line.get("events", ())) for line in lines), default=0)
    some = [line for line in lines if line.get("events")]
    sums = {
        name: [
            sum(each) for each in zip(*(_padded(line, name, length) for line in some), strict=True)
        ]
        for name in _SUMS
    }
    latencies = zip(*(_padded(line, "latency_ms", length) for line in some), strict=True)
    return _derived(sums, [added(each) for each in latencies])


def _padded(line: Line, name: str, length: int) -> Sequence[Any]:
    """A shard that is behind keeps its devices connected: nobody knows better."""
    values = line[name]
    if len(values) == length:
        return values
    filler: Any = values[-1] if name in _STANDING else () if name == "latency_ms" else 0
    return [*values, *[filler] * (length - len(values))]


def coarser(line: Line, times: int) -> dict[str, list[Any]]:
    """The same with buckets so many times as long; the last may be shorter."""
    starts = range(0, len(line["events"]), times)
    sums = {
        name: [_LONG.get(name, sum)(line[name][at : at + times]) for at in starts] for name in _SUMS
    }
    return _derived(sums, [added(line["latency_ms"][at : at + times]) for at in starts])


#: Of what is there, a long bucket says what was there at its end.
_LONG: Final[Mapping[str, Callable[[Sequence[Any]], Any]]] = {
    **dict.fromkeys(_STANDING, itemgetter(-1)),
    "connected_min": min,
}


def _derived(sums: Mapping[str, list[Any]], latencies: list[Any]) -> dict[str, list[Any]]:
    charges = zip(sums["battery_sum"], sums["battery_devices"], strict=True)
    return {
        **sums,
        "p50_ms": [percentile(each, 50) for each in latencies],
        "p99_ms": [percentile(each, 99) for each in latencies],
        "battery_pct": [mean(total, known) for total, known in charges],
        "latency_ms": latencies,
    }
