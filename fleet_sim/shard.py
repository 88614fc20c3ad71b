"""A part of a fleet: which devices live in this process, when several share the work."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` (from 0 on) of a fleet that is cut into `of` parts.

    Where a device belongs depends on itself alone, so nobody has to be asked, and a device that is
    added moves no other.
    """

    index: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.of:
            raise ValueError(f"shard {self.index} of {self.of}")

    def has(self, vendor: str, atom: int) -> bool:
        """Whether this atom of the vendor's fleet (a device, or all behind one hub) is here."""
        if self.of == 1:
            return True
        digest = blake2b(f"{vendor}/{atom}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) % self.of == self.index

    def slices(self, devices: int, at_most: int) -> Sequence["Shard"]:
        """This part, of which a fleet of so many `devices` is to have about `at_most` in each."""
        times = max(1, -(-devices // (self.of * at_most)))
        return [Shard(self.index + self.of * turn, self.of * times) for turn in range(times)]


#: All of it.
WHOLE: Final = Shard(0, 1)
