"""A simulated account of SwitchBot locks behind the vendor's cloud; pure.

    people ─► lock (bolt, motor, door, battery) ─► cloud: status, as asked
                 ▲             └─► webhook 0.3-1.3 s later, unsigned, once, if it comes at all
                 └── lock, unlock, deadbolt: 100 at once, and moved when it has moved

Source: see `codec`; webhook delay as in SwitchBotAPI#219 (1.3 s after its sample); travel, habits
and what a deadbolt command leaves behind are guesses of ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from devices.errors import ConfigError
from devices.reading import Value
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
    Webhook,
    deed,
    one_hub,
)
from vendors.switchbot import account, battery
from vendors.switchbot.account import Cloud, Profile
from vendors.switchbot.faults import AWAY, CLOUDED, COURIER, FAULTS, KINDS, ODD, WORLD
from vendors.switchbot.keypad import Keypad, hook_body
from vendors.switchbot.models import (
    AXES,
    HOOKED,
    MODELS,
    SEEN,
    SHORT,
    SWAPPED,
    UNCALIBRATED,
    UNKNOWN,
    VERBS,
    Model,
)

__all__ = ["COURIER", "FAULTS", "HABITS", "KINDS", "WORLD", "fleet", "gateway_settings"]

#: Rates per device and day.
HABITS: Final[Mapping[str, float]] = {
    "come_home": 3.0,
    "leave": 3.0,
    "turn_by_hand": 1.0,
    "door": 6.0,
    "guest_code": 0.3,
}
_TRAVEL_MS: Final = (1_200, 4_000)
_HOOK_MS: Final = (300, 1_300)
_OPEN_MS: Final = (2_000, 30_000)
_AGAIN_MS: Final = 3_000
_STALE_AGAIN_MS: Final = 35_000
_BOUNCE_MS: Final = 870
_LATE_MS: Final = (70_000, 120_000)
# A webhook so long after the contact moved may be taken for the door's, if that one was lost.
_DOORS_MS: Final = 60_000
# So long a reader may doubt a `locked` after a reported unlocking (`doubt_ms` of its settings).
_DOUBT_MS: Final = 600_000
#: With these a webhook is no sure news: it is old, in other words, or the status says otherwise.
_DISBELIEVED: Final = frozenset({"webhook_late", "enum_mismatch", "status_stays_locked"})
_LOST_SHARE: Final = 0.7
_LOCKED_AT_FIRST: Final = 0.7
_OK: Final = 100
_UNSUPPORTED: Final = 160


class _Plan(NamedTuple):
    at_ms: int
    number: int
    what: str
    about: Any = None


class Lock:
    """One lock on one door, with a keypad beside it: a `vendors.sim.SimDevice`."""

    serial: int | None = None
    session: MqttSession | None = None
    _firmware = "V4.2"
    _drained = False  # whether somebody else says what is left of its battery

    def __init__(self, name: str, model: Model, keypad: Keypad | None, rng: Chance) -> None:
        self.name = name
        self.model = model
        self.keypad = keypad
        self.hub: Hub | None = None
        self.faults: set[str] = set()
        self._rng = rng
        self._bolt = "locked" if rng.random() < _LOCKED_AT_FIRST else "unlocked"
        self._rested = self._bolt
        self._target = self._bolt
        self._door_open = False
        self._stuck_open = False
        self._battery = rng.randint(8, 100)
        self._hook_url = ""
        self._last_hook_ms = 0
        self._reported_ms: int | None = None
        self._door_moved_ms = 0
        self._plans: list[_Plan] = []
        self._number = 0
        self._stated: dict[str, tuple[Value, bool]] = {}
        self._messages: list[Message] = []
        self._truths: list[Truth] = []

    # --- SimDevice; its cloud speaks for it ---

    def connected(self, now_ms: int) -> Effects:
        """Power on: what it is, for whoever asks."""
        self._state_truths(now_ms)
        self._door_truth(now_ms)
        self._battery_truths(now_ms)
        self._truth("reachability", "Online", now_ms)
        if self.keypad is not None:
            self._key_truths(now_ms)
        return self.effects()

    def disconnected(self, now_ms: int) -> Effects:
        """It has no link of its own."""
        del now_ms
        return self.effects()

    def receive(self, message: Publish | bytes, now_ms: int) -> Effects:
        """It is never spoken to directly."""
        del message, now_ms
        return self.effects()

    def wake(self, now_ms: int) -> Effects:
        """Carry out what is due, in the order it was due."""
        while due := [plan for plan in self._plans if plan.at_ms <= now_ms]:
            plan = min(due)
            self._plans.remove(plan)
            self._run(plan)
        return self.effects()

    def act(self, habit: str, now_ms: int) -> Effects:
        """One of `HABITS`, or `fault:<name>` / `heal:<name>`."""
        verb, fault = deed(habit, FAULTS, WORLD)
        if verb == "firmware":
            self._firmware = fault
        elif verb == "battery":
            self._battery, self._drained = int(fault), True
            self._battery_truths(now_ms)
        elif verb:
            {"fault": self._break, "heal": self._heal}[verb](fault, now_ms)
        elif habit in ("come_home", "leave"):
            self._go("unlocked" if habit == "come_home" else "locked", now_ms)
        else:
            {"turn_by_hand": self._hand, "door": self._door, "guest_code": self._guest}[habit](
                now_ms
            )
        return self.effects()

    def effects(self) -> Effects:
        """What the last call did."""
        wake_ms = min((plan.at_ms for plan in self._plans), default=None)
        effects = Effects(tuple(self._messages), tuple(self._truths), wake_ms)
        self._messages.clear()
        self._truths.clear()
        return effects

    # --- what the cloud asks of it ---

    def listens(self, url: str) -> None:
        """Its webhooks go there; empty: nowhere."""
        self._hook_url = url

    def status(self) -> Mapping[str, object]:
        """The body of its status."""
        model = self.model
        body: dict[str, object] = {
            "deviceId": self.name,
            "deviceType": model.name,
            "hubDeviceId": account.HUB_ID,
            "battery": battery.shown(self._battery, stepped=self.model.stepped),
            "version": self._firmware,
            "lockState": self._status_word(),
            "calibrate": "uncalibrated" not in self.faults,
        }
        if model.contact:
            words = ("opened", "closed") if model.long else ("open", "close")
            body["doorState"] = words[0] if self._contact_open else words[1]
        return body

    def _status_word(self) -> str:
        word = self._bolt
        if "status_stays_locked" in self.faults and word != "jammed":
            word = "locked"
        if not self.model.long:
            word = SHORT.get(word, word)
        return word.capitalize() if "enum_mismatch" in self.faults else word

    def order(self, word: str, now_ms: int) -> int:
        """A command; its statusCode. Accepted is not done."""
        target = VERBS.get(word)
        if word == "nightLatchUnlock" and self.model.name == "Smart Lock Pro Wifi":
            target = "unlocked"
        if target is None:
            return _UNSUPPORTED
        if not self.faults & {"accepted_not_executed", "uncalibrated"}:
            if "verbs_swapped" in self.faults:
                target = SWAPPED.get(target, target)
            self._go(target, now_ms, jam="jammed" in self.faults)
        return _OK

    def change_key(self, word: str, parameter: object, now_ms: int) -> tuple[int, str]:
        """A passcode command for its keypad: (statusCode, commandId)."""
        assert self.keypad is not None
        code, command_id, after_ms, change = self.keypad.accept(
            word, parameter, now_ms, self.faults
        )
        if code == _OK:
            self._plan(now_ms + after_ms, "key", change)
        return code, command_id

    # --- telling ---

    def _truth(self, key: str, value: Value, now_ms: int, *, sent: bool = False) -> None:
        """A truth if it is otherwise than last stated, or told by a message for the first time."""
        before = self._stated.get(key)
        if before is not None and before[0] == value and (before[1] or not sent):
            return
        self._stated[key] = (value, sent)
        self._truths.append(Truth(self.name, key, value, now_ms, sent))

    def _state_truths(self, now_ms: int) -> None:
        """Where the bolt is, and what may rightly be said before while something clouds that.

        If the report of a locking is lost, a status `locked` contradicts the reported unlocking,
        and no reader can know which of them is so (README, "What is believed").
        """
        seen = UNCALIBRATED if "uncalibrated" in self.faults else SEEN[self._bolt]
        views = [seen]
        if self.faults & CLOUDED:
            views += [UNKNOWN, seen]
        if "status_stays_locked" in self.faults:
            views = [UNKNOWN, seen, UNKNOWN, SEEN["locked"], UNKNOWN, seen]
        reported_ms = self._reported_ms
        if seen == SEEN["locked"] and reported_ms is not None:
            self._reported_ms = None
            if now_ms - reported_ms < _DOUBT_MS:
                views += [UNKNOWN, seen]
        for view in views:
            for axis, value in zip(AXES, view, strict=True):
                self._truth(axis, value, now_ms)

    @property
    def _contact_open(self) -> bool:
        """What the contact says, which is all that anybody can know."""
        if "door_sensor_stuck" in self.faults:
            return self._stuck_open
        return self._door_open != ("door_sensor_inverted" in self.faults)

    @property
    def _door_seen(self) -> str | None:
        if not self.model.contact:
            return None
        return "DoorOpen" if self._contact_open else "DoorClosed"

    def _door_truth(self, now_ms: int, *, sent: bool = False) -> None:
        self._truth("door_state", self._door_seen, now_ms, sent=sent)

    def _battery_truths(self, now_ms: int) -> None:
        self._truth("power_level", battery.level(self._battery), now_ms)
        if not self.model.stepped:
            self._truth("battery_pct", self._battery, now_ms)

    def _key_truths(self, now_ms: int) -> None:
        assert self.keypad is not None
        for slot in range(1, account.SLOTS + 1):
            self._truth(f"credential.{slot}.status", self.keypad.slot(slot), now_ms)

    def _plan(self, at_ms: int, what: str, about: Any = None) -> None:  # noqa: ANN401 -- a plan's own
        self._number += 1
        self._plans.append(_Plan(at_ms, self._number, what, about))

    def _drop(self, what: str) -> None:
        self._plans = [plan for plan in self._plans if plan.what != what]

    def _report(self, cause: str, now_ms: int) -> None:
        if SEEN[self._rested][0] == "Unlocked":
            self._reported_ms = now_ms
        self._hook(cause, now_ms)

    def _hook(self, cause: str, now_ms: int, word: str | None = None) -> None:
        """Have a webhook sent of what is now: it leaves a little later, and says when this was."""
        model, faults = self.model, self.faults
        if cause == "door" and not model.hook_contact:
            return
        word = word or HOOKED[self._rested]
        if "webhook_stale_locked" in faults:
            if cause == "lock" and word == "UNLOCKED":
                return
            word = "LOCKED" if cause == "door" else word
        if "enum_mismatch" in faults:
            word = word.capitalize()
        context: dict[str, object] = {
            "deviceType": model.hook_name,
            "deviceMac": self.name,
            "lockState": word,
            "battery": self._battery,
            "timeOfSample": now_ms,
        }
        if model.hook_contact:
            context["doorState"] = "OPENED" if self._contact_open else "CLOSED"
        told = (cause, self._bolt if cause == "lock" else self._door_seen, context)
        delay_ms = self._rng.randint(*_HOOK_MS)
        if "webhook_late" in faults:
            delay_ms += self._rng.randint(*_LATE_MS)
        at_ms = self._last_hook_ms = max(now_ms + delay_ms, self._last_hook_ms + 1)
        self._plan(at_ms, "hook", told)
        if "webhook_doubled" in faults:
            self._plan(at_ms + _AGAIN_MS, "hook", (None, None, context))
        if "webhook_stale_locked" in faults and cause == "door":
            self._plan(at_ms + _STALE_AGAIN_MS, "again", context)
        if "bounce_0p9s" in faults and word == "UNLOCKED" and cause == "lock":
            later = context | {"timeOfSample": now_ms + _BOUNCE_MS, "lockState": "LOCKED"}
            self._plan(at_ms + _BOUNCE_MS, "hook", (None, None, later))

    def _leave(self, context: Mapping[str, object], now_ms: int) -> bool:
        """Let a webhook leave, if there is anywhere to go and nothing loses it."""
        del now_ms
        if not self._hook_url or self.faults & AWAY.keys():
            return False
        if "webhook_lost" in self.faults and self._rng.random() < _LOST_SHARE:
            return False
        headers = (("Content-Type", "application/json"),)
        self._messages.append(Webhook(self._hook_url, hook_body(context), "POST", headers))
        return True

    def _say(self, told: tuple[str | None, object, Mapping[str, object]], now_ms: int) -> None:
        """A webhook leaves, and tells what is still so; nobody takes its LOCKED for locked."""
        cause, value, context = told
        if not self._leave(context, now_ms) or self.faults & _DISBELIEVED:
            return
        if cause == "lock" and value == self._bolt and SEEN[self._bolt][0] == "Unlocked":
            clear = not self.model.hook_contact or now_ms - self._door_moved_ms > _DOORS_MS
            self._truth("lock_state", "Unlocked", now_ms, sent=clear)
        elif cause == "door" and value == self._door_seen:
            self._door_truth(now_ms, sent=True)

    # --- the motor, and people ---

    def _run(self, plan: _Plan) -> None:
        match plan.what:
            case "arrive":
                self._rest("jammed" if plan.about else self._target, plan.at_ms)
            case "hook":
                self._say(plan.about, plan.at_ms)
            case "again":  # the same once more, with a new time, and the door as it is
                now = "OPENED" if self._contact_open else "CLOSED"
                again = {**plan.about, "timeOfSample": plan.at_ms, "doorState": now}
                self._say((None, None, again), plan.at_ms)
            case "shut":
                self._door_open = False
                self._door_moved(plan.at_ms)
            case "key":
                self._key_changed(plan.about, plan.at_ms)

    def _go(self, target: str, now_ms: int, *, jam: bool = False) -> None:
        """Start to move, or turn round: the newest order wins."""
        moving = self._bolt in ("locking", "unlocking")
        if self.faults & {"uncalibrated"} or self._rested == "jammed":
            return
        if (self._target if moving else self._bolt) == target:
            return
        self._drop("arrive")
        self._target = target
        self._bolt = "locking" if target == "locked" else "unlocking"
        self._state_truths(now_ms)
        self._plan(now_ms + self._rng.randint(*_TRAVEL_MS), "arrive", jam)

    def _rest(self, bolt: str, now_ms: int) -> None:
        self._drop("arrive")
        self._bolt = self._rested = self._target = bolt
        if self._battery > 1 and not self._drained and self._rng.random() < 0.1:  # noqa: PLR2004 -- a guess
            self._battery -= 1
            self._battery_truths(now_ms)
        self._state_truths(now_ms)
        self._report("lock", now_ms)

    def _hand(self, now_ms: int) -> None:
        """Turned by hand: the bolt is elsewhere at once."""
        if self._bolt in ("locking", "unlocking", "jammed") or "uncalibrated" in self.faults:
            return
        self._rest("unlocked" if self._bolt == "locked" else "locked", now_ms)

    def _door(self, now_ms: int) -> None:
        if not self._door_open:
            self._door_open = True
            self._door_moved(now_ms)
            self._plan(now_ms + self._rng.randint(*_OPEN_MS), "shut")

    def _door_moved(self, now_ms: int) -> None:
        if self._stated.get("door_state", (None, False))[0] != self._door_seen:
            self._door_truth(now_ms)
            self._door_moved_ms = now_ms
            self._report("door", now_ms)

    def _guest(self, now_ms: int) -> None:
        """A booking service with the same account hands out a passcode, or takes it back."""
        if self.keypad is not None:
            word, parameter = self.keypad.guest(now_ms)
            self.change_key(word, parameter, now_ms)

    def _key_changed(self, change: Any, now_ms: int) -> None:  # noqa: ANN401 -- the keypad's own
        assert self.keypad is not None
        context = self.keypad.carry_out(change, now_ms)
        self._key_truths(now_ms)
        if self._leave(context, now_ms) and context["result"] == "success":
            # The vendor's id of a command is in the text, not a key by which it is asked again.
            self._truths.append(Truth(self.name, "credential.changed", None, now_ms, sent=True))

    # --- what goes wrong ---

    def _break(self, fault: str, now_ms: int) -> None:
        self._stuck_open = self._contact_open
        self.faults.add(fault)
        if fault == "jammed":
            self._rest("jammed", now_ms)
        elif fault in AWAY:
            self._truth("reachability", "Offline", now_ms)
        elif fault in ODD or fault.startswith(("rate", "unauth")):
            self._truth("reachability", None, now_ms)
        self._door_moved(now_ms)
        self._state_truths(now_ms)

    def _heal(self, fault: str, now_ms: int) -> None:
        self.faults.discard(fault)
        if fault == "jammed" and self._bolt == "jammed":
            self._rest("unlocked", now_ms)
        self._truth("reachability", "Online", now_ms)
        self._door_moved(now_ms)
        self._state_truths(now_ms)


# --- the module's side ------------------------------------------------------------------------

#: One account, one cloud.
atom = one_hub


def fleet(spec: FleetSpec, rng_for: RandomFor) -> Sequence[Lock]:
    """Locks of one account, of each model in turn; options: see `account.Profile`.

    Raises:
        ConfigError: an option that does not exist, or cannot be so.
    """
    profile = _profile(spec)
    locks = []
    for number in spec.members:
        name = f"B0E9FE{number:06X}"
        rng = rng_for(name)
        keypad = Keypad(f"F75A1C{number:06X}", rng, profile.secret) if profile.keypads else None
        locks.append(Lock(name, MODELS[(number - 1) % len(MODELS)], keypad, rng))
    name = f"{spec.prefix}-cloud"
    cloud = Cloud(name, locks, profile, rng_for(f"hub/{name}"))
    for lock in locks:
        lock.hub = cloud
    return locks


def _profile(spec: FleetSpec) -> Profile:
    try:
        return Profile.of(spec.options, spec.prefix, spec.count)
    except ValueError as problem:
        raise ConfigError((f"switchbot: {problem}",)) from None


def gateway_settings(spec: FleetSpec, at: Addresses) -> Mapping[str, object]:
    """A cell with this account's token and secret, and the quota that its cloud has."""
    profile = _profile(spec)
    settings: dict[str, object] = {
        "url": at.hubs.get(f"{spec.prefix}-cloud", "https://127.0.0.1"),
        "token": profile.token,
        "secret": profile.secret,
        "quota_per_day": profile.quota_per_day,
        "rate_per_s": max(5.0, float(spec.count)),
        "webhook_bind": "127.0.0.1:0",
        "webhook_key": profile.hook_key,
        "webhook_replace": True,
        "code_slots": account.SLOTS,
        "poll_min_ms": account.DEMO_POLL_MS,
    }
    if at.ca_file:
        settings["ca_file"] = at.ca_file
    return settings
