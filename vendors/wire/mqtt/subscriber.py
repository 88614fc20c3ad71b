"""The subscribing half of a session: what is asked for, and again as long as it is refused.

            last SUBACK
SUBSCRIBE ───────────────► all granted
    ▲            │
    └── wait ◄───┘ what was refused, and only that, on the same connection
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Final

from mqtt5 import DisconnectReasonCode, QoS, SubAckPacket, SubscribePacket, TopicFilter

from vendors.wire.backoff import Backoff
from vendors.wire.mqtt import reason
from vendors.wire.mqtt.connection import Connection
from vendors.wire.mqtt.framing import LinkError, PeerError
from vendors.wire.mqtt.settings import MqttSettings

# AWS IoT Core takes 8 filters per SUBSCRIBE. Source: AWS IoT Core endpoints and quotas,
# "Subscriptions per subscribe request".
_FILTERS_PER_SUBSCRIBE: Final = 8
# 3.9.3: reason codes from here on are refusals.
_REFUSED: Final = 0x80
_FOREIGN_SUBACK: Final = PeerError(
    DisconnectReasonCode.PROTOCOL_ERROR, "SUBACK does not answer our SUBSCRIBE"
)


class Subscriber:
    """Subscriptions, over whichever connection there is.

    Args:
        settings: how long a SUBACK may take, and the backoff.
        subscriptions: never taken above QoS 1.
        packet_id: an identifier that no open frame uses.
        rng: the backoff's chance.

    Attributes:
        denials: what the broker refused when last asked, in words for people.
        lowered: filters that it granted at QoS 0 although we asked for 1.
    """

    def __init__(
        self,
        settings: MqttSettings,
        subscriptions: Iterable[TopicFilter],
        packet_id: Callable[[], int],
        rng: random.Random,
    ) -> None:
        self.denials: list[str] = []
        self.lowered: list[str] = []
        self._settings = settings
        self._subscriptions = [_at_most_qos_1(wish) for wish in subscriptions]
        self._packet_id = packet_id
        self._rng = rng
        self._backoff = Backoff(settings.backoff_base_ms, settings.backoff_max_ms)
        self._refused: list[TopicFilter] = []
        # By packet identifier: what no SUBACK came for yet.
        self._asked: dict[int, list[TopicFilter]] = {}
        self._refusals = 0
        # Until it is asked again, or until the SUBACK is late.
        self._timer: asyncio.TimerHandle | None = None

    def link_up(self, connection: Connection) -> bool:
        """Ask for everything.

        Returns:
            Whether there was anything to ask for, so that an answer comes.
        """
        self.lowered = []
        self._refusals = 0
        self._ask(connection, self._subscriptions)
        return bool(self._asked)

    def link_lost(self) -> None:
        """Ask for nothing more on this connection."""
        self._set(None)

    def answered(self, connection: Connection, packet: SubAckPacket) -> bool:
        """Take in a SUBACK; what was refused when the last one is in will be asked for again.

        Returns:
            Whether it was the last one, so that `denials` and `lowered` are complete.
        """
        wishes = self._asked.pop(packet.packet_id, [])
        if not wishes or len(wishes) != len(packet.reason_codes):
            connection.fail(_FOREIGN_SUBACK)
            return False
        for wish, code in zip(wishes, packet.reason_codes, strict=True):
            if code.value >= _REFUSED:
                self._refused.append(wish)
                self.denials.append(reason.denial(wish.pattern, code, packet.reason_str))
            elif code.value < wish.max_qos.value:
                self.lowered.append(wish.pattern)
        if self._asked:
            return False
        self._set(None)
        if self._refused:
            self._ask_later(connection)
        return True

    def _ask(self, connection: Connection, wishes: list[TopicFilter]) -> None:
        self._asked = {}
        self._refused, self.denials = [], []
        for start in range(0, len(wishes), _FILTERS_PER_SUBSCRIBE):
            portion = wishes[start : start + _FILTERS_PER_SUBSCRIBE]
            packet_id = self._packet_id()
            self._asked[packet_id] = portion
            connection.send(SubscribePacket(packet_id, portion).write())

    def _ask_later(self, connection: Connection) -> None:
        # An ACL is a person's to heal, and yet the first waits are short: a right that was given
        # with the client's name may reach the broker a moment after the client.
        delay_ms = self._backoff.delay_ms(self._refusals, self._rng)
        self._refusals += 1
        loop = asyncio.get_running_loop()
        self._set(loop.call_later(delay_ms / 1000, self._ask_again, connection))

    def _ask_again(self, connection: Connection) -> None:
        # The first question's limit is that of the connection attempt.
        limit_s = self._settings.connect_timeout_s
        late = LinkError(f"no SUBACK from {self._settings.where} within {limit_s} s")
        self._set(asyncio.get_running_loop().call_later(limit_s, connection.abort, late))
        self._ask(connection, self._refused)

    def _set(self, timer: asyncio.TimerHandle | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer


def _at_most_qos_1(wish: TopicFilter) -> TopicFilter:
    return TopicFilter(
        wish.pattern,
        max_qos=wish.max_qos if wish.max_qos == QoS.AT_MOST_ONCE else QoS.AT_LEAST_ONCE,
        no_local=wish.no_local,
        retain_as_published=wish.retain_as_published,
        retain_handling=wish.retain_handling,
    )
