"""What is new in a document that repeats everything: compared with the one before; pure.

| the document is                        | a part is                                            |
|----------------------------------------|------------------------------------------------------|
| the first since a gap                  | `cached`; nothing if the twin says the same          |
| the first since the bridge started     | likewise; but `doubt` if a bolt, a door or a slot is |
|                                        | otherwise in the twin                                |
| another than the one before            | `report` where it differs, nothing where it does not |
| the same but for link quality, and was | `poll`: the lock was asked just now, and this is all |
| asked for                              | that its answer can have changed                     |

A gap is whatever may have cost us a message: our own start, a link that was lost. What the bridge
remembers is then as old as what we know, or newer. When it started itself, it remembers what it
had written to its disk, up to five minutes before it died (`state.ts`, SAVE_INTERVAL), and says
that as if it had just heard it: older than what we know, and never to overwrite it.

After an event against the bolt, a document that repeats this bolt may be anything: a battery report
that comes before the bolt's own. So a question of before is void, and the next one waits until no
report can be under way any more; what repeats the bolt then is an answer again.

With `last_seen` switched on the bridge also repeats itself when a lock has merely acknowledged a
`set` (`utils.ts`, publishLastSeen). There an unchanged document is an answer only if the question
was asked when no such acknowledgement could be under way any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from devices.twin import Twin
from vendors.zigbee2mqtt import actions, codec

# The bridge gives a lock 10 s to answer, and then says so.
ANSWER_MS: Final = 15_000
#: Later than this nobody acknowledges a `set`.
ACKNOWLEDGED_MS: Final = 11_000
#: Later than this after an event no report of its bolt is under way: it comes within the same
#: second (zigbee-herdsman-converters, `yale.ts`).
REPORTED_MS: Final = 2_000
#: A wrong one of these harms somebody; a wrong battery does not.
_GRAVE: Final = ("bolt", "door_state", "users.")


@dataclass(frozen=True, slots=True)
class Question:
    """What a lock was asked for (`bolt` or `users.<slot>`), and when."""

    part: str
    asked_at_ms: int


@dataclass(slots=True)
class Heard:
    """What was last heard of one lock, and what it was asked."""

    parts: Mapping[str, tuple[codec.Row, ...]] = field(default_factory=dict)
    rest: Mapping[str, Any] = field(default_factory=dict)
    first: bool = True
    #: The bridge has started, and may know less than we do.
    restarted: bool = False
    question: Question | None = None
    #: When somebody last told the lock to do something.
    set_at_ms: int = -ACKNOWLEDGED_MS
    #: When an event last went against the bolt in its document.
    disputed_at_ms: int = -REPORTED_MS
    tells_last_seen: bool = False

    def may_be_asked(self, now_ms: int) -> bool:
        """Whether an answer could be told from everything else."""
        return (
            self.open_question(now_ms) is None
            and self._settled(now_ms)
            and now_ms - self.disputed_at_ms >= REPORTED_MS
        )

    def _settled(self, at_ms: int) -> bool:
        return not self.tells_last_seen or at_ms - self.set_at_ms >= ACKNOWLEDGED_MS

    def gap(self, *, restarted: bool) -> None:
        """Something may have been missed."""
        self.first, self.restarted = True, restarted
        self.question = None

    def open_question(self, now_ms: int) -> Question | None:
        """What awaits its answer; a question that is too old awaits none."""
        if self.question is not None and now_ms - self.question.asked_at_ms > ANSWER_MS:
            self.question = None
        return self.question

    def take(self, told: Mapping[str, Any], twin: Twin | None, now_ms: int) -> "News":
        """Compare, and remember."""
        parts = codec.parts(told)
        rest = {
            key: value
            for key, value in told.items()
            if key not in codec.NO_NEWS and key not in _PART_KEYS and not key.startswith("action")
        }
        changed = {part for part, rows in parts.items() if self.parts.get(part) != rows}
        action = actions.read("", told)
        if disputed := action is not None and actions.contradicts(told, codec.bolt(told)[1]):
            self._dispute(now_ms)
        self.tells_last_seen = "last_seen" in told
        question = self.open_question(now_ms)
        answered: Question | None = None
        if self.first:
            self.question = None  # what it answers cannot be told
            how = {
                part: came
                for part, rows in parts.items()
                if (came := _first(part, rows, twin, restarted=self.restarted))
            }
        else:
            how = dict.fromkeys(sorted(changed), "report")
            if (
                question is not None
                and question.part in parts
                and changed <= {question.part}
                and rest == self.rest
                and action is None
                and self._settled(question.asked_at_ms)
            ):
                how.setdefault(question.part, "poll")
                answered, self.question = question, None
        self.parts, self.rest, self.first = parts, rest, False
        slot = action.data.get("credential") if action is not None else None
        slot = slot if isinstance(slot, int) else None
        return News(how, answered, acted=action is not None, disputed=disputed, slot=slot)

    def _dispute(self, now_ms: int) -> None:
        """The bolt may have moved, and the bridge still remembers where it was."""
        self.disputed_at_ms = now_ms
        if self.question is not None and self.question.part == "bolt":
            self.question = None


@dataclass(frozen=True, slots=True)
class News:
    """What one document says that was not known: part to how."""

    how: Mapping[str, str]
    answered: Question | None
    acted: bool
    #: What took place goes against the bolt in the same document.
    disputed: bool
    #: Somebody changed the code in this slot.
    slot: int | None = None

    @property
    def doubtful(self) -> bool:
        """Whether the bridge and we disagree, or the bridge with itself."""
        return self.disputed or "doubt" in self.how.values()

    @property
    def live(self) -> frozenset[str]:
        """The parts that the lock itself has just told."""
        return frozenset(part for part, how in self.how.items() if how in {"report", "poll"})


_PART_KEYS: Final = frozenset(
    {"state", "lock_state", "door_state", "battery", "battery_low", "users"}
)


def _first(
    part: str, rows: tuple[codec.Row, ...], twin: Twin | None, *, restarted: bool
) -> str | None:
    """How a part of the first document since a gap is to be taken."""
    if twin is None:
        return "cached"
    for axis, value, _ in rows:
        known = twin.axes.get(axis)
        if known is None or known.value is None:
            if known is not None and known.reason == "contradictory":
                return None  # a cache does not settle a dispute
            continue
        if value is None or value == known.value:
            return None
        if restarted and part.startswith(_GRAVE):
            return "doubt"
    return "cached"
