"""What people are shown."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from fleet_sim.meter import Moment, Row
from fleet_sim.view import LiveView, print_report
from fleet_sim.watching.plain import PlainView

ROWS = [
    Row("ratgdo", 100, 100, "up", "", 40, 30, 5.5, 7.1, battery_pct=71.4),
    Row("nuki", 100, 90, "degraded", "hang", 0, 0, None, None, sins={"lost": 0, "reordered": 3}),
]
ACT = {"at_s": 5.0, "until_s": 10.0, "vendor": "nuki", "fault": "hang"}
COURSE = {
    "bucket_s": 1.0,
    "vendors": {
        "ratgdo": {"events": [900, 1, 2, 4, 8, 8, 8, 8, 8, 8, 8, 8]},
        "nuki": {"events": [5] * 12},
    },
}


def moment(*, virtual: bool = False, wall_s: float = 12.0, rows: list[Row] = ROWS) -> Moment:
    return Moment(
        "demo", 7, 12.0, 30.0, wall_s, virtual=virtual, rows=rows, timeline=COURSE, acts=[ACT]
    )


def drawn(shown: Moment, width: int = 80, *said: str) -> list[str]:
    """What is on a terminal of so many columns, without colours."""
    console = Console(file=io.StringIO(), width=width)
    view = LiveView(console)
    view.show(shown)
    for line in said:
        view.say(line)
    with console.capture() as captured:
        console.print(view)
    return captured.get().splitlines()


FIGURES = {
    "devices": 100,
    "frames": 12_345,
    "events": 1_000,
    "lost": 0,
    "duplicated": 0,
    "reordered": 0,
    "invented": 0,
    "p99_ms": 7.1,
    "baseline_p99_ms": None,
    "broken": False,
}
REPORT = {
    "broker": "embedded",
    "seconds": 30.0,
    "verdict": "pass",
    "problems": [],
    "evidence": [],
    "acts": [{"vendor": "nuki", "fault": "hang", "at_s": 12.0, "until_s": 18.0}],
    "vendors": {"ratgdo": FIGURES},
}


def test_lines_say_rate_latency_and_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainView() as view:
        view.show(moment())

    said = capsys.readouterr().err
    assert "12 s" in said
    assert "ratgdo   30 ev/s p99 7.1" in said
    assert "nuki    0 ev/s p99 - [hang]" in said


def test_lines_of_simulated_time_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainView() as view:
        for wall_s in (1.0, 4.0, 6.0, 7.0, 13.0):
            view.show(moment(virtual=True, wall_s=wall_s))

    assert len(capsys.readouterr().err.splitlines()) == 2


def test_the_table_has_a_row_for_each_vendor_and_one_for_all() -> None:
    head, how_far, bar, names, *rows = drawn(moment())[:7]

    assert head.split() == ["demo", "seed", "7", "promises", "2", "broken"]
    assert how_far.split()[:5] == ["12", "s", "of", "30", "s"]
    assert set(bar.strip()) <= set("━╸╺")
    assert names.split()[:4] == ["vendor", "connected", "deeds", "events"]
    assert rows[0].split()[:4] == ["ratgdo", "100/100", "0", "30"]
    assert rows[0].split()[-5:] == ["7.1", "0", "0", "71%", "up"]
    assert rows[1].split()[-5:] == ["-", "0", "3", "-", "hang"]
    assert rows[2].split()[:2] == ["total", "190/200"]


def test_what_is_pinned_stays_whatever_is_said_after_it() -> None:
    console = Console(file=io.StringIO(), width=80)
    view = LiveView(console)
    view.pin("watch it at http://127.0.0.1:9100/")
    for number in range(20):
        view.say(f"line {number}")

    with console.capture() as captured:
        console.print(view)

    said = captured.get().split("\n")
    assert "watch it at http://127.0.0.1:9100/" in said
    assert "line 19" in said
    assert "line 1" not in said


def test_the_line_of_a_vendor_is_as_long_as_the_run_is_far() -> None:
    spark = next(line for line in drawn(moment()) if line.startswith("ratgdo"))
    bars = re.search(r"[▁▂▃▄▅▆▇█]+", spark).group()

    assert 5 <= len(bars) <= 12  # two fifths of the column
    assert bars[0] == "█"  # who arrives says much, and dwarfs nobody
    assert bars[-1] in "▄▅▆"
    assert bars[1] in "▁▂▃"


@pytest.mark.parametrize("width", [80, 100, 160])
def test_eleven_vendors_fit_a_terminal(width: int) -> None:
    names = ["zigbee2mqtt", "nuki_bridge", *(f"vendor{n}" for n in range(9))]
    rows = [
        Row(name, 1500, 1500, "up", "reconnect_storm", 4e3, 3e3, 5, 1234.5, sins={"lost": 12})
        for name in names
    ]

    lines = drawn(moment(rows=rows), width, "somebody says something " * 9)

    assert all(len(line.rstrip()) <= width for line in lines)
    assert len(lines) <= 24
    for name in names:
        assert sum(line.startswith(name) for line in lines) == 1
    assert all("1,234" in line or "1,235" in line for line in lines if line.startswith("vendor0"))


def test_the_live_view_gives_the_screen_back_when_the_run_breaks() -> None:
    view = LiveView()

    def broken_run() -> None:
        with view:
            view.say("begun")
            view.show(moment())
            assert view.live
            raise RuntimeError("broke")

    with pytest.raises(RuntimeError, match="broke"):
        broken_run()

    assert not view.live


def test_the_report_names_the_verdict_and_draws_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "demo.svg"

    print_report(REPORT, picture)

    said = capsys.readouterr().out
    assert "verdict: pass" in said
    assert "12,345" in said
    drawn = picture.read_text()
    assert drawn.startswith("<svg")
    assert "https:" not in drawn  # nothing is fetched to show it


def test_a_failed_run_says_what_was_broken(capsys: pytest.CaptureFixture[str]) -> None:
    print_report({**REPORT, "verdict": "fail", "problems": ["ratgdo: 1 lost"]})

    said = capsys.readouterr().out
    assert "verdict: fail" in said
    assert "ratgdo: 1 lost" in said
