"""What a driver remembers of a simulated lock, and how it tells it; pure.

Source: zwave-js 15.29.0 `ValueDB.ts` (each value that is stored is told, changed or not),
zwave-js-server 3.10.2 `forward.ts`.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

from devices.reading import Value
from vendors.sim import Effects, Message, Truth

DOOR_LOCK: Final = 98
USER_CODE: Final = 99
NOTIFICATION: Final = 113
BATTERY: Final = 128
ACCESS: Final = "Access Control"
#: (command class, property, property key).
Key = tuple[int, str, int | str | None]
MODE: Final[Key] = (DOOR_LOCK, "currentMode", None)
LOCK_STATE: Final[Key] = (NOTIFICATION, ACCESS, "Lock state")
DOOR_STATE: Final[Key] = (NOTIFICATION, ACCESS, "Door state")

ASLEEP, AWAKE, DEAD, ALIVE = 1, 2, 3, 4
SECURED, UNSECURED, UNKNOWN = 255, 0, 254
JAM: Final = 11
#: What a consumer must come to see: the simulator's own table, not the codec's.
SEEN: Final[Mapping[int, str | None]] = {SECURED: "Locked", UNSECURED: "Unlocked", UNKNOWN: None}
_STATUS_SEEN: Final[Mapping[int, str]] = {0: "Available", 1: "OccupiedEnabled"}
_REACH: Final[Mapping[int, str]] = {DEAD: "Offline", ALIVE: "Online"}
#: Names of command classes. Source: zwave-js `CommandClasses.ts`.
CLASS_NAMES: Final[Mapping[int, str]] = {
    DOOR_LOCK: "Door Lock",
    USER_CODE: "User Code",
    NOTIFICATION: "Notification",
    BATTERY: "Battery",
}


class Asked(NamedTuple):
    """Something that waits for the radio; `reply` is the asker's own, for the answer."""

    what: str
    reply: object
    key: Key
    value: Any = None


class Said(NamedTuple):
    """What the driver says: an `event` to all; `result` or `error` to whoever asked."""

    kind: str
    body: Mapping[str, Any]
    reply: object = None


class Network(Protocol):
    """The controller, and whoever listens to it."""

    stalled_ms: int

    @property
    def heard(self) -> bool:
        """Whether an event reaches anybody now."""

    def render(self, lock: "Memory", said: Said) -> list[Message]:
        """What the driver says, as messages of its host's protocol."""


class Memory:
    """A driver's values of one lock, what is said of them, and what that makes true."""

    firmware = "1.0"

    def __init__(self, number: int, name: str, network: Network) -> None:
        self.number = number
        self.name = name
        self.status = ALIVE
        self.values: dict[Key, Any] = {}
        self.now_ms = 0
        self._network = network
        self._jam_known = False
        self._plans: dict[str, int] = {}
        self._said: list[Said] = []
        self._truths: list[Truth] = []
        self._sent: dict[str, Value] = {}
        self._stated: dict[str, Value] = {}

    def effects(self) -> Effects:
        """What came of the last call."""
        messages = [text for said in self._said for text in self._network.render(self, said)]
        effects = Effects(
            tuple(messages), tuple(self._truths), min(self._plans.values(), default=None)
        )
        self._said.clear()
        self._truths.clear()
        return effects

    def _event(self, name: str, **fields: object) -> None:
        body = {"source": "node", "event": name, "nodeId": self.number, **fields}
        self._said.append(Said("event", body))

    def _set(self, key: Key, value: object) -> None:
        """The driver stores a value and says so, changed or not."""
        cc, name, more = key
        args: dict[str, Any] = {"commandClassName": CLASS_NAMES[cc], "commandClass": cc}
        args |= {"endpoint": 0, "property": name}
        args |= {} if more is None else {"propertyKey": more}
        args["newValue"] = value
        known = self.values.get(key) is not None
        args |= {"prevValue": self.values[key]} if known else {}
        args["propertyName"] = name
        args |= {} if more is None else {"propertyKeyName": str(more)}
        self.values[key] = value
        self._event("value updated" if known else "value added", args=args)

    def _truth(self, key: str, value: Value, now_ms: int, *, sent: bool = True) -> None:
        """A truth if it is otherwise than last stated, or told for the first time."""
        sent = sent and self._network.heard
        stated = key in self._stated and self._stated[key] == value
        if stated and (not sent or (key in self._sent and self._sent[key] == value)):
            return
        if sent:
            self._sent[key] = value
        self._stated[key] = value
        self._truths.append(Truth(self.name, key, value, now_ms, sent))

    def _mode_truths(self, mode: int, bolt: str | None, now_ms: int) -> None:
        """What a report, an event or the driver's memory lets everybody see."""
        agrees = bolt is None or bolt == ("locked" if mode == SECURED else "unlocked")
        agrees = agrees or mode == UNKNOWN
        if mode == SECURED and agrees:
            self._jam_known = False
        self._truth("lock_state", SEEN[mode] if agrees else None, now_ms)
        self._truth("motion", "Idle", now_ms)
        fault = "LockJammed" if self._jam_known else "Unspecified" if mode == UNKNOWN else "None"
        self._truth("fault", fault, now_ms)

    def _moving_truths(self, mode: int, now_ms: int) -> None:
        self._truth("lock_state", None, now_ms)
        self._truth("motion", "Locking" if mode == SECURED else "Unlocking", now_ms)

    def gone(self, now_ms: int) -> None:
        """Whoever speaks for the lock is gone; what it knows stays with it."""
        self._truth("reachability", "Offline", now_ms)

    def remembered(self, now_ms: int) -> None:
        """Somebody begins to listen, and gets what the driver remembers."""
        self._sent.clear()
        values = self.values
        jammed = values.get(LOCK_STATE) == JAM
        bolt = values.get((DOOR_LOCK, "boltStatus", None))
        duration = values[DOOR_LOCK, "duration", None]["value"]
        target = values[DOOR_LOCK, "targetMode", None]
        self._jam_known = jammed
        # It comes as one message, so of each axis there is one truth: a jam that stands.
        if jammed:
            self._jam_truths(now_ms)
        elif duration and target != values[MODE]:
            self._moving_truths(target, now_ms)
            self._truth("fault", "None", now_ms)
        else:
            self._mode_truths(values[MODE], bolt, now_ms)
        self._truth("door_state", "DoorOpen" if values[DOOR_STATE] == 22 else "DoorClosed", now_ms)  # noqa: PLR2004 -- the notification's number
        self._truth("battery_pct", values[BATTERY, "level", None], now_ms)
        low = values[BATTERY, "isLow", None]
        self._truth("power_level", "Critical" if low else "OK", now_ms)
        self._truth("reachability", _REACH[self.status], now_ms)
        for (cc, name, slot), value in values.items():
            if (cc, name) == (USER_CODE, "userIdStatus"):
                self._slot_truth(slot, value, now_ms)

    def _slot_truth(self, slot: object, status: int | None, now_ms: int) -> None:
        seen = None if status is None else _STATUS_SEEN[status]
        if status is not None or f"credential.{slot}.status" in self._stated:
            self._truth(f"credential.{slot}.status", seen, now_ms)

    def _jam_truths(self, now_ms: int) -> None:
        self._jam_known = True
        for axis, value in (("lock_state", None), ("motion", "Idle"), ("fault", "LockJammed")):
            self._truth(axis, value, now_ms)

    def _came_alive(self, now_ms: int) -> None:
        """Whatever is heard of a node shows that it lives."""
        if self.status == DEAD:
            self.status = ALIVE
            self._event("alive", oldStatus=DEAD)
            self._truth("reachability", "Online", now_ms)
