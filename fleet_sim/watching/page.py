"""A run's report as one HTML file: nothing is fetched to show it, and nothing in it can run."""

import base64
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

from fleet_sim.watching import glance, pictures, tables
from fleet_sim.watching.day import Day
from fleet_sim.watching.markup import Markup, Piece, tag

_HERE: Final = "fleet_sim.watching"


def html_of(report: Mapping[str, Any]) -> str:
    """The page of a report, or of a run that still goes on (`live` is true in it).

    Args:
        report: plain values, as `fleet_sim.report.result` makes them; a timeline may be missing.
    """
    day = Day.of(report)
    name = str(report.get("scenario", "run"))
    about = str(report["description"]) if report.get("description") else None
    return document(
        f"{report['verdict']}: {name}, seed {report.get('seed', '-')}",
        name,
        about,
        _parts(report, day),
        more=glance.progress(report) if report.get("live") else None,
        scripts=("page.js", "live.js") if report.get("live") else ("page.js",),
    )


def document(  # noqa: PLR0913 -- what a page is made of
    title: str,
    heading: str,
    about: str | None,
    parts: Piece,
    *,
    more: Piece = None,
    scripts: Sequence[str] = ("page.js",),
) -> str:
    """A whole page: nothing is fetched to show it, and nothing but our scripts can run in it."""
    code = [Markup(_read(script)) for script in scripts]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(code)),
        tag("meta", name="viewport", content="width=device-width,initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", Markup(_read("page.css"))),
    )
    body = tag(
        "body",
        tag(
            "header",
            tag("h1", heading),
            tag("p", about) if about is not None else None,
            more,
            class_="top",
        ),
        tag("main", parts),
        tag("footer", tag("p", "Made by doorfleet-sim. Nothing was fetched to show this page.")),
        [tag("script", one) for one in code],
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _parts(report: Mapping[str, Any], day: Day | None) -> list[Markup | None]:
    return [
        glance.verdict(report),
        glance.tiles(report, day),
        glance.facts(report),
        pictures.course(day) if day is not None else None,
        tables.ledger(report),
        tables.more(report, "deliveries", "Deliveries"),
        tables.more(report, "rollouts", "Rollouts"),
        tables.more(report, "restarted", "Restarted"),
        tables.more(report, "turns", "Each in turn"),
        tables.more(report, "wire", "On the wire"),
        pictures.vendors(day) if day is not None else None,
        tables.acts(report),
        tables.cells(report),
    ]


def _read(name: str) -> str:
    return (files(_HERE) / name).read_text(encoding="utf-8")


def _policy(scripts: list[Markup]) -> str:
    """What a browser may do for this page: run our scripts, and ask its own server again."""
    hashes = [
        "'sha256-" + base64.b64encode(sha256(code.encode()).digest()).decode() + "'"
        for code in scripts
    ]
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(hashes)}",
            "style-src 'unsafe-inline'",
            "img-src data:",
            *(["connect-src 'self'"] if len(scripts) > 1 else []),
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
