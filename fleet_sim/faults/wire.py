"""What fails between two ends: packets that are late, lost, torn, and links that die."""

from dataclasses import dataclass
from typing import Final

from fleet_sim.faults.fault import Arrivals, Carried, End, Fault, Heard, setting
from fleet_sim.faults.kind import Family, Kind
from fleet_sim.faults.torn import cut_off, flipped, garbled
from vendors.sim import Chance

_SOME: Final = "of the messages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence(Fault):
    """The device stays connected and nothing that it says gets out."""

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """Nothing arrives."""
        del message, rng
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang(Silence):
    """Connected, mute and deaf, until it is made to connect anew at the end."""

    @property
    def deaf(self) -> bool:
        """It hears nothing either."""
        return True

    @property
    def reconnect(self) -> bool:
        """Somebody pulls the plug at last."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood(Fault):
    """Everything happens `rate_factor` times as often, and boards repeat their last words.

    A bolt cannot move twenty times as often; what is missing to the rate is said again.
    """

    rate_factor: float = setting(20.0, "", "how many times as often as usual")


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed(Fault):
    """Each message comes with a torn one before it, to the same place."""

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """Garbage first, then the truth."""
        return ((0, garbled(message, rng)), (0, message))


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate(Fault):
    """Everything is said twice."""

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """Itself, and itself again."""
        del rng
        return ((0, message), (0, message))


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(Fault):
    """Everything is late by `latency_ms`, in order."""

    latency_ms: int = setting(500, "ms", "how late everything is")

    @property
    def late_ms(self) -> int:
        """Always the same."""
        return self.latency_ms

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """Late, never early; the line keeps the order."""
        del rng
        return ((self.latency_ms, message),)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCut(Fault):
    """No power: no link, and nobody uses it. At the end all come back within `return_ms`."""

    return_ms: int = setting(5_000, "ms", "in how long all come back at the end")

    @property
    def back_ms(self) -> int | None:
        """Everybody boots at once."""
        return self.return_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Jitter(Fault):
    """Everything is late by up to `jitter_ms`, now more and now less, in order."""

    jitter_ms: int = setting(1_500, "ms", "how late something is at most")

    @property
    def late_ms(self) -> int:
        """At worst."""
        return self.jitter_ms

    def lag_ms(self, rng: Chance) -> int:
        """Whatever comes behind a late one waits for it."""
        return rng.randint(0, self.jitter_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss(Silence):
    """Some messages never arrive, in either direction."""

    probability: float = setting(0.2, "share", _SOME)

    def listen(self, message: Heard, rng: Chance) -> tuple[tuple[int, Heard], ...]:
        """Nor does what is said to it."""
        del message, rng
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorder(Fault):
    """Some messages wait for `hold_ms`, and the next ones overtake them."""

    probability: float = setting(0.3, "share", _SOME)
    hold_ms: int = setting(2_000, "ms", "how long such a message waits")

    @property
    def in_order(self) -> bool:
        """Nobody waits for it."""
        return False

    @property
    def late_ms(self) -> int:
        """Always the same."""
        return self.hold_ms

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """Late, with newer words before it."""
        del rng
        return ((self.hold_ms, message),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate(Fault):
    """Some messages break off at a random byte; a stream of packets breaks off with them."""

    probability: float = setting(0.2, "share", _SOME)

    @property
    def tears(self) -> bool:
        """Half a packet, and no more."""
        return True

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """What has no length in front arrives short."""
        rest = cut_off(message, rng)
        return () if rest is None else ((0, rest),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrupt(Fault):
    """In some messages bits are flipped."""

    probability: float = setting(0.2, "share", _SOME)

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """It arrives, and is no good message."""
        return ((0, flipped(message, rng)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth(Fault):
    """The link carries `kbit_per_s`: messages queue up behind each other."""

    kbit_per_s: float = setting(2.0, "kbit/s", "how much it carries")
    backlog_bytes: int = setting(4_096, "bytes", "what may wait for it; the rest is lost")

    @property
    def bytes_per_s(self) -> float:
        """The same."""
        return self.kbit_per_s * 125

    @property
    def late_ms(self) -> int:
        """The whole backlog."""
        return round(1_000 * self.backlog_bytes / self.bytes_per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowDrip(Fault):
    """Messages trickle in, a few bytes at a time."""

    bytes_per_s: float = setting(40.0, "bytes/s", "how fast they trickle")
    backlog_bytes: int = setting(2_048, "bytes", "what may wait for it; the rest is lost")

    @property
    def in_pieces(self) -> bool:
        """Whoever reads gets half of a packet again and again."""
        return True

    @property
    def late_ms(self) -> int:
        """The whole backlog."""
        return round(1_000 * self.backlog_bytes / self.bytes_per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Fault):
    """The link is reset at random times, and made anew as the device does it."""

    every_ms: int = setting(20_000, "ms", "how often, on average")

    @property
    def reset_every_ms(self) -> int:
        """The same."""
        return self.every_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfOpen(Hang):
    """The connection is dead and nobody was told; the device notices at the end."""

    @property
    def ends(self) -> End:
        """Without a word; the broker gives it up by its keepalive."""
        return End.SILENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition(Silence):
    """The network is cut in two: links die unnoticed, none can be made, devices live on."""

    apart_ms: int = setting(1_000, "ms", "in how long all come back at the end")

    @property
    def deaf(self) -> bool:
        """Nothing gets through."""
        return True

    @property
    def ends(self) -> End:
        """Without a word."""
        return End.SILENT


KINDS: Final = {
    "silence": Kind(
        Family.WIRE,
        Silence,
        "connected, and nothing that it says gets out",
        "no frame of the device; its session and its keepalives go on",
        "developer.nuki.io 26353: an MQTT lock connected and silent until it is rebooted",
    ),
    "hang": Kind(
        Family.WIRE,
        Hang,
        "connected, mute and deaf; made to connect anew at the end",
        "no frame in either direction, requests time out, and the link stays up",
        "PaulWieland/ratgdo#37: connected and silent until it is rebooted",
    ),
    "flood": Kind(
        Family.WIRE,
        Flood,
        "everything happens rate_factor times as often",
        "rate_factor times the frames",
        "ratgdo/esphome-ratgdo#327: a photo eye that flaps several times a second",
    ),
    "malformed": Kind(
        Family.WIRE,
        Malformed,
        "a torn message before each good one",
        "frames of 65 to 200 random bytes where a message should be; dead letters",
        "meross_lan: answers above 2-4 kB are cut off and are no JSON",
    ),
    "power_cut": Kind(
        Family.WIRE,
        PowerCut,
        "no power: nobody is there; all come back within return_ms",
        "links die without a word, wills are said; then all connect at once",
        "MQTT 3.1.1, 3.1.2.10: who falls silent is given up after 1.5 keepalives",
    ),
    "duplicate": Kind(
        Family.WIRE,
        Duplicate,
        "everything is said twice",
        "each frame twice",
        "Koenkk/zigbee2mqtt#3290: the action, and in the same ms a copy",
    ),
    "latency": Kind(
        Family.WIRE,
        Latency,
        "everything is late by latency_ms",
        "frames and answers come latency_ms later, in order",
        "benzman81/homebridge-nukiio#93: answers after 6-12 s; doors opened twice",
    ),
    "jitter": Kind(
        Family.WIRE,
        Jitter,
        "everything is late by up to jitter_ms, in order",
        "frames and answers come 0 to jitter_ms later, never in another order",
        "espressif/esp-idf#9766: pings of 3.75 to 1538 ms to one radio that saves power",
    ),
    "loss": Kind(
        Family.WIRE,
        Loss,
        "each message is lost with probability, in either direction",
        "fewer frames than were sent; requests without an answer",
        "arendst/Tasmota#6608: one answer after 4 ms, one after 67, and one never",
    ),
    "reorder": Kind(
        Family.WIRE,
        Reorder,
        "some messages wait for hold_ms and are overtaken by the next",
        "an older frame after a newer one",
        "eclipse-paho/paho.mqtt.golang#731: what waited for the link comes in another order",
    ),
    "truncate": Kind(
        Family.WIRE,
        Truncate,
        "some messages break off at a random byte",
        "half a PUBLISH and the end of its connection; short answers, texts and datagrams",
        "home-assistant/core#167165: half of a message, and the next one's head behind it",
    ),
    "corrupt": Kind(
        Family.WIRE,
        Corrupt,
        "in some messages bits are flipped",
        "frames that are as long, and no text any more; dead letters",
        "home-assistant/core#84591: payloads with bytes in them that are no UTF-8",
    ),
    "bandwidth": Kind(
        Family.WIRE,
        Bandwidth,
        "each link carries kbit_per_s; what is more waits, or is lost",
        "frames of one device come no faster than that",
        "esp8266/Arduino#4118: 130 to 780 kbit/s, with seconds of nothing in between",
    ),
    "slow_drip": Kind(
        Family.WIRE,
        SlowDrip,
        "messages trickle in at bytes_per_s",
        "packets in pieces; their last byte comes late",
        "espressif/arduino-esp32#7473: a message that takes 5 s to leave",
    ),
    "reset": Kind(
        Family.WIRE,
        Reset,
        "links are reset at random times, every_ms apart on average",
        "RST, a will, and a CONNECT",
        "smaragdschlange/ioBroker.nuki#67: ECONNRESET every few seconds",
    ),
    "half_open": Kind(
        Family.WIRE,
        HalfOpen,
        "the connection is dead, and neither end was told",
        "no frame and no ping; after 1.5 keepalives the will; at the end a new CONNECT",
        "marvinroger/async-mqtt-client#105: a device that believes in a connection that is none",
    ),
    "partition": Kind(
        Family.WIRE,
        Partition,
        "the network is cut in two: links die unnoticed and none can be made",
        "no frame, no ping and no CONNECT; wills; at the end all connect",
        "esp8266/Arduino#5998: timed out at the broker, and not back for 80 s",
    ),
}
