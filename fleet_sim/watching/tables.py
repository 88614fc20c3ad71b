"""The tables of a report's page."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fleet_sim.report import SINS
from fleet_sim.watching import words
from fleet_sim.watching.markup import Markup, Piece, tag

Report = Mapping[str, Any]

#: Heading of a ledger's column to its key in the report.
_LEDGER: Final[Mapping[str, str]] = {
    **{sin: sin for sin in SINS},
    "late": "late",
    "redelivered": "redelivered",
    "p50 ms": "p50_ms",
    "p99 ms": "p99_ms",
    "p99 before": "baseline_p99_ms",
    "devices": "devices",
    "deeds": "deeds",
    "frames": "frames",
    "events": "events",
}
_CELL: Final[Mapping[str, str]] = {
    "state": "state",
    "reason": "reason",
    "devices": "devices",
    "frames": "frames",
    "repeats": "repeats",
    "events": "events",
    "commits": "commits",
    "conflated": "conflated",
    "dead letters": "dead_letters",
    "shed": "shed",
    "dropped": "dropped",
    "waiting": "waiting",
}
_UNITS: Final = frozenset({"p50_ms", "p99_ms", "baseline_p99_ms"})


def total(report: Report, key: str) -> int:
    """Of all vendors."""
    return sum(figures.get(key) or 0 for figures in report["vendors"].values())


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[Piece]],
    foot: Sequence[Piece] = (),
    *,
    id_: str | None = None,
    label: str = "figures",
) -> Markup:
    """The first column names its row; `label` is what it is called by those who do not see it."""

    def line(row: Sequence[Piece]) -> Markup:
        first, *rest = row
        cells = [each if isinstance(each, Markup) else tag("td", each) for each in rest]
        return tag("tr", tag("th", first, scope="row"), cells)

    return tag(
        "div",
        tag(
            "table",
            tag("thead", tag("tr", [tag("th", head, scope="col") for head in heads])),
            tag("tbody", [line(row) for row in rows]),
            tag("tfoot", line(foot)) if foot else None,
            id=id_,
        ),
        class_="scroll",
        role="region",
        tabindex="0",
        aria_label=label,
    )


def ledger(report: Report) -> Markup:
    """What was said against what is true, a line per vendor."""
    figures = report["vendors"]
    columns = {
        head: key for head, key in _LEDGER.items() if any(key in one for one in figures.values())
    }
    rows = [
        [vendor, *(_figure(key, one.get(key)) for key in columns.values())]
        for vendor, one in figures.items()
    ]
    foot = [
        "all",
        *("" if key in _UNITS else _figure(key, total(report, key)) for key in columns.values()),
    ]
    return tag(
        "section",
        tag("h2", "The ledger"),
        tag(
            "p",
            "What devices told, held against what the bus said. Lost, duplicated, reordered and"
            " invented break a promise; late and redelivered do not.",
            class_="note",
        ),
        table(["vendor", *columns], rows, foot if len(rows) > 1 else (), label="the ledger"),
        class_="ledger",
    )


def _figure(key: str, value: object) -> Piece:
    if key in SINS:
        if value:
            return tag("td", tag("b", f"{value:,}"), class_="sin")
        return tag("td", "0", class_="none")
    if key == "late" and value:
        return tag("td", f"{value:,}", class_="late")
    return words.count(value)


def acts(report: Report) -> Markup | None:
    """All that was done on purpose, in words."""
    done = report.get("acts", ())
    if not done:
        return None
    clock = words.Clock.of(report)
    rows: list[Sequence[Piece]] = [
        [
            clock.window(act["at_s"], act["until_s"]),
            words.act(act),
        ]
        for act in done
    ]
    return tag(
        "section",
        tag("h2", "What was done on purpose"),
        table(["when", "what"], rows, label="acts"),
        class_="plain",
    )


def cells(report: Report) -> Markup | None:
    """How each of the gateway's cells ended."""
    told = report.get("cells") or {}
    if not told:
        return None
    columns = {
        head: key for head, key in _CELL.items() if any(one.get(key) for one in told.values())
    }
    rows = [
        [name, *(words.count(one.get(key)) for key in columns.values())]
        for name, one in told.items()
    ]
    return tag(
        "section", tag("h2", "The gateway's cells"), table(["cell", *columns], rows, label="cells")
    )


def more(report: Report, key: str, title: str) -> Markup | None:
    """A part of the report that somebody else knows the shape of: a table, or a list of pairs."""
    found = report.get(key)
    if not found:
        return None
    return tag("section", tag("h2", title), _anything(found), class_="plain")


def _anything(found: object) -> Markup:
    if isinstance(found, Mapping):
        if all(isinstance(one, Mapping) for one in found.values()):
            return _anything([{"": name, **one} for name, one in found.items()])
        pairs = [
            tag("div", tag("dt", _name(name)), tag("dd", _word(value)))
            for name, value in found.items()
        ]
        return tag("dl", pairs, class_="pairs")
    listed: list[object] = list(found) if isinstance(found, list | tuple) else [found]
    rows = [one for one in listed if isinstance(one, Mapping)]
    if len(rows) == len(listed):
        heads = list(dict.fromkeys(str(name) for one in rows for name in one))
        return table(
            [_name(head) for head in heads],
            [[_word(one.get(head)) for head in heads] for one in rows],
        )
    return tag("ul", [tag("li", _word(one)) for one in listed])


def _name(key: object) -> str:
    return str(key).replace("_", " ")


def _word(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_name(name)} {_word(one)}" for name, one in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(_word, value))
    return words.count(value)
