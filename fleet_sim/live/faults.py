"""The faults that people added to a running fleet: each has an end, whoever added it lives or not.

    begin ──► struck ──┬── its time is over ──┐
                │ ▲    ├── nobody renewed ────┼──► healed, and an act of the run's report
          lease └─┘    ├── heal ──────────────┤
                       └── the run is over ───┘

Not for threads: see `desk`. Seconds are ours, since the run began; acts are in the scenario's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Protocol

from pydantic import ValidationError

from devices.errors import ConfigError, FleetError
from fleet_sim import scenario_file
from fleet_sim.act import Act
from fleet_sim.live.desk import Desk
from fleet_sim.scenario import Scenario, clash

#: How long a fault lasts if nobody says.
FOR_S: Final = 60.0
_LEASE: Final = "lease_s"
_OURS: Final = ("at", "at_s")


class ClashError(FleetError):
    """What is to fail does already, or soon will; says until when, and what to do."""


class NoSuchFaultError(FleetError):
    """There is no such fault in this run, or not any more; lists those that are."""


class Hand(Protocol):
    """Whoever can reach what is to be struck."""

    @property
    def ground(self) -> object | None:
        """What else can fail than devices; None: nothing."""

    def begin(self, name: str, act: Act) -> Sequence[str]:
        """Let it fail; the devices that are struck, by name."""

    def end(self, name: str) -> None:
        """Let it fail no more."""


@dataclass(slots=True)
class LiveFault:
    """One of them. `until_s`: when its time is over; `lease_s`: until when it is held."""

    id: str
    act: Act
    struck: Sequence[str]
    began_s: float
    until_s: float
    lease_s: float = inf
    healed_s: float | None = None

    @property
    def healed(self) -> bool:
        """Whether it is over."""
        return self.healed_s is not None

    @property
    def ends_s(self) -> float:
        """When it ends if nothing more is said."""
        return min(self.until_s, self.lease_s)

    @property
    def words(self) -> str:
        """For people: what, at whom, with what settings."""
        settings = "".join(f" {key}={value}" for key, value in self.act.settings.items())
        return f"{self.act.fault}{settings} at {self.act.whom}"

    def told(self, now_s: float) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "id": self.id,
            "vendor": self.act.vendor,
            "fault": self.act.fault,
            "share": self.act.share,
            "site": self.act.site,
            "settings": dict(self.act.settings),
            "ends_in_s": round(max(0.0, self.until_s - now_s), 1),
            "lease_s": None if self.lease_s == inf else round(self.lease_s - now_s, 1),
            "struck": list(self.struck),
        }


class LiveFaults:
    """All of one run.

    Args:
        scenario: what is run.
        hand: strikes and heals.
        seconds: how long the run is; inf if it has no end of its own.
        hurry: how many times as fast as the scenario says.
        desk: where wishes are left.
        say: is told a line of each.
    """

    def __init__(  # noqa: PLR0913 -- by keyword; what a run is
        self,
        scenario: Scenario,
        hand: Hand,
        *,
        seconds: float = inf,
        hurry: float = 1.0,
        desk: Desk | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._scenario = scenario
        self._hand = hand
        self._seconds = seconds
        self._hurry = hurry
        self._desk = desk or Desk()
        self._say = say
        self._all: dict[str, LiveFault] = {}

    @property
    def played(self) -> Scenario:
        """The scenario with what was added so far, at its true times."""
        return self._scenario.with_acts([each.act for each in self._all.values()])

    @property
    def all(self) -> Sequence[LiveFault]:
        """Those that there are or were, in the order of their beginnings."""
        return list(self._all.values())

    @property
    def active(self) -> Sequence[LiveFault]:
        """Those that are not healed."""
        return [each for each in self._all.values() if not each.healed]

    def turn(self, now_s: float) -> None:
        """Heal what is over, and do what was wished for; call it a few times a second."""
        for each in self.active:
            if each.ends_s <= now_s:
                self._heal(each, each.ends_s)
        self._desk.answer(self, now_s)

    def close(self, now_s: float) -> None:
        """The run is over: heal all."""
        self._desk.close()
        self.heal_all(now_s)

    # --- what people wish for -----------------------------------------------------------------

    def begin(self, wish: Mapping[str, Any], now_s: float) -> LiveFault:
        """Let something fail from now on.

        Args:
            wish: `vendor`, `fault`, `share`, `site`, `for_s` and `settings` of an act, and
                `lease_s`: until when it must be renewed, if at all.
            now_s: the time.

        Raises:
            ConfigError: there is nothing like that, with every mistake.
            ClashError: it fails already, or will before this is over.
        """
        lease_s = _positive(wish[_LEASE], _LEASE) if _LEASE in wish else inf
        asked = self._asked({key: wish[key] for key in wish if key != _LEASE})
        until_s = min(now_s + asked.for_s, self._seconds)
        planned = self._acted(asked, now_s, until_s)
        self._refuse_clashes(planned, now_s)
        number = f"f{len(self._all) + 1}"
        struck = self._hand.begin(number, planned)
        fault = LiveFault(number, planned, struck, now_s, until_s, now_s + lease_s)
        self._all[number] = fault
        self._say(f"{now_s:.0f} s: {planned.whom}: {planned.fault} begins, by hand ({number})")
        return fault

    def heal(self, number: str, now_s: float) -> None:
        """End one.

        Raises:
            NoSuchFaultError: it is not there.
        """
        self._heal(self._found(number), now_s)

    def heal_all(self, now_s: float) -> None:
        """End all."""
        for each in self.active:
            self._heal(each, now_s)

    def lease(self, number: str, for_s: object, now_s: float) -> None:
        """From now on it ends after so long, unless this is said again in time.

        Raises:
            NoSuchFaultError: it is not there.
            ConfigError: that is no time.
        """
        self._found(number).lease_s = now_s + _positive(for_s, "for_s")

    # --- what follows -------------------------------------------------------------------------

    def _asked(self, wish: Mapping[str, Any]) -> Act:
        if ours := [key for key in _OURS if key in wish]:
            raise ConfigError((f"{ours[0]}: it begins at once; leave {ours[0]} away",))
        usual = {} if "for" in wish else {"for_s": FOR_S}
        try:
            act = Act.model_validate({**usual, **wish, "at_s": 0})
        except ValidationError as error:
            raise ConfigError(tuple(scenario_file.mistakes(error, Act))) from None
        if problem := self._impossible(act):
            raise ConfigError((problem,))
        return act

    def _impossible(self, act: Act) -> str:
        """Why this run cannot have it; empty if it can."""
        if act.vendor is not None and act.vendor not in self._scenario.fleet:
            there = ", ".join(self._scenario.fleet)
            return f"vendor: no {act.vendor} in this fleet; there are {there}"
        sites = {group.site for group in self._scenario.fleet.groups} - {""}
        if act.site is not None and act.site not in sites:
            known = f"known are {', '.join(sorted(sites))}" if sites else "leave it away"
            return f"site: no device is at {act.site}; {known}"
        if impossible := act.impossible("real"):
            return f"{impossible}; take another one"
        if not act.of_devices and self._hand.ground is None:
            return (
                f"fault: {act.fault} strikes what devices stand on, and this run cannot reach that;"
                " take one that strikes devices"
            )
        return ""

    def _acted(self, act: Act, since_s: float, until_s: float) -> Act:
        """The act in the scenario's time."""
        at_s = round(since_s * self._hurry, 3)
        for_s = max(0.001, round(until_s * self._hurry - at_s, 3))
        return act.model_copy(update={"at_s": at_s, "for_s": for_s})

    def _refuse_clashes(self, planned: Act, now_s: float) -> None:
        for each in self.active:
            if clash(each.act, planned):
                raise ClashError(
                    f"{planned.whom}: {each.act.fault} ({each.id}) is not over; heal {each.id}"
                    " first"
                )
        for number, act in enumerate(self._scenario.acts):
            if clash(act, planned):
                begins_s, ends_s = act.at_s / self._hurry - now_s, act.until_s / self._hurry - now_s
                raise ClashError(
                    f"{planned.whom}: {act.fault} of the scenario (acts[{number}]) "
                    + (
                        f"begins in {begins_s:.0f} s; write for_s {int(begins_s)} or less"
                        if begins_s >= 1
                        else f"lasts {max(1, round(ends_s))} s more; try again when it is over"
                    )
                )

    def _found(self, number: str) -> LiveFault:
        fault = self._all.get(number)
        if fault is None or fault.healed:
            there = ", ".join(each.id for each in self.active)
            was = "it is healed" if fault is not None else "there never was one"
            raise NoSuchFaultError(f"fault {number}: {was}; there are {there or 'none'}")
        return fault

    def _heal(self, fault: LiveFault, at_s: float) -> None:
        fault.healed_s = at_s
        fault.act = self._acted(fault.act, fault.began_s, at_s)
        self._hand.end(fault.id)
        self._say(f"{at_s:.0f} s: {fault.act.whom}: {fault.act.fault} is over ({fault.id})")


def _positive(given: object, what: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < inf:
        raise ConfigError((f"{what}: {given!r} is no time; write seconds above 0",))
    return float(given)
