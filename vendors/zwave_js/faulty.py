"""What such locks and their network are known to do wrong, acted out by a simulated lock; pure."""

from collections.abc import Mapping
from typing import Final

from vendors.sim import Effects, deed
from vendors.zwave_js.lock import Lock
from vendors.zwave_js.memory import LOCK_STATE, SECURED, UNKNOWN, USER_CODE

#: Each with where it was seen; Z1 to Z9 of our notes.
FAULTS: Final[Mapping[str, str]] = {
    "jam_sticks": "Z1: the jam variable stays after recovery (zwave-js/zwave-js#2856)",
    "jam_idles": "Z1: a timer ends a jam that persists after 5 min (zwave-js/zwave-js#1543)",
    "jam_as_unknown": "Z2: a jam is mode 254, its variable stays idle (home-assistant/core#66525)",
    "notification_only": "Z3: a hand is a notification, no state (zwave-js-ui#441, zwave-js#1478)",
    "silent_hand": "Z3: a hand at the lock is not reported at all (zwave-js-ui#706, zwave-js#5079)",
    "ignores_first": "Z4: a command is answered by the old state, the next works (zwave-js-ui#569)",
    "presumed_dead": "Z5: no acknowledgement, dead after 3 tries, stalls all, yet reports"
    " (zwave-js-ui#2126, zwave-js#4483)",
    "false_locked": "Z6: says locked and is not, until its battery is pulled (core#17838)",
    "codes_garbled": "Z7: free and extra slots turn into 000000 (zwave-js/zwave-js#5260)",
    "codes_lost": "Z7: a new interview loses the codes (zwave-js/zwave-js#3484)",
    "bolt_silent": "Z8: boltStatus silently stops (domoticz/domoticz#6377)",
    "report_lost": "Z9: the assumed mode comes before any motion, and no report after it (traced)",
}
#: Which kinds of the catalogue these are.
KINDS: Final[Mapping[str, str]] = {
    "jam": "jam_sticks",
    "sensor_latched": "false_locked",
    "stale_state": "silent_hand",
    "contradictory_state": "jam_as_unknown",
    "accepted_not_executed": "ignores_first",
    "executed_not_answered": "presumed_dead",
}
#: What of the world around them they tell.
WORLD: Final = frozenset({"battery", "firmware"})

_GARBLED: Final = "000000"
_EXTRA_SLOT: Final = 5
_IDLE_MS: Final = 300_000


class FaultyLock(Lock):
    """A lock that can be broken and healed."""

    def act(self, habit: str, now_ms: int) -> Effects:
        """A habit, or `fault:<name>` / `heal:<name>`."""
        verb, fault = deed(habit, FAULTS, WORLD)
        if not verb:
            return super().act(habit, now_ms)
        self.now_ms = now_ms
        if verb == "battery":
            self._drained = True
            self._left(int(fault), now_ms)
        elif verb == "firmware":
            self.firmware = fault
        else:
            {"fault": self._break, "heal": self._heal}[verb](fault, now_ms)
        return self.effects()

    def _break(self, fault: str, now_ms: int) -> None:
        self.faults.add(fault)
        match fault:
            case "jam_sticks" | "jam_idles" if not self._busy:
                self._bolt_sticks(now_ms)
            case "jam_as_unknown" if not self._busy:
                self._mode = UNKNOWN
                self._report(now_ms)
            case "codes_garbled":
                for slot in (1, 4, _EXTRA_SLOT):
                    if slot not in self._codes:
                        self._codes[slot] = _GARBLED
                        self._tell_slot(slot, now_ms)
            case "codes_lost":
                self._interview(now_ms)
            case "notification_only" | "silent_hand":
                self._turn(now_ms)
            case "ignores_first":
                self._ignored = False

    def _heal(self, fault: str, now_ms: int) -> None:
        self.faults.discard(fault)
        match fault:
            case "jam_sticks" | "jam_idles":
                self._plans.pop("idle", None)
                if not self._busy:
                    self._free(now_ms)
            case "jam_as_unknown" | "false_locked" | "bolt_silent" if not self._busy:
                self._mode = SECURED if self._bolt == "locked" else 0
                self._report(now_ms)
            case "codes_garbled":
                for slot in [slot for slot, code in self._codes.items() if code == _GARBLED]:
                    del self._codes[slot]
                    self._tell_slot(slot, now_ms)
            case "notification_only" | "silent_hand" | "report_lost" if not self._busy:
                self._report(now_ms)
            case "codes_lost":
                for cc, name, key in list(self.values):
                    if (cc, name) == (USER_CODE, "userIdStatus") and isinstance(key, int):
                        self._tell_slot(key, now_ms)
            case _:
                pass

    # --- the bolt -----------------------------------------------------------------------------

    def _plan_arrive(self, now_ms: int) -> None:
        locking = self._target == SECURED
        if "ignores_first" in self.faults and not self._ignored:
            self._ignored = True
            self._report(now_ms)
        elif "false_locked" in self.faults and locking:
            self._mode = SECURED  # the motor ran, and moved nothing
            self._notify(3, now_ms)
            self._plans["report"] = now_ms + 300
        elif {"jam_sticks", "jam_idles"} & self.faults and locking:
            self._bolt_sticks(now_ms)
        elif "jam_as_unknown" in self.faults and locking:
            self._mode = UNKNOWN
            self._report(now_ms)
        elif "report_lost" in self.faults:
            self._move(self._target)
            self._truth_of_bolt(now_ms)
        else:
            self._ignored = False
            super()._plan_arrive(now_ms)

    def _claim(self) -> tuple[int, str]:
        if "false_locked" in self.faults and self._mode == SECURED:
            return SECURED, "locked"
        return super()._claim()

    def _bolt_sticks(self, now_ms: int) -> None:
        self._bolt, self._mode = "unlocked", 0
        self._jams(now_ms)
        if "jam_idles" in self.faults:
            self._plans["idle"] = now_ms + _IDLE_MS

    def _plan_idle(self, now_ms: int) -> None:
        """The timer of the driver, not the lock: nothing is known to be better."""
        if self.values[LOCK_STATE] != 0:
            self._set(LOCK_STATE, 0)
            if self._jam_known:
                self._truth("fault", None, now_ms)
            self._jam_known = False

    def _free(self, now_ms: int) -> None:
        self._set(LOCK_STATE, 0)
        self._jam_known = False
        self._truth("fault", "None", now_ms)
        self._report(now_ms)

    def _operate(self, event: int, now_ms: int, user: int | None = None) -> None:
        by_hand = event in (1, 2)
        if by_hand and not self._busy and "silent_hand" in self.faults:
            self._move(SECURED if event == 1 else 0)
            self._truth_of_bolt(now_ms)
        elif by_hand and not self._busy and "notification_only" in self.faults:
            self._move(SECURED if event == 1 else 0)
            self._notification(event, now_ms)
            self._truth_of_bolt(now_ms)
        else:
            super()._operate(event, now_ms, user)

    def _truth_of_bolt(self, now_ms: int) -> None:
        """Where the bolt is now, of which nobody is told."""
        seen = "Locked" if self._bolt == "locked" else "Unlocked"
        self._truth("lock_state", seen, now_ms, sent=False)
        self._truth("motion", "Idle", now_ms, sent=False)

    # --- codes --------------------------------------------------------------------------------

    def _interview(self, now_ms: int) -> None:
        """The driver asks everything anew, and has forgotten the codes."""
        self._event("interview started")
        for key in self.values:
            if key[0] == USER_CODE:
                self.values[key] = None
        self._event("ready", nodeState=self.number)
        self.remembered(now_ms)
