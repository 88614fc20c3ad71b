"""Ways for a simulated device's link to fail: small values that decide one message's fate.

Device-level faults (a jam, a flapping eye) are the vendors' own: `SimDevice.act("fault:…")`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_type_hints

from vendors.http import HttpReply
from vendors.sim import Chance, Message, Publish, Push, Reply, Webhook, WsClose, WsText

#: What a link carries: what a device sends, and what its hub answers.
Carried = Message | HttpReply
#: What arrives of one message, as (delay_ms, message): none is a loss, two are a duplicate. Of
#: the answer to an HTTP request only the first counts.
Arrivals = Sequence[tuple[int, Carried]]

# More than any word, number or packet that a codec could take for a meaning.
_GARBAGE_BYTES: Final = (65, 200)


class Fault:
    """What a link does while a fault lasts; this one does no harm."""

    __slots__ = ()

    @property
    def rate_factor(self) -> float:
        """How many times as often as usual people use the device."""
        return 1.0

    @property
    def deaf(self) -> bool:
        """Whether nothing that is sent to the device gets in."""
        return False

    @property
    def reconnect(self) -> bool:
        """Whether the link is cut at the end, so that the device must connect anew."""
        return False

    @property
    def cut_every_ms(self) -> int:
        """How often the link is cut; 0 for never."""
        return 0

    @property
    def back_ms(self) -> int | None:
        """In how long it comes back at the end, if it is not there at all meanwhile."""
        return None

    @property
    def refusal(self) -> HttpReply | None:
        """What a server answers to every HTTP request instead of doing what it is asked."""
        return None

    @property
    def bad_certificate(self) -> bool:
        """Whether a TLS server shows a certificate that nobody trusts."""
        return False

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """What arrives of a message that the device sends."""
        del rng
        return ((0, message),)


@dataclass(frozen=True, slots=True)
class Silence(Fault):
    """The device stays connected and nothing that it says gets out."""

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """Nothing arrives."""
        del message, rng
        return ()


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Flood(Fault):
    """Everything happens `rate_factor` times as often, and boards repeat their last words.

    A bolt cannot move twenty times as often; what is missing to the rate is said again.
    """

    rate_factor: float = 20.0


@dataclass(frozen=True, slots=True)
class Malformed(Fault):
    """Each message comes with a torn one before it, to the same place."""

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """Garbage first, then the truth."""
        return ((0, _torn(message, rng.randbytes(rng.randint(*_GARBAGE_BYTES)))), (0, message))


def _torn(message: Carried, garbage: bytes) -> Carried:
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


@dataclass(frozen=True, slots=True)
class Duplicate(Fault):
    """Everything is said twice."""

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """Itself, and itself again."""
        del rng
        return ((0, message), (0, message))


@dataclass(frozen=True, slots=True)
class Slow(Fault):
    """Everything is late by `latency_ms`, in order."""

    latency_ms: int = 500

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """Late, never early; the line keeps the order."""
        del rng
        return ((self.latency_ms, message),)


@dataclass(frozen=True, slots=True)
class DisconnectStorm(Fault):
    """Links are cut every `cut_every_ms`, at all of the struck devices."""

    cut_every_ms: int = 1000

    @property
    def reconnect(self) -> bool:
        """The last cut."""
        return True


@dataclass(frozen=True, slots=True)
class PowerCut(Fault):
    """No power: no link, and nobody uses it. At the end all come back within `return_ms`."""

    return_ms: int = 5_000

    @property
    def back_ms(self) -> int | None:
        """Everybody boots at once."""
        return self.return_ms


@dataclass(frozen=True, slots=True)
class ErrorAnswers(Fault):
    """A server answers every HTTP request with `status`, and does nothing of what it is asked."""

    status: int = 500

    @property
    def refusal(self) -> HttpReply | None:
        """Its whole answer."""
        return HttpReply(self.status, b"internal error", (("Content-Type", "text/plain"),))


@dataclass(frozen=True, slots=True)
class BadCertificate(Fault):
    """A TLS server shows a certificate that nobody trusts; links that are open are cut first."""

    @property
    def bad_certificate(self) -> bool:
        """From now on."""
        return True

    @property
    def cut_every_ms(self) -> int:
        """Connections that were trusted before do not outlive the change."""
        return 1_000


#: Names as scenarios write them, with one line for people.
FAULTS: Final[Mapping[str, tuple[type[Fault], str]]] = {
    "silence": (Silence, "connected, and nothing that it says gets out"),
    "hang": (Hang, "connected, mute and deaf; made to connect anew at the end"),
    "flood": (Flood, "everything happens rate_factor times as often"),
    "malformed": (Malformed, "a torn message before each good one"),
    "disconnect_storm": (DisconnectStorm, "links are cut every cut_every_ms"),
    "power_cut": (PowerCut, "no power: nobody is there; all come back within return_ms"),
    "duplicate": (Duplicate, "everything is said twice"),
    "slow": (Slow, "everything is late by latency_ms"),
    "error_answers": (ErrorAnswers, "an HTTP server answers everything with status, doing nothing"),
    "bad_certificate": (BadCertificate, "a TLS server shows a certificate that nobody trusts"),
}


def parameters(name: str) -> Mapping[str, Any]:
    """What a fault takes: name to type, `int` or `float`."""
    return get_type_hints(FAULTS[name][0])
