"""What a simulated panel answers, and what it remembers of being told; pure.

Source: uhppote-simulator fa99083 `entities/` and `commands/`; recorded exchanges of all functions
in uhppoted-lib-python 740714f `integration_tests/`.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final, Protocol

from vendors.uhppote import packets
from vendors.uhppote.ring import Ring

Fields = Mapping[str, Any]
_NO_CARD: Final = {"card": 0}
_DELETED_CARD: Final = {"card": 0xFFFF_FFFF}
_DOORS: Final = range(1, 5)
_PIN_MAX: Final = 999_999
_PROFILES: Final = range(2, 255)


class Door:
    """One door: how it is set, and what can be seen of it."""

    def __init__(self) -> None:
        self.mode: int = packets.CONTROLLED
        self.delay_s = 3
        self.unlocked_until_ms = 0
        self.open = False
        #: As far as a host could learn of it: by a record, or by a status with the door closed.
        self.alarm: str | None = None

    def relay(self, now_ms: int) -> bool:
        """Whether the strike is released."""
        if self.mode == packets.CONTROLLED:
            return self.unlocked_until_ms > now_ms
        return self.mode == packets.NORMALLY_OPEN


class Body(Protocol):
    """What of the panel the answers read and move."""

    memory: "Memory"
    ring: Ring
    doors: Mapping[int, Door]

    def local(self, now_ms: int) -> datetime:
        """The panel's clock."""

    def set_clock(self, local: datetime | None, now_ms: int) -> None:
        """Set it."""

    def status(self, now_ms: int) -> Fields:
        """The fields of a status."""

    def open_door(self, number: int, now_ms: int) -> bool:
        """Release a door for its delay, because a host says so."""


class Memory:
    """Everything that hosts may write into a panel, as in `RESTORE` after a factory reset."""

    def __init__(self) -> None:
        self.cards: dict[int, Fields] = {}
        self.profiles: dict[int, Fields] = {}
        self.tasks: list[Fields] = []
        self.passcodes: dict[int, Fields] = {}
        self.first_cards: dict[int, Fields] = {}
        self.keypads: Fields = {}
        self.listener: Fields = {"host": "0.0.0.0", "port": 0, "interval_s": 0}  # noqa: S104 -- the wire's "none"
        self.special_events = False
        self.anti_passback = 0
        self.interlock = 0
        self.pc_control = False
        self.event_index = 0
        self.host = "192.168.1.100"
        self.firmware = bytes((0x08, 0x92))
        self.released = date(2018, 11, 5)


def answer(panel: Body, function: int, packet: bytes, now_ms: int) -> Fields | None:
    """The reply's fields; None if the panel keeps silent.

    A request that must carry the magic word, and does not, is answered with a no.
    """
    if (layout := packets.REQUESTS.get(function)) is None:
        return None
    asked = packets.unpack(layout, packet)
    if "magic" in layout and asked["magic"] != packets.MAGIC:
        return {"ok": False} if function in packets.REPLIES else None
    return _ANSWERS[function](panel, asked, now_ms)


def _ok(*, done: bool = True) -> Fields:
    return {"ok": done}


def _store(name: str) -> Callable[[Body, Fields, int], Fields]:
    def keep(panel: Body, asked: Fields, _: int) -> Fields:
        (value,) = (each for field, each in asked.items() if field != "magic")
        setattr(panel.memory, name, value)
        return _ok()

    return keep


def _clear(name: str) -> Callable[[Body, Fields, int], Fields]:
    def clear(panel: Body, _: Fields, __: int) -> Fields:
        getattr(panel.memory, name).clear()
        return _ok()

    return clear


def _open_door(panel: Body, asked: Fields, now_ms: int) -> Fields:
    return _ok(done=asked["door"] in panel.doors and panel.open_door(asked["door"], now_ms))


def _door(panel: Body, asked: Fields, _: int) -> Fields:
    door = panel.doors.get(asked["door"])
    return {} if door is None else {**asked, "mode": door.mode, "delay_s": door.delay_s}


def _set_door(panel: Body, asked: Fields, now_ms: int) -> Fields:
    door = panel.doors.get(asked["door"])
    if door is not None and asked["mode"] in _MODES:
        door.mode, door.delay_s = asked["mode"], asked["delay_s"]
    return _door(panel, {"door": asked["door"]}, now_ms)


_MODES: Final = (packets.NORMALLY_OPEN, packets.NORMALLY_CLOSED, packets.CONTROLLED)


def _put_card(panel: Body, asked: Fields, _: int) -> Fields:
    # A PIN of seven digits becomes none. Source: uhppote-simulator NOTES.
    pin = asked["pin"] if asked["pin"] <= _PIN_MAX else 0
    panel.memory.cards[asked["card"]] = {**asked, "pin": pin}
    return _ok()


def _delete_card(panel: Body, asked: Fields, _: int) -> Fields:
    return _ok(done=panel.memory.cards.pop(asked["card"], None) is not None)


def _card(panel: Body, asked: Fields, _: int) -> Fields:
    return panel.memory.cards.get(asked["card"], _NO_CARD)


def _card_at(panel: Body, asked: Fields, _: int) -> Fields:
    cards = list(panel.memory.cards.values())
    return cards[asked["index"] - 1] if 0 < asked["index"] <= len(cards) else _NO_CARD


def _set_profile(panel: Body, asked: Fields, _: int) -> Fields:
    if asked["profile"] not in _PROFILES:
        return _ok(done=False)
    panel.memory.profiles[asked["profile"]] = asked
    return _ok()


def _add_task(panel: Body, asked: Fields, _: int) -> Fields:
    panel.memory.tasks.append(asked)
    return _ok(done=asked["door"] in panel.doors)


def _by_door(name: str) -> Callable[[Body, Fields, int], Fields]:
    def keep(panel: Body, asked: Fields, _: int) -> Fields:
        getattr(panel.memory, name)[asked["door"]] = asked
        return _ok(done=asked["door"] in panel.doors)

    return keep


def _set_time(panel: Body, asked: Fields, now_ms: int) -> Fields:
    panel.set_clock(asked["at"], now_ms)
    return {"at": panel.local(now_ms)}


def _set_listener(panel: Body, asked: Fields, _: int) -> Fields:
    panel.memory.listener = asked
    return _ok()


def _keypads(panel: Body, asked: Fields, _: int) -> Fields:
    panel.memory.keypads = asked
    return _ok()


def _event(panel: Body, asked: Fields, _: int) -> Fields:
    return panel.ring.place(asked["index"]).fields


def _set_event_index(panel: Body, asked: Fields, _: int) -> Fields:
    changed = asked["index"] != panel.memory.event_index
    panel.memory.event_index = asked["index"]
    return _ok(done=changed)


def _controller(panel: Body, _: Fields, __: int) -> Fields:
    memory = panel.memory
    return {
        "host": memory.host,
        "mask": "255.255.255.0",
        "gateway": "192.168.1.1",
        "mac": bytes.fromhex("001223344556"),
        "version": memory.firmware,
        "released": memory.released,
    }


def _set_address(panel: Body, asked: Fields, _: int) -> None:
    panel.memory.host = asked["host"]


def _restore(panel: Body, _: Fields, __: int) -> Fields:
    """Factory defaults; the records stay."""
    fresh = Memory()
    fresh.host, fresh.firmware = panel.memory.host, panel.memory.firmware
    panel.memory = fresh
    for door in panel.doors.values():
        door.mode, door.delay_s = packets.CONTROLLED, Door().delay_s
    return _ok()


_ANSWERS: Final[Mapping[int, Callable[[Body, Fields, int], Fields | None]]] = {
    packets.STATUS: lambda panel, _, now_ms: panel.status(now_ms),
    packets.SET_TIME: _set_time,
    packets.TIME: lambda panel, _, now_ms: {"at": panel.local(now_ms)},
    packets.OPEN_DOOR: _open_door,
    packets.PUT_CARD: _put_card,
    packets.DELETE_CARD: _delete_card,
    packets.DELETE_CARDS: _clear("cards"),
    packets.CARD_COUNT: lambda panel, _, __: {"count": len(panel.memory.cards)},
    packets.CARD: _card,
    packets.CARD_AT: _card_at,
    packets.SET_DOOR: _set_door,
    packets.DOOR: _door,
    packets.SET_ANTI_PASSBACK: _store("anti_passback"),
    packets.ANTI_PASSBACK: lambda panel, _, __: {"rule": panel.memory.anti_passback},
    packets.SET_PROFILE: _set_profile,
    packets.CLEAR_PROFILES: _clear("profiles"),
    packets.SET_PASSCODES: _by_door("passcodes"),
    packets.SPECIAL_EVENTS: _store("special_events"),
    packets.SET_LISTENER: _set_listener,
    packets.LISTENER: lambda panel, _, __: panel.memory.listener,
    packets.CONTROLLER: _controller,
    packets.SET_ADDRESS: _set_address,
    packets.PROFILE: lambda panel, asked, _: panel.memory.profiles.get(asked["profile"], {}),
    packets.PC_CONTROL: _store("pc_control"),
    packets.SET_INTERLOCK: _store("interlock"),
    packets.KEYPADS: _keypads,
    packets.CLEAR_TASKS: _clear("tasks"),
    packets.ADD_TASK: _add_task,
    packets.SET_FIRST_CARD: _by_door("first_cards"),
    packets.REFRESH_TASKS: lambda _, __, ___: _ok(),
    packets.EVENT: _event,
    packets.SET_EVENT_INDEX: _set_event_index,
    packets.EVENT_INDEX: lambda panel, _, __: {"index": panel.memory.event_index},
    packets.FACTORY_RESET: _restore,
}
