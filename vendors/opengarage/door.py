"""A garage door on its motor, as the button, the wall panel and people move it; pure.

Place is in ms of travel above the floor. Nothing happens by a timer: where the door is follows
from where it was, whither it went, and the time.
Source: travel of 10 to 20 s as in homekit-ratgdo32#189 (15.0 s) and #135 (12.0 s).
"""

from typing import Final

from vendors.sim import Chance

_TRAVEL_MS: Final = (10_000, 20_000)
_OPEN_AT_FIRST: Final = 0.15
# A sensor under the ceiling has the door before it on the last stretch of its way only.
_OVERHEAD_SHARE: Final = 0.85

UP: Final = 1
DOWN: Final = -1
_HEADING_WORDS: Final = {UP: "opening", DOWN: "closing"}


class Door:
    """One door.

    Attributes:
        blocked: a fault: the motor hums and nothing moves.
        floor_ms: a fault, if not 0: something lies in the way down, and the door stops on it.
    """

    def __init__(self, rng: Chance) -> None:
        self.travel_ms = rng.randint(*_TRAVEL_MS)
        self.blocked = False
        self.floor_ms = 0
        self._from_ms = self.travel_ms if rng.random() < _OPEN_AT_FIRST else 0
        self._heading = 0
        self._last = UP if self._from_ms else DOWN
        self._since_ms = 0

    def place_ms(self, now_ms: int) -> int:
        """How high it is."""
        gone_ms = self._from_ms + self._heading * (now_ms - self._since_ms)
        lowest_ms = min(self.floor_ms, self._from_ms) if self._heading == DOWN else 0
        return min(max(gone_ms, lowest_ms), self.travel_ms)

    def ends_ms(self, now_ms: int) -> int | None:
        """When it comes to rest; None if it rests."""
        if self._heading == 0 or self._rests(now_ms):
            return None
        if self._heading == UP:
            return self._since_ms + self.travel_ms - self._from_ms
        return self._since_ms + self._from_ms - min(self.floor_ms, self._from_ms)

    def _rests(self, now_ms: int) -> bool:
        if self._heading == UP:
            return self.place_ms(now_ms) == self.travel_ms
        return self.place_ms(now_ms) <= self.floor_ms

    def word(self, now_ms: int) -> str:
        """What its motor would say."""
        if self.ends_ms(now_ms) is not None:
            return _HEADING_WORDS[self._heading]
        place_ms = self.place_ms(now_ms)
        return {0: "closed", self.travel_ms: "open"}.get(place_ms, "stopped")

    def overhead(self, now_ms: int) -> bool:
        """Whether it is before a sensor under the ceiling."""
        return self.place_ms(now_ms) >= self.travel_ms * _OVERHEAD_SHARE

    def lie_in_the_way(self, floor_ms: int, now_ms: int) -> None:
        """Something lies there from now on, or (0) no more; a door that rests stays."""
        heading = 0 if self.ends_ms(now_ms) is None else self._heading
        self._from_ms, self._since_ms, self._heading = self.place_ms(now_ms), now_ms, heading
        self.floor_ms = floor_ms

    # --- what moves it ---

    def press(self, now_ms: int) -> None:
        """The one button: stop, or go the other way than last time."""
        if self.ends_ms(now_ms) is not None:
            self._head(0, now_ms)
        else:
            place_ms = self.place_ms(now_ms)
            self._head({0: UP, self.travel_ms: DOWN}.get(place_ms, -self._last), now_ms)

    def go(self, heading: int, now_ms: int) -> None:
        """A word for a direction, which Security+ 2.0 has."""
        self._head(heading, now_ms)

    def _head(self, heading: int, now_ms: int) -> None:
        self._from_ms, self._since_ms = self.place_ms(now_ms), now_ms
        self._heading = 0 if self.blocked else heading
        self._last = self._heading or self._last
