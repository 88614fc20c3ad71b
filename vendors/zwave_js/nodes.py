"""What a server told of one lock so far: messages in, frames out; pure.

A lock's report reaches us as a row of `value updated` events, one for each value, and so does
what the driver only assumes. What belongs together is told from what does not by order, by the
values that a report always has, and by the pause that follows:

    report   insideHandles, outsideHandles, duration, targetMode, currentMode, doorStatus, ...
    event    currentMode, and at once the notification that it follows from
    assumed  currentMode, and nothing more

Code values stop here: no frame holds one, so neither does a dead letter.

Source: traces of zwave-js 15.29.0 with a mock lock; the reports of older drivers begin with
`currentMode` (declaration order of `DoorLockCCOperationReport`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from vendors.api import Frame
from vendors.zwave_js import operations
from vendors.zwave_js.names import (
    ACCESS_CONTROL,
    BATTERY,
    DOOR_LOCK,
    DOOR_STATE,
    HANDLES,
    LOCK_STATE,
    NOTIFICATION,
    USER_CODE,
    same_slot,
)

#: After this silence a row of values is complete. The server sends one event per turn of its
#: loop, so a row takes a few ms; the radio takes longer between two reports.
PAUSE_MS: Final = 200

_REPORT: Final = HANDLES | {
    "currentMode",
    "targetMode",
    "duration",
    "lockTimeout",
    "doorStatus",
    "boltStatus",
    "latchStatus",
}
#: At the end of every report, as far as the lock has them.
_ENDS: Final = ("latchStatus", "boltStatus", "doorStatus")
#: What begins a report that does not begin with the mode.
_BEGINS: Final = frozenset({"insideHandlesCanOpenDoor", "lockTimeout"})
#: Values of other classes that mean something to us, by class and property.
_VALUES: Final = frozenset(
    {
        (USER_CODE, "userIdStatus"),
        (USER_CODE, "keypadMode"),
        (BATTERY, "level"),
        (BATTERY, "isLow"),
    }
)
_VARIABLES: Final = frozenset({LOCK_STATE, DOOR_STATE})
_VALUE_EVENTS: Final = frozenset({"value updated", "value added", "value removed"})
#: Numbers of `node.status`. Source: zwave-js `NodeStatus`.
ASLEEP: Final = 1
DEAD: Final = 3
_STATUS_AFTER: Final[Mapping[str, int]] = {"sleep": ASLEEP, "wake up": 2, "dead": DEAD, "alive": 4}


def is_lock(node: Mapping[str, Any]) -> bool:
    """Whether a node of the server's state is a lock that has been interviewed."""
    return any(
        wanted_as(each) == "lock" and each.get("property") == "currentMode"
        for each in _dicts(node.get("values"))
    )


def _dicts(values: object) -> Sequence[Mapping[str, Any]]:
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []


def wanted_as(args: Mapping[str, Any]) -> str:
    """`lock` for what belongs to a report, `value` for what stands alone, empty for the rest."""
    cc, name = args.get("commandClass"), args.get("property")
    if not isinstance(cc, int) or not isinstance(name, str):
        return ""
    if cc == DOOR_LOCK:
        return "lock" if name in _REPORT and not args.get("endpoint") else ""
    if cc == NOTIFICATION and name == ACCESS_CONTROL:
        key = args.get("propertyKey")
        return "value" if isinstance(key, str) and key in _VARIABLES else ""
    return "value" if (cc, name) in _VALUES else ""


def _kept(args: Mapping[str, Any]) -> dict[str, Any]:
    """What of a value's event goes into a frame."""
    keys = ("commandClass", "property", "propertyKey", "newValue", "value", "forgotten")
    return {key: args[key] for key in keys if key in args}


class Node:
    """One lock, as its server told of it.

    Args:
        source: of its frames, up to what they tell.

    Attributes:
        status: the server's verdict, a number of zwave-js `NodeStatus`.
        unproven: the bolt may have moved, and the lock has not reported since.
    """

    def __init__(self, source: str) -> None:
        self._source: Final = source
        self.status = 0
        self.unproven = False
        self._row: list[dict[str, Any]] = []
        self._began_ms = 0
        self._ends: str | None = None
        self._mode: int | None = None
        self._version: int | None = None
        self._door = False
        self._jammed_ms: int | None = None
        self._slots: dict[int, object] = {}

    @property
    def waiting(self) -> bool:
        """Whether a row of values may not be complete yet."""
        return bool(self._row)

    def remembered(
        self, node: Mapping[str, Any], now_ms: int, *, whole: bool = True
    ) -> list[Frame]:
        """What the server remembers of the node: at the beginning, and after an interview.

        Args:
            node: its state; not `whole`: what of it came along, and the rest is as it was.
            now_ms: when it came.
            whole: see `node`.
        """
        frames = self.settled()
        values = [each for each in _dicts(node.get("values")) if wanted_as(each)]
        told = {
            each["property"]: each
            for each in values
            if wanted_as(each) == "lock" and each.get("value") is not None
        }
        if whole or self._ends is None:
            self._ends = next((name for name in _ENDS if name in told), None)
        if whole or "currentMode" in told:
            mode = told.get("currentMode", {})
            self._mode, self._version = mode.get("value"), mode.get("ccVersion")
        variables = {
            each.get("propertyKey"): each.get("value")
            for each in values
            if each["commandClass"] == NOTIFICATION
        }
        if whole or variables.get(DOOR_STATE) is not None:
            self._door = variables.get(DOOR_STATE) is not None
        if whole or LOCK_STATE in variables:
            jammed = variables.get(LOCK_STATE) == operations.JAMMED
            self._jammed_ms = now_ms if jammed else None
        if isinstance(node.get("status"), int):
            self.status = node["status"]
        shown = {key: node[key] for key in ("nodeId", "status", "ready") if key in node}
        forgotten = self._forgotten(values) if whole else ()
        shown["values"] = [_kept(each) for each in (*values, *forgotten)]
        return [*frames, self._frame("node", {"node": shown, "knows": self._knows()}, now_ms)]

    def _forgotten(self, values: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Slots that had a status, and have none after an interview: nothing is known of them."""
        told = {
            same_slot(each.get("propertyKey")): each.get("propertyKey")
            for each in values
            if each["property"] == "userIdStatus" and each.get("value") is not None
        }
        told.pop(None, None)
        lost = [key for slot, key in self._slots.items() if slot not in told]
        self._slots = {slot: key for slot, key in told.items() if slot is not None}
        what = {"commandClass": USER_CODE, "property": "userIdStatus", "forgotten": True}
        return [{**what, "propertyKey": key} for key in lost]

    def heard(self, event: Mapping[str, Any], now_ms: int) -> list[Frame]:
        """One event of this node; the frames that are complete with it, in order."""
        name, args = event.get("event"), event.get("args")
        args = args if isinstance(args, dict) else {}
        if name == "notification" and event.get("ccId") == NOTIFICATION:
            return self._notification(args, now_ms)
        if name == "ready" and isinstance(event.get("nodeState"), dict):
            return self.remembered(event["nodeState"], now_ms)
        if isinstance(name, str) and name in _STATUS_AFTER:
            self.status = _STATUS_AFTER[name]
            frames = self.settled()
            return [*frames, self._frame("status", {"event": {"event": name}}, now_ms)]
        wanted = wanted_as(args) if isinstance(name, str) and name in _VALUE_EVENTS else ""
        if wanted == "lock":
            return self._value_of_lock(args, now_ms)
        return self._value(args, now_ms) if wanted else []

    def removed(self, now_ms: int) -> list[Frame]:
        """The node is no longer in its network."""
        body = {"event": {"event": "node removed"}}
        return [*self.settled(), self._frame("status", body, now_ms)]

    def gateway_gone(self, now_ms: int) -> list[Frame]:
        """Nobody speaks for the node any more."""
        body = {"event": {"event": "gateway gone"}}
        return [*self.settled(), self._frame("status", body, now_ms)]

    def settled(self) -> list[Frame]:
        """The frame of the row that nothing more belongs to."""
        return self._close()

    # --- a row of values ----------------------------------------------------------------------

    def _value_of_lock(self, args: Mapping[str, Any], now_ms: int) -> list[Frame]:
        name, kept = args["property"], _kept(args)
        if self._row and self._row[-1] == kept and now_ms - self._began_ms < PAUSE_MS:
            return []  # the same message twice; it must not look like two rows
        names = [each["property"] for each in self._row]
        frames = []
        if name in names or (names and names[-1] == "currentMode" and name in _BEGINS):
            frames = self._close()
        if not self._row:
            self._began_ms = now_ms
        self._row.append(kept)
        if name == self._ends:
            frames += self._close()
        return frames

    def _close(self, because: Mapping[str, Any] | None = None) -> list[Frame]:
        """A frame of the row so far; `because` is the notification that the driver went by."""
        if not self._row:
            return []
        row, self._row = self._row, []
        said = {each["property"]: each.get("newValue") for each in row}
        knows = self._knows()
        reported = bool(HANDLES & said.keys())
        if "currentMode" in said:
            self.unproven = not reported
            if reported or because is not None:
                self._mode = said["currentMode"]
        if reported and said.get("currentMode") == 255 and said.get("boltStatus") != "unlocked":  # noqa: PLR2004 -- secured
            self._jammed_ms = None
        events = row if because is None else [*row, dict(because)]
        body = {"events": events, "knows": knows}
        return [self._frame("lock", body, self._began_ms)]

    # --- the rest -----------------------------------------------------------------------------

    def _value(self, args: Mapping[str, Any], now_ms: int) -> list[Frame]:
        frames, knows = self.settled(), {}
        key = args.get("propertyKey")
        slot = same_slot(key)
        if slot is not None and args["property"] == "userIdStatus":
            self._slots[slot] = key
        if key == DOOR_STATE:
            self._door = True
        elif key == LOCK_STATE and args.get("newValue") == operations.JAMMED:
            self._jammed_ms, self.unproven = now_ms, True
        elif key == LOCK_STATE:
            if self._jammed_ms is not None:
                knows["jam_age_ms"] = now_ms - self._jammed_ms
                self.unproven = True
            self._jammed_ms = None
        what = "/".join(str(each) for each in (args["commandClass"], args["property"], key))
        body = {"event": {"args": _kept(args)}, "knows": knows}
        return [*frames, self._frame(f"value/{what[:80]}", body, now_ms)]

    def _notification(self, args: Mapping[str, Any], now_ms: int) -> list[Frame]:
        shown = {key: args[key] for key in ("type", "event") if key in args}
        mode = operations.mode_of(args)
        alone = [each["property"] for each in self._row] == ["currentMode"]
        if alone and mode is not None and self._row[0].get("newValue") == mode:
            frames = self._close(shown)
        else:
            frames = self.settled()
        if mode is not None:
            self._jammed_ms = None
        parameters = args.get("parameters")
        if isinstance(parameters, dict) and "userId" in parameters:
            shown["parameters"] = {"userId": parameters["userId"]}
        return [*frames, self._frame("notification", {"event": {"args": shown}}, now_ms)]

    def _knows(self) -> dict[str, Any]:
        return {
            "mode": self._mode if isinstance(self._mode, int) else None,
            "version": self._version if isinstance(self._version, int) else None,
            "door": self._door,
            "jammed": self._jammed_ms is not None,
        }

    def _frame(self, what: str, body: Mapping[str, Any], at_ms: int) -> Frame:
        return Frame(f"{self._source}/{what}", orjson.dumps(body), at_ms)
