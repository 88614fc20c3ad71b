"""A simulated Z-Wave door lock, and what the driver remembers of it; pure.

    people ──► bolt, door, codes ──► radio ──► driver's values ──► events: one for each value
                    ▲                            │
                    └── set, poll, ping ◄────────┘ the mode is assumed before the bolt has moved

The bolt is one thing, what the driver says of it another: `_bolt` is true, `values` is told.

Source: zwave-js 15.29.0 with its mock lock (order of events, results, assumed mode; see
`tests/interop/zwave_js_server`); a beam of 0.3-1.2 s, a travel of 1.2-3 s and people's habits are
guesses of ours.
"""

from collections.abc import Mapping
from typing import Any, Final

from vendors.sim import Chance, Effects, Hub, MqttSession, Publish, Truth
from vendors.zwave_js.memory import (
    ACCESS,
    ALIVE,
    BATTERY,
    DEAD,
    DOOR_LOCK,
    DOOR_STATE,
    JAM,
    LOCK_STATE,
    MODE,
    NOTIFICATION,
    SECURED,
    UNSECURED,
    USER_CODE,
    Asked,
    Key,
    Memory,
    Network,
    Said,
)

#: What notifications are called. Source: zwave-js `Notifications.ts`, type 6.
LABELS: Final[Mapping[int, str]] = {
    1: "Manual lock operation",
    2: "Manual unlock operation",
    3: "RF lock operation",
    4: "RF unlock operation",
    5: "Keypad lock operation",
    6: "Keypad unlock operation",
    9: "Auto lock locked operation",
    19: "Manually enter user access code exceeds code limit",
}
#: The mode after a notification, as the driver sets it.
_AFTER: Final = {1: SECURED, 3: SECURED, 5: SECURED, 9: SECURED, 2: 0, 4: 0, 6: 0}
_BEAM_MS: Final = (300, 1_200)
_TRAVEL_MS: Final = (1_200, 3_000)
_REPORT_MS: Final = 300
_VERIFY_MS: Final = 1_000
_DEAD_MS: Final = 3_000
_OPEN_MS: Final = (2_000, 30_000)
_RELOCK_MS: Final = (15_000, 45_000)
_FREED_MS: Final = (10_000, 40_000)
_SLOTS: Final = (1, 2, 3, 4)
# What a lock calls low is its own affair; a guess of ours.
_LOW_PCT: Final = 10
_OK: Final = {"status": 254}
_NO_ACK: Final = {
    "errorCode": "zwave_error",
    "zwaveErrorCode": 204,
    "zwaveErrorCodeName": "Controller_CallbackNOK",
    "zwaveErrorMessage": "The node did not acknowledge the command (ZW0204)",
}


class Lock(Memory):
    """One lock on one door: a `vendors.sim.SimDevice` behind a controller."""

    serial: int | None = None
    session: MqttSession | None = None
    #: Whether somebody else says what is left of its battery.
    _drained = False

    def __init__(self, number: int, name: str, rng: Chance, network: Network, hub: Hub) -> None:
        super().__init__(number, name, network)
        self.hub: Hub | None = hub
        self.faults: set[str] = set()
        self._rng = rng
        self._bolt = "locked" if rng.random() < 0.7 else "unlocked"  # noqa: PLR2004 -- a guess
        self._target = SECURED if self._bolt == "locked" else UNSECURED
        self._mode = self._target
        self._door_open = False
        self._codes = {2: "271828", 3: "314159"}
        self._ignored = False
        self._queue: list[Asked] = []
        self.values = self._first_values(rng.randint(30, 100))

    def _first_values(self, battery: int) -> dict[Key, Any]:
        handles = [True, False, False, False]
        return {
            (DOOR_LOCK, "targetMode", None): self._mode,
            (DOOR_LOCK, "operationType", None): 1,
            (DOOR_LOCK, "doorStatus", None): "closed",
            (DOOR_LOCK, "latchStatus", None): "open",
            (DOOR_LOCK, "boltStatus", None): self._bolt,
            (DOOR_LOCK, "insideHandlesCanOpenDoor", None): handles,
            (DOOR_LOCK, "outsideHandlesCanOpenDoor", None): handles,
            (DOOR_LOCK, "duration", None): {"value": 0, "unit": "seconds"},
            MODE: self._mode,
            **{
                (USER_CODE, what, slot): value
                for slot in _SLOTS
                for what, value in (
                    ("userIdStatus", int(slot in self._codes)),
                    ("userCode", self._codes.get(slot, "")),
                )
            },
            LOCK_STATE: 0,
            DOOR_STATE: 23,
            (BATTERY, "level", None): battery,
            (BATTERY, "isLow", None): False,
        }

    # --- SimDevice ---

    def connected(self, now_ms: int) -> Effects:
        """Its hub is what connects."""
        del now_ms
        return self.effects()

    def disconnected(self, now_ms: int) -> Effects:
        """Its hub is what disconnects."""
        del now_ms
        return self.effects()

    def receive(self, message: Publish | bytes, now_ms: int) -> Effects:
        """Its hub is what is spoken to."""
        del message, now_ms
        return self.effects()

    def wake(self, now_ms: int) -> Effects:
        """Carry out what is due, in the order it was due."""
        self.now_ms = now_ms
        while due := [(at_ms, plan) for plan, at_ms in self._plans.items() if at_ms <= now_ms]:
            at_ms, plan = min(due)
            del self._plans[plan]
            getattr(self, f"_plan_{plan}")(at_ms)
        return self.effects()

    def act(self, habit: str, now_ms: int) -> Effects:
        """What people do; what goes wrong is in `faulty`."""
        self.now_ms = now_ms
        {
            "come_home": self._come_home,
            "leave": self._leave,
            "turn_by_hand": self._turn,
            "app": self._app,
            "door": self._door,
            "wrong_code": self._wrong_code,
            "jam": self._jam_of_the_day,
            "battery": self._drain,
        }[habit](now_ms)
        return self.effects()

    # --- telling ---

    def _notify(self, event: int, now_ms: int, user: int | None = None) -> None:
        """A notification of the lock; the driver sets the mode first if it is of the bolt."""
        self._came_alive(now_ms)
        if event in _AFTER:
            self._set(MODE, _AFTER[event])
            self._mode_truths(_AFTER[event], None, now_ms)
        self._notification(event, now_ms, user)

    def _notification(self, event: int, now_ms: int, user: int | None = None) -> None:
        args: dict[str, Any] = {"type": 6, "event": event, "label": ACCESS}
        args["eventLabel"] = LABELS[event]
        args |= {} if user is None else {"parameters": {"userId": user}}
        self._event("notification", endpointIndex=0, ccId=NOTIFICATION, args=args)
        if event in _AFTER:
            self._jam_known = False
            self._truth("motion", "Idle", now_ms)
            self._truth("fault", "None", now_ms)
            what = "lock.operation"
            if self.values[LOCK_STATE] == JAM and "jam_sticks" not in self.faults:
                self._set(LOCK_STATE, 0)
                self._plans.pop("idle", None)
        else:
            what = "lock.operation_error"
        self._truths.append(Truth(self.name, what, None, now_ms, self._network.heard))

    def _report(self, now_ms: int, reply: object = None, *, left_s: int = 0) -> None:
        """Door Lock Operation Report: value by value, in the driver's order."""
        if reply is None:
            self._came_alive(now_ms)
        mode, bolt = self._claim()
        door = "open" if self._door_open else "closed"
        values: tuple[tuple[str, object], ...] = (
            ("insideHandlesCanOpenDoor", [True, False, False, False]),
            ("outsideHandlesCanOpenDoor", [True, False, False, False]),
            ("duration", {"value": left_s, "unit": "seconds"}),
            ("targetMode", self._target),
            ("currentMode", mode),
            ("doorStatus", door),
            *(() if "bolt_silent" in self.faults else (("boltStatus", bolt),)),
            ("latchStatus", "open"),
        )
        for number, (name, value) in enumerate(values):
            self._set((DOOR_LOCK, name, None), value)
            if number == 0 and reply is not None:
                self._said.append(Said("result", {"value": mode}, reply))
        if left_s and self._target != mode:
            self._moving_truths(self._target, now_ms)
        else:
            told = None if "bolt_silent" in self.faults else bolt
            self._mode_truths(mode, told, now_ms)
        self._came_alive(now_ms)

    def _claim(self) -> tuple[int, str]:
        """Mode and bolt as the lock's own sensor has them."""
        return self._mode, self._bolt

    # --- the radio ---

    @property
    def _busy(self) -> bool:
        return "arrive" in self._plans

    def ask(self, asked: Asked, now_ms: int) -> None:
        """Something for the lock: it waits its turn on the air."""
        self.now_ms = now_ms
        self._queue.append(asked)
        self._next(now_ms)

    def _next(self, now_ms: int) -> None:
        if self._queue and "radio" not in self._plans:
            begins_ms = max(now_ms, self._network.stalled_ms)
            if "presumed_dead" in self.faults:
                self._network.stalled_ms = begins_ms + _DEAD_MS
                self._plans["radio"] = begins_ms + _DEAD_MS
            else:
                self._plans["radio"] = begins_ms + self._rng.randint(*_BEAM_MS)

    def _plan_radio(self, now_ms: int) -> None:
        asked = self._queue.pop(0)
        lost = "presumed_dead" in self.faults
        if lost:
            ping = asked.what == "ping"
            body: Mapping[str, Any] = {"responded": False} if ping else _NO_ACK
            self._said.append(Said("result" if ping else "error", body, asked.reply))
            if self.status != DEAD:
                self.status = DEAD
                self._event("dead", oldStatus=ALIVE)
                self._truth("reachability", "Offline", now_ms)
        match asked.what:
            case "set_mode":
                self._obey(asked, now_ms, acked=not lost)
            case "poll" if not lost:
                self._answer(asked, now_ms)
            case "refresh" if not lost:
                self._report(now_ms)
                for slot in _SLOTS:
                    self._tell_slot(slot, now_ms)
                self._said.append(Said("result", {}, asked.reply))
            case "set_code" if not lost:
                self._write(asked, now_ms)
            case "ping" if not lost:
                self._said.append(Said("result", {"responded": True}, asked.reply))
                self._came_alive(now_ms)
            case _:
                pass
        self._next(now_ms)

    def _obey(self, asked: Asked, now_ms: int, *, acked: bool) -> None:
        """The lock has the command; the driver assumes the rest if it was acknowledged."""
        mode = asked.value
        self._target = mode
        if acked:
            self._said.append(Said("result", {"result": _OK}, asked.reply))
            self.values[DOOR_LOCK, "targetMode", None] = mode
            self._set(MODE, mode)
            self._moving_truths(mode, now_ms)
            self._came_alive(now_ms)
        if mode == SECURED:
            self._plans.pop("relock", None)
        self._plans["arrive"] = now_ms + self._rng.randint(*_TRAVEL_MS)

    def _answer(self, asked: Asked, now_ms: int) -> None:
        cc, _, slot = asked.key
        if cc == DOOR_LOCK:
            left_ms = self._plans.get("arrive", now_ms) - now_ms
            self._report(now_ms, asked.reply, left_s=-(-left_ms // 1000))
        elif cc == USER_CODE and isinstance(slot, int):
            self._tell_slot(slot, now_ms, asked.reply)
        else:
            self._said.append(Said("result", {"value": self.values.get(asked.key)}, asked.reply))

    def _write(self, asked: Asked, now_ms: int) -> None:
        """A code is set or cleared; the driver asks for it a second later."""
        slot = asked.key[2]
        if not isinstance(slot, int) or slot not in _SLOTS:
            body = {"result": {"status": 2}}
        else:
            self._codes.pop(slot, None)
            if asked.value:
                self._codes[slot] = asked.value
            self._plans.setdefault("verify", now_ms + _VERIFY_MS)
            body = {"result": _OK}
        self._said.append(Said("result", body, asked.reply))

    def _plan_verify(self, now_ms: int) -> None:
        for slot in _SLOTS:
            if self.values.get((USER_CODE, "userIdStatus", slot)) != int(slot in self._codes):
                self._tell_slot(slot, now_ms)

    def _tell_slot(self, slot: int, now_ms: int, reply: object = None) -> None:
        """User Code Report: status and code, as the driver passes them on."""
        status = int(slot in self._codes)
        self._set((USER_CODE, "userIdStatus", slot), status)
        if reply is not None:
            self._said.append(Said("result", {"value": status}, reply))
        self._set((USER_CODE, "userCode", slot), self._codes.get(slot, ""))
        self._slot_truth(slot, status, now_ms)

    # --- the bolt ---

    def _plan_arrive(self, now_ms: int) -> None:
        """The bolt is there: a notification, and then a report."""
        self._move(self._target)
        self._notify(3 if self._target == SECURED else 4, now_ms)
        self._plans["report"] = now_ms + _REPORT_MS

    def _move(self, mode: int) -> None:
        self._bolt = "locked" if mode == SECURED else "unlocked"
        self._mode = mode

    def _plan_report(self, now_ms: int) -> None:
        if not self._busy:
            self._report(now_ms)

    # --- people ---

    def _operate(self, event: int, now_ms: int, user: int | None = None) -> None:
        if self._busy:
            return
        self._move(_AFTER[event])
        self._plans.pop("relock", None)
        self._notify(event, now_ms, user)
        self._plans["report"] = now_ms + _REPORT_MS

    def _come_home(self, now_ms: int) -> None:
        if self._bolt == "locked" and self._codes:
            self._operate(6, now_ms, min(self._codes))
            self._plans["relock"] = now_ms + self._rng.randint(*_RELOCK_MS)

    def _plan_relock(self, now_ms: int) -> None:
        if self._bolt == "unlocked":
            self._operate(9, now_ms)

    def _leave(self, now_ms: int) -> None:
        if self._bolt == "unlocked" and self._codes:
            self._operate(5, now_ms, min(self._codes))

    def _turn(self, now_ms: int) -> None:
        self._operate(1 if self._bolt == "unlocked" else 2, now_ms)

    def _app(self, now_ms: int) -> None:
        """Another client of the same server."""
        mode = SECURED if self._bolt == "unlocked" else UNSECURED
        self.ask(Asked("set_mode", None, MODE, mode), now_ms)

    def _door(self, now_ms: int) -> None:
        if not self._door_open:
            self._door_tells(now_ms, opened=True)
            self._plans["shut"] = now_ms + self._rng.randint(*_OPEN_MS)

    def _plan_shut(self, now_ms: int) -> None:
        self._door_tells(now_ms, opened=False)

    def _door_tells(self, now_ms: int, *, opened: bool) -> None:
        self._door_open = opened
        self._set((NOTIFICATION, ACCESS, "Opening state"), int(opened))
        self._set((NOTIFICATION, ACCESS, "Door state (simple)"), 22 if opened else 23)
        self._set(DOOR_STATE, 22 if opened else 23)
        self._truth("door_state", "DoorOpen" if opened else "DoorClosed", now_ms)

    def _wrong_code(self, now_ms: int) -> None:
        self._notification(19, now_ms)

    def _jam_of_the_day(self, now_ms: int) -> None:
        """A hand or the keypad throws the bolt, it sticks, and somebody frees it."""
        if not self._busy and self._bolt == "unlocked":
            self._jams(now_ms)
            self._plans["freed"] = now_ms + self._rng.randint(*_FREED_MS)

    def _jams(self, now_ms: int) -> None:
        self._set(LOCK_STATE, JAM)
        self._jam_truths(now_ms)

    def _plan_freed(self, now_ms: int) -> None:
        if self.values[LOCK_STATE] == JAM:
            self._operate(2, now_ms)

    def _drain(self, now_ms: int) -> None:
        if not self._drained:
            self._left(max(5, self.values[BATTERY, "level", None] - 1), now_ms)

    def _left(self, percent: int, now_ms: int) -> None:
        """A battery report: the driver tells what is left of it, and whether that is little."""
        self._set((BATTERY, "level", None), percent)
        self._truth("battery_pct", percent, now_ms)
        low = percent <= _LOW_PCT
        if low != self.values[BATTERY, "isLow", None]:
            self._set((BATTERY, "isLow", None), low)
        self._truth("power_level", "Critical" if low else "OK", now_ms)
