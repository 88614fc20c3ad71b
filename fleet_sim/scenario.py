"""A scenario file: which devices, how they are used, for how long, and what goes wrong when.

    # yaml-language-server: $schema=../scenario.schema.json
    description: Nuki hangs after an hour.
    hours: 6
    starts: monday 06:00                     # what the wall says at first
    pace: 1                                  # times as often as in life people use their devices
    rhythm: household                        # when in the week they do
    fleet: {ratgdo: 100, nuki: 100}          # or a list of groups, see `world.population`
    weather: {mean_c: -5}                    # and batteries, deliveries, rollouts: see `world`
    options: {ratgdo: {topic_prefix: home/}} # what its simulator takes
    gateway: {uhppote: {poll_ms: 5000}}      # what its cell is told
    acts:
      - {at: 1h, for: 20m, vendor: nuki, fault: hang}
      - {at: 3h, for: 1h, vendor: ratgdo, fault: flapping_eye, share: 0.1}

A fault is one of every link's (`fleet_sim.faults`) or one of the vendor's own devices.
`config/scenario.schema.json` lets an editor complete all of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field, ValidationError, model_validator

from devices.errors import ConfigError
from fleet_sim import scenario_file
from fleet_sim.act import Act, own_faults
from fleet_sim.faults import Strikes
from fleet_sim.scenario_file import folder, names
from fleet_sim.world.battery import Batteries
from fleet_sim.world.delivery import Deliveries
from fleet_sim.world.fields import MONDAY, Moment, Seconds, Strict, Vendor
from fleet_sim.world.people import READER, RhythmField
from fleet_sim.world.population import Fleet, Group
from fleet_sim.world.radio import PERFECT, RadioField
from fleet_sim.world.rollout import Rollout
from fleet_sim.world.weather import Storm, Weather
from gateway.app import yaml_of
from vendors import registry
from vendors.sim import Group as Numbers

__all__ = ["Act", "Scenario", "folder", "load", "names", "own_faults"]

_HOURS_MAX: Final = 24 * 366
# The settings of cells that say how often something is asked, and their unit in seconds.
_POLLS: Final = {
    "poll_ms": 0.001,
    "poll_min_ms": 0.001,
    "poll_interval_ms": 0.001,
    "poll_interval_s": 1.0,
}


class Scenario(Strict):
    """The whole file; `name` is the file's."""

    name: str = "scenario"
    description: str = Field(default="", description="One line for people.")
    hours: float = Field(gt=0, le=_HOURS_MAX, description="How long it lasts.")
    starts: Moment = Field(
        default=MONDAY, description="Day and time at the devices when it begins: monday 08:00."
    )
    arrive_s: Seconds = Field(
        default=10.0, ge=0, le=86_400, description="In how long all devices come up at the start."
    )
    connects_per_s: float = Field(
        default=500.0,
        gt=0,
        le=100_000,
        description="With --time real: how many devices begin to connect in a second, at the start"
        " and whenever many come back at once.",
    )
    pace: float = Field(
        default=1.0, gt=0, le=10_000, description="How many times as often as in life."
    )
    rhythm: RhythmField = Field(
        default="flat", description="When in the week, for groups that do not say it themselves."
    )
    fleet: Fleet = Field(description="Devices of each vendor, or a list of groups.")
    radio: RadioField = Field(
        default=PERFECT, description="How good every radio is, beside what a group says of its own."
    )
    weather: Weather | None = Field(default=None, description="What it is like outside.")
    batteries: Batteries | None = Field(
        default=None, description="Let batteries drain by use, time and cold; {} for the usual."
    )
    rollouts: tuple[Rollout, ...] = Field(default=(), description="New firmware, in waves.")
    deliveries: Deliveries | None = Field(
        default=None, description="Couriers who open and close; {} for the usual."
    )
    options: Mapping[Vendor, Mapping[str, Any]] = Field(
        default={}, description="What a vendor's simulator takes."
    )
    gateway: Mapping[Vendor, Mapping[str, Any]] = Field(
        default={}, description="Settings of a vendor's cell, beside where its devices are."
    )
    acts: tuple[Act, ...] = Field(default=(), description="What goes wrong, and when.")

    @model_validator(mode="after")
    def _that_fits_together(self) -> Self:
        problems = [
            *self._clashes(),
            *self._too_late(),
            *(
                f"{place}: no {vendor} in the fleet; add some, or remove {what}"
                for place, vendor, what in self._named_vendors()
                if vendor not in self.fleet
            ),
            *self._nowhere(),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _clashes(self) -> Iterator[str]:
        for number, act in enumerate(self.acts):
            for other in range(number):
                if clash(self.acts[other], act):
                    yield (
                        f"acts[{number}]: overlaps acts[{other}]; {act.whom} fails in one way at a"
                        " time, so begin when the other is over"
                    )

    def _too_late(self) -> Iterator[str]:
        timed: Mapping[str, Sequence[Act | Rollout | Storm]] = {
            "acts": self.acts,
            "rollouts": self.rollouts,
            "weather.storms": self.storms,
        }
        for what, each in timed.items():
            for number, one in enumerate(each):
                if one.until_s > self.seconds:
                    yield (
                        f"{what}[{number}]: ends after the {self.hours:g} hours; begin earlier or"
                        " shorten it"
                    )

    def _named_vendors(self) -> Iterator[tuple[str, str, str]]:
        """Place, vendor, and what it is there."""
        named: Mapping[str, Sequence[Act | Rollout]] = {
            "act": self.acts,
            "rollout": self.rollouts,
        }
        for what, each in named.items():
            for number, one in enumerate(each):
                if one.vendor is not None:
                    yield f"{what}s[{number}].vendor", one.vendor, f"the {what}"
        for key, vendors in (("options", self.options), ("gateway", self.gateway)):
            for vendor in vendors:
                yield f"{key}.{vendor}", vendor, "this"
        if self.deliveries is not None:
            for number, vendor in enumerate(self.deliveries.vendors):
                yield f"deliveries.vendors[{number}]", vendor, "it"

    def _nowhere(self) -> Iterator[str]:
        """Sites that are named, and no device is there."""
        sites = {group.site for group in self.fleet.groups} - {""}
        storms, deliveries = self.storms, (self.deliveries,) if self.deliveries is not None else ()
        named = [
            *((f"acts[{number}]", act.site) for number, act in enumerate(self.acts)),
            *((f"rollouts[{number}]", each.site) for number, each in enumerate(self.rollouts)),
            *((f"weather.storms[{number}]", storm.site) for number, storm in enumerate(storms)),
            *(("deliveries", each.site) for each in deliveries),
        ]
        for what, site in named:
            if site is not None and site not in sites:
                known = f"known are {', '.join(sorted(sites))}" if sites else "no group has one"
                yield f"{what}.site: no device is at {site}; {known}"

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.hours * 3600

    @property
    def storms(self) -> tuple[Storm, ...]:
        """When the wind blows."""
        return () if self.weather is None else self.weather.storms

    @property
    def floods(self) -> bool:
        """Whether devices are to say again what they have told."""
        return any(act.says_again for act in self.acts)

    @property
    def longest_wait_s(self) -> float:
        """How long after its end news may still come: of polls, and by slow links."""
        waits_s = [float(registry.vendor(vendor).staleness_s or 0) for vendor in self.fleet]
        waits_s += [
            2 * told[key] * unit_s
            for told in self.gateway.values()
            for key, unit_s in _POLLS.items()
            if isinstance(told.get(key), int | float)
        ]
        waits_s += [act.late_ms / 1000 for act in self.acts]
        radios = [self.radio, *(group.radio for group in self.fleet.groups)]
        radios += [storm.radio for storm in self.storms]
        waits_s += [radio.late_ms / 1000 for radio in radios if radio.late]
        return max(waits_s)

    def groups(self, vendor: str) -> list[tuple[range, Group]]:
        """The groups of a vendor, with the numbers of their devices from 1 on."""
        return self.fleet.numbered(vendor)

    def special(self, vendor: str) -> tuple[Numbers, ...]:
        """What a `fleet.Population` is told of a vendor's groups."""
        return self.fleet.options_of_groups(vendor)

    def with_acts(self, added: Sequence[Act]) -> Self:
        """The same with what people did besides; it was checked when they did it."""
        return self.model_copy(update={"acts": (*self.acts, *added)})

    def cut_down(self, most: int) -> Self:
        """The same with so many devices of each group at most: a quick look at a large one."""
        groups = tuple(
            group.model_copy(update={"count": min(group.count, most)})
            for group in self.fleet.groups
        )
        return self.model_copy(update={"fleet": Fleet(groups)})


def clash(one: Act, other: Act) -> bool:
    """Whether they would have the same fail in two ways at a time."""
    together = one.at_s < other.until_s and other.at_s < one.until_s
    same = _struck_by(one) == _struck_by(other)
    apart = None not in (one.site, other.site) and one.site != other.site
    return together and same and not apart


def _struck_by(act: Act) -> tuple[str | None, str | None]:
    """What fails in one way at a time: a vendor's links, or what has a fault of its own name."""
    return act.vendor, None if act.strikes is Strikes.LINK else act.own or act.fault


def load(path: str | Path) -> Scenario:
    """The scenario in this file, or of this name; files that it names are beside it.

    Raises:
        ConfigError: with every mistake: file, place, value and remedy.
    """
    data, beside = scenario_file.read(path)
    document = yaml_of(data, str(path))
    if not isinstance(document, dict):
        raise ConfigError((f"{path}: no keys and values; begin with a copy of quiet_day.yaml",))
    try:
        return Scenario.model_validate(
            {"name": Path(path).stem, **document}, context={READER: beside}
        )
    except ValidationError as error:
        lines = scenario_file.mistakes(error, Scenario)
        raise ConfigError(tuple(f"{path}: {line}" for line in lines)) from error
