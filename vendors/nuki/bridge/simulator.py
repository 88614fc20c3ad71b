"""A simulated Nuki Bridge with up to five locks; pure.

host ──► GET, proof in the query ──► one at a time (503) ──► /list: its memory
host ◄── POST to at most three addresses ◄── locks           /lockState, /lockAction: the lock

Source: see `codec` and `auth`. Guesses of ours: how far a timestamp may be off (60 s), that the
proof is looked at before a busy bridge says 503, what is said when all three callbacks are taken,
and every duration that is not of a recording (1 s for `/lockState`, 3 s for an action).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

from devices.errors import ConfigError
from vendors.http import HttpReply, HttpRequest
from vendors.nuki.bridge import auth
from vendors.nuki.bridge.lock import COURIER, HABITS, WORLD, Lock
from vendors.sim import Addresses, Arrival, Chance, FleetSpec, HubEffects, MqttSession, RandomFor

__all__ = [
    "COURIER",
    "FAULTS",
    "HABITS",
    "KINDS",
    "WORLD",
    "Bridge",
    "Lock",
    "fleet",
    "gateway_settings",
]

#: What bridges and the locks behind them are known to do wrong, each with where it was seen.
FAULTS: Final[Mapping[str, str]] = {
    "busy": "503 while others ask (benzman81/homebridge-nukiio#100)",
    "reboots_under_polling": "the bridge goes away when asked often (home-assistant/core#41460)",
    "slow_bridge": "answers after 6-12 s; doors opened twice (benzman81/homebridge-nukiio#93)",
    "stale_cache": "/list stays as it was for hours and looks good (ebaauw/homebridge-nb#133)",
    "no_last_state": "lastKnownState is absent, the lock is off (benzman81/homebridge-nukiio#8)",
    "lock_off": "success false, then 410; the last state stays (developer.nuki.io 13423)",
    "callback_lost": "the callback never arrives (lukasroegner/homebridge-nuki#35)",
    "callbacks_full": "others hold all three callbacks (Bridge HTTP API 1.13: three at most)",
    "clock_skew": "401: the bridge's clock is an hour off (ebaauw/homebridge-nb#45, #62)",
    "contradictory": "number and name of a state disagree (home-assistant/core nuki list.json)",
    "jam_self_heals": "locking jams; after 10 s it says locked (technyon/nuki_hub#165, #330)",
    "brown_out": "its battery gives up while the motor runs: it boots, undefined"
    " (digaus/esphome-components-eqiva#22; NukiBleEsp32: motor low voltage 0x49)",
    "false_battery": "batteryCritical without cause (technyon/nuki_hub#263)",
    "undefined_state": "undefined after a reboot, commands ignored (technyon/nuki_hub#406, #630)",
    "silent_hand": "turning by hand is not reported (technyon/nuki_hub#764)",
    "name_not_utf8": "a name whose bytes are no UTF-8 (technyon/nuki_hub#344)",
    "calibrating": "boot run 253, then calibration 252 (BLE table; consumers know 0 to 7)",
}
#: Which kinds of the catalogue these are.
KINDS: Final[Mapping[str, str]] = {
    "jam": "jam_self_heals",
    "brown_out": "brown_out",
    "stale_state": "stale_cache",
    "contradictory_state": "contradictory",
    "clock_skew": "clock_skew",
}
#: Those of the bridge: every lock behind it suffers.
_OF_THE_BRIDGE: Final = frozenset(
    {"busy", "reboots_under_polling", "slow_bridge", "callbacks_full", "clock_skew"}
)

_CALLBACKS_MAX: Final = 3
_URL_CHARS_MAX: Final = 254
_OFF_BY_MS: Final = 60_000
_PROOFS_MAX: Final = 4_096
_SKEW_MS: Final = 3_600_000
_QUICK_MS: Final = (20, 80)
_LOCK_MS: Final = (500, 1_500)
_SLOW_MS: Final = (6_000, 12_000)
_REBOOT_MS: Final = (20_000, 40_000)
_REBOOT_EVERY: Final = 20
_RECALL_MS: Final = 10_000
_BUTTON_MS: Final = 30_000
_BUSY_SHARE: Final = 0.6
_LOCK_TYPES: Final = frozenset({"0", "3", "4"})
_STRANGER: Final = "http://192.0.2.99/nuki/{number}"
_JSON: Final = (("Content-Type", "application/json"),)
_LOCKS_MAX: Final = 20
_LOCKS_PER_BRIDGE: Final = 5


class Told(NamedTuple):
    """What the bridge answers, how long it is busy with it, and which lock it was about."""

    said: object = None
    took_ms: int = 0
    lock: Lock | None = None
    status: int = 200


class Bridge:
    """A `vendors.sim.Hub`."""

    session: MqttSession | None = None
    tls = False
    REFUSALS: Final[Mapping[str, bytes]] = {"error_inside_200": b'{"success":false}'}
    DATED: Final = False

    def __init__(self, name: str, rng: Chance, strangers: int = 0) -> None:
        self.name = name
        self.token = _token(name)
        self.locks: dict[int, Lock] = {}
        self.callbacks: list[str] = [_STRANGER.format(number=n) for n in range(strangers)]
        #: When it is there again.
        self.back_ms = 0
        self._rng = rng
        self._powered_ms = 0
        self._busy_until_ms = 0
        self._recalls_ms: int | None = None
        self._requests = 0
        self._proofs: dict[tuple[str, str], int] = {}
        self._faults: dict[str, set[str]] = {}
        self._paths: Mapping[str, Callable[[HttpRequest, int], Told]] = {
            "/info": self._info,
            "/list": self._list,
            "/lockState": self._lock_state,
            "/lockAction": self._lock_action,
            "/lock": lambda request, now_ms: self._order(request, 2, now_ms, wait=True),
            "/unlock": lambda request, now_ms: self._order(request, 1, now_ms, wait=True),
            "/callback/list": self._callback_list,
            "/callback/add": self._callback_add,
            "/callback/remove": self._callback_remove,
            "/reboot": self._reboot_asked,
            "/log": lambda *_: Told([]),
            "/clearlog": lambda *_: Told({"success": True}),
        }

    # --- Hub ---

    def connected(self, now_ms: int) -> HubEffects:
        """Power on: it has heard of all its locks."""
        self._powered_ms = self.back_ms = now_ms
        return HubEffects(
            devices={lock.name: lock.connected(now_ms) for lock in self.locks.values()}
        )

    def disconnected(self, now_ms: int) -> HubEffects:
        """Its memory of locks is gone, its callbacks are not."""
        self._forget(now_ms)
        return HubEffects()

    def receive(self, message: Arrival, now_ms: int) -> HubEffects:
        """A request; nobody is there while it reboots."""
        if not isinstance(message, HttpRequest) or not self.up(now_ms):
            return HubEffects()
        self._recall(now_ms)
        self._requests += 1
        if self._has("reboots_under_polling") and self._requests % _REBOOT_EVERY == 0:
            self._reboot(now_ms)
            return HubEffects()
        told = self._answer(message, now_ms)
        took_ms = told.took_ms or self._rng.randint(*_QUICK_MS)
        if self._has("slow_bridge"):
            took_ms += self._rng.randint(*_SLOW_MS)
        if told.status != 503:  # noqa: PLR2004 -- what it is busy with goes on
            self._busy_until_ms = now_ms + took_ms
        answer = HttpReply(told.status, self._body(told.said), _JSON, took_ms)
        if told.lock is None:
            return HubEffects(answer)
        return HubEffects(answer, told.lock.name, devices={told.lock.name: told.lock.effects()})

    def wake(self, now_ms: int) -> HubEffects:
        """It plans nothing."""
        del now_ms
        return HubEffects()

    def up(self, now_ms: int) -> bool:
        """Whether it answers and calls."""
        return now_ms >= self.back_ms

    # --- faults of its own ---

    def strike(self, fault: str, lock: str, now_ms: int) -> bool:
        """Begin, if it is one of the bridge's; `lock` is whose people wanted it."""
        del now_ms
        if fault not in FAULTS:
            raise KeyError(fault)
        if fault in _OF_THE_BRIDGE:
            self._faults.setdefault(fault, set()).add(lock)
            if fault == "callbacks_full":
                self.callbacks = [_STRANGER.format(number=n) for n in range(_CALLBACKS_MAX)]
        return fault in _OF_THE_BRIDGE

    def heal(self, fault: str, lock: str, now_ms: int) -> bool:
        """End it, if it is one of the bridge's and nobody else wants it."""
        del now_ms
        if fault not in FAULTS:
            raise KeyError(fault)
        if fault in _OF_THE_BRIDGE:
            self._faults.get(fault, set()).discard(lock)
            if fault == "callbacks_full" and not self._has(fault):
                self.callbacks = []
        return fault in _OF_THE_BRIDGE

    def _has(self, fault: str) -> bool:
        return bool(self._faults.get(fault))

    def _reboot(self, now_ms: int) -> None:
        self.back_ms = now_ms + self._rng.randint(*_REBOOT_MS)
        self._powered_ms = self.back_ms
        self._forget(self.back_ms)

    def _forget(self, now_ms: int) -> None:
        self._recalls_ms = now_ms + _RECALL_MS
        for lock in self.locks.values():
            lock.cache = None

    def _recall(self, now_ms: int) -> None:
        """Some seconds after a reboot it has heard of its locks again."""
        if self._recalls_ms is None or now_ms < self._recalls_ms:
            return
        self._recalls_ms = None
        for lock in self.locks.values():
            if lock.cache is None and not lock.off:
                lock.read(now_ms)

    # --- being asked ---

    def _answer(self, request: HttpRequest, now_ms: int) -> Told:
        if request.method != "GET":
            return Told({"success": False}, status=400)
        if request.path == "/auth":
            return Told({"success": False}, _BUTTON_MS)  # nobody presses the button
        if not self._lets_in(request, now_ms):
            return Told(status=401)
        taken = self._has("busy") and self._rng.random() < _BUSY_SHARE
        if taken or now_ms < self._busy_until_ms:
            return Told(status=503)
        handler = self._paths.get(request.path)
        return Told(status=404) if handler is None else handler(request, now_ms)

    def _clock_ms(self, now_ms: int) -> int:
        return now_ms - _SKEW_MS if self._has("clock_skew") else now_ms

    def _lets_in(self, request: HttpRequest, now_ms: int) -> bool:
        """A token for ever, or a proof once and near its own clock."""
        if (token := request.argument("token")) is not None:
            return token == self.token
        ctoken, nonce = request.argument("ctoken"), request.argument("nonce")
        ts, rnr = request.argument("ts") or "", request.argument("rnr") or ""
        if ctoken is not None and nonce is not None:
            inside = auth.opened(self.token, ctoken, nonce)
            if inside is None:
                return False
            ts, rnr = inside
        elif request.argument("hash") != auth.digest(self.token, ts, rnr):
            return False
        clock_ms, at_ms = self._clock_ms(now_ms), auth.moment_ms(ts)
        if at_ms is None or abs(at_ms - clock_ms) > _OFF_BY_MS or (ts, rnr) in self._proofs:
            return False
        self._proofs[ts, rnr] = at_ms
        if len(self._proofs) > _PROOFS_MAX:
            self._proofs = {
                proof: each
                for proof, each in self._proofs.items()
                if abs(each - clock_ms) <= _OFF_BY_MS
            }
        return True

    def _body(self, said: object) -> bytes:
        if said is None:
            return b""
        text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
        bad = any(lock.bad_name for lock in self.locks.values())
        return text.encode("latin-1" if bad else "utf-8")

    def _iso(self, at_ms: int) -> str:
        at = datetime.fromtimestamp(self._clock_ms(at_ms) // 1000, UTC)
        return at.isoformat()

    def _info(self, request: HttpRequest, now_ms: int) -> Told:
        del request
        scan = [
            {
                "deviceType": 4,
                "nukiId": lock.nuki_id,
                "name": f"Nuki_{lock.name}",
                "rssi": -60,
                "paired": True,
            }
            for lock in self.locks.values()
        ]
        return Told(
            {
                "bridgeType": 1,
                "ids": {"hardwareId": 100_000_001, "serverId": 200_000_001},
                "versions": {"firmwareVersion": "2.17.0", "wifiFirmwareVersion": "2.4.0"},
                "uptime": max(0, now_ms - self._powered_ms) // 1000,
                "currentTime": self._iso(now_ms),
                "wlanConnected": True,
                "serverConnected": True,
                "scanResults": scan,
            }
        )

    def _list(self, request: HttpRequest, now_ms: int) -> Told:
        del request, now_ms
        listed = []
        for lock in self.locks.values():
            entry: dict[str, Any] = {
                "deviceType": 4,
                "nukiId": lock.nuki_id,
                "name": "Haustür" if lock.bad_name else f"Lock {lock.name}",
                "firmwareVersion": lock.firmware,
            }
            if lock.cache is not None and not lock.forgotten:
                stamp = self._iso(lock.cache.at_ms)
                entry["lastKnownState"] = {**lock.cache.state, "timestamp": stamp}
            listed.append(entry)
        return Told(listed)

    def _named(self, request: HttpRequest) -> Lock | None:
        number = request.argument("nukiId") or ""
        if request.argument("deviceType") not in {None, *_LOCK_TYPES} or not number.isdecimal():
            return None
        return self.locks.get(int(number[:10]))

    def _lock_state(self, request: HttpRequest, now_ms: int) -> Told:
        lock = self._named(request)
        if lock is None:
            return Told(status=404)
        took_ms = self._rng.randint(*_LOCK_MS)
        if lock.off:
            gone = lock.gone(now_ms)
            return Told({"success": False}, took_ms, lock, status=410 if gone else 200)
        return Told({**lock.read(now_ms), "success": True}, took_ms, lock)

    def _lock_action(self, request: HttpRequest, now_ms: int) -> Told:
        action = request.argument("action") or ""
        if action not in {"1", "2", "3", "4", "5"}:
            return Told(status=400)
        return self._order(request, int(action), now_ms, wait=request.argument("noWait") != "1")

    def _order(self, request: HttpRequest, action: int, now_ms: int, *, wait: bool) -> Told:
        lock = self._named(request)
        if lock is None:
            return Told(status=404)
        if lock.gone(now_ms):
            return Told({"success": False}, 0, lock, status=410)
        if lock.busy:
            return Told(status=503)
        success = lock.obey(action, now_ms)
        took_ms = self._rng.randint(*_LOCK_MS)
        if wait:
            took_ms += lock.done_ms(now_ms)
            success = success and not lock.fails()
        critical = lock.state()["batteryCritical"]
        said = {"success": True, "batteryCritical": critical} if success else {"success": False}
        return Told(said, took_ms, lock)

    def _reboot_asked(self, request: HttpRequest, now_ms: int) -> Told:
        del request
        self._reboot(now_ms)
        return Told({"success": True})

    # --- whom it tells ---

    def _callback_list(self, request: HttpRequest, now_ms: int) -> Told:
        del request, now_ms
        return Told({"callbacks": [{"id": n, "url": url} for n, url in enumerate(self.callbacks)]})

    def _callback_add(self, request: HttpRequest, now_ms: int) -> Told:
        del now_ms
        url = request.argument("url") or ""
        if not url.startswith("http://") or len(url) > _URL_CHARS_MAX:
            return Told({"success": False, "message": "invalid url"}, status=400)
        if len(self.callbacks) >= _CALLBACKS_MAX:
            return Told({"success": False, "message": "too many callbacks registered"})
        self.callbacks.append(url)
        return Told({"success": True})

    def _callback_remove(self, request: HttpRequest, now_ms: int) -> Told:
        del now_ms
        number = request.argument("id") or ""
        if not number.isdecimal() or int(number[:4]) >= len(self.callbacks):
            return Told({"success": False}, status=400)
        del self.callbacks[int(number)]
        return Told({"success": True})


def _token(name: str) -> str:
    return sha256(f"doorfleet {name}".encode()).hexdigest()[:10]


class Options(NamedTuple):
    """What a fleet may be told."""

    locks_per_bridge: int = _LOCKS_PER_BRIDGE
    auth: str = auth.Auth.ENCRYPTED
    strangers: int = 0


def _options(spec: FleetSpec) -> Options:
    allowed = {
        "locks_per_bridge": range(1, _LOCKS_MAX + 1),
        "auth": [each.value for each in auth.Auth],
        "strangers": range(_CALLBACKS_MAX + 1),
    }
    if unknown := sorted(set(spec.options) - set(allowed)):
        known = ", ".join(allowed)
        raise ConfigError((f"nuki_bridge: no options {', '.join(unknown)}; known are {known}",))
    for name, value in spec.options.items():
        if isinstance(value, bool) or value not in allowed[name]:
            few = ", ".join(map(str, allowed[name]))
            raise ConfigError((f"nuki_bridge: {name} is one of {few}, not {value!r}",))
    given: dict[str, Any] = dict(spec.options)
    return Options(**given)


def atom(spec: FleetSpec, number: int) -> int:
    """The number of the bridge that the lock of this number is behind; of options that are good.

    It is asked for each lock, so it checks nothing: `fleet` has.
    """
    per_bridge = spec.options.get("locks_per_bridge", _LOCKS_PER_BRIDGE)
    assert isinstance(per_bridge, int)
    return (number - 1) // per_bridge + 1


def _bridge_names(spec: FleetSpec) -> Mapping[int, str]:
    numbers = sorted({atom(spec, number) for number in spec.members})
    return {number: f"bridge-{number:02d}" for number in numbers}


def fleet(spec: FleetSpec, rng_for: RandomFor) -> Sequence[Lock]:
    """Locks with ids from 3A000001 on (hex), so many to a bridge.

    Options: `locks_per_bridge` (1 to 20), `auth` (what the gateway uses: plain, hashed or
    encrypted), `strangers` (callbacks of others that are registered from the start, 0 to 3).

    Raises:
        ConfigError: an option that is none, or a value that it cannot have.
    """
    options = _options(spec)
    bridges = {
        number: Bridge(name, rng_for(f"hub/{name}"), options.strangers)
        for number, name in _bridge_names(spec).items()
    }
    locks = []
    for number in spec.members:
        name, hub = f"{0x3A000000 + number:08X}", bridges[atom(spec, number)]
        lock = Lock(name, rng_for(name), hub)
        hub.locks[lock.nuki_id] = lock
        locks.append(lock)
    return locks


def gateway_settings(spec: FleetSpec, at: Addresses) -> Mapping[str, object]:
    """A cell with all bridges, which they tell on a free port of loopback."""
    options = _options(spec)
    bridges = [
        {
            "url": at.hubs.get(name, "http://127.0.0.1:8080"),
            "token": _token(name),
            "auth": options.auth,
        }
        for name in _bridge_names(spec).values()
    ]
    return {"bridges": bridges, "listen": "127.0.0.1:0"}
