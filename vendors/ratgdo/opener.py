"""A simulated Security+ 2.0 opener with its door, lamp, photo eye and people; pure.

It knows nothing of MQTT: the board (`simulator`) listens to `words` and presses `press`.
Source: times of travel from homekit-ratgdo32#189 (15.0 s) and #135 (12.0 s); that an opener
whose eye is blocked goes up instead of down is UL 325's demand.
"""

from collections.abc import Callable, Mapping
from typing import Final

from vendors.sim import Chance

_TRAVEL_MS: Final = (10_000, 20_000)
# Guesses about people and openers, in ms: nothing in a protocol depends on them.
_LIGHT_MS: Final = 270_000
_DRIVE_MS: Final = (30_000, 300_000)
_BEAM_MS: Final = (2_000, 20_000)
_FLAP_MS: Final = (120, 300)
_OPEN_AT_FIRST: Final = 0.15

_UP: Final = 1
_DOWN: Final = -1
_WORD_OF_HEADING: Final = {_UP: "opening", _DOWN: "closing"}


class Opener:
    """Place is in ms of travel from the floor; `plans` is what happens by itself, and when.

    Attributes:
        stop_reverses: a fault: a press while closing opens the door.
    """

    def __init__(self, rng: Chance) -> None:
        self._rng = rng
        self.travel_ms = rng.randint(*_TRAVEL_MS)
        self.place_ms = self.travel_ms if rng.random() < _OPEN_AT_FIRST else 0
        self.heading = 0
        self.last_heading = _UP if self.place_ms else _DOWN
        self.since_ms = 0
        self.lit = False
        self.locked_out = False
        self.blocked = False
        self.stop_reverses = False
        self.plans: dict[str, int] = {}

    def words(self) -> dict[str, str]:
        """What it would answer the board now."""
        if self.heading:
            door = _WORD_OF_HEADING[self.heading]
        else:
            door = {0: "closed", self.travel_ms: "open"}.get(self.place_ms, "stopped")
        return {
            "door": door,
            "light": "on" if self.lit else "off",
            "lock": "locked" if self.locked_out else "unlocked",
            "obstruction": "obstructed" if self.blocked else "clear",
        }

    def run(self, plan: str, at_ms: int) -> None:
        """Carry out a plan whose time has come."""
        del self.plans[plan]
        _PLANS[plan](self, at_ms)

    # --- motor, lamp, lock-out ---

    def press(self, now_ms: int) -> None:
        """The one button: start, stop, or go the other way than last time."""
        if self.heading == _DOWN and self.stop_reverses:
            self._head(_UP, now_ms)
        elif self.heading:
            self._head(0, now_ms)
        else:
            self._head(-self.last_heading, now_ms)

    def _head(self, heading: int, now_ms: int) -> None:
        if heading == _DOWN and self.blocked:
            return  # it flashes its lamp and stays
        moved_ms = self.heading * (now_ms - self.since_ms)
        self.place_ms = min(max(self.place_ms + moved_ms, 0), self.travel_ms)
        self.since_ms = now_ms
        self.heading = heading
        if not heading:
            self.plans.pop("arrive", None)
            return
        self.last_heading = heading
        left_ms = self.travel_ms - self.place_ms if heading == _UP else self.place_ms
        self.plans["arrive"] = now_ms + left_ms
        self.light(now_ms, on=True)

    def stop(self, now_ms: int) -> None:
        """Come to rest here."""
        self._head(0, now_ms)

    def light(self, now_ms: int, *, on: bool) -> None:
        """The lamp; it goes dark by itself."""
        self.lit = on
        self.plans.pop("dark", None)
        if on:
            self.plans["dark"] = now_ms + _LIGHT_MS

    def dark(self, now_ms: int) -> None:
        """The lamp has burnt long enough."""
        self.light(now_ms, on=False)

    def light_switch(self, now_ms: int) -> None:
        """The lamp's button."""
        self.light(now_ms, on=not self.lit)

    def lockout(self, _now_ms: int) -> None:
        """The button that has the opener ignore its radio remotes."""
        self.locked_out = not self.locked_out

    # --- photo eye ---

    def block(self, now_ms: int) -> None:
        """Something stands in the beam: a closing door goes up again."""
        self.blocked = True
        if self.heading == _DOWN:
            self._head(_UP, now_ms)

    def clear(self, _now_ms: int) -> None:
        """Nothing stands in the beam any more."""
        self.blocked = False

    def flap(self, now_ms: int) -> None:
        """The eye changes its mind, and will again, until `calm`."""
        if self.blocked:
            self.clear(now_ms)
        else:
            self.block(now_ms)
        self.plans["flap"] = now_ms + self._rng.randint(*_FLAP_MS)

    def calm(self, now_ms: int) -> None:
        """The eye flaps no more."""
        self.plans.pop("flap", None)
        self.clear(now_ms)

    # --- people ---

    def raise_up(self, now_ms: int) -> None:
        """Open a closed door, and leave it so."""
        if self.words()["door"] == "closed":
            self.press(now_ms)

    def drive(self, now_ms: int) -> None:
        """Open, drive, and close behind oneself."""
        self.raise_up(now_ms)
        self.plans["shut"] = now_ms + self._rng.randint(*_DRIVE_MS)

    def shut(self, now_ms: int) -> None:
        """Press until it closes, as people do; a door with a blocked eye is left alone."""
        if self.blocked or self.words()["door"] == "closed":
            return
        while self.heading != _DOWN:  # thrice at most: up, stop, down
            self.press(now_ms)

    def cross_beam(self, now_ms: int) -> None:
        """Walk through the beam."""
        self.block(now_ms)
        self.plans["clear"] = now_ms + self._rng.randint(*_BEAM_MS)


Step = Callable[[Opener, int], None]
_PLANS: Final[Mapping[str, Step]] = {
    "arrive": Opener.stop,
    "clear": Opener.clear,
    "dark": Opener.dark,
    "flap": Opener.flap,
    "shut": Opener.shut,
}
#: What people do at the opener; the board only hears of it.
PEOPLE: Final[Mapping[str, Step]] = {
    "leave": Opener.drive,
    "come_home": Opener.drive,
    "left_open": Opener.raise_up,
    "close_up": Opener.shut,
    "wall_button": Opener.press,
    "cross_beam": Opener.cross_beam,
    "light_switch": Opener.light_switch,
    "lockout": Opener.lockout,
}
