"""What time it is, by the gateway's own clock; whoever needs it is given a `Clock`."""

import time
from typing import Protocol


class Clock(Protocol):
    """The gateway's wall clock. Simulated runs give their own."""

    def now_ms(self) -> int:
        """Unix ms, UTC. May step back when the machine's clock is set."""


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Unix ms, UTC."""
        return time.time_ns() // 1_000_000
