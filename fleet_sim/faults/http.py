"""What fails about servers: what they answer, the certificates they show, the webhooks they call.

A server's refusal here is anybody's. A hub that has words of its own for it says those instead:
see `vendors.sim.Hub`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from fleet_sim.faults.fault import Arrivals, Carried, Certificate, Fault, setting
from fleet_sim.faults.kind import Family, Kind
from vendors.http import HttpReply, HttpRequest, Pairs
from vendors.sim import Chance, Webhook

_JSON: Final = (("Content-Type", "application/json"),)
_TEXT: Final = (("Content-Type", "text/plain"),)
_MB: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerError(Fault):
    """A server answers every HTTP request with `status`, and does nothing of what it is asked."""

    status: int = setting(500, "", "the HTTP status that it answers", least=400)

    def refuse(self, request: HttpRequest, rng: Chance) -> HttpReply | None:
        """Its whole answer."""
        del request, rng
        return HttpReply(self.status, b"internal error", _TEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManyRequests(Fault):
    """A server has had enough: 429, with a `Retry-After` or without (RFC 6585, section 4)."""

    retry_after_s: int = setting(10, "s", "what Retry-After says; 0: it is left away", least=0)

    def refuse(self, request: HttpRequest, rng: Chance) -> HttpReply | None:
        """Nobody is served, however long they wait."""
        del request, rng
        wait: Pairs = (("Retry-After", str(self.retry_after_s)),) if self.retry_after_s else ()
        return HttpReply(429, b"too many requests", (*_TEXT, *wait))


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorInside200(Fault):
    """A server says 200, and in the body that it did not do what it was asked."""

    def refuse(self, request: HttpRequest, rng: Chance) -> HttpReply | None:
        """What looks like success to whoever reads the status only."""
        del request, rng
        return HttpReply(200, b'{"error":"internal error"}', _JSON)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenExpired(Fault):
    """A server takes nobody's token any more (RFC 6750, section 3.1)."""

    def refuse(self, request: HttpRequest, rng: Chance) -> HttpReply | None:
        """401, whatever proof comes with the request."""
        del request, rng
        why = (("WWW-Authenticate", 'Bearer error="invalid_token"'),)
        return HttpReply(401, b'{"error":"invalid_token"}', (*_JSON, *why))


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect(Fault):
    """A server sends everybody elsewhere; whoever follows carries tokens and commands there."""

    status: int = setting(302, "", "the HTTP status that it answers", least=300)
    location: str = setting("http://192.0.2.1/", "", "where it points to, with any path")

    def refuse(self, request: HttpRequest, rng: Chance) -> HttpReply | None:
        """No body, and a way that nobody may go."""
        del request, rng
        return HttpReply(self.status, b"", (("Location", self.location),))


@dataclass(frozen=True, slots=True, kw_only=True)
class HugeBody(Fault):
    """A server's good answer is followed by so much white space, which is good JSON as well."""

    body_mb: float = setting(8.0, "MB", "how much comes after the answer")

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """What is asked is done; whether the answer is read to its end is the asker's choice."""
        del rng
        if isinstance(message, HttpReply):
            message = message._replace(body=message.body + b" " * round(self.body_mb * _MB))
        return ((0, message),)


@dataclass(frozen=True, slots=True, kw_only=True)
class BadCertificate(Fault):
    """A TLS server shows a certificate that nobody trusts; nobody is served without looking at it.

    Connections that were trusted before do not outlive the change.
    """

    @property
    def certificate(self) -> Certificate:
        """From now on."""
        return Certificate.UNTRUSTED


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSwapped(BadCertificate):
    """The certificate is another one in the middle of a run: good, but for another name and key."""

    @property
    def certificate(self) -> Certificate:
        """Of the authority that is trusted."""
        return Certificate.FOREIGN


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookLost(Fault):
    """A webhook is not called, or is lost on its way; nobody is told so."""

    def call(self, webhook: Webhook, rng: Chance) -> Sequence[tuple[int, Webhook]]:
        """Nothing."""
        del webhook, rng
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDoubled(Fault):
    """Each webhook is called twice."""

    gap_ms: int = setting(3_000, "ms", "how much later the second call comes", least=0)

    @property
    def late_ms(self) -> int:
        """The second one."""
        return self.gap_ms

    def call(self, webhook: Webhook, rng: Chance) -> Sequence[tuple[int, Webhook]]:
        """The same, to the byte."""
        del rng
        return ((0, webhook), (self.gap_ms, webhook))


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookLate(Fault):
    """Each webhook comes `late_ms` after what it tells of; answers do not wait for it."""

    late_ms: int = setting(60_000, "ms", "how late each webhook comes")

    def call(self, webhook: Webhook, rng: Chance) -> Sequence[tuple[int, Webhook]]:
        """It was told in time, and is heard when it is long over."""
        del rng
        return ((self.late_ms, webhook),)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookReordered(Fault):
    """Each webhook waits for up to `window_ms`, and may be overtaken by later ones."""

    window_ms: int = setting(10_000, "ms", "how long each may wait at most")

    @property
    def late_ms(self) -> int:
        """At worst."""
        return self.window_ms

    def call(self, webhook: Webhook, rng: Chance) -> Sequence[tuple[int, Webhook]]:
        """Nobody waits for the one before."""
        return ((rng.randint(0, self.window_ms), webhook),)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongSignature(Fault):
    """Webhooks come with a signature or token that is none."""

    def call(self, webhook: Webhook, rng: Chance) -> Sequence[tuple[int, Webhook]]:
        """Whoever looks at the proof takes none of it."""
        del rng
        return ((0, forged(webhook)),)


def forged(webhook: Webhook) -> Webhook:
    """The same with another proof: in every header that does not describe the body.

    Without such a header, what shows who calls is the end of the path that only the caller knows.
    """
    proofs = [name for name, _ in webhook.headers if not name.lower().startswith("content-")]
    if proofs:
        headers = [(n, _other(value) if n in proofs else value) for n, value in webhook.headers]
        return webhook._replace(headers=tuple(headers))
    parts = urlsplit(webhook.url)
    return webhook._replace(url=urlunsplit(parts._replace(path=_other(parts.path or "/"))))


def _other(text: str) -> str:
    """As long, and not the same."""
    return text[:-1] + ("1" if text.endswith("0") else "0")


KINDS: Final = {
    "too_many_requests": Kind(
        Family.HTTP,
        TooManyRequests,
        "an HTTP server answers 429, with Retry-After or without",
        "429 to every request, and no effect of it",
        "home-assistant/core#157221: 429 after bursts of refreshes",
    ),
    "server_error": Kind(
        Family.HTTP,
        ServerError,
        "an HTTP server answers everything with status, doing nothing",
        "status to every request, and no effect of it",
        "benzman81/homebridge-nukiio#100: 503 while others ask",
    ),
    "error_inside_200": Kind(
        Family.HTTP,
        ErrorInside200,
        "an HTTP server answers 200 with an error inside, doing nothing",
        "200 to every request, the vendor's own error in its body, and no effect of it",
        "OpenWonderLabs/SwitchBotAPI#296: statusCode 190 for unrelated causes, with HTTP 200",
    ),
    "token_expired": Kind(
        Family.HTTP,
        TokenExpired,
        "an HTTP server takes no token any more",
        "401 to every request, and no effect of it",
        "home-assistant/core#126370: a garage opener's cloud whose token expired, until a reload",
    ),
    "redirect": Kind(
        Family.HTTP,
        Redirect,
        "an HTTP server sends everybody elsewhere",
        "status with a Location to every request, and no effect of it",
        "curl CVE-2018-1000007: credentials that follow a redirect to another host",
    ),
    "huge_body": Kind(
        Family.HTTP,
        HugeBody,
        "an HTTP server's good answers are body_mb long",
        "body_mb more bytes in every answer",
        "python/cpython#119454: a body as long as its server says ends in no memory",
    ),
    "bad_certificate": Kind(
        Family.HTTP,
        BadCertificate,
        "a TLS server shows a certificate that nobody trusts",
        "the TLS handshake ends with an unknown authority",
        "RFC 8446, 6.2: the alert unknown_ca ends the handshake",
    ),
    "certificate_swapped": Kind(
        Family.HTTP,
        CertificateSwapped,
        "a TLS server suddenly shows another's certificate, of the same authority",
        "the TLS handshake ends with a name that does not match, and another key",
        "MiranoVerhoef/UniFi-OS-Server-SSL-Import#12: a console that makes a new certificate",
    ),
    "webhook_lost": Kind(
        Family.HTTP,
        WebhookLost,
        "webhooks never arrive",
        "no call of the webhook",
        "OpenWonderLabs/SwitchBotAPI#299: 25 to 70 % of them are lost",
    ),
    "webhook_doubled": Kind(
        Family.HTTP,
        WebhookDoubled,
        "each webhook comes twice, gap_ms apart",
        "two equal calls, gap_ms apart",
        "home-assistant/core#181113: the same again 3 s later",
    ),
    "webhook_late": Kind(
        Family.HTTP,
        WebhookLate,
        "each webhook comes late_ms late",
        "the call, late_ms after the change; answers are newer",
        "raman325/ha-zoom-automation#57: events that were hours old",
    ),
    "webhook_reordered": Kind(
        Family.HTTP,
        WebhookReordered,
        "webhooks overtake each other, within window_ms",
        "calls in another order than what they tell of",
        "paypal/mirakl-hyperwallet-connector#35: an older state arrives last, and stays",
    ),
    "wrong_signature": Kind(
        Family.HTTP,
        WrongSignature,
        "webhooks come with a signature or token that is none",
        "calls whose proof is another, and no event of them",
        "Systemorph/MeshWeaver#3312: a webhook's secret that is no longer the receiver's",
    ),
}
