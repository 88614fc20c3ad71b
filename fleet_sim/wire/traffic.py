"""What went over a fleet's connections: counts, and whether every message arrived."""

from array import array
from dataclasses import asdict, dataclass
from typing import Any, Final

_BUCKETS: Final = 4_096


@dataclass(slots=True)
class Traffic:
    """Counts of one fleet's MQTT connections since its start.

    `connects`: CONNACKs that said yes. `refused`: that said no. `unreached`: nobody took the
    connection, or answered in time. `no_port`: the source address had none left. `closed`: cut by
    the broker. `cut`: cut by us. `garbled`: broke the protocol. `choked`: cut, because the broker
    read too slowly. `unanswered`: cut, because a PINGREQ got no answer for three quarters of the
    keepalive. `late`: words that came later after the last one than the keepalive allows;
    `worst_wait`: the longest wait, as a share of the keepalive.
    """

    connects: int = 0
    reconnects: int = 0
    refused: int = 0
    unreached: int = 0
    no_port: int = 0
    closed: int = 0
    cut: int = 0
    garbled: int = 0
    choked: int = 0
    sent: int = 0
    to_acknowledge: int = 0
    acknowledged: int = 0
    heard: int = 0
    pings: int = 0
    unanswered: int = 0
    late: int = 0
    worst_wait: float = 0.0

    @property
    def keepalives_missed(self) -> int:
        """By us or by the broker."""
        return self.late + self.unanswered

    def plain(self) -> dict[str, Any]:
        """For a report."""
        return {**asdict(self), "worst_wait": round(self.worst_wait, 3)}


class Bag:
    """Which messages there were, in any order: two bags are equal if the same ones are in them.

    It keeps no message: a count and a sum of hashes for each of 4,096 kinds, told apart by topic.
    """

    __slots__ = ("_sums", "counts")

    def __init__(self) -> None:
        self.counts = array("q", bytes(8 * _BUCKETS))
        self._sums = array("q", bytes(8 * _BUCKETS))

    def add(self, topic: str, payload: bytes) -> None:
        """One more."""
        bucket = hash(topic) % _BUCKETS
        self.counts[bucket] += 1
        # A hash has 61 good bits; the sum may overrun, a XOR would forget two of the same.
        self._sums[bucket] = (self._sums[bucket] + (hash((topic, payload)) >> 4)) % (1 << 62)

    def __len__(self) -> int:
        return sum(self.counts)

    def missing_from(self, other: "Bag") -> int:
        """How many of these are not in the other one, at least."""
        return sum(max(0, mine - its) for mine, its in zip(self.counts, other.counts, strict=True))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bag):
            return NotImplemented
        return self.counts == other.counts and self._sums == other._sums

    __hash__ = None  # type: ignore[assignment]
