"""A moment of a run as Prometheus reads it: the text exposition format, version 0.0.4.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (text-based format).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from fleet_sim.meter import Moment, Row

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
#: Marks of the latency histogram, in ms; all are marks of `fleet_sim.timeline.at_most`.
LE_MS: Final = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 1e4)
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Metric(NamedTuple):
    """One family: `value` of a vendor's row is None where nobody knows it."""

    name: str
    kind: str
    help: str
    value: Callable[[Row], float | None]


#: Of each vendor.
VENDOR_METRICS: Final[Sequence[Metric]] = (
    Metric("devices", "gauge", "Devices in this run.", lambda row: row.devices),
    Metric("connected", "gauge", "Devices that are connected.", lambda row: row.connected),
    Metric("deeds_total", "counter", "What people did to devices.", lambda row: row.deeds),
    Metric("frames_total", "counter", "Frames that left devices.", lambda row: row.frames),
    Metric("events_total", "counter", "Events that came by the bus.", lambda row: row.events),
    Metric("late_total", "counter", "Events that came after more than 5 s.", lambda row: row.late),
    Metric("redelivered_total", "counter", "Events that came again.", lambda row: row.redelivered),
    Metric(
        "battery_percent", "gauge", "Mean charge of the batteries.", lambda row: row.battery_pct
    ),
    Metric("cell_up", "gauge", "1 if the gateway's cell is well.", lambda row: row.cell == "up"),
    Metric("faulty", "gauge", "1 while a fault is played.", lambda row: bool(row.fault)),
)


def text_of(moment: Moment) -> str:
    """The whole answer."""
    return "\n".join(_lines(moment)) + "\n"


def _lines(moment: Moment) -> Iterator[str]:
    yield from _head("doorfleet_run_info", "gauge", "Which run this is.")
    said = {"scenario": moment.scenario, "seed": str(moment.seed)}
    yield _sample("doorfleet_run_info", {**said, "time": _time(moment)}, 1)
    for name, text, value in (
        ("elapsed_seconds", "How much of the scenario's time is over.", moment.elapsed_s),
        ("length_seconds", "How long the scenario is.", moment.seconds),
        ("wall_seconds", "How long the run takes so far.", moment.wall_s),
        ("problems", "How many promises are broken so far.", len(moment.problems)),
    ):
        yield from _head(f"doorfleet_run_{name}", "gauge", text)
        yield _sample(f"doorfleet_run_{name}", {}, value)
    for metric in VENDOR_METRICS:
        name = f"doorfleet_{metric.name}"
        yield from _head(name, metric.kind, metric.help)
        for row in moment.rows:
            now = metric.value(row)
            if now is not None:
                yield _sample(name, {"vendor": row.vendor}, now)
    yield from _head("doorfleet_sins_total", "counter", "Broken promises, by kind, so far.")
    for row in moment.rows:
        for sin, count in row.sins.items():
            yield _sample("doorfleet_sins_total", {"vendor": row.vendor, "kind": sin}, count)
    yield from _latencies(moment)


def _latencies(moment: Moment) -> Iterator[str]:
    """From what a device told to what the bus said."""
    name = "doorfleet_latency_seconds"
    yield from _head(name, "histogram", "From a device's word to the event on the bus.")
    for row in moment.rows:
        counts = [0] * (len(LE_MS) + 1)
        for ms, n in row.took:
            counts[bisect_left(LE_MS, ms)] += int(n)
        passed = 0
        for le_ms, count in zip(LE_MS, counts, strict=False):
            passed += count
            yield _sample(f"{name}_bucket", {"vendor": row.vendor, "le": f"{le_ms / 1000}"}, passed)
        whole = sum(counts)
        yield _sample(f"{name}_bucket", {"vendor": row.vendor, "le": "+Inf"}, whole)
        total_s = sum(ms * n for ms, n in row.took) / 1000
        yield _sample(f"{name}_sum", {"vendor": row.vendor}, round(total_s, 4))
        yield _sample(f"{name}_count", {"vendor": row.vendor}, whole)


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    said = ",".join(f'{key}="{word.translate(_ESCAPES)}"' for key, word in labels.items())
    number = int(value) if float(value).is_integer() else value
    return f"{name}{{{said}}} {number}" if said else f"{name} {number}"


def _time(moment: Moment) -> str:
    return "virtual" if moment.virtual else "real"
