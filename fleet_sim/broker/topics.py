"""Topics: which are allowed, which filter matches, and who is subscribed to what.

Source: OASIS "MQTT Version 5.0", section 4.7 (the same in 3.1.1) and 4.8.2 (shared).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_LEVELS_MAX: Final = 128
_TOPIC_MAX_BYTES: Final = 65_535
#: What a shared subscription's filter begins with.
SHARE: Final = "$share/"


def valid_topic(topic: str) -> bool:
    """Whether a message may carry it: no wildcards, no U+0000, not absurdly deep."""
    return not (
        not topic
        or "+" in topic
        or "#" in topic
        or "\x00" in topic
        or topic.count("/") >= _LEVELS_MAX
    )


def valid_filter(topic_filter: str) -> bool:
    """Whether it may be subscribed to (without a `$share/<group>/` in front)."""
    if not topic_filter or "\x00" in topic_filter or topic_filter.count("/") >= _LEVELS_MAX:
        return False
    if len(topic_filter.encode("utf-8", "replace")) > _TOPIC_MAX_BYTES:
        return False
    *front, last = topic_filter.split("/")
    return all(level == "+" or not _wild(level) for level in front) and (
        last in ("+", "#") or not _wild(last)
    )


def _wild(level: str) -> bool:
    return "#" in level or "+" in level


def split_shared(topic_filter: str) -> tuple[str | None, str]:
    """Take a filter apart into (group, plain filter); the group of an ordinary one is None.

    Raises:
        ValueError: `$share` without a good group and a filter.
    """
    if not topic_filter.startswith(SHARE):
        return None, topic_filter
    group, slash, rest = topic_filter[len(SHARE) :].partition("/")
    if not group or _wild(group) or not slash or not rest:
        raise ValueError(f"shared subscription {topic_filter!r}")
    return group, rest


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a plain filter catches a topic; `$`-topics hide from a leading wildcard."""
    wanted = topic_filter.split("/")
    levels = topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for depth, want in enumerate(wanted):
        if want == "#":
            return True
        if depth == len(levels) or want not in ("+", levels[depth]):
            return False
    return len(wanted) == len(levels)


@dataclass(slots=True)
class _Node(Generic[T]):
    children: "dict[str, _Node[T]]" = field(default_factory=dict)
    values: dict[str, T] = field(default_factory=dict)


class Trie(Generic[T]):
    """Values by (filter, owner), found by topic. Order of finding is order of adding per node."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def put(self, topic_filter: str, owner: str, value: T) -> None:
        """Add, or replace what this owner had under this filter."""
        node = self._root
        for level in topic_filter.split("/"):
            node = node.children.setdefault(level, _Node())
        node.values[owner] = value

    def remove(self, topic_filter: str, owner: str) -> None:
        """Forget; empty branches go too, or a churn of topics would grow without end."""
        path = [self._root]
        levels = topic_filter.split("/")
        for level in levels:
            if (child := path[-1].children.get(level)) is None:
                return
            path.append(child)
        path[-1].values.pop(owner, None)
        for level in reversed(levels):
            node = path.pop()
            if node.values or node.children:
                return
            del path[-1].children[level]

    def at(self, topic_filter: str, owner: str) -> T | None:
        """What this owner has under exactly this filter."""
        node = self._root
        for level in topic_filter.split("/"):
            if (child := node.children.get(level)) is None:
                return None
            node = child
        return node.values.get(owner)

    def find(self, topic: str) -> Iterator[T]:
        """Every value whose filter catches the topic."""
        levels = topic.split("/")
        hidden = topic.startswith("$")
        # (node, depth); a stack of its own, because a peer chooses how deep a topic is.
        stack = [(self._root, 0)]
        while stack:
            node, depth = stack.pop()
            children = node.children
            wild = depth > 0 or not hidden
            if wild and (rest := children.get("#")) is not None:
                yield from rest.values.values()
            if depth == len(levels):
                yield from node.values.values()
                continue
            if wild and (one := children.get("+")) is not None:
                stack.append((one, depth + 1))
            if (same := children.get(levels[depth])) is not None:
                stack.append((same, depth + 1))
