"""What may come in, and how fast: one babbling device may not starve its siblings.

offer ─► [queue, bounded] ─► decode ─► [each device's bucket] ─► pipeline
              │                              │ over the limit
         no room: shed, if nobody      states: only the newest of each source is kept,
         waits for an acknowledgement  and goes on when the bucket allows
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from devices.kinds import Weight
from devices.reading import Happening, Value
from gateway.commit import Committer
from gateway.config import Limits
from gateway.pipeline import Pipeline
from gateway.roster import Entry
from vendors.api import Fact, Frame

Committed = Callable[[], None]

# How often what was held back is looked at again; well below what a person notices.
_TICK_S: Final = 0.02
# How often a device's conflated and shed frames are told of in a `gap` event.
_GAP_S: Final = 1.0


class _Ack:
    """Acknowledges an offer once the last of its frames that were held back has gone on."""

    __slots__ = ("committed", "open")

    def __init__(self, committed: Committed) -> None:
        self.committed = committed
        self.open = 0


class Ingest:
    """The way in of one cell; `offer` is what adapters call."""

    def __init__(self, *, pipeline: Pipeline, committer: Committer, limits: Limits) -> None:
        self._pipeline = pipeline
        self._committer = committer
        # Not the wall clock: it may be set back, and then nobody could pay for an hour.
        self._time = asyncio.get_running_loop().time
        self._queue_max = limits.queue_max
        self._queue: deque[tuple[Frame, _Ack | None]] = deque()
        self._cost_s = 1 / limits.rate_per_s
        self._burst_s = self._cost_s * limits.burst
        self._held: dict[Entry, None] = {}
        self._held_count = 0
        self._acks: dict[tuple[Entry, str], list[_Ack]] = {}
        self._owing: dict[Entry, None] = {}
        self._gap_at_s = 0.0
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Frames that came in and have not met the pipeline."""
        return len(self._queue) + self._held_count

    def offer(self, frames: Sequence[Frame], committed: Committed | None) -> None:
        """Take frames in wire order, see `vendors.api.Port.offer`."""
        ack = _Ack(committed) if committed is not None else None
        if ack is not None:
            ack.open = 1
        committer = self._committer
        for index, frame in enumerate(frames):
            if self._queue or not committer.room:
                self._enqueue(frames[index:], ack)
                break
            self._admit(frame, ack)
        if ack is not None:
            self._settle(ack)

    def resume(self) -> None:
        """A commit made room: take on what waits."""
        queue = self._queue
        while queue and self._committer.room:
            frame, ack = queue.popleft()
            self._admit(frame, ack)
            if ack is not None:
                self._settle(ack)

    def _enqueue(self, frames: Sequence[Frame], ack: _Ack | None) -> None:
        """Wait; frames that nobody will send again are shed when the queue is full.

        Those that await their acknowledgement, or stand in a vendor's own event memory, are
        bounded by that vendor's window.
        """
        for frame in frames:
            if ack is None and frame.cursor is None and len(self._queue) >= self._queue_max:
                self._shed(frame)
                continue
            if ack is not None:
                ack.open += 1
            self._queue.append((frame, ack))

    def _shed(self, frame: Frame) -> None:
        """Let it go, and owe a word about it to whoever listens to its device."""
        facts = self._pipeline.read(frame)
        entry = self._pipeline.entry_of(frame, facts) if facts else None
        if entry is not None:
            self._owe(entry, frame)
            entry.shed += 1
        self._pipeline.counters.shed += 1

    def _owe(self, entry: Entry, frame: Frame) -> None:
        """Something of it is left out: a `gap` event will say so."""
        if entry in self._owing:
            entry.since_ms = min(entry.since_ms, frame.received_at_ms)
        else:
            entry.since_ms = frame.received_at_ms
            self._owing[entry] = None
            self._arm()

    def _admit(self, frame: Frame, ack: _Ack | None) -> None:
        facts = self._pipeline.read(frame)
        if not facts:
            # A cursor does not pass by frames that are held: they would be lost with us.
            if frame.cursor is not None and not self._held:
                self._pipeline.take(frame, facts)
            return
        entry = self._pipeline.entry_of(frame, facts)
        if entry is None:
            return
        now_s = self._time()
        due_s = max(entry.due_s, now_s)
        if entry.held or due_s - now_s > self._burst_s:
            self._hold(entry, frame, facts, ack)
            return
        entry.due_s = due_s + self._cost_s
        self._pipeline.take(frame, facts)

    def _hold(self, entry: Entry, frame: Frame, facts: Sequence[Fact], ack: _Ack | None) -> None:
        """Over the limit: a state replaces an older one of its source; what happened waits."""
        key = frame.source
        older = entry.held.get(key)
        if frame.cursor is not None or any(type(fact) is Happening for fact in facts):
            key, older = self._key_of_its_own(key), None
        elif older is not None and self._verdicts(older[1]) != self._verdicts(facts):
            kept = self._key_of_its_own(key)
            entry.held[kept] = entry.held.pop(key)
            if (acks := self._acks.pop((entry, key), None)) is not None:
                self._acks[entry, kept] = acks
            older = None
        if older is not None:
            self._owe(entry, older[0])
            entry.conflated += 1
            self._pipeline.counters.conflated += 1
            del entry.held[key]  # the newest keeps its place in time, which is now
            self._held_count -= 1
        elif ack is None and frame.cursor is None and self._held_count >= self._queue_max:
            self._owe(entry, frame)
            entry.shed += 1
            self._pipeline.counters.shed += 1
            return
        entry.held[key] = (frame, facts)
        self._held[entry] = None
        self._held_count += 1
        if ack is not None:
            ack.open += 1
            self._acks.setdefault((entry, key), []).append(ack)
        self._arm()

    def _key_of_its_own(self, source: str) -> str:
        self._number += 1
        return f"{source}\0{self._number}"

    def _verdicts(self, facts: Sequence[Fact]) -> list[tuple[str, Value]]:
        """What a state says of decisions and alarms: none of it may be conflated away."""
        return [
            (fact.axis, fact.value)
            for fact in facts
            if not isinstance(fact, Happening)
            and self._pipeline.weight_of(fact.axis) is Weight.DECISION
        ]

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def _tick(self) -> None:
        """Let go on what the buckets allow by now, and tell of what was left out."""
        self._timer = None
        now_s = self._time()
        for entry in list(self._held):
            while entry.held and entry.due_s - now_s <= self._burst_s and self._committer.room:
                key = next(iter(entry.held))
                frame, facts = entry.held.pop(key)
                self._held_count -= 1
                entry.due_s = max(entry.due_s, now_s) + self._cost_s
                self._pipeline.take(frame, facts)
                for ack in self._acks.pop((entry, key), ()):
                    self._settle(ack)
            if not entry.held:
                del self._held[entry]
        # While nothing can be committed there is no word of it either, or words would pile up.
        if self._owing and now_s - self._gap_at_s >= _GAP_S and self._committer.room:
            self._gap_at_s = now_s
            self._tell_gaps()
        if self._held or self._owing:
            self._arm()

    def _tell_gaps(self) -> None:
        for entry in self._owing:
            for count, cause in ((entry.conflated, "rate_limit"), (entry.shed, "queue_full")):
                if count:
                    gap: dict[str, int | str] = {
                        "count": count,
                        "cause": cause,
                        "since_ms": entry.since_ms,
                    }
                    self._pipeline.gap(entry, gap)
            entry.conflated = entry.shed = 0
        self._owing.clear()

    def _settle(self, ack: _Ack) -> None:
        """One part of an offer has gone on; the last one has the commit acknowledge it."""
        ack.open -= 1
        if not ack.open:
            self._committer.batch.callbacks.append(ack.committed)
            self._committer.wake()

    def close(self) -> None:
        """Stop the clock; what is held was not acknowledged."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
