"""From a frame to rows of the next transaction: decode, fold, announce, validate.

frame ─► decode ─► twin.fold ─► event ─► schema ─► batch
           │          │                    │
      dead letter   a repeat          dead letter
                   falls away here
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import orjson
import structlog

from devices.errors import DecodeError
from devices.kinds import HAPPENINGS, Kind, Weight
from devices.reading import Happening, Reading
from devices.twin import Change
from gateway.clock import Clock
from gateway.commit import Batch, Committer
from gateway.config import Limits
from gateway.events import COMMAND_FINISHED, Announcer, Event, changed_type
from gateway.roster import SEEN_MAX, Entry, Roster
from gateway.schemas import TYPES, Schemas
from gateway.store import DeadLetter, Row
from vendors.api import Decode, Fact, Frame

log = structlog.get_logger("gateway.pipeline")

#: What is kept of a frame that could not be read.
PAYLOAD_KEPT_MAX: Final = 65_536
_REASON_MAX: Final = 500
# Dead letters may come this far ahead of their rate at once.
_LETTERS_AHEAD_MS: Final = 1_000


@dataclass(slots=True)
class Counters:
    """What a cell has done since it started."""

    conflated: int = 0
    dead_letters: int = 0
    dead_letters_unkept: int = 0
    dropped: int = 0
    events: int = 0
    frames: int = 0
    repeats: int = 0
    shed: int = 0

    def snapshot(self) -> dict[str, int]:
        """Name to count."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


class Pipeline:
    """The stages behind one cell, in the order a frame meets them; all in one call, no waiting."""

    def __init__(  # noqa: PLR0913 -- by keyword, from one place
        self,
        *,
        decode: Decode,
        kind: Kind,
        roster: Roster,
        announcer: Announcer,
        schemas: Schemas,
        committer: Committer,
        limits: Limits,
        clock: Clock,
        next_row: int,
    ) -> None:
        self.counters = Counters()
        self._decode = decode
        self._kind = kind
        self._roster = roster
        self._announcer = announcer
        self._schemas = schemas
        self._committer = committer
        self._clock = clock
        self._row = next_row
        self._changed = changed_type(kind.name)
        self._checks = {what: schemas.check_of(what) for what in TYPES}
        self._letters_per_s = limits.dead_letters_per_s
        self._letters_due_ms = 0.0

    def read(self, frame: Frame) -> Sequence[Fact]:
        """Decode one frame; what cannot be read becomes a dead letter and yields nothing."""
        self.counters.frames += 1
        try:
            return self._decode(frame)
        except DecodeError as error:
            self.bury(frame, error.detail)
        except Exception as error:
            if self.bury(frame, f"codec broke: {type(error).__name__}: {error}"):
                log.exception("pipeline.codec_broke", source=frame.source)
        return ()

    def take(self, frame: Frame, facts: Sequence[Fact]) -> None:
        """Let what a frame said become events of the open batch."""
        batch = self._committer.batch
        if frame.cursor is not None:
            name, position = frame.cursor
            batch.cursors[name] = position
        number = self.counters.frames
        if len({fact[0] for fact in facts}) == 1:
            self._one_device(batch, frame, facts, number)
            return
        by_device: dict[str, list[Fact]] = {}
        for fact in facts:
            by_device.setdefault(fact[0], []).append(fact)
        for some in by_device.values():
            self._one_device(batch, frame, some, number)

    def entry_of(self, frame: Frame, facts: Sequence[Fact]) -> Entry | None:
        """The device that a frame is about; None, and a dead letter, if it cannot be one."""
        name = facts[0][0]
        entry = self._roster.find(name) or self._roster.admit(name)
        if entry is None:
            self.bury(frame, "device name impossible, or more devices than `devices_max`")
        return entry

    def _one_device(self, batch: Batch, frame: Frame, facts: Sequence[Fact], number: int) -> None:
        entry = self._roster.find(facts[0][0]) or self.entry_of(frame, facts)
        if entry is None:
            return
        at_ms = frame.received_at_ms
        readings: list[Reading] = []
        happenings: list[Happening] = []
        for fact in facts:
            if type(fact) is Reading:
                readings.append(fact)
            else:
                happenings.append(fact)  # type: ignore[arg-type]
        if readings:
            changes = entry.twin.fold(readings, at_ms)
            if changes:
                self._change(batch, entry, changes, frame, number)
            else:
                self.counters.repeats += 1
        for happening in happenings:
            self._happen(batch, entry, happening, frame, number)

    def _change(
        self, batch: Batch, entry: Entry, changes: list[Change], frame: Frame, number: int
    ) -> None:
        at_ms = frame.received_at_ms
        sequence = entry.sequence + 1
        event = self._announcer.changed(
            entry.name, entry.source, sequence, changes, at_ms, number, self._row
        )
        line = self._line(frame, self._changed, event)
        if line is None:
            # What cannot be said is not known either, or the disk would hold it without an event.
            for axis, known, _, _ in changes:
                entry.twin.axes[axis] = known._replace(
                    value=None, reason="invalid", observed_at_ms=None
                )
            return
        weight = Weight.TELEMETRY
        for change in changes:
            if self.weight_of(change[0]) is Weight.DECISION:
                weight = Weight.DECISION
        self._append(batch, entry, self._changed, weight, at_ms, line)
        batch.seen.append((entry.name, changes, at_ms))

    def _happen(
        self, batch: Batch, entry: Entry, happening: Happening, frame: Frame, number: int
    ) -> None:
        what, key = happening.type, happening.vendor_key
        if what not in HAPPENINGS:
            self.bury(frame, f"no such happening: {what}")
            return
        seen_key = None if key is None else f"{what}:{key}"
        if seen_key is not None and seen_key in entry.seen:
            self.counters.repeats += 1
            return
        event = self._announcer.happened(
            happening, entry.source, entry.sequence + 1, frame.received_at_ms, number, self._row
        )
        line = self._line(frame, what, event)
        if line is None:
            return
        if seen_key is not None:
            entry.seen[seen_key] = None
            if len(entry.seen) > SEEN_MAX:
                del entry.seen[next(iter(entry.seen))]
        self._append(batch, entry, what, HAPPENINGS[what].weight, frame.received_at_ms, line)

    def gap(self, entry: Entry, data: dict[str, int | str]) -> None:
        """Say on the bus that something of this device was left out."""
        happening = Happening(entry.name, "gap", data)
        frame = Frame("gateway/gap", b"", self._clock.now_ms())
        self._happen(self._committer.batch, entry, happening, frame, self.counters.frames)

    def finished(self, device: str, result: dict[str, str | int | None]) -> None:
        """Record on the bus how a command ended, if the device exists."""
        if (entry := self._roster.find(device)) is None:
            return
        at_ms = self._clock.now_ms()
        event = self._announcer.finished(
            entry.name,
            entry.source,
            entry.sequence + 1,
            result,
            at_ms,
            self.counters.frames,
            self._row,
        )
        line = self._line(Frame("gateway/command", b"", at_ms), COMMAND_FINISHED, event)
        if line is not None:
            batch = self._committer.batch
            self._append(batch, entry, COMMAND_FINISHED, Weight.DECISION, at_ms, line)

    def _append(  # noqa: PLR0913, PLR0917 -- the data plane's innermost step
        self,
        batch: Batch,
        entry: Entry,
        what: str,
        weight: Weight,
        at_ms: int,
        line: bytes,
    ) -> None:
        entry.sequence += 1
        decision = weight is Weight.DECISION
        batch.rows.append(Row(self._row, entry.name, entry.sequence, what, decision, at_ms, line))
        self._row += 1
        batch.entries[entry] = None
        self.counters.events += 1
        if decision or len(batch.rows) == 1:
            self._committer.wake(urgent=decision)

    def _line(self, frame: Frame, what: str, event: Event) -> bytes | None:
        """The event as it goes out; None, and a dead letter, if it is none: never said on the bus.

        Refused by our own schema, or with a number or a text that JSON cannot hold.
        """
        try:
            if self._checks[what](event):
                return orjson.dumps(event)
            fault = self._schemas.fault(what, event)
        except (TypeError, ValueError, OverflowError) as error:
            fault = f"{type(error).__name__}: {error}"
        if self.bury(frame, f"invalid event: {fault}"):
            log.error("pipeline.event_invalid", source=frame.source, fault=fault)
        return None

    def weight_of(self, axis: str) -> Weight:
        """Whether a change of this axis is a decision."""
        spec = self._kind.axis(axis)
        return Weight.TELEMETRY if spec is None else spec.weight

    def bury(self, frame: Frame, reason: str) -> bool:
        """Keep a frame as a dead letter; a flood of them is counted instead of kept: False."""
        self.counters.dead_letters += 1
        now_ms = self._clock.now_ms()
        cost_ms = 1000 / self._letters_per_s
        ahead_ms = self._letters_due_ms - now_ms
        if ahead_ms > _LETTERS_AHEAD_MS + cost_ms:  # the clock was set back
            self._letters_due_ms = now_ms
        elif ahead_ms > _LETTERS_AHEAD_MS:
            self.counters.dead_letters_unkept += 1
            return False
        self._letters_due_ms = max(self._letters_due_ms, now_ms) + cost_ms
        self._committer.batch.dead_letters.append(
            DeadLetter(
                now_ms,
                frame.source[:1024].encode(errors="replace").decode(),
                frame.payload[:PAYLOAD_KEPT_MAX],
                reason[:_REASON_MAX].encode(errors="replace").decode(),
                frame.retained,
            )
        )
        self._committer.wake()
        return True
