"""Asking the vendor's cloud: signed anew for each attempt, and paid for out of the budget."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from devices.errors import DecodeError
from vendors.api import Frame, Port
from vendors.http import HttpReply
from vendors.switchbot import codec
from vendors.switchbot.budget import Budget, Purpose
from vendors.switchbot.settings import SwitchBotSettings, secret_of
from vendors.switchbot.signing import signed
from vendors.wire.backoff import Backoff
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.http import HostLimits, HttpHost

_PREFIX: Final = "/v1.1"
_NONCE_BITS: Final = 128
_UNAUTHORIZED: Final = frozenset({401, 403})
_TOO_MANY: Final = 429
_SUCCESS: Final = 200
# A call that was refused as one too many may count too; nobody says when it is over.
_LIMITED: Final = Backoff(30_000, 300_000)
# A restart may forget the calls of so long.
_NOTE_MS: Final = 5_000


class RefusedCallError(NoReplyError):
    """The cloud answered, and not with what was asked for; `word` says why in one word."""

    def __init__(self, word: str, text: str) -> None:
        super().__init__(text)
        self.word = word


class NoQuotaError(NotSentError):
    """Our own budget, or the vendor's 429, leaves no room for it now."""


class Cloud:
    """One account."""

    def __init__(self, settings: SwitchBotSettings, port: Port) -> None:
        self.budget = Budget(settings.quota_per_day)
        self._settings = settings
        self._port = port
        limits = HostLimits(
            timeout_ms=settings.timeout_ms,
            attempts_max=1,  # the next poll comes anyway, and each attempt costs quota
            concurrency_max=8,
            rate_per_s=settings.rate_per_s,
            burst=max(1, int(settings.rate_per_s)),
        )
        self.host = HttpHost(
            settings.url, limits, rng=port.rng, network=port.network, ca_file=settings.ca_file
        )
        self._refusals = 0
        self._held_until_ms = 0
        self._noted_ms = 0

    async def close(self) -> None:
        """Let go of the connections."""
        await self.host.close()

    def restore(self) -> None:
        """Take up the count of an earlier life."""
        self.budget.restore(self._port.cursor, self._port.now_ms())

    def set_back(self) -> None:
        """Our clock was set back: until when it is held is no time any more."""
        self._held_until_ms = 0

    def allows(self, purpose: Purpose) -> bool:
        """Whether a call of this purpose may leave now; a command may try even while held."""
        now_ms = self._port.now_ms()
        held = now_ms < self._held_until_ms and purpose is not Purpose.COMMAND
        return not held and self.budget.allows(purpose, now_ms)

    @property
    def spent(self) -> str:
        """For people: where the quota stands."""
        budget, now_ms = self.budget, self._port.now_ms()
        text = f"{budget.used(now_ms)} of {budget.quota} calls in 24 h"
        if now_ms < self._held_until_ms:
            return f"{text}; refused, waiting {(self._held_until_ms - now_ms) // 1000} s"
        if (stretch := budget.stretch(now_ms)) > 1:
            return f"{text}; polling {stretch:.1f} times slower"
        return text

    async def get(
        self, path: str, purpose: Purpose, leaves: Callable[[], None] = lambda: None
    ) -> tuple[int, bytes]:
        """When the question left (Unix ms), and the reply's bytes, good or not.

        In a queue for its turn a question grows old, and its answer does not; `leaves` is called
        when its turn has come.

        Raises:
            NotSentError, NoReplyError: there is none; see `NoQuotaError`, `RefusedCallError`.
        """
        left_ms, reply = await self._ask(
            "GET", path, purpose, b"", self._settings.timeout_ms, leaves
        )
        return left_ms, _body(reply)

    async def post(
        self, path: str, purpose: Purpose, body: Mapping[str, Any], within_ms: int | None = None
    ) -> tuple[int, Any]:
        """Ask for something once; its (statusCode, body).

        Raises:
            NotSentError, NoReplyError: as `get`; a reply that cannot be read is none.
        """
        raw = orjson.dumps(body)
        within_ms = min(within_ms or self._settings.timeout_ms, self._settings.timeout_ms)
        _, reply = await self._ask("POST", path, purpose, raw, within_ms)
        try:
            return codec.reply_of(_body(reply))
        except DecodeError as error:
            raise NoReplyError(error.detail) from error

    async def _ask(  # noqa: PLR0913, PLR0917 -- what a call is made of
        self,
        method: str,
        path: str,
        purpose: Purpose,
        body: bytes,
        within_ms: int,
        leaves: Callable[[], None] = lambda: None,
    ) -> tuple[int, HttpReply]:
        if not self.allows(purpose):
            raise NoQuotaError(self.spent)
        left_ms = self._port.now_ms()
        self.budget.spend(left_ms)  # at once: what waits for its turn may not be sold twice

        def headers() -> Mapping[str, str]:
            nonlocal left_ms
            left_ms = self._port.now_ms()
            leaves()
            return self._signed(left_ms)

        try:
            reply = await self.host.request(
                method,
                f"{_PREFIX}{path}",
                idempotent=method == "GET",
                headers=headers,
                body=body,
                within_ms=max(1, within_ms),
            )
        except NotSentError:
            self.budget.refund(self._port.now_ms())  # it was paid for, and did not leave
            raise
        self._note()
        self._weigh(reply)
        return left_ms, reply

    def _signed(self, now_ms: int) -> Mapping[str, str]:
        """The headers of a request that leaves now."""
        settings = self._settings
        try:
            token = secret_of(settings.token, settings.token_file)
            secret = secret_of(settings.secret, settings.secret_file)
        except OSError as error:
            raise NotSentError(f"the token or secret cannot be read: {error.strerror}") from error
        return signed(token, secret, now_ms, self._port.rng.getrandbits(_NONCE_BITS))

    def _weigh(self, reply: HttpReply) -> None:
        """A refusal of the account holds everything but commands for a while."""
        if reply.status != _TOO_MANY and reply.status not in _UNAUTHORIZED:
            self._refusals = 0
            self._held_until_ms = 0
            return
        now_ms = self._port.now_ms()
        if now_ms < self._held_until_ms:
            return  # it was under way when the first refusal came
        half_ms = _LIMITED.ceiling_ms(self._refusals) // 2
        self._refusals += 1
        self._held_until_ms = now_ms + half_ms + round(self._port.rng.uniform(0, half_ms))

    def _note(self) -> None:
        """Have the count kept with the next commit."""
        now_ms = self._port.now_ms()
        if now_ms - self._noted_ms >= _NOTE_MS:
            self._noted_ms = now_ms
            cursor = self.budget.position(now_ms)
            self._port.offer([Frame("http/account/budget", b"", now_ms, cursor=cursor)], None)


def _body(reply: HttpReply) -> bytes:
    """The body of a success.

    Raises:
        RefusedCallError: it is none. Over the quota the README says 401, and users see 429.
    """
    if reply.status == _SUCCESS:
        return reply.body
    if reply.status == _TOO_MANY:
        raise RefusedCallError("rate_limited", "the vendor says: too many calls (429)")
    if reply.status in _UNAUTHORIZED:
        text = f"the vendor says {reply.status}: token, secret, our clock, or the day's quota"
        raise RefusedCallError("not_authorized", text)
    raise RefusedCallError("unavailable", f"the vendor says HTTP {reply.status}")
