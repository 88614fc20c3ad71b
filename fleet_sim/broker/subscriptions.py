"""Who gets a message: subscriptions by filter, and the routes of a topic, worked out once."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from fleet_sim.broker.dialect import SubscribeOptions
from fleet_sim.broker.session import Session
from fleet_sim.broker.topics import Trie, split_shared

# Topics are the publishers' choice: a stranger's random topics may not fill our memory.
_ROUTES_MAX: Final = 20_000


class Subscription(NamedTuple):
    """One session's wish under one filter; `identifier` 0 is none."""

    session: Session
    options: SubscribeOptions
    identifier: int


class Route(NamedTuple):
    """One session's copy of a topic's messages, all its matching filters taken together."""

    session: Session
    qos_max: int
    ids: tuple[int, ...]
    no_local: bool
    as_published: bool


@dataclass(slots=True)
class Group:
    """Members of one shared subscription; each message goes to one of them, in turn."""

    members: dict[str, Subscription] = field(default_factory=dict)
    turn: int = 0

    def pick(self) -> Route:
        """The next member that can take a message now, else the next that has a session."""
        waiting = list(self.members.values())
        able = [one for one in waiting if one.session.link is not None and one.session.link.ready]
        able = able or [one for one in waiting if one.session.link is not None] or waiting
        self.turn += 1
        return _merged([able[self.turn % len(able)]])


class Routes(NamedTuple):
    """Where one topic's messages go."""

    direct: tuple[Route, ...]
    shared: tuple[Group, ...]


class Subscriptions:
    """The tree of every subscription, and a cache of routes by topic."""

    def __init__(self) -> None:
        self._trie: Trie[Subscription | Group] = Trie()
        self._routes: dict[str, Routes] = {}

    def add(
        self, session: Session, topic_filter: str, options: SubscribeOptions, identifier: int
    ) -> bool:
        """Subscribe, or change a subscription; whether it is new to this session."""
        group_name, plain = split_shared(topic_filter)
        wish = Subscription(session, options, identifier)
        new = topic_filter not in session.subscriptions
        session.subscriptions[topic_filter] = options
        if group_name is None:
            self._trie.put(plain, _owner(session), wish)
        else:
            owner = _group_owner(group_name)
            group = self._trie.at(plain, owner)
            if not isinstance(group, Group):
                group = Group()
                self._trie.put(plain, owner, group)
            group.members[session.client_id] = wish
        self._routes.clear()
        return new

    def remove(self, session: Session, topic_filter: str) -> bool:
        """Unsubscribe; whether there was such a subscription."""
        if session.subscriptions.pop(topic_filter, None) is None:
            return False
        group_name, plain = split_shared(topic_filter)
        if group_name is None:
            self._trie.remove(plain, _owner(session))
        else:
            owner = _group_owner(group_name)
            group = self._trie.at(plain, owner)
            assert isinstance(group, Group)
            del group.members[session.client_id]
            if not group.members:
                self._trie.remove(plain, owner)
        self._routes.clear()
        return True

    def remove_all(self, session: Session) -> None:
        """Forget everything of one session."""
        for topic_filter in list(session.subscriptions):
            self.remove(session, topic_filter)

    def routes(self, topic: str) -> Routes:
        """Where messages of this topic go now."""
        if (routes := self._routes.get(topic)) is None:
            if len(self._routes) >= _ROUTES_MAX:
                self._routes.clear()
            routes = self._routes[topic] = self._work_out(topic)
        return routes

    def _work_out(self, topic: str) -> Routes:
        wishes: dict[str, list[Subscription]] = {}
        groups = []
        for found in self._trie.find(topic):
            if isinstance(found, Group):
                groups.append(found)
            else:
                wishes.setdefault(found.session.client_id, []).append(found)
        return Routes(tuple(_merged(several) for several in wishes.values()), tuple(groups))


def _merged(wishes: list[Subscription]) -> Route:
    """One copy for one session, at the best QoS that any of its filters asked for.

    Source: MQTT 5.0, 3.3.4 (overlapping subscriptions may share one copy with all their ids).
    """
    first = wishes[0]
    if len(wishes) == 1:
        ids = (first.identifier,) if first.identifier else ()
        options = first.options
        return Route(first.session, options.qos, ids, options.no_local, options.as_published)
    return Route(
        first.session,
        max(wish.options.qos for wish in wishes),
        tuple(wish.identifier for wish in wishes if wish.identifier),
        all(wish.options.no_local for wish in wishes),
        any(wish.options.as_published for wish in wishes),
    )


# A client may call itself anything, so owners of the two kinds differ in their first letter.
def _owner(session: Session) -> str:
    return f"c{session.client_id}"


def _group_owner(name: str) -> str:
    return f"g{name}"
