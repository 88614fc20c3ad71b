"""The simulated lock behind a simulated bridge: bolt, motor, spring, door and battery; pure.

    people, commands ─► motor ─► state ─► what the bridge believes ─► polls, and webhooks if told

What the lock is and what its bridge says of it are two things: a lock that is too far away, or
busy with an update, is said to be something else. Truths are about what is said, from a table
that is not the codec's.

Source: see `codec`. Travel of 1.2 to 3 s: "usually up to 3 seconds" (the bridge API's text on
operating locks); people's habits and the battery's pace are guesses of ours.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from devices.reading import Value
from vendors.sim import Chance, Effects, Hub, Message, MqttSession, Publish, Truth, Webhook, deed
from vendors.tedee.habits import BRIDGE_FAULTS, FAULTS, WORLD

_UNCALIBRATED, _CALIBRATING, _UNLOCKED, _HALF, _OPENING, _CLOSING, _LOCKED = range(7)
_PULLED, _PULLING, _UPDATING, _UNPULLING = 7, 8, 18, 255
_AT_REST: Final = frozenset({_UNLOCKED, _HALF, _LOCKED})
_DOOR_NONE, _DOOR_OPEN, _DOOR_SHUT = 0, 2, 3
_BATTERY_UNKNOWN: Final = 255
#: What a consumer must come to see of a state: lock state, motion, fault.
SEEN: Final[Mapping[int, tuple[str | None, str | None, str | None]]] = {
    0: (None, None, "NotCalibrated"),
    1: (None, None, None),
    2: ("Unlocked", "Idle", "None"),
    3: ("NotFullyLocked", "Idle", "None"),
    4: (None, "Unlocking", "None"),
    5: (None, "Locking", "None"),
    6: ("Locked", "Idle", "None"),
    7: ("Unlatched", "Idle", "None"),
    8: (None, "Unlatching", "None"),
    18: (None, None, None),
    255: (None, None, None),
}
_REACHABILITY: Final = ("Offline", "Online")
_DOOR_SEEN: Final[Mapping[int, str | None]] = {0: None, 2: "DoorOpen", 3: "DoorClosed"}
# BLE results. Source: tedee-lock-ble-api-doc, `commands/operations/unlock.rst`.
_OK, _ERROR, _BUSY, _NOT_CALIBRATED = 0, 2, 3, 5
# The only number that was ever seen: openHAB's Tedee binding README (85502e0).
_SOURCE: Final = 18
_FORCE, _UNLOCK_OR_PULL = 2, 4
_MAY_PULL: Final = frozenset({0, _UNLOCK_OR_PULL})

_TRAVEL_MS: Final = (1_200, 3_000)
_PULLING_MS: Final = (500, 1_000)
_UNPULLING_MS: Final = (500, 1_000)
_LATENCY_MS: Final = (150, 900)
_CALIBRATION_MS: Final = 5_000
_OPEN_MS: Final = (2_000, 30_000)
_UPDATE_MS: Final = (15_000, 30_000)
_CHARGE_MS: Final = (1_800_000, 5_400_000)
_LOCKED_AT_FIRST: Final = 0.7
_WITH_SENSOR: Final = 0.8
_WITH_AUTO_LOCK: Final = 0.3
_DRAINS: Final = 0.1


class Told(NamedTuple):
    """What the bridge says of the lock."""

    connected: int
    state: int
    jammed: int
    door: int
    battery: int
    charging: int


class Speaker(Hub, Protocol):
    """The lock's bridge."""

    def webhooks(self, event: str, data: Mapping[str, int | str], now_ms: int) -> Sequence[Webhook]:
        """The calls that tell of it; empty if nobody is told."""

    @property
    def is_dated(self) -> bool:
        """Whether its stamps can be believed."""

    def fail(self, fault: str, device: str) -> None:
        """A fault of the bridge's own begins."""

    def recover(self, fault: str, device: str) -> None:
        """It ends, for this device."""


class Outcome(NamedTuple):
    """What became of an operation: 204, or a status with its BLE code (0: none)."""

    status: int
    code: int
    delay_ms: int
    effects: Effects


class Lock:
    """One lock on one door: a `vendors.sim.SimDevice` behind its bridge."""

    session: MqttSession | None = None
    serial: int | None = None
    _firmware = "2.4.13131"
    #: Whether somebody else says what is left of its battery.
    _drained = False

    def __init__(self, name: str, rng: Chance, bridge: Speaker) -> None:
        self.name = name
        self.hub: Hub | None = bridge
        self._bridge = bridge
        self._rng = rng
        self._type = rng.choice((2, 4))
        self._state = _LOCKED if rng.random() < _LOCKED_AT_FIRST else _UNLOCKED
        self._before = self._state
        self._jammed = 0
        self._door = _DOOR_SHUT if rng.random() < _WITH_SENSOR else _DOOR_NONE
        self._battery = rng.randint(30, 100)
        self._charging = 0
        self._auto_lock_s = 60 if rng.random() < _WITH_AUTO_LOCK else 0
        self._auto_pull = rng.random() < _WITH_AUTO_LOCK
        self._pull_s = rng.randint(2, 5)
        self._pull_after = False
        self._faults: set[str] = set()
        self._plans: dict[str, int] = {}
        self._told: Told | None = None
        self._stated: dict[str, Value] = {}
        self._sure: set[str] = set()
        self._messages: list[Message] = []
        self._truths: list[Truth] = []

    # --- SimDevice ---

    def connected(self, now_ms: int) -> Effects:
        """The bridge has power: whoever asks it now is told."""
        self._tell(now_ms)
        return self._effects()

    def disconnected(self, now_ms: int) -> Effects:
        """Nothing changes at the door."""
        del now_ms
        return self._effects()

    def receive(self, message: Publish | bytes, now_ms: int) -> Effects:
        """Nobody speaks to a lock but its bridge."""
        del message, now_ms
        return self._effects()

    def wake(self, now_ms: int) -> Effects:
        """Carry out what is due, in the order it was due."""
        while due := [(at_ms, plan) for plan, at_ms in self._plans.items() if at_ms <= now_ms]:
            at_ms, plan = min(due)
            del self._plans[plan]
            self._run(plan, at_ms)
        return self._effects()

    def act(self, habit: str, now_ms: int) -> Effects:
        """One of `HABITS`, or `fault:<name>` / `heal:<name>`."""
        verb, fault = deed(habit, FAULTS, WORLD)
        if verb:
            {
                "fault": self._break,
                "heal": self._heal,
                "battery": self._drain,
                "firmware": self._update,
            }[verb](fault, now_ms)
        else:
            {
                "come_home": self._unlock,
                "leave": self._lock,
                "turn_by_hand": self._turn,
                "half_turn": self._half_turn,
                "door": self._open_door,
                "pull": self._pull,
                "charge": self._charge,
            }[habit](now_ms)
        return self._effects()

    # --- what its bridge knows of it ---

    @property
    def reachable(self) -> bool:
        """Whether the bridge hears it."""
        return "far_lock" not in self._faults

    @property
    def _said(self) -> Told:
        state, jammed, battery = self._state, self._jammed, self._battery
        if "battery_unknown" in self._faults:
            battery = _BATTERY_UNKNOWN
        if "uncalibrated" in self._faults:
            state, jammed = _UNCALIBRATED, 0
        if "updating" in self._faults:
            state, jammed, battery = _UPDATING, 0, _BATTERY_UNKNOWN
        if not self.reachable:
            state, jammed, battery = _UNPULLING, 0, _BATTERY_UNKNOWN
        return Told(int(self.reachable), state, jammed, self._door, battery, self._charging)

    def described(self) -> dict[str, object]:
        """The lock object of the bridge's API."""
        said = self._said
        return {
            "id": int(self.name),
            "name": f"Lock-{int(self.name):04X}",
            "type": self._type,
            "serialNumber": self.serial_number,
            "isConnected": said.connected,
            "rssi": -55 if self.reachable else -100,
            "deviceRevision": 18,
            "version": self._firmware,
            "state": said.state,
            "jammed": said.jammed,
            "doorState": said.door,
            "batteryLevel": said.battery,
            "isCharging": said.charging,
            "deviceSettings": {
                "autoLockEnabled": int(bool(self._auto_lock_s)),
                "autoLockDelay": self._auto_lock_s or 60,
                "autoLockImplicitEnabled": 0,
                "autoLockImplicitDelay": 5,
                "pullSpringEnabled": 1,
                "pullSpringDuration": self._pull_s,
                "autoPullSpringEnabled": int(self._auto_pull),
                "postponedLockEnabled": 0,
                "postponedLockDelay": 5,
                "buttonLockEnabled": 1,
                "buttonUnlockEnabled": 1,
            },
        }

    @property
    def serial_number(self) -> str:
        """As printed on it."""
        return f"22510401-{int(self.name) % 1_000_000:06d}"

    # --- being operated ---

    def operate(self, what: str, mode: int, now_ms: int) -> Outcome:
        """`lock`, `unlock` or `pull`; answered when the motor starts, or does not."""
        delay_ms = self._rng.randint(*_LATENCY_MS)
        code = _OK
        if not self.reachable:
            return Outcome(405, 0, delay_ms, self._effects())
        if "uncalibrated" in self._faults:
            code = _NOT_CALIBRATED
        elif "updating" in self._faults or self._state not in {*_AT_REST, _PULLED}:
            code = _BUSY
        elif "ble_error" in self._faults:
            code = _ERROR
        elif what == "lock":
            self._lock(now_ms)
        elif what == "pull" or (mode == _UNLOCK_OR_PULL and self._state == _UNLOCKED):
            self._pull(now_ms)
        elif self._state != _UNLOCKED or mode == _FORCE:
            self._unlock(now_ms, pull=self._auto_pull and mode in _MAY_PULL)
        if "executed_but_error" in self._faults and code == _OK:
            code = _ERROR
        return Outcome(406 if code else 204, code, delay_ms, self._effects())

    def _unlock(self, now_ms: int, *, pull: bool = False) -> None:
        if self._ready and self._state in _AT_REST:
            self._pull_after = pull
            self._start(_OPENING, now_ms)

    def _lock(self, now_ms: int) -> None:
        if self._ready and self._state in _AT_REST - {_LOCKED}:
            self._start(_CLOSING, now_ms)

    def _pull(self, now_ms: int) -> None:
        if self._ready and self._state in _AT_REST:
            self._start(_PULLING, now_ms)

    @property
    def _ready(self) -> bool:
        return not self._faults & {"updating", "uncalibrated"}

    def _start(self, state: int, now_ms: int) -> None:
        self._plans.pop("auto_lock", None)
        self._before, self._state = self._state, state
        if self._rng.random() < _DRAINS and not self._drained:
            self._battery = max(5, self._battery - 1)
        travel_ms = self._rng.randint(*(_PULLING_MS if state == _PULLING else _TRAVEL_MS))
        self._plans["arrive"] = now_ms + travel_ms
        if "updates_midway" in self._faults:
            self._plans["update"] = now_ms + travel_ms // 2
        self._tell(now_ms)

    def _arrive(self, at_ms: int) -> None:
        came_by, self._jammed = self._state, 0
        if "key_moved" in self._faults:
            self._rest(self._before, at_ms, jammed=1)
        elif came_by == _PULLING:
            self._state = _PULLED
            self._plans["release"] = at_ms + self._pull_s * 1_000
            self._tell(at_ms)
        elif came_by == _OPENING:
            self._rest(_UNLOCKED, at_ms)
            if self._pull_after:
                self._pull(at_ms)
        elif "jams" in self._faults:
            self._rest(_HALF, at_ms, jammed=1)
        elif "half_locked" in self._faults:
            self._rest(_HALF, at_ms)
        elif "falls_back" in self._faults:
            self._rest(_UNLOCKED, at_ms)
        else:
            self._rest(_LOCKED, at_ms)

    def _rest(self, state: int, now_ms: int, *, jammed: int = 0) -> None:
        """Be in this state from now on, whatever was planned for the bolt."""
        for plan in ("arrive", "release", "return", "auto_lock", "calibrated"):
            self._plans.pop(plan, None)
        self._state, self._jammed = state, jammed
        if self._auto_lock_s and state == _UNLOCKED:
            self._plans["auto_lock"] = now_ms + self._auto_lock_s * 1_000
        self._tell(now_ms)

    def _run(self, plan: str, at_ms: int) -> None:
        match plan:
            case "arrive":
                self._arrive(at_ms)
            case "release":
                self._state = _UNPULLING
                self._plans["return"] = at_ms + self._rng.randint(*_UNPULLING_MS)
                self._tell(at_ms)
            case "return":
                self._rest(_UNLOCKED, at_ms)
            case "auto_lock":
                self._lock(at_ms)
            case "calibrated":
                self._rest(_LOCKED, at_ms)
            case "shut":
                self._door = _DOOR_SHUT
                self._tell(at_ms)
            case "update":
                self._faults.add("updating")
                self._plans["updated"] = at_ms + self._rng.randint(*_UPDATE_MS)
                self._tell(at_ms)
            case "updated":
                self._faults.discard("updating")
                self._tell(at_ms)
            case "charged":
                self._battery, self._charging = 100, 0
                self._tell(at_ms)

    # --- people ---

    def _turn(self, now_ms: int) -> None:
        """A key or the knob: the bolt is elsewhere at once."""
        if self._ready and "key_moved" not in self._faults and self._state in _AT_REST:
            self._rest(_UNLOCKED if self._state == _LOCKED else _LOCKED, now_ms)

    def _half_turn(self, now_ms: int) -> None:
        if self._ready and "key_moved" not in self._faults and self._state in _AT_REST:
            self._rest(_HALF, now_ms)

    def _open_door(self, now_ms: int) -> None:
        if self._door == _DOOR_SHUT:
            self._door = _DOOR_OPEN
            self._plans["shut"] = now_ms + self._rng.randint(*_OPEN_MS)
            self._tell(now_ms)

    def _charge(self, now_ms: int) -> None:
        if not (self._charging or self._drained):
            self._charging = 1
            self._plans["charged"] = now_ms + self._rng.randint(*_CHARGE_MS)
            self._tell(now_ms)

    # --- the world ---

    def _drain(self, percent: str, now_ms: int) -> None:
        """So much is left of its battery."""
        self._drained = True
        self._battery = int(percent)
        self._tell(now_ms)

    def _update(self, version: str, now_ms: int) -> None:
        """It runs this from now on; its bridge describes it so."""
        del now_ms
        self._firmware = version

    # --- what goes wrong ---

    def _break(self, fault: str, now_ms: int) -> None:
        if fault in BRIDGE_FAULTS:
            self._bridge.fail(fault, self.name)
        self._faults.add(fault)
        self._tell(now_ms)

    def _heal(self, fault: str, now_ms: int) -> None:
        if fault in BRIDGE_FAULTS:
            self._bridge.recover(fault, self.name)
        was = fault in self._faults
        self._faults.discard(fault)
        if fault == "updates_midway":
            self._faults.discard("updating")
            self._plans.pop("update", None)
        if was and fault in {"key_moved", "uncalibrated"}:
            # Somebody calibrates it anew, and ends with the bolt out.
            self._rest(_CALIBRATING, now_ms)
            self._plans["calibrated"] = now_ms + _CALIBRATION_MS
        self._tell(now_ms)

    # --- telling ---

    def _tell(self, now_ms: int) -> None:
        """Let the bridge know what changed, and state what is true by that."""
        said, before = self._said, self._told or self._said
        first, self._told = self._told is None, said
        lock_state, motion, fault = SEEN[said.state]
        if said.jammed:
            lock_state, fault = lock_state if said.state == _HALF else None, "LockJammed"
        status = {
            "state": said.state,
            "jammed": said.jammed,
            "source": _SOURCE,
            "user_id": 0,
            "doorState": said.door,
        }
        told = before.connected != said.connected and self._call(
            "device-connection-changed", {"isConnected": said.connected}, now_ms
        )
        self._state_of({"reachability": _REACHABILITY[said.connected]}, now_ms, sent=told)
        told = (
            before[1:4] != said[1:4]
            and self.reachable
            and self._call("lock-status-changed", status, now_ms)
        )
        axes: dict[str, Value] = {
            "lock_state": lock_state,
            "motion": motion,
            "fault": fault,
            "door_state": _DOOR_SEEN[said.door],
        }
        self._state_of(axes, now_ms, sent=told)
        self._tell_power(said, said if first else before, now_ms)

    def _tell_power(self, said: Told, before: Told, now_ms: int) -> None:
        charged = before.charging and not said.charging and self.reachable
        if charged:
            told = self._call("device-battery-fully-charged", {}, now_ms)
            self._state_of({"battery_pct": said.battery, "charging": False}, now_ms, sent=told)
            return
        known = said.battery != _BATTERY_UNKNOWN
        told = (
            before.battery != said.battery
            and known
            and self.reachable
            and self._call("device-battery-level-changed", {"batteryLevel": said.battery}, now_ms)
        )
        self._state_of({"battery_pct": said.battery if known else None}, now_ms, sent=told)
        told = (
            before.charging < said.charging
            and self.reachable
            and self._call("device-battery-start-charging", {}, now_ms)
        )
        self._state_of({"charging": bool(said.charging)}, now_ms, sent=told)

    def _call(self, event: str, more: Mapping[str, int], now_ms: int) -> bool:
        about: dict[str, int | str] = {
            "deviceType": self._type,
            "deviceId": int(self.name),
            "serialNumber": self.serial_number,
        }
        calls = self._bridge.webhooks(event, {**about, **more}, now_ms)
        self._messages += calls
        return bool(calls) and self._bridge.is_dated

    def _state_of(self, axes: Mapping[str, Value], now_ms: int, *, sent: bool) -> None:
        """Truths of what is otherwise than last stated, or told for the first time."""
        for axis, value in axes.items():
            same = axis in self._stated and self._stated[axis] == value
            if same and (not sent or axis in self._sure):
                continue
            self._stated[axis] = value
            (self._sure.add if sent else self._sure.discard)(axis)
            self._truths.append(Truth(self.name, axis, value, now_ms, sent))

    def _effects(self) -> Effects:
        effects = Effects(
            tuple(self._messages), tuple(self._truths), min(self._plans.values(), default=None)
        )
        self._messages.clear()
        self._truths.clear()
        return effects
