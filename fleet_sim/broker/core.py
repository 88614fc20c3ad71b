"""The broker itself: sessions, routing, wills and timers. No bytes, no sockets, no clock.

Every call says what time it is (`now_s`, any clock that does not go backwards). Whoever drives
the broker calls `tick` when `next_deadline_s` has come and `flush` after anything that it did.
"""

import itertools
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final, Protocol

from fleet_sim.broker.dialect import ConnectRequest, SubscribeOptions
from fleet_sim.broker.limits import Counters, Limits
from fleet_sim.broker.message import Delivery, Message
from fleet_sim.broker.reasons import Reason
from fleet_sim.broker.retained import Retained
from fleet_sim.broker.session import Authenticate, Link, Session
from fleet_sim.broker.subscriptions import Subscriptions
from fleet_sim.broker.timers import Timer, Timers
from fleet_sim.broker.topics import Trie, split_shared, valid_filter

_DEFAULTS: Final = Limits()
_RETAIN_IF_NEW: Final = 1
_RETAIN_NEVER: Final = 2


class Hold(Enum):
    """Why nothing passes between a client and the broker, both ways, until it is healed."""

    #: The broker is stuck: it also forgets to enforce this client's keep alive.
    STALLED = "stalled"
    #: The network is: the broker gives the client up after 1.5 keep alives.
    PARTITIONED = "partitioned"


class Holdable(Protocol):
    """Something between a client and the broker that a fault can stop."""

    def hold(self, now_s: float) -> None:
        """Let nothing pass."""

    def unhold(self, now_s: float) -> None:
        """Let what was held pass, then go on."""


class Flushable(Protocol):
    """Something with output to hand to its transport."""

    def flush(self, now_s: float) -> None:
        """Write it."""


class Broker:
    """Sessions and routing for any number of links."""

    def __init__(
        self, limits: Limits = _DEFAULTS, authenticate: Authenticate | None = None
    ) -> None:
        self.limits = limits
        self.counters = Counters()
        self.sessions: dict[str, Session] = {}
        self.subscriptions = Subscriptions()
        self.retained = Retained(limits.retained_max, limits.retained_max_bytes)
        self.held: dict[str, Hold] = {}
        #: Links and connections that a fault may have to hold, by client id.
        self.holdables: dict[str, list[Holdable]] = {}
        self.dirty: list[Flushable] = []
        self._refusing = False
        #: Clients that are let in no more, and those whose subscriptions are refused.
        self.shut_out: set[str] = set()
        self.unauthorized: set[str] = set()
        # What was subscribed to by sessions that were forgotten, until their clients do it anew.
        self._missed: Trie[None] | None = None
        #: Is told of each message that is taken in, before it is routed.
        self.overhears: Callable[[Message, float], None] | None = None
        self._authenticate = authenticate
        self.timers = Timers()
        self._assigned = itertools.count(1)

    # Time and output

    def at(self, when_s: float, action: Callable[[float], None]) -> Timer:
        """Have `tick` call `action(now_s)`."""
        return self.timers.at(when_s, action)

    def call_off(self, timer: Timer | None) -> None:
        """Forget what `at` was asked for."""
        self.timers.call_off(timer)

    @property
    def next_deadline_s(self) -> float | None:
        """When `tick` has something to do."""
        return self.timers.next_s

    def tick(self, now_s: float) -> None:
        """Do what is due."""
        self.timers.run(now_s)

    def flush(self, now_s: float) -> None:
        """Hand all output to the transports: once each, however many messages it holds."""
        while self.dirty:
            dirty, self.dirty = self.dirty, []
            for one in dirty:
                one.flush(now_s)

    # Sessions

    def judge(self, request: ConnectRequest) -> Reason:
        """Whether this client may connect."""
        if self._refusing or request.client_id in self.shut_out:
            return Reason.SERVER_UNAVAILABLE
        if request.authentication_method is not None:
            return Reason.BAD_AUTHENTICATION_METHOD
        if self._authenticate is not None and not self._authenticate(
            request.client_id, request.username, request.password
        ):
            return Reason.BAD_CREDENTIALS
        if (
            len(self.sessions) >= self.limits.sessions_max
            and request.client_id not in self.sessions
        ):
            return Reason.QUOTA_EXCEEDED
        return Reason.SUCCESS

    def new_client_id(self) -> str:
        """An id that nobody has."""
        while (client_id := f"doorfleet-{next(self._assigned)}") in self.sessions:
            pass
        return client_id

    def connect(
        self, client_id: str, request: ConnectRequest, link: Link, now_s: float
    ) -> tuple[Session, bool]:
        """Bind a link to its session; a link that had it loses it.

        Returns:
            The session, and whether it was there before. The caller greets its client and then
            calls `session.resume`.
        """
        session = self.sessions.get(client_id)
        if session is not None and (taken := session.link) is not None:
            # The old connection is over, so its will is due (3.1.1 [MQTT-3.1.2-8]); one with a
            # delay is called off by the reconnect below, unless that starts clean.
            self.detach(session, taken, now_s, with_will=True)
            taken.close(Reason.TAKEN_OVER, now_s)
        if request.clean_start and client_id in self.sessions:
            self.end(self.sessions[client_id], now_s)
        session = self.sessions.get(client_id)
        present = session is not None
        if session is None:
            session = self.sessions[client_id] = Session(client_id, self.limits, self.counters)
        expiry_s, longest_s = request.session_expiry_s, self.limits.session_expiry_max_s
        session.expiry_s = longest_s if expiry_s is None else min(expiry_s, longest_s)
        self._call_off_end(session)
        session.will = request.will
        session.will_delay_s = request.will_delay_s
        session.window = min(self.limits.window_max, request.receive_max)
        session.link = link
        self.counters.connects += 1
        return session, present

    def detach(self, session: Session, link: Link, now_s: float, *, with_will: bool) -> None:
        """A link is over: its will is said or set to be, its session stays or ends."""
        if session.link is not link:
            return  # taken over meanwhile
        session.link = None
        if not with_will:
            session.will = None
        elif session.will_delay_s == 0:
            self._say_will(session, now_s)
        expiry_s = session.expiry_s
        if not expiry_s:
            self.end(session, now_s)
            return
        if session.will is not None:
            due_s = now_s + session.will_delay_s
            session.will_timer = self.at(due_s, lambda at_s: self._say_will(session, at_s))
        session.end_timer = self.at(now_s + expiry_s, lambda at_s: self.end(session, at_s))

    def end(self, session: Session, now_s: float) -> None:
        """The session is over, so a will that was still waiting is due."""
        self._call_off_end(session)
        if self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]
        self.subscriptions.remove_all(session)
        session.forget()
        self._say_will(session, now_s)

    def _call_off_end(self, session: Session) -> None:
        self.call_off(session.will_timer)
        self.call_off(session.end_timer)
        session.will_timer = session.end_timer = None

    def _say_will(self, session: Session, now_s: float) -> None:
        if (will := session.will) is None:
            return
        session.will = None
        self.counters.wills += 1
        if will.expires_at_s is not None:  # a duration until now
            will.expires_at_s += now_s
        self.publish(will, now_s)

    # Messages

    def subscribe(
        self, session: Session, topic_filter: str, options: SubscribeOptions, identifier: int
    ) -> tuple[int, list[Message]]:
        """Subscribe one filter.

        Returns:
            The SUBACK reason, and the retained messages to send after the SUBACK.
        """
        try:
            group, plain = split_shared(topic_filter)
        except ValueError:
            return Reason.TOPIC_FILTER_INVALID, []
        if not valid_filter(plain):
            return Reason.TOPIC_FILTER_INVALID, []
        if session.client_id in self.unauthorized:
            return Reason.NOT_AUTHORIZED, []
        if (
            len(session.subscriptions) >= self.limits.subscriptions_max
            and topic_filter not in session.subscriptions
        ):
            return Reason.QUOTA_EXCEEDED, []
        if self._missed is not None:
            self._missed.remove(topic_filter, session.client_id)
        new = self.subscriptions.add(session, topic_filter, options, identifier)
        handling = options.retain_handling
        if (
            group is not None
            or handling == _RETAIN_NEVER
            or (handling == _RETAIN_IF_NEW and not new)
        ):
            return options.qos, []
        return options.qos, list(self.retained.find(plain))

    def unsubscribe(self, session: Session, topic_filter: str) -> Reason:
        """Unsubscribe one filter."""
        if self.subscriptions.remove(session, topic_filter):
            return Reason.SUCCESS
        return Reason.NO_SUBSCRIPTION_EXISTED

    def publish(self, message: Message, now_s: float) -> int:
        """Route one message; how many sessions it went to."""
        if self.overhears is not None:
            self.overhears(message, now_s)
        if message.retain and not self.retained.keep(message):
            self.counters.dropped_retained += 1
        if self._missed is not None:
            self.counters.dropped_absent += sum(1 for _ in self._missed.find(message.topic))
        routes = self.subscriptions.routes(message.topic)
        qos, retain, publisher = message.qos, message.retain, message.publisher
        reached = 0
        for session, qos_max, ids, no_local, as_published in routes.direct:
            if no_local and session.client_id == publisher:
                continue
            reached += 1
            session.offer(Delivery(message, min(qos, qos_max), retain and as_published, ids), now_s)
        for group in routes.shared:
            reached += 1
            session, qos_max, ids, _, as_published = group.pick()
            session.offer(Delivery(message, min(qos, qos_max), retain and as_published, ids), now_s)
        return reached

    def offer_retained(
        self,
        session: Session,
        messages: Iterable[Message],
        options: SubscribeOptions,
        identifier: int,
        now_s: float,
    ) -> None:
        """Send what a new subscription finds already said."""
        ids = (identifier,) if identifier else ()
        spare = len(self.retained)
        for message in messages:
            if message.expired(now_s):
                self.counters.dropped_expired += 1
                self.retained.forget(message)
                continue
            qos = min(message.qos, options.qos)
            session.offer(Delivery(message, qos, retain=True, ids=ids), now_s, spare)

    # A broker one can break

    def stall(self, client_id: str, now_s: float) -> None:
        """Let nothing pass for this client, as a hung broker does; data waits for `heal`."""
        self._hold(client_id, Hold.STALLED, now_s)

    def partition(self, client_ids: Iterable[str], now_s: float) -> None:
        """Cut these clients off, as a broken network does; the broker notices by keep alive."""
        for client_id in client_ids:
            self._hold(client_id, Hold.PARTITIONED, now_s)

    def heal(self, now_s: float, client_ids: Iterable[str] | None = None) -> None:
        """End `stall` and `partition`, for these clients or for all."""
        for client_id in list(self.held) if client_ids is None else list(client_ids):
            if self.held.pop(client_id, None) is not None:
                for holdable in list(self.holdables.get(client_id, ())):
                    holdable.unhold(now_s)

    def refuse_connections(self, on: bool) -> None:  # noqa: FBT001 -- a switch, called as one
        """Answer every CONNECT with "server unavailable", or stop doing so."""
        self._refusing = on

    def drop_retained(self) -> None:
        """Forget every retained message, as a broker without persistence does at a restart."""
        self.retained.clear()

    def forget_sessions(self, now_s: float, client_ids: Iterable[str] | None = None) -> None:
        """Close connections without a word and forget their sessions: a crash, restarted.

        Args:
            now_s: what time it is.
            client_ids: whose; absent, everybody's.
        """
        for client_id in list(self.sessions if client_ids is None else client_ids):
            if (session := self.sessions.get(client_id)) is None:
                continue
            self._missed = self._missed or Trie()
            for topic_filter in session.subscriptions:
                self._missed.put(topic_filter, client_id, None)
            session.will = None
            self.hang_up(now_s, (client_id,))
            self.end(session, now_s)

    def hang_up(self, now_s: float, client_ids: Iterable[str]) -> None:
        """Close these connections without a word, as who goes down itself; sessions are kept."""
        for client_id in client_ids:
            session = self.sessions[client_id]
            if (link := session.link) is not None:
                self.detach(session, link, now_s, with_will=False)
                link.close(Reason.SUCCESS, now_s)

    def disconnect(
        self, now_s: float, client_id: str | None = None, reason: Reason = Reason.ADMINISTRATIVE
    ) -> None:
        """Close one client's connection, or everyone's; their wills are said."""
        chosen = list(self.sessions.values()) if client_id is None else [self.sessions[client_id]]
        for session in chosen:
            if (link := session.link) is not None:
                self.detach(session, link, now_s, with_will=True)
                link.close(reason, now_s)

    def _hold(self, client_id: str, hold: Hold, now_s: float) -> None:
        self.held[client_id] = hold
        for holdable in list(self.holdables.get(client_id, ())):
            holdable.hold(now_s)
