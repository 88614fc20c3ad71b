"""Requests to one host, behind its own bulkhead; the client is aiohttp's.

    request() ─► [breaker] ─► [rate] ─► [concurrency_max at once, queued_max waiting] ─► host
                   │ open: NotSentError at once                     │
                   └────────── failures, Retry-After ◄──────────────┘

Only what is `idempotent` is asked again, and only within its deadline. Whatever may move a door
leaves once: NotSentError says that it did not leave, NoReplyError that it may have.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from vendors.api import HostStanding
from vendors.http import HttpReply, Pairs, target_of
from vendors.wire.backoff import Backoff
from vendors.wire.breaker import Breaker, BreakerState
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.loop_time import loop_ms

#: (method, URL, headers, body) to the reply; raises NotSentError or NoReplyError. The seam where
#: in-process runs replace the socket.
HttpSend = Callable[[str, str, Mapping[str, str], bytes], Awaitable[HttpReply]]

# A status of every device behind a hub fits many times; more is no answer.
_BODY_MAX: Final = 4 * 1024 * 1024
_RETRY: Final = Backoff(200, 5_000)
_TOO_MANY: Final = 429
_UNAVAILABLE: Final = 503
#: Asking again may help: the host is overloaded or behind something that is.
_PASSING: Final = frozenset({_TOO_MANY, 502, _UNAVAILABLE, 504})
_SERVER_FAULT: Final = 500
# A host that asks for more patience than this is asked again after it all the same.
_RETRY_AFTER_MAX_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class HostLimits:
    """How much of one host we use.

    `timeout_ms` is for one attempt, `attempts_max` counts the first. `rate_per_s` None: no limit;
    `burst` requests may leave at once.
    """

    timeout_ms: int = 5_000
    attempts_max: int = 3
    concurrency_max: int = 4
    queued_max: int = 256
    rate_per_s: float | None = None
    burst: int = 1
    failures_max: int = 5
    open_ms: int = 1_000
    open_ms_max: int = 30_000


class HttpHost:
    """One host, by its base URL (`http://192.0.2.1:8080/v1.0`).

    Args:
        limits: see `HostLimits`.
        rng: for the jitter of retries.
        network: of the port; its `http_send` replaces the socket. None: the real network.
        ca_file: PEM of the authority behind an https host; absent: the system's.
    """

    def __init__(
        self,
        base_url: str,
        limits: HostLimits,
        *,
        rng: Random,
        network: Any = None,  # noqa: ANN401 -- the simulators' own type
        ca_file: Path | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._limits = limits
        self._rng = rng
        self._ca_file = ca_file
        self._send: HttpSend = network.http_send if network is not None else self._over_socket
        self._session: aiohttp.ClientSession | None = None
        self._breaker = Breaker(limits.failures_max, limits.open_ms, limits.open_ms_max)
        self._slots = asyncio.Semaphore(limits.concurrency_max)
        self._waiting = 0
        self._held_until_ms = 0
        #: When the bucket is full again; a token costs `1 / rate_per_s`.
        self._full_at_s = 0.0
        #: Attempts that left us, and those that we kept from leaving.
        self.sent = 0
        self.refused = 0

    @property
    def breaker(self) -> BreakerState:
        """Whether the host may be asked."""
        return self._breaker.state(loop_ms())

    @property
    def standing(self) -> HostStanding:
        """How it fares, for status pages."""
        host = urlsplit(self.base_url).netloc.rpartition("@")[2]
        return HostStanding(host, self.breaker, self._breaker.opened, self.sent, self.refused)

    async def close(self) -> None:
        """Let go of the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def request(  # noqa: PLR0913 -- by keyword: what a request is made of
        self,
        method: str,
        path: str,
        *,
        idempotent: bool,
        query: Pairs | Callable[[], Pairs] = (),
        headers: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None,
        body: bytes = b"",
        within_ms: int | None = None,
    ) -> HttpReply:
        """Ask, and give what was answered, whatever its status.

        `headers` and `query` may be functions: they are called anew for every attempt, when its
        turn has come and it leaves (tokens for one use, signatures over the time).
        `within_ms` bounds all attempts together; absent, each has the host's `timeout_ms`.

        Raises:
            NotSentError: nothing left us.
            NoReplyError: it left us, and no whole reply came.
        """
        limits, now_ms = self._limits, loop_ms()
        if within_ms is None:
            within_ms = limits.timeout_ms * limits.attempts_max
        until_ms = now_ms + within_ms
        attempts = limits.attempts_max if idempotent else 1
        left = False
        for attempt in range(attempts):
            last = attempt + 1 == attempts
            failure: Exception | None = None
            reply: HttpReply | None = None
            try:
                reply = await self._attempt(method, path, query, headers, body, until_ms)
            except NoReplyError as error:
                failure, left = error, True
            except NotSentError as error:
                # That the last attempt did not leave does not call back the ones before it.
                failure = NoReplyError(str(error)) if left else error
            if reply is not None and (last or reply.status not in _PASSING):
                return reply
            pause_ms = max(
                _RETRY.delay_ms(attempt, self._rng),
                self._held_until_ms - loop_ms(),
                self._breaker.wait_ms(loop_ms()),
            )
            if last or loop_ms() + pause_ms >= until_ms:
                if reply is not None:
                    return reply
                assert failure is not None
                raise failure
            await asyncio.sleep(pause_ms / 1000)
        raise AssertionError("attempts_max is at least 1")

    async def _attempt(  # noqa: PLR0913, PLR0917 -- as `request`
        self,
        method: str,
        path: str,
        query: Pairs | Callable[[], Pairs],
        headers: Mapping[str, str] | Callable[[], Mapping[str, str]] | None,
        body: bytes,
        until_ms: int,
    ) -> HttpReply:
        self._permit()
        if self._waiting >= self._limits.queued_max:
            raise self._refusal("too many requests wait for this host")
        if self._slots.locked():
            await self._wait_for_a_slot(until_ms)
        else:
            await self._slots.acquire()  # there is one: this takes no time, and needs no timer
        try:
            await self._take_token(until_ms)
            self._permit()
            if loop_ms() >= until_ms:
                raise self._refusal("no time is left for it")
            made = headers() if callable(headers) else (headers or {})
            asked = query() if callable(query) else query
            url = f"{self.base_url}{target_of(path, asked)}"
            return await self._once(method, url, made, body, until_ms)
        finally:
            self._slots.release()

    async def _wait_for_a_slot(self, until_ms: int) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(max(0, until_ms - loop_ms()) / 1000):
                await self._slots.acquire()
        except TimeoutError:
            raise self._refusal("the host is busy with our other requests") from None
        finally:
            self._waiting -= 1

    def _permit(self) -> None:
        now_ms = loop_ms()
        if (wait_ms := self._breaker.wait_ms(now_ms)) > 0:
            raise self._refusal(f"the host failed; it is left alone for {wait_ms} ms")
        if now_ms < self._held_until_ms:
            raise self._refusal(f"the host asked us to wait {self._held_until_ms - now_ms} ms")

    def _refusal(self, why: str) -> NotSentError:
        self.refused += 1
        return NotSentError(why)

    async def _take_token(self, until_ms: int) -> None:
        rate = self._limits.rate_per_s
        if rate is None:
            return
        now_s = asyncio.get_running_loop().time()
        full_at_s = max(self._full_at_s, now_s) + 1 / rate
        wait_s = full_at_s - now_s - self._limits.burst / rate
        if wait_s > 0 and now_s + wait_s >= until_ms / 1000:
            raise self._refusal("the host's rate limit leaves no time for it")
        self._full_at_s = full_at_s
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _once(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, until_ms: int
    ) -> HttpReply:
        breaker, now_ms = self._breaker, loop_ms()
        breaker.begin(now_ms)
        self.sent += 1
        try:
            async with asyncio.timeout(min(self._limits.timeout_ms, until_ms - now_ms) / 1000):
                reply = _bounded(await self._send(method, url, headers, body))
        except TimeoutError:
            breaker.failed(loop_ms())
            raise NoReplyError("no reply in time") from None
        except (NotSentError, NoReplyError):
            breaker.failed(loop_ms())
            raise
        except BaseException:  # whoever asked was cancelled
            breaker.withdrawn()
            raise
        if reply.status in (_TOO_MANY, _UNAVAILABLE):
            self._hold(reply.header("retry-after"))
        if reply.status >= _SERVER_FAULT:
            breaker.failed(loop_ms())
        else:
            breaker.succeeded()
        return reply

    def _hold(self, retry_after: str | None) -> None:
        if (wait_ms := retry_after_ms(retry_after, datetime.now(UTC))) is not None:
            wait_ms = min(wait_ms, _RETRY_AFTER_MAX_MS)
            self._held_until_ms = max(self._held_until_ms, loop_ms() + wait_ms)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            try:
                context = client_context(self._ca_file)
            except OSError as error:
                raise NotSentError(f"ca_file: {error.strerror or error}") from error
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=0),
                middlewares=(_sent_once,),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent",),
                auto_decompress=True,
            )
        return self._session

    async def _over_socket(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> HttpReply:
        session, target = self._connected(), _target(url)
        try:
            async with session.request(
                method,
                target,
                headers=headers,
                data=body or None,
                allow_redirects=False,  # a command must not wander to another host
                timeout=aiohttp.ClientTimeout(),  # ours is around it
            ) as response:
                content = await response.content.read(_BODY_MAX + 1)
                while not response.content.at_eof() and len(content) <= _BODY_MAX:
                    content += await response.content.read(_BODY_MAX + 1 - len(content))
                return HttpReply(response.status, content, tuple(response.headers.items()))
        except aiohttp.ClientConnectorError as error:
            raise NotSentError(str(error)) from error
        except aiohttp.InvalidURL:
            raise NotSentError("no URL") from None
        except aiohttp.ClientResponseError as error:  # its text holds the URL, and so the token
            raise NoReplyError(f"no HTTP: {error.message}"[:200]) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoReplyError(str(error) or type(error).__name__) from error


def _bounded(reply: HttpReply) -> HttpReply:
    """A reply that could be read whole."""
    if len(reply.body) > _BODY_MAX:
        raise NoReplyError(f"a reply of more than {_BODY_MAX} bytes")
    return reply


def _target(url: str) -> URL:
    try:
        target = URL(url, encoded=True)
        reachable = target.host and target.port
    except ValueError:
        reachable = False
    if not reachable:
        raise NotSentError("no URL of a host")
    return target


async def _sent_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Of itself aiohttp sends a GET again when the connection is lost; a GET may press a button."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise NoReplyError(str(error) or type(error).__name__) from error


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """Certificates are always checked: against this authority, or the system's.

    Raises:
        OSError: the file cannot be read, or holds no certificate.
    """
    return ssl.create_default_context(cafile=str(ca_file) if ca_file is not None else None)


def retry_after_ms(header: str | None, now: datetime) -> int | None:
    """What a `Retry-After` asks for, in ms; None if there is none or it cannot be read.

    Source: RFC 9110, section 10.2.3: a number of seconds, or a date.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]) * 1000, _RETRY_AFTER_MAX_MS)
    with suppress(ValueError, TypeError, OverflowError):
        at = parsedate_to_datetime(text)
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        return min(max(0, round((at - now).total_seconds() * 1000)), _RETRY_AFTER_MAX_MS)
    return None


class Token:
    """Something that is fetched once for everybody who needs it, and anew when it was refused.

    Args:
        fetch: gets a new one; its errors reach all who wait.
    """

    def __init__(self, fetch: Callable[[], Awaitable[str]]) -> None:
        self._fetch = fetch
        self._value: str | None = None
        self._lock = asyncio.Lock()

    async def value(self, refused: str | None = None) -> str:
        """The token; `refused` is the one that the host no longer took, if that is why we ask."""
        async with self._lock:
            if self._value is None or self._value == refused:
                self._value = await self._fetch()
            return self._value
