"""Who may break a run over HTTP; pure.

On loopback, whoever is on this machine; from beyond, whoever has the token. No web page ever: a
page that some browser on this machine shows may send requests here (CSRF), and by a name that it
lets point to us even read the answers (DNS rebinding). It can forge neither Host nor Origin, and
cannot say that it sends JSON without asking first.
"""

import hmac
import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

#: Requests that carry a body.
_WITH_BODY: Final = ("POST", "PUT")
_READS: Final = ("GET", "HEAD")


class Refusal(NamedTuple):
    """An HTTP status, and a sentence with a remedy."""

    status: int
    error: str


@dataclass(frozen=True, slots=True)
class Guard:
    """Of one server.

    Args:
        names: by which it may be called, beside its addresses.
        token: what must be shown; None: nothing, for whoever gets here is on this machine.
    """

    names: Collection[str] = ("localhost",)
    token: str | None = None

    def refusal(self, method: str, headers: Mapping[str, str]) -> Refusal | None:
        """Why a request is refused; None if it is not."""
        host = headers.get("Host", "")
        if not self._is_ours(host):
            return Refusal(
                403, f"Host {host!r} is no name of this run; use its address, or localhost"
            )
        origin = headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != host:
            return Refusal(403, f"Origin {origin!r}: web pages may not; use doorfleet-sim break")
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if method in _WITH_BODY and kind != "application/json":
            return Refusal(415, f"Content-Type {kind!r}: send application/json")
        if self.token is not None and method not in _READS and not self._shown(headers):
            return Refusal(
                401, "Authorization: send Bearer and the token that the run wrote to its file"
            )
        return None

    def _is_ours(self, host: str) -> bool:
        name = _without_port(host)
        return name.lower() in self.names or is_address(name)

    def _shown(self, headers: Mapping[str, str]) -> bool:
        scheme, _, shown = headers.get("Authorization", "").partition(" ")
        assert self.token is not None
        return scheme.lower() == "bearer" and hmac.compare_digest(
            shown.strip().encode(), self.token.encode()
        )


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def is_address(name: str) -> bool:
    """Whether it is an IP address: a page that came from there is of this server itself."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Whether nobody beyond this machine can reach it."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
