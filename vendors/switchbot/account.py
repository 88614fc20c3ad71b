"""The simulated cloud: one account with its signature check, its daily quota and its webhook; pure.

    request ─► signature, clock, nonce ─► quota ─► device list │ status │ command │ webhook
                     401                   429

Source: OpenWonderLabs/SwitchBotAPI README.md 0214825b; 429 over the quota as users see it
(home-assistant/core#157221), 401 as the README says: both are profiles. When the vendor's day
begins, and how far a clock may be off, nobody says: midnight UTC and 300 s are guesses of ours.
"""

import hmac
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol, Self

from vendors.http import HttpReply, HttpRequest
from vendors.sim import Arrival, Chance, Effects, HubEffects, MqttSession
from vendors.switchbot.faults import AWAY, ODD
from vendors.switchbot.keypad import Keypad

#: The hub that all locks of the account are behind.
HUB_ID: Final = "C0D5AA000001"
#: Passcodes that a gateway of the fleet keeps on each keypad.
SLOTS: Final = 2
#: So often each lock of a fleet is polled unless `quota_per_day` is given.
DEMO_POLL_MS: Final = 5_000
_REAL_QUOTA: Final = 10_000
# Day through poll interval, and the share of the quota that polls may take is 0.6 (`budget`).
_DEMO_CALLS: Final = round(86_400_000 / DEMO_POLL_MS / 0.6)
_DAY_MS: Final = 86_400_000
_REPLY_MS: Final = (60, 350)
_QUOTAS: Final = range(100, 50_000_001)
#: What each option of a fleet may be.
_OPTIONS: Final[Mapping[str, Sequence[object]]] = {
    "keypads": (True, False),
    "over_quota": ("429_json", "429_text", "401"),
    "quota_per_day": _QUOTAS,
    "skew_s": range(1, 86_401),
}
#: A device's fault, and what every request about the device is answered while it lasts.
_REFUSALS: Final[Mapping[str, str]] = {
    "rate_429": "429_json",
    "rate_429_text": "429_text",
    "unauthorized_401": "401",
}
_STAMP_DIGITS: Final = 13
# Far more than anybody asks within the time in which a nonce could come again.
_NONCES_MAX: Final = 4_096
_JSON: Final = (("Content-Type", "application/json"),)
_TEXT: Final = (("Content-Type", "text/plain"),)
_OK, _WRONG_TYPE, _NOT_FOUND, _BAD = 100, 151, 152, 190
_PATH_STEPS: Final = 3  # devices/<id>/status


class Device(Protocol):
    """What the cloud asks of a lock."""

    name: str
    keypad: Keypad | None
    faults: set[str]

    @property
    def model(self) -> Any:  # noqa: ANN401 -- the simulator's own
        """With its `name`."""

    def connected(self, now_ms: int) -> Effects: ...  # noqa: D102
    def effects(self) -> Effects: ...  # noqa: D102
    def listens(self, url: str) -> None: ...  # noqa: D102
    def status(self) -> Mapping[str, object]: ...  # noqa: D102
    def order(self, word: str, now_ms: int) -> int: ...  # noqa: D102
    def change_key(self, word: str, parameter: object, now_ms: int) -> tuple[int, str]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Profile:
    """The options of a fleet.

    `quota_per_day`: calls in a day; absent, so many that each lock may be polled every 5 s, for
    a demonstration; the vendor's is 10,000. `over_quota`: what is answered beyond it. `keypads`:
    whether each lock has one. `skew_s`: how far the asker's clock may be off.
    """

    token: str
    secret: str
    hook_key: str
    quota_per_day: int
    over_quota: str = "429_json"
    keypads: bool = True
    skew_s: int = 300

    @classmethod
    def of(cls, options: Mapping[str, object], prefix: str, count: int) -> Self:
        """The profile that these options make.

        Raises:
            ValueError: one does not exist, or cannot be so.
        """
        for name, value in options.items():
            good = _OPTIONS.get(name)
            if good is None:
                raise ValueError(f"option {name}; there are {', '.join(_OPTIONS)}")
            if type(value) is not type(good[0]) or value not in good:
                raise ValueError(f"option {name}: {value!r} cannot be")
        chosen: dict[str, Any] = {
            "quota_per_day": min(_QUOTAS[-1], max(_REAL_QUOTA, _DEMO_CALLS * count)),
            **options,
        }
        return cls(
            token=sha256(f"token/{prefix}".encode()).hexdigest() * 2,
            secret=sha256(f"secret/{prefix}".encode()).hexdigest()[:32],
            hook_key=sha256(f"hook/{prefix}".encode()).hexdigest()[:32],
            **chosen,
        )


class Cloud:
    """The account's cloud: a `vendors.sim.Hub`."""

    session: MqttSession | None = None
    tls = True
    # Source: README, Errors; SwitchBotAPI#296 for 190.
    REFUSALS: Final[Mapping[str, bytes]] = {
        "error_inside_200": b'{"statusCode":190,"body":{},"message":"error"}',
        "token_expired": b'{"message":"Unauthorized"}',
        "too_many_requests": b'{"message":"Too many requests"}',
    }

    def __init__(self, name: str, locks: Sequence[Device], profile: Profile, rng: Chance) -> None:
        self.name = name
        self.profile = profile
        self._rng = rng
        self._locks = {lock.name: lock for lock in locks}
        self._keypads = {lock.keypad.device: lock for lock in locks if lock.keypad is not None}
        self._nonces: dict[str, int] = {}
        self._day = 0
        self._calls = 0
        self._url = ""

    # --- a Hub ---

    def connected(self, now_ms: int) -> HubEffects:
        """The service is up."""
        return HubEffects(
            devices={name: lock.connected(now_ms) for name, lock in self._locks.items()}
        )

    def disconnected(self, now_ms: int) -> HubEffects:
        """The service is down."""
        del now_ms
        return HubEffects()

    def wake(self, now_ms: int) -> HubEffects:
        """It plans nothing itself."""
        del now_ms
        return HubEffects()

    def receive(self, message: Arrival, now_ms: int) -> HubEffects:
        """One request; nothing else is spoken here."""
        if not isinstance(message, HttpRequest):
            return HubEffects(HttpReply(404))
        lock = self._meant(message)
        reply = self._answer(message, lock, now_ms)
        delay_ms = self._rng.randint(*_REPLY_MS)
        about = "" if lock is None else lock.name
        devices = {} if lock is None else {lock.name: lock.effects()}
        return HubEffects(reply._replace(delay_ms=delay_ms), about, (), devices)

    # --- who may ask, and how often ---

    def _answer(self, request: HttpRequest, lock: Device | None, now_ms: int) -> HttpReply:
        if not self._authentic(request, now_ms):
            return _refusal("401")
        if self._over_quota(now_ms):
            return _refusal(self.profile.over_quota)
        for fault, refusal in _REFUSALS.items():
            if lock is not None and fault in lock.faults:
                return _refusal(refusal)
        return self._routed(request, lock, now_ms)

    def _routed(self, request: HttpRequest, lock: Device | None, now_ms: int) -> HttpReply:
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["v1.1", "devices"]:
                return _reply(_OK, self._list(now_ms))
            case "GET", ["v1.1", "devices", device, "status"]:
                return self._status(device, lock)
            case "POST", ["v1.1", "devices", device, "commands"]:
                return self._command(device, lock, request.body, now_ms)
            case "POST", ["v1.1", "webhook", action]:
                return self._webhook(action, request.body)
        return HttpReply(404, b'{"message":"Not Found"}', _JSON)

    def _meant(self, request: HttpRequest) -> Device | None:
        steps = request.path.strip("/").split("/")[1:]
        if len(steps) != _PATH_STEPS or steps[0] != "devices":
            return None
        return self._locks.get(steps[1]) or self._keypads.get(steps[1])

    def _authentic(self, request: HttpRequest, now_ms: int) -> bool:
        """Signed with the secret, of the present, and never seen before."""
        headers, profile = request.headers, self.profile
        token, nonce = headers.get("authorization", ""), headers.get("nonce", "")
        stamp, window_ms = headers.get("t", ""), profile.skew_s * 1000
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) == _STAMP_DIGITS and nonce):
            return False
        told = hmac.new(profile.secret.encode(), f"{token}{stamp}{nonce}".encode(), sha256)
        if token != profile.token or headers.get("sign") != b64encode(told.digest()).decode():
            return False
        if abs(now_ms - int(stamp)) > window_ms or nonce in self._nonces:
            return False
        if len(self._nonces) > _NONCES_MAX:
            old_ms = now_ms - 2 * window_ms
            self._nonces = {each: at_ms for each, at_ms in self._nonces.items() if at_ms > old_ms}
        self._nonces[nonce] = now_ms
        return True

    def _over_quota(self, now_ms: int) -> bool:
        day = now_ms // _DAY_MS
        if day != self._day:
            self._day, self._calls = day, 0
        self._calls += 1
        return self._calls > self.profile.quota_per_day

    # --- what is asked ---

    def _list(self, now_ms: int) -> Mapping[str, object]:
        hub = {
            "deviceId": HUB_ID,
            "deviceName": "Hub",
            "deviceType": "Hub Mini",
            "enableCloudService": False,
            "hubDeviceId": "",
        }
        entries: list[Mapping[str, object]] = [hub]
        for lock in self._locks.values():
            entries.append(
                {
                    "deviceId": lock.name,
                    "deviceName": f"Lock {lock.name[-4:]}",
                    "deviceType": lock.model.name,
                    "enableCloudService": True,
                    "hubDeviceId": HUB_ID,
                    "group": False,
                    "master": True,
                    "groupName": "",
                    "lockDevicesIds": [lock.name],
                }
            )
            if lock.keypad is not None:
                entries.append(lock.keypad.listed(lock.name, HUB_ID, now_ms))
        return {"deviceList": entries, "infraredRemoteList": []}

    def _status(self, device: str, lock: Device | None) -> HttpReply:
        if device == HUB_ID:
            return _reply(_OK, {"deviceId": device, "deviceType": "Hub Mini", "hubDeviceId": ""})
        if lock is None:
            return _reply(_NOT_FOUND, {})
        if (code := _error(lock)) is not None:
            return _reply(code, {})
        if device in self._keypads:
            about = {"deviceId": device, "deviceType": "Keypad", "hubDeviceId": HUB_ID}
            return _reply(_OK, about)
        return _reply(_OK, lock.status())

    def _command(self, device: str, lock: Device | None, body: bytes, now_ms: int) -> HttpReply:
        asked = _object(body)
        word, kind = asked.get("command"), asked.get("commandType", "command")
        if device == HUB_ID:
            return _reply(_WRONG_TYPE, {})
        if lock is None:
            return _reply(_NOT_FOUND, {})
        if not isinstance(word, str) or kind != "command":
            return _reply(_BAD, {})
        if (code := _error(lock)) is not None:
            return _reply(code, {})
        if device in self._keypads:
            code, command_id = lock.change_key(word, asked.get("parameter"), now_ms)
            return _reply(code, {"commandId": command_id} if command_id else {})
        return _reply(lock.order(word, now_ms), {})

    def _webhook(self, action: str, body: bytes) -> HttpReply:
        """One URL for all devices of the account."""
        asked = _object(body)
        url = asked.get("url")
        match action:
            case "queryWebhook" if asked.get("action") == "queryUrl":
                return _reply(_OK, {"urls": [self._url] if self._url else []})
            case "setupWebhook" if isinstance(url, str) and asked.get("deviceList") == "ALL":
                if self._url:
                    return _reply(_BAD, {}, "webhook is exist")
                self._listen(url)
                return _reply(_OK, {})
            case "updateWebhook" if isinstance(asked.get("config"), dict):
                config = asked["config"]
                self._listen(str(config.get("url", "")) if config.get("enable", True) else "")
                return _reply(_OK, {})
            case "deleteWebhook" if url == self._url and url:
                self._listen("")
                return _reply(_OK, {})
        return _reply(_BAD, {})

    def _listen(self, url: str) -> None:
        self._url = url
        for lock in self._locks.values():
            lock.listens(url)


def _error(lock: Device) -> int | None:
    """What a fault has the cloud say instead of doing what it is asked."""
    return next((code for name, code in {**AWAY, **ODD}.items() if name in lock.faults), None)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _reply(code: int, body: Mapping[str, object], message: str = "") -> HttpReply:
    """Errors come with HTTP 200 as well."""
    message = message or ("success" if code == _OK else "error")
    document = {"statusCode": code, "body": dict(body), "message": message}
    return HttpReply(200, json.dumps(document, separators=(",", ":")).encode(), _JSON)


def _refusal(profile: str) -> HttpReply:
    if profile == "401":
        return HttpReply(401, b'{"message":"Unauthorized"}', _JSON)
    if profile == "429_text":
        return HttpReply(429, b"Too Many Requests", _TEXT)
    return HttpReply(429, b'{"message":"Too many requests"}', _JSON)
