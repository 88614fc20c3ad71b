"""A simulated Nuki Smart Lock with its door; pure.

    people ─► lock (bolt, motor, door, battery) ─► MQTT: `state` and friends retained, QoS 1
                 ▲                             └─► `lockActionEvent` at the START of an action
                 └── lockAction, one at a time ─── `commandResponse`: 0 ok, 69 busy

Source: see `codec`; travel 1.2-4 s is a guess of ours, as are people's habits. QoS 1 for
everything is a guess too (no public text says); events and responses are not retained.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from devices.errors import ConfigError
from devices.reading import Value
from vendors.nuki.discovery import announcement
from vendors.sim import (
    Addresses,
    Chance,
    Effects,
    FleetSpec,
    Hub,
    Message,
    MqttSession,
    Publish,
    RandomFor,
    Truth,
    deed,
)

#: Rates per device and day.
HABITS: Final[Mapping[str, float]] = {
    "come_home": 3.0,
    "leave": 3.0,
    "turn_by_hand": 1.0,
    "door": 6.0,
    "lock_n_go": 0.5,
    "button": 0.2,
}

#: What these locks are known to do wrong, each with where it was seen.
FAULTS: Final[Mapping[str, str]] = {
    "jam_self_heals": "locking jams; after 10 s it says locked (technyon/nuki_hub#165, #330)",
    "drops_at_command": "the session ends at a command, nothing is done (developer.nuki.io 19223)",
    "mqtt_dead": "connected and silent until rebooted (developer.nuki.io 26353)",
    "brown_out": "its battery gives up while the motor runs: it boots, undefined"
    " (digaus/esphome-components-eqiva#22; NukiBleEsp32: motor low voltage 0x49)",
    "false_battery": "batteryCritical without cause (technyon/nuki_hub#263)",
    "undefined_state": "undefined after a reboot, commands ignored (technyon/nuki_hub#406, #630)",
    "silent_hand": "turning by hand is not reported (technyon/nuki_hub#764)",
    "calibrating": "boot run 253, then calibration 252 (BLE table; consumers know 0 to 7)",
}
#: Which kinds of the catalogue these are.
KINDS: Final[Mapping[str, str]] = {
    "jam": "jam_self_heals",
    "brown_out": "brown_out",
    "stale_state": "silent_hand",
}
#: What of the world around them they tell.
WORLD: Final = frozenset({"battery", "firmware"})
#: How somebody at the door opens and closes it.
COURIER: Final = ("come_home", "leave")

_KEEPALIVE_S: Final = 30
_RECONNECT_S: Final = 2.0
_TRAVEL_MS: Final = (1_200, 4_000)
_UNLATCHED_MS: Final = (3_000, 6_000)
_LOCK_N_GO_MS: Final = (5_000, 60_000)
_JAMMED_MS: Final = 10_000
_BOOT_RUN_MS: Final = 3_000
#: Within this the motor has used up what is left.
SAGS_MS: Final = (300, 1_100)
#: A boot after that.
BOOTS_MS: Final = (4_000, 8_000)
_OPEN_MS: Final = (2_000, 30_000)
_LOCKED_AT_FIRST: Final = 0.7
#: At this percentage a battery is critical; a guess of ours, no public text says it.
LOW_PCT: Final = 20
# BLE error codes, in decimal. Source: I-Connect/NukiBleEsp32 `NukiLockConstants.h`.
_OK: Final = b"0"
_BUSY: Final = b"69"
_NOT_CALIBRATED: Final = b"71"

_LOCKED, _UNLOCKED, _UNLATCHED, _LOCK_N_GO = 1, 3, 5, 6
_CALIBRATING, _BOOT_RUN, _JAMMED, _UNDEFINED = 252, 253, 254, 255
#: In these nobody's hand and no command moves the motor.
_STUCK: Final = frozenset({_CALIBRATING, _BOOT_RUN, _JAMMED, _UNDEFINED})
_LOCKING: Final = 4
#: Action number: the state while it runs, and the one at its end.
ACTIONS: Final[Mapping[int, tuple[int, int]]] = {
    1: (2, _UNLOCKED),
    2: (_LOCKING, _LOCKED),
    3: (7, _UNLATCHED),
    4: (2, _LOCK_N_GO),
    5: (7, _UNLATCHED),
    6: (_LOCKING, _LOCKED),
}
#: What a consumer must come to see: the simulator's own table, not the codec's.
SEEN: Final[Mapping[int, tuple[str | None, str | None, str | None]]] = {
    1: ("Locked", "Idle", "None"),
    2: (None, "Unlocking", "None"),
    3: ("Unlocked", "Idle", "None"),
    4: (None, "Locking", "None"),
    5: ("Unlatched", "Idle", "None"),
    6: ("Unlocked", "Idle", "None"),
    7: (None, "Unlatching", "None"),
    252: (None, None, None),
    253: (None, None, None),
    254: (None, "Idle", "LockJammed"),
    255: (None, None, None),
}
_REMOTE: Final = 172
_BUTTON: Final = 2
_AUTO_LOCK: Final = 6
#: Habit: the action and what triggered it.
_PEOPLE: Final[Mapping[str, tuple[int, int]]] = {
    "come_home": (1, _REMOTE),
    "leave": (2, _REMOTE),
    "lock_n_go": (4, _BUTTON),
}


class Lock:
    """One lock on one door: a `vendors.sim.SimDevice`."""

    serial: int | None = None
    hub: Hub | None = None
    _firmware = "3.9.5"

    def __init__(self, name: str, rng: Chance) -> None:
        self.name = name
        self._rng = rng
        self._base = f"nuki/{name}"
        self.session: MqttSession | None = MqttSession(
            client_id=f"SL3P_{name}",
            keepalive_s=_KEEPALIVE_S,
            subscriptions=(
                (f"{self._base}/lockAction", 1),
                (f"{self._base}/lock", 1),
                (f"{self._base}/unlock", 1),
            ),
            will=Publish(f"{self._base}/connected", b"false", qos=1, retain=True),
            reconnect_s=_RECONNECT_S,
        )
        self._state = _LOCKED if rng.random() < _LOCKED_AT_FIRST else _UNLOCKED
        self._target = self._state
        self._door_open = False
        self._battery = rng.randint(30, 100)
        self._battery_critical = False
        self._linked = False
        self._faults: set[str] = set()
        self._plans: dict[str, int] = {}
        self._told: dict[str, bytes] = {}
        self._sent: dict[str, Value] = {}
        self._stated: dict[str, Value] = {}
        self._messages: list[Message] = []
        self._truths: list[Truth] = []

    # --- SimDevice ---

    def connected(self, now_ms: int) -> Effects:
        """Everything retained is said again."""
        self._linked = True
        self._plans.pop("back", None)
        self._greet(now_ms)
        return self._effects()

    def disconnected(self, now_ms: int) -> Effects:
        """The will says so; the broker publishes it, not we."""
        self._linked = False
        self._plans.pop("back", None)
        self._truth("reachability", "Offline", now_ms, sent=False)
        return self._effects()

    def receive(self, message: Publish | bytes, now_ms: int) -> Effects:
        """A command; numbers beyond the table are ignored."""
        if isinstance(message, Publish) and self._mouth:
            action = _action(message)
            if action in ACTIONS and "undefined_state" not in self._faults:
                self._obey(action, now_ms)
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
        elif habit in _PEOPLE:
            if not self._busy and self._state not in _STUCK:
                self._start(*_PEOPLE[habit], now_ms)
        else:
            {"turn_by_hand": self._hand, "door": self._door, "button": self._button}[habit](now_ms)
        return self._effects()

    # --- telling ---

    @property
    def _mouth(self) -> bool:
        """Whether anything gets out, and in."""
        return self._linked and "back" not in self._plans and "mqtt_dead" not in self._faults

    def _say(self, what: str, payload: bytes, *, retain: bool = True) -> bool:
        if told := self._mouth:
            self._messages.append(Publish(f"{self._base}/{what}", payload, qos=1, retain=retain))
        return told

    def _truth(self, key: str, value: Value, now_ms: int, *, sent: bool) -> None:
        """A truth if it is otherwise than last stated, or told for the first time."""
        stated = key in self._stated and self._stated[key] == value
        if stated and (not sent or (key in self._sent and self._sent[key] == value)):
            return
        if sent:
            self._sent[key] = value
        self._stated[key] = value
        self._truths.append(Truth(self.name, key, value, now_ms, sent))

    def _say_state(self, now_ms: int) -> None:
        told = self._say("state", str(self._state).encode())
        self._state_truths(now_ms, sent=told)

    def _state_truths(self, now_ms: int, *, sent: bool) -> None:
        for axis, value in zip(("lock_state", "motion", "fault"), SEEN[self._state], strict=True):
            self._truth(axis, value, now_ms, sent=sent)

    def _greet(self, now_ms: int) -> None:
        """What a lock says when it connects; whoever missed it the last time is told it now."""
        self._sent.clear()
        if self._mouth:
            self._messages.append(announcement(self.name))
        for what, payload in (
            ("deviceType", b"4"),
            ("name", self.name.encode()),
            ("firmware", self._firmware.encode()),
            ("mode", b"2"),
        ):
            self._say(what, payload)
        self._say_state(now_ms)
        self._tell(now_ms, again=True)

    def _tell(self, now_ms: int, *, again: bool = False) -> None:
        """The other state topics that changed; when connecting again, all of them."""
        door, critical = self._door_open, self._battery_critical or self._battery <= LOW_PCT
        values: dict[str, tuple[bytes, dict[str, Value]]] = {
            "connected": (b"true", {"reachability": "Online"}),
            "doorsensorState": (
                b"3" if door else b"2",
                {
                    "door_state": "DoorOpen" if door else "DoorClosed",
                    "door_sensor_tamper": "NotInTamper",
                },
            ),
            "batteryCritical": (
                b"true" if critical else b"false",
                {"power_level": "Critical" if critical else "OK"},
            ),
            "batteryCharging": (b"false", {"charging": False}),
            "batteryChargeState": (str(self._battery).encode(), {"battery_pct": self._battery}),
        }
        for what, (payload, axes) in values.items():
            if not again and self._told.get(what) == payload:
                continue
            self._told[what] = payload
            told = self._say(what, payload)
            for axis, value in axes.items():
                if told or axis != "reachability":
                    self._truth(axis, value, now_ms, sent=told)

    def _event(self, what: str, fields: str, now_ms: int) -> None:
        told = self._say("lockActionEvent", fields.encode(), retain=False)
        self._truths.append(Truth(self.name, what, None, now_ms, told))

    def _effects(self) -> Effects:
        effects = Effects(
            tuple(self._messages), tuple(self._truths), min(self._plans.values(), default=None)
        )
        self._messages.clear()
        self._truths.clear()
        return effects

    # --- the motor ---

    @property
    def _busy(self) -> bool:
        return "arrive" in self._plans

    def _obey(self, action: int, now_ms: int) -> None:
        """One command at a time; 0 means accepted, not done."""
        if "drops_at_command" in self._faults:
            self._drop(now_ms, round(_RECONNECT_S * 1_000))
        elif self._busy:
            self._say("commandResponse", _BUSY, retain=False)
        elif self._state in (_CALIBRATING, _BOOT_RUN):
            self._say("commandResponse", _NOT_CALIBRATED, retain=False)
        else:
            self._say("commandResponse", _OK, retain=False)
            self._start(action, _REMOTE, now_ms)

    def _drop(self, now_ms: int, for_ms: int) -> None:
        """Its session ends, and it comes back.

        The seam lets no device cut its own link; whoever listens sees just this of it: the will,
        silence, and everything anew.
        """
        if self._say("connected", b"false"):
            self._truth("reachability", "Offline", now_ms, sent=True)
        self._plans["back"] = now_ms + for_ms

    def _start(self, action: int, trigger: int, now_ms: int) -> None:
        """Announce the action, then run; the event comes first and promises nothing."""
        for plan in ("relatch", "relock", "unjam"):
            self._plans.pop(plan, None)
        self._state, self._target = ACTIONS[action]
        self._event("lock.operation", f"{action},{trigger},0,0,0", now_ms)
        self._say_state(now_ms)
        self._plans["arrive"] = now_ms + self._rng.randint(*_TRAVEL_MS)
        if "brown_out" in self._faults:
            self._plans["sag"] = now_ms + self._rng.randint(*SAGS_MS)

    def _run(self, plan: str, at_ms: int) -> None:
        match plan:
            case "arrive":
                self._arrive(at_ms)
            case "relatch":
                self._rest(_UNLOCKED, at_ms)
            case "relock":
                self._start(2, _AUTO_LOCK, at_ms)
            case "unjam":
                self._rest(_LOCKED, at_ms)
            case "boot_run":
                self._rest(_CALIBRATING, at_ms)
            case "shut":
                self._door_open = False
                self._tell(at_ms)
            case "sag":
                self._state = _UNDEFINED
                self._plans.pop("arrive", None)
                self._drop(at_ms, self._rng.randint(*BOOTS_MS))
            case "back":
                self._greet(at_ms)

    def _arrive(self, at_ms: int) -> None:
        if self._state == _LOCKING and "jam_self_heals" in self._faults:
            self._jam(at_ms)
            return
        self._rest(self._target, at_ms)
        if self._target == _UNLATCHED:
            self._plans["relatch"] = at_ms + self._rng.randint(*_UNLATCHED_MS)
        elif self._target == _LOCK_N_GO:
            self._plans["relock"] = at_ms + self._rng.randint(*_LOCK_N_GO_MS)

    def _rest(self, state: int, now_ms: int) -> None:
        """Be in this state from now on, whatever was planned for the bolt."""
        for plan in ("arrive", "relatch", "relock", "unjam", "boot_run"):
            self._plans.pop(plan, None)
        self._state = state
        self._say_state(now_ms)

    def _jam(self, now_ms: int) -> None:
        """The handle was not lifted: blocked for a while, and then said to be locked after all."""
        self._rest(_JAMMED, now_ms)
        self._plans["unjam"] = now_ms + _JAMMED_MS

    # --- people ---

    def _hand(self, now_ms: int) -> None:
        """Turned by hand: the bolt is elsewhere at once, and mostly that is noticed."""
        if self._busy or self._state not in (_LOCKED, _UNLOCKED):
            return
        state = _UNLOCKED if self._state == _LOCKED else _LOCKED
        if "silent_hand" in self._faults:
            self._state = state
            self._state_truths(now_ms, sent=False)
        else:
            self._rest(state, now_ms)

    def _door(self, now_ms: int) -> None:
        if not self._door_open:
            self._door_open = True
            self._tell(now_ms)
            self._plans["shut"] = now_ms + self._rng.randint(*_OPEN_MS)

    def _button(self, now_ms: int) -> None:
        self._event("lock.button", "90,2,0,0,2", now_ms)

    # --- the world ---

    def _drain(self, percent: str, now_ms: int) -> None:
        """So much is left of its battery; below a fifth it warns of that."""
        self._battery = int(percent)
        self._tell(now_ms)

    def _update(self, version: str, now_ms: int) -> None:
        """It runs this from now on; what it then says when it connects, everybody is told."""
        del now_ms
        self._firmware = version
        self._say("firmware", version.encode())

    # --- what goes wrong ---

    def _break(self, fault: str, now_ms: int) -> None:
        self._faults.add(fault)
        match fault:
            case "jam_self_heals" if not self._busy and self._state not in _STUCK:
                self._jam(now_ms)
            case "false_battery" | "brown_out":
                self._battery_critical = True
                self._tell(now_ms)
            case "undefined_state":
                self._rest(_UNDEFINED, now_ms)
            case "calibrating":
                self._rest(_BOOT_RUN, now_ms)
                self._plans["boot_run"] = now_ms + _BOOT_RUN_MS

    def _heal(self, fault: str, now_ms: int) -> None:
        self._faults.discard(fault)
        match fault:
            case "false_battery":
                self._battery_critical = False
                self._tell(now_ms)
            case "brown_out":
                # New batteries, and it is calibrated.
                self._battery_critical = False
                self._plans.pop("sag", None)
                self._tell(now_ms)
                if self._state == _UNDEFINED:
                    self._rest(_LOCKED, now_ms)
            case "mqtt_dead" if self._linked:
                self._greet(now_ms)
            case "silent_hand":
                # Its next calibration or restart tells.
                self._say_state(now_ms)
            case "undefined_state" | "calibrating" if self._state in _STUCK - {_JAMMED}:
                self._rest(_LOCKED, now_ms)


def _action(command: Publish) -> int:
    """The action number of a command; 0 for what is none."""
    what, text = command.topic.rpartition("/")[2], command.payload
    if what == "lockAction":
        return int(text) if text.isdigit() and len(text) == 1 else 0
    return {"unlock": 1, "lock": 2}.get(what, 0) if text == b"true" else 0


def fleet(spec: FleetSpec, rng_for: RandomFor) -> Sequence[Lock]:
    """Locks with ids from 39000001 on (hex); they have no options.

    Raises:
        ConfigError: an option was given.
    """
    if spec.options:
        raise ConfigError((f"nuki: options {', '.join(sorted(spec.options))}; there are none",))
    names = [f"{0x39000000 + number:08X}" for number in spec.members]
    return [Lock(name, rng_for(name)) for name in names]


def gateway_settings(spec: FleetSpec, at: Addresses) -> Mapping[str, object]:
    """A cell that listens to every lock on the broker."""
    del spec
    return {"url": at.broker}
