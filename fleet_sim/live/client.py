"""Speaks to a run's server as `routes` says."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from devices.errors import ConfigError
from fleet_sim.live import card
from fleet_sim.stage import StageError

#: Where the run is, and its token, for whoever is not on its machine.
URL_FROM: Final = "DOORFLEET_RUN"
TOKEN_FROM: Final = "DOORFLEET_TOKEN"  # noqa: S105 -- a variable's name
#: Who holds a fault and is heard of no more lets it go after so long.
LEASE_S: Final = 5.0
_ANSWER_S: Final = 15.0
# A run is spoken to directly: no proxy of the environment has a say in it.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class AnswerError(ConfigError):
    """The run refused; `status` says as what."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__((said,))
        self.status = status


class Client:
    """One run's server.

    Args:
        url: where it is.
        token: shown to it, if there is one.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.token = token

    def begin(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Let something fail; what the run says of it. Errors: see `_ask`."""
        told: dict[str, Any] = self._ask("POST", "/faults", wish)
        return told

    def faults(self) -> list[dict[str, Any]]:
        """What fails by hand at present."""
        told: list[dict[str, Any]] = self._ask("GET", "/faults")["faults"]
        return told

    def status(self) -> dict[str, Any]:
        """How the run stands: see `fleet_sim.meter.status`. Errors: see `_ask`."""
        told: dict[str, Any] = self._ask("GET", "/status")
        return told

    def heal(self, number: str | None = None) -> None:
        """End one; all, without a number."""
        self._ask("DELETE", "/faults" if number is None else f"/faults/{number}")

    def lease(self, number: str, for_s: float) -> None:
        """Hold it for so long from now on."""
        self._ask("PUT", f"/faults/{number}/lease", {"for_s": for_s})

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 -- JSON
        """Ask, and understand the answer.

        Raises:
            AnswerError: it refused.
            StageError: nobody answers there.
        """
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(  # noqa: S310 -- the scheme is checked by `at`
            self.url + path, data, headers, method=method
        )
        try:
            with _OPENER.open(asked, timeout=_ANSWER_S) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise AnswerError(error.code, _said(error.read(), error.code)) from None
        except OSError as error:
            why = getattr(error, "reason", None) or error
            raise StageError(f"{self.url}: no run answers there: {why}; is it over?") from None
        return json.loads(text) if text else None


def _said(text: bytes, status: int) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the server said {status}; is that a doorfleet-sim run with --time real?"


def at(url: str | None) -> Client:
    """The run there; the only one of this user on this machine, if nobody says where.

    Raises:
        ConfigError: that is no URL, or there are several.
        StageError: there is none.
    """
    given = url or os.environ.get(URL_FROM)
    known = card.cards()
    if given is not None:
        parts = urlsplit(given)
        if parts.scheme != "http" or not parts.hostname:
            raise ConfigError((f"--at {given}: no URL of a run; write http://host:port",))
        tokens = (one.token for one in known if one.url.rstrip("/") == given.rstrip("/"))
        return Client(given, os.environ.get(TOKEN_FROM) or next(tokens, None))
    if not known:
        raise StageError(
            "no run of yours is there to be broken; start one: doorfleet-sim run NAME --time real"
        )
    if len(known) > 1:
        listed = (f"  --at {one.url}  {one.what}, process {one.pid}" for one in known)
        raise ConfigError(("several runs are there; say which:", *listed))
    (only,) = known
    return Client(only.url, only.token)
