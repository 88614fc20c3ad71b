"""Toxics that look at bytes alone; all but `half_open` are Toxiproxy's, with its settings.

Source: Shopify/toxiproxy 2.12, README, "Toxics".
"""

import builtins
from dataclasses import dataclass
from math import inf
from typing import ClassVar, Final

from fleet_sim.proxy.items import Sign
from fleet_sim.proxy.stage import Stage
from fleet_sim.proxy.toxic import Toxic, milliseconds, setting

# Toxiproxy sends what is to be slow in steps of 100 ms.
_STEP_S: Final = 0.1
_BYTES_A_KB: Final = 1000
# What one direction may hold at most is less: nobody slices larger.
_SLICE_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Latency(Toxic):
    """Everything is late, in order."""

    latency: int = milliseconds(0, "how late")
    jitter: int = milliseconds(0, "more or less than that")

    source: ClassVar[str] = "Toxiproxy"

    def take(self, data: bytes, at_s: float, stage: Stage) -> None:
        """Not before what came before."""
        late_s = (self.latency + stage.chance.uniform(-self.jitter, self.jitter)) / 1000
        stage.free_s = max(stage.free_s, at_s + max(0.0, late_s))
        stage.add(stage.free_s, data)


@dataclass(frozen=True, slots=True)
class Bandwidth(Toxic):
    """So much a second and no more; at 0 nothing gets through, and nothing is lost."""

    rate: int = setting(0, "KB/s", "1 KB is 1,000 bytes")

    source: ClassVar[str] = "Toxiproxy"

    def take(self, data: bytes, at_s: float, stage: Stage) -> None:
        """In steps, each when its last byte is through."""
        if not self.rate:
            stage.free_s = inf
            stage.add(inf, data)
            return
        rate = self.rate * _BYTES_A_KB
        step = int(rate * _STEP_S)
        stage.free_s = max(stage.free_s, at_s)
        for start in range(0, len(data), step):
            part = data[start : start + step]
            stage.free_s += len(part) / rate
            stage.add(stage.free_s, part)


@dataclass(frozen=True, slots=True)
class SlowClose(Toxic):
    """The end of the connection comes late."""

    delay: int = milliseconds(0, "how late")

    source: ClassVar[str] = "Toxiproxy"

    def end(self, sign: Sign, at_s: float, stage: Stage) -> None:
        """Later."""
        stage.add(at_s + self.delay / 1000, sign)


@dataclass(frozen=True, slots=True)
class Timeout(Toxic):
    """Nothing gets through, and the connection is closed after a while; at 0 it is not.

    What came meanwhile is lost, so the connection is closed when the toxic is taken away.
    """

    timeout: int = milliseconds(0, "after how long; 0 for never")

    source: ClassVar[str] = "Toxiproxy"

    def loses(self, stage: Stage) -> bool:
        """As Toxiproxy has it, also if nothing came."""
        del stage
        return True

    def begin(self, at_s: float, stage: Stage) -> None:
        """From now on."""
        if self.timeout:
            stage.plan(at_s + self.timeout / 1000, Sign.CLOSE)

    def take(self, data: bytes, at_s: float, stage: Stage) -> None:
        """Gone."""


@dataclass(frozen=True, slots=True)
class ResetPeer(Toxic):
    """The connection is reset (RST), `timeout` after something came by; that is lost."""

    timeout: int = milliseconds(0, "how long after; 0 for at once")

    source: ClassVar[str] = "Toxiproxy"

    def loses(self, stage: Stage) -> bool:
        """If anything came."""
        return bool(stage.passed)

    def take(self, data: bytes, at_s: float, stage: Stage) -> None:
        """The first counts."""
        if not stage.passed:
            stage.passed = len(data)
            stage.plan(at_s + self.timeout / 1000, Sign.RESET)

    def end(self, sign: Sign, at_s: float, stage: Stage) -> None:
        """Whose end comes first is reset, too."""
        del sign
        if not stage.passed:
            stage.passed = 1
            stage.plan(at_s + self.timeout / 1000, Sign.RESET)


@dataclass(frozen=True, slots=True)
class Slicer(Toxic):
    """Data comes in small pieces."""

    average_size: int = setting(0, "bytes", "of a piece; 0: as they come", most=_SLICE_MAX)
    size_variation: int = setting(0, "bytes", "more or less than that", most=_SLICE_MAX)
    delay: int = setting(0, "us", "between two pieces", most=60_000_000)

    source: ClassVar[str] = "Toxiproxy"

    def problems(self) -> list[str]:
        """A piece has at least one byte."""
        wrong = self.average_size and self.size_variation >= self.average_size
        return ["size_variation: must be below average_size"] if wrong else []

    def take(self, data: bytes, at_s: float, stage: Stage) -> None:
        """Piece by piece."""
        low, high = (self.average_size + by * self.size_variation for by in (-1, 1))
        stage.free_s = max(stage.free_s, at_s)
        start = 0
        while start < len(data):
            size = stage.chance.randint(low, high) if self.average_size else len(data)
            stage.add(stage.free_s, data[start : start + size])
            stage.free_s += self.delay / 1_000_000
            start += size


@dataclass(frozen=True, slots=True)
class LimitData(Toxic):
    """The connection is closed once so many bytes have passed."""

    bytes: int = setting(0, "bytes", "how many get through")

    source: ClassVar[str] = "Toxiproxy"

    def take(self, data: builtins.bytes, at_s: float, stage: Stage) -> None:
        """The last of them, and the end."""
        allowed = data[: max(0, self.bytes - stage.passed)]
        stage.passed += len(allowed)
        if allowed:
            stage.add(at_s, allowed)
        if stage.passed >= self.bytes:
            stage.add(at_s, Sign.CLOSE)


@dataclass(frozen=True, slots=True)
class HalfOpen(Toxic):
    """Nothing gets through, not even the end: each side believes that the other lives."""

    source: ClassVar[str] = "RFC 9293, 3.5.1; a NAT that forgot the connection"

    def loses(self, stage: Stage) -> bool:
        """If anything came."""
        return bool(stage.passed)

    def take(self, data: bytes, at_s: float, stage: Stage) -> None:
        """Gone."""
        del at_s
        stage.passed += len(data)

    def end(self, sign: Sign, at_s: float, stage: Stage) -> None:
        """Nobody hears of it."""
        del sign, at_s
        stage.passed += 1
