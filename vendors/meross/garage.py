"""A simulated garage door with its opener, people, and a contact of the shut place; pure.

Travel takes 12 to 30 s. Source: traces of meross_lan (a close measured at 32 s; durations set to
15 and 30 s); what people do is a guess.
"""

from collections.abc import Mapping
from typing import Final

from devices.reading import Value
from vendors.meross.box import Box, Contact
from vendors.sim import Chance, Effects, Hub, Message, MqttSession, Publish, Truth, deed

#: Rates per device and day.
HABITS: Final[Mapping[str, float]] = {"drive_in": 2.5, "drive_out": 2.5, "shut_by_hand": 1.0}
#: What of the world around them they tell.
WORLD: Final = frozenset({"firmware"})
#: How somebody at the door opens and closes it.
COURIER: Final = ("drive_in", "shut_by_hand")

#: What these units are known to do wrong, each with where it was seen.
FAULTS: Final[Mapping[str, str]] = {
    "sign_error": "paired anew, its key is another: 5001 (meross_lan#40, #653, #59, PR 7)",
    "clock_drift": "its clock is 15 s late (meross_lan#586)",
    "no_ntp": "it never learns the time and lives in 1970 (meross_lan#64)",
    "epoch_clock": "after a boot: 3 s after 1970, answers take 6 s (meross_lan's msg100 trace)",
    "stuck_half_way": "no travel ends (meross_lan#498; homebridge-meross#307, #302;"
    " meross-homeassistant#63, #20)",
    "shape_change": "an object where a list was, or the other way round (meross_lan#462)",
    "channel_zero": "a msg200 calls its doors channel 0 (meross_lan#498)",
    "deaf": "answers and obeys nobody, and tells (homebridge-meross#493, #285)",
    "unavailable": "not to be reached by us, while the vendor's app is"
    " (meross-homeassistant#225, #142)",
    "reboot_drops": "boots, then drops one question of three (meross_lan#132, msg100 trace)",
    "contact_stuck_shut": "reports shut whatever the door does (MerossIot#291)",
    "no_push": "no PUSH after a movement (meross_lan#415, #82)",
    "truncated": "answers are cut off: invalid JSON (meross_lan, answers above 2-4 kB)",
    "rate_limited": "beyond its quota it is silent (vendor statement quoted in meross_lan)",
    "replayed": "old pushes come again, with their messageId (MerossIot checks no freshness)",
}

#: Which kinds of the catalogue these are.
KINDS: Final[Mapping[str, str]] = {
    "stuck_moving": "stuck_half_way",
    "sensor_latched": "contact_stuck_shut",
    "phantom_event": "replayed",
    "stale_state": "no_push",
    "clock_skew": "clock_drift",
    "epoch_clock": "epoch_clock",
}
#: Faults of one door; the others are the unit's.
OF_THE_DOOR: Final = frozenset({"stuck_half_way", "contact_stuck_shut"})
#: Whatever ends these begins with a boot.
_BY_BOOT: Final = frozenset({"epoch_clock", "reboot_drops", "no_ntp"})
_TRAVEL_MS: Final = (12_000, 30_000)
_LEFT_OPEN_MS: Final = (60_000, 180_000)
_PAUSE_MS: Final = 30_000
_SHUT_AT_FIRST: Final = 0.8
#: What a consumer must come to see, by whether the contact is open; not the codec's table.
SEEN: Final[Mapping[bool, Mapping[str, str | None]]] = {
    False: {"position": "FullyClosed", "main_state": "Stopped"},
    True: {"position": "NotFullyClosed", "main_state": None},
}


class Garage:
    """One door of a unit: a `vendors.sim.SimDevice`.

    `box` is given by `fleet`, once the unit's doors are there. A door that has a `session` is the
    only one of its unit, and speaks for it.
    """

    serial: int | None = None

    def __init__(self, name: str, channel: int, rng: Chance) -> None:
        self.name = name
        self.channel = channel
        self.session: MqttSession | None = None
        self.hub: Hub | None = None
        self.box: Box
        self._rng = rng
        self._place = "shut" if rng.random() < _SHUT_AT_FIRST else "open"
        self._heading: str | None = None
        self._last_heading = "up" if self._place == "open" else "down"
        self._rests_since_ms = 0
        self._faults: set[str] = set()
        self._plans: dict[str, int] = {}
        self._reads_open = self.is_open
        self._changed_s = 0
        self._messages: list[Message] = []
        self._truths: list[Truth] = []
        self._stated: dict[str, Value] = {}
        self._sent: dict[str, Value] = {}

    # --- SimDevice ----------------------------------------------------------------------------

    def connected(self, now_ms: int) -> Effects:
        """The unit has a broker; the first time, power."""
        self.box.linked = True
        if self.box.has_booted:
            self._messages += self.box.announce(now_ms)
            self.stated(now_ms)
        else:
            self._messages += self.box.boot(now_ms)
            self.stated(now_ms, sent=self.box.is_heard)
        return self.effects()

    def disconnected(self, now_ms: int) -> Effects:
        """No will is known of these units: that it is gone shows in its silence."""
        self.box.linked = False
        self.box.outbox.clear()
        self.away(now_ms)
        return self.effects()

    def receive(self, message: Publish | bytes, now_ms: int) -> Effects:
        """A question or a command."""
        if isinstance(message, Publish) and self.box.linked:
            answer = self.box.answer(message.payload, now_ms)
            if answer is not None:
                self.box.outbox.put(
                    now_ms + answer.delay_ms,
                    lambda at_ms: Publish(answer.topic, answer.compose(at_ms), qos=1),
                )
        return self.effects(now_ms)

    def wake(self, now_ms: int) -> Effects:
        """Carry out what is due, in the order it was due."""
        while due := [(at_ms, plan) for plan, at_ms in self._plans.items() if at_ms <= now_ms]:
            at_ms, plan = min(due)
            del self._plans[plan]
            if plan == "arrive":
                self._arrive(at_ms)
            elif self._place == "open" and self._heading is None:
                self.press(at_ms)
        return self.effects(now_ms)

    def act(self, habit: str, now_ms: int) -> Effects:
        """One of `HABITS`, or `fault:<name>` / `heal:<name>`."""
        verb, fault = deed(habit, FAULTS, WORLD)
        if verb == "firmware":
            self.box.firmware = fault
        elif verb:
            {"fault": self._break, "heal": self._heal}[verb](fault, now_ms)
        elif habit not in HABITS:
            raise KeyError(habit)
        elif self._heading is None:  # nobody presses a button while the door moves
            self._use(habit, now_ms)
        return self.effects(now_ms)

    def effects(self, now_ms: int | None = None) -> Effects:
        """What became of it since this was last asked."""
        wakes = [*self._plans.values()]
        if self.session is not None:
            if now_ms is not None:
                self._messages += self.box.outbox.due(now_ms)
            if (at_ms := self.box.outbox.next_ms) is not None:
                wakes.append(at_ms)
        effects = Effects(tuple(self._messages), tuple(self._truths), min(wakes, default=None))
        self._messages.clear()
        self._truths.clear()
        return effects

    # --- the door -----------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """What the contact sees: it opens at once, and closes at the very end."""
        if "contact_stuck_shut" in self._faults:
            return False
        return self._place != "shut" or self._heading is not None

    @property
    def contact(self) -> Contact:
        """What the unit has of the door."""
        return Contact(self.channel, self.is_open, self._changed_s)

    def press(self, now_ms: int) -> None:
        """One pulse on the opener's button: go, stop, or go the other way."""
        if self._heading is not None:
            self._place, self._heading = "half", None
            self._plans.pop("arrive", None)
        else:
            self._heading = "down" if self._place == "open" else "up"
            if self._place == "half":
                self._heading = "down" if self._last_heading == "up" else "up"
            self._last_heading = self._heading
            self._plans["arrive"] = now_ms + self._rng.randint(*_TRAVEL_MS)
        self._rests_since_ms = now_ms
        self._look(now_ms)

    def _arrive(self, now_ms: int) -> None:
        heading, self._heading = self._heading, None
        self._place = "open" if heading == "up" else "shut"
        if "stuck_half_way" in self._faults:
            self._place = "half"
        self._rests_since_ms = now_ms
        self._look(now_ms)

    def _use(self, habit: str, now_ms: int) -> None:
        if habit == "shut_by_hand":
            if self._place == "open":
                self.press(now_ms)
        elif self._place == "shut" and now_ms - self._rests_since_ms >= _PAUSE_MS:
            self.press(now_ms)
            self._plans["shut"] = now_ms + _TRAVEL_MS[1] + self._rng.randint(*_LEFT_OPEN_MS)
        elif self._place == "open":
            self._plans.setdefault("shut", now_ms + self._rng.randint(*_LEFT_OPEN_MS))

    def _look(self, now_ms: int) -> None:
        """The unit looks at the contact, and tells what is new."""
        if self.is_open == self._reads_open:
            return
        self._reads_open = self.is_open
        self._changed_s = self.box.clock_ms(now_ms) // 1_000
        told = self.box.push(now_ms, self.channel)
        self._messages += told
        self.stated(now_ms, sent=bool(told) and self._is_understood)

    @property
    def _is_understood(self) -> bool:
        return self.box.is_heard and "channel_zero" not in self.box.faults

    # --- truths -------------------------------------------------------------------------------

    def stated(self, now_ms: int, *, sent: bool = False) -> None:
        """What is true of it now."""
        for axis, value in SEEN[self.is_open].items():
            self._truth(axis, value, now_ms, sent=sent)
        self._truth("reachability", "Online", now_ms, sent=sent)

    def away(self, now_ms: int) -> None:
        """The unit cannot be reached."""
        self._truth("reachability", "Offline", now_ms, sent=False)

    def _truth(self, axis: str, value: Value, now_ms: int, *, sent: bool) -> None:
        """A truth if it is otherwise than last stated, or told for the first time."""
        stated = axis in self._stated and self._stated[axis] == value
        if stated and (not sent or (axis in self._sent and self._sent[axis] == value)):
            return
        if sent:
            self._sent[axis] = value
        self._stated[axis] = value
        self._truths.append(Truth(self.name, axis, value, now_ms, sent))

    # --- what goes wrong ----------------------------------------------------------------------

    def _break(self, fault: str, now_ms: int) -> None:
        if fault in OF_THE_DOOR:
            self._faults.add(fault)
            self._look(now_ms)
            return
        self.box.faults.add(fault)
        if fault in _BY_BOOT and self.box.linked:
            self._messages += self.box.boot(now_ms)

    def _heal(self, fault: str, now_ms: int) -> None:
        if fault in OF_THE_DOOR:
            self._faults.discard(fault)
            self._look(now_ms)
            if self._place == "half" and self._heading is None:
                self._last_heading = "up"
                self.press(now_ms)  # somebody shuts it
            return
        self.box.faults.discard(fault)
        if self.box.linked:
            # It has the right time, key and broker again, and says so.
            self._messages += self.box.announce(now_ms)
