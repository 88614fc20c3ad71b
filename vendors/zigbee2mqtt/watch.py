"""What the adapter keeps of each lock."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from vendors.zigbee2mqtt import bridge
from vendors.zigbee2mqtt.news import Heard

BOLT: Final = "bolt"
# A lock sleeps; whoever asks more often only makes the bridge's queue longer.
ASK_GAP_MS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot that is asked for until it says what is `wanted`, or anything at all."""

    part: str
    until_ms: int
    wanted: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Whoever waits for the bridge's verdict on a command, or for what it was for."""

    verdict: asyncio.Future[str | None]
    part: str
    wanted: str

    def conclude(self, verdict: str | None) -> None:
        """End the waiting; the first verdict counts."""
        if not self.verdict.done():
            self.verdict.set_result(verdict)


@dataclass(slots=True)
class Watch:
    """One lock: what was heard of it, and when it is to be asked."""

    lock: bridge.Lock
    ask_at_ms: int
    heard: Heard = field(default_factory=Heard)
    asked_at_ms: int = -ASK_GAP_MS
    asked_for: str = BOLT
    missed: int = 0
    #: Said to be offline, by us or the bridge, and not heard since.
    silent: bool = False
    available: bool | None = None
    slot: Slot | None = None
