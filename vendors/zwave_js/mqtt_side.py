"""Listening to the MQTT gateway of Z-Wave JS UI, and asking it to act.

broker ──► MqttLink ──► values by topic ──► Node, which knows what belongs together ──► cell
▲                                           │ an acknowledgement waits for all of it
└── <topic>/set, _CLIENTS/.../api/<f>/set   ▼
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, Final
from urllib.parse import quote

import orjson

from devices.command import Command, Reason
from devices.errors import RefusedError
from devices.twin import Twin
from vendors.api import Frame, Port
from vendors.wire.mqtt_adapter import MqttLink
from vendors.zwave_js import topics
from vendors.zwave_js.names import DOOR_LOCK, NOTIFICATION, USER_CODE, VENDOR, node_of
from vendors.zwave_js.nodes import ASLEEP, DEAD, PAUSE_MS, Node, wanted_as
from vendors.zwave_js.server_side import REVIVE_S, user_id_status, value_of
from vendors.zwave_js.settings import GatewaySettings, ZwaveJsSettings
from vendors.zwave_js.topics import GatewayTopic, StatusTopic, ValueTopic

_ASK_MS: Final = 2_000
_PING_MS: Final = 30_000
_VERIFY_S: Final = 5.0
_BETWEEN_S: Final = 1.0
_SLOT_MS: Final = 70_000
_TOPICS_MAX: Final = 2_048
#: Nodes of any kind that are kept in mind, for the case that they turn out to be locks.
_DEVICES_MAX: Final = 8_192
_STATUS_EVENTS: Final[Mapping[int, str]] = {1: "sleep", 2: "wake up", 3: "dead", 4: "alive"}


class _Ack:
    """An acknowledgement upstream that waits for every frame of its chunk."""

    def __init__(self, committed: Callable[[], None] | None) -> None:
        self.open = 1
        self._committed = committed

    def done(self) -> None:
        """One more is durable."""
        self.open -= 1
        if self.open == 0 and self._committed is not None:
            self._committed()


class _Device:
    """One node as its topics tell of it; a lock once it has a lock's value."""

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self.node = Node(f"mqtt/{quote(name, safe='')}")
        self.is_lock = False
        #: What comes now is what the gateway or the broker kept, and no news.
        self.recalling = True
        self.number = node_of(name)
        self.ways: dict[int, str] = {}
        #: What was kept for us, or told before it was known to be a lock.
        self.recalled: dict[tuple[object, ...], dict[str, Any]] = {}
        #: What the present greeting told so far, and when the gateway last said something of it.
        self.greeted: set[tuple[object, ...]] = set()
        self.greeted_ms: int | None = None
        self.status: int | None = None
        self.acks: list[_Ack] = []
        #: Topic to the last message on it: one that comes again word for word is no news.
        self.heard: dict[str, tuple[object, object]] = {}
        self.asked_ms = 0
        self.slots: dict[int, int] = {}
        self.pause: asyncio.TimerHandle | None = None
        self.check: asyncio.TimerHandle | None = None

    def greets(self, key: tuple[object, ...], time: object) -> bool:
        """Whether a value is the rest of a greeting that came in pieces.

        A large network's greeting is longer than what may be unacknowledged, and waits for us in
        between. By the gateway's own clock there was no pause.
        """
        if self.greeted_ms is None or not isinstance(time, int) or key in self.greeted:
            return False
        return 0 <= time - self.greeted_ms < PAUSE_MS


class MqttSide:
    """The locks of one gateway."""

    def __init__(self, settings: ZwaveJsSettings, gateway: GatewaySettings, port: Port) -> None:
        self._port = port
        self._prefix = gateway.prefix
        self._name = gateway.name
        self._interval_s = gateway.poll_interval_s
        self._only = frozenset(settings.nodes)
        self._devices: dict[str, _Device] = {}
        self._link = MqttLink(
            VENDOR, gateway, _Through(port, self), subscriptions=[f"{gateway.prefix}/#"]
        )
        self._broker = (False, "")
        self._there = True

    async def run(self) -> None:
        """Listen, and ask each lock now and then, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._link.run())
                group.create_task(self._rounds())
                group.create_task(self._revive())
        finally:
            for device in self._devices.values():
                for handle in (device.pause, device.check):
                    if handle is not None:
                        handle.cancel()

    # --- what the link gives ------------------------------------------------------------------

    def took(self, frames: Sequence[Frame], committed: Callable[[], None] | None) -> None:
        """A chunk of messages, in order."""
        ack = _Ack(committed)
        for frame in frames:
            self._message(frame, ack)
        ack.done()

    def told(self, *, up: bool, reason: str) -> None:
        """The link to the broker; there is one to the locks if the gateway is there too."""
        self._broker = (up, reason)
        self._tell()

    def _tell(self) -> None:
        up, reason = self._broker
        if up and not self._there:
            up, reason = False, "the gateway is not connected to the broker"
        self._port.link(up=up, reason=reason)

    def _message(self, frame: Frame, ack: _Ack) -> None:
        topic = topics.read(self._prefix, self._name, frame.source)
        if topic is None or (isinstance(topic, GatewayTopic) and topic.what != "status"):
            return
        body = _body(frame.payload)
        if body is None:
            self._offer([frame._replace(source="mqtt/message", payload=b"")], [ack])
        elif isinstance(topic, GatewayTopic):
            self._gateway(there=body.get("value") is not False, ack=ack)
        elif not self._only or topic.device in self._only:
            device = self._devices.get(topic.device)
            if device is None and len(self._devices) < _DEVICES_MAX:
                device = self._devices[topic.device] = _Device(topic.device)
            if device is not None:
                self._of_device(device, topic, body, frame, ack)

    def _gateway(self, *, there: bool, ack: _Ack) -> None:
        """Its will, or its greeting: nobody behind a gateway that is gone can be reached."""
        self._there = there
        self._tell()
        for device in self._devices.values():
            if there and device.recalled:
                self._settle(device)
            device.recalling = device.recalling or there
            device.greeted, device.greeted_ms = set(), None
            if not there and device.is_lock:
                frames = device.node.gateway_gone(self._port.now_ms())
                self._offer(frames, [ack, *self._released(device)])

    def _of_device(
        self,
        device: _Device,
        topic: ValueTopic | StatusTopic,
        body: Mapping[str, Any],
        frame: Frame,
        ack: _Ack,
    ) -> None:
        if isinstance(topic, StatusTopic):
            self._status(device, body, frame, ack)
            return
        args = topic.args
        event = topics.event_of(args)
        if event is None and not wanted_as(args):
            return  # a code, for one
        word = (body.get("time"), body.get("value"))
        if word[0] is not None and device.heard.get(frame.source) == word:
            return  # a lock's own repeat has a time of its own
        if len(device.heard) < _TOPICS_MAX or frame.source in device.heard:
            device.heard[frame.source] = word
        if event is not None:
            if device.is_lock and not frame.retained:
                shown = {"type": 6, "event": event, "parameters": body.get("value")}
                self._heard(
                    device, {"event": "notification", "ccId": NOTIFICATION, "args": shown}, ack
                )
            return
        device.ways[args["commandClass"]] = topic.way
        device.is_lock = device.is_lock or args["commandClass"] == DOOR_LOCK
        value, key = body.get("value"), tuple(args.items())
        if device.is_lock and not frame.retained and key in device.recalled:
            self._settle(device)  # what is told a second time is told anew
        live = not frame.retained and not device.recalling and not device.greets(key, word[0])
        if device.is_lock and live:
            told = {"event": "value updated", "args": {**args, "newValue": value}}
            self._heard(device, told, ack)
            return
        device.recalled[key] = {**args, "value": value}
        if not frame.retained:
            device.greeted.add(key)
            device.greeted_ms = word[0] if isinstance(word[0], int) else None
        self._hold(device, ack)

    def _status(self, device: _Device, body: Mapping[str, Any], frame: Frame, ack: _Ack) -> None:
        number, status = body.get("nodeId"), topics.STATUS.get(str(body.get("status")))
        if isinstance(number, int):
            device.number = number
        if status is None:
            return
        if frame.retained or device.recalling or status not in _STATUS_EVENTS:
            device.status = status
            self._hold(device, ack)
        else:
            self._heard(device, {"event": _STATUS_EVENTS[status]}, ack)

    # --- rows ---------------------------------------------------------------------------------

    def _heard(self, device: _Device, event: Mapping[str, Any], ack: _Ack) -> None:
        frames = device.node.heard(event, self._port.now_ms())
        if frames:
            self._offer(frames, [ack, *self._released(device)])
        if device.node.waiting:
            self._hold(device, ack)
        self._watch(device)

    def _hold(self, device: _Device, ack: _Ack) -> None:
        """More may belong to it: it is told after a pause, and acknowledged then."""
        if device.is_lock:
            if ack not in device.acks:
                ack.open += 1
                device.acks.append(ack)
            self._watch(device, anew=True)

    def _released(self, device: _Device) -> list[_Ack]:
        """Acknowledgements that waited for the end of a row."""
        held, device.acks = device.acks, []
        for ack in held:
            # What they waited for is what is offered next; that is counted by itself.
            asyncio.get_running_loop().call_soon(ack.done)
        return held

    def _watch(self, device: _Device, *, anew: bool = False) -> None:
        loop = asyncio.get_running_loop()
        if device.node.waiting or anew:
            if device.pause is not None:
                device.pause.cancel()
            device.pause = loop.call_later(PAUSE_MS / 1000, self._settle, device)
        if device.node.unproven and device.check is None:
            device.check = loop.call_later(_VERIFY_S, self._verify, device)

    def _settle(self, device: _Device) -> None:
        """Nothing more came for a moment: what was kept for us is complete, and so is a row."""
        if device.pause is not None:
            device.pause.cancel()
        device.pause, device.recalling = None, False
        now_ms, frames = self._port.now_ms(), device.node.settled()
        told: Sequence[Frame] = ()
        if device.recalled:
            state: dict[str, Any] = {"values": list(device.recalled.values())}
            state |= {} if device.status is None else {"status": device.status}
            told = device.node.remembered(state, now_ms, whole=False)
        elif device.status is not None and device.status in _STATUS_EVENTS:
            told = device.node.heard({"event": _STATUS_EVENTS[device.status]}, now_ms)
        frames += [frame._replace(retained=True) for frame in told]
        device.recalled, device.status = {}, None
        if told and not self._there:
            frames += device.node.gateway_gone(now_ms)
        self._offer(frames, self._released(device))
        self._watch(device)

    def _verify(self, device: _Device) -> None:
        device.check = None
        if device.node.unproven:
            self._ask(device)

    def _offer(self, frames: Sequence[Frame], acks: Sequence[_Ack]) -> None:
        """Hand frames over; each acknowledgement waits for them too."""
        if frames:
            for ack in acks:
                ack.open += 1
            self._port.offer(frames, partial(_done, tuple(acks)))

    # --- questions and commands ---------------------------------------------------------------

    async def _rounds(self) -> None:
        """Ask one lock after the other, at the interval."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + self._interval_s
            for device in [each for each in self._devices.values() if each.is_lock]:
                if self._there:
                    self._ask(device)
                await asyncio.sleep(_BETWEEN_S)
            await asyncio.sleep(max(0.0, due_s - loop.time()))

    async def _revive(self) -> None:
        """Look for the nodes that were given up."""
        while True:
            await asyncio.sleep(REVIVE_S)
            for device in [d for d in self._devices.values() if d.node.status == DEAD]:
                if self._there and device.is_lock:
                    self._ask(device)
                    await asyncio.sleep(_BETWEEN_S)

    async def refresh(self, device: str) -> None:
        """Ask the lock, if nobody has just done so; its report comes by its topics."""
        found = self._devices.get(device)
        if found is not None and found.is_lock:
            self._ask(found)

    def _ask(self, device: _Device) -> None:
        now_ms, status = self._port.now_ms(), device.node.status
        pause_ms = _PING_MS if status == DEAD else _ASK_MS
        if device.number is None or status == ASLEEP or now_ms - device.asked_ms < pause_ms:
            return
        device.asked_ms = now_ms
        if status == DEAD:
            self._api("pingNode", device.number)
            return
        where = {"nodeId": device.number, "endpoint": 0}
        self._api("pollValue", {**where, "commandClass": DOOR_LOCK, "property": "currentMode"})
        device.slots = {slot: end for slot, end in device.slots.items() if end > now_ms}
        for slot in device.slots:
            self._api("pollValue", {**where, **user_id_status(slot)})

    def _api(self, function: str, argument: object) -> None:
        topic = f"{self._prefix}/_CLIENTS/ZWAVE_GATEWAY-{self._name}/api/{function}/set"
        self._link.ask(topic, orjson.dumps({"args": [argument]}), expiry_s=10)

    async def send(self, command: Command) -> None:
        """Publish one value, once; the gateway says of none whether it was taken.

        Raises:
            RefusedError: nothing left us.
            RejectedError: the broker said no.
            UnavailableError: it left, and the broker did not answer.
        """
        value_id, value = value_of(command)
        device = self._devices.get(command.device)
        if device is None or not device.is_lock:
            raise RefusedError(Reason.UNKNOWN_DEVICE)
        if device.node.status == ASLEEP:
            raise RefusedError(Reason.OFFLINE)
        if not self._there:
            raise RefusedError(Reason.UNAVAILABLE)
        number = int(str(value_id["commandClass"]))
        way = device.ways.get(number, f"{number}/0")
        levels = [self._prefix, device.name, way, str(value_id["property"])]
        if number == USER_CODE:
            slot = int(str(value_id["propertyKey"]))
            levels.append(str(slot))
            device.slots[slot] = self._port.now_ms() + _SLOT_MS
        payload = orjson.dumps({"value": value})
        await self._link.command("/".join([*levels, "set"]), payload, command.deadline_ms)


def _done(acks: Sequence[_Ack]) -> None:
    for ack in acks:
        ack.done()


def _body(payload: bytes) -> Mapping[str, Any] | None:
    """The object of a payload; None if it is none."""
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


class _Through:
    """The cell as the link meets it: what it offers goes through the nodes first."""

    def __init__(self, port: Port, side: MqttSide) -> None:
        self._port = port
        self._side = side
        self.rng: Random = port.rng
        self.network: Any = port.network

    def now_ms(self) -> int:
        """The cell's."""
        return self._port.now_ms()

    def offer(self, frames: Sequence[Frame], committed: Callable[[], None] | None) -> None:
        """To the nodes."""
        self._side.took(frames, committed)

    def cursor(self, name: str) -> int | None:
        """The cell's."""
        return self._port.cursor(name)

    def link(self, *, up: bool, reason: str) -> None:
        """To the side, which knows of the gateway too."""
        self._side.told(up=up, reason=reason)

    def twin(self, device: str) -> Twin | None:
        """The cell's."""
        return self._port.twin(device)
