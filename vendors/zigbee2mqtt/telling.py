"""What a simulated bridge tells of one lock, and what a consumer must then know; pure.

Source: Koenkk/zigbee2mqtt 6835cbf `lib/{state,controller}.ts` (the cache: everything but actions,
merged deeply; what becomes undefined is left out), `lib/util/logger.ts` (every publish is also a
line of the log, with the document in it).
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from devices.reading import Value
from vendors.sim import Chance, Effects, Message, Publish, Truth
from vendors.zigbee2mqtt.coordinator import Bridge
from vendors.zigbee2mqtt.models import Model

# Availability, if it is switched on, of a battery device: 25 h without a word.
_PASSIVE_MS: Final = 25 * 3_600_000
LOCKED, UNLOCKED, HALF = "locked", "unlocked", "not_fully_locked"
#: Where the bolt is: what the converter makes of it, and what a consumer must come to see.
SEEN: Final[Mapping[str, tuple[str, str]]] = {
    LOCKED: ("LOCK", "Locked"),
    UNLOCKED: ("UNLOCK", "Unlocked"),
    HALF: ("UNLOCK", "NotFullyLocked"),
}
_STATUS: Final = {
    "available": "Available",
    "enabled": "OccupiedEnabled",
    "disabled": "OccupiedDisabled",
}
_DOOR: Final = {"open": "DoorOpen", "closed": "DoorClosed"}


class Telling:
    """One lock in the memory of its bridge."""

    def __init__(
        self, name: str, rng: Chance, *, bridge: Bridge, friendly: str, model: Model
    ) -> None:
        self.name = name
        self.friendly = friendly
        self.model = model
        self.bridge = bridge
        self._rng = rng
        #: What is to happen, as (when, number, what, with what).
        self._plans: list[tuple[int, int, str, Any]] = []
        self._number = 0
        self._cache: dict[str, Any] = {}
        #: Nobody has heard of it since the bridge's last silence.
        self._fresh = True
        self._known_bolt: Value = None
        #: It has told of a turn against the bolt in the same document.
        self._disputed = False
        self._stated: dict[str, Value] = {}
        self._told: dict[str, Value] = {}
        self._messages: list[Message] = []
        self._truths: list[Truth] = []

    def _plan(self, what: str, with_: object, at_ms: int) -> None:
        self._number += 1
        self._plans.append((at_ms, self._number, what, with_))

    def _forget_plan(self, what: str) -> None:
        self._plans = [plan for plan in self._plans if plan[2] != what]

    def _publish(self, update: Mapping[str, Any], now_ms: int, *, answer: bool = False) -> None:
        """Merge, and say everything; `answer`: it was asked for just now."""
        users = {**self._cache.get("users", {}), **update.get("users", {})}
        self._cache |= {k: v for k, v in update.items() if not k.startswith("action")}
        if users:
            self._cache["users"] = users
        if update.get("lock_state", "") is None:
            del self._cache["lock_state"]  # JSON has no undefined
        said = {**self._cache, **{k: v for k, v in update.items() if k.startswith("action")}}
        said["linkquality"] = self._rng.randint(60, 255)
        payload = json.dumps(said, separators=(",", ":"), sort_keys=True)
        topic = f"{self.bridge.base}/{self.friendly}"
        told = self.bridge.linked
        self._line("info", f"MQTT publish: topic '{topic}', payload '{payload}'", "z2m:mqtt")
        if told:
            self._messages.append(Publish(topic, payload.encode()))
            if said.get("action") and self.bridge.homeassistant:
                self._messages.append(Publish(f"{topic}/action", str(said["action"]).encode()))
        self._tell_truths(update, now_ms, told=told, answer=answer)
        if update and self.bridge.availability:
            self._forget_plan("away")
            self._plan("away", None, now_ms + _PASSIVE_MS)

    def _tell_truths(
        self, update: Mapping[str, Any], now_ms: int, *, told: bool, answer: bool
    ) -> None:
        """What a consumer must now know; what the bridge merely repeats is no news to it."""
        first, self._fresh = self._fresh and told, self._fresh and not told
        bolt = self._shown_bolt()
        disputed = "action" in update and self._contradicts(update["action"], bolt)
        if disputed:
            self._disputed = True
            self._truth("lock_state", None, now_ms, sent=told)
        if first:
            # A first word may be an old one, and settles no dispute about the bolt. Whether one
            # is open nobody here knows: what settled it may have been lost before the link was.
            for axis, value in self._axes().items():
                if axis != "lock_state" or not disputed:
                    sure = axis != "lock_state" or not self._disputed
                    self._truth(axis, value, now_ms, sent=sure)
            self._known_bolt = bolt
            return
        if not disputed and "state" in update and (answer or bolt != self._known_bolt):
            # An answer that repeats what was said looks like everything that repeats it.
            self._truth("lock_state", bolt, now_ms, sent=told and bolt != self._known_bolt)
        if told:
            self._known_bolt = bolt
        for axis, value in self._axes().items():
            part = axis.removeprefix("credential.").partition(".")[0]
            if axis != "lock_state" and (
                self._stated.get(axis) != value or part in update.get("users", {})
            ):
                self._truth(axis, value, now_ms, sent=told)
        if told and (update or answer):
            self._truth("reachability", "Online", now_ms, sent=True)

    def _axes(self) -> Mapping[str, Value]:
        """What the document says, axis by axis: the simulator's own table."""
        cache = self._cache
        axes: dict[str, Value] = {
            "lock_state": self._shown_bolt(),
            "battery_pct": cache["battery"],
        }
        if "door_state" in cache:
            axes["door_state"] = _DOOR[cache["door_state"]]
        if "battery_low" in cache:
            axes["power_level"] = "Warning" if cache["battery_low"] else "OK"
        for user, one in cache.get("users", {}).items():
            axes[f"credential.{user}.status"] = _STATUS[one["status"]]
        return axes

    def _shown_bolt(self) -> Value:
        lock_state = self._cache.get("lock_state")
        return None if lock_state is None else SEEN[lock_state][1]

    def _contradicts(self, action: object, bolt: Value) -> bool:
        words = str(action).split("_")
        if "failure" in words:
            return False
        return ("unlock" in words and bolt == "Locked") or ("lock" in words and bolt == "Unlocked")

    def _truth(self, key: str, value: Value, now_ms: int, *, sent: bool) -> None:
        """A truth if it is otherwise than last stated, or told for the first time."""
        stated = key in self._stated and self._stated[key] == value
        if stated and (not sent or (key in self._told and self._told[key] == value)):
            return
        if sent:
            self._told[key] = value
        self._stated[key] = value
        self._truths.append(Truth(self.name, key, value, now_ms, sent))

    def _availability(self, word: str, now_ms: int) -> None:
        if self.bridge.linked:
            topic = f"{self.bridge.base}/{self.friendly}/availability"
            payload = json.dumps({"state": word}, separators=(",", ":")).encode()
            self._messages.append(Publish(topic, payload, qos=1, retain=True))
            self._truth("reachability", word.capitalize(), now_ms, sent=True)

    def _line(self, level: str, message: str, namespace: str = "z2m") -> None:
        self._messages += self.bridge.line(level, message, namespace)

    def _failed(self, verb: str, key: str, error: str) -> None:
        self._line(
            "error", f"Publish '{verb}' '{key}' to '{self.friendly}' failed: 'Error: {error}'"
        )

    def _effects(self) -> Effects:
        effects = Effects(
            tuple(self._messages),
            tuple(self._truths),
            min(self._plans)[0] if self._plans else None,
        )
        self._messages.clear()
        self._truths.clear()
        return effects
