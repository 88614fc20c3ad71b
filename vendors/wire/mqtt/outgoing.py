"""What we have told the broker and it has not acknowledged yet; pure.

  publish()          PUBACK
     │                 ▲
     ▼                 │
┌ waiting ┐ window ┌ sent ┐        link lost: `resend` entries go back to waiting, in their
└─────────┘ ─────► └──────┘        first order; the others are given up
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

from mqtt5 import PubAckReasonCode, PublishPacket, QoS

Done = Callable[[PubAckReasonCode | None], None]

# 2.2.1: a packet identifier is 1 to 65,535.
_PACKET_ID_MAX = 65_535


@dataclass(slots=True)
class Entry:
    """One QoS 1 PUBLISH. `sent_in` is the connection it last left on, 0 for none."""

    packet: PublishPacket
    resend: bool
    done: Done | None
    accepted_s: float
    sent_in: int = 0


@dataclass(slots=True)
class Outgoing:
    """Entries in the order they were accepted; `entries` stays the same object.

    `window` is what the broker of the present connection allows to be sent and unacknowledged.
    """

    window: int = 0
    entries: dict[int, Entry] = field(default_factory=dict)
    waiting: deque[int] = field(default_factory=deque)
    _last_id: int = 0

    def packet_id(self) -> int:
        """An identifier that no entry uses; the caller's if it makes an entry of it."""
        packet_id = self._last_id
        while True:
            packet_id = packet_id % _PACKET_ID_MAX + 1
            if packet_id not in self.entries:
                self._last_id = packet_id
                return packet_id

    def sendable(self, generation: int) -> Iterator[Entry]:
        """Entries whose turn it is; each counts as sent once yielded."""
        while self.waiting and len(self.entries) - len(self.waiting) < self.window:
            entry = self.entries[self.waiting.popleft()]
            yield entry
            entry.sent_in = generation

    def settle(self, packet_id: int, generation: int) -> Entry | None:
        """Take out what a PUBACK answers; None if it answers nothing we sent on this link."""
        entry = self.entries.get(packet_id)
        if entry is None or entry.sent_in != generation:
            return None
        del self.entries[packet_id]
        return entry

    def rewind(self) -> list[Entry]:
        """After a lost link: all that may be sent again waits again, in its first order.

        Returns:
            The entries given up: sent or not, they must never be repeated.
        """
        gone = [entry for entry in self.entries.values() if not entry.resend]
        for entry in gone:
            del self.entries[cast("int", entry.packet.packet_id)]
        self.waiting = deque(self.entries)
        return gone

    def abandon(self) -> list[Entry]:
        """The session ends for good: everything that is still open."""
        gone = list(self.entries.values())
        self.entries.clear()
        self.waiting.clear()
        return gone


def again(packet: PublishPacket, *, duplicate: bool, retain: bool, waited_s: float) -> bytes:
    """The packet as it goes out a second time: DUP set, what is left of its expiry.

    At least one second of expiry stays: whether an old message still matters is for those
    who made it to say, and a message that vanished here would look acknowledged.
    """
    expiry_s = packet.message_expiry_interval
    return PublishPacket(
        packet.topic,
        packet.payload,
        qos=packet.qos,
        retain=packet.retain and retain,
        packet_id=packet.packet_id,
        duplicate=duplicate,
        message_expiry_interval=None if expiry_s is None else max(1, expiry_s - int(waited_s)),
        content_type=packet.content_type,
        response_topic=packet.response_topic,
        correlation_data=packet.correlation_data,
        user_properties=packet.user_properties,
    ).write()


def renumbered(packet: PublishPacket, packet_id: int) -> PublishPacket:
    """The same frame at QoS 1 under this identifier."""
    return PublishPacket(
        packet.topic,
        packet.payload,
        qos=QoS.AT_LEAST_ONCE,
        retain=packet.retain,
        packet_id=packet_id,
        message_expiry_interval=packet.message_expiry_interval,
        content_type=packet.content_type,
        response_topic=packet.response_topic,
        correlation_data=packet.correlation_data,
        user_properties=packet.user_properties,
    )
