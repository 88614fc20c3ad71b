"""JUnit XML, held against a table of what CI services read of it."""

from xml.etree import ElementTree as ET

import pytest

from fleet_sim.watching.junit import PROMISES, xml_of

#: Element to (attributes it must have, elements it may hold). Source: the schema that Jenkins'
#: xunit plug-in keeps (junit-10.xsd), which GitLab and GitHub's reporters read as well.
SHAPE = {
    "testsuites": ({"name", "tests", "failures", "errors", "skipped", "time"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped"},
        {"properties", "testcase"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"classname", "name", "time"}, {"failure"}),
    "failure": ({"message", "type"}, set()),
}


def check(element: ET.Element) -> None:
    """Raise an AssertionError where the table is not kept."""
    attributes, children = SHAPE[element.tag]
    assert set(element.attrib) == attributes
    assert {child.tag for child in element} <= children
    if element.tag in ("testsuite", "testsuites"):
        cases = list(element.iter("testcase"))
        assert int(element.attrib["tests"]) == len(cases)
        assert int(element.attrib["failures"]) == len(list(element.iter("failure")))
    for child in element:
        check(child)


def failures(root: ET.Element) -> dict[str, str]:
    return {
        f"{case.attrib['classname']}: {case.attrib['name']}": case.find("failure").text
        for case in root.iter("testcase")
        if case.find("failure") is not None
    }


def test_a_good_run_has_the_shape_and_no_failure(rig) -> None:
    root = ET.fromstring(xml_of(rig.report()))

    check(root)
    assert failures(root) == {}
    assert {suite.attrib["name"] for suite in root} == {
        "half_hour.ratgdo", "half_hour.nuki", "half_hour",
    }  # fmt: skip
    assert {p.attrib["name"]: p.attrib["value"] for p in root.iter("property")}["seed"] == "7"


@pytest.mark.parametrize(("name", "sin"), PROMISES.items())
def test_a_broken_promise_fails_its_case_alone_with_its_evidence(rig, name, sin) -> None:
    rig.tallies["nuki"].sin(sin, 2, "nuki/nuki-0001 lock_state")

    root = ET.fromstring(xml_of(rig.report()))

    check(root)
    assert failures(root) == {
        f"doorfleet.half_hour.nuki: {name}": f"2 {sin}\n{sin} 2: nuki/nuki-0001 lock_state"
    }


def test_what_nobody_has_a_case_for_still_fails(rig) -> None:
    report = {**rig.report(), "problems": ["ratgdo: p99 90 ms while nuki failed", "the moon fell"]}

    assert failures(ET.fromstring(xml_of(report))) == {
        "doorfleet.half_hour.ratgdo: nothing else is wrong": "ratgdo: p99 90 ms while nuki failed",
        "doorfleet.half_hour: nothing else is wrong": "the moon fell",
    }


def test_a_silent_vendor_and_an_unwell_cell_fail(rig) -> None:
    rig.tallies["nuki"].events = 0
    rig.cells["nuki#2"] = {"state": "degraded", "reason": "disk full"}

    found = failures(ET.fromstring(xml_of(rig.report())))

    assert found == {
        "doorfleet.half_hour.nuki: the bus says something": "not one event came",
        "doorfleet.half_hour.nuki: its cell is up in the end": "nuki#2 is degraded: disk full",
    }


def test_a_fleet_without_a_gateway_owes_the_bus_nothing(rig) -> None:
    for tally in rig.tallies.values():
        tally.events = 0
    report = {**rig.report(), "cells": {}, "problems": [], "verdict": "pass"}

    assert failures(ET.fromstring(xml_of(report))) == {}


def test_hostile_words_are_words(rig, hostile) -> None:
    report = rig.report()
    report["vendors"][f"{hostile}\x00\x1b"] = {**report["vendors"].pop("nuki"), "lost": 1}
    report["evidence"] = [f"lost 1: {hostile}\x00\x1b/x ]]>"]

    root = ET.fromstring(xml_of(report))

    check(root)
    assert "<script>" in next(iter(failures(root).values()))
