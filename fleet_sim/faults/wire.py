"""What fails between two ends: packets that are late, lost, torn, and links that die."""

from dataclasses import dataclass
from typing import Final

from fleet_sim.faults.fault import Arrivals, Carried, Fault, setting
from fleet_sim.faults.kind import Family, Kind
from vendors.http import HttpReply
from vendors.sim import Chance, Publish, Push, Reply, Webhook, WsClose, WsText

# More than any word, number or packet that a codec could take for a meaning.
_GARBAGE_BYTES: Final = (65, 200)


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
        return ((0, torn(message, rng.randbytes(rng.randint(*_GARBAGE_BYTES)))), (0, message))


def torn(message: Carried, garbage: bytes) -> Carried:
    """The same message with garbage in it; a close has nothing that could be torn."""
    match message:
        case Publish():
            # Not retained: what a board stores on a broker is its own last word.
            return message._replace(payload=garbage, retain=False)
        case Reply() | Push():
            return message._replace(payload=garbage)
        case HttpReply() | Webhook():
            return message._replace(body=garbage)
        case WsText():
            return message._replace(text=garbage.decode("latin-1"))
        case WsClose():
            return message


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
}
