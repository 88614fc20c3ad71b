"""An experiment file: a scenario, what must hold before, who may be hurt, and until when.

    # yaml-language-server: $schema=../experiment.schema.json
    description: Nuki hangs for ten minutes; nobody else may notice.
    hours: 0.5
    pace: 40
    fleet: {ratgdo: 6, nuki: 6}
    acts:
      - {at: 8m, for: 10m, vendor: nuki, fault: hang}

Everything that a scenario may say (`fleet_sim.scenario`) may stand in it. What it does not say is
strict: whoever no act strikes is untouched, and all is well again soon after the last act.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator

from devices.errors import ConfigError
from fleet_sim import scenario_file
from fleet_sim.faults import Strikes
from fleet_sim.scenario import Act, Scenario
from fleet_sim.world.fields import Seconds, Strict, Vendor
from fleet_sim.world.people import READER
from gateway.app import yaml_of

#: The folder of our own, in `config/` and in the wheel.
SHELF: Final = "experiments"


class May(StrEnum):
    """What an experiment may do to a vendor, as its file says it."""

    LATE = "late"  #: its news comes late while an act lasts
    LOST_STATE = "lost_state"  #: a state in between is never announced; happenings all are
    DEGRADED = "degraded"  #: its cell says that something is missing
    RESTARTS = "restarts"  #: its cell is ended, and begins anew


#: What an act may do to whom it strikes, if the file does not say.
_USUAL: Final[Mapping[Strikes, tuple[May, ...]]] = {
    Strikes.LINK: (May.LATE, May.DEGRADED),
    Strikes.DEVICE: (May.LATE, May.DEGRADED),
    Strikes.VENDOR: (May.LATE, May.DEGRADED),
    Strikes.CELL: (May.LATE, May.DEGRADED, May.RESTARTS),
    Strikes.GATEWAY: (May.LATE, May.DEGRADED, May.RESTARTS),
}


class SteadyState(Strict):
    """What holds before the first act, or the experiment proves nothing."""

    events_per_min_min: float = Field(
        default=0.5, ge=0, description="Of each vendor, on the bus, in the mean; as it is lived."
    )
    p99_ms_max: float = Field(
        default=2_000.0, gt=0, description="From a device's word to the bus, of each vendor."
    )
    cells_up: bool = Field(default=True, description="Every cell says that it is up.")


class Experiment(Scenario):
    """The whole file; `name` is the file's."""

    steady_state: SteadyState = Field(
        default=SteadyState(), description="What holds before the first act."
    )
    blast_radius: Mapping[Vendor, tuple[May, ...]] = Field(
        default={},
        description="By vendor, what may happen to it: late, lost_state, degraded, restarts. Whom"
        " an act strikes and who is not named here may be late and degraded; everybody else is"
        " untouched.",
    )
    recovery_s: Seconds = Field(
        alias="recovery",
        default=180.0,
        gt=0,
        description="So long after the end of the last act, everything has converged.",
    )
    seeds: tuple[int, ...] = Field(
        default=(1,), min_length=1, description="With which it is run, if nobody says others."
    )

    @model_validator(mode="after")
    def _that_proves_something(self) -> Self:
        problems = list(self._senseless())
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _senseless(self) -> Iterator[str]:
        if not self.acts:
            yield "acts: none; an experiment breaks something: add one, or run it as a scenario"
        elif self.begins_s <= 0:
            yield "acts: one at the very start; begin later, so that there is something to compare"
        for vendor in self.blast_radius:
            if vendor not in self.fleet:
                yield f"blast_radius.{vendor}: no {vendor} in the fleet; add some, or remove it"

    @property
    def begins_s(self) -> float:
        """When the first act begins, from the start."""
        return min(act.at_s for act in self.acts)

    @property
    def ends_s(self) -> float:
        """When the last act ends, from the start."""
        return max(act.until_s for act in self.acts)

    def acts_on(self, vendor: str) -> list[Act]:
        """Those that strike this vendor, alone or with all others."""
        return [act for act in self.acts if act.vendor in (None, vendor)]

    def allowed(self, vendor: str) -> frozenset[May]:
        """What may happen to it; empty: it is to be untouched."""
        if vendor in self.blast_radius:
            return frozenset(self.blast_radius[vendor])
        return frozenset(may for act in self.acts_on(vendor) for may in _USUAL[act.strikes])

    @property
    def healthy(self) -> list[str]:
        """The vendors that nothing may happen to."""
        return [vendor for vendor in self.fleet if not self.allowed(vendor)]

    def twin(self) -> Scenario:
        """The same life without its acts: what would have happened.

        Experiments that differ in nothing else have the same twin.
        """
        own = {"steady_state", "blast_radius", "recovery_s", "seeds", "acts"}
        left = {name: getattr(self, name) for name in Scenario.model_fields if name not in own}
        return Scenario.model_construct(**{**left, "name": "twin", "description": "", "acts": ()})


class Loaded(NamedTuple):
    """An experiment, and the document that it was read from; `beside` reads files next to it."""

    experiment: Experiment
    document: Mapping[str, Any]
    beside: Mapping[str, Any]

    def changed(self, document: Mapping[str, Any]) -> "Loaded":
        """The same file with something else in it.

        Raises:
            ValidationError: that is no experiment.
        """
        named = {"name": self.experiment.name, **document}
        return Loaded(
            Experiment.model_validate(named, context=dict(self.beside)), document, self.beside
        )


def load(path: str | Path) -> Loaded:
    """The experiment in this file, or of this name; files that it names are beside it.

    Raises:
        ConfigError: with every mistake: file, place, value and remedy.
    """
    data, reader = scenario_file.read(path, SHELF)
    document = yaml_of(data, str(path))
    if not isinstance(document, dict):
        raise ConfigError((f"{path}: no keys and values; begin with a copy of vendor_hangs.yaml",))
    beside = {READER: reader}
    try:
        experiment = Experiment.model_validate(
            {"name": Path(path).stem, **document}, context=beside
        )
    except ValidationError as error:
        lines = scenario_file.mistakes(error, Experiment)
        raise ConfigError(tuple(f"{path}: {line}" for line in lines)) from error
    return Loaded(experiment, document, beside)


def names() -> list[str]:
    """The experiments that came with doorfleet."""
    return scenario_file.names(SHELF)
