"""Certificates of a run's TLS hubs, made for it alone: one authority, and one nobody trusts."""

import ssl
from pathlib import Path
from typing import Any, Final

import trustme

from fleet_sim.faults import Certificate
from fleet_sim.hub import HubUnit

_NAMES: Final = ("127.0.0.1", "localhost")
_ELSEWHERE: Final = "elsewhere.invalid"


class Authority:
    """Signs for every TLS hub of a run; its certificate is in `ca_file` (PEM), the key beside."""

    def __init__(self, folder: Path) -> None:
        self.ca_file, key = folder / "hubs-ca.pem", folder / "hubs-ca.key"
        if key.exists():  # servers that are begun again are those that were trusted before
            authority = trustme.CA.from_pem(self.ca_file.read_bytes(), key.read_bytes())
        else:
            authority = trustme.CA()
            authority.cert_pem.write_to_path(str(self.ca_file))
            authority.private_key_pem.write_to_path(str(key))
        self._contexts: Final = {
            Certificate.OWN: _server_context(authority, *_NAMES),
            Certificate.UNTRUSTED: _server_context(trustme.CA(), *_NAMES),
            Certificate.FOREIGN: _server_context(authority, _ELSEWHERE),
        }

    def context(self, hub: HubUnit) -> ssl.SSLContext:
        """What this hub shows, looked up at each handshake."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

        def choose(connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:  # noqa: ANN401 -- ssl's own
            shown = hub.certificate
            if shown is not Certificate.OWN:
                hub.was_asked()
            connection.context = self._contexts[shown]

        context.sni_callback = choose
        return context


def _server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context
