"""The simulated bridge: one MQTT session, and the locks of one Zigbee network; pure.

    start:      bridge/state online ─► bridge/info, bridge/devices, discovery ─► 300 ms later the
                cached document of every lock, live, as if it had just been heard
    reconnect:  bridge/state online, and nothing else; what was said meanwhile is lost

Source: Koenkk/zigbee2mqtt 6835cbf `lib/controller.ts` (start), `lib/mqtt.ts` (session, will),
`lib/extension/publish.ts` (topics).
"""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from vendors.sim import Arrival, Effects, HubEffects, Message, MqttSession, Publish
from vendors.zigbee2mqtt import models

if TYPE_CHECKING:
    from vendors.zigbee2mqtt.lock import Lock

_KEEPALIVE_S: Final = 60
_RECONNECT_S: Final = 1.0
_CACHE_AFTER_MS: Final = 300
_TOPIC: Final = re.compile(r"(?!bridge)(.+?)/(get|set)(?:/(.+))?")


class Bridge:
    """One Zigbee2MQTT: a `vendors.sim.Hub`."""

    tls = False

    def __init__(self, base: str, *, availability: bool, homeassistant: bool) -> None:
        self.name = "bridge"
        self.base = base
        self.availability = availability
        self.homeassistant = homeassistant
        self.locks: dict[str, Lock] = {}
        self.linked = False
        self._started = False
        self._cache_at_ms: int | None = None
        self._last_line = ""
        self.session: MqttSession | None = MqttSession(
            client_id="mqttjs_5dc1a3e2",
            keepalive_s=_KEEPALIVE_S,
            subscriptions=((f"{base}/#", 0),),
            will=Publish(f"{base}/bridge/state", b'{"state":"offline"}', qos=1, retain=True),
            reconnect_s=_RECONNECT_S,
        )

    def connected(self, now_ms: int) -> HubEffects:
        """The first time it starts; later only its link is there again."""
        self.linked = True
        messages = [Publish(f"{self.base}/bridge/state", b'{"state":"online"}', qos=1, retain=True)]
        devices = {name: lock.linked(now_ms) for name, lock in self.locks.items()}
        if not self._started:
            self._started = True
            messages += self._announcements()
            self._cache_at_ms = now_ms + _CACHE_AFTER_MS
        return HubEffects(messages=messages, devices=devices, wake_at_ms=self._cache_at_ms)

    def _announcements(self) -> Sequence[Publish]:
        listed = [
            *models.OTHERS,
            *(models.listed(name, lock.friendly, lock.model) for name, lock in self.locks.items()),
        ]
        info = {"version": "2.12.1", "config": {"mqtt": {"base_topic": self.base}}}
        said = [
            Publish(f"{self.base}/bridge/info", _json(info), retain=True),
            Publish(f"{self.base}/bridge/devices", _json(listed), retain=True),
        ]
        if self.homeassistant:
            said += [
                models.discovery(
                    self.base, name, lock.friendly, lock.model, availability=self.availability
                )
                for name, lock in self.locks.items()
            ]
        return said

    def disconnected(self, now_ms: int) -> HubEffects:
        """The broker publishes the will, not we."""
        self.linked = False
        return HubEffects(
            devices={name: lock.unlinked(now_ms) for name, lock in self.locks.items()},
            wake_at_ms=self._cache_at_ms,
        )

    def receive(self, message: Arrival, now_ms: int) -> HubEffects:
        """A `set` or a `get` for a lock, by its name or its address; everything else is nothing."""
        devices: dict[str, Effects] = {}
        if isinstance(message, Publish) and message.topic.startswith(f"{self.base}/"):
            found = _TOPIC.fullmatch(message.topic.removeprefix(f"{self.base}/"))
            lock = self._lock(found[1]) if found is not None else None
            if found is not None and lock is not None:
                devices[lock.name] = lock.hear(found[2], found[3] or "", message.payload, now_ms)
        return HubEffects(devices=devices, wake_at_ms=self._cache_at_ms)

    def _lock(self, name: str) -> "Lock | None":
        if name in self.locks:
            return self.locks[name]
        return next((lock for lock in self.locks.values() if lock.friendly == name), None)

    def wake(self, now_ms: int) -> HubEffects:
        """Repeat what it remembers of every lock."""
        if self._cache_at_ms is None or now_ms < self._cache_at_ms:
            return HubEffects(wake_at_ms=self._cache_at_ms)
        self._cache_at_ms = None
        return HubEffects(
            devices={name: lock.repeat_cache(now_ms) for name, lock in self.locks.items()}
        )

    # --- what its locks have it say -----------------------------------------------------------

    def line(self, level: str, message: str, namespace: str) -> Sequence[Message]:
        """A line of its log; the same one twice in a row is said once."""
        payload = _json({"level": level, "message": message, "namespace": namespace})
        if payload.decode() == self._last_line or not self.linked:
            return ()
        self._last_line = payload.decode()
        return (Publish(f"{self.base}/bridge/logging", payload),)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
