"""Certificates of a run's TLS hubs, made for it alone: one authority, and one nobody trusts."""

import ssl
from pathlib import Path
from typing import Any, Final

import trustme

from fleet_sim.hub import HubUnit

_NAMES: Final = ("127.0.0.1", "localhost")


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
        self._good = _server_context(authority)
        self._bad = _server_context(trustme.CA())

    def context(self, hub: HubUnit) -> ssl.SSLContext:
        """What this hub shows: the good certificate, or a foreign one while it is struck so."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

        def choose(connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:  # noqa: ANN401 -- ssl's own
            fault = hub.fault_at()
            bad = fault is not None and fault.bad_certificate
            connection.context = self._bad if bad else self._good

        context.sni_callback = choose
        return context


def _server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*_NAMES).configure_cert(context)
    return context
