"""A simulated board's MQTT client without bytes: packets straight into the core, no pings.

```
 board ─ publish ─► link_fault ─► (held?) ─► core          core ─ send ─► link_fault ─► on_message
```
What the board sends is with the broker before `publish` returns; what the broker sends arrives
on the loop's next turn, so a board that answers within `on_message` recurses into nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from fleet_sim.broker.connection import KEEP_ALIVE_GRACE
from fleet_sim.broker.core import Broker, Hold
from fleet_sim.broker.dialect import ConnectRequest, SubscribeOptions
from fleet_sim.broker.driver import Driver
from fleet_sim.broker.memory import MemoryBroker
from fleet_sim.broker.message import Delivery, Message
from fleet_sim.broker.reasons import Reason
from fleet_sim.broker.session import Session
from fleet_sim.broker.topics import valid_topic

#: What a link does to one message: the delay of each copy that arrives, in ms. `(0,)` is a good
#: link, `()` loses it, `(0, 80)` repeats it, `(250,)` is slow. `upward` is board to broker.
LinkFault = Callable[[bool, str, bytes], Sequence[int]]
#: Called with (topic, payload, qos, retain).
OnMessage = Callable[[str, bytes, int, bool], None]

_REFUSED: Final = 0x80
_MS: Final = 1000


def healthy(upward: bool, topic: str, payload: bytes) -> Sequence[int]:  # noqa: FBT001 -- LinkFault
    """A link that does what links are for."""
    del upward, topic, payload
    return (0,)


class MemoryClient:
    """One board's client. It knows QoS as a label: what the link loses is lost.

    `on_lost` is called when the broker ended the connection, not when the board did.
    """

    def __init__(self, broker: MemoryBroker, on_message: OnMessage | None = None) -> None:
        self.on_message = on_message
        self.on_lost: Callable[[], None] | None = None
        self.link_fault: LinkFault = healthy
        self._core = broker.core
        self._driver = broker.driver
        self._link: _Link | None = None

    @property
    def connected(self) -> bool:
        """Whether this board believes in its connection."""
        return self._link is not None

    def connect(
        self,
        client_id: str,
        *,
        will: Message | None = None,
        clean: bool = True,
        keep_alive_s: int = 15,
    ) -> bool:
        """Connect at once; whether the broker still had a session.

        Raises:
            ConnectionRefusedError: the broker refuses, or this client is cut off.
        """
        if self._link is not None:
            raise RuntimeError(f"{client_id} is connected already")
        request = ConnectRequest(
            client_id=client_id,
            clean_start=clean,
            keep_alive_s=keep_alive_s,
            session_expiry_s=0 if clean else None,
            will=will,
        )
        if client_id in self._core.held:
            raise ConnectionRefusedError(f"{client_id} is cut off")
        if (reason := self._core.judge(request)) is not Reason.SUCCESS:
            raise ConnectionRefusedError(reason.name.lower())
        link = _Link(self, self._core, self._driver)
        self._link = link
        return link.open(request)

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> bool:
        """Send a message; nothing happens to it without a connection.

        Returns:
            Whether somebody may yet hear it, for all that is known when it returns: not if the
            broker had to drop it for one who should have had it.

        Raises:
            ValueError: no message may carry this topic.
        """
        if not valid_topic(topic):
            raise ValueError(f"topic {topic!r}")
        if (link := self._link) is None:
            return False
        unheard = self._core.counters.unheard
        for delay_ms in self.link_fault(True, topic, payload):  # noqa: FBT003 -- LinkFault
            message = Message(topic, payload, qos=qos, retain=retain, publisher=link.client_id)

            def arrive(now_s: float, message: Message = message) -> None:
                self._core.publish(message, now_s)

            link.upward(arrive, delay_ms)
        return self._core.counters.unheard == unheard

    def subscribe(self, topic_filter: str, qos: int = 0) -> None:
        """Subscribe; a filter that the broker refuses catches nothing."""
        options = SubscribeOptions(qos)

        def arrive(now_s: float) -> None:
            assert link is not None
            session = link.session
            reason, retained = self._core.subscribe(session, topic_filter, options, 0)
            if reason < _REFUSED:
                self._core.offer_retained(session, retained, options, 0, now_s)

        if (link := self._link) is not None:
            link.upward(arrive)

    def unsubscribe(self, topic_filter: str) -> None:
        """Give a filter up."""

        def arrive(now_s: float) -> None:
            del now_s
            assert link is not None
            self._core.unsubscribe(link.session, topic_filter)

        if (link := self._link) is not None:
            link.upward(arrive)

    def disconnect(self) -> None:
        """Take leave: the will is forgotten."""
        if (link := self._release()) is not None:
            link.upward(lambda now_s: link.end(now_s, with_will=False))

    def drop(self) -> None:
        """Close the socket without a word: the broker sees it and says the will."""
        if (link := self._release()) is not None:
            link.upward(lambda now_s: link.end(now_s, with_will=True))

    def vanish(self) -> None:
        """Lose power: the broker notices 1.5 keep alives later, or when this id comes back."""
        if (link := self._release()) is not None:
            link.give_up_in_time()

    def lost(self, link: "_Link") -> None:
        """The broker ended this connection; called by the link."""
        if self._link is link:
            self._link = None
            if self.on_lost is not None:
                self.on_lost()

    def heard(self, link: "_Link", delivery: Delivery) -> None:
        """A message came down this link; called by the link."""
        if self._link is link and self.on_message is not None:
            message = delivery.message
            self.on_message(message.topic, message.payload, delivery.qos, delivery.retain)

    def _release(self) -> "_Link | None":
        link, self._link = self._link, None
        return link


class _Link:
    """One connection of a `MemoryClient` at the broker's end: a `Link` and a `Holdable`."""

    instant = True
    session: Session

    def __init__(self, client: MemoryClient, core: Broker, driver: Driver) -> None:
        self.ready = True
        self.client_id = ""
        self._client = client
        self._core = core
        self._driver = driver
        self._loop: asyncio.AbstractEventLoop = driver.loop
        self._keep_alive_s = 0
        self._held_at_s = 0.0
        self._waiting: list[Callable[[float], None]] = []

    def open(self, request: ConnectRequest) -> bool:
        """Bind to a session; whether there was one."""
        now_s = self._driver.now_s()
        self.client_id = request.client_id
        self._keep_alive_s = request.keep_alive_s
        self.session, present = self._core.connect(request.client_id, request, self, now_s)
        self._core.holdables.setdefault(self.client_id, []).append(self)
        self.session.resume(now_s)
        self._driver.flush_soon()
        return present

    @property
    def _is_open(self) -> bool:
        return self.session.link is self

    # From the board

    def upward(self, action: Callable[[float], None], delay_ms: int = 0) -> None:
        """Have the broker do it, unless the connection ends before that."""
        now_s = self._driver.now_s()
        if delay_ms:
            # The broker's timers keep the order of equal times, which the loop's do not.
            self._core.at(now_s + delay_ms / _MS, lambda at_s: self._arrive(action, at_s))
        else:
            self._arrive(action, now_s)
        self._driver.flush_soon()

    def _arrive(self, action: Callable[[float], None], now_s: float) -> None:
        if not self._is_open:
            return
        if self.ready:
            action(now_s)
        else:
            self._waiting.append(action)

    def end(self, now_s: float, *, with_will: bool) -> None:
        """The board closed it."""
        self._let_go()
        self._core.detach(self.session, self, now_s, with_will=with_will)

    def give_up_in_time(self) -> None:
        """Nothing comes from the board any more: let the keep alive run out."""
        if self._keep_alive_s:
            due_s = self._driver.now_s() + self._keep_alive_s * KEEP_ALIVE_GRACE
            self._core.at(due_s, self._give_up)
            self._driver.flush_soon()

    def _give_up(self, now_s: float) -> None:
        if self._is_open:
            self.end(now_s, with_will=True)
            self._loop.call_soon(self._client.lost, self)

    # From the broker (Link)

    def send(self, delivery: Delivery, packet_id: int, now_s: float, *, duplicate: bool) -> bool:
        """Deliver, as often and as late as the link's fault says."""
        del packet_id, duplicate
        message = delivery.message
        for delay_ms in self._client.link_fault(False, message.topic, message.payload):  # noqa: FBT003 -- LinkFault
            if delay_ms:
                self._core.at(now_s + delay_ms / _MS, lambda _: self._client.heard(self, delivery))
            else:
                self._loop.call_soon(self._client.heard, self, delivery)
        return True

    def release(self, packet_id: int) -> None:
        """Nothing: there is no second half to an instant delivery."""

    def close(self, reason: Reason, now_s: float) -> None:
        """The broker ends it; the board hears of it after what was sent before."""
        del reason, now_s
        self._let_go()
        self._loop.call_soon(self._client.lost, self)

    # From a fault (Holdable)

    def hold(self, now_s: float) -> None:
        """Let nothing pass; a partition is noticed by keep alive."""
        self.ready = False
        self._held_at_s = now_s
        if self._core.held.get(self.client_id) is Hold.PARTITIONED and self._keep_alive_s:
            self._core.at(now_s + self._keep_alive_s * KEEP_ALIVE_GRACE, self._give_up_if_held)

    def unhold(self, now_s: float) -> None:
        """Let what waited pass."""
        self.ready = True
        waiting, self._waiting = self._waiting, []
        for action in waiting:
            self._arrive(action, now_s)
        if self._is_open:
            self.session.pump(now_s)

    def _give_up_if_held(self, now_s: float) -> None:
        held_as = self._core.held.get(self.client_id)
        due_s = self._held_at_s + self._keep_alive_s * KEEP_ALIVE_GRACE
        if held_as is Hold.PARTITIONED and now_s >= due_s:
            self._give_up(now_s)

    def _let_go(self) -> None:
        holdables = self._core.holdables.get(self.client_id, [])
        if self in holdables:
            holdables.remove(self)
            if not holdables:
                del self._core.holdables[self.client_id]
