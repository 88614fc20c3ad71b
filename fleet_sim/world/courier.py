"""Couriers at work: each delivery asks, opens, places, closes and locks, and is counted.

    arrives ─► asks the gateway to open ─► places ─► asks it to close ─► done
                  │ rejected, failed, no answer in time: he goes away, and asks no second time

What a courier asks is a command on the gateway's own bus, on the topic of the door, with an
idempotency key that names the delivery and what he asks, and a deadline. He has what he asked for
when the bus says that the device was seen to do it. Where there is no gateway, he uses the door as
a visitor does.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

from fleet_sim.report import percentile
from fleet_sim.unit import Unit
from fleet_sim.world.delivery import Deliveries
from fleet_sim.world.population import module_of
from vendors import registry
from vendors.sim import Chance

#: (device, request): asks on the device's command topic.
Say = Callable[[Unit, bytes], None]

_OPENS, _CLOSES = "open", "close"
_FINISHED: Final = ".command.finished."
# The gateway answers at its deadline; that answer takes a moment.
_GRACE_MS: Final = 2_000
# He looks up from his parcels so often, counted from his arrival: a gateway's milliseconds, which
# depend on its other work, then do not move what he does.
_LOOKS_MS: Final = 5_000
_REJECTED: Final = "rejected"
_SUCCEEDED: Final = "succeeded"


class Way(NamedTuple):
    """How a kind of device is opened and closed by command; without a close it falls shut."""

    opens: str
    closes: str = ""
    part: str = ""


#: By kind, the best way first: of what its vendor can carry out.
WAYS: Final[Mapping[str, tuple[Way, ...]]] = {
    "closure": (Way("MoveToFullyOpen", "MoveToFullyClosed"),),
    "lock": (Way("UnlockDoor", "LockDoor"),),
    "panel": (Way("AccessDoor", part="door.1"),),
}


def way_of(vendor: str) -> Way | None:
    """How this vendor's devices are opened by command; None if they are not."""
    found = registry.vendor(vendor)
    for way in WAYS.get(found.kind.name, ()):
        if {way.opens, way.closes} - {""} <= set(found.commands):
            return way
    return None


def habits_of(vendor: str) -> tuple[str, str] | None:
    """How somebody at the door opens and closes it; the close is empty if it does so itself."""
    found: tuple[str, str] | None = getattr(module_of(vendor), "COURIER", None)
    return found


class Step(StrEnum):
    """Where a delivery is."""

    OPENING = "opening"
    PLACING = "placing"
    CLOSING = "closing"


@dataclass(slots=True)
class Tour:
    """All deliveries of a run, counted.

    `refused` counts reasons. `seconds` is from arrival to the closed door, of each that was done.
    """

    asked: int = 0
    done: int = 0
    failed: int = 0
    unknown: int = 0
    unfinished: int = 0
    left_open: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """As a report says it."""
        return {
            "asked": self.asked,
            "done": self.done,
            "refused": dict(sorted(self.refused.items())),
            "failed": self.failed,
            "unknown": self.unknown,
            "unfinished": self.unfinished,
            "p50_s": percentile(self.seconds, 50),
            "p90_s": percentile(self.seconds, 90),
            "left_open": self.left_open,
        }


@dataclass(slots=True)
class Parcel:
    """One of them, under way."""

    key: str
    began_ms: float
    step: Step = Step.OPENING
    due_ms: float = 0.0


class Courier:
    """Whoever delivers to one door; to each door at its own times, drawn from its own chance.

    Args:
        unit: the door.
        spec: what the scenario says.
        rng: its chance.
        tour: where it is counted.
        say: publishes on a device's command topic; None where there is no gateway.
    """

    def __init__(
        self, unit: Unit, spec: Deliveries, rng: Chance, tour: Tour, say: Say | None
    ) -> None:
        self.unit = unit
        self._rng = rng
        self._spec = spec
        self._tour = tour
        self._say = say
        self._number = 0
        self._now: Parcel | None = None
        self._way = way_of(unit.vendor)

    def arrive(self, now_ms: int) -> None:
        """With a parcel. If another delivery is under way at this door, he has met a colleague."""
        if self._now is not None:
            return
        self._number += 1
        self._tour.asked += 1
        self._now = Parcel(f"parcel-{self._number}", now_ms)
        if self._say is None:
            self._visit(now_ms)
        else:
            self._ask(_OPENS, now_ms)

    def heard(self, outcome: Mapping[str, Any], now_ms: int) -> None:
        """A command of this door has ended: perhaps his."""
        now = self._now
        if now is None or outcome["command_id"] != f"{now.key}-{_what(now.step)}":
            return
        word, reason = outcome["outcome"], outcome.get("reason")
        if now.step is Step.OPENING:
            if word == _SUCCEEDED:
                self._place(now_ms)
            else:
                self._give_up(word, reason)
        elif now.step is Step.CLOSING:
            if word == _SUCCEEDED:
                self._finish(now_ms)
            else:
                self._tour.left_open += 1
                self._give_up(word, reason)

    def rest(self) -> None:
        """The run is over, and he is not: what he has begun nobody sees the end of."""
        if self._now is not None:
            self._tour.unfinished += 1
            self._now = None

    # --- his steps ----------------------------------------------------------------------------

    def _ask(self, what: str, now_ms: int) -> None:
        now, say, way = self._now, self._say, self._way
        assert now is not None
        assert say is not None
        assert way is not None
        patience_ms = round(self._spec.patience_s * 1000)
        request = {
            "id": f"{now.key}-{what}",
            "name": way.opens if what == _OPENS else way.closes,
            "deadline_ms": now_ms + patience_ms,
            **({"part": way.part} if way.part else {}),
        }
        now.due_ms = now_ms + patience_ms + _GRACE_MS
        say(self.unit, orjson.dumps(request))
        self.unit.fleet.agenda.at(int(now.due_ms), self._wait_over)

    def _wait_over(self, now_ms: int) -> None:
        """Nobody has answered: whether the door moved, he cannot know."""
        now = self._now
        if now is None or now.step is Step.PLACING or now_ms < now.due_ms:
            return
        self._tour.left_open += now.step is Step.CLOSING
        self._give_up("unknown", None)

    def _place(self, now_ms: int) -> None:
        assert self._now is not None
        self._now.step = Step.PLACING
        spec = self._spec
        takes_ms = self._rng.uniform(spec.place_min_s, spec.place_max_s) * 1000
        began_ms = int(self._now.began_ms)
        seen_ms = began_ms + -(-(now_ms - began_ms) // _LOOKS_MS) * _LOOKS_MS
        self.unit.fleet.agenda.at(seen_ms + round(takes_ms), self._placed)

    def _placed(self, now_ms: int) -> None:
        now = self._now
        if now is None:
            return
        if self._say is None:
            ways = habits_of(self.unit.vendor)
            if ways is not None and ways[1] and self.unit.away is None:
                self.unit.act(ways[1], now_ms)
            self._finish(now_ms)
            return
        assert self._way is not None
        if not self._way.closes:
            self._finish(now_ms)
            return
        now.step = Step.CLOSING
        self._ask(_CLOSES, now_ms)

    def _visit(self, now_ms: int) -> None:
        """Without a gateway: at the door's own keypad, or whoever is at home opens."""
        ways = habits_of(self.unit.vendor)
        if ways is None or self.unit.away is not None:
            self._give_up(_REJECTED, "nobody_opens")
            return
        self.unit.act(ways[0], now_ms)
        self._place(now_ms)

    def _finish(self, now_ms: int) -> None:
        assert self._now is not None
        self._tour.done += 1
        self._tour.seconds.append((now_ms - self._now.began_ms) / 1000)
        self._now = None

    def _give_up(self, word: str, reason: str | None) -> None:
        if word == _REJECTED:
            self._tour.refused[str(reason or _REJECTED).partition(":")[0]] += 1
        elif word == "failed":
            self._tour.failed += 1
        else:
            self._tour.unknown += 1
        self._now = None


def _what(step: Step) -> str:
    return _OPENS if step is Step.OPENING else _CLOSES


def finished(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a command of a device came to, if this is what an event of the bus tells."""
    return event["data"] if _FINISHED in event["type"] else None
