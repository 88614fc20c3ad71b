"""A simulated Shelly Gen3 on a garage door; pure.

    people ─► door ─► profile (cover, or relay with reeds) ─► status
                                                               │ what changed
             requests ─► RPC core ─► replies          NotifyStatus, status topics
                 ▲                      │                      │
                 └── MQTT, or WebSocket and HTTP: a hub of one ┘

A device tells what changed when it changes, and nothing again: not after a reconnect, and over a
WebSocket not before the first request with a `src`. It never tells that a field is gone, nor
where it is while it moves.
Source: shelly-api-docs.shelly.cloud/gen2 General/Notifications, ComponentsAndServices/Mqtt;
session, will and QoS as captured (ioBroker.shelly#970, #1592, #1594).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from vendors.http import HttpReply, HttpRequest
from vendors.shelly.cover_sim import CoverDoor
from vendors.shelly.profile import Profile, Status
from vendors.shelly.relay_sim import RelayDoor
from vendors.shelly.rpc_sim import RpcCore
from vendors.sim import (
    Arrival,
    Chance,
    Effects,
    Hub,
    HubEffects,
    Message,
    MqttSession,
    Publish,
    Truth,
    WsClose,
    WsOpen,
    WsText,
    deed,
)

#: Rates per device and day.
HABITS: Final[Mapping[str, float]] = {
    "leave": 2.0,
    "come_home": 2.0,
    "left_open": 0.2,
    "close_up": 0.5,
    "wall_switch": 0.5,
    "cross_beam": 1.0,
    "push_against": 0.1,
    "air": 0.3,
}

#: What such devices are known to do wrong, each with where it was seen.
FAULTS: Final[Mapping[str, str]] = {
    "stuck_offline": "retained `online` false while data flows (eclipse-mosquitto/mosquitto#3376)",
    "no_reconnect": "gone after a sudden drop, and does not come back (ioBroker.shelly#644)",
    "drop_loop": "drops its link every 10 s and makes it anew (ioBroker.shelly#970)",
    "position_lost": "GoToPosition refused: position unknown (alexryd/homebridge-shelly-ng#45)",
    "uncalibrated": "says open and closed when its time is up (home-assistant/core#69671)",
    "final_pos_missing": "a movement ends without a position (openhab/openhab-addons#21472)",
    "notifications_stop": "updates stop, commands still work (openhab/openhab-addons#19872)",
    "ws_rpc_hangs": "WebSocket RPC gets no reply, HTTP does (home-assistant/core#177670, #179044)",
    "reboot": "reboots, and knows nothing of its WebSockets (home-assistant/core#97585)",
    "reed_bounce": "closed, open, closed within a moment (mongoose-os-apps/shelly-homekit#1087)",
    "reversal_left_stopped": "runs back unsaid after an obstruction (shelly-homekit#1334)",
    "missing_sensor": "a sensor that is not there reads as obstructed (shelly-homekit#218)",
    "overpower": "`errors` has overpower (shelly-api-docs.shelly.cloud/gen2 Cover)",
    "overtemp": "`errors` has overtemp (shelly-api-docs.shelly.cloud/gen2 Cover)",
    "stale_nonce": "each nonce serves once: 401 with `stale` (firmware 2.0, aioshelly 13.35.0)",
}
#: Which kinds of the catalogue these are.
KINDS: Final[Mapping[str, str]] = {
    "obstruction": "reversal_left_stopped",
    "bounce": "reed_bounce",
    "sensor_latched": "missing_sensor",
    "stale_state": "notifications_stop",
}
#: What of the world around them they tell.
WORLD: Final = frozenset({"firmware"})
#: How somebody at the door opens and closes it.
COURIER: Final = ("left_open", "close_up")
#: Those that a gateway at work cannot notice at the first device of a fleet.
QUIET_FAULTS: Final[Mapping[str, str]] = {
    "reed_bounce": "the first device is a cover, and has no reed",
    "stale_nonce": "nobody is asked for a password over MQTT",
    "ws_rpc_hangs": "the devices speak MQTT, and have no WebSocket",
}

_KEEPALIVE_S: Final = 60
_PEERS_MAX: Final = 6
_DROP_EVERY_MS: Final = 10_000
_DROPPED_MS: Final = (500, 3_000)
_BOOT_MS: Final = (6_000, 9_000)
#: What changes all the time and is told to nobody by itself.
_UNTOLD: Final = frozenset({"aenergy", "temperature", "voltage", "freq", "pf"})
_PLACE: Final = ("main_state", "position", "target_position")
_ENDS: Final = frozenset({"open", "closed"})
#: What a delta tells that leaves something out: that it is unknown.
_WITHHELD: Final[Mapping[str, str]] = {"position_pct": "no_pct", "position": "no_end"}


class Shelly:
    """One device: a `vendors.sim.SimDevice`."""

    serial: int | None = None

    def __init__(  # noqa: PLR0913 -- by keyword: how it is wired and set up
        self,
        name: str,
        rng: Chance,
        *,
        reeds: int,
        over_mqtt: bool,
        password: str | None,
        status_ntf: bool,
    ) -> None:
        self.name = name
        self._rng = rng
        self._faults: set[str] = set()
        self._door: Profile = (
            RelayDoor(rng, self._faults, reeds) if reeds else CoverDoor(rng, self._faults)
        )
        family = {"S2PMG3": "shelly2pmg3", "Mini1G4": "shelly1minig4"}[self._door.app]
        device_id = f"{family}-e08cfe{rng.randrange(2**24):06x}"
        self.core = RpcCore(
            device_id=device_id,
            name=name,
            profile=self._door,
            password=password,
            mqtt=over_mqtt,
            status_ntf=status_ntf,
            faults=self._faults,
        )
        self._status_ntf = status_ntf and over_mqtt
        control = "switch:0" if reeds else "cover:0"
        self.session: MqttSession | None = None
        self.hub: Hub | None = None
        if over_mqtt:
            self.session = MqttSession(
                client_id=name,
                keepalive_s=_KEEPALIVE_S,
                subscriptions=(
                    (f"{name}/rpc", 1),
                    (f"{name}/command", 1),
                    (f"{name}/command/{control}", 1),
                ),
                will=Publish(f"{name}/online", b"false", qos=0, retain=True),
            )
        else:
            self.hub = HubOfOne(self)
        self._linked = False
        #: WebSockets that asked something, with what they call themselves.
        self.peers: dict[str, str] = {}
        self._plans: dict[str, int] = {}
        self._dropped = False
        self._known: dict[str, Status] = {}
        self._stated: dict[str, tuple[object, bool]] = {}
        self._messages: list[Message] = []
        self._truths: list[Truth] = []

    # --- SimDevice ----------------------------------------------------------------------------

    def connected(self, now_ms: int) -> Effects:
        """Say that it is there, and no more."""
        self._linked = True
        if not self.core.booted_ms:
            self.core.booted_ms = now_ms
            self._known = self._tellable(now_ms)
        self._plans.pop("rejoin", None)
        self._dropped = False
        if "drop_loop" in self._faults:
            self._plans["drop"] = now_ms + _DROP_EVERY_MS
        self._online(now_ms)
        self._state_all(now_ms, told=frozenset())
        return self._effects()

    def disconnected(self, now_ms: int) -> Effects:
        """The will is the broker's to publish. The door goes on."""
        self._linked = False
        self.peers.clear()
        self._state("reachability", "Offline", now_ms, sent=False)
        return self._effects()

    def receive(self, message: Publish | bytes, now_ms: int) -> Effects:
        """A request, or a plain command."""
        if isinstance(message, Publish) and self._hears:
            what = message.topic.removeprefix(f"{self.name}/")
            if what == "rpc":
                answer = self.core.answer(message.payload, "MQTT", now_ms)
                self._tell(now_ms)
                if answer is not None and answer[0]:
                    self._publish(f"{answer[0]}/rpc", answer[1], now_ms)
            elif message.payload == b"status_update":
                self._publish_statuses(sorted(self._door.status(now_ms)), now_ms)
            else:
                word = message.payload.decode(errors="replace")
                self._door.word(what.removeprefix("command/"), word, now_ms)
        self._tell(now_ms)
        return self._effects()

    def wake(self, now_ms: int) -> Effects:
        """Carry out what is due, in the order it was due."""
        while (due := self._next()) is not None and due[0] <= now_ms:
            at_ms, plan = due
            if plan in self._door.plans:
                self._door.run(plan, at_ms)
            else:
                self._run(plan, at_ms)
            self._tell(at_ms)
        return self._effects()

    def act(self, habit: str, now_ms: int) -> Effects:
        """One of `HABITS`, or `fault:<name>` / `heal:<name>`."""
        verb, fault = deed(habit, FAULTS, WORLD)
        if verb == "firmware":
            self.core.firmware = fault
        elif verb:
            {"fault": self._break, "heal": self._heal}[verb](fault, now_ms)
        elif habit not in HABITS:
            raise KeyError(habit)
        else:
            self._door.act(habit, now_ms)
        self._tell(now_ms)
        return self._effects()

    # --- as a server --------------------------------------------------------------------------

    def opened(self, peer: str) -> HttpReply | None:
        """A WebSocket; it is told nothing before it asked something."""
        if not self._hears:
            return HttpReply(503)
        if len(self.peers) >= _PEERS_MAX:
            return HttpReply(503)
        self.peers[peer] = ""
        return None

    def texted(self, message: WsText, now_ms: int) -> Effects:
        """A frame over a WebSocket."""
        if not self._hears or message.peer not in self.peers or "ws_rpc_hangs" in self._faults:
            return self._effects()
        answer = self.core.answer(message.text.encode(), "WS_in", now_ms)
        self._tell(now_ms)
        if answer is not None:
            src, reply = answer
            self._messages.append(WsText(message.peer, reply.decode()))
            if b'"error":{"code":401' not in reply:
                self.peers[message.peer] = src
        return self._effects()

    def asked(self, request: HttpRequest, now_ms: int) -> tuple[HttpReply | None, Effects]:
        """An HTTP request; None while nobody is there."""
        if not self._hears:
            return None, self._effects()
        reply = self.core.http(request, now_ms)
        self._tell(now_ms)
        return reply, self._effects()

    # --- telling ------------------------------------------------------------------------------

    @property
    def _hears(self) -> bool:
        away = self._dropped or "no_reconnect" in self._faults or "booted" in self._plans
        return self._linked and not away

    def _tellable(self, now_ms: int) -> dict[str, Status]:
        """What a change of is news. Where it is while it moves, is none."""
        components = {}
        for name, status in self._door.status(now_ms).items():
            kept = {key: value for key, value in status.items() if key not in _UNTOLD}
            if "move_started_at" in kept:
                kept.pop("current_pos", None)
            components[name] = kept
        return components

    def _tell(self, now_ms: int) -> None:
        """A delta of what changed. What is gone is not told, nor what was told before."""
        deltas: dict[str, Status] = {}
        for name, status in self._tellable(now_ms).items():
            known = self._known.setdefault(name, {})
            changed = {key: value for key, value in status.items() if known.get(key) != value}
            moving = "move_started_at" in status
            for key in [key for key in known if key not in status]:
                if key != "current_pos" or not moving:
                    del known[key]
            known.update(status)
            if "state" in changed and not moving and "final_pos_missing" in self._faults:
                changed.pop("current_pos", None)
            if changed:
                deltas[name] = changed
        told: set[str] = set()
        if deltas and self._hears and "notifications_stop" not in self._faults:
            told = self._notify(deltas, now_ms)
        self._state_all(now_ms, told=told)

    def _notify(self, deltas: Mapping[str, Status], now_ms: int) -> set[str]:
        """Let a delta leave; the axes that it tells."""
        components = {
            name: {"id": int(name.partition(":")[2]), **changed} for name, changed in deltas.items()
        }
        params: dict[str, Any] = {"ts": round(now_ms / 1_000, 2), **components}
        frame = {"src": self.core.device_id, "method": "NotifyStatus", "params": params}
        sent = False
        if self.session is not None:
            frame["dst"] = f"{self.name}/events"
            self._publish(f"{self.name}/events/rpc", orjson.dumps(frame), now_ms)
            if self._status_ntf:
                self._publish_statuses(list(deltas), now_ms)
            sent = True
        for peer, src in self.peers.items():
            if src:
                text = orjson.dumps({**frame, "dst": src}).decode()
                self._messages.append(WsText(peer, text))
                sent = True
        return self._axes(deltas) if sent else set()

    def _axes(self, deltas: Mapping[str, Status]) -> set[str]:
        cover = deltas.get("cover:0", {})
        if isinstance(self._door, RelayDoor):
            reeds = any(name.startswith("input:") for name in deltas)
            return set(_PLACE) if reeds else set()
        whole = self._status_ntf and bool(cover)
        told = set(_PLACE) if whole or "state" in cover else set()
        if whole or cover.keys() & {"current_pos", "move_started_at"}:
            told.add("position_pct")
        elif "state" in cover:
            told.add("no_pct")
        # An end that no switch stands behind is a guess, unless the position is told with it.
        guessed = cover.get("state") in _ENDS and cover.get("source") != "limit_switch"
        if guessed and "current_pos" not in cover:
            told.add("no_end")
            if not whole:
                told.remove("position")
        if whole or "errors" in cover:
            told |= {"error", "obstruction"}
        return told

    def _publish_statuses(self, names: Sequence[str], now_ms: int) -> None:
        statuses = self._door.status(now_ms)
        for name in names:
            self._publish(f"{self.name}/status/{name}", orjson.dumps(statuses[name]), now_ms)

    def _publish(self, topic: str, payload: bytes, now_ms: int) -> None:
        """QoS 1 as captured; whether a broker keeps it is unproven, so it is asked not to."""
        self._messages.append(Publish(topic, payload, qos=1))
        self._state("reachability", "Online", now_ms, sent=True)

    def _online(self, now_ms: int) -> None:
        if not self._hears:
            return
        if self.session is not None:
            self._messages.append(Publish(f"{self.name}/online", b"true", retain=True))
        self._state("reachability", "Online", now_ms, sent=self.session is not None)

    def _state_all(self, now_ms: int, *, told: set[str] | frozenset[str]) -> None:
        """What is so now, and which part of it has just left."""
        for axis, value in self._door.seen(now_ms).items():
            if _WITHHELD.get(axis) in told:
                self._state(axis, None, now_ms, sent=True)
            self._state(axis, value, now_ms, sent=axis in told)

    def _state(self, axis: str, value: str | int | None, now_ms: int, *, sent: bool) -> None:
        """A truth, if it is otherwise than last stated, or told for the first time."""
        before = self._stated.get(axis)
        if before is not None and before[0] == value and (before[1] or not sent):
            return
        self._stated[axis] = (value, sent)
        self._truths.append(Truth(self.name, axis, value, now_ms, sent))

    # --- time ---------------------------------------------------------------------------------

    def _next(self) -> tuple[int, str] | None:
        plans = {**self._plans, **self._door.plans}
        return min(((at_ms, plan) for plan, at_ms in plans.items()), default=None)

    def _run(self, plan: str, at_ms: int) -> None:
        del self._plans[plan]
        match plan:
            case "drop":
                self._drop(at_ms)
                self._plans["rejoin"] = at_ms + self._rng.randint(*_DROPPED_MS)
            case "rejoin":
                self._dropped = False
                self._online(at_ms)
                if "drop_loop" in self._faults:
                    self._plans["drop"] = at_ms + _DROP_EVERY_MS
            case _:  # "booted"
                self.core.booted_ms = at_ms
                if self._linked:
                    self._online(at_ms)

    def _drop(self, now_ms: int) -> None:
        """Its link breaks: the broker publishes the will, and WebSockets end."""
        if not self._linked or self._dropped:
            return
        if self.session is not None and self.session.will is not None:
            self._messages.append(self.session.will)
        self._messages += [WsClose(peer, 1006) for peer in self.peers]
        self.peers.clear()
        self._state("reachability", "Offline", now_ms, sent=self.session is not None)
        self._dropped = True

    def _effects(self) -> Effects:
        due = self._next()
        effects = Effects(tuple(self._messages), tuple(self._truths), due[0] if due else None)
        self._messages.clear()
        self._truths.clear()
        return effects

    # --- what goes wrong ----------------------------------------------------------------------

    def _break(self, fault: str, now_ms: int) -> None:
        match fault:
            case "stuck_offline" if self.session is not None and self._hears:
                # The broker's mistake: the will of an older session, after the birth of this one.
                self._messages.append(Publish(f"{self.name}/online", b"false", retain=True))
                self._state("reachability", "Offline", now_ms, sent=True)
            case "no_reconnect":
                self._drop(now_ms)
                self._dropped = False
            case "drop_loop":
                self._plans["drop"] = now_ms
            case "reboot":
                self.peers.clear()  # nobody is told: the other end finds out, or does not
                self._drop(now_ms)
                self._dropped = False
                self._plans["booted"] = now_ms + self._rng.randint(*_BOOT_MS)
                self._door.rebooted(now_ms)
        self._faults.add(fault)
        self._door.breaks(fault, now_ms)

    def _heal(self, fault: str, now_ms: int) -> None:
        self._faults.discard(fault)
        self._door.heals(fault, now_ms)
        match fault:
            case "stuck_offline" | "no_reconnect" if self._linked:
                self._online(now_ms)
            case "drop_loop":
                self._plans.pop("drop", None)


class HubOfOne:
    """The device as the server that it is: a `vendors.sim.Hub`."""

    session: MqttSession | None = None
    tls = False

    def __init__(self, device: Shelly) -> None:
        self.name = device.name
        self._device = device

    def connected(self, now_ms: int) -> HubEffects:
        """Power on."""
        return self._of(self._device.connected(now_ms))

    def disconnected(self, now_ms: int) -> HubEffects:
        """Power off."""
        return self._of(self._device.disconnected(now_ms))

    def receive(self, message: Arrival, now_ms: int) -> HubEffects:
        """HTTP, or something about a WebSocket."""
        device = self._device
        match message:
            case HttpRequest():
                answer, effects = device.asked(message, now_ms)
                return self._of(effects, answer)
            case WsOpen():
                refused = HttpReply(404) if message.request.path != "/rpc" else None
                return HubEffects(refused or device.opened(message.peer), self.name)
            case WsText():
                return self._of(device.texted(message, now_ms))
            case WsClose():
                device.peers.pop(message.peer, None)
        return HubEffects(about=self.name)

    def wake(self, now_ms: int) -> HubEffects:
        """It plans nothing; its device does."""
        del now_ms
        return HubEffects()

    def _of(self, effects: Effects, answer: HttpReply | None = None) -> HubEffects:
        return HubEffects(answer, self.name, devices={self.name: effects})
