"""The event memory of a simulated panel; pure.

A record keeps its index for ever. When the flash is full a whole block of the oldest goes at
once: with more than 204,800 records the oldest index of a real panel went from 1 to 2,049.
Source: event log in uhppote-simulator fa99083 `documentation/events.log`.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final

from vendors.uhppote import packets

RECORDS_MAX: Final = 204_800
#: Reasons that are recorded only after `record special events`. Source: uhppote-core#2.
SPECIAL: Final = frozenset({20, 23, 24, 31, 37, 38})
_BLOCKS: Final = 100


@dataclass(frozen=True, slots=True)
class Record:
    """One record, its fields named as in `packets.REPLIES[packets.EVENT]`."""

    at: datetime | None = None
    type: int = 0
    reason: int = 0
    granted: bool = False
    door: int = 0
    direction: int = 0
    card: int = 0
    index: int = 0

    @property
    def fields(self) -> Mapping[str, Any]:
        """As `packets.pack` takes them."""
        return {name: getattr(self, name) for name in _NAMES}

    @property
    def key(self) -> str:
        """What tells it from all others, of this ring or of one that was erased."""
        return f"{self.index}-{packets.write_datetime(self.at).hex()}"


_NAMES: Final = tuple(each.name for each in fields(Record))
NONE: Final = Record()
_GONE: Final = Record(type=packets.OVERWRITTEN)


class Ring:
    """At most `records_max` records."""

    def __init__(self, records_max: int = RECORDS_MAX) -> None:
        self._records_max = records_max
        self._block = max(1, -(-records_max // _BLOCKS) if records_max < RECORDS_MAX else 2_048)
        self._records: deque[Record] = deque()
        self.newest = 0

    @property
    def oldest(self) -> int:
        """Index of the oldest record that is left; one more than the newest if none is."""
        return self.newest - len(self._records) + 1

    def add(self, record: Record) -> Record:
        """Store under the next index."""
        if len(self._records) >= self._records_max:
            self.drop_block()
        self.newest += 1
        stored = replace(record, index=self.newest)
        self._records.append(stored)
        return stored

    def last(self) -> Record:
        """The newest record, or none."""
        return self._records[-1] if self._records else NONE

    def place(self, index: int) -> Record:
        """As 0xB0 answers: index 0 is the oldest, 0xFFFFFFFF the newest."""
        if index == packets.NEWEST:
            return self.last()
        if index == packets.OLDEST:
            return self._records[0] if self._records else NONE
        if index > self.newest:
            return NONE
        if index < self.oldest:
            return _GONE
        return self._records[index - self.oldest]

    def drop_block(self) -> None:
        """The oldest block is erased."""
        for _ in range(min(self._block, len(self._records))):
            self._records.popleft()

    def erase(self) -> None:
        """All is gone, and counting begins anew."""
        self._records.clear()
        self.newest = 0
