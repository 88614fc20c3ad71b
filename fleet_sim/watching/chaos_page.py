"""Verdicts on experiments as one HTML file: who was hurt, by what, for how long."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fleet_sim.chaos.oracles import PROMISES
from fleet_sim.chaos.verdict import HELD, Word, sentence
from fleet_sim.watching import chaos_pictures, page, words
from fleet_sim.watching.day import Day
from fleet_sim.watching.markup import Markup, Piece, tag
from fleet_sim.watching.tables import table

One = Mapping[str, Any]

#: What stands in a cell of a matrix, and what it means.
_SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    Word.KEPT: ("\N{CHECK MARK}", "kept"),
    Word.ALLOWED: ("~", "broken as far as the blast radius allows"),
    Word.BROKEN: ("\N{MULTIPLICATION X}", "broken"),
    Word.UNSEEN: ("\N{MIDDLE DOT}", "this run had nothing to look at"),
}
_WORST: Final = (Word.BROKEN, Word.ALLOWED, Word.KEPT, Word.UNSEEN)
#: So many breaches are shown of each experiment.
_SHOWN: Final = 12


def html_of(found: Mapping[str, Any]) -> str:
    """The page.

    Args:
        found: see `fleet_sim.chaos.summary.of`.
    """
    experiments = found["experiments"]
    only = experiments[0] if len(experiments) == 1 else None
    heading = only["experiment"] if only else "Chaos"
    parts: list[Piece] = [
        _verdict(found),
        _overview(experiments) if only is None else None,
        [_experiment(one, alone=only is not None) for one in experiments],
        _legend(),
    ]
    about = str(only["description"]) if only else None
    return page.document(f"{found['verdict']}: {heading}", heading, about, parts)


def _verdict(found: Mapping[str, Any]) -> Markup:
    """The answer first; then what is wrong, and the one command that shows it."""
    good = found["verdict"] == HELD
    experiments, runs = found["experiments"], found["runs"]
    bad = [one for one in experiments if one["verdict"] != HELD]
    what = f"{_number(runs, 'run')} of {_number(len(experiments), 'experiment')}"
    by = f" by {len(bad)} of {len(experiments)} experiments" if len(experiments) > 1 else ""
    heading = (
        f"Nobody was hurt who should not be, in {what}" if good else f"A promise was broken{by}"
    )
    return tag(
        "section",
        tag("p", found["verdict"], class_="stamp"),
        tag("h2", heading),
        tag("ul", [_first_breach(one) for one in bad], class_="problems") if bad else None,
        tag("p", "Again: ", tag("code", bad[0]["run"]["command"] if bad else found["command"])),
        class_=f"verdict {'good' if good else 'bad'}",
    )


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count != 1 else ''}"


def _first_breach(one: One) -> Markup:
    first = one["breaches"][0]
    return tag("li", f"{one['experiment']}, seed {first['seed']}: {sentence(first)}")


# --- all experiments at a glance ---------------------------------------------------------------


def _overview(experiments: Sequence[One]) -> Markup:
    heads = ["experiment", "seeds", *(promise.name for promise in PROMISES), "detect", "recover"]
    rows: list[Sequence[Piece]] = [
        [
            tag("a", one["experiment"], href=f"#{one['experiment']}"),
            f"{len(one['seeds'])}",
            *(_cell(_of_all(one, promise.name)) for promise in PROMISES),
            _seconds(one["times"]["detect_s"]),
            _seconds(one["times"]["recover_s"]),
        ]
        for one in experiments
    ]
    return tag(
        "section",
        tag("h2", "Experiments"),
        tag("p", "The worst of all vendors and seeds counts.", class_="note"),
        table(heads, rows, label="experiments"),
        class_="matrix",
    )


def _of_all(one: One, promise: str) -> One:
    found = {vendor: row[promise] for vendor, row in one["matrix"].items()}
    word = next(word for word in _WORST if any(each["word"] == word for each in found.values()))
    said = [f"{v}: {line}" for v, each in found.items() if each["word"] == word
            for line in each["what"]]  # fmt: skip
    return {"word": word, "what": said[:_SHOWN]}


# --- one experiment ----------------------------------------------------------------------------


def _experiment(one: One, *, alone: bool) -> Markup:
    run, good = one["run"], one["verdict"] == HELD
    day = Day.of(run)
    body: list[Piece] = [
        tag("p", one["description"], class_="note") if not alone else None,
        _times(one),
        _breaches(one) if len(one["breaches"]) > alone else None,
        tag("h3", "Blast radius"),
        _matrix(one),
        _steady(run),
        [chaos_pictures.acts(day), chaos_pictures.vendors(day, one)] if day is not None else None,
        tag("p", "Again: ", tag("code", run["command"]), class_="note again"),
    ]
    title = tag(
        "span",
        one["experiment"] if not alone else "What happened",
        tag("small", f"seed {run['seed']}", class_="note"),
        tag("span", one["verdict"], class_="good" if good else "bad"),
        class_="title",
    )
    return tag(
        "section",
        tag("details", tag("summary", tag("h2", title)), body, open=alone or not good),
        id=one["experiment"],
        class_="experiment",
    )


def _times(one: One) -> Markup:
    """To detect, to contain, to recover: the longest of all seeds."""
    times = one["times"]
    shown = [
        ("to detect", times["detect_s"], "until the bus said that something is wrong"),
        ("to contain", times["contain_s"], "until every healthy vendor was within its limits"),
        ("to recover", times["recover_s"], f"after the last act; allowed {one['recovery_s']:g} s"),
    ]
    return tag(
        "ul",
        [
            tag(
                "li",
                tag("span", name, class_="name"),
                tag("b", _seconds(seconds)),
                tag("span", what, class_="what"),
            )
            for name, seconds, what in shown
        ],
        class_="tiles",
    )


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return words.span(seconds) if seconds >= 60 else f"{seconds:.1f} s"  # noqa: PLR2004 -- a minute


def _breaches(one: One) -> Markup:
    lines = [f"seed {breach['seed']}: {sentence(breach)}" for breach in one["breaches"]]
    more = len(lines) - _SHOWN
    return tag(
        "ul",
        [tag("li", line) for line in lines[:_SHOWN]],
        tag("li", f"and {more} more") if more > 0 else None,
        class_="problems",
    )


def _matrix(one: One) -> Markup:
    """Vendor by promise: the worst of all seeds."""
    struck = one["run"]["struck"]
    rows: list[Sequence[Piece]] = [
        [
            [vendor, tag("small", " struck", class_="late") if vendor in struck else None],
            *(_cell(row[promise.name]) for promise in PROMISES),
        ]
        for vendor, row in one["matrix"].items()
    ]
    heads = ["vendor", *(promise.name for promise in PROMISES)]
    return tag("div", table(heads, rows, label="the blast radius"), class_="matrix")


def _cell(one: One) -> Markup:
    sign, means = _SIGNS[one["word"]]
    said = "; ".join(one["what"]) or means
    return tag("td", tag("span", sign, aria_label=means), class_=one["word"], title=said)


def _steady(run: One) -> Markup:
    hypotheses = run["steady_state"]
    unmet = [one for one in hypotheses if not one["met"]]
    rows: list[Sequence[Piece]] = [
        [one["what"], one["wanted"], words.count(one["found"]), "yes" if one["met"] else "no"]
        for one in hypotheses
    ]
    said = "held" if not unmet else f"{len(unmet)} of {len(hypotheses)} hypotheses did not hold"
    return tag(
        "details",
        tag("summary", f"Steady state before the first act: {said}"),
        table(["what", "wanted", "found", "met"], rows, label="steady state"),
        class_="figures",
    )


def _legend() -> Markup:
    """What the signs mean, and what each promise says."""
    signs = [
        tag("div", tag("dt", sign, class_=word), tag("dd", means))
        for word, (sign, means) in _SIGNS.items()
    ]
    promises = [
        tag("div", tag("dt", promise.name), tag("dd", promise.says)) for promise in PROMISES
    ]
    return tag(
        "section",
        tag("h2", "The promises"),
        tag("dl", signs, class_="signs"),
        tag("dl", promises, class_="promises"),
    )
