"""What fails about sessions on a broker, and about the broker itself.

What is no device's link is carried out by `fleet_sim.ground.broker`.
"""

from dataclasses import dataclass
from typing import Final

from fleet_sim.faults.fault import End, Fault, setting
from fleet_sim.faults.kind import Family, Kind, Strikes
from fleet_sim.faults.wire import Silence

#: A broker that is a process of its own cannot be told to forget or to stall.
_IN_MEMORY: Final = ("virtual",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectStorm(Fault):
    """Links are cut every `cut_every_ms`, at all of the struck devices at once."""

    cut_every_ms: int = setting(1000, "ms", "how often all links are cut")

    @property
    def reconnect(self) -> bool:
        """The last cut."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class WillStorm(Silence):
    """All struck links end at once without DISCONNECT, and none is made again until the end."""

    return_ms: int = setting(5_000, "ms", "in how long all come back at the end")

    @property
    def deaf(self) -> bool:
        """There is no link."""
        return True

    @property
    def ends(self) -> End:
        """The broker sees it, and says every will."""
        return End.CLOSED

    @property
    def apart_ms(self) -> int:
        """Spread, or the births would be a storm of their own."""
        return self.return_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateClientId(Fault):
    """Somebody else connects with the same client id, and the broker puts out who had it."""

    every_ms: int = setting(3_000, "ms", "how often the other one connects")

    @property
    def usurped_every_ms(self) -> int:
        """The same."""
        return self.every_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainedLost(Fault):
    """The broker forgets the vendor's retained messages, and keeps none until the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLost(Fault):
    """The cell is cut off until the end; the broker forgets its session meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerRestart(Fault):
    """The broker is away until the end, and has kept sessions and retained messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAmnesia(Fault):
    """The broker is away until the end, and comes back empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionRefused(Fault):
    """The cell may connect and not subscribe; at the end it may, and nobody tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowConsumer(Fault):
    """The cell's connection is read no more: what it is to hear queues up at the broker."""


KINDS: Final = {
    "reconnect_storm": Kind(
        Family.MQTT,
        ReconnectStorm,
        "links are cut every cut_every_ms, and all connect anew at once",
        "CONNECTs of all struck devices every cut_every_ms; wills between them",
        "ioBroker.shelly#970: a link that is dropped every 10 s and made anew",
    ),
    "will_storm": Kind(
        Family.MQTT,
        WillStorm,
        "all struck links end without DISCONNECT at once; they come back within return_ms",
        "a will of each in the same moment; at the end a CONNECT of each",
        "PaulWieland/ratgdo#37: a Wi-Fi roam ends the session, and the broker says the will",
    ),
    "duplicate_client_id": Kind(
        Family.MQTT,
        DuplicateClientId,
        "somebody else connects with the devices' client ids every every_ms",
        "take-overs: CONNECTs with one id again and again, from two sides, wills between them",
        "knolleary/pubsubclient#129: two boards with one sketch put each other out",
    ),
    "retained_lost": Kind(
        Family.MQTT,
        RetainedLost,
        "the broker forgets the vendor's retained messages",
        "who subscribes anew finds nothing on these topics",
        "emsesp/EMS-ESP#631: after a restart of the broker some are missing",
        Strikes.VENDOR,
        _IN_MEMORY,
    ),
    "session_lost": Kind(
        Family.MQTT,
        SessionLost,
        "the broker forgets the session of the vendor's cell while it is cut off",
        "the cell's CONNECTs are refused; then session present 0, and SUBSCRIBE",
        "eclipse-mosquitto/mosquitto#2265: subscribed, and deaf since the broker restarted",
        Strikes.VENDOR,
        _IN_MEMORY,
    ),
    "broker_restart": Kind(
        Family.MQTT,
        BrokerRestart,
        "the broker restarts, and has kept what it persists",
        "all links end, and none can be made until the end; then session present 1",
        "eclipse-mosquitto/mosquitto#769: what comes while a broker and its client restart",
        Strikes.GATEWAY,
        _IN_MEMORY,
    ),
    "broker_amnesia": Kind(
        Family.MQTT,
        BrokerAmnesia,
        "the broker restarts, and has kept nothing",
        "all links end; then session present 0, and no retained message",
        "Ladder99/fanuc-driver#59: a broker that restarts knows no retained message",
        Strikes.GATEWAY,
        _IN_MEMORY,
    ),
    "subscription_refused": Kind(
        Family.MQTT,
        SubscriptionRefused,
        "the broker refuses the subscriptions of the vendor's cell",
        "SUBACK 0x87 (0x80 in 3.1.1), and no frame to the cell",
        "eclipse-paho/paho.mqtt.python#242: refused by an ACL, and taken for granted",
        Strikes.VENDOR,
        _IN_MEMORY,
    ),
    "slow_consumer": Kind(
        Family.MQTT,
        SlowConsumer,
        "the connection of the vendor's cell stalls, and the broker's queue for it grows",
        "no frame to the cell; the broker's queue grows to its limit; then all at once",
        "eclipse-mosquitto/mosquitto#1821: a queue that is full, and what comes is dropped",
        Strikes.VENDOR,
        _IN_MEMORY,
    ),
}
