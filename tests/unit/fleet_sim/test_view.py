"""What people are shown."""

from pathlib import Path

import pytest

from fleet_sim.meter import Row
from fleet_sim.view import LiveView, PlainView, print_report

ROWS = [
    Row("ratgdo", 100, 100, "up", "", 40, 30, 5.5, 7.1),
    Row("nuki", 100, 90, "degraded", "hang", 0, 0, None, None),
]
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
        view.show(12.0, 30.0, ROWS)

    said = capsys.readouterr().err
    assert "12 s of 30" in said
    assert "ratgdo   30 ev/s p99 7.1" in said
    assert "nuki    0 ev/s p99 - [hang]" in said


def test_the_live_view_gives_the_screen_back_when_the_run_breaks() -> None:
    view = LiveView()

    def broken_run() -> None:
        with view:
            view.say("begun")
            view.show(1.0, 30.0, ROWS)
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
