"""A verdict as a journal that readers of the Chaos Toolkit understand; pure.

Times are the scenario's own, so the same run gives the same journal wherever it is made.

Source: chaostoolkit-lib 1.x, `chaoslib.run.initialize_run_journal` and the Open API for
experiments, docs.chaostoolkit.org/reference/api/journal.
"""

import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any, Final

from fleet_sim.chaos.oracles import PROMISES
from fleet_sim.chaos.verdict import Word
from fleet_sim.watching import words

Report = Mapping[str, Any]

# Who reads the journal may ask for its version; ours is written to this one's shape.
_SHAPE: Final = "1.45.1"
_OURS: Final = ("at_s", "until_s")


def of(report: Report) -> dict[str, Any]:
    """The journal of one run, as plain JSON values.

    Args:
        report: see `fleet_sim.chaos.verdict.judge`.
    """
    begins = datetime.fromisoformat(str(report["starts"]))
    acts, seconds = report["acts"], float(report["simulated_s"])

    def second(at_s: float) -> str:
        return (begins + timedelta(seconds=at_s)).isoformat()

    before = _state(_hypotheses(report), second(0), min(act["at_s"] for act in acts))
    after = _state(_promises(report), second(max(act["until_s"] for act in acts)), 0.0)
    return {
        "chaoslib-version": _SHAPE,
        "doorfleet-version": version("doorfleet"),
        "platform": platform.platform(),
        "node": platform.node(),
        "experiment": _experiment(report),
        "start": second(0),
        "status": "completed" if before["steady_state_met"] else "failed",
        "deviated": bool(report["breaches"]),
        "steady_states": {"before": before, "after": after, "during": []},
        "run": [_done(_action(act), second(act["at_s"]), second(act["at_s"]), 0.0) for act in acts],
        "rollbacks": [
            _done(_heal(act), second(act["until_s"]), second(act["until_s"]), 0.0) for act in acts
        ],
        "end": second(seconds),
        "duration": seconds,
        "doorfleet": {
            key: report.get(key)
            for key in ("verdict", "seed", "time", "digest", "command", "times", "breaches")
        },
    }


def _experiment(report: Report) -> dict[str, Any]:
    probes = [{**probe, "tolerance": True} for probe, _, _ in _hypotheses(report)]
    return {
        "version": "1.0.0",
        "title": report["experiment"],
        "description": report["description"] or report["experiment"],
        "tags": ["doorfleet", *report["struck"]],
        "steady-state-hypothesis": {"title": "All is well before the first act", "probes": probes},
        "method": [_action(act) for act in report["acts"]],
        "rollbacks": [_heal(act) for act in report["acts"]],
    }


Probe = tuple[dict[str, Any], object, bool]


def _hypotheses(report: Report) -> list[Probe]:
    """Activity, output, and whether that is tolerated."""
    return [
        (_probe(f"{one['what']}: {one['wanted']}"), one["found"], one["met"])
        for one in report["steady_state"]
    ]


def _promises(report: Report) -> list[Probe]:
    says = {promise.name: promise.says for promise in PROMISES}
    return [
        (_probe(f"{vendor}: {says[name]}"), one["what"], one["word"] != Word.BROKEN)
        for vendor, row in report["matrix"].items()
        for name, one in row.items()
        if one["word"] != Word.UNSEEN
    ]


def _state(probes: Sequence[Probe], at: str, for_s: float) -> dict[str, Any]:
    return {
        "steady_state_met": all(met for _, _, met in probes),
        "probes": [
            {**_done({**probe, "tolerance": True}, at, at, for_s, output), "tolerance_met": met}
            for probe, output, met in probes
        ],
    }


def _done(
    activity: Mapping[str, Any], start: str, end: str, for_s: float, output: object = None
) -> dict[str, Any]:
    return {
        "activity": dict(activity),
        "output": output,
        "status": "succeeded",
        "start": start,
        "end": end,
        "duration": for_s,
    }


def _probe(name: str) -> dict[str, Any]:
    return {"type": "probe", "name": name, "provider": _provider("judge", {})}


def _action(act: Mapping[str, Any]) -> dict[str, Any]:
    arguments = {key: value for key, value in act.items() if key not in _OURS}
    for_s = act["until_s"] - act["at_s"]
    return {
        "type": "action",
        "name": words.act(act),
        "provider": _provider("begin", {**arguments, "for_s": for_s}),
        "pauses": {"after": for_s},
    }


def _heal(act: Mapping[str, Any]) -> dict[str, Any]:
    who = {key: act[key] for key in ("vendor", "fault")}
    return {"type": "action", "name": f"heal {words.act(act)}", "provider": _provider("end", who)}


def _provider(func: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "python",
        "module": "fleet_sim.chaos",
        "func": func,
        "arguments": dict(arguments),
    }
