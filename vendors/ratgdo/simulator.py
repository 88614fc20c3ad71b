"""A simulated ratgdo board on a simulated opener; pure.

    people ─► opener (place, heading, lamp, lock-out, photo eye) ─► board ─► MQTT
                                   ▲                                  │
                                   └───────── one button ◄────────────┘

The board publishes what it heard of the opener, when that changed, and nothing ever twice: not
even after a reconnect. Truths are what it told, in axes; what it could not tell is `sent=False`.
Source: mqtt-ratgdo a8e213a (2.58), src/ratgdo.cpp, src/home_assistant.cpp.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from devices.errors import ConfigError
from vendors.ratgdo.discovery import FIRMWARE, announcements
from vendors.ratgdo.opener import PEOPLE, Opener
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

#: Rates per device and day. A household leaves and comes home twice; the rest is what happens.
HABITS: Final[Mapping[str, float]] = {
    "leave": 2.0,
    "come_home": 2.0,
    "left_open": 0.2,
    "close_up": 0.5,
    "wall_button": 0.3,
    "cross_beam": 1.0,
    "light_switch": 1.0,
    "lockout": 0.05,
    "walk_by": 4.0,
}

#: What a board or its opener is known to do wrong, each with where it was seen.
FAULTS: Final[Mapping[str, str]] = {
    "mute_door": "the door's status never comes, the others do (ratgdo/mqtt-ratgdo#71, #43)",
    "false_stop": "`stopped` of a closed door (home-assistant/core#104667)",
    "syncing": "`syncing`, then a false news of the old state (Kaldek/rat-ratgdo#89)",
    "blink_eye": "obstructed and clear at once, by a light command (PaulWieland/ratgdo#34, #198)",
    "latched_eye": "obstructed, with nothing there (PaulWieland/ratgdo#18; homekit-ratgdo32#162)",
    "flapping_eye": "the photo eye flaps several times a second (ratgdo/esphome-ratgdo#327)",
    "mqtt_dead": "connected and silent until it is rebooted (PaulWieland/ratgdo#37)",
    "moves_by_itself": "door moves and lock-out flips by itself (ratgdo/mqtt-ratgdo#11)",
    "deaf": "status works, commands are ignored (ratgdo/mqtt-ratgdo#90)",
    "stop_reverses": "a press while closing opens the door (ratgdo/mqtt-ratgdo#42)",
    "unheard": "what the keypad does is not heard (ratgdo/mqtt-ratgdo#85)",
    "query_lost": "a query makes all unknown, and no answer follows (ratgdo/mqtt-ratgdo#6)",
}
#: Which kinds of the catalogue these are.
KINDS: Final[Mapping[str, str]] = {
    "obstruction": "flapping_eye",
    "sensor_latched": "latched_eye",
    "phantom_event": "false_stop",
    "stale_state": "unheard",
    "accepted_not_executed": "deaf",
}
#: What of the world around them they tell.
WORLD: Final = frozenset({"firmware"})
#: How somebody at the door opens and closes it.
COURIER: Final = ("left_open", "close_up")

_PREFIX: Final = "home/garage/"
_KEEPALIVE_S: Final = 15
# bootstrapper: the pause between SUBSCRIBE and discovery; six sync frames 65 ms apart follow.
_PAUSE_MS: Final = 2_000
_SYNC_MS: Final = 390
_GUARD_MS: Final = 10_000
_ANSWER_MS: Final = (150, 600)
_SYNCING_MS: Final = (2_000, 5_000)
_FALSE_STOP_MS: Final = (1_000, 3_000)

_UNHEARD: Final = {
    "door": "unknown",
    "light": "unknown",
    "lock": "unknown",
    "obstruction": "unknown",
}

#: What a consumer must come to see for each word: the simulator's own table, not the codec's.
SEEN: Final[Mapping[str, Mapping[str, tuple[tuple[str, str | None], ...]]]] = {
    "door": {
        word: tuple(zip(("main_state", "position", "target_position"), values, strict=True))
        for word, values in {
            "open": ("Stopped", "FullyOpened", "None"),
            "closed": ("Stopped", "FullyClosed", "None"),
            "stopped": ("Stopped", "PartiallyOpened", "None"),
            "opening": ("Moving", "PartiallyOpened", "MoveToFullyOpen"),
            "closing": ("Moving", "PartiallyOpened", "MoveToFullyClosed"),
            "unknown": (None, None, None),
            "syncing": (None, None, None),
        }.items()
    },
    "light": {"on": (("light", "On"),), "off": (("light", "Off"),), "unknown": (("light", None),)},
    "lock": {
        "locked": (("remote_lockout", "Locked"),),
        "unlocked": (("remote_lockout", "Unlocked"),),
        "unknown": (("remote_lockout", None),),
    },
    "obstruction": {
        "obstructed": (("obstruction", "BlockedBySensor"),),
        "clear": (("obstruction", "Clear"),),
        "unknown": (("obstruction", None),),
    },
    "availability": {
        "online": (("reachability", "Online"),),
        "offline": (("reachability", "Offline"),),
    },
}

#: (topic, word) of a command: the words last heard under which nothing is pressed, and the
#: button. A toggle has no guard. Source: `openDoor`, `closeDoor`, `stopDoor`, `lightOn`, ….
COMMANDS: Final[Mapping[tuple[str, str], tuple[frozenset[str], Callable[[Opener, int], None]]]] = {
    ("door", "open"): (frozenset({"open", "opening"}), Opener.press),
    ("door", "close"): (frozenset({"closed", "closing"}), Opener.press),
    ("door", "stop"): (
        frozenset({"open", "closed", "stopped", "unknown", "syncing"}),
        Opener.press,
    ),
    ("door", "toggle"): (frozenset(), Opener.press),
    ("light", "on"): (frozenset({"on"}), Opener.light_switch),
    ("light", "off"): (frozenset({"off"}), Opener.light_switch),
    ("light", "toggle"): (frozenset(), Opener.light_switch),
    ("lock", "lock"): (frozenset({"locked"}), Opener.lockout),
    ("lock", "unlock"): (frozenset({"unlocked"}), Opener.lockout),
    ("lock", "toggle"): (frozenset(), Opener.lockout),
}


class Garage:
    """One board with its opener: a `vendors.sim.SimDevice`."""

    serial: int | None = None
    hub: Hub | None = None
    _firmware = FIRMWARE

    def __init__(self, name: str, rng: Chance, prefix: str = _PREFIX) -> None:
        self.name = name
        self._base = f"{prefix}{name}"
        self._rng = rng
        self._mac = ":".join(f"{rng.randrange(256):02X}" for _ in range(6))
        self.opener = Opener(rng)
        self.session: MqttSession | None = MqttSession(
            client_id=name,
            keepalive_s=_KEEPALIVE_S,
            subscriptions=((f"{self._base}/command/#", 0),),
            # Not retained, while the birth is: whoever comes later finds a dead board online.
            will=Publish(f"{self._base}/status/availability", b"offline", qos=1, retain=False),
        )
        self._heard = dict(_UNHEARD)
        self._linked = False
        self._born_ms: int | None = None
        self._synced = False
        self._guarded = True
        self._faults: set[str] = set()
        self._plans: dict[str, int] = {}
        self._sent: dict[str, str | None] = {}
        self._stated: dict[str, str | None] = {}
        self._messages: list[Message] = []
        self._truths: list[Truth] = []

    # --- SimDevice ---

    def connected(self, now_ms: int) -> Effects:
        """Subscribed; the firmware pauses before it says anything."""
        self._linked = True
        self._begin(now_ms)
        return self._effects()

    def disconnected(self, now_ms: int) -> Effects:
        """Without a link the firmware does nothing but try again: it does not even listen.

        The will is the broker's to publish, so its truth is not `sent` by us.
        """
        self._linked = False
        self._forget_link()
        self._state("availability", "offline", now_ms, sent=False)
        return self._effects()

    def receive(self, message: Publish | bytes, now_ms: int) -> Effects:
        """A command: dropped in silence unless every guard lets it through."""
        if not isinstance(message, Publish) or not self._linked:
            return self._effects()
        if self._faults & {"deaf", "mqtt_dead"}:
            return self._effects()
        # Until the first command was ever accepted, one right after the connect may be retained.
        # From then on a retained command is carried out at every reconnect.
        if self._guarded and (self._born_ms is None or now_ms - self._born_ms < _GUARD_MS):
            return self._effects()
        self._guarded = False
        what = message.topic.removeprefix(f"{self._base}/command/")
        word = message.payload.decode(errors="replace")
        guard, button = COMMANDS.get((what, word), (None, None))
        if word == "query":
            self._query(now_ms)
        elif guard is not None and button is not None and self._heard[what] not in guard:
            button(self.opener, now_ms)
        self._listen(now_ms)
        return self._effects()

    def wake(self, now_ms: int) -> Effects:
        """Carry out what is due, in the order it was due."""
        while (due := self._next()) is not None and due[0] <= now_ms:
            at_ms, plan = due
            if plan in self.opener.plans:
                self.opener.run(plan, at_ms)
            else:
                self._run(plan, at_ms)
            self._listen(at_ms)
        return self._effects()

    def act(self, habit: str, now_ms: int) -> Effects:
        """One of `HABITS`, or `fault:<name>` / `heal:<name>`."""
        verb, fault = deed(habit, FAULTS, WORLD)
        if verb == "firmware":  # told at its next birth, which follows its boot
            self._firmware = fault
        elif verb:
            {"fault": self._break, "heal": self._heal}[verb](fault, now_ms)
        elif habit == "walk_by":
            self._walk_by(now_ms)
        else:
            PEOPLE[habit](self.opener, now_ms)
        self._listen(now_ms)
        return self._effects()

    # --- the board ---

    def _begin(self, now_ms: int) -> None:
        self._forget_link()
        self._plans["birth"] = now_ms + _PAUSE_MS

    def _forget_link(self) -> None:
        self._born_ms = None
        self._synced = False
        self._plans.clear()

    def _next(self) -> tuple[int, str] | None:
        plans = {**self._plans, **self.opener.plans}
        return min(((at_ms, plan) for plan, at_ms in plans.items()), default=None)

    def _run(self, plan: str, at_ms: int) -> None:
        del self._plans[plan]
        if plan == "birth" and "mqtt_dead" not in self._faults:
            self._messages += announcements(self._base, self.name, self._mac, self._firmware)
            self._publish("availability", "online", at_ms)
            self._born_ms = at_ms
            self._plans["sync"] = at_ms + _SYNC_MS
        elif plan == "sync":
            self._synced = True
        # "answer": the opener has answered, and listening is resumed.

    def _deaf_to(self, what: str) -> bool:
        """Whether what the opener says of this does not get through to the broker now."""
        if not self._synced or self._faults & {"mqtt_dead", "query_lost", "unheard"}:
            return True
        # A question is on its way: until its answer the firmware knows nothing.
        return "answer" in self._plans or (what == "door" and "mute_door" in self._faults)

    def _listen(self, now_ms: int) -> None:
        """Hear the opener, and publish what is new."""
        for what, word in self._words().items():
            if self._deaf_to(what) or self._heard[what] == word:
                self._state(what, word, now_ms, sent=False)
            else:
                before = self._heard[what]
                self._publish(what, word, now_ms)
                if "false_stop" in self._faults and (before, word) == ("closing", "closed"):
                    self._false_stop(now_ms)
                elif "blink_eye" in self._faults and what == "light":
                    self._blink_eye(now_ms)

    def _words(self) -> dict[str, str]:
        """The opener's, as the board hears them: one that sleeps has no pulses of its eye."""
        latched = {"obstruction": "obstructed"} if "latched_eye" in self._faults else {}
        return {**self.opener.words(), **latched}

    def _publish(self, what: str, word: str, now_ms: int) -> None:
        if what in self._heard:
            self._heard[what] = word
        self._messages.append(Publish(f"{self._base}/status/{what}", word.encode(), retain=True))
        self._state(what, word, now_ms, sent=True)

    def _state(self, what: str, word: str, now_ms: int, *, sent: bool) -> None:
        """A truth for each axis that is otherwise than last stated, or told for the first time."""
        for axis, value in SEEN[what][word]:
            stated = axis in self._stated and self._stated[axis] == value
            if stated and (not sent or self._sent.get(axis, _UNHEARD) == value):
                continue
            if sent:
                self._sent[axis] = value
            self._stated[axis] = value
            self._truths.append(Truth(self.name, axis, value, now_ms, sent))

    def _effects(self) -> Effects:
        due = self._next()
        effects = Effects(tuple(self._messages), tuple(self._truths), due[0] if due else None)
        self._messages.clear()
        self._truths.clear()
        return effects

    def _query(self, now_ms: int) -> None:
        """All is unknown, and told so where it was not, until the opener answers."""
        if not self._synced:
            return
        for what, word in _UNHEARD.items():
            if self._heard[what] != word:
                self._publish(what, word, now_ms)
        self._plans["answer"] = now_ms + self._rng.randint(*_ANSWER_MS)

    def _walk_by(self, now_ms: int) -> None:
        """The wall panel's motion sensor, and the lamp goes on.

        `detected` is retained like every status; no `clear` ever follows.
        """
        told = self._synced and not self._faults & {"mqtt_dead", "unheard"}
        if told:
            self._messages.append(Publish(f"{self._base}/status/motion", b"detected", retain=True))
        self._truths.append(Truth(self.name, "motion.detected", None, now_ms, told))
        self.opener.light(now_ms, on=True)

    # --- what goes wrong ---

    def _break(self, fault: str, now_ms: int) -> None:
        self._faults.add(fault)
        match fault:
            case "false_stop":
                self._false_stop(now_ms)
            case "syncing" if self._synced:
                self._publish("door", "syncing", now_ms)
                self._plans["answer"] = now_ms + self._rng.randint(*_SYNCING_MS)
            case "blink_eye":
                self._blink_eye(now_ms)
            case "flapping_eye":
                self.opener.flap(now_ms)
            case "moves_by_itself":
                self.opener.press(now_ms)
                self.opener.lockout(now_ms)
            case "stop_reverses":
                self.opener.stop_reverses = True

    def _false_stop(self, now_ms: int) -> None:
        if self._synced and self._heard["door"] == "closed":
            self._publish("door", "stopped", now_ms)
            self._plans["answer"] = now_ms + self._rng.randint(*_FALSE_STOP_MS)

    def _blink_eye(self, now_ms: int) -> None:
        """Obstructed; that it is clear is heard at once."""
        if self._synced and self._heard["obstruction"] == "clear":
            self._publish("obstruction", "obstructed", now_ms)

    def _heal(self, fault: str, now_ms: int) -> None:
        self._faults.discard(fault)
        match fault:
            case "flapping_eye":
                self.opener.calm(now_ms)
            case "stop_reverses":
                self.opener.stop_reverses = False
            case "mqtt_dead":
                # It is rebooted, so it has forgotten all and tells all anew.
                self._heard = dict(_UNHEARD)
                self._sent.clear()
                self._guarded = True
                if self._linked:
                    self._begin(now_ms)


def fleet(spec: FleetSpec, rng_for: RandomFor) -> Sequence[Garage]:
    """Boards named `<prefix>-0001` and on; option `topic_prefix` is theirs in MQTT.

    Raises:
        ConfigError: an option that no board has.
    """
    unknown = sorted(set(spec.options) - {"topic_prefix"})
    if unknown:
        raise ConfigError((f"ratgdo: options {', '.join(unknown)}; there is only topic_prefix",))
    prefix = str(spec.options.get("topic_prefix", _PREFIX))
    names = [f"{spec.prefix}-{number:04d}" for number in spec.members]
    return [Garage(name, rng_for(name), prefix) for name in names]


def gateway_settings(spec: FleetSpec, at: Addresses) -> Mapping[str, object]:
    """A cell that listens to all boards below their prefix."""
    return {"url": at.broker, "prefix": str(spec.options.get("topic_prefix", _PREFIX))}
