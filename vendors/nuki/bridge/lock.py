"""A simulated lock behind a bridge; pure.

    people ─► bolt, motor, door, battery
                 │ at rest, and some seconds later
                 └─► the bridge hears of it ─► its cache, and a callback to each address

The bridge learns of an end, never of a beginning: whoever wants to see the motor run has to
ask. Source: bridge log in ebaauw/homebridge-nb#3 (done after 3 s, told 6 s after that), and
developer.nuki.io 4140. The mechanics are those of `vendors.nuki.simulator`.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from devices.reading import Value
from vendors.nuki.simulator import ACTIONS, BOOTS_MS, LOW_PCT, SAGS_MS, SEEN
from vendors.sim import Chance, Effects, Message, MqttSession, Publish, Truth, Webhook

if TYPE_CHECKING:
    from vendors.nuki.bridge.simulator import Bridge

#: Rates per device and day, as people use the lock's own MQTT sibling.
HABITS: Final[Mapping[str, float]] = {
    "come_home": 3.0,
    "leave": 3.0,
    "turn_by_hand": 1.0,
    "door": 6.0,
    "lock_n_go": 0.5,
}

#: What of the world around them they tell.
WORLD: Final = frozenset({"battery", "firmware"})
#: How somebody at the door opens and closes it.
COURIER: Final = ("come_home", "leave")

_TRAVEL_MS: Final = (1_200, 4_000)
_UNLATCHED_MS: Final = (3_000, 6_000)
_LOCK_N_GO_MS: Final = (5_000, 60_000)
_JAMMED_MS: Final = 10_000
_BOOT_RUN_MS: Final = 3_000
_OPEN_MS: Final = (2_000, 30_000)
_HEARD_MS: Final = (500, 6_000)
#: How long a lock is away before the bridge says 410 instead of `success: false`; a guess.
GONE_AFTER_MS: Final = 60_000
_LOCKED_AT_FIRST: Final = 0.7
_WITH_KEYPAD: Final = 0.3

_LOCKED, _LOCKING, _UNLOCKED, _UNLATCHED, _LOCK_N_GO = 1, 4, 3, 5, 6
_CALIBRATING, _BOOT_RUN, _JAMMED, _UNDEFINED = 252, 253, 254, 255
_STUCK: Final = frozenset({_CALIBRATING, _BOOT_RUN, _JAMMED, _UNDEFINED})
_NAMES: Final[Mapping[int, str]] = {
    1: "locked",
    2: "unlocking",
    3: "unlocked",
    4: "locking",
    5: "unlatched",
    6: "unlocked (lock 'n' go)",
    7: "unlatching",
    252: "calibration",
    253: "boot run",
    254: "motor blocked",
    255: "undefined",
}
_PEOPLE: Final[Mapping[str, int]] = {"come_home": 1, "leave": 2, "lock_n_go": 4}
#: While one of these lasts the bridge hears nothing from the lock.
_UNHEARD: Final = frozenset({"stale_cache", "lock_off", "no_last_state"})
_OFF: Final = frozenset({"lock_off", "no_last_state"})
_BOLT: Final = ("lock_state", "motion", "fault")


class Heard(NamedTuple):
    """What the bridge last heard, and when."""

    state: Mapping[str, Any]
    at_ms: int


class Lock:
    """One lock on one door: a `vendors.sim.SimDevice`. Its bridge is spoken to, not it."""

    session: MqttSession | None = None
    serial: int | None = None
    firmware = "4.2.6"

    def __init__(self, name: str, rng: Chance, hub: "Bridge") -> None:
        self.name = name
        self.hub: Bridge = hub
        self.nuki_id = int(name, 16)
        #: In the bridge's memory, not in the lock's.
        self.cache: Heard | None = None
        self._rng = rng
        self._state = _LOCKED if rng.random() < _LOCKED_AT_FIRST else _UNLOCKED
        self._target = self._state
        self._door_open = False
        self._battery = rng.randint(30, 100)
        self._battery_critical = False
        self._keypad = rng.random() < _WITH_KEYPAD
        self._faults: dict[str, int] = {}
        self._plans: dict[str, int] = {}
        self._stated: dict[str, tuple[Value, bool]] = {}
        self._messages: list[Message] = []
        self._truths: list[Truth] = []

    # --- SimDevice ---

    def connected(self, now_ms: int) -> Effects:
        """The bridge came up, and knows the lock."""
        if "no_last_state" not in self._faults:
            self.cache = Heard(self.state(), now_ms)
        self._tell(now_ms, sent=False)
        return self.effects()

    def disconnected(self, now_ms: int) -> Effects:
        """A lock without its bridge goes on."""
        del now_ms
        return self.effects()

    def receive(self, message: Publish | bytes, now_ms: int) -> Effects:
        """Nothing reaches it but by its bridge."""
        del message, now_ms
        return self.effects()

    def wake(self, now_ms: int) -> Effects:
        """Carry out what is due, in the order it was due."""
        while due := [(at_ms, plan) for plan, at_ms in self._plans.items() if at_ms <= now_ms]:
            at_ms, plan = min(due)
            del self._plans[plan]
            self._run(plan, at_ms)
        return self.effects()

    def act(self, habit: str, now_ms: int) -> Effects:
        """One of `HABITS`, or `fault:<name>` / `heal:<name>`; some faults are its bridge's."""
        verb, _, fault = habit.partition(":")
        if fault:
            {
                "fault": self._break,
                "heal": self._heal,
                "battery": self._drain,
                "firmware": self._update,
            }[verb](fault, now_ms)
        elif habit in _PEOPLE:
            if not (self.busy or self.off or self._state in _STUCK):
                self._start(_PEOPLE[habit], now_ms)
        else:
            {"turn_by_hand": self._hand, "door": self._door}[habit](now_ms)
        return self.effects()

    # --- what the bridge may ask ---

    @property
    def busy(self) -> bool:
        """Whether the motor runs."""
        return "arrive" in self._plans

    @property
    def off(self) -> bool:
        """Whether it does not answer the bridge."""
        return "back" in self._plans or not _OFF.isdisjoint(self._faults)

    @property
    def bad_name(self) -> bool:
        """Whether its name holds bytes that are no UTF-8."""
        return "name_not_utf8" in self._faults

    @property
    def forgotten(self) -> bool:
        """Whether the bridge has no state of it to show."""
        return "no_last_state" in self._faults

    def gone(self, now_ms: int) -> bool:
        """Whether it has been off for so long that the bridge gave it up."""
        return any(now_ms - self._faults.get(fault, now_ms) >= GONE_AFTER_MS for fault in _OFF)

    def done_ms(self, now_ms: int) -> int:
        """How long until the motor stops."""
        return max(0, self._plans.get("arrive", now_ms) - now_ms)

    def state(self) -> dict[str, Any]:
        """As every body shows it: a number with its name for bolt and door."""
        name = _NAMES[self._state]
        if "contradictory" in self._faults:
            name = "unlocked" if self._state == _LOCKED else "locked"
        said: dict[str, Any] = {
            "mode": 2,
            "state": self._state,
            "stateName": name,
            "batteryCritical": self._low,
            "batteryCharging": False,
            "batteryChargeState": self._battery,
        }
        if self._keypad:
            said["keypadBatteryCritical"] = False
        said["doorsensorState"] = 3 if self._door_open else 2
        said["doorsensorStateName"] = "door opened" if self._door_open else "door closed"
        return said

    def read(self, now_ms: int) -> Mapping[str, Any]:
        """It is woken and asked; the bridge remembers the answer."""
        said = self.state()
        if "stale_cache" not in self._faults:
            self.cache = Heard(said, now_ms)
        return said

    def obey(self, action: int, now_ms: int) -> bool:
        """Begin, if it can; whether the bridge is told yes. Not while the motor runs."""
        if self._state == _UNDEFINED:
            return True  # and nothing comes of it
        if self.off or self._state in (_CALIBRATING, _BOOT_RUN):
            return False
        self._start(action, now_ms)
        return True

    def fails(self) -> bool:
        """Whether what the motor is doing will not succeed."""
        return self._state == _LOCKING and "jam_self_heals" in self._faults

    # --- telling ---

    def effects(self) -> Effects:
        """What came of the last call."""
        effects = Effects(
            tuple(self._messages), tuple(self._truths), min(self._plans.values(), default=None)
        )
        self._messages.clear()
        self._truths.clear()
        return effects

    def _truth(self, key: str, value: Value, now_ms: int, *, sent: bool) -> None:
        """A truth if it is otherwise than last stated, or told only now."""
        last = self._stated.get(key)
        if last is not None and last[0] == value and (last[1] or not sent):
            return
        self._stated[key] = (value, sent)
        self._truths.append(Truth(self.name, key, value, now_ms, sent))

    def _tell(self, now_ms: int, *, sent: bool) -> None:
        bolt = (None, None, None) if "contradictory" in self._faults else SEEN[self._state]
        for axis, value in zip(_BOLT, bolt, strict=True):
            self._truth(axis, value, now_ms, sent=sent)
        axes: dict[str, Value] = {
            "door_state": "DoorOpen" if self._door_open else "DoorClosed",
            "door_sensor_tamper": "NotInTamper",
            "power_level": "Critical" if self._low else "OK",
            "charging": False,
            "battery_pct": self._battery,
            "reachability": "Offline" if self.off else "Online",
        }
        if self._keypad:
            axes["keypad_power_level"] = "OK"
        for axis, each in axes.items():
            self._truth(axis, each, now_ms, sent=sent)

    def _changed(self, now_ms: int) -> None:
        """Something is otherwise; the bridge hears of it by and by, and at rest only."""
        self._tell(now_ms, sent=False)
        if not self.busy:
            self._plans.setdefault("heard", now_ms + self._rng.randint(*_HEARD_MS))

    def _be_heard(self, at_ms: int) -> None:
        if self.busy or "back" in self._plans or not _UNHEARD.isdisjoint(self._faults):
            return  # planned anew at rest, or when healed
        if not self.hub.up(at_ms):
            self._plans["heard"] = self.hub.back_ms + self._rng.randint(*_HEARD_MS)
            return
        said = self.state()
        self.cache = Heard(said, at_ms)
        body = json.dumps({"deviceType": 4, "nukiId": self.nuki_id, **said}).encode()
        urls = () if "callback_lost" in self._faults else self.hub.callbacks
        json_type = (("Content-Type", "application/json"),)
        self._messages += [Webhook(url, body, headers=json_type) for url in urls]
        self._tell(at_ms, sent=bool(urls))

    # --- the motor ---

    def _start(self, action: int, now_ms: int) -> None:
        for plan in ("relatch", "relock", "unjam"):
            self._plans.pop(plan, None)
        self._state, self._target = ACTIONS[action]
        self._plans["arrive"] = now_ms + self._rng.randint(*_TRAVEL_MS)
        if "brown_out" in self._faults:
            self._plans["sag"] = now_ms + self._rng.randint(*SAGS_MS)
        self._changed(now_ms)

    def _run(self, plan: str, at_ms: int) -> None:
        match plan:
            case "heard":
                self._be_heard(at_ms)
            case "arrive":
                self._arrive(at_ms)
            case "relatch":
                self._rest(_UNLOCKED, at_ms)
            case "relock":
                self._start(2, at_ms)
            case "unjam":
                self._rest(_LOCKED, at_ms)
            case "boot_run":
                self._rest(_CALIBRATING, at_ms)
            case "shut":
                self._door_open = False
                self._changed(at_ms)
            case "sag":
                self._plans["back"] = at_ms + self._rng.randint(*BOOTS_MS)
                self._rest(_UNDEFINED, at_ms)
            case "back":
                self._changed(at_ms)

    def _arrive(self, at_ms: int) -> None:
        if self.fails():
            self._jam(at_ms)
            return
        self._rest(self._target, at_ms)
        if self._target == _UNLATCHED:
            self._plans["relatch"] = at_ms + self._rng.randint(*_UNLATCHED_MS)
        elif self._target == _LOCK_N_GO:
            self._plans["relock"] = at_ms + self._rng.randint(*_LOCK_N_GO_MS)

    def _rest(self, state: int, now_ms: int) -> None:
        for plan in ("arrive", "relatch", "relock", "unjam", "boot_run"):
            self._plans.pop(plan, None)
        self._state = state
        self._changed(now_ms)

    def _jam(self, now_ms: int) -> None:
        self._rest(_JAMMED, now_ms)
        self._plans["unjam"] = now_ms + _JAMMED_MS

    # --- people ---

    def _hand(self, now_ms: int) -> None:
        if self.busy or self._state not in (_LOCKED, _UNLOCKED):
            return
        self._state = _UNLOCKED if self._state == _LOCKED else _LOCKED
        if "silent_hand" in self._faults:
            self._tell(now_ms, sent=False)  # and the bridge does not hear of it
        else:
            self._rest(self._state, now_ms)

    def _door(self, now_ms: int) -> None:
        if not self._door_open:
            self._door_open = True
            self._plans["shut"] = now_ms + self._rng.randint(*_OPEN_MS)
            self._changed(now_ms)

    # --- the world ---

    @property
    def _low(self) -> bool:
        return self._battery_critical or self._battery <= LOW_PCT

    def _drain(self, percent: str, now_ms: int) -> None:
        """So much is left of its battery."""
        self._battery = int(percent)
        self._changed(now_ms)

    def _update(self, version: str, now_ms: int) -> None:
        """It runs this from now on; its bridge lists it so."""
        del now_ms
        self.firmware = version

    # --- what goes wrong ---

    def _break(self, fault: str, now_ms: int) -> None:
        if self.hub.strike(fault, self.name, now_ms):
            return
        self._faults[fault] = now_ms
        match fault:
            case "jam_self_heals" if not self.busy and self._state not in _STUCK:
                self._jam(now_ms)
            case "false_battery" | "brown_out":
                self._battery_critical = True
            case "undefined_state":
                self._rest(_UNDEFINED, now_ms)
            case "calibrating":
                self._rest(_BOOT_RUN, now_ms)
                self._plans["boot_run"] = now_ms + _BOOT_RUN_MS
            case "no_last_state":
                self.cache = None
        self._changed(now_ms)

    def _heal(self, fault: str, now_ms: int) -> None:
        if self.hub.heal(fault, self.name, now_ms):
            return
        self._faults.pop(fault, None)
        match fault:
            case "false_battery":
                self._battery_critical = False
            case "brown_out":
                # New batteries, and it is calibrated.
                self._battery_critical = False
                self._plans.pop("sag", None)
                if self._state == _UNDEFINED:
                    self._rest(_LOCKED, now_ms)
            case "undefined_state" | "calibrating" if self._state in _STUCK - {_JAMMED}:
                self._rest(_LOCKED, now_ms)
        self._changed(now_ms)
