"""A simulated Zigbee lock on its door; pure.

Guesses of ours: 0.2-1.5 s until a sleeping lock hears, 0.8-2 s of travel, a report 0.1-0.9 s after
its event (the converters say "within the same second").
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from vendors.sim import Chance, Effects, Hub, MqttSession, Publish, Truth, deed
from vendors.zigbee2mqtt.coordinator import Bridge
from vendors.zigbee2mqtt.habits import FAULTS, HABITS, WORLD
from vendors.zigbee2mqtt.models import Model
from vendors.zigbee2mqtt.telling import HALF, LOCKED, SEEN, UNLOCKED, Telling

_LISTEN_MS: Final = (200, 1_500)
_TRAVEL_MS: Final = (800, 2_000)
_EVENT_MS: Final = (20, 200)
_REPORT_MS: Final = (100, 900)
_GIVES_UP_MS: Final = 10_000
_AUTO_LOCK_MS: Final = (30_000, 40_000)
_OPEN_MS: Final = (3_000, 30_000)
_BOUNCE_MS: Final = 3_000
_HAND_MS: Final = 25_000
_PHANTOM_MS: Final = 20_000
_PIN_LATE_MS: Final = 20_000
_LOCKED_AT_FIRST: Final = 0.7
_SLOTS_IN_USE: Final = 4
_NO_USER: Final = 0xFFFF

#: Action, where it leads, number and name of its source.
_OPERATIONS: Final[Mapping[str, tuple[str, int, str]]] = {
    "unlock": (UNLOCKED, 0, "keypad"),
    "one_touch_lock": (LOCKED, 0, "keypad"),
    "manual_unlock": (UNLOCKED, 2, "manual"),
    "manual_lock": (LOCKED, 2, "manual"),
    "key_unlock": (UNLOCKED, 2, "manual"),
    "key_lock": (LOCKED, 2, "manual"),
    "auto_lock": (LOCKED, 2, "manual"),
}
#: The same as Yale's C4 module names them.
_C4_ACTIONS: Final = {
    "unlock": "keypad_unlock",
    "one_touch_lock": "manual_lock_touch",
    "manual_unlock": "manual_unlock_key_or_thumbturn",
    "manual_lock": "manual_lock_key_or_thumbturn",
    "key_unlock": "manual_unlock_key_or_thumbturn",
    "key_lock": "manual_lock_key_or_thumbturn",
}


class Lock(Telling):
    """One lock on one door: a `vendors.sim.SimDevice` behind a `Bridge`."""

    session: MqttSession | None = None
    serial: int | None = None
    #: Whether somebody else says what is left of its battery.
    _drained = False

    def __init__(  # noqa: PLR0913 -- by keyword, from one place
        self,
        name: str,
        rng: Chance,
        *,
        bridge: Bridge,
        friendly: str,
        model: Model,
        expose_pin: bool,
    ) -> None:
        super().__init__(name, rng, bridge=bridge, friendly=friendly, model=model)
        self.hub: Hub | None = bridge
        bridge.locks[name] = self
        self._expose_pin = expose_pin
        self._bolt = LOCKED if rng.random() < _LOCKED_AT_FIRST else UNLOCKED
        self._door_open = False
        self._battery = rng.randint(40, 100)
        self._codes: dict[int, str] = {}
        self._faults: set[str] = set()
        self._cache |= {
            "battery": self._battery,
            "lock_state": self._bolt,
            "state": SEEN[self._bolt][0],
        }
        if model.door:
            self._cache["door_state"] = "closed"
        if not model.alarms:
            self._cache["sound_volume"] = "low_volume"

    # --- SimDevice; its bridge speaks for it --------------------------------------------------

    def connected(self, now_ms: int) -> Effects:
        """Never called: it has no link of its own."""
        return self.linked(now_ms)

    def disconnected(self, now_ms: int) -> Effects:
        """Never called either."""
        return self.unlinked(now_ms)

    def receive(self, message: Publish | bytes, now_ms: int) -> Effects:
        """Its bridge hears for it."""
        if isinstance(message, Publish):
            found = self.bridge.receive(message, now_ms).devices.get(self.name)
            if found is not None:
                return found
        return self._effects()

    def wake(self, now_ms: int) -> Effects:
        """Carry out what is due, in the order it was due."""
        while self._plans and min(self._plans)[0] <= now_ms:
            due = min(self._plans)
            self._plans.remove(due)
            self._run(due[2], due[3], due[0])
        return self._effects()

    def act(self, habit: str, now_ms: int) -> Effects:
        """One of `HABITS`, or `fault:<name>` / `heal:<name>`."""
        verb, fault = deed(habit, FAULTS, WORLD)
        if verb == "battery":
            self._drained = True
            self._battery = int(fault)
            self._discharge(now_ms)
        elif verb:
            {"fault": self._break, "heal": self._heal}[verb](fault, now_ms)
        else:
            if habit not in HABITS:
                raise KeyError(habit)
            self._live(habit, now_ms)
        return self._effects()

    # --- what its bridge asks of it -----------------------------------------------------------

    def linked(self, now_ms: int) -> Effects:
        """The bridge can be heard again; what it says next may be old news."""
        if self.bridge.availability and "away" not in self._faults:
            self._availability("online", now_ms)
        self._fresh = True
        return self._effects()

    def unlinked(self, now_ms: int) -> Effects:
        """Nobody hears of it any more."""
        self._truth("reachability", "Offline", now_ms, sent=False)
        return self._effects()

    def repeat_cache(self, now_ms: int) -> Effects:
        """The bridge starts: what it remembers, as if the lock had said it."""
        self._publish({}, now_ms)
        return self._effects()

    def hear(self, verb: str, attribute: str, payload: bytes, now_ms: int) -> Effects:
        """A `set` or a `get`, as `publish.ts` reads it: JSON, or a bare word."""
        try:
            said: Any = json.loads(payload)
        except ValueError:
            said = payload.decode(errors="replace")
            if not attribute and said.lower() in {"lock", "unlock", "toggle"}:
                said = {"state": said}
        wanted = {attribute: said} if attribute else said
        if not isinstance(wanted, dict):
            self._line("error", f"Invalid message '{wanted}', skipping...")
            return self._effects()
        for key, value in wanted.items():
            if key == "state":
                self._state_asked(verb, value, now_ms)
            elif key == "pin_code" and self.model.pin_slots:
                self._pin_asked(verb, value, now_ms)
            else:
                self._line("error", f"No converter available for '{key}' on '{self.friendly}'")
        return self._effects()

    def _state_asked(self, verb: str, value: object, now_ms: int) -> None:
        if verb == "get":
            self._over_the_air("read", None, now_ms, "get", "state")
            return
        word = value.get("state") if isinstance(value, dict) else value
        word = word.upper() if isinstance(word, str) else None
        if word not in {"LOCK", "UNLOCK", "TOGGLE"}:
            allowed = "LOCK,UNLOCK,TOGGLE"
            self._failed("set", "state", f"'{word}' not allowed, choose between: {allowed}")
            return
        if "set_times_out" in self._faults:
            self._plan("fail", ("set", "state"), now_ms + _GIVES_UP_MS)
        self._over_the_air("turn", word, now_ms, "set", "state")

    def _pin_asked(self, verb: str, value: object, now_ms: int) -> None:
        user = value.get("user") if isinstance(value, dict) else None
        if not isinstance(user, int) or not 0 <= user < self.model.pin_slots:
            self._failed(verb, "pin_code", "user must be in range for device")
            return
        if verb == "get":
            self._over_the_air("read_pin", user, now_ms, "get", "pin_code")
            return
        code = value.get("pin_code") if isinstance(value, dict) else None
        if "pin_times_out" in self._faults:
            self._plan("fail", ("set", "pin_code"), now_ms + _GIVES_UP_MS)
            self._plan("store_quietly", (user, code), now_ms + _PIN_LATE_MS)
            return
        self._over_the_air("store", (user, code), now_ms, "set", "pin_code")

    def _over_the_air(self, what: str, with_: object, now_ms: int, verb: str, key: str) -> None:
        """The lock hears it when it wakes up; or never."""
        deaf = "dead_battery" in self._faults or (
            "works_sometimes" in self._faults and self._rng.random() < 0.5  # noqa: PLR2004 -- half
        )
        if deaf:
            self._plan("fail", (verb, key), now_ms + _GIVES_UP_MS)
        else:
            self._plan(what, with_, now_ms + self._rng.randint(*_LISTEN_MS))

    # --- what happens ---------------------------------------------------------------------------

    def _run(self, plan: str, with_: Any, at_ms: int) -> None:  # noqa: ANN401 -- as planned
        """Carry out one plan."""
        match plan:
            case "turn":
                self._plan("arrive", with_, at_ms + self._rng.randint(*_TRAVEL_MS))
            case "arrive":
                self._arrive(with_, at_ms)
            case "read":
                self._publish(self._lock_state(), at_ms, answer=True)
            case "read_pin":
                self._publish(self._user(with_), at_ms, answer=True)
            case "store" | "store_quietly":
                user, code = with_
                self._store(user, code, at_ms, quietly=plan == "store_quietly")
            case "event":
                self._event(with_, at_ms)
            case "say":
                self._publish(with_, at_ms)
            case "report":
                self._publish(self._lock_state(), at_ms)
            case "fail":
                self._give_up(*with_)
            case _:
                self._by_itself(plan, at_ms)

    def _by_itself(self, plan: str, at_ms: int) -> None:
        """What nobody asked for."""
        match plan:
            case "auto_lock":
                if self._bolt == UNLOCKED:
                    self._operate("auto_lock", at_ms)
            case "shut":
                self._door_open = False
                self._say_door(at_ms)
            case "hand":
                self._live("turn_by_hand", at_ms)
            case "away":
                self._availability("offline", at_ms)
            case "bounce":
                self._bounce(at_ms)
            case "phantom":
                self._phantom(at_ms)

    def _give_up(self, verb: str, key: str) -> None:
        """The bridge has waited long enough."""
        command = "closuresDoorLock.read" if verb == "get" else "closuresDoorLock.command"
        node = int(self.name[-4:], 16)
        self._failed(
            verb,
            key,
            f"ZCL command {self.name}/1 {command}() failed"
            f" (Timeout - {node} - 1 - 192 - 257 - 11 after {_GIVES_UP_MS}ms)",
        )

    def _lock_state(self) -> dict[str, Any]:
        """What the converter makes of the attribute."""
        if "null_state" in self._faults:
            return {"state": "UNLOCK", "lock_state": None}
        return {"state": SEEN[self._bolt][0], "lock_state": self._bolt}

    def _user(self, user: int) -> dict[str, Any]:
        code = self._codes.get(user)
        one = {"status": "available" if code is None else "enabled"}
        if code is not None and self._expose_pin:
            one["pin_code"] = code
        return {"users": {str(user): one}}

    def _arrive(self, word: str, at_ms: int) -> None:
        """The motor has done what it was told over the air."""
        if word == "TOGGLE":
            word = "UNLOCK" if self._bolt == LOCKED else "LOCK"
        self._move(LOCKED if word == "LOCK" else UNLOCKED, at_ms)
        if "set_times_out" in self._faults:
            return  # not a word, until it is asked
        self._tell_operation(word.lower(), 1, "rf", _NO_USER, at_ms)
        if word == "LOCK" and "bounces" in self._faults:
            self._plan("bounce", None, at_ms + _BOUNCE_MS)

    def _move(self, bolt: str, at_ms: int) -> None:
        """The bolt is elsewhere: nobody knows it yet."""
        if bolt == LOCKED and "half_thrown" in self._faults:
            bolt = HALF
        if bolt != self._bolt:
            self._bolt = bolt
            self._truth("lock_state", None, at_ms, sent=False)
            self._truth("lock_state", SEEN[bolt][1], at_ms, sent=False)

    def _operate(self, action: str, now_ms: int, *, user: int = _NO_USER) -> None:
        """Somebody, or the lock itself, turns the bolt."""
        bolt, number, name = _OPERATIONS[action]
        self._move(bolt, now_ms)
        quiet = "silent_hand" in self._faults and (number, name) == (2, "manual")
        if not quiet and "dead_battery" not in self._faults:
            self._tell_operation(action, number, name, user, now_ms)

    def _tell_operation(self, action: str, number: int, name: str, user: int, now_ms: int) -> None:
        """First the event, then the state; Yale's C4 says both in one."""
        if self.model.alarms:
            word = _C4_ACTIONS.get(action, f"{action}_module" if name == "rf" else action)
            update = {
                "state": f"{SEEN[self._bolt][0]}ED",
                "lock_state": self._bolt,
                "tamper": False,
                "battery_low": False,
            }
            at_ms = now_ms + self._rng.randint(*_EVENT_MS)
            if self._bolt == HALF:  # alarm 9: no action, and not the attribute's spelling
                self._plan("say", update | {"alarm": "deadbolt_jammed"}, at_ms)
            else:
                self._plan("event", {"action": word, **update}, at_ms)
            return
        event = {
            "action": action,
            "action_user": user,
            "action_source": number,
            "action_source_name": name,
        }
        self._plan("event", event, now_ms + self._rng.randint(*_EVENT_MS))
        if "state_lags" not in self._faults:
            after_ms = _EVENT_MS[1] + self._rng.randint(*_REPORT_MS)
            self._plan("report", None, now_ms + after_ms)

    def _event(self, update: Mapping[str, Any], at_ms: int) -> None:
        key = _happening(str(update["action"]))
        self._truths.append(Truth(self.name, key, None, at_ms, self.bridge.linked))
        self._publish(update, at_ms)
        if "action_twice" in self._faults:
            self._publish({"action": ""}, at_ms)

    def _store(self, user: int, code: object, at_ms: int, *, quietly: bool) -> None:
        """A slot is written over the air; only an event tells, and only of the slot's number."""
        action = "pin_code_added"
        if code is None:
            self._codes.pop(user, None)
            action = "pin_code_deleted"
        else:
            self._codes[user] = str(code)
        if not quietly:
            self._programmed(action, user, 1, "rf", at_ms)

    def _programmed(self, action: str, user: int, number: int, name: str, at_ms: int) -> None:
        event = {
            "action": action,
            "action_user": user,
            "action_source": number,
            "action_source_name": name,
        }
        self._plan("event", event, at_ms + self._rng.randint(*_EVENT_MS))

    # --- people -------------------------------------------------------------------------------

    def _live(self, habit: str, now_ms: int) -> None:
        """A dead lock's keypad is dead too; its bolt turns by hand, and its door moves."""
        if habit == "door":
            self._door(now_ms)
        elif habit in {"turn_by_hand", "key"}:
            verb = "unlock" if self._bolt == LOCKED else "lock"
            self._operate(f"{'key' if habit == 'key' else 'manual'}_{verb}", now_ms)
        elif "dead_battery" not in self._faults:
            {
                "keypad_unlock": self._enter_code,
                "one_touch_lock": lambda now_ms: self._operate("one_touch_lock", now_ms),
                "wrong_pin": self._wrong_pin,
                "program_pin": self._program,
                "battery": self._discharge,
            }[habit](now_ms)

    def _enter_code(self, now_ms: int) -> None:
        self._operate("unlock", now_ms, user=self._rng.randint(1, _SLOTS_IN_USE))
        if self._rng.random() < 0.5:  # noqa: PLR2004 -- every other time
            self._plan("auto_lock", None, now_ms + self._rng.randint(*_AUTO_LOCK_MS))

    def _wrong_pin(self, now_ms: int) -> None:
        if not self.model.alarms:
            failed = {"action": "unlock_failure_invalid_pin_or_id", "action_user": _NO_USER}
            failed |= {"action_source": 0, "action_source_name": "keypad"}
            self._plan("event", failed, now_ms + self._rng.randint(*_EVENT_MS))

    def _program(self, now_ms: int) -> None:
        """Somebody adds a code at the keypad, or takes it away again."""
        if not self.model.pin_slots:
            return
        if self._codes.pop(2, None) is None:
            self._codes[2] = str(self._rng.randint(100_000, 999_999))
            self._programmed("pin_code_added", 2, 0, "keypad", now_ms)
        else:
            self._programmed("pin_code_deleted", 2, 0, "keypad", now_ms)

    def _door(self, now_ms: int) -> None:
        if not self._door_open:
            self._door_open = True
            self._say_door(now_ms)
            self._plan("shut", None, now_ms + self._rng.randint(*_OPEN_MS))

    def _say_door(self, now_ms: int) -> None:
        if self.model.door and "dead_battery" not in self._faults:
            self._publish({"door_state": "open" if self._door_open else "closed"}, now_ms)

    def _discharge(self, now_ms: int) -> None:
        """A battery report; it carries along whatever the bridge remembers of the bolt."""
        if not self._drained:
            self._battery = max(10, self._battery - self._rng.randint(0, 1))
        if "dead_battery" not in self._faults:
            self._publish({"battery": self._battery}, now_ms)

    # --- what goes wrong ----------------------------------------------------------------------

    def _break(self, fault: str, now_ms: int) -> None:
        self._faults.add(fault)
        match fault:
            case "half_thrown":
                self._move(LOCKED, now_ms)
                self._plan("report", None, now_ms + self._rng.randint(*_REPORT_MS))
            case "null_state":
                self._plan("report", None, now_ms + self._rng.randint(*_REPORT_MS))
            case "phantom_event":
                self._phantom(now_ms)
            case "silent_hand" | "state_lags":
                # It is seen when somebody does it, and nothing else comes first.
                self._plan("hand", None, now_ms + _HAND_MS)

    def _heal(self, fault: str, now_ms: int) -> None:
        """Most heal when the lock is next heard or asked."""
        self._faults.discard(fault)
        match fault:
            case "half_thrown" if self._bolt == HALF:
                self._operate("manual_lock", now_ms)
            case "dead_battery":
                # New batteries: it announces itself, and tells everything.
                self._battery = 100
                self._publish(self._lock_state() | {"battery": 100}, now_ms)
                self._say_door(now_ms)
            case "null_state":
                self._plan("report", None, now_ms + self._rng.randint(*_REPORT_MS))

    def _phantom(self, now_ms: int) -> None:
        """It tells of a hand that was not there; C4 modules have no event without a state."""
        if "phantom_event" in self._faults and not self.model.alarms:
            action = "manual_unlock" if self._bolt == LOCKED else "manual_lock"
            event = {"action": action, "action_user": _NO_USER}
            event |= {"action_source": 2, "action_source_name": "manual"}
            self._plan("event", event, now_ms + self._rng.randint(*_EVENT_MS))
            self._plan("phantom", None, now_ms + _PHANTOM_MS)

    def _bounce(self, at_ms: int) -> None:
        """The bolt comes back; the first word of it is null."""
        self._move(UNLOCKED, at_ms)
        self._publish({"state": "UNLOCK", "lock_state": None, "action": None}, at_ms)


def _happening(action: str) -> str:
    if "code" in action and "failure" not in action:
        return "credential.changed"
    return "lock.operation_error" if "failure" in action else "lock.operation"
