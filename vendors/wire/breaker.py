"""When to leave a failing host alone: pure; the time comes in.

    CLOSED ── failures_max in a row ──► OPEN ── open_ms are over ──► HALF_OPEN
      ▲                                  ▲ ◄────── the probe fails ──────┤
      └──────────────── the probe succeeds ──────────────────────────────┘

One request is let through when half open; what it meets decides. A host that keeps failing is
probed ever more rarely, up to `open_ms_max`.
"""

from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """As a status page shows it."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(slots=True)
class Breaker:
    """Counts one host's failures; `now_ms` is any clock that only goes forward."""

    failures_max: int = 5
    open_ms: int = 1_000
    open_ms_max: int = 30_000
    failures: int = 0
    #: How often it was left alone, failed probes included.
    opened: int = 0
    _until_ms: int = 0
    _pause_ms: int = 0
    _probing: bool = False

    def state(self, now_ms: int) -> BreakerState:
        """Where it stands."""
        if self.failures < self.failures_max:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_ms < self._until_ms else BreakerState.HALF_OPEN

    def wait_ms(self, now_ms: int) -> int:
        """How long nobody may ask; 0 if one may now."""
        match self.state(now_ms):
            case BreakerState.OPEN:
                return self._until_ms - now_ms
            case BreakerState.HALF_OPEN if self._probing:
                return self._pause_ms
        return 0

    def begin(self, now_ms: int) -> None:
        """A request that was allowed leaves."""
        if self.state(now_ms) is BreakerState.HALF_OPEN:
            self._probing = True

    def succeeded(self) -> None:
        """The host answered, and not with a failure of its own."""
        self.failures, self._pause_ms, self._probing = 0, 0, False

    def failed(self, now_ms: int) -> None:
        """The host was silent, unreachable, or said that it is broken.

        What left before it was found out tells nothing new, and lengthens no pause.
        """
        if self.state(now_ms) is BreakerState.OPEN:
            return
        self.failures += 1
        self._probing = False
        if self.failures >= self.failures_max:
            self._pause_ms = min(self._pause_ms * 2 or self.open_ms, self.open_ms_max)
            self._until_ms = now_ms + self._pause_ms
            self.opened += 1

    def withdrawn(self) -> None:
        """A request was given up by its own caller; that says nothing about the host."""
        self._probing = False
