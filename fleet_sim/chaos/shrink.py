"""A violated experiment made as small as it can be: a counter-example that fits on a screen.

    fewest acts (ddmin) ─► fewest vendors, devices, extras ─► shortest times ─► once more, till rest

Each step is tried with the same seed, and kept if the same promise is still broken.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any, Final

import orjson
import yaml
from pydantic import ValidationError

from fleet_sim.chaos.ddmin import ddmin
from fleet_sim.chaos.experiment import Loaded
from fleet_sim.chaos.oracles import PROMISES
from fleet_sim.chaos.play import simulate, virtually
from fleet_sim.chaos.verdict import Word

Document = Mapping[str, Any]
Fails = Callable[[Document], bool]

#: So many runs at most, twins not counted.
RUNS_MAX: Final = 200
#: Only these look at the twin.
_NEED_A_TWIN: Final = frozenset({"unchanged", "fast", "converged"})
#: What a scenario can do without.
_EXTRAS: Final = (
    "deliveries", "rollouts", "weather", "batteries", "radio", "rhythm", "starts", "options",
    "gateway", "arrive_s", "connects_per_s", "blast_radius", "recovery",
)  # fmt: skip
# Tried from the smallest on: a small run costs next to nothing.
_COUNTS: Final = (1, 2, 3, 5, 8, 13, 21, 34, 55)
#: The acts may begin as soon as this, one after the other, and need not last longer than these.
_AT_S, _GAP_S, _FOR_S = 60.0, 10.0, (5.0, 15.0, 30.0, 60.0, 120.0, 300.0)
#: How long a run goes on after its last act.
_AFTER_S: Final = (60, 300, 900)


@dataclass(frozen=True, slots=True)
class Small:
    """What was left: the document, which promise it breaks with which seed, after so many runs."""

    document: Document
    promise: str
    seed: int
    runs: int

    @property
    def what(self) -> str:
        """How small it is, for people."""
        acts, devices = len(self.document["acts"]), devices_of(self.document)
        return f"{acts} act{'s'[: acts != 1]}, {devices} device{'s'[: devices != 1]}"


def devices_of(document: Document) -> int:
    """How many there are in all."""
    return sum(group["count"] for group in _groups(document))


def shrink(
    loaded: Loaded,
    seed: int,
    breaches: Sequence[Mapping[str, Any]],
    tell: Callable[[str], None] = lambda _: None,
    *,
    runs_max: int = RUNS_MAX,
) -> Small:
    """The smallest experiment that still breaks the first of these promises.

    Args:
        loaded: what was violated.
        seed: with which.
        breaches: see `fleet_sim.chaos.verdict.judge`.
        tell: is told how far it is.
        runs_max: then what is there is good enough.
    """
    order = [promise.name for promise in PROMISES]
    promise = min((one["promise"] for one in breaches if one["promise"] in order), key=order.index)
    trial = _Trial(loaded, seed, promise, tell, runs_max)
    document: Document = {
        **{key: value for key, value in loaded.document.items() if key != "seeds"},
        "fleet": _groups(loaded.document),
        "acts": [
            {**written, "at": act.at_s, "for": act.for_s}
            for written, act in zip(loaded.document["acts"], loaded.experiment.acts, strict=True)
        ],
        # A small fleet says less in a minute.
        "steady_state": {"events_per_min_min": 0},
    }
    while True:
        smaller: Document = {**document, "acts": _fewest_acts(document, trial)}
        for step in (_without_extras, _fewer_vendors, _fewer_devices, _shorter):
            smaller = _greedily(smaller, step, trial)
        if smaller == document or trial.spent:
            return Small(smaller, promise, seed, trial.runs)
        document = smaller


def _fewest_acts(document: Document, fails: Fails) -> list[Any]:
    return ddmin(document["acts"], lambda some: fails({**document, "acts": list(some)}))


class _Trial:
    """Runs what is proposed, once each; what is no experiment does not fail."""

    def __init__(
        self, loaded: Loaded, seed: int, promise: str, tell: Callable[[str], None], runs_max: int
    ) -> None:
        self._loaded = loaded
        self._seed = seed
        self._promise = promise
        self._tell = tell
        self._runs_max = runs_max
        self._known: dict[bytes, bool] = {}
        self.runs = 0

    @property
    def spent(self) -> bool:
        """Whether no run is left."""
        return self.runs >= self._runs_max

    def __call__(self, document: Document) -> bool:
        key = orjson.dumps(document)
        if key not in self._known and not self.spent:
            self._known[key] = self._fails(document)
        return self._known.get(key, False)

    def _fails(self, document: Document) -> bool:
        try:
            experiment = self._loaded.changed(document).experiment
        except ValidationError:
            return False
        self.runs += 1
        self._tell(
            f"run {self.runs} of {self._runs_max} at most: {len(experiment.acts)} acts,"
            f" {sum(experiment.fleet.values())} devices, {experiment.hours:.2g} h"
        )
        twin = None
        if self._promise in _NEED_A_TWIN:
            twin = simulate(experiment.twin(), self._seed)
        report = virtually(experiment, self._seed, twin)
        return any(row[self._promise]["word"] is Word.BROKEN for row in report["matrix"].values())


def _greedily(
    document: Document, step: Callable[[Document], Iterator[Document]], fails: Fails
) -> Document:
    """Take the first of a step's proposals that fails, and begin anew from there."""
    while True:
        found = next((one for one in step(document) if one != document and fails(one)), None)
        if found is None:
            return document
        document = found


def _without_extras(document: Document) -> Iterator[Document]:
    for extra in _EXTRAS:
        if extra in document:
            yield {key: value for key, value in document.items() if key != extra}


def _fewer_vendors(document: Document) -> Iterator[Document]:
    groups = _groups(document)
    for vendor in dict.fromkeys(group["vendor"] for group in groups):
        left = [group for group in groups if group["vendor"] != vendor]
        if left:
            yield _without(vendor, {**document, "fleet": left})


def _without(vendor: str, document: Document) -> Document:
    """Whatever names this vendor goes with it."""
    changed = deepcopy(dict(document))
    for name in ("options", "gateway", "blast_radius"):
        if name in changed:
            changed[name].pop(vendor, None)
    for name in ("acts", "rollouts"):
        if name in changed:
            changed[name] = [one for one in changed[name] if one.get("vendor") != vendor]
    deliveries = changed.get("deliveries")
    if deliveries and "vendors" in deliveries:
        deliveries["vendors"] = [one for one in deliveries["vendors"] if one != vendor]
    return changed


def _fewer_devices(document: Document) -> Iterator[Document]:
    groups = _groups(document)
    for at, group in enumerate(groups):
        for count in _COUNTS:
            if count < group["count"]:
                fewer = {**group, "count": count}
                yield {**document, "fleet": [*groups[:at], fewer, *groups[at + 1 :]]}


def _shorter(document: Document) -> Iterator[Document]:
    """Acts that last less, begin sooner, follow each other sooner; and not much after the last."""
    acts = document["acts"]
    for for_s in _FOR_S:
        yield {**document, "acts": [{**act, "for": min(for_s, act["for"])} for act in acts]}
    early_s = max(0, min(act["at"] for act in acts) - _AT_S)
    yield {**document, "acts": [{**act, "at": act["at"] - early_s} for act in acts]}
    yield {**document, "acts": _closer(acts)}
    ends_s = max(act["at"] + act["for"] for act in acts)
    for after_s in _AFTER_S:
        hours = ceil((ends_s + after_s) / 3.6) / 1000
        yield {**document, "hours": min(hours, document["hours"])}


def _closer(acts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Nothing waits longer for the one before it than it must; what overlaps stays as it is."""
    moved: list[dict[str, Any]] = [dict(act) for act in acts]
    for before, act in pairwise(sorted(moved, key=lambda act: act["at"])):
        act["at"] = min(act["at"], before["at"] + before["for"] + _GAP_S)
    return moved


def _groups(document: Document) -> list[dict[str, Any]]:
    fleet = document["fleet"]
    if isinstance(fleet, Mapping):
        return [{"vendor": vendor, "count": count} for vendor, count in fleet.items()]
    return [dict(group) for group in fleet]


def text_of(small: Small, file: Path) -> str:
    """The file, with what it shows and how to see it."""
    document = dict(small.document)
    groups = _groups(document)
    if all(set(group) == {"vendor", "count"} for group in groups):
        document["fleet"] = {group["vendor"]: group["count"] for group in groups}
    document["seeds"] = [small.seed]
    says = next(promise.says for promise in PROMISES if promise.name == small.promise)
    head = (
        f"# Breaks the promise {small.promise!r}: {says}.\n"
        f"# Seed {small.seed}; found by shrinking, in {small.runs} runs. See it by\n"
        f"#   doorfleet-sim chaos {file}\n"
    )
    return head + yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=100)
