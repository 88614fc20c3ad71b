"""A simulated opener: its board and door, its people, its faults, and what it tells of them; pure.

Source: see `board`; what people do all day is a guess.
"""

from collections.abc import Callable, Mapping
from typing import Final

from devices.reading import Value
from vendors.opengarage import board as boards
from vendors.opengarage.board import Board
from vendors.sim import (
    Chance,
    Effects,
    Hub,
    Message,
    MqttSession,
    Publish,
    Truth,
    deed,
)

#: What these openers are known to do wrong, each with where it was seen.
FAULTS: Final[Mapping[str, str]] = {
    "blocked": "the motor moves nothing, and the state never changes (home-assistant/core#46474)",
    "no_internet": "waits for a clock, so half of the calls fail (OpenGarage-Firmware#90)",
    "latched": "the distance stays at 20 cm, `open`, until a restart (OpenGarage-Firmware#121)",
    "no_echo": "`rcnt` goes on, the distance is the last one (OpenGarage-Firmware#106)",
    "zero_distance": "no distance: all it says of the door is old (OpenGarage-Firmware#56)",
    "port_scan": "open and closed again, and nothing moved (OpenGarage-Firmware#11)",
    "half_way": "something in its way: the sensor says closed (OpenGarage-Firmware#52)",
    "deaf": "a command is accepted and nothing follows (OpenGarage-Firmware#24)",
    "no_moving_states": "steady states only, with Security+ too (OpenGarage-Firmware#48)",
    "long_alarm": "beeps for 10.5 s instead of 5.5 s before it presses (`alm` = 2, main.cpp)",
    "key_changed": "somebody changed the device key: result 2 (`/co`, api.md section 5)",
    "strange_name": "a name with quotes, written as it is (main.cpp `sta_controller_fill_json`)",
    "climate_sensor": "a longer document: over MQTT it is lost (PubSubClient's 256 bytes)",
}
#: Those that a gateway at work cannot notice at the first device of a fleet.
QUIET_FAULTS: Final[Mapping[str, str]] = {
    "no_moving_states": "its opener has no Security+, and so no moving states to miss",
}
#: Which kinds of the catalogue these are.
KINDS: Final[Mapping[str, str]] = {
    "jam": "blocked",
    "obstruction": "half_way",
    "sensor_latched": "latched",
    "phantom_event": "port_scan",
    "stale_state": "no_echo",
    "accepted_not_executed": "deaf",
}
#: What of the world around them they tell.
WORLD: Final = frozenset({"firmware"})

#: The factory's.
KEY: Final = "opendoor"
_KEEPALIVE_S: Final = 15
_RECONNECT_S: Final = 60.0
# `force_mqtt_update_timeout` is now + 15, met by the first cycle beyond it.
_TELL_MS: Final = 16_000
# PubSubClient's default buffer; 7 is its own share of a packet.
_BUFFER_BYTES: Final = 256
_HEADER_BYTES: Final = 7
_RESTART_MS: Final = 1_000
#: How long a ceiling sensor must have said closed: the settings' default, in ms.
_SETTLED_MS: Final = 30_000
_DRIVE_MS: Final = (30_000, 300_000)
_BEAM_MS: Final = (2_000, 20_000)
_LATCHED_CM: Final = 20
_SCANNED_MS: Final = 4_000
_SCAN_MS: Final = (20_000, 60_000)
_STRANGE: Final = 'Bob\'s "big" door","door":0,"x":"\\'

#: What a consumer must come to see: the simulator's own table, not the codec's.
_MOTOR: Final = ("main_state", "position", "target_position")
HEARD: Final[Mapping[int, tuple[str | None, str | None, str | None]]] = {
    boards.CLOSED: ("Stopped", "FullyClosed", "None"),
    boards.OPEN: ("Stopped", "FullyOpened", "None"),
    boards.STOPPED: ("Stopped", "PartiallyOpened", "None"),
    boards.CLOSING: ("Moving", "PartiallyOpened", "MoveToFullyClosed"),
    boards.OPENING: ("Moving", "PartiallyOpened", "MoveToFullyOpen"),
    boards.UNKNOWN: (None, None, None),
}
_STATES: Final[Mapping[int, str]] = {
    boards.CLOSED: "CLOSED",
    boards.OPEN: "OPEN",
    boards.STOPPED: "STOPPED",
}


class Opener:
    """One opener with its door: a `vendors.sim.SimDevice`."""

    serial: int | None = None

    def __init__(self, name: str, rng: Chance, board: Board, *, mqtt: bool) -> None:
        self.name = name
        self.board = board
        self.key = KEY
        self.faults: set[str] = set()
        self.hub: Hub | None = None
        self.session: MqttSession | None = None
        if mqtt:
            self.session = MqttSession(
                client_id=f"OG_{board.mac.replace(':', '')[6:]}",
                keepalive_s=_KEEPALIVE_S,
                subscriptions=((name, 0), (f"{name}/IN/#", 0)),
                will=Publish(f"{name}/OUT/STATUS", b"offline", qos=1, retain=True),
                reconnect_s=_RECONNECT_S,
            )
        self._alarm_s = board.alarm_s
        self._rng = rng
        self._powered = False
        self._linked = False
        self._quiet = 0
        self._told_ms = 0
        self._plans: dict[str, int] = {}
        self._closed_since_ms: int | None = None
        self._seen_open = False
        self._stated: dict[str, Value] = {}
        self._sent: dict[str, Value] = {}
        self._messages: list[Message] = []
        self._truths: list[Truth] = []

    # --- SimDevice ---

    def connected(self, now_ms: int) -> Effects:
        """Power on, or the broker is there: it says no more than that it is online."""
        if self._powered:
            self.catch_up(now_ms)
        else:
            self._restart(now_ms)
        self._linked = self.session is not None
        self._say("OUT/STATUS", b"online", retain=True)
        self._state("reachability", "Online", now_ms, sent=self._linked)
        return self.effects(now_ms)

    def disconnected(self, now_ms: int) -> Effects:
        """Cut off; the board goes on without a broker, and a server is without power."""
        self._linked = False
        self.catch_up(now_ms)
        self._powered = self.session is not None
        self._state("reachability", "Offline", now_ms, sent=False)
        return self.effects(now_ms)

    def receive(self, message: Publish | bytes, now_ms: int) -> Effects:
        """`IN/STATE`, or the old word `Button` on any topic; the rest is ignored."""
        self.catch_up(now_ms)
        if isinstance(message, Publish) and self._linked:
            word = message.payload.decode(errors="replace")
            if word == "Button":
                self.order(boards.TOGGLE, now_ms)
            elif message.topic == f"{self.name}/IN/STATE":
                self.order(word, now_ms)
        return self.effects(now_ms)

    def wake(self, now_ms: int) -> Effects:
        """Carry out what is due, in the order it was due."""
        self.catch_up(now_ms)
        return self.effects(now_ms)

    def act(self, habit: str, now_ms: int) -> Effects:
        """One of `HABITS`, or `fault:<name>` / `heal:<name>`."""
        self.catch_up(now_ms)
        self._quiet = 0
        verb, fault = deed(habit, FAULTS, WORLD)
        if verb == "firmware":  # `1.2.5` is told as the number 125
            self.board.firmware = "".join(filter(str.isdecimal, fault)) or "0"
        elif verb:
            {"fault": self._break, "heal": self._heal}[verb](fault, now_ms)
        else:
            _PEOPLE[habit](self, now_ms)
        self._look(now_ms, sent=False)
        return self.effects(now_ms)

    def effects(self, now_ms: int) -> Effects:
        """All that came of it since the last time."""
        due = [at_ms for at_ms, _ in self._due() if at_ms > now_ms]
        effects = Effects(tuple(self._messages), tuple(self._truths), min(due, default=None))
        self._messages.clear()
        self._truths.clear()
        return effects

    # --- what happens when ---

    def catch_up(self, now_ms: int) -> None:
        """Do all that was due by now, in its order."""
        while True:
            due = self._due()
            if self._powered and self._quiet >= boards.MEMORY:
                self.board.skip(min([now_ms, *(at_ms for at_ms, _ in due)]))
                due.append((self.board.next_cycle_ms(), "cycle"))
            at_ms, plan = min(due, default=(now_ms + 1, ""))
            if at_ms > now_ms:
                return
            self._quiet *= plan == "cycle"
            self._plans.pop(plan, None)
            self._run(plan, at_ms)
            self._look(at_ms, sent=False)

    def _due(self) -> list[tuple[int, str]]:
        """What is planned; the cycles of a board that finds nothing new are not, but one."""
        due = [(at_ms, plan) for plan, at_ms in self._plans.items()]
        if self.board.alarm_ends_ms is not None:
            due.append((self.board.alarm_ends_ms, "alarm"))
        if self._powered and self._quiet < boards.MEMORY:
            due.append((self.board.next_cycle_ms(), "cycle"))
        elif self._linked:
            due.append((max(self._told_ms + _TELL_MS, self.board.next_cycle_ms()), "cycle"))
        return due

    def _run(self, plan: str, at_ms: int) -> None:
        match plan:
            case "cycle":
                self._cycle()
            case "alarm":
                self.board.alarm_over()
            case "restart":
                self._restart(at_ms)
            case "shut":
                if self.board.door.word(at_ms) == "open":
                    self.board.door.press(at_ms)
            case "beam":
                self.board.beam_blocked = False
            case "scan":
                self.board.latched_cm = _LATCHED_CM
                self._plans["scanned"] = at_ms + _SCANNED_MS
            case "scanned":
                self.board.latched_cm = None
                self._plans["scan"] = at_ms + self._rng.randint(*_SCAN_MS)
            # "settled": a ceiling sensor's `closed` is old enough; `_look` sees that.

    def _restart(self, now_ms: int) -> None:
        self._powered = True
        self._quiet = 0
        self._told_ms = now_ms
        self.board.boot(now_ms)
        self._look(now_ms, sent=False)

    def _cycle(self) -> None:
        """One look of the board, and what it tells of it by itself."""
        board, at_ms = self.board, self.board.next_cycle_ms()
        event = board.cycle()
        still = event in {"remain", "none"} and board.door.ends_ms(at_ms) is None
        self._quiet = self._quiet + 1 if still else 0
        if not board.believed or (event not in {"just", "start"} and at_ms < self._tells_ms):
            return
        self._told_ms = at_ms
        state = _STATES.get(board.status)
        if event == "remain" and state is not None:
            self._say("OUT/STATE", state.encode())
            self._say("", state.capitalize().encode())
        told = self._say("OUT/JSON", board.document())
        if event == "just" and board.status in boards.NOTICES:
            self._say("OUT/NOTIFY", f"{board.name} {boards.NOTICES[board.status]}".encode())
        self._look(at_ms, sent=told and board.secv > 0)

    @property
    def _tells_ms(self) -> int:
        return self._told_ms + _TELL_MS

    # --- telling ---

    def _say(self, what: str, payload: bytes, *, retain: bool = False) -> bool:
        """Whether it left: what does not fit the buffer is dropped without a word."""
        topic = f"{self.name}/{what}" if what else self.name
        if not self._linked or _HEADER_BYTES + len(topic) + len(payload) > _BUFFER_BYTES:
            return False
        self._messages.append(Publish(topic, payload, retain=retain))
        return True

    def _look(self, now_ms: int, *, sent: bool) -> None:
        """State what has become of it; `sent`: all of it has just left."""
        board = self.board
        heard = HEARD[board.status if board.believed else boards.UNKNOWN]
        axes: dict[str, Value] = dict(zip(_MOTOR, heard, strict=True))
        if not board.secv:
            axes = {"main_state": None, "position": self._seen(now_ms), "target_position": None}
        elif board.status == boards.UNKNOWN:
            axes |= {"light": None, "remote_lockout": None, "obstruction": None}
        else:
            axes["light"] = "On" if board.lit else "Off"
            axes["remote_lockout"] = "Locked" if board.locked_out else "Unlocked"
            axes["obstruction"] = "BlockedBySensor" if board.beam_blocked else "Clear"
        for axis, value in axes.items():
            self._state(axis, value, now_ms, sent=sent)

    def _seen(self, now_ms: int) -> str | None:
        """Where the door is, for one that only sees it."""
        board = self.board
        shown = board.status if board.believed else boards.UNKNOWN
        if shown != boards.CLOSED:
            self._closed_since_ms = None
            self._plans.pop("settled", None)
            self._seen_open |= shown == boards.OPEN
            opened = "FullyOpened" if board.sensor == "ceiling" else "NotFullyClosed"
            return opened if shown == boards.OPEN else None
        if self._closed_since_ms is None:
            self._closed_since_ms = now_ms
            self._plans["settled"] = now_ms + _SETTLED_MS
        if board.sensor != "ceiling" or now_ms - self._closed_since_ms >= _SETTLED_MS:
            self._seen_open = False
            return "FullyClosed"
        # Of a door that it was not seen to leave, nobody knows where it is.
        return "PartiallyOpened" if self._seen_open else None

    def _state(self, axis: str, value: Value, now_ms: int, *, sent: bool) -> None:
        """A truth if it is otherwise than last stated, or told for the first time."""
        stated = axis in self._stated and self._stated[axis] == value
        if stated and (not sent or (axis in self._sent and self._sent[axis] == value)):
            return
        if sent:
            self._sent[axis] = value
        self._stated[axis] = value
        self._truths.append(Truth(self.name, axis, value, now_ms, sent))

    # --- being asked ---

    def order(self, word: str, now_ms: int) -> None:
        """A word of `IN/STATE`; unknown ones are ignored."""
        if "deaf" in self.faults:
            return
        self._quiet = 0
        board = self.board
        if word in {boards.TOGGLE, boards.OPEN_IT, boards.CLOSE}:
            board.order(word, now_ms)
        elif word == "togglelight" and board.secv:
            board.lit = not board.lit
        elif word == "togglelock" and board.secv:
            board.locked_out = not board.locked_out
        self._look(now_ms, sent=False)

    def restart_soon(self, now_ms: int) -> None:
        """Somebody asked for a restart."""
        self._plans["restart"] = now_ms + _RESTART_MS

    # --- people ---

    def wall_button(self, now_ms: int) -> None:
        """One press; a remote control does the same."""
        self.board.door.press(now_ms)

    def come_home(self, now_ms: int) -> None:
        """With the car, and the door is shut behind it in a while."""
        self._drive(now_ms, there=True)

    def leave(self, now_ms: int) -> None:
        """With the car."""
        self._drive(now_ms, there=False)

    def _drive(self, now_ms: int, *, there: bool) -> None:
        if self.board.door.word(now_ms) != "closed":
            return
        self.board.car = there
        self.wall_button(now_ms)
        self._plans["shut"] = now_ms + self._rng.randint(*_DRIVE_MS)

    def lamp(self, now_ms: int) -> None:
        """The wall panel's switch for the lamp."""
        del now_ms
        self.board.lit = not self.board.lit

    def lock_out(self, now_ms: int) -> None:
        """The wall panel's switch for the radio remotes."""
        del now_ms
        self.board.locked_out = not self.board.locked_out

    def beam(self, now_ms: int) -> None:
        """Somebody stands in the photo eye for a moment."""
        self.board.beam_blocked = True
        self._plans["beam"] = now_ms + self._rng.randint(*_BEAM_MS)

    # --- what goes wrong ---

    def _break(self, fault: str, now_ms: int) -> None:
        self.faults.add(fault)
        board = self.board
        match fault:
            case "blocked":
                board.door.blocked = True
            case "no_echo":
                board.latched_cm = board.distance_cm or _LATCHED_CM
            case "port_scan":
                self._plans["scan"] = now_ms + self._rng.randint(*_SCAN_MS)
            case "half_way":
                board.door.lie_in_the_way(board.door.travel_ms // 2, now_ms)
            case "key_changed":
                self.key = "changed"
            case _ if fault in _SWITCHES:
                name, broken, _ = _SWITCHES[fault]
                setattr(board, name, broken)
            # "no_internet" and "deaf" are looked at when something is asked.

    def _heal(self, fault: str, now_ms: int) -> None:
        self.faults.discard(fault)
        board = self.board
        match fault:
            case "blocked":
                board.door.blocked = False
            case "half_way":
                board.door.lie_in_the_way(0, now_ms)
            case "key_changed":
                self.key = KEY
            case "long_alarm":
                board.alarm_s = self._alarm_s
            case "no_echo" | "port_scan":
                board.latched_cm = None
                self._plans.pop("scan", None)
                self._plans.pop("scanned", None)
            case _ if fault in _SWITCHES:
                name, _, whole = _SWITCHES[fault]
                setattr(board, name, whole)
        if fault == "latched":
            self._restart(now_ms)


#: Faults that are one attribute of the board: its name, its value meanwhile, and afterwards.
_SWITCHES: Final[Mapping[str, tuple[str, object, object]]] = {
    "latched": ("latched_cm", _LATCHED_CM, None),
    "zero_distance": ("latched_cm", 0, None),
    "no_moving_states": ("muffled", True, False),
    "long_alarm": ("alarm_s", 10, 5),
    "strange_name": ("name", _STRANGE, boards.NAME),
    "climate_sensor": ("climate", True, False),
}
_PEOPLE: Final[Mapping[str, Callable[[Opener, int], None]]] = {
    "come_home": Opener.come_home,
    "leave": Opener.leave,
    "wall_button": Opener.wall_button,
    "lamp": Opener.lamp,
    "beam": Opener.beam,
    "lock_out": Opener.lock_out,
}
