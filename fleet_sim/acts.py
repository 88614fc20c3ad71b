"""Who is struck by an act, and what is done to them: the same in wire and in virtual time."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from fleet_sim.chance import stream
from fleet_sim.ground import Ground
from fleet_sim.scenario import Act, Scenario
from fleet_sim.unit import Unit

Cue = tuple[float, Callable[[], None]]


class Named(Protocol):
    """A device, wherever it is: `name` is `vendor/name`."""

    @property
    def vendor(self) -> str:
        """Whose it is."""

    @property
    def name(self) -> str:
        """What its chance is drawn by."""


D = TypeVar("D", bound=Named)


class Resident(NamedTuple):
    """A device of this process, with its number among all of its vendor's, and where it is."""

    unit: Unit
    number: int
    site: str = ""


def cues(
    scenario: Scenario,
    seed: int,
    units: Sequence[Unit],
    residents: Iterable[Resident] = (),
    ground: Ground | None = None,
) -> list[Cue]:
    """Beginning and end of each act, by the second from the start; ends before beginnings.

    Args:
        scenario: its acts are meant.
        seed: of all chance.
        units: the devices of this process.
        residents: the same with their numbers and sites; absent, they are all there are.
        ground: what else can fail; without it, acts that strike no device strike nothing.
    """
    if not scenario.acts:
        return []
    here = list(residents or all_there_are(units))
    planned: list[tuple[float, int, Callable[[], None]]] = []
    for number, act in enumerate(scenario.acts):
        those = chosen(scenario, act, f"{number}", seed, here) if act.of_devices else ()
        for stroke in strokes(act, those, ground):
            for at_s, until_s in spells(act, stroke, f"{number}", seed):
                planned += [(at_s, 1, stroke.begin), (until_s, 0, stroke.end)]
    return [(at_s, what) for at_s, _, what in sorted(planned, key=lambda each: each[:2])]


class Stroke(NamedTuple):
    """What an act strikes as one: `whom` its chance is drawn by, its beginning and its end."""

    whom: str
    begin: Callable[[], None]
    end: Callable[[], None]


def strokes(act: Act, those: Sequence[Unit], ground: Ground | None) -> list[Stroke]:
    """All of an act's: these devices, or of the ground what it is meant for."""
    if not act.of_devices:
        if ground is None:
            return []
        return [Stroke("", partial(ground.begin, act), partial(ground.end, act))]
    if not act.comes_and_goes:
        return [Stroke("", partial(begin, act, those), partial(end, act, those))]
    # Each has its own good and bad moments.
    return [
        Stroke(unit.name, partial(begin, act, [unit]), partial(end, act, [unit])) for unit in those
    ]


def spells(act: Act, stroke: Stroke, name: str, seed: int) -> Sequence[tuple[float, float]]:
    """When this begins and ends, from the start; `name` as for `chosen`."""
    return act.spells(stream(seed, f"spells/{name}/{stroke.whom}"))


def announcements(scenario: Scenario, hurry: float) -> list[tuple[float, str]]:
    """What is said of the acts, by the second of a run in which the scenario is so much faster."""
    found = []
    for act in scenario.acts:
        at_s, until_s = act.at_s / hurry, act.until_s / hurry
        found += [
            (at_s, f"{at_s:.0f} s: {act.whom}: {act.fault} begins"),
            (until_s, f"{until_s:.0f} s: {act.whom}: {act.fault} is over"),
        ]
    return sorted(found)


def chosen(
    scenario: Scenario, act: Act, name: str, seed: int, residents: Iterable[tuple[D, int, str]]
) -> list[D]:
    """Whom of these it strikes; `name` is what their chance is drawn by, see `struck`."""
    firsts = (
        numbers.start
        for numbers, group in scenario.groups(act.vendor or "")
        if act.site in (None, group.site)
    )
    return struck(act, name, seed, residents, first=next(firsts, 1))


def struck(
    act: Act, name: str, seed: int, residents: Iterable[tuple[D, int, str]], *, first: int = 1
) -> list[D]:
    """Whom the act strikes: each device draws for itself, and its share are below the threshold.

    The one with the `first` number is struck in any case, so that no act strikes nobody: every
    process knows that without asking the others, and a device that is added changes nothing.
    """
    return [
        unit
        for unit, number, site in residents
        if unit.vendor == act.vendor
        and act.site in (None, site)
        and (
            number == first
            or (act.share == 1 and not act.of_one)
            or (not act.of_one and stream(seed, f"act/{name}/{unit.name}").random() < act.share)
        )
    ]


def all_there_are(units: Iterable[Unit]) -> Iterator[Resident]:
    """Devices that are at no site, and a whole fleet."""
    numbers: Counter[str] = Counter()
    for unit in units:
        numbers[unit.vendor] += 1
        yield Resident(unit, numbers[unit.vendor])


def begin(act: Act, units: Sequence[Unit]) -> None:
    """Let these fail."""
    for unit in units:
        if act.own is not None:
            unit.act(f"fault:{act.own}")
        else:
            unit.strike(act.make())


def end(act: Act, units: Sequence[Unit]) -> None:
    """Let them fail no more."""
    for unit in units:
        if act.own is not None:
            unit.act(f"heal:{act.own}")
        else:
            unit.heal()
