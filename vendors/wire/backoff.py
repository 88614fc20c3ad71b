"""How long to wait before the next attempt: pure; chance and the attempt come in.

Full jitter, because clients that lost the same broker in the same instant must not come
back in the same instant. Source: AWS Architecture Blog, "Exponential Backoff And Jitter",
2015-03-04: of its variants, full jitter costs the server the fewest attempts.
"""

from dataclasses import dataclass
from random import Random

# 2 ** 32 times any base exceeds any cap; beyond it the power only costs memory.
_DOUBLINGS_MAX = 32


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double from `base_ms` and never exceed `cap_ms`."""

    base_ms: int
    cap_ms: int

    def __post_init__(self) -> None:
        if not 0 < self.base_ms <= self.cap_ms:
            raise ValueError(f"backoff needs 0 < base_ms <= cap_ms, not {self}")

    def ceiling_ms(self, attempt: int) -> int:
        """The longest wait after `attempt` failures in a row (0: this was the first)."""
        return min(self.cap_ms, self.base_ms << min(max(attempt, 0), _DOUBLINGS_MAX))

    def delay_ms(self, attempt: int, rng: Random) -> int:
        """One full-jitter draw: anything from nothing up to the ceiling."""
        return round(rng.uniform(0, self.ceiling_ms(attempt)))

    def longest_ms(self, rng: Random) -> int:
        """For a refusal that only a person can heal: the upper half of the cap.

        The lower half is left out, since a draw near nothing would ask again at once.
        """
        return round(rng.uniform(self.cap_ms / 2, self.cap_ms))
