"""What is under way on a slow link: first in, first out, and no faster than the link carries.

put ──► [ waits for the one before ][ takes its time ] ──► hand        early: at its first byte
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from vendors.http import HttpReply
from vendors.sim import Message, Publish, Push, Reply, Webhook, WsClose, WsText


class Clock(Protocol):
    """Who knows the time, and calls back."""

    def now_ms(self) -> float:
        """Unix ms, with its fraction."""

    def later(self, wait_ms: float, what: Callable[[], None]) -> None:
        """Do this after so long."""


class Parcel(NamedTuple):
    """One message under way: when it is handed on, when it was sent, and how long it takes."""

    due_ms: float
    sent_ms: float
    message: Message
    over_ms: float


class Line:
    """The messages of one link that have not arrived.

    Args:
        clock: of the run.
        hand: takes each when it is due.
    """

    __slots__ = ("_clock", "_free_ms", "_hand", "_leaving_ms", "_waiting", "bytes")

    def __init__(self, clock: Clock, hand: Callable[[Parcel], None]) -> None:
        self._clock = clock
        self._hand = hand
        self._waiting: deque[Parcel] = deque()
        #: Until when one that was handed on at its first byte still leaves, and when it was sent.
        self._free_ms = 0.0
        self._leaving_ms = 0.0
        #: What waits.
        self.bytes = 0

    def __bool__(self) -> bool:
        """Whether something is under way."""
        return bool(self._waiting) or self._free_ms > self._clock.now_ms()

    @property
    def since_ms(self) -> float:
        """When the oldest of it was sent."""
        if self._free_ms > self._clock.now_ms():
            return self._leaving_ms
        return self._waiting[0].sent_ms

    def put(
        self,
        message: Message,
        delay_ms: int,
        takes_ms: float = 0.0,
        *,
        early: bool = False,
        sent_ms: float | None = None,
    ) -> None:
        """Send one behind all others.

        Args:
            message: what is sent.
            delay_ms: how late it is.
            takes_ms: how long the link is busy with it.
            early: hand it on at its first byte, and not at its last.
            sent_ms: when it was sent, to the microsecond: by that it is known again; absent, now.
        """
        now_ms = self._clock.now_ms()
        sent_ms = now_ms if sent_ms is None else sent_ms
        begins_ms = max(now_ms + delay_ms, self._free_ms)
        if self._waiting:
            last = self._waiting[-1]
            begins_ms = max(begins_ms, last.due_ms + last.over_ms)
        due_ms = begins_ms if early else begins_ms + takes_ms
        self._waiting.append(Parcel(due_ms, sent_ms, message, takes_ms if early else 0.0))
        self.bytes += size_of(message)
        if len(self._waiting) == 1:
            self._clock.later(due_ms - now_ms, self._arrive)

    def clear(self) -> None:
        """The link was cut: all of it is lost."""
        self._waiting.clear()
        self._free_ms = 0.0
        self.bytes = 0

    def _arrive(self) -> None:
        if not self._waiting:
            return  # the link was cut in between
        now_ms = self._clock.now_ms()
        while self._waiting and self._waiting[0].due_ms <= now_ms + 1:
            parcel = self._waiting.popleft()
            self.bytes -= size_of(parcel.message)
            if parcel.over_ms:
                self._free_ms = parcel.due_ms + parcel.over_ms
                self._leaving_ms = parcel.sent_ms
            self._hand(parcel)
        if self._waiting:
            self._clock.later(self._waiting[0].due_ms - now_ms, self._arrive)


def size_of(message: Message | HttpReply) -> int:
    """About how many bytes it is on its way; headers and frames are for nothing."""
    match message:
        case Publish(topic=topic, payload=payload):
            return len(topic) + len(payload)
        case Reply() | Push():
            return len(message.payload)
        case HttpReply() | Webhook():
            return len(message.body)
        case WsText(text=text):
            return len(text)
        case WsClose():
            return 0
