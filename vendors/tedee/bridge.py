"""A simulated Tedee bridge: the REST API on its port 80, and the webhooks that it calls; pure.

    host ─► api_token? ─► /v1.0/bridge, /lock, /callback ─► its locks
    host ◄── webhooks, one for each callback, in the form that it was registered with

Source: tedee-com/tedee-documentation 2ea1f38, `bridge-api/spec.json` (API 1.2), `howtos/*`,
`overview/getting_started.md`, `webhooks/events.md`. No public text says how far a token's time
may be off, what a request without Content-Length gets, or how long a bridge takes to answer:
those are guesses, and parameters where it matters.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Final, NamedTuple

import orjson

from vendors.http import HttpReply, HttpRequest, Pairs
from vendors.sim import Arrival, HubEffects, MqttSession, Webhook, WsOpen
from vendors.tedee.lock import Lock

_KEY: Final = re.compile(r"([0-9a-f]{64})([0-9]{13})")
_LOCK_PATH: Final = re.compile(r"/v1\.0/lock/([0-9]{1,10})(?:/(lock|unlock|pull))?")
_CALLBACK_PATH: Final = re.compile(r"/v1\.0/callback/([0-9]{1,10})")
_MODES: Final[Mapping[str, int]] = {"0": 0, "2": 2, "3": 3, "4": 4}
METHODS: Final = ("POST", "GET", "GET+NO_PARAMS")
_LATENCY_MS: Final = 40
# The far end of what field reports call drift; any value beyond what is accepted will do.
_DRIFT_MS: Final = -90_000
_CALLBACKS_MAX: Final = 16


class Callback(NamedTuple):
    """Somebody who asked to be told."""

    url: str
    method: str
    headers: Pairs


class Bridge:
    """One bridge with its locks: a `vendors.sim.Hub`.

    Args:
        name: also its serial number's stem.
        token: as the vendor's app shows it.
        encrypted: whether each request needs a token of its own, as by default.
        skew_ms_max: how far the time in a token may be off.
    """

    session: MqttSession | None = None
    tls = False
    REFUSALS: Final[Mapping[str, bytes]] = {
        "token_expired": b'{"error-description":"Invalid token"}'
    }

    def __init__(
        self, name: str, token: str, *, encrypted: bool = True, skew_ms_max: int = 30_000
    ) -> None:
        self.name = name
        self.token = token
        self.encrypted = encrypted
        self.skew_ms_max = skew_ms_max
        self.locks: dict[str, Lock] = {}
        self.callbacks: dict[int, Callback] = {}
        self._numbers = 0
        self._powered = False
        self._faults: dict[str, set[str]] = {}
        self._spent: dict[str, int] = {}
        self._dated_drift_ms = 0

    # --- a Hub ---

    def connected(self, now_ms: int) -> HubEffects:
        """Power: its locks are there at once; callbacks survived."""
        self._powered = True
        return HubEffects(
            devices={name: lock.connected(now_ms) for name, lock in self.locks.items()}
        )

    def disconnected(self, now_ms: int) -> HubEffects:
        """No power."""
        del now_ms
        self._powered = False
        return HubEffects()

    def receive(self, message: Arrival, now_ms: int) -> HubEffects:
        """An HTTP request; it speaks nothing else."""
        if isinstance(message, WsOpen):
            return HubEffects(HttpReply(404))
        if not isinstance(message, HttpRequest) or self._has("bridge_down"):
            return HubEffects()
        if not self._admits(message, now_ms):
            return HubEffects(self._refusal(401, "Invalid token", now_ms))
        if message.method in ("POST", "PUT") and "content-length" not in message.headers:
            return HubEffects(self._refusal(411, "Content-Length required", now_ms))
        return self._route(message, now_ms)

    def wake(self, now_ms: int) -> HubEffects:
        """It plans nothing of its own."""
        del now_ms
        return HubEffects()

    # --- for its locks ---

    def webhooks(self, event: str, data: Mapping[str, int | str], now_ms: int) -> Sequence[Webhook]:
        """One call for each callback; one with TLS comes to nothing, and nobody is told so.

        Source of the latter: home-assistant.io PR#33636.
        """
        if not self._powered or self._has("bridge_down") or self._has("webhook_lost"):
            return ()
        about = {"event": event, "timestamp": self._stamp(now_ms)}
        called = [each for each in self.callbacks.values() if each.url.startswith("http://")]
        return [_call(each, about, data) for each in called]

    @property
    def is_dated(self) -> bool:
        """Whether an answer has told its present clock: until then its stamps look old or early.

        Whoever looks at them takes such a webhook for a repetition, and rightly.
        """
        return self._dated_drift_ms == self._drift_ms

    def fail(self, fault: str, device: str) -> None:
        """A fault of its own, which all of its locks share."""
        self._faults.setdefault(fault, set()).add(device)

    def recover(self, fault: str, device: str) -> None:
        """It is over when it is over for each lock that it was said of."""
        self._faults.get(fault, set()).discard(device)

    def _has(self, fault: str) -> bool:
        return bool(self._faults.get(fault))

    # --- answering ---

    @property
    def _drift_ms(self) -> int:
        return _DRIFT_MS if self._has("clock_skew") else 0

    def _clock_ms(self, now_ms: int) -> int:
        return now_ms + self._drift_ms

    def _stamp(self, now_ms: int) -> str:
        at = datetime.fromtimestamp(self._clock_ms(now_ms) / 1000, UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _admits(self, request: HttpRequest, now_ms: int) -> bool:
        """By header or query; an encrypted token is good once, and near its time."""
        key = request.headers.get("api_token") or request.argument("api_token") or ""
        if not self.encrypted:
            return compare_digest(key.encode(), self.token.encode())
        found = _KEY.fullmatch(key)
        clock_ms = self._clock_ms(now_ms)
        self._spent = {
            old: at_ms
            for old, at_ms in self._spent.items()
            if abs(clock_ms - at_ms) <= self.skew_ms_max
        }
        if found is None or key in self._spent:
            return False
        at_ms = int(found[2])
        wanted = sha256(f"{self.token}{found[2]}".encode()).hexdigest()
        if abs(clock_ms - at_ms) > self.skew_ms_max or not compare_digest(wanted, found[1]):
            return False
        self._spent[key] = at_ms
        return True

    def _reply(self, status: int, body: object, now_ms: int, delay_ms: int = 0) -> HttpReply:
        self._dated_drift_ms = self._drift_ms
        at = datetime.fromtimestamp(self._clock_ms(now_ms) // 1000, UTC)
        headers = [("Server", "Tedee"), ("Date", format_datetime(at, usegmt=True))]
        empty = body is None
        if not (empty and self._has("bare_204")):
            # On a 204 too: otherwise aiotedee, which reads each answer as JSON, could not work.
            headers.append(("Content-Type", "application/json"))
        return HttpReply(
            status,
            b"" if empty else orjson.dumps(body),
            tuple(headers),
            delay_ms or _LATENCY_MS,
        )

    def _refusal(self, status: int, why: str, now_ms: int, delay_ms: int = 0) -> HttpReply:
        return self._reply(status, {"error-description": why}, now_ms, delay_ms)

    def _route(self, request: HttpRequest, now_ms: int) -> HubEffects:
        match request.method, request.path:
            case "GET", "/v1.0/bridge":
                return HubEffects(self._reply(200, self._described(now_ms), now_ms))
            case "GET", "/v1.0/lock":
                found = [lock.described() for lock in self.locks.values()]
                return HubEffects(self._reply(200, found, now_ms))
        if (path := _LOCK_PATH.fullmatch(request.path)) is not None:
            return self._of_lock(request, path[1], path[2], now_ms)
        if request.path.startswith("/v1.0/callback"):
            return HubEffects(self._of_callbacks(request, now_ms))
        return HubEffects(self._refusal(404, "Not found", now_ms))

    def _described(self, now_ms: int) -> Mapping[str, object]:
        return {
            "name": f"Bridge-{self.name}",
            "currentTime": self._stamp(now_ms),
            "serialNumber": self.name,
            "ssid": "doorfleet",
            "isConnected": 1,
            "version": "2.2.11098",
            "wifiVersion": "35.2.2.4",
        }

    def _of_lock(
        self, request: HttpRequest, device: str, what: str | None, now_ms: int
    ) -> HubEffects:
        lock = self.locks.get(str(int(device)))
        if lock is None:
            return HubEffects(self._refusal(404, "Device not found", now_ms))
        if what is None and request.method == "GET":
            return HubEffects(self._reply(200, lock.described(), now_ms), lock.name)
        if what is None or request.method != "POST":
            return HubEffects(self._refusal(404, "Not found", now_ms))
        # The specification lists the mode as a header; its text and every client use the query.
        mode = request.argument("mode") or request.headers.get("mode") or "0"
        if what == "unlock" and mode not in _MODES:
            return HubEffects(self._refusal(403, "Invalid param", now_ms), lock.name)
        done = lock.operate(what, _MODES.get(mode, 0), now_ms)
        match done.status:
            case 204:
                reply = self._reply(204, None, now_ms, done.delay_ms)
            case 405:
                reply = self._refusal(405, "Device is disconnected", now_ms, done.delay_ms)
            case _:
                why = {"error-code": done.code, "error-description": "BLE API error"}
                reply = self._reply(406, why, now_ms, done.delay_ms)
        return HubEffects(reply, lock.name, devices={lock.name: done.effects})

    # --- callbacks ---

    def _of_callbacks(self, request: HttpRequest, now_ms: int) -> HttpReply:
        if self._has("storage_busy") and request.method != "GET":
            return self._refusal(409, "Busy", now_ms)
        if (path := _CALLBACK_PATH.fullmatch(request.path)) is not None:
            return self._of_callback(request, int(path[1]), now_ms)
        body: object = None
        match request.method, request.path:
            case "GET", "/v1.0/callback":
                body = [_listed(number, each) for number, each in self.callbacks.items()]
            case "POST", "/v1.0/callback":
                one = _callback(_json(request.body))
                if one is not None and len(self.callbacks) < _CALLBACKS_MAX:
                    body = {"id": self._add(one)}
            case "PUT", "/v1.0/callback":
                given = _json(request.body)
                wanted = [_callback(each) for each in given] if isinstance(given, list) else [None]
                if None not in wanted:
                    self.callbacks.clear()
                    body = [self._add(each) for each in wanted if each is not None]
            case _:
                return self._refusal(404, "Not found", now_ms)
        if body is None:
            return self._refusal(403, "Invalid param", now_ms)
        return self._reply(200, body, now_ms)

    def _of_callback(self, request: HttpRequest, number: int, now_ms: int) -> HttpReply:
        if number not in self.callbacks:
            return self._refusal(404, "Callback not found", now_ms)
        match request.method:
            case "DELETE":
                del self.callbacks[number]
            case "PUT":
                one = _callback(_json(request.body))
                if one is None:
                    return self._refusal(403, "Invalid param", now_ms)
                self.callbacks[number] = one
            case _:
                return self._refusal(404, "Not found", now_ms)
        return self._reply(204, None, now_ms)

    def _add(self, one: Callback) -> int:
        self._numbers += 1
        self.callbacks[self._numbers] = one
        return self._numbers


def _json(body: bytes) -> Any:  # noqa: ANN401 -- JSON
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _callback(body: object) -> Callback | None:
    """A registration; POST and no headers unless it says otherwise."""
    if not isinstance(body, dict):
        return None
    url, method, headers = body.get("url"), body.get("method", "POST"), body.get("headers", [])
    if not isinstance(url, str) or method not in METHODS or not isinstance(headers, list):
        return None
    pairs = [pair for each in headers if isinstance(each, dict) for pair in each.items()]
    if not all(isinstance(value, str) for _, value in pairs):
        return None
    return Callback(url, method, tuple(pairs))


def _listed(number: int, callback: Callback) -> Mapping[str, object]:
    headers = [{name: value} for name, value in callback.headers]
    return {"id": number, "url": callback.url, "method": callback.method, "headers": headers}


def _call(callback: Callback, about: Mapping[str, str], data: Mapping[str, int | str]) -> Webhook:
    """The webhook in the form of this callback; the text forms are not escaped."""
    if callback.method == "POST":
        body = orjson.dumps({**about, "data": data})
        headers = (("Content-Type", "application/json"), *callback.headers)
        return Webhook(callback.url, body, "POST", headers)
    pairs = [f"{name}={value}" for name, value in {**about, **data}.items()]
    url = callback.url.rstrip("/")
    url += f"?{'&'.join(pairs)}" if callback.method == "GET" else f"/{'/'.join(pairs)}"
    return Webhook(url, b"", "GET", callback.headers)
