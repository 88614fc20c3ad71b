"""One bridge as the gateway meets it: asked, told by, and kept from forgetting us.

    Poller ─► GET /lock ─► a frame for each lock         one that is no longer listed is silent
    keep   ─► GET /callback ─► ours once, as it must be; what others registered is left alone
    take   ◄─ webhook: proven, and of the present ─► frame

All of it shares one host, and with it the one request per second that the vendor asks for.
"""

import asyncio
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any, Final, NoReturn
from urllib.parse import urlencode, urlsplit

import orjson

from devices.errors import DecodeError
from vendors.api import Frame, Port
from vendors.http import HttpReply, HttpRequest, Pairs
from vendors.tedee import codec
from vendors.tedee.settings import BridgeSettings
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.http import HostLimits, HttpHost
from vendors.wire.polling import Poller

# "1 request per second should be the max": tedee-documentation, overview/getting_started.md.
# Nothing is asked twice by itself: polls come again anyhow, and commands must not.
LIMITS: Final = HostLimits(
    timeout_ms=5_000,
    attempts_max=1,
    concurrency_max=2,
    queued_max=32,
    rate_per_s=1.0,
    open_ms_max=10_000,
)
#: So many questions without an answer, and its locks are said to be out of reach.
SILENT_AFTER: Final = 3
# After a command or a first movement things change within travel and spring: 3 s and 5 s.
_LIVELY_MS: Final = 12_000
_LIVELY_INTERVAL_MS: Final = 2_000
_KEEP_S: Final = 60.0
_KEEP_AGAIN_S: Final = 5.0
# A webhook this much older than one before it was overtaken; by more, the clock was set.
_OVERTAKEN_MS: Final = 30_000
# By the bridge's own clock, which its answers tell to the second: what took longer, or comes from
# the future, is somebody's repetition or was held back, and in no case the present.
_PRESENT_MS: Final = 15_000
# A date is told to the second, and taken for the middle of it.
_DATE_MS: Final = 500
_SKEW_MS: Final = 10_000
_OK: Final = 200
_UNAUTHORIZED: Final = 401
_NO_CONTENT: Final = 204
_NOT_OURS: Final = HttpReply(401)
_TAKEN: Final = HttpReply(_NO_CONTENT)


class BridgeLink:
    """One bridge.

    Args:
        number: its place in the settings; part of the URL that it calls.
        settings: its own.
        port: the cell.
        interval_ms: between two questions when nothing moves.
        changed: called when whether it answers may be otherwise than before.
    """

    def __init__(
        self,
        number: int,
        settings: BridgeSettings,
        port: Port,
        interval_ms: int,
        changed: Callable[[], None],
    ) -> None:
        self.number = number
        self._settings = settings
        self._port = port
        self._every_ms = interval_ms
        self._changed = changed
        self.host = HttpHost(f"{settings.url}/v1.0", LIMITS, rng=port.rng, network=port.network)
        self.poller = Poller(port, self._ask, interval_ms=self._interval_ms, told=self._told)
        #: The locks that its last answer listed.
        self.locks: frozenset[str] = frozenset()
        #: Why it gave no answer lately; None if it did, empty before the first one.
        self.trouble: str | None = ""
        self._failures = 0
        self._stamp_ms = 0
        #: The bridge's clock minus ours; None as long as it told none.
        self._ahead_ms: int | None = None
        self._lively_until_ms = 0
        self._newest_ms: dict[str, int] = {}
        #: When the last question left that was answered for this lock, by the bridge's clock: ours
        #: may have been set since.
        self._asked_ms: dict[str, int] = {}
        self._callback_id: int | None = None

    async def close(self) -> None:
        """Let go of the connections."""
        await self.host.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Pairs = (),
        body: bytes = b"",
        within_ms: int | None = None,
    ) -> HttpReply:
        """Ask once.

        Raises:
            NotSentError, NoReplyError: as `HttpHost.request`, or there is no token to ask with.
        """
        fixed = {} if method == "GET" else {"Content-Length": str(len(body))}
        if body:
            fixed["Content-Type"] = "application/json"
        reply = await self.host.request(
            method,
            path,
            idempotent=False,
            query=query,
            headers=lambda: {**fixed, "api_token": self._key()},
            body=body,
            within_ms=within_ms,
        )
        self._hear_clock(_date_ms(reply))
        return reply

    def _hear_clock(self, at_ms: int | None) -> None:
        """The bridge says how late it is, or nothing."""
        before_ms, self._ahead_ms = self._ahead_ms, None
        if at_ms is not None:
            self._ahead_ms = at_ms - self._port.now_ms()
            if before_ms is not None and abs(self._ahead_ms - before_ms) > _PRESENT_MS:
                # A clock was set: by the one before all that is told now would look overtaken, or
                # as if an answer had known of it.
                self._asked_ms.clear()
                self._newest_ms.clear()

    def _key(self) -> str:
        """Made anew for every attempt, with a time that no earlier one has.

        Source: tedee-documentation 2ea1f38, `howtos/authenticate.md`.
        """
        token = self._token()
        if self._settings.auth == "plain":
            return token
        now_ms, next_ms = self._port.now_ms(), self._stamp_ms + 1
        # A clock that was set back is believed: a time ahead of it by that much would be refused.
        self._stamp_ms = max(now_ms, next_ms) if next_ms - now_ms <= _SKEW_MS else now_ms
        return api_key(token, self._stamp_ms)

    def _token(self) -> str:
        try:
            return self._settings.secret()
        except (OSError, ValueError) as error:
            file = self._settings.token_file
            raise NotSentError(f"no token in {file}: {type(error).__name__}") from error

    # --- being asked --------------------------------------------------------------------------

    def lively(self) -> None:
        """Something moves: look more often for a while."""
        self._lively_until_ms = self._port.now_ms() + _LIVELY_MS

    def _interval_ms(self) -> int:
        lively = self._port.now_ms() < self._lively_until_ms
        return min(self._every_ms, _LIVELY_INTERVAL_MS) if lively else self._every_ms

    async def _ask(self, asked_ms: int) -> Mapping[str, Sequence[Frame]]:
        reply = await self.request("GET", "/lock")
        if reply.status != _OK:
            raise NoReplyError(self._complaint(reply))
        found = _json(reply.body)
        if not isinstance(found, list):
            self._port.offer([Frame("http/locks", reply.body, asked_ms)], None)
            raise NoReplyError("the answer is no list of locks")
        answers: dict[str, list[Frame]] = {}
        for each in found:
            device = codec.id_of(each.get("id")) if isinstance(each, dict) else None
            # One that cannot be read costs itself, not the others (home-assistant/core#121778).
            source = f"http/{device}/lock" if device is not None else "http/locks"
            answers.setdefault(device or "", []).append(Frame(source, orjson.dumps(each), asked_ms))
        present = frozenset(answers.keys() - {""})
        if self._ahead_ms is not None:
            self._asked_ms.update(dict.fromkeys(present, asked_ms + self._ahead_ms))
        for device in sorted(self.locks - present):
            answers[device] = [Frame(f"http/{device}/silent", b"", asked_ms)]
        self.locks = present
        return answers

    def _complaint(self, reply: HttpReply) -> str:
        """Why an answer is of no use; a refused token mostly means a clock that is wrong."""
        if reply.status != _UNAUTHORIZED:
            return f"the bridge answered {reply.status}"
        said = "the bridge refuses the token (401)"
        if self._ahead_ms is not None and abs(self._ahead_ms) > _SKEW_MS:
            return f"{said}; its clock is {self._ahead_ms / 1000:+.0f} s from ours"
        return said

    def _told(self, failure: str | None) -> None:
        self._failures = self._failures + 1 if failure is not None else 0
        if failure is None:
            self.trouble = None
        elif self._failures >= SILENT_AFTER or self.trouble is not None:
            self.trouble = failure
        if self._failures >= SILENT_AFTER:
            now_ms = self._port.now_ms()
            silent = [Frame(f"http/{each}/silent", b"", now_ms) for each in sorted(self.locks)]
            if silent:
                self._port.offer(silent, None)
        self._changed()

    # --- being told ---------------------------------------------------------------------------

    def take(self, call: HttpRequest, rest: str) -> tuple[Sequence[Frame], HttpReply]:
        """A call under our URL of this bridge; `rest` is what follows it in the path."""
        said = call.headers.get("authorization", "")
        try:
            proven = hmac.compare_digest(said.encode(), self._proof().encode())
        except NotSentError:
            proven = False  # no token, and so nothing that could be proven
        if not proven:
            return (), _NOT_OURS
        if call.method == "POST":
            form, payload = "post", call.body
        elif rest:
            form, payload = "path", rest.encode()
        else:
            form, payload = "query", urlencode(call.query).encode()
        frame = Frame(f"webhook/{form}", payload, self._port.now_ms())
        return ([frame], _TAKEN) if self._is_news(form, payload) else ((), _TAKEN)

    def _is_news(self, form: str, payload: bytes) -> bool:
        """Whether it tells of the present; if not, the present is asked for."""
        try:
            event = codec.read_event(form, payload)
        except DecodeError:
            return True  # of whatever it is, a dead letter is made
        if not self._is_present(event):
            self.poller.soon()
            return False
        if event.name == "lock-status-changed":
            self.lively()
        if event.name == "device-connection-changed":
            self.poller.soon()
        if event.device:
            self.poller.touched(event.device)
        return True

    def _is_present(self, event: codec.Event) -> bool:
        """Neither overtaken by a later one, nor held back, nor said again."""
        if event.at_ms is None:
            return True
        if self._ahead_ms is not None:
            age_ms = self._port.now_ms() + self._ahead_ms - event.at_ms
            if abs(age_ms) > _PRESENT_MS:
                return False
            asked_ms = self._asked_ms.get(event.device)
            if asked_ms is not None and event.at_ms < asked_ms - _DATE_MS:
                return False  # the answer knew of it, and of what came after
        if event.device in self.locks:
            newest_ms = self._newest_ms.get(event.device, event.at_ms)
            if 0 < newest_ms - event.at_ms <= _OVERTAKEN_MS:
                return False
            self._newest_ms[event.device] = event.at_ms
        return True

    def _proof(self) -> str:
        """What the bridge is to say when it calls us: nobody knows it who has not the token."""
        return f"Bearer {hmac.digest(self._token().encode(), b'doorfleet webhook', 'sha256').hex()}"

    async def keep_callback(self, base_url: str, method: str) -> NoReturn:
        """See to it that the bridge calls us, once, until cancelled; then that it no longer does.

        Whoever is not heard of any more was told of by nobody: the list is looked at again and
        again, since a bridge says nothing when it forgets us, but no more often than its locks.
        """
        url = f"{base_url}/tedee/{self.number}"
        keep_s = max(_KEEP_S, self._every_ms / 1000)
        try:
            while True:
                kept = False
                with suppress(NotSentError, NoReplyError):
                    kept = await self._register(url, method)
                await asyncio.sleep(keep_s if kept else _KEEP_AGAIN_S)
        finally:
            if self._callback_id is not None:
                with suppress(NotSentError, NoReplyError):
                    await self.request("DELETE", f"/callback/{self._callback_id}", within_ms=2_000)

    async def _register(self, url: str, method: str) -> bool:
        """Whether the list has us once, as we want it. `PUT /callback` would clear others' too."""
        reply = await self.request("GET", "/callback")
        found = _json(reply.body) if reply.status == _OK else None
        if not isinstance(found, list):
            return False
        wanted = {"url": url, "method": method, "headers": [{"Authorization": self._proof()}]}
        kept: int | None = None
        for each in found:
            if not isinstance(each, dict) or type(number := each.get("id")) is not int:
                continue
            if kept is None and all(each.get(name) == value for name, value in wanted.items()):
                kept = number
            elif _is_ours(str(each.get("url")), url):
                gone = await self.request("DELETE", f"/callback/{number}")
                if gone.status != _NO_CONTENT:
                    return False
        if kept is None:
            reply = await self.request("POST", "/callback", body=orjson.dumps(wanted))
            added = _json(reply.body) if reply.status == _OK else None
            if isinstance(added, dict) and type(added.get("id")) is int:
                kept = added["id"]
                self.poller.soon()  # what changed before we were told
        self._callback_id = kept
        return kept is not None


def api_key(token: str, at_ms: int) -> str:
    """A token for one request: hash of token and time, and the time."""
    return f"{sha256(f'{token}{at_ms}'.encode()).hexdigest()}{at_ms}"


def _date_ms(reply: HttpReply) -> int | None:
    """The middle of the second in which the bridge says that it answered."""
    with suppress(ValueError, TypeError, OverflowError):
        at = parsedate_to_datetime(reply.header("date") or "")
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        return round(at.timestamp() * 1000) + 500
    return None


def _is_ours(found: str, url: str) -> bool:
    """Left behind by an earlier run of ours, perhaps at another port."""
    try:
        one, other = urlsplit(found), urlsplit(url)
    except ValueError:
        return False
    return (one.hostname, one.path) == (other.hostname, other.path)


def _json(body: bytes) -> Any:  # noqa: ANN401 -- JSON
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(body)
    return None


PATH: Final = re.compile(r"/tedee/([0-9]{1,3})(?:/(.*))?", re.DOTALL)
