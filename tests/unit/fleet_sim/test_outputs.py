"""Where a run is shown and written, as typed."""

import argparse
import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_sim import cli
from fleet_sim.verbs.common import text_of
from fleet_sim.verbs.outputs import address, command


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("9100", ("127.0.0.1", 9100)),
        ("0", ("127.0.0.1", 0)),
        ("0.0.0.0:9100", ("0.0.0.0", 9100)),
        ("[::1]:9100", ("::1", 9100)),
        (":9100", ("127.0.0.1", 9100)),
    ],
)
def test_an_address_is_loopback_unless_it_names_a_host(given, expected) -> None:
    assert address(given) == expected


@pytest.mark.parametrize("given", ["", "x", "70000", "-1", "host:", "::1", "1.5", "٣"])
def test_what_is_no_address_is_refused_with_its_remedy(given) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"write 9100"):
        address(given)


def test_the_command_leaves_out_what_only_says_where_to_show_it() -> None:
    typed = shlex.split(
        "run 'my own.yaml' --seed 7 --json out.json --html=a.html --no-ui --http 0 --workers 2"
        " --junit j.xml --journal lines.jsonl"
    )

    assert command(typed) == "doorfleet-sim run 'my own.yaml' --seed 7 --workers 2"


def test_the_command_does_the_same_again() -> None:
    typed = "demo --seconds 30 --html x.html --vendors nuki,tedee --break tedee"
    options = vars(cli.build().parse_args(typed.split()))
    again = vars(cli.build().parse_args(shlex.split(command(typed.split()))[1:]))

    assert {key: value for key, value in again.items() if key != "html"} == {
        key: value for key, value in options.items() if key != "html"
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "quiet_day", "--html", "/nowhere/a.html"], "there is no folder /nowhere"),
        (["demo", "--junit", "/nowhere/a.xml"], "there is no folder /nowhere"),
        (["report", "x.json"], "nothing to make: give --html FILE or --junit FILE"),
        (["report", "/nowhere/x.json", "--html", "a.html"], "give what --json wrote"),
    ],
)
def test_what_cannot_be_made_is_said_before_anything_starts(
    arguments, said, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == cli.BAD_INPUT
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"verdict": "pass"}', "\N{SNOWMAN}"])
def test_what_is_no_report_is_refused(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "report.json"
    found.write_text(content)

    assert cli.main(["report", str(found), "--junit", str(tmp_path / "a.xml")]) == cli.BAD_INPUT
    assert f"{found}: no " in capsys.readouterr().err
    assert not (tmp_path / "a.xml").exists()


@pytest.mark.parametrize(("verdict", "code"), [("pass", cli.OK), ("fail", cli.FAILED)])
def test_a_page_and_junit_are_made_of_a_report_and_its_verdict_is_kept(
    verdict: str, code: int, tmp_path: Path
) -> None:
    found, page, xml = (tmp_path / name for name in ("report.json", "a.html", "a.xml"))
    found.write_text(json.dumps({"verdict": verdict, "vendors": {"nuki": {"devices": 1}}}))

    assert cli.main(["report", str(found), "--html", str(page), "--junit", str(xml)]) == code
    assert page.read_text().startswith("<!doctype html>")
    assert xml.read_text().startswith("<?xml")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_report_written_for_people_says_the_same(value: object) -> None:
    assert json.loads(text_of({"value": value})) == {"value": value}


def test_a_list_of_numbers_is_one_line() -> None:
    text = text_of({"deeds": [1, 2.5, None], "p99": [[4.0, 2], [], [-1e9, 1]], "said": ["[\n1]"]})

    assert '"deeds": [1, 2.5, null]' in text
    assert '"p99": [[4.0, 2], [], [-1000000000.0, 1]]' in text
    assert len(text.splitlines()) == 7
