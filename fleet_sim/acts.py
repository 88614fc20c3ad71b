"""Who is struck by an act, and what is done to them: the same in wire and in virtual time."""

from collections.abc import Callable, Sequence
from functools import partial

from fleet_sim.chance import stream
from fleet_sim.scenario import Act, Scenario
from fleet_sim.unit import Unit

Cue = tuple[float, Callable[[], None]]


def cues(scenario: Scenario, seed: int, units: Sequence[Unit]) -> list[Cue]:
    """Beginning and end of each act, by the second from the start; ends before beginnings."""
    planned: list[tuple[float, int, Callable[[], None]]] = []
    for number, act in enumerate(scenario.acts):
        chosen = struck(act, f"{number}", seed, units)
        planned += [
            (act.at_s, 1, partial(_begin, act, chosen)),
            (act.until_s, 0, partial(_end, act, chosen)),
        ]
    return [(at_s, what) for at_s, _, what in sorted(planned, key=lambda each: each[:2])]


def struck(act: Act, name: str, seed: int, units: Sequence[Unit]) -> list[Unit]:
    """The act's share of its vendor's devices, drawn by chance; one at least."""
    of_vendor = [unit for unit in units if unit.vendor == act.vendor]
    count = max(1, round(act.share * len(of_vendor)))
    drawn = stream(seed, f"act/{name}").sample(range(len(of_vendor)), count)
    return [of_vendor[index] for index in sorted(drawn)]


def _begin(act: Act, units: Sequence[Unit]) -> None:
    for unit in units:
        if act.own is not None:
            unit.act(f"fault:{act.own}")
        else:
            unit.strike(act.make())


def _end(act: Act, units: Sequence[Unit]) -> None:
    for unit in units:
        if act.own is not None:
            unit.act(f"heal:{act.own}")
        else:
            unit.heal()
