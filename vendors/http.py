"""An HTTP request and its reply as values: the same for clients, servers, and simulated devices."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

Pairs = tuple[tuple[str, str], ...]


class HttpRequest(NamedTuple):
    """One request. `path` is decoded and has no query; `headers` have lower-case names."""

    method: str
    path: str
    query: Pairs = ()
    headers: Mapping[str, str] = {}
    body: bytes = b""

    def __repr__(self) -> str:
        """Never the query or a header: they hold keys and tokens."""
        return f"<HttpRequest {self.method} {self.path} {len(self.body)} B>"

    def argument(self, name: str) -> str | None:
        """The first value of a query argument; None if it is absent."""
        return next((value for key, value in self.query if key == name), None)


class HttpReply(NamedTuple):
    """One reply; `delay_ms` is how long a simulated device takes over it."""

    status: int = 200
    body: bytes = b""
    headers: Pairs = ()
    delay_ms: int = 0

    def __repr__(self) -> str:
        """Never the body: it may hold codes and names."""
        return f"<HttpReply {self.status} {len(self.body)} B>"

    def header(self, name: str) -> str | None:
        """The first value of a header, whatever the case of its name; None if it is absent."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


def request_of(
    method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> HttpRequest:
    """The request that a URL with its query stands for."""
    parts = urlsplit(url)
    query = tuple(parse_qsl(parts.query, keep_blank_values=True))
    lower = {name.lower(): value for name, value in (headers or {}).items()}
    return HttpRequest(method, unquote(parts.path) or "/", query, lower, body)


def target_of(path: str, query: Pairs) -> str:
    """Path (encoded already, if it needs it) and encoded query, as they stand in a URL."""
    return f"{path}?{urlencode(query)}" if query else path
