"""A simulated panel with its doors and the people who use them; pure.

    people ─► readers, buttons, contacts ─► decision ─► relay ─► strike
                                              └► ring ─► 0xB0 by index, 0x20 pushed once
    host ─► requests ─► answers (same doors, same ring)

A relay falls back after the door's delay and nothing is recorded of it. People's habits and the
times they take are guesses of ours; everything on the wire has its source in `answers` and `ring`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from devices.errors import ConfigError
from vendors.sim import (
    Addresses,
    Chance,
    Effects,
    FleetSpec,
    Hub,
    Message,
    MqttSession,
    Publish,
    Push,
    RandomFor,
    Reply,
    Truth,
    deed,
)
from vendors.uhppote import packets
from vendors.uhppote.answers import Door, Memory, answer
from vendors.uhppote.habits import COURIER, FAULTS, HABITS, KINDS, QUIET_FAULTS, WORLD
from vendors.uhppote.ring import RECORDS_MAX, SPECIAL, Record, Ring

__all__ = [
    "COURIER",
    "FAULTS",
    "HABITS",
    "KINDS",
    "OF_ONE",
    "QUIET_FAULTS",
    "WORLD",
    "SimPanel",
    "fleet",
    "gateway_settings",
]

#: Options in which panels of a fleet may differ; there are no others.
OF_ONE: Final = frozenset({"doors", "ring_records"})
_SERIAL_BASE: Final = 405_000_000
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 -- a panel's clock knows no zone
_OPENS_MS: Final = (300, 1_500)
_STAYS_OPEN_MS: Final = (1_000, 6_000)
_HELD_MS: Final = 30_000
_CARDS: Final = 20
_STRANGERS_FROM: Final = 9_000_000
_SYSTEM_ERROR: Final = 3
_OLD_FIRMWARE: Final = bytes((0x08, 0x92))
_FIRMWARE_662: Final = bytes((0x06, 0x62))
_MODE_SEEN: Final = {
    packets.NORMALLY_OPEN: "Unlocked",
    packets.NORMALLY_CLOSED: "Blocked",
    packets.CONTROLLED: "Locked",
}
#: What a consumer must come to hear of a record: the simulator's own table, not the codec's.
_HEARD: Final[Mapping[int, str]] = {
    1: "access.granted",
    6: "access.denied",
    11: "access.denied",
    18: "access.denied",
    20: "access.request_to_exit",
    23: "door.opened",
    24: "door.closed",
    28: "controller.power_on",
    31: "access.denied",
    37: "door.alarm",
    38: "door.alarm",
    44: "door.unlocked",
}
_SWIPE, _DOOR, _ALARM = 1, 2, 3


class SimPanel:
    """One panel: a `vendors.sim.SimDevice`."""

    session: MqttSession | None = None
    hub: Hub | None = None

    def __init__(self, serial: int, doors: int, records_max: int, rng: Chance) -> None:
        self.name = str(serial)
        self.serial: int | None = serial
        self.memory = Memory()
        self.ring = Ring(records_max)
        self.doors: Mapping[int, Door] = {number: Door() for number in range(1, doors + 1)}
        self._rng = rng
        self._serial = serial
        self._powered = True
        self._clock_ahead = timedelta()
        self._faults: set[str] = set()
        self._sequence = 0
        self._plans: dict[tuple[str, int], int] = {}
        self._seen: dict[str, object] = {}
        self._messages: list[Message] = []
        self._truths: list[Truth] = []
        self._firmware = self.memory.firmware = _FIRMWARE_662 if serial % 3 == 0 else _OLD_FIRMWARE
        for number in range(_CARDS):
            rights = {f"door{door}": int(rng.random() < 0.8) for door in self.doors}  # noqa: PLR2004 -- a guess
            card = 8_000_001 + number
            self.memory.cards[card] = {"card": card, "pin": 0, **rights}

    # --- SimDevice ---

    def connected(self, now_ms: int) -> Effects:
        """Power is there."""
        self._truth("reachability", "Online", now_ms, sent=False)
        self._truth("clock_skew_s", 0, now_ms, sent=False)
        return self._effects(now_ms)

    def disconnected(self, now_ms: int) -> Effects:
        """The network went away; a panel does not notice."""
        return self._effects(now_ms)

    def receive(self, message: Publish | bytes, now_ms: int) -> Effects:
        """A datagram; what is no request to this panel is ignored."""
        if isinstance(message, bytes) and len(message) == packets.SIZE and self._powered:
            function = message[1]
            serial = packets.U32.unpack_from(message, packets.AT_SERIAL)[0]
            ours = serial == self._serial or (serial == 0 and function == packets.CONTROLLER)
            if message[0] == packets.START and ours:
                self._answer(function, message, now_ms)
        return self._effects(now_ms)

    def wake(self, now_ms: int) -> Effects:
        """Carry out what is due, in the order it was due."""
        while due := [(at_ms, plan) for plan, at_ms in self._plans.items() if at_ms <= now_ms]:
            _, plan = min(due)
            del self._plans[plan]
            what, number = plan
            _PLANS[what](self, number, now_ms)
        return self._effects(now_ms)

    def act(self, habit: str, now_ms: int) -> Effects:
        """One of `HABITS`, or `fault:<name>` / `heal:<name>`."""
        verb, fault = deed(habit, FAULTS, WORLD)
        if verb:
            {
                "fault": self._break,
                "heal": self._heal,
                "clock": self._drift,
                "firmware": self._update,
            }[verb](fault, now_ms)
        else:
            number = self._rng.choice(list(self.doors))
            if self._powered:
                _HABITS[habit](self, number, now_ms)
        return self._effects(now_ms)

    # --- the body that the answers move ---

    def local(self, now_ms: int) -> datetime:
        """The panel's clock, in whole seconds."""
        return (_EPOCH + timedelta(milliseconds=now_ms) + self._clock_ahead).replace(microsecond=0)

    def set_clock(self, local: datetime | None, now_ms: int) -> None:
        """Set it; what is no time is ignored."""
        if local is not None:
            self._clock_ahead = local - _EPOCH - timedelta(milliseconds=now_ms // 1000 * 1000)
            self._truth("clock_skew_s", self._skew_s(), now_ms, sent=False)

    def status(self, now_ms: int, record: Record | None = None) -> Mapping[str, Any]:
        """With the newest record, or the one that is being pushed."""
        self._sequence += 1
        if record is None:  # whoever asked now sees which doors are closed, and in no alarm
            for door in self.doors.values():
                door.alarm = door.alarm if door.open else "Normal"
        local = self.local(now_ms)
        relays = sum(door.relay(now_ms) << number - 1 for number, door in self._relays())
        return {
            **(record or self.ring.last()).fields,
            **{f"open{number}": door.open for number, door in self.doors.items()},
            "error": _SYSTEM_ERROR if "system_error" in self._faults else 0,
            "time": local.time(),
            "date": local.date(),
            "sequence": self._sequence,
            "relays": relays,
        }

    def open_door(self, number: int, now_ms: int) -> bool:
        """A host opens: like a card, but for the panel's own rule that closed is closed."""
        if "refuses" in self._faults:
            return False
        if self.doors[number].mode == packets.NORMALLY_CLOSED:
            self._record(now_ms, _DOOR, 11, number)
            return False
        self._unlock(number, now_ms)
        self._record(now_ms, _DOOR, 44, number, granted=True)
        return True

    # --- telling ---

    def _answer(self, function: int, packet: bytes, now_ms: int) -> None:
        fields = answer(self, function, packet, now_ms)
        if fields is None:
            return
        layout = packets.REPLIES[function]
        known = {name: value for name, value in fields.items() if name in layout}
        reply = Reply(packets.pack(function, self._serial, layout, known))
        if "strays" in self._faults:
            stray = packets.pack(function, self._serial + 500_000, layout, known)
            self._messages.append(Reply(stray))
        self._messages += [reply, reply] if "repeats" in self._faults else [reply]

    def _record(  # noqa: PLR0913 -- the fields of a record, by name
        self,
        now_ms: int,
        type_: int,
        reason: int,
        number: int,
        *,
        granted: bool = False,
        card: int = 0,
        direction: int = 0,
    ) -> None:
        """Store, and push once to the listener, if there is one."""
        if reason in SPECIAL and not self.memory.special_events:
            return
        record = Record(self.local(now_ms), type_, reason, granted, number, direction or 1, card)
        stored = self.ring.add(record)
        self._truths.append(Truth(self.name, _HEARD[reason], stored.key, now_ms))
        host, port = self.memory.listener["host"], self.memory.listener["port"]
        if port and "pushes_lost" not in self._faults:
            layout = packets.REPLIES[packets.STATUS]
            start = packets.START_662 if self._firmware == _FIRMWARE_662 else packets.START
            fields = self.status(now_ms, stored)
            packet = packets.pack(packets.STATUS, self._serial, layout, fields, start=start)
            self._messages.append(Push(packet, (host, port)))

    def _truth(self, key: str, value: str | int, now_ms: int, *, sent: bool) -> None:
        self._truths.append(Truth(self.name, key, value, now_ms, sent))

    def _effects(self, now_ms: int) -> Effects:
        """A state is polled, never sent: whoever asks in time sees it."""
        states: dict[str, str] = {
            "fault": "FaultDetected" if "system_error" in self._faults else "NotInFault"
        }
        for number, door in self.doors.items():
            states[f"door.{number}.mode"] = _MODE_SEEN[door.mode]
            states[f"door.{number}.physical_state"] = "Open" if door.open else "Closed"
            if door.alarm is not None:
                states[f"door.{number}.alarm"] = door.alarm
            states[f"door.{number}.lock_state"] = "Locked"
        for number, door in self._relays():
            if door.relay(now_ms):
                states[f"door.{number}.lock_state"] = "Unlocked"
        for key, value in states.items():
            if self._seen.get(key) != value:
                self._seen[key] = value
                self._truth(key, value, now_ms, sent=False)
        effects = Effects(
            tuple(self._messages), tuple(self._truths), min(self._plans.values(), default=None)
        )
        self._messages.clear()
        self._truths.clear()
        return effects

    def _relays(self) -> Sequence[tuple[int, Door]]:
        """The doors whose relay can move."""
        return () if "dead_strike" in self._faults else tuple(self.doors.items())

    def _skew_s(self) -> int:
        return round(self._clock_ahead.total_seconds())

    # --- doors ---

    def _unlock(self, number: int, now_ms: int) -> None:
        door = self.doors[number]
        door.unlocked_until_ms = now_ms + door.delay_s * 1000
        self._plans["relock", number] = door.unlocked_until_ms

    def _relock(self, number: int, now_ms: int) -> None:
        """Nothing but the relay: no record, no push."""

    def _pass(self, number: int, now_ms: int) -> None:
        """Somebody opens the door, if it lets them."""
        door = self.doors[number]
        if not door.open and door.relay(now_ms):
            self._open(number, now_ms)
            self._plans["shut", number] = now_ms + self._rng.randint(*_STAYS_OPEN_MS)

    def _open(self, number: int, now_ms: int) -> None:
        self.doors[number].open = True
        self._record(now_ms, _DOOR, 23, number, granted=True)

    def _shut(self, number: int, now_ms: int) -> None:
        self._plans.pop(("held", number), None)
        self.doors[number].open = False
        self._record(now_ms, _DOOR, 24, number, granted=True)

    def _held(self, number: int, now_ms: int) -> None:
        self._alarm(37, "DoorOpenTooLong", number, now_ms)

    def _alarm(self, reason: int, alarm: str, number: int, now_ms: int) -> None:
        if self.memory.special_events:
            self.doors[number].alarm = alarm
            # Told again, whether or not somebody saw in between that the last one was over.
            self._seen.pop(f"door.{number}.alarm", None)
            self._record(now_ms, _ALARM, reason, number)

    # --- people ---

    def _swipe(self, number: int, now_ms: int, card: int) -> bool:
        """Hold a card to one of the door's readers; whether it was let in."""
        direction = self._rng.choice((1, 2))
        rights = self.memory.cards.get(card)
        reason = 1
        if self.doors[number].mode == packets.NORMALLY_CLOSED:
            reason = 11
        elif rights is None:
            reason = 18
        elif not rights.get(f"door{number}"):
            reason = 6
        granted = reason == 1
        if granted:
            self._unlock(number, now_ms)
        self._record(
            now_ms, _SWIPE, reason, number, granted=granted, card=card, direction=direction
        )
        return granted

    def _card(self, number: int, *, rights: bool) -> int:
        cards = [
            card
            for card, fields in self.memory.cards.items()
            if bool(fields.get(f"door{number}")) == rights
        ]
        return self._rng.choice(cards) if cards else _STRANGERS_FROM

    def _enter(self, number: int, now_ms: int) -> None:
        if self._swipe(number, now_ms, self._card(number, rights=True)):
            self._plans["pass", number] = now_ms + self._rng.randint(*_OPENS_MS)

    def _no_rights(self, number: int, now_ms: int) -> None:
        self._swipe(number, now_ms, self._card(number, rights=False))

    def _stranger(self, number: int, now_ms: int) -> None:
        self._swipe(number, now_ms, _STRANGERS_FROM + self._rng.randint(1, 999_999))

    def _exit_button(self, number: int, now_ms: int) -> None:
        if self.doors[number].mode == packets.NORMALLY_CLOSED:
            self._record(now_ms, _DOOR, 31, number)
            return
        self._unlock(number, now_ms)
        self._record(now_ms, _DOOR, 20, number, granted=True)
        self._plans["pass", number] = now_ms + self._rng.randint(*_OPENS_MS)

    def _hold_open(self, number: int, now_ms: int) -> None:
        """In, and a wedge under the door."""
        if self.doors[number].open:
            return
        if self._swipe(number, now_ms, self._card(number, rights=True)):
            self._open(number, now_ms)
            self._plans["held", number] = now_ms + _HELD_MS
            self._plans["shut", number] = now_ms + _HELD_MS + self._rng.randint(*_STAYS_OPEN_MS)

    def _force(self, number: int, now_ms: int) -> None:
        door = self.doors[number]
        if door.open or door.relay(now_ms):
            return
        self._open(number, now_ms)
        self._alarm(38, "DoorForcedOpen", number, now_ms)
        self._plans["shut", number] = now_ms + self._rng.randint(*_STAYS_OPEN_MS)

    # --- the world ---

    def _drift(self, ms: str, now_ms: int) -> None:
        """Its clock runs so much faster than time; whoever sets it sets that right."""
        self._clock_ahead += timedelta(milliseconds=int(ms))
        self._truth("clock_skew_s", self._skew_s(), now_ms, sent=False)

    def _update(self, version: str, now_ms: int) -> None:
        """It runs this from now on: `8.92` is told as two bytes of decimal digits, or refused."""
        del now_ms
        digits = re.fullmatch(r"([0-9]{1,2})(?:\.([0-9]{1,2}))?", version)
        if digits is None:
            raise ValueError("write it like 8.92: at most two digits on each side of the dot")
        major, minor = digits.groups("0")
        self._firmware = self.memory.firmware = bytes.fromhex(f"{major:0>2}{minor:0>2}")

    # --- what goes wrong ---

    def _break(self, fault: str, now_ms: int) -> None:
        if fault == "ring_full":
            self.ring.drop_block()
        elif fault == "ring_erased":
            self.ring.erase()
        elif fault == "forgets_settings":
            self._forget()
        else:
            self._faults.add(fault)
            if fault == "power_failure":
                self._powered = False
                self._plans.clear()
                for door in self.doors.values():
                    door.unlocked_until_ms = 0
            elif fault == "clock_wrong":
                self.set_clock(self.local(now_ms) - timedelta(hours=1), now_ms)
            elif fault == "clock_reset":
                self.set_clock(datetime(2000, 1, 1), now_ms)  # noqa: DTZ001 -- as it would

    def _heal(self, fault: str, now_ms: int) -> None:
        if fault not in self._faults:
            return
        self._faults.discard(fault)
        if fault == "power_failure":
            self._powered = True
            self._record(now_ms, _DOOR, 28, 0)
            for number, door in self.doors.items():
                if door.open:
                    self._shut(number, now_ms)
        elif fault.startswith("clock_"):
            self.set_clock(_EPOCH + timedelta(milliseconds=now_ms), now_ms)

    def _forget(self) -> None:
        cards = self.memory.cards
        self.memory = Memory()
        self.memory.cards, self.memory.firmware = cards, self._firmware


_Step = Callable[[SimPanel, int, int], None]
_PLANS: Final[Mapping[str, _Step]] = {
    "relock": SimPanel._relock,  # noqa: SLF001 -- the class's own tables, below it because they name it
    "pass": SimPanel._pass,  # noqa: SLF001
    "shut": SimPanel._shut,  # noqa: SLF001
    "held": SimPanel._held,  # noqa: SLF001
}
_HABITS: Final[Mapping[str, _Step]] = {
    "enter": SimPanel._enter,  # noqa: SLF001
    "exit_button": SimPanel._exit_button,  # noqa: SLF001
    "stranger": SimPanel._stranger,  # noqa: SLF001
    "no_rights": SimPanel._no_rights,  # noqa: SLF001
    "hold_open": SimPanel._hold_open,  # noqa: SLF001
    "force": SimPanel._force,  # noqa: SLF001
}


def fleet(spec: FleetSpec, rng_for: RandomFor) -> Sequence[SimPanel]:
    """Panels with serials from 405000001 on; every third has firmware 6.62.

    Options: `doors` (1 to 4), `ring_records` (size of the event memory).

    Raises:
        ConfigError: an option that there is not, or a value that it cannot have.
    """
    for options in spec.mixes:
        if strange := sorted(set(options) - OF_ONE):
            what = f"uhppote: options {', '.join(strange)}; there are doors, ring_records"
            raise ConfigError((what,))
        _doors(options), _records(options)
    panels = []
    for number in spec.members:
        serial, options = _SERIAL_BASE + number, spec.options_of(number)
        rng = rng_for(str(serial))
        panels.append(SimPanel(serial, _doors(options), _records(options), rng))
    return panels


def _doors(options: Mapping[str, object]) -> int:
    return _option(options, "doors", 4, 4)


def _records(options: Mapping[str, object]) -> int:
    return _option(options, "ring_records", RECORDS_MAX, RECORDS_MAX)


def _option(options: Mapping[str, object], name: str, absent: int, maximum: int) -> int:
    value = options.get(name, absent)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= maximum:
        raise ConfigError((f"uhppote: option {name}: {value!r}; use 1 to {maximum}",))
    return value


def gateway_settings(spec: FleetSpec, at: Addresses) -> Mapping[str, object]:
    """A cell that polls every panel at their common socket and listens beside it."""
    host = at.datagrams.partition(":")[0]
    return {
        "panels": [
            {
                "serial": _SERIAL_BASE + number,
                "address": at.datagrams,
                "doors": _doors(spec.options_of(number)),
            }
            for number in spec.members
        ],
        "bind": f"{host}:0",
        "listener": f"{host}:0",
        "history_max": RECORDS_MAX,
    }
