"""What a device has told, and what of it may be said again: for floods, and for cleaning up."""

from typing import Final

from devices.reading import Value
from fleet_sim.ledger import LOOSE, is_state
from vendors.sim import Effects, Message, Publish, Webhook, WsText

_NOTHING: Final[frozenset[str]] = frozenset()


class Words:
    """One device's words. A run that neither floods nor cleans up needs none."""

    __slots__ = ("_last", "_passing", "_tells", "_told", "_true", "topics")

    def __init__(self) -> None:
        #: The topics on which a broker keeps one.
        self.topics: set[str] = set()
        #: The last one on each topic where a broker keeps it, and to each who is told without
        #: having asked; the longest unsaid first.
        self._last: dict[str, Publish | Webhook | WsText] = {}
        #: The same on each topic where no broker keeps anything.
        self._passing: dict[str, Publish | Webhook | WsText] = {}
        #: What is so, what was last told of it, and what was ever told in each of those places.
        self._true: dict[str, Value] = {}
        self._told: dict[str, Value] = {}
        self._tells: dict[str, set[str]] = {}

    def remember(self, effects: Effects, *, got_out: bool) -> None:
        """What may be said again: a topic's last word, if it got out and told of no happening."""
        states = [truth for truth in effects.truths if is_state(truth.key)]
        repeatable = got_out and len(states) == len(effects.truths)
        told = {truth.key: truth.value for truth in states if truth.sent}
        self._true.update((truth.key, truth.value) for truth in states)
        self._told.update(told)
        for message in effects.messages:
            match message:
                case Publish(topic=where, retain=True) | Webhook(url=where) | WsText(peer=where):
                    self._tells.setdefault(where, set()).update(told.keys() - LOOSE)
                    self._last.pop(where, None)
                    if repeatable:
                        self._last[where] = message
                case Publish(topic=where):
                    self._tells.setdefault(where, set()).update(told.keys() - LOOSE)
                    self._passing.pop(where, None)
                    if repeatable and self._tells[where]:
                        self._passing[where] = message
                case _:
                    pass

    def sent(self, message: Message) -> None:
        """This left, or was about to."""
        if isinstance(message, Publish) and message.retain:
            self.topics.add(message.topic)

    def outdated(self, topic: str) -> None:
        """Somebody else spoke there for it: what it said itself is no longer the last word."""
        self._last.pop(topic, None)

    def again(self, *, passing: bool = False) -> Publish | Webhook | WsText | None:
        """The longest unsaid of its words that is still true; it is the last one said from now on.

        With `passing`, if no broker keeps one that is true, one that passed by.
        Nothing of what was told in that place has become otherwise unsaid: whoever asked knows
        better than such a word, which does not tell how old it is.
        """
        for words in (self._last, self._passing)[: 1 + passing]:
            for where, message in words.items():
                keys = self._tells.get(where, _NOTHING)
                if all(self._true[key] == self._told[key] for key in keys):
                    del words[where]
                    words[where] = message
                    return message
        return None
