"""Toxics that read MQTT packets."""

from dataclasses import dataclass, replace
from typing import ClassVar

from fleet_sim.broker.topics import SHARE, matches, split_shared, valid_filter
from fleet_sim.proxy.items import Answer, Message
from fleet_sim.proxy.mqtt import KINDS, Packet, suback
from fleet_sim.proxy.stage import Stage
from fleet_sim.proxy.toxic import Toxic, milliseconds, setting, share


@dataclass(frozen=True, slots=True)
class MqttToxic(Toxic):
    """What it strikes: packets of these kinds and topics, and of those a share."""

    packets: str = setting("publish", "", "kinds of packets, with commas: publish,puback")
    topic: str = setting("#", "", "filter for the topic of a PUBLISH; others have none")
    share: float = share("of those packets")

    reads: ClassVar[type[Message] | None] = Packet

    def problems(self) -> list[str]:
        """Kinds that do not exist, a filter that matches nothing."""
        known = set(KINDS.values())
        return [
            f"packets: {kind!r} is no kind of packet; known are {', '.join(KINDS.values())}"
            for kind in self.packets.split(",")
            if kind not in known
        ] + ([] if valid_filter(self.topic) else [f"topic: {self.topic!r} is no topic filter"])

    def strike(self, message: Packet, at_s: float, stage: Stage) -> None:
        """Harm it, or let it by."""
        if self._meant(message) and (self.share >= 1 or stage.chance.random() < self.share):
            self.harm(message, at_s, stage)
        else:
            stage.add(at_s, message)

    def _meant(self, packet: Packet) -> bool:
        if packet.kind not in self.packets.split(","):
            return False
        if packet.kind != "publish" or self.topic == "#":
            return True
        return matches(self.topic, packet.topic)

    def harm(self, packet: Packet, at_s: float, stage: Stage) -> None:
        """What it does to a packet that it strikes."""
        stage.add(at_s, packet)


@dataclass(frozen=True, slots=True)
class MqttDrop(MqttToxic):
    """Packets are lost, and the connection lives on: with packets=puback, acknowledgements."""

    source: ClassVar[str] = "a broker that acknowledged 1,500 messages and kept 1,000 (Mosquitto)"

    def harm(self, packet: Packet, at_s: float, stage: Stage) -> None:
        """It is gone."""


@dataclass(frozen=True, slots=True)
class MqttDuplicate(MqttToxic):
    """Packets come twice; the second has DUP set where the packet has an id."""

    source: ClassVar[str] = "MQTT 3.1.1, 4.3.2: at least once is what QoS 1 promises"

    def harm(self, packet: Packet, at_s: float, stage: Stage) -> None:
        """Itself, and itself again."""
        stage.add(at_s, packet)
        stage.add(at_s, packet.again())


@dataclass(frozen=True, slots=True)
class MqttDelay(MqttToxic):
    """Packets come late, in their order; all others overtake them."""

    delay: int = milliseconds(1000, "how late")
    jitter: int = milliseconds(0, "more or less than that")

    source: ClassVar[str] = "MQTT 3.1.1, 4.6: order is promised within a topic, not between topics"

    def harm(self, packet: Packet, at_s: float, stage: Stage) -> None:
        """Later, and not before the one that came before."""
        late_s = (self.delay + stage.chance.uniform(-self.jitter, self.jitter)) / 1000
        stage.free_s = max(stage.free_s, at_s + max(0.0, late_s))
        stage.add(stage.free_s, packet)


@dataclass(frozen=True, slots=True)
class MqttReorder(MqttToxic):
    """Two packets change places; one without a second goes on after `hold`."""

    hold: int = milliseconds(1000, "how long the first waits for the second")

    source: ClassVar[str] = "MQTT 3.1.1, 4.6: no order between messages of different QoS"

    def harm(self, packet: Packet, at_s: float, stage: Stage) -> None:
        """The first waits until the second has left."""
        if stage.held:
            stage.add(at_s, packet)
            stage.hasten(at_s)
            return
        stage.free_s = at_s + self.hold / 1000
        stage.add(stage.free_s, packet)


@dataclass(frozen=True, slots=True)
class MqttCorrupt(MqttToxic):
    """Bytes of the payload are others; topic and length are right, so the packet still parses."""

    bytes: int = setting(1, "bytes", "so many of the payload", least=1, most=1024)

    source: ClassVar[str] = "TCP's checksum misses one in 10^7 to 10^10 packets (Stone, Partridge)"

    def harm(self, packet: Packet, at_s: float, stage: Stage) -> None:
        """Flip bits at places that chance chooses."""
        raw = bytearray(packet.raw)
        start = packet.payload if packet.kind == "publish" else packet.body
        for _ in range(self.bytes if start < len(raw) else 0):
            raw[stage.chance.randrange(start, len(raw))] ^= stage.chance.randint(1, 255)
        stage.add(at_s, replace(packet, raw=bytes(raw)))


@dataclass(frozen=True, slots=True)
class MqttRefuseSubscribe(Toxic):
    """SUBSCRIBE is answered with a refusal, and the broker never hears of it. Stream: upstream."""

    topic: str = setting("#", "", "strikes if one of the filters asked for is within this one")
    code: int = setting(0x80, "", "reason code; 128 is the only one of 3.1.1", 0x80, 0xA2)
    share: float = share("of those requests")

    reads: ClassVar[type[Message] | None] = Packet
    source: ClassVar[str] = (
        "MQTT 3.1.1, 3.9.3: 0x80, Failure; brokers say so of what an ACL forbids"
    )

    def strike(self, message: Packet, at_s: float, stage: Stage) -> None:
        """Answer it, or let it by."""
        if message.kind == "subscribe":
            try:
                packet_id, filters = message.filters()
            except IndexError:  # malformed, and the broker's to judge
                filters = []
            asked = any(matches(self.topic, _plain(each)) for each in filters)
            if asked and stage.chance.random() < self.share:
                codes = bytes((self.code,)) * len(filters)
                stage.add(at_s, Answer(suback(packet_id, codes, message.level)))
                return
        stage.add(at_s, message)

    def problems(self) -> list[str]:
        """A filter that matches nothing."""
        return [] if valid_filter(self.topic) else [f"topic: {self.topic!r} is no topic filter"]


def _plain(topic_filter: str) -> str:
    """Without the group of a shared subscription."""
    try:
        return split_shared(topic_filter)[1]
    except ValueError:
        return topic_filter.removeprefix(SHARE)
