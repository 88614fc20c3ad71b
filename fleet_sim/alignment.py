"""What is owed laid beside what was said, at the least number of sins; pure."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from devices.reading import Value

Place = tuple[int, int]
# A comparison beyond this many steps is hopeless in any case, and counted roughly.
_STEPS_MAX: Final = 300_000


@dataclass(slots=True)
class Owed:
    """One value that must (`sure`) or may be announced, once and in this place.

    `stored`: a broker keeps the news of it for a gateway that is away.
    """

    value: Value
    at_ms: float
    sure: bool
    stored: bool = False


def align(told: Sequence[Owed], said: Sequence[Value], *, state: bool) -> Mapping[str, list[Value]]:
    """The values that are lost, duplicated, reordered or invented; empty if all is well.

    With `state`, that it is as it was already is no news, so nobody says it again.
    """
    if _agrees(told, said, state=state):
        return {}
    lost, extra = _cheapest(told, said, state=state)
    moved = lost & extra
    known = {owed.value for owed in told}
    rest = list((extra - moved).elements())
    sins = {
        "lost": list((lost - moved).elements()),
        "reordered": list(moved.elements()),
        "duplicated": [value for value in rest if value in known],
        "invented": [value for value in rest if value not in known],
    }
    return {sin: values for sin, values in sins.items() if values}


def _agrees(told: Sequence[Owed], said: Sequence[Value], *, state: bool) -> bool:
    """Whether taking each announcement at its first chance explains all; the usual case."""
    at, end = 0, len(said)
    for owed in told:
        if at < end and said[at] == owed.value:
            at += 1
        elif owed.sure and not (state and at and said[at - 1] == owed.value):
            return False
    return at == end


def _cheapest(
    told: Sequence[Owed], said: Sequence[Value], *, state: bool
) -> tuple[Counter[Value], Counter[Value]]:
    """What was not said of what was owed, and what was said beyond it, as few as possible."""
    goal = (len(told), len(said))
    came_from: dict[Place, tuple[Place, str]] = {}
    cost: dict[Place, int] = {(0, 0): 0}
    open_: deque[Place] = deque([(0, 0)])
    done: set[Place] = set()
    while open_ and len(done) < _STEPS_MAX:
        place = open_.popleft()
        if place in done:
            continue
        done.add(place)
        if place == goal:
            return _read_back(came_from, goal, told, said)
        for after, sin in _steps(place, told, said, state=state):
            price = cost[place] + bool(sin)
            if price < cost.get(after, price + 1):
                cost[after] = price
                came_from[after] = (place, sin)
                if sin:
                    open_.append(after)
                else:
                    open_.appendleft(after)
    owed = Counter(each.value for each in told if each.sure)
    heard = Counter(said)
    lost, extra = owed - heard, heard - Counter(each.value for each in told)
    return (lost, extra) if lost or extra else (heard, heard)  # the order then, or the number


def _steps(
    place: Place, told: Sequence[Owed], said: Sequence[Value], *, state: bool
) -> list[tuple[Place, str]]:
    index, at = place
    steps: list[tuple[Place, str]] = []
    if index < len(told):
        owed = told[index]
        if at < len(said) and said[at] == owed.value:
            steps.append(((index + 1, at + 1), ""))
        repeat = state and at > 0 and said[at - 1] == owed.value
        steps.append(((index + 1, at), "" if repeat or not owed.sure else "lost"))
    if at < len(said):
        steps.append(((index, at + 1), "extra"))
    return steps


def _read_back(
    came_from: Mapping[Place, tuple[Place, str]],
    goal: Place,
    told: Sequence[Owed],
    said: Sequence[Value],
) -> tuple[Counter[Value], Counter[Value]]:
    lost: Counter[Value] = Counter()
    extra: Counter[Value] = Counter()
    place = goal
    while place in came_from:
        place, sin = came_from[place]
        if sin == "lost":
            lost[told[place[0]].value] += 1
        elif sin == "extra":
            extra[said[place[1]]] += 1
    return lost, extra
