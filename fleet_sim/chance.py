"""The one place where chance is born: a stream per name, so that adding a device moves no other.

A Mersenne Twister weighs 2.5 kB, and a device has three streams; these weigh 80 bytes. They are
SplitMix64: a counter of 64 bits, and a mixing of it that passes BigCrush.

Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014);
the constants are those of Stafford's variant 13, as in Java's `SplittableRandom`.
"""

from bisect import bisect_right
from collections.abc import MutableSequence, Sequence
from hashlib import blake2b
from itertools import accumulate
from math import cos, log, pi, sqrt
from random import Random
from typing import Final, TypeVar

T = TypeVar("T")

_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
_GAMMA: Final = 0x9E37_79B9_7F4A_7C15
_MIX_1: Final = 0xBF58_476D_1CE4_E5B9
_MIX_2: Final = 0x94D0_49BB_1331_11EB
_WORD: Final = 64
_UNIT: Final = 2.0**-53
# With so few values the unevenness of one multiplication is below 2^-32 of a value's share.
_SMALL: Final = 1 << 32


def stream(seed: int, name: str) -> "Stream":
    """The stream of this name under this seed; the same in every process and on every machine."""
    return Stream(int.from_bytes(blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()))


def generator(seed: int, name: str) -> Random:
    """The same for whoever wants the library's own class, as a gateway's cell does."""
    digest = blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()
    return Random(int.from_bytes(digest))  # noqa: S311 -- simulation, not secrets


class Stream:
    """One stream of chance: a `vendors.sim.Chance`, with what we use of `random.Random`.

    Args:
        state: 64 bits; after `n` draws it has moved on by `n` steps, so it is all there is to keep.
    """

    __slots__ = ("state",)

    def __init__(self, state: int) -> None:
        self.state = state

    def _next(self) -> int:
        """The next 64 bits."""
        self.state = bits = (self.state + _GAMMA) & _MASK
        bits = ((bits ^ (bits >> 30)) * _MIX_1) & _MASK
        bits = ((bits ^ (bits >> 27)) * _MIX_2) & _MASK
        return bits ^ (bits >> 31)

    def random(self) -> float:
        """From 0 to below 1, in steps of 2^-53."""
        return (self._next() >> 11) * _UNIT

    def uniform(self, low: float, high: float, /) -> float:
        """Between the two."""
        return low + (high - low) * self.random()

    def _below(self, count: int) -> int:
        """One of so many numbers from 0 on."""
        if 0 < count <= _SMALL:
            return (self._next() * count) >> _WORD
        if count <= 0:
            raise ValueError(f"one of {count} numbers")
        width = (count - 1).bit_length()
        while (drawn := self.getrandbits(width)) >= count:
            pass
        return drawn

    def randrange(self, start: int, stop: int | None = None, /) -> int:
        """From `start` (0 if it stands alone) to below `stop`."""
        if stop is None:
            return self._below(start)
        return start + self._below(stop - start)

    def randint(self, low: int, high: int, /) -> int:
        """From `low` to `high`, both included."""
        return low + self._below(high - low + 1)

    def getrandbits(self, width: int, /) -> int:
        """A number of so many bits."""
        bits = self._next()
        have = _WORD
        while have < width:
            bits = bits << _WORD | self._next()
            have += _WORD
        return bits >> (have - width)

    def randbytes(self, count: int, /) -> bytes:
        """So many bytes."""
        return self.getrandbits(count * 8).to_bytes(count) if count else b""

    def choice(self, among: Sequence[T], /) -> T:
        """One of these."""
        return among[self._below(len(among))]

    def choices(
        self, among: Sequence[T], weights: Sequence[float] | None = None, *, k: int = 1
    ) -> list[T]:
        """So many of these, each drawn anew; a weight says how often, compared with the others."""
        if weights is None:
            return [self.choice(among) for _ in range(k)]
        sums = list(accumulate(weights))
        if len(sums) != len(among):
            raise ValueError(f"{len(sums)} weights for {len(among)}")
        last = len(sums) - 1
        return [among[min(bisect_right(sums, self.random() * sums[-1]), last)] for _ in range(k)]

    def sample(self, among: Sequence[T], k: int) -> list[T]:
        """So many different ones of these, in the order they were drawn."""
        if not 0 <= k <= len(among):
            raise ValueError(f"{k} of {len(among)}")
        rest = list(among)
        for place in range(k):
            other = place + self._below(len(rest) - place)
            rest[place], rest[other] = rest[other], rest[place]
        return rest[:k]

    def shuffle(self, what: MutableSequence[T], /) -> None:
        """Another order, each as likely."""
        for place in range(len(what) - 1, 0, -1):
            other = self._below(place + 1)
            what[place], what[other] = what[other], what[place]

    def expovariate(self, rate: float, /) -> float:
        """The wait for what happens `rate` times in a unit of time on average."""
        return -log(1.0 - self.random()) / rate

    def gauss(self, mean: float, deviation: float, /) -> float:
        """Normally distributed. Source: Box and Muller; the second of each pair is left."""
        far = sqrt(-2.0 * log(1.0 - self.random()))
        return mean + deviation * far * cos(2.0 * pi * self.random())
