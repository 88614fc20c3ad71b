"""A simulated door on a motor: where it is, where it goes, and what people plan with it; pure."""

from typing import Final

from vendors.sim import Chance

UP: Final = 1
DOWN: Final = -1
# Times of travel as recorded and configured: 10 to 32 s (shelly-homekit#142, #1127).
_TRAVEL_MS: Final = (10_000, 32_000)
_OPEN_AT_FIRST: Final = 0.15
_FULL_PCT: Final = 100


class Door:
    """Place is in ms of travel from the floor."""

    def __init__(self, rng: Chance) -> None:
        self.travel_ms = rng.randint(*_TRAVEL_MS)
        self._place_ms = self.travel_ms if rng.random() < _OPEN_AT_FIRST else 0
        self.heading = 0
        self.last_heading = UP if self._place_ms else DOWN
        self._since_ms = 0

    def place_ms(self, now_ms: int) -> int:
        """Where it is now."""
        moved_ms = self.heading * (now_ms - self._since_ms)
        return min(max(self._place_ms + moved_ms, 0), self.travel_ms)

    def pct(self, now_ms: int) -> int:
        """How far it is open, in percent; between the ends never 0 and never 100."""
        place_ms = self.place_ms(now_ms)
        if place_ms in (0, self.travel_ms):
            return _FULL_PCT if place_ms else 0
        return min(max(round(_FULL_PCT * place_ms / self.travel_ms), 1), _FULL_PCT - 1)

    def head(self, heading: int, now_ms: int) -> None:
        """Go up, down, or stay here."""
        self._place_ms = self.place_ms(now_ms)
        self._since_ms = now_ms
        self.heading = heading
        self.last_heading = heading or self.last_heading

    def arrives_ms(self, now_ms: int, pct: int | None = None) -> int:
        """When it reaches the end that it heads for, or a place on the way."""
        end_ms = self.travel_ms if self.heading == UP else 0
        goal_ms = end_ms if pct is None else round(self.travel_ms * pct / _FULL_PCT)
        return now_ms + max(0, self.heading * (goal_ms - self.place_ms(now_ms)))

    @property
    def shut(self) -> bool:
        """Whether it rests on the floor."""
        return not self.heading and self._place_ms == 0

    @property
    def full(self) -> bool:
        """Whether it rests at the top."""
        return not self.heading and self._place_ms == self.travel_ms
