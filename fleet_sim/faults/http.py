"""What fails about servers: what they answer, and the certificates that they show."""

from dataclasses import dataclass
from typing import Final

from fleet_sim.faults.fault import Fault, setting
from fleet_sim.faults.kind import Family, Kind
from vendors.http import HttpReply, HttpRequest
from vendors.sim import Chance


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerError(Fault):
    """A server answers every HTTP request with `status`, and does nothing of what it is asked."""

    status: int = setting(500, "", "the HTTP status that it answers", least=400)

    def refuse(self, request: HttpRequest, rng: Chance) -> HttpReply | None:
        """Its whole answer."""
        del request, rng
        return HttpReply(self.status, b"internal error", (("Content-Type", "text/plain"),))


@dataclass(frozen=True, slots=True, kw_only=True)
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


KINDS: Final = {
    "server_error": Kind(
        Family.HTTP,
        ServerError,
        "an HTTP server answers everything with status, doing nothing",
        "status to every request, and no effect of it",
        "benzman81/homebridge-nukiio#100: 503 while others ask",
    ),
    "bad_certificate": Kind(
        Family.HTTP,
        BadCertificate,
        "a TLS server shows a certificate that nobody trusts",
        "the TLS handshake ends with an unknown authority",
        "RFC 8446, 6.2: the alert unknown_ca ends the handshake",
    ),
}
