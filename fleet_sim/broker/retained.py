"""The last retained message of each topic."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fleet_sim.broker.message import Message
from fleet_sim.broker.topics import Trie


@dataclass(slots=True)
class _Node:
    children: "dict[str, _Node]" = field(default_factory=dict)
    message: Message | None = None


class Retained:
    """A tree of topics, so that a wildcard visits only what it can match."""

    def __init__(self, retained_max: int, retained_max_bytes: int) -> None:
        self._root = _Node()
        self._max = retained_max
        self._max_bytes = retained_max_bytes
        self._count = 0
        self._bytes = 0
        # While it is broken: filters of topics on which nothing is kept, by whom they belong to.
        self._lost: dict[str, Trie[None]] = {}

    def __len__(self) -> int:
        """How many topics have one."""
        return self._count

    def keep(self, message: Message) -> bool:
        """Remember it, or forget the topic's one if it is empty; False if there is no room."""
        levels = message.topic.split("/")
        if not message.payload:
            self._forget(levels)
            return True
        if any(True for lost in self._lost.values() for _ in lost.find(message.topic)):
            return False
        node = self._at(levels)
        before = None if node is None else node.message
        room = self._max_bytes - self._bytes + (before.size if before is not None else 0)
        if message.size > room or (before is None and self._count >= self._max):
            # What stood there is no longer the last word, so it may not stay.
            self._forget(levels)
            return False
        if node is None:
            node = self._root
            for level in levels:
                if (child := node.children.get(level)) is None:
                    child = node.children[level] = _Node()
                node = child
        self._put(node, message)
        return True

    def _at(self, levels: list[str]) -> _Node | None:
        node = self._root
        for level in levels:
            if (child := node.children.get(level)) is None:
                return None
            node = child
        return node

    def forget(self, message: Message) -> None:
        """Forget this very message, not one that came after it."""
        levels = message.topic.split("/")
        if (node := self._at(levels)) is not None and node.message is message:
            self._forget(levels)

    def find(self, topic_filter: str) -> Iterator[Message]:
        """Every retained message that the filter catches, in order of first arrival per level."""
        levels = topic_filter.split("/")
        stack = [(self._root, 0)]
        while stack:
            node, depth = stack.pop()
            if depth == len(levels) or levels[depth] == "#":
                if node.message is not None:
                    yield node.message
                if depth == len(levels):
                    continue
                step = 0  # "#" stays where it is
            else:
                step = 1
            wanted = levels[depth]
            if wanted in ("+", "#"):
                # Reversed, for a stack gives back the last first.
                stack.extend(
                    (child, depth + step)
                    for level, child in reversed(node.children.items())
                    if depth or node is not self._root or not level.startswith("$")
                )
            elif (child := node.children.get(wanted)) is not None:
                stack.append((child, depth + 1))

    def lose(self, owner: str, topic_filters: Iterable[str]) -> None:
        """Forget what these filters catch, and keep nothing there until the owner's `recover`."""
        lost = self._lost[owner] = Trie()
        for topic_filter in topic_filters:
            lost.put(topic_filter, owner, None)
            for message in list(self.find(topic_filter)):
                self._forget(message.topic.split("/"))

    def recover(self, owner: str) -> None:
        """Keep everything of this owner's again."""
        self._lost.pop(owner, None)

    def clear(self) -> None:
        """Forget all."""
        self._root = _Node()
        self._count = self._bytes = 0

    def _put(self, node: _Node, message: Message | None) -> None:
        if node.message is not None:
            self._count -= 1
            self._bytes -= node.message.size
        if message is not None:
            self._count += 1
            self._bytes += message.size
        node.message = message

    def _forget(self, levels: list[str]) -> None:
        path = [self._root]
        for level in levels:
            if (child := path[-1].children.get(level)) is None:
                return
            path.append(child)
        self._put(path[-1], None)
        for level in reversed(levels):
            node = path.pop()
            if node.message is not None or node.children:
                return
            del path[-1].children[level]
