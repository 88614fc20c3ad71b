"""One client's session: what it is subscribed to, what is under way to it, and what waits.

```
 offer ──► [ queue ] ──► in flight (window) ──► acked        QoS 0 is sent, or waits while slow
             │ full: drop newest, count
```
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from fleet_sim.broker.dialect import SubscribeOptions
from fleet_sim.broker.limits import Counters, Limits
from fleet_sim.broker.message import Delivery, Message
from fleet_sim.broker.reasons import Reason
from fleet_sim.broker.timers import Timer

_PACKET_ID_MAX: Final = 65_535


class Link(Protocol):
    """What a session sends through while its client is connected."""

    #: A message sent is a message delivered: nothing to acknowledge, no window.
    instant: bool
    #: False while the peer is slow, stalled or cut off: messages wait in the session.
    ready: bool

    def send(self, delivery: Delivery, packet_id: int, now_s: float, *, duplicate: bool) -> bool:
        """Put it on the wire; False if this client can never take it (too large)."""

    def release(self, packet_id: int) -> None:
        """Send PUBREL."""

    def close(self, reason: Reason, now_s: float) -> None:
        """End the connection from our side; the session is already let go."""


class Session:
    """State that outlives a connection.

    A message is sent when the link is ready and the window has room; else it waits its turn. What
    the queue has no room for is dropped and counted, the newest first: a subscriber's bad day
    costs itself alone, and never its publisher.

    Units: `expiry_s` None is for ever.
    """

    __slots__ = (
        "_again",
        "_counters",
        "_inflight_bytes",
        "_limits",
        "_next_id",
        "_queue",
        "_queue_bytes",
        "client_id",
        "end_timer",
        "expiry_s",
        "incoming",
        "inflight",
        "link",
        "subscriptions",
        "will",
        "will_delay_s",
        "will_timer",
        "window",
    )

    def __init__(self, client_id: str, limits: Limits, counters: Counters) -> None:
        self.client_id = client_id
        self.expiry_s: float | None = 0.0
        self.link: Link | None = None
        self.subscriptions: dict[str, SubscribeOptions] = {}
        self.will: Message | None = None
        self.will_delay_s = 0
        self.will_timer: Timer | None = None
        self.end_timer: Timer | None = None
        self.window = limits.window_max
        # Packet ids of QoS 2 messages that we have and whose PUBREL we await.
        self.incoming: set[int] = set()
        # In sending order; None stands for a QoS 2 message that was received, not yet completed.
        self.inflight: dict[int, Delivery | None] = {}
        self._inflight_bytes = 0
        # Of those in flight, the ones that the present link has not seen yet, oldest first.
        self._again: deque[int] = deque()
        self._queue: deque[Delivery] = deque()
        self._queue_bytes = 0
        self._next_id = 0
        self._limits = limits
        self._counters = counters

    @property
    def queued(self) -> int:
        """How many messages wait."""
        return len(self._queue)

    def offer(self, delivery: Delivery, now_s: float, spare: int = 0) -> None:
        """Take a message for this client: send, queue or drop it.

        `spare` is room beyond the queue's own, for retained messages: those are in memory anyway,
        and a new subscriber wants every one of them.
        """
        link = self.link
        if link is not None and link.ready and not self._queue and not self._again:
            if delivery.qos == 0 or link.instant:
                self._send_plain(link, delivery, now_s)
                return
            if self._window_is_open:
                self._send_tracked(link, delivery, now_s)
                return
        elif link is None and delivery.qos == 0:
            self._counters.dropped_absent += 1
            return  # nobody there, nothing promised
        size = delivery.message.size
        limits = self._limits
        if len(self._queue) >= limits.queue_max + spare or (
            not spare and self._queue_bytes + size > limits.queue_max_bytes
        ):
            self._counters.dropped_full += 1
            return
        self._queue.append(delivery)
        self._queue_bytes += size

    def pump(self, now_s: float) -> None:
        """Send what waits, as far as the link and the window allow."""
        link = self.link
        if link is None:
            return
        self._repeat(link, now_s)
        queue = self._queue
        while queue and not self._again and link.ready:
            tracked = queue[0].qos > 0 and not link.instant
            if tracked and not self._window_is_open:
                return
            delivery = queue.popleft()
            self._queue_bytes -= delivery.message.size
            if delivery.message.expired(now_s):
                self._counters.dropped_expired += 1
            elif tracked:
                self._send_tracked(link, delivery, now_s)
            else:
                self._send_plain(link, delivery, now_s)

    def resume(self, now_s: float) -> None:
        """Repeat what was under way when the last connection ended, then send what waits.

        Repeats keep their packet id and carry DUP (3.1.1 and 5.0, [MQTT-4.4.0-1]).
        """
        link = self.link
        assert link is not None
        if link.instant:
            unfinished, self.inflight = self.inflight, {}
            self._inflight_bytes = 0
            for delivery in unfinished.values():
                if delivery is not None:
                    self._send_plain(link, delivery, now_s)
        self._again = deque(self.inflight)
        self.pump(now_s)

    def acked(self, packet_id: int, now_s: float) -> None:
        """PUBACK, PUBCOMP or a refusing PUBREC: this one is done."""
        if packet_id in self.inflight:
            self._settle(packet_id)
            if self._queue or self._again:
                self.pump(now_s)

    def received(self, packet_id: int) -> bool:
        """PUBREC: the message may be forgotten, its id not yet. False if we never sent it."""
        if packet_id not in self.inflight:
            return False
        delivery, self.inflight[packet_id] = self.inflight[packet_id], None
        if delivery is not None:
            self._inflight_bytes -= delivery.message.size
        return True

    def forget(self) -> None:
        """Drop everything but the subscriptions' bookkeeping, which is the broker's."""
        self._queue.clear()
        self._again.clear()
        self.inflight.clear()
        self.incoming.clear()
        self._queue_bytes = self._inflight_bytes = 0

    @property
    def _window_is_open(self) -> bool:
        inflight = self.inflight
        return not inflight or (
            len(inflight) < self.window and self._inflight_bytes < self._limits.queue_max_bytes
        )

    def _repeat(self, link: Link, now_s: float) -> None:
        """Send again, never more at once than the client of today asked for."""
        again, inflight = self._again, self.inflight
        while again and link.ready and len(inflight) - len(again) < self.window:
            packet_id = again.popleft()
            if packet_id not in inflight:
                continue  # acknowledged out of turn
            if (delivery := inflight[packet_id]) is None:
                link.release(packet_id)
            elif not link.send(delivery, packet_id, now_s, duplicate=True):
                self._settle(packet_id)

    def _settle(self, packet_id: int) -> None:
        if (delivery := self.inflight.pop(packet_id)) is not None:
            self._inflight_bytes -= delivery.message.size

    def _send_plain(self, link: Link, delivery: Delivery, now_s: float) -> None:
        if link.send(delivery, 0, now_s, duplicate=False):
            self._counters.sent += 1
        else:
            self._counters.dropped_oversize += 1

    def _send_tracked(self, link: Link, delivery: Delivery, now_s: float) -> None:
        packet_id = self._next_id
        while True:
            packet_id = packet_id % _PACKET_ID_MAX + 1
            if packet_id not in self.inflight:
                break
        self._next_id = packet_id
        if link.send(delivery, packet_id, now_s, duplicate=False):
            self.inflight[packet_id] = delivery
            self._inflight_bytes += delivery.message.size
            self._counters.sent += 1
        else:
            self._counters.dropped_oversize += 1


#: Decides whether a client may connect: (client id, user name, password).
Authenticate = Callable[[str, str | None, bytes | None], bool]
