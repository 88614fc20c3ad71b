"""What Prometheus is told, read by its own client library."""

import re

import pytest
from prometheus_client import parser

from fleet_sim.meter import Moment, Row
from fleet_sim.watching.prometheus import LE_MS, VENDOR_METRICS, text_of


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(text: str, name: str, **labels: str) -> float:
    return samples(text)[name, frozenset(labels.items())]


def test_its_own_parser_reads_every_line(rig) -> None:
    text = text_of(rig.moment())
    families = list(parser.text_string_to_metric_families(text))

    assert len(samples(text)) == len([ln for ln in text.splitlines() if not ln.startswith("#")])
    assert {family.type for family in families} == {"gauge", "counter", "histogram"}
    assert all(family.documentation for family in families)


def test_the_text_keeps_the_format() -> None:
    """Version 0.0.4: HELP and TYPE before each family's samples, once; a newline at the end."""
    text = text_of(Moment("a", 1, 1.0, 2.0, 3.0, virtual=True, rows=[row()]))
    lines = text.splitlines()

    assert text.endswith("\n")
    heads = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))
    for line in lines:
        assert re.fullmatch(
            r"# (HELP|TYPE) doorfleet_\w+ .+|doorfleet_\w+(\{(\w+=\"[^\n]*\",?)+\})? -?[\d.e+-]+",
            line,
        ), line


def row(**more: object) -> Row:
    return Row("nuki", 3, 2, "up", "", 0, 0, None, None, **more)


def test_counters_are_those_of_the_run(rig) -> None:
    text = text_of(rig.moment())

    assert of(text, "doorfleet_events_total", vendor="nuki") == 360
    assert of(text, "doorfleet_deeds_total", vendor="ratgdo") == 180
    assert of(text, "doorfleet_connected", vendor="ratgdo") == 4
    assert of(text, "doorfleet_battery_percent", vendor="nuki") == 80
    assert of(text, "doorfleet_run_elapsed_seconds") == 900


def test_every_counter_ends_in_total_and_nothing_else_does() -> None:
    for metric in VENDOR_METRICS:
        assert metric.name.endswith("_total") == (metric.kind == "counter")


def test_the_histogram_adds_up() -> None:
    took = [[0.0, 1], [4.0, 10], [5.0, 2], [5.1, 3], [30_000.0, 1]]
    text = text_of(Moment("a", 1, 1.0, 2.0, 3.0, virtual=True, rows=[row(took=took)]))
    name = "doorfleet_latency_seconds"

    buckets = [of(text, f"{name}_bucket", vendor="nuki", le=f"{ms / 1000}") for ms in LE_MS]

    assert buckets == sorted(buckets)
    assert buckets[LE_MS.index(5.0)] == 13
    assert buckets[LE_MS.index(10.0)] == buckets[-1] == 16
    assert of(text, f"{name}_bucket", vendor="nuki", le="+Inf") == 17
    assert of(text, f"{name}_count", vendor="nuki") == 17
    assert of(text, f"{name}_sum", vendor="nuki") == pytest.approx(30.0653)


def test_a_name_may_hold_what_ends_a_label() -> None:
    name = 'a"b\\c\nd'
    text = text_of(Moment(name, 1, 1.0, 2.0, 3.0, virtual=False, rows=[]))

    assert of(text, "doorfleet_run_info", scenario=name, seed="1", time="real") == 1
