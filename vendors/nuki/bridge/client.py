"""Questions to one bridge, one at a time, each with a proof of its own."""

import secrets
from collections.abc import Callable
from typing import Final

from vendors.api import Port
from vendors.http import HttpReply, Pairs
from vendors.nuki.bridge import auth
from vendors.wire.errors import NoReplyError
from vendors.wire.http import HostLimits, HttpHost

# A bridge needs a second or two to speak with a lock (recordings), and up to ten when far.
_READ_MS: Final = 15_000
_ATTEMPT_MS: Final = 10_000
# Waited for, an action is answered when the motor has stopped.
_ACTION_MS: Final = 40_000
OK, BAD, FAULT = 200, 400, 500
UNAUTHORIZED, NOT_FOUND, GONE, BUSY = 401, 404, 410, 503
_NOT_LET_IN: Final = "the bridge refuses our token, or its clock and ours disagree"


class BusyError(NoReplyError):
    """The bridge speaks with a lock or with somebody else: nothing was done (503)."""


class BridgeClient:
    """One bridge.

    Args:
        secret: gives the token, as it is now; raises NotSentError if it cannot be had.
        how: the way in which the token is shown.
        wait: actions are answered when they are done.
    """

    def __init__(
        self, url: str, secret: Callable[[], str], how: auth.Auth, port: Port, *, wait: bool
    ) -> None:
        self.secret = secret
        self.wait = wait
        self._how = how
        self._port = port
        # A second question at the same time would be answered 503. Those are no sign of failing.
        limits = HostLimits(
            timeout_ms=_ACTION_MS if wait else _ATTEMPT_MS, concurrency_max=1, failures_max=10
        )
        self.host = HttpHost(url, limits, rng=port.rng, network=port.network)
        self._used: tuple[str, set[int]] = ("", set())

    async def close(self) -> None:
        """Let go of the connection."""
        await self.host.close()

    async def read(self, path: str, arguments: Pairs = ()) -> HttpReply:
        """Ask what changes nothing; when busy, again a little later.

        Raises:
            NotSentError, NoReplyError: as it met; also for a refusal of our proof, and for what
                says that the bridge is broken. BusyError if it stayed busy.
        """
        reply = await self._get(path, arguments, idempotent=True, within_ms=_READ_MS)
        match reply.status:
            case 401:
                raise NoReplyError(_NOT_LET_IN)
            case 503:
                raise BusyError("busy")
            case status if status >= FAULT or status == BAD:
                raise NoReplyError(f"status {status}")
        return reply

    async def change(self, path: str, arguments: Pairs, within_ms: int) -> HttpReply:
        """Ask for what may move a door, or takes a place at the bridge: once, whatever comes.

        Raises:
            NotSentError: nothing left us.
            NoReplyError: it left us, and no whole reply came.
        """
        return await self._get(path, arguments, idempotent=False, within_ms=within_ms)

    async def _get(
        self, path: str, arguments: Pairs, *, idempotent: bool, within_ms: int
    ) -> HttpReply:
        return await self.host.request(
            "GET",
            path,
            idempotent=idempotent,
            query=lambda: (*self._proof(), *arguments),
            within_ms=within_ms,
        )

    def _proof(self) -> Pairs:
        """What shows that we know the token; for one request."""
        token = self.secret()
        if self._how is auth.Auth.PLAIN:
            return auth.plain(token)
        ts, rnr = self._once()
        if self._how is auth.Auth.HASHED:
            return auth.hashed(token, ts, rnr)
        return auth.encrypted(token, ts, rnr, secrets.token_bytes(auth.NONCE_BYTES))

    def _once(self) -> tuple[str, int]:
        """A timestamp and a number that were not used together before."""
        ts = auth.timestamp(self._port.now_ms())
        if ts != self._used[0]:
            self._used = (ts, set())
        rnr = self._port.rng.randint(0, auth.RNR_MAX)
        while rnr in self._used[1]:
            rnr = (rnr + 1) & auth.RNR_MAX
        self._used[1].add(rnr)
        return ts, rnr
