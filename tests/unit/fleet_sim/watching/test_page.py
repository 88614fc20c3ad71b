"""The report's page: what is on it, and that nothing from outside can be more than text."""

import re
from html.parser import HTMLParser

import pytest

from fleet_sim.watching.page import html_of
from fleet_sim.watching.server import so_far

#: What HTML5 lets stand without an end, and SVG never has.
VOID = {"meta", "link", "br", "hr"}


class Reader(HTMLParser):
    """Every element with its attributes, and all text; elements that are not closed stay open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_it_is_whole_and_says_what_was_run(rig) -> None:
    page = Reader(html_of(rig.report()))

    assert page.open == []
    for said in (
        *("Every promise kept", "half_hour", "seed", "0123abcd", "30 min in 2 s (900x)"),
        "doorfleet-sim run half_hour --time virtual --seed 7",
    ):
        assert said in page.text


def test_the_command_that_was_typed_is_the_one_that_is_shown(rig) -> None:
    report = {**rig.report(), "command": "doorfleet-sim run my/own.yaml --seed 7"}

    assert "doorfleet-sim run my/own.yaml --seed 7" in Reader(html_of(report)).text


def test_problems_come_before_figures(rig) -> None:
    rig.tallies["nuki"].sin("lost", 3, "nuki/nuki-0001 lock_state: ['locked']")

    text = Reader(html_of(rig.report())).text

    assert text.index("A promise was broken") < text.index("nuki: 3 lost") < text.index("deeds")
    assert "lost 3: nuki/nuki-0001 lock_state: ['locked']" in text


def test_every_chart_says_what_it_shows_to_those_who_do_not_see_it(rig) -> None:
    page = html_of(rig.report())
    charts = re.findall(r"<svg .*?</svg>", page, re.DOTALL)

    assert len(charts) == 2 + 4 + 2 * 2  # activity, the fleet's four, and two of each vendor
    for chart in charts:
        assert re.search(r'role="img"[^>]*><title>\w.+?</title><desc>\w.+?</desc>', chart)


def test_behind_the_charts_is_a_table_with_every_figure(rig) -> None:
    page = html_of(rig.report())
    table = re.search(r'<table id="course">.*?</table>', page, re.DOTALL).group()
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", table)

    assert len(rows) == 90  # half an hour in steps of 20 s, which is what a picture can show
    assert sum(int(re.findall(r"<td>(\d+)</td>", row)[0]) for row in rows) == 360


def test_nothing_is_fetched_to_show_it(rig) -> None:
    page = html_of(rig.report())

    assert re.findall(r"""(?:src|href|url|action|srcset)\s*[=(]\s*["']?(?!data:)\w""", page) == []
    (policy,) = [meta["content"] for meta in Reader(page).named("meta") if "http-equiv" in meta]
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy


@pytest.mark.parametrize("where", ["vendor", "scenario", "description", "problem", "evidence"])
def test_a_hostile_word_is_a_word(rig, hostile, where) -> None:
    report = rig.report()
    plain = Reader(html_of({**report, "verdict": "fail"}))
    if where == "vendor":
        for part in (report["vendors"], report["cells"], report["timeline"]["vendors"]):
            part[hostile] = part.pop("nuki")
        report["acts"][0].update(vendor=hostile, fault=hostile)
    elif where in ("problem", "evidence"):
        report["problems" if where == "problem" else "evidence"] = [hostile]
    else:
        report[where] = hostile

    page = Reader(html_of({**report, "verdict": "fail"}))

    said = hostile.replace("\N{RIGHT-TO-LEFT OVERRIDE}", "\N{REPLACEMENT CHARACTER}")
    assert said in page.text
    assert len(page.named("script")) == len(plain.named("script")) == 1
    assert page.open == []
    assert {name for _, all_ in page.elements for name in all_ if name.startswith("on")} == set()


@pytest.mark.parametrize("missing", ["timeline", "acts", "cells", "evidence", "wall_s", "digest"])
def test_a_report_that_lacks_a_part_is_shown_without_it(rig, missing) -> None:
    report = rig.report()
    del report[missing]

    assert "half_hour" in Reader(html_of(report)).text


def test_what_others_add_to_a_report_is_a_table(rig) -> None:
    report = {
        **rig.report(),
        "deliveries": {"asked": 12, "refused": {"stale": 2}, "p50_s": 31.5},
        "restarted": [{"shard": "2/4", "at_s": 12.5, "why": "its worker was lost"}],
    }

    text = Reader(html_of(report)).text

    for said in ("Deliveries", "stale 2", "31.5", "Restarted", "2/4", "its worker was lost"):
        assert said in text


def test_a_run_that_goes_on_says_how_far_it_is(rig) -> None:
    page = Reader(html_of(so_far(rig.moment(900.0))))

    assert "Every promise kept so far" in page.text
    assert "15:00 min of 30:00 min" in page.text
    assert any("connect-src 'self'" in (meta["content"] or "") for meta in page.named("meta")[1:])
