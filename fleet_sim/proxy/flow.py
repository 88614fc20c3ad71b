"""One direction of one connection: what arrives, through the toxics, to what leaves. Pure.

    bytes ─► cutter ─► message toxics ─► byte toxics ─► bytes

Messages are cut out of the stream once, before everything else, so a toxic that reads them meets
them whole, whatever another does to the bytes afterwards.
"""

from collections.abc import Iterator, Sequence
from math import inf
from typing import Final, NamedTuple, Protocol

from fleet_sim.proxy.items import Answer, Item, Message, Piece, Sign
from fleet_sim.proxy.stage import Stage
from fleet_sim.proxy.toxic import Toxic
from vendors.sim import Chance

# Whoever asks more while one message goes by is not answered any more.
_ANSWERS_MAX: Final = 256


class Cutter(Protocol):
    """Cuts the messages of one protocol out of a stream."""

    @property
    def held(self) -> int:
        """Bytes of a message that is not all there yet."""

    @property
    def midway(self) -> bool:
        """Whether a part of a message has been given out, and more of it is to come."""

    def cut(self, data: bytes) -> Iterator[Item]:
        """The messages that these bytes complete; those too long to hold in pieces."""

    def follow(self, data: bytes) -> None:
        """These bytes went by as they are; only remember where in a message that was."""

    def release(self) -> bytes:
        """What is held, given out now; the rest of that message will be followed, not cut."""


class Wanted(NamedTuple):
    """A toxic that shall be at work."""

    name: str
    toxic: Toxic
    chance: Chance

    @property
    def key(self) -> tuple[str, type[Toxic]]:
        """What stays the same when its settings change."""
        return self.name, type(self.toxic)


class Flow:
    """The toxics at work in one direction, and what waits in them.

    Attributes:
        cutter: of the connection's protocol; none if it has none, or nobody knows yet.
        cutting: messages are given whole to the toxics; the other direction's need that, too.
    """

    def __init__(self) -> None:
        self.cutter: Cutter | None = None
        self.cutting = False
        self._stages: list[Stage] = []
        self._answers: list[Message] = []

    @property
    def plain(self) -> bool:
        """Whether whatever comes leaves as it is, and at once."""
        return not self._stages and not self.cutting

    @property
    def held(self) -> int:
        """Bytes that are in here."""
        return sum(stage.held for stage in self._stages) + (self.cutter.held if self.cutter else 0)

    @property
    def due_s(self) -> float:
        """When something leaves if nothing comes."""
        return min((stage.due_s for stage in self._stages), default=inf)

    def feed(self, data: bytes, at_s: float) -> Iterator[Item]:
        """Bytes arrive; what leaves now."""
        if self.cutter is None:
            yield from self._give(0, data, at_s)
        elif not self.cutting:
            self.cutter.follow(data)
            yield from self._give(0, data, at_s)
        else:
            # One after the other: what a toxic does to one may depend on the one before.
            for item in self.cutter.cut(data):
                yield from self._give(0, item, at_s)
                yield from self.advance(at_s)
            yield from self._answer(at_s)
        yield from self.advance(at_s)

    def end(self, sign: Sign, at_s: float) -> Iterator[Item]:
        """Nothing more arrives; what leaves now."""
        if self.cutter is not None and (rest := self.cutter.release()):
            yield from self._give(0, Piece(rest, last=True), at_s)
        yield from self._give(0, sign, at_s)
        yield from self.advance(at_s)

    def inject(self, message: Message, at_s: float) -> Iterator[Item]:
        """A message that the proxy says itself, as soon as no other's pieces go by."""
        if len(self._answers) < _ANSWERS_MAX:
            self._answers.append(message)
        yield from self._answer(at_s)
        yield from self.advance(at_s)

    def advance(self, at_s: float) -> Iterator[Item]:
        """What leaves by now."""
        for place, stage in enumerate(tuple(self._stages)):
            for item in stage.leaving(at_s):
                yield from self._give(place + 1, item, at_s)

    def arrange(self, wanted: Sequence[Wanted], at_s: float, *, cutting: bool) -> Iterator[Item]:
        """Have these toxics at work and no others, message toxics first; what leaves by that.

        Those that were there keep what they remember, whoever goes lets go of what it holds.
        """
        if self.cutting and not cutting and self.cutter and (rest := self.cutter.release()):
            yield from self._give(0, Piece(rest, last=not self.cutter.midway), at_s)
        self.cutting = cutting
        keys = {each.key for each in wanted}
        for stage in [stage for stage in self._stages if stage.key not in keys]:
            place = self._stages.index(stage)
            for item in stage.dismiss(at_s):
                yield from self._give(place + 1, item, at_s)
            self._stages.remove(stage)
        there = {stage.key: stage for stage in self._stages}
        self._stages = [
            there.get(each.key) or self._begun(each, at_s)
            for each in sorted(wanted, key=lambda each: each.toxic.reads is None)
        ]
        for each in wanted:
            if each.key in there and there[each.key].toxic != each.toxic:
                there[each.key].change(each.toxic, at_s)
        yield from self.advance(at_s)

    def _begun(self, wanted: Wanted, at_s: float) -> Stage:
        stage = Stage(*wanted)
        stage.open = self.cutter is not None and self.cutter.midway
        stage.free_s = at_s
        wanted.toxic.begin(at_s, stage)
        return stage

    def _answer(self, at_s: float) -> Iterator[Item]:
        if self._answers and not (self.cutter is not None and self.cutter.midway):
            answers, self._answers = self._answers, []
            for message in answers:
                yield from self._give(0, message, at_s)

    def _give(self, place: int, item: Item, at_s: float) -> Iterator[Item]:
        """Give an item to the toxic of this place; behind the last it leaves."""
        if place == len(self._stages) or isinstance(item, Answer):
            yield item
            return
        stage = self._stages[place]
        toxic = stage.toxic
        match item:
            case Sign():
                stage.open = False
                toxic.end(item, at_s, stage)
            case _ if toxic.reads is None:
                toxic.take(item if isinstance(item, bytes) else item.raw, at_s, stage)
            case Message() if isinstance(item, toxic.reads):
                toxic.strike(item, at_s, stage)
            case _:
                # It passes by the stage, but not by what is due there already.
                for due in stage.leaving(at_s):
                    yield from self._give(place + 1, due, at_s)
                stage.open = isinstance(item, Piece) and not item.last
                yield from self._give(place + 1, item, at_s)
