"""The firmware of an OpenGarage board: its cycle, its sensor, its guard and its alarm; pure.

    every 2 s: distance ─► door ─► event ─► what is told
                  │ 0, or above 500 cm: the cycle ends here, and all stays as it was
Source: OpenGarage-Firmware bebb181, OpenGarage/main.cpp `check_status`, `check_door_event`,
    `performDoorAction`, `process_alarm`, `sta_controller_fill_json`; OpenGarage.h `set_alarm`.
"""

from typing import Final

from vendors.opengarage.door import DOWN, UP, Door
from vendors.sim import Chance

#: `checkstatus_timeout` is now + `riv`, and the next cycle comes when the time is *beyond* it.
CYCLE_MS: Final = 2_000
# Seven readings, one every 500 ms, fill the buffer; a cycle before that looks at nothing.
_BUFFER_MS: Final = 3_500
_HALF_SECOND_MS: Final = 500
_PULSE_MS: Final = 1_000
_THRESHOLD_CM: Final = 50
_VEHICLE_CM: Final = 150
_DISTANCE_MAX_CM: Final = 500
_READS: Final = 100
# A history of 4 bits: two alike after two of the other kind are an event.
_HISTORY: Final = 0b1111
_JUST_OPENED: Final = 0b0011
_JUST_CLOSED: Final = 0b1100
#: After so many cycles without a change nothing in it depends on the past.
MEMORY: Final = 6

CLOSED, OPEN, STOPPED, CLOSING, OPENING, UNKNOWN = range(6)
_NUMBERS: Final = {
    "closed": CLOSED,
    "open": OPEN,
    "stopped": STOPPED,
    "closing": CLOSING,
    "opening": OPENING,
}
_AT_REST: Final = frozenset({CLOSED, OPEN, STOPPED})
NAME: Final = "My OpenGarage"  #: The factory's.
#: What is sent with the name when a door has just come to rest.
NOTICES: Final = {OPEN: "just OPENED!", CLOSED: "just CLOSED!", STOPPED: "just STOPPED!"}
#: Where `open` and `close` are let through without Security+ 2.0.
_OPENABLE: Final = frozenset({CLOSED, CLOSING})
_CLOSABLE: Final = frozenset({OPEN, STOPPED})
TOGGLE, CLOSE, OPEN_IT = "click", "close", "open"


class Board:
    """One board on one door.

    Attributes:
        secv: Security+ of the opener: 0 none, 1 or 2.
        sensor: `ceiling`, `side` or `switch`, as the gateway's setting of that name.
        alarm_s: 0, 5 or 10: how long it beeps before it presses.
        climate: a fault's: a temperature sensor makes the document longer.
        latched_cm: a fault's: the distance sensor says this and nothing else.
        muffled: a fault's: the motor's moving states are not heard.
        status: `door_status`.
        firmware: its version, as the number that it tells.
    """

    firmware = "124"

    def __init__(  # noqa: PLR0913 -- by keyword: how it is fitted
        self, door: Door, rng: Chance, *, mac: str, secv: int, sensor: str, alarm_s: int
    ) -> None:
        self.door = door
        self.secv = secv
        self.sensor = sensor
        self.alarm_s = alarm_s
        self.climate = False
        self.latched_cm: int | None = None
        self.muffled = False
        self.lit = self.locked_out = self.beam_blocked = False
        self.name = NAME
        self.mac = mac
        self.car = rng.random() < 0.5  # noqa: PLR2004 -- as likely as not
        self._near_cm, self._far_cm = rng.randint(15, 30), rng.randint(190, 260)
        self._car_cm = rng.randint(100, 140)
        self.opening_count = rng.randrange(60_000)
        self.status = UNKNOWN
        self.distance_cm = 0
        self.blocked_until_ms = 0
        self.alarm_ends_ms: int | None = None
        self._alarm_action = TOGGLE
        self._last = UNKNOWN
        self._history = 0
        self._reads = 0
        self._booted_ms = 0
        self._cycles = 0
        self._fresh = True

    def boot(self, now_ms: int) -> None:
        """Power on, or a restart: all is forgotten."""
        self.status = self._last = UNKNOWN
        self.alarm_ends_ms = None
        self._history = self._reads = self._cycles = 0
        self._booted_ms, self._fresh = now_ms, True
        self.distance_cm = 0

    # --- its cycle ---

    def next_cycle_ms(self) -> int:
        """When it looks again."""
        return self._booted_ms + (self._cycles + 1) * CYCLE_MS

    def skip(self, before_ms: int) -> None:
        """Pass over the cycles before then, in which nothing changes."""
        idle = -((self.next_cycle_ms() - before_ms) // CYCLE_MS)
        if idle > 0:
            self._cycles += idle
            if self.believed:
                self._reads = (self._reads + idle) % _READS

    def cycle(self) -> str:
        """Look once; gives what became of the door: `none`, `remain`, `just` or `start`."""
        at_ms = self.next_cycle_ms()
        self._cycles += 1
        self._last = self.status
        if at_ms - self._booted_ms < _BUFFER_MS:
            return "none"
        self.distance_cm = self._distance(at_ms)
        if not self.believed:
            return "none"
        self.status = self._heard(at_ms) if self.secv else self._looked_at(at_ms)
        self._reads = (self._reads + 1) % _READS
        if self.status == OPENING != self._last:
            self.opening_count += 1
        if self._fresh:  # the first time is no change
            self._fresh, self._last = False, self.status
            self._history = _HISTORY if self.status else 0
        else:
            self._history = (self._history << 1 | (self.status == OPEN)) & _HISTORY
        return self._event()

    @property
    def believed(self) -> bool:
        """Whether its last reading was one; if not, all that it says of the door is old."""
        return self.sensor == "switch" or 0 < self.distance_cm <= _DISTANCE_MAX_CM

    def _distance(self, at_ms: int) -> int:
        if self.latched_cm is not None:
            return self.latched_cm
        if self.sensor == "side":
            return self._near_cm if self.door.place_ms(at_ms) == 0 else self._far_cm
        if self.door.overhead(at_ms):
            return self._near_cm
        return self._car_cm if self.car else self._far_cm

    def _looked_at(self, at_ms: int) -> int:
        if self.sensor == "switch":
            return CLOSED if self.door.place_ms(at_ms) == 0 else OPEN
        near = self.distance_cm <= _THRESHOLD_CM
        return OPEN if near == (self.sensor == "ceiling") else CLOSED

    def _heard(self, at_ms: int) -> int:
        number = _NUMBERS[self.door.word(at_ms)]
        return self.status if self.muffled and number not in _AT_REST else number

    def _event(self) -> str:
        if not self.secv:
            if self._history in {0, _HISTORY}:
                return "remain"
            return "just" if self._history in {_JUST_OPENED, _JUST_CLOSED} else "none"
        if UNKNOWN in {self.status, self._last}:
            return "none"
        at_rest = self.status in _AT_REST
        if self.status == self._last:
            return "remain" if at_rest else "none"
        return "just" if at_rest else "start"

    # --- what it is asked ---

    def order(self, action: str, now_ms: int) -> None:
        """`click`, `open` or `close`; what the guard does not let through is dropped."""
        allowed = {
            TOGGLE: True,
            OPEN_IT: self.secv == 2 or self.status in _OPENABLE,  # noqa: PLR2004 -- Security+ 2.0
            CLOSE: self.secv == 2 or self.status in _CLOSABLE,  # noqa: PLR2004
        }[action]
        if allowed and self.alarm_s:
            # A second order within the alarm replaces the first, and begins the alarm anew.
            self.alarm_ends_ms = now_ms + self.alarm_s * 1_000 + _HALF_SECOND_MS
            self._alarm_action = action if self.secv == 2 else TOGGLE  # noqa: PLR2004
        elif allowed:
            self._act(action, now_ms)

    def alarm_over(self) -> None:
        """It acts; that the door may be elsewhere by now is not looked at."""
        at_ms = self.alarm_ends_ms
        assert at_ms is not None
        self.alarm_ends_ms = None
        self._act(self._alarm_action, at_ms)

    def _act(self, action: str, now_ms: int) -> None:
        if self.secv == 2 and action != TOGGLE:  # noqa: PLR2004
            self.door.go(UP if action == OPEN_IT else DOWN, now_ms)
        else:
            self.door.press(now_ms)
        if not self.secv:  # it waits for its own relay
            self.blocked_until_ms = now_ms + _PULSE_MS

    # --- what it says ---

    @property
    def vehicle(self) -> int:
        """0 absent, 1 present, 2 unknown, 3 not available."""
        if self.sensor == "side":
            return 3
        if self.secv or self.sensor == "switch":
            return int(self.distance_cm <= _VEHICLE_CM)
        if self.distance_cm <= _THRESHOLD_CM:
            return 2
        return int(self.distance_cm <= _VEHICLE_CM)

    def document(self) -> bytes:
        """The body of `/jc` and of `OUT/JSON`; the name goes in as it is."""
        fields: list[tuple[str, str]] = [("dist", str(self.distance_cm))]
        if self.sensor == "switch":
            fields.append(("sn2", str(int(self.status == OPEN))))
        fields += [
            ("secv", str(self.secv)),
            ("door", str(self.status)),
            ("vehicle", str(self.vehicle)),
            ("rcnt", str(self._reads)),
            ("fwv", self.firmware),
            ("has_swrx", str(int(self.secv > 0))),
        ]
        if self.secv:
            fields += [
                ("light", str(int(self.lit))),
                ("lock", str(int(self.locked_out))),
                ("obstruct", str(int(self.beam_blocked))),
                ("pemu", "0") if self.secv == 1 else ("nopenings", str(self.opening_count)),
            ]
        fields += [
            ("name", f'"{self.name}"'),
            ("mac", f'"{self.mac}"'),
            ("cid", str(int(self.mac.replace(":", "")[6:], 16))),
            ("rssi", "-60"),
            ("cld", "0"),
        ]
        if self.climate:
            fields += [("temp", "21.50"), ("humid", "48.20")]
        return ("{" + ",".join(f'"{name}":{value}' for name, value in fields) + "}").encode()
