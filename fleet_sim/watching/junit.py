"""A report as JUnit XML, which every CI service reads: a test case for each vendor and promise."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from fleet_sim.report import SINS
from fleet_sim.watching.markup import sayable

#: A case's name to the count that must be 0.
PROMISES: Final[Mapping[str, str]] = {f"nothing is {sin}": sin for sin in SINS}
_SPOKE: Final = "the bus says something"
_SILENT: Final = "not one event came"
_CELL: Final = "its cell is up in the end"
_OTHERS: Final = "nothing else is wrong"


def xml_of(report: Mapping[str, Any]) -> bytes:
    """The whole file, in UTF-8.

    Shape:
        testsuites > testsuite per vendor > testcase per promise > failure with the evidence.
        What is no vendor's own is a case of the suite that is named after the scenario.

    Args:
        report: plain values, as `fleet_sim.report.result` makes them.
    """
    name = str(report.get("scenario", "run"))
    problems = list(report.get("problems", ()))
    root = Element("testsuites", name=sayable(f"doorfleet-sim {name}"))
    for vendor in report["vendors"]:
        said, problems = _taken(problems, vendor)
        suite(root, name, vendor, list(_cases(report, vendor, said)))
    suite(root, name, "", [(_OTHERS, "\n".join(problems), [])])
    time_s = f"{float(report.get('wall_s') or 0):.3f}"
    root.set("time", time_s)
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    _properties(root[-1], report)
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, "unicode")}\n'.encode()


Case = tuple[str, str, Sequence[str]]


def _cases(report: Mapping[str, Any], vendor: str, problems: Sequence[str]) -> Iterator[Case]:
    """Name, what is wrong (empty if nothing is), and the evidence."""
    figures = report["vendors"][vendor]
    evidence = report.get("evidence", ())
    for name, sin in PROMISES.items():
        count = figures.get(sin) or 0
        proofs = [line for line in evidence if line.startswith(f"{sin} ") and f"{vendor}/" in line]
        yield name, f"{count} {sin}" if count else "", proofs
    silent = f"{vendor}: {_SILENT}" in problems
    yield _SPOKE, _SILENT if silent else "", []
    # With several workers a vendor has several cells, each named `vendor#worker`.
    cells = {
        name: cell
        for name, cell in report.get("cells", {}).items()
        if name.partition("#")[0] == vendor
    }
    if cells:
        ill = [
            f"{name} is {cell.get('state')}: {cell.get('reason')}"
            for name, cell in cells.items()
            if cell.get("state") != "up"
        ]
        yield _CELL, "\n".join(ill), []
    known = tuple(f"{vendor}: {figures.get(sin)} {sin}" for sin in PROMISES.values())
    known += (f"{vendor}: {_SILENT}", f"{vendor}: its cell is ", f"{vendor}#")
    others = [line for line in problems if not line.startswith(known)]
    yield _OTHERS, "\n".join(others), []


def _taken(problems: Sequence[str], vendor: str) -> tuple[list[str], list[str]]:
    """The problems that are this vendor's, and the others."""
    own = [line for line in problems if line.startswith((f"{vendor}: ", f"{vendor}#"))]
    return own, [line for line in problems if line not in own]


def suite(root: Element, scenario: str, vendor: str, cases: Sequence[Case]) -> None:
    """One suite of cases; the vendor's, or without one all of a scenario's."""
    name = f"{scenario}.{vendor}" if vendor else scenario
    failures = sum(1 for _, wrong, _ in cases if wrong)
    found = SubElement(
        root,
        "testsuite",
        name=sayable(name),
        tests=str(len(cases)),
        failures=str(failures),
        errors="0",
        skipped="0",
    )
    for case, wrong, evidence in cases:
        element = SubElement(
            found, "testcase", classname=sayable(f"doorfleet.{name}"), name=sayable(case), time="0"
        )
        if wrong:
            failure = SubElement(
                element, "failure", message=sayable(wrong.splitlines()[0]), type="promise"
            )
            failure.text = sayable("\n".join([wrong, *evidence]))


def _properties(suite: Element, report: Mapping[str, Any]) -> None:
    """What is needed to run it again, where CI services look for it: first in the suite."""
    told = ("seed", "time", "digest", "command", "simulated_s")
    properties = Element("properties")
    for key in told:
        if report.get(key) is not None:
            SubElement(properties, "property", name=key, value=sayable(report[key]))
    suite.insert(0, properties)
