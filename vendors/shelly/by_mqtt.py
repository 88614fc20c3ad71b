"""Shelly devices that are clients of a broker: notifications in, RPC out, replies correlated."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from devices.command import Command, Reason
from devices.errors import RefusedError, UnavailableError
from vendors.api import Frame, Port
from vendors.shelly import codec, commands
from vendors.shelly.opener import Opener
from vendors.shelly.settings import ShellyMqtt, ShellySettings
from vendors.shelly.watch import GET_STATUS, Watch
from vendors.wire.errors import NoReplyError
from vendors.wire.mqtt_adapter import MqttLink

# Ids are ours alone among all who speak to the device, as far as chance can make them so.
_IDS: Final = 2**31
# A broker with more names below the prefix than this has something else there.
_DEVICES_MAX: Final = 20_000


class MqttSide:
    """All devices of one broker."""

    def __init__(self, settings: ShellySettings, mqtt: ShellyMqtt, port: Port) -> None:
        self._settings = settings
        self._mqtt = mqtt
        self._port = port
        self._route = codec.router(mqtt.prefix, mqtt.reply_to, mqtt.devices)
        self._waiting: dict[tuple[str, int], asyncio.Future[Mapping[str, Any]]] = {}
        self._watches: dict[str, Watch] = {}
        self._tasks: asyncio.TaskGroup | None = None
        topics = [f"{mqtt.prefix}{device}" for device in mqtt.devices or ("+",)]
        below = ("online", "events/rpc", "status/+")
        self._link = MqttLink(
            codec.VENDOR,
            mqtt,
            port,
            subscriptions=[
                *(f"{topic}/{what}" for topic in topics for what in below),
                f"{mqtt.reply_to}/+/rpc",
            ],
            overhear=self._overhear,
        )

    async def run(self) -> None:
        """Listen and ask until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for device in self._mqtt.devices:
                self._watch(device)
            await self._link.run()

    async def send(self, command: Command) -> None:
        """Let one request leave, and hear whether the device takes it."""
        device = command.device
        wiring = self._settings.openers.get(device)
        method, params = commands.call_for(command, self._port.twin(device), wiring)
        if wiring is not None:
            await self._look_first(command, wiring)
        number, answer = self._expect(device)
        request = self._request(number, device, method, params)
        try:
            await self._link.command(self._topic(device), request, command.deadline_ms)
            async with asyncio.timeout(self._within_s(command)):
                reply = await answer
        except TimeoutError:
            raise UnavailableError(codec.VENDOR, "no reply in time") from None
        finally:
            del self._waiting[device, number]
        commands.outcome(reply)

    async def _look_first(self, command: Command, wiring: Opener) -> None:
        """What was known a moment ago is too old for a toggle."""
        try:
            reply = await self._status(command.device, self._within_s(command))
        except NoReplyError:
            raise RefusedError(Reason.UNAVAILABLE) from None
        commands.permit_press(command, wiring, reply)

    def _within_s(self, command: Command) -> float:
        left_ms = command.deadline_ms - self._port.now_ms()
        return max(0, min(left_ms, self._settings.reply_timeout_ms)) / 1_000

    async def refresh(self, device: str) -> None:
        """Ask for the whole status."""
        if (watch := self._watches.get(device)) is not None:
            await watch.once()

    # --- questions ----------------------------------------------------------------------------

    async def _ask(self, device: str) -> Mapping[str, Sequence[Frame]]:
        """Ask; the answer reaches the cell by the broker, in its place among other frames."""
        reply = await self._status(device, self._settings.reply_timeout_ms / 1_000)
        if "result" not in reply:
            raise NoReplyError(f"refused: {commands.reason_of(reply.get('error'))}")
        return {}

    async def _status(self, device: str, within_s: float) -> Mapping[str, Any]:
        number, answer = self._expect(device)
        request = self._request(number, device, GET_STATUS, {})
        self._link.ask(self._topic(device), request, expiry_s=max(1, round(within_s)))
        try:
            async with asyncio.timeout(within_s):
                return await answer
        except TimeoutError:
            raise NoReplyError("no reply in time") from None
        finally:
            del self._waiting[device, number]

    def _expect(self, device: str) -> tuple[int, asyncio.Future[Mapping[str, Any]]]:
        number = self._port.rng.randrange(1, _IDS)
        answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[device, number] = answer
        return number, answer

    def _request(
        self, number: int, device: str, method: str, params: Mapping[str, object]
    ) -> bytes:
        src = f"{self._mqtt.reply_to}/{device}"
        return orjson.dumps({"id": number, "src": src, "method": method, "params": params})

    def _topic(self, device: str) -> str:
        return f"{self._mqtt.prefix}{device}/rpc"

    # --- what comes in ------------------------------------------------------------------------

    def _overhear(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            route = self._route(frame.source)
            if route is None:
                continue
            if route.what == "reply":
                self._replied(route.device, frame)
                continue
            if (watch := self._watch(route.device)) is None:
                continue
            watch.heard()
            # After a (re)connect, ours or the device's, deltas are no state. And a delta does not
            # tell what is no longer so: an error that is over, a position that was left.
            if route.what == "online" or commands.stirs(frame.payload):
                watch.soon()

    def _replied(self, device: str, frame: Frame) -> None:
        if frame.retained:
            return
        try:
            reply = orjson.loads(frame.payload)
        except orjson.JSONDecodeError:
            return
        number = reply.get("id") if isinstance(reply, dict) else None
        answer = self._waiting.get((device, number)) if isinstance(number, int) else None
        if answer is not None and not answer.done():
            answer.set_result(reply)

    def _watch(self, device: str) -> Watch | None:
        found = self._watches.get(device)
        if found is None and self._tasks is not None and len(self._watches) < _DEVICES_MAX:

            async def ask(asked_ms: int) -> Mapping[str, Sequence[Frame]]:
                del asked_ms
                return await self._ask(device)

            found = self._watches[device] = Watch(self._port, device, self._settings, ask)
            self._tasks.create_task(found.run())
        return found
