"""Every device that a cell has come to know, and what the gateway keeps beside its twin."""

from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote, unquote

import orjson

from devices.kinds import Kind
from devices.reading import Provenance
from devices.twin import Known, Twin
from vendors.api import Fact, Frame

#: Longer names than any vendor's; `config/schemas` holds events to the same limit.
DEVICE_NAME_MAX: Final = 128
# Ring indices and the like by which a second sighting of a happening is recognised. Pushed
# and polled sightings of one occurrence come seconds apart, so a few hundred are plenty.
SEEN_MAX: Final = 512

# What a topic level may not hold, and the percent sign itself so that `device_of` is exact.
_UNSAFE: Final = {ord(c): quote(c, safe="") for c in "+#/%$"} | {
    code: f"%{code:02X}" for code in (*range(32), 127)
}


def level_of(device: str) -> str:
    """The device's name as one level of an MQTT topic."""
    return device.translate(_UNSAFE)


def device_of(level: str) -> str:
    """The device that `level_of` made this topic level of."""
    return unquote(level)


class Entry:
    """One device.

    Attributes:
        twin: as of the last frame taken in; ahead of the disk by what waits for its commit.
        sequence: of its last event.
        source: of its events.
        level: its level in topics.
        axes_json: the axes as last written to the disk, the very bytes that `state` carries.
        committed: the sequence that belongs to `axes_json`.
        due_s: the rate limit's bucket: when, on the loop's clock, its frames are paid for.
        held: state frames over the limit, the newest of each source, oldest first.
        conflated: frames that a newer one replaced and no `gap` has told of yet.
        shed: frames for which no queue had room and no `gap` has told of yet.
        since_ms: when the oldest of these was received.
        seen: vendor keys of its happenings, oldest first.
    """

    __slots__ = (
        "_pieces",
        "axes_json",
        "committed",
        "conflated",
        "due_s",
        "held",
        "level",
        "name",
        "seen",
        "sequence",
        "shed",
        "since_ms",
        "source",
        "state_at_ms",
        "twin",
    )

    def __init__(self, twin: Twin, source: str, sequence: int = 0) -> None:
        self.name: Final = twin.name
        self.twin: Final = twin
        self.source: Final = source
        self.level: Final = level_of(twin.name)
        self.sequence = sequence
        self.axes_json = b""
        self.committed = sequence
        self.due_s = 0.0
        self.held: dict[str, tuple[Frame, Sequence[Fact]]] = {}
        self.conflated = 0
        self.shed = 0
        self.since_ms = 0
        self.seen: dict[str, None] = {}
        self.state_at_ms = 0
        self._pieces: dict[str, tuple[Known, bytes]] = {}

    def encode_axes(self) -> bytes:
        """The axes as JSON, `{axis: {"value", …}}`; only what changed is made anew."""
        pieces = self._pieces
        parts = []
        for axis, known in self.twin.axes.items():
            piece = pieces.get(axis)
            if piece is None or piece[0] is not known:
                piece = pieces[axis] = (known, _axis_json(axis, known))
            parts.append(piece[1])
        return b"{" + b",".join(parts) + b"}"


def _axis_json(axis: str, known: Known) -> bytes:
    value, reason, provenance, observed_at_ms, received_at_ms, since_ms = known
    fields = {
        "value": value,
        "provenance": provenance,
        "received_at_ms": received_at_ms,
        "since_ms": since_ms,
    }
    if reason is not None:
        fields["reason"] = reason
    if observed_at_ms is not None:
        fields["observed_at_ms"] = observed_at_ms
    try:
        line = orjson.dumps(fields)
    except TypeError:  # a time beyond 64 bits, or a reason that is no text: not to be repeated
        fields = {"value": None, "provenance": provenance, "reason": "invalid"}
        fields |= {"received_at_ms": received_at_ms, "since_ms": since_ms}
        line = orjson.dumps(fields)
    return b'"%b":%b' % (axis.encode(), line)


class Roster:
    """The devices of one cell by name; at most `devices_max`."""

    def __init__(self, *, site: str, vendor: str, kind: Kind, devices_max: int) -> None:
        self._prefix = f"/doorfleet/{site}/{vendor}/"
        self._kind = kind
        self._devices_max = devices_max
        self._entries: dict[str, Entry] = {}
        self.find = self._entries.get  # the data plane's look-up: no call in between

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def admit(self, name: str) -> Entry | None:
        """A new device's entry; None if its name is impossible or the roster is full."""
        if not 0 < len(name) <= DEVICE_NAME_MAX or len(self._entries) >= self._devices_max:
            return None
        return self._add(Entry(Twin(name, self._kind), self._source(name)))

    def restore(self, name: str, sequence: int, axes_json: bytes) -> Entry:
        """A device as the disk knew it."""
        axes = {
            axis: Known(
                fields["value"],
                fields.get("reason"),
                Provenance(fields["provenance"]),
                fields.get("observed_at_ms"),
                fields["received_at_ms"],
                fields["since_ms"],
            )
            for axis, fields in orjson.loads(axes_json).items()
        }
        entry = self._add(Entry(Twin(name, self._kind, axes), self._source(name), sequence))
        entry.axes_json = axes_json
        return entry

    def forget(self, entry: Entry) -> None:
        """Take back an admission that led to nothing."""
        del self._entries[entry.name]

    def _add(self, entry: Entry) -> Entry:
        self._entries[entry.name] = entry
        return entry

    def _source(self, name: str) -> str:
        return self._prefix + quote(name, safe="", errors="replace")
