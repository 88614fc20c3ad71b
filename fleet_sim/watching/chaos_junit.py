"""Verdicts on experiments as JUnit XML: a test case for each experiment and promise."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.etree.ElementTree import Element, indent, tostring

from fleet_sim.chaos.oracles import PROMISES
from fleet_sim.chaos.verdict import Word, sentence
from fleet_sim.watching.junit import Case, suite

_STEADY: Final = "steady state"


def xml_of(found: Mapping[str, Any]) -> bytes:
    """The whole file, in UTF-8.

    Shape:
        testsuites > testsuite per experiment > testcase per promise > failure with the evidence.

    Args:
        found: see `fleet_sim.chaos.summary.of`.
    """
    root = Element("testsuites", name="doorfleet-sim chaos")
    for one in found["experiments"]:
        suite(root, one["experiment"], "", list(_cases(one)))
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(each.get(key, "0")) for each in root)))
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, "unicode")}\n'.encode()


def _cases(one: Mapping[str, Any]) -> Iterator[Case]:
    """Name, what is wrong (empty if nothing is), and how to see it again."""
    yield _case(one, _STEADY, "all is well before the first act")
    for promise in PROMISES:
        words = {row[promise.name]["word"] for row in one["matrix"].values()}
        if words != {Word.UNSEEN}:
            yield _case(one, promise.name, promise.says)


def _case(one: Mapping[str, Any], promise: str, says: str) -> Case:
    wrong = [
        f"seed {breach['seed']}: {sentence(breach)}"
        for breach in one["breaches"]
        if breach["promise"] == promise
    ]
    again = [f"again: {one['run']['command']}"] if wrong else []
    return f"{promise}: {says}", "\n".join(wrong), again
