"""Listening to a Zigbee2MQTT, asking its locks again, and telling them what to do.

    bridge ── everything below its base topic ──► names, news, failures ──► the cell: a lock's own
    bridge ◄── <address>/set, once ─────────────── commands; no reply but a line of its log
           ◄── <address>/get ───────────────────── after a command, after a gap, now and then

Topics that we publish to name a lock by its address: no rename sends a command to another door.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Final
from zlib import crc32

import orjson

from devices.command import Command, Reason
from devices.errors import DecodeError, RefusedError, RejectedError, UnavailableError
from devices.health import Reachability
from vendors.api import Decode, Frame, Port
from vendors.wire.mqtt import Link
from vendors.wire.mqtt_adapter import MqttLink
from vendors.zigbee2mqtt import bridge, codec
from vendors.zigbee2mqtt.news import ANSWER_MS, Question
from vendors.zigbee2mqtt.settings import Zigbee2MqttSettings
from vendors.zigbee2mqtt.watch import ASK_GAP_MS, BOLT, Slot, Waiting, Watch

#: What a bolt is told.
STATES: Final[Mapping[str, str]] = {"LockDoor": "LOCK", "UnlockDoor": "UNLOCK"}
CREDENTIALS: Final = ("SetCredential", "ClearCredential")
COMMANDS: Final = (*STATES, *CREDENTIALS)
#: What a part says when that was done.
_WANTED: Final[Mapping[str, str]] = {
    "LockDoor": "Locked",
    "UnlockDoor": "Unlocked",
    "SetCredential": "OccupiedEnabled",
    "ClearCredential": "Available",
}

# The bridge gives up on a lock after 10 s, and says so then.
_VERDICT_MS: Final = 12_000
#: When a lock is asked what became of a command, in ms after each other.
_READ_BACK_MS: Final = (2_000, 4_000, 6_000)
_OCCUPIED_MS: Final = 5_000
_MISSES_MAX: Final = 3
_RETRY_MS: Final = 60_000
# How long a bridge with a large network takes from its first word to its last announcement.
_STARTS_MS: Final = 60_000
# A question after a gap leaves when the bridge has said what it remembers.
_AFTER_GAP_MS: Final = (500, 3_000)
# What a slot's lock is asked for after a command, as long as the command may wait.
_SLOT_MS: Final = 70_000
_SLOT_GAP_MS: Final = 5_000
#: The verdict when the bridge heard nothing of the lock.
_MAY_BE_DONE: Final = ""
_TICK_S: Final = 0.5
_EXPIRY_S: Final = ANSWER_MS // 1_000


def decoder(settings: Zigbee2MqttSettings) -> Decode:
    """The codec needs no settings."""
    del settings
    return codec.decode


def connect(settings: Zigbee2MqttSettings, port: Port) -> "Zigbee2MqttAdapter":
    """An adapter that opens nothing before `run`."""
    return Zigbee2MqttAdapter(settings, port)


class Zigbee2MqttAdapter:
    """The locks of one Zigbee2MQTT."""

    def __init__(self, settings: Zigbee2MqttSettings, port: Port) -> None:
        self._settings = settings
        self._port = port
        self._base = f"{settings.base_topic}/"
        self._names: Mapping[str, bridge.Lock] = {}
        self._watches: dict[str, Watch] = {}
        self._linked = False
        self._stirred = asyncio.Event()
        self._bridge_up: bool | None = None
        #: When the bridge last said, live, that it is there.
        self._online_at_ms: int | None = None
        #: By (device, what was set): who waits for the bridge's verdict.
        self._waiting: dict[tuple[str, str], Waiting] = {}
        self._link = MqttLink(
            codec.VENDOR,
            settings,
            port,
            # Names have any number of slashes in them.
            subscriptions=[f"{self._base}#"],
            overhear=self._overhear,
            linked=self._tell,
        )

    async def run(self) -> None:
        """Listen and ask until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._link.run())
            both.create_task(self._ask_forever())

    # --- what comes in ------------------------------------------------------------------------

    def _tell(self, link: Link) -> None:
        """The broker came or went; what was said in between is lost."""
        self._linked = link.up
        self._bridge_up = None
        self._online_at_ms = None
        self._gap()
        self._stirred.set()
        self._port.link(up=link.up, reason=link.reason)

    def _overhear(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Of everything below the base topic, what concerns a lock, under its address."""
        found: list[Frame] = []
        self._stirred.set()
        for frame in frames:
            if not frame.source.startswith(self._base):
                continue
            topic = frame.source.removeprefix(self._base)
            if topic.startswith("bridge/"):
                found += self._of_bridge(topic, frame)
            else:
                found += self._of_lock(topic, frame)
        return found

    def _of_bridge(self, topic: str, frame: Frame) -> Sequence[Frame]:
        if topic in {"bridge/info", "bridge/devices"} and not frame.retained:
            self._may_have_started(frame.received_at_ms)
        if topic == "bridge/logging":
            self._log_line(frame.payload)
        elif topic == "bridge/state":
            up = bridge.link(frame.payload)
            if up is None:
                return (frame._replace(source=topic),)
            return self._bridge_is(frame, up=up)
        elif topic == "bridge/devices":
            names = bridge.locks(frame.payload)
            if names is None:
                return (frame._replace(source=topic),)
            return self._these_are_locks(names, frame)
        return ()

    def _bridge_is(self, frame: Frame, *, up: bool) -> Sequence[Frame]:
        """The bridge came or went, and with it the way to its locks."""
        if self._bridge_up is not None or not up:
            self._port.link(up=up, reason="" if up else "zigbee2mqtt says that it is offline")
        self._bridge_up = up
        if not up or not frame.retained:
            self._gap()
            self._online_at_ms = frame.received_at_ms if up else None
        return [
            self._frame(watch, "bridge", frame)
            for watch in self._watches.values()
            if self._link_changes(watch, up=up)
        ]

    def _may_have_started(self, now_ms: int) -> None:
        """It announces its network when it starts, and not when only its link was lost."""
        if self._online_at_ms is not None and now_ms - self._online_at_ms < _STARTS_MS:
            self._gap(restarted=True)

    def _link_changes(self, watch: Watch, *, up: bool) -> bool:
        """Whether a lock's reachability is otherwise by the bridge's coming or going."""
        if not up:
            watch.silent, watch.missed = True, 0
            return True
        if watch.available is False or not self._is_offline(watch):
            return False
        watch.silent = False
        return True

    def _is_offline(self, watch: Watch) -> bool:
        """As far as the twin knows; it may have been said in an earlier life of ours."""
        twin = self._port.twin(watch.lock.device)
        known = twin.axes.get("reachability") if twin is not None else None
        return watch.silent or (known is not None and known.value == Reachability.OFFLINE)

    def _these_are_locks(self, names: Mapping[str, bridge.Lock], frame: Frame) -> Sequence[Frame]:
        wanted = self._settings.devices
        self._names = {
            name: lock for name, lock in names.items() if not wanted or lock.device in wanted
        }
        present = {lock.device: lock for lock in self._names.values()}
        gone = [watch for device, watch in self._watches.items() if device not in present]
        told = [Frame(_source(watch, "silent"), b"", frame.received_at_ms) for watch in gone]
        for watch in gone:
            del self._watches[watch.lock.device]
        for device, lock in present.items():
            if device in self._watches:
                self._watches[device].lock = lock
                continue
            watch = self._watches[device] = Watch(lock, self._soon_ms(device))
            up = self._bridge_up
            if up is not None and self._link_changes(watch, up=up):
                word = b"online" if up else b"offline"
                told.append(Frame(_source(watch, "bridge"), word, frame.received_at_ms))
        return told

    def _of_lock(self, topic: str, frame: Frame) -> Sequence[Frame]:
        if (lock := self._names.get(topic)) is not None:
            watch = self._watches[lock.device]
            payload = bridge.without_codes(frame.payload)
            return self._document(watch, frame._replace(payload=payload)) if payload else ()
        name, _, what = topic.rpartition("/")
        if (lock := self._names.get(name)) is not None and what == "availability":
            watch = self._watches[lock.device]
            if not frame.payload:
                return ()
            word = codec.link_word(frame.payload)
            watch.available = None if word is None else word == "online"
            watch.silent = word == "offline" or (watch.silent and word is None)
            return (self._frame(watch, "availability", frame),)
        self._other_set(topic)
        return ()

    def _other_set(self, topic: str) -> None:
        """Somebody else tells a lock to do something."""
        name, found, _ = topic.partition("/set")
        lock = self._names.get(name)
        watch = self._watches.get(name if lock is None else lock.device) if found else None
        if watch is not None:
            watch.heard.set_at_ms = self._port.now_ms()

    def _document(self, watch: Watch, frame: Frame) -> Sequence[Frame]:
        """What is new in a lock's document; one that cannot be read goes on as it is."""
        try:
            told = codec.document(frame.payload)
        except DecodeError:
            return (self._frame(watch, "state", frame),)
        device = watch.lock.device
        if frame.retained:
            return (self._frame(watch, "state", frame),)
        first = watch.heard.first
        news = watch.heard.take(told, self._port.twin(device), frame.received_at_ms)
        if news.live or news.acted:
            watch.silent, watch.missed = False, 0
        if news.answered is not None:
            watch.missed = 0
            watch.ask_at_ms = self._next_ms()
        if news.doubtful or first:
            watch.ask_at_ms = min(watch.ask_at_ms, self._soon_ms(device))
        if news.slot is not None:
            watch.slot = Slot(f"users.{news.slot}", self._port.now_ms() + _SLOT_MS, None)
        self._settle(watch, {part: codec.parts(told)[part][0][1] for part in news.live})
        if news.answered is not None and news.how.get(news.answered.part) == "poll":
            frame = frame._replace(received_at_ms=news.answered.asked_at_ms)
        how = "&".join(f"{part}={came}" for part, came in news.how.items())
        return (frame._replace(source=_source(watch, "state") + (f"?{how}" if how else "")),)

    def _frame(self, watch: Watch, what: str, frame: Frame) -> Frame:
        return frame._replace(
            source=_source(watch, what) + ("?*=cached" if what == "state" else "")
        )

    def _gap(self, *, restarted: bool = False) -> None:
        """Something may have been missed: nothing is news until it was asked for."""
        for watch in self._watches.values():
            watch.heard.gap(restarted=restarted)
            watch.missed = 0
            watch.ask_at_ms = self._soon_ms(watch.lock.device)

    # --- what is asked ------------------------------------------------------------------------

    def _soon_ms(self, device: str) -> int:
        """When a lock is asked after a gap: each at a moment of its own, whoever else is there."""
        low, high = _AFTER_GAP_MS
        return self._port.now_ms() + low + crc32(device.encode()) % (high - low)

    def _next_ms(self) -> int:
        return self._port.now_ms() + self._settings.poll_interval_s * 1_000

    async def _ask_forever(self) -> None:
        """Ask each lock when it is due, at the next tick of a clock that nothing else moves."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while True:
            await self._until_due()
            self._stirred.clear()
            await asyncio.sleep(_TICK_S - (loop.time() - began_s) % _TICK_S)
            if not self._linked or self._bridge_up is False:
                continue
            now_ms = self._port.now_ms()
            for watch in list(self._watches.values()):
                self._look_after(watch, now_ms)

    async def _until_due(self) -> None:
        """Until something is asked or to be asked, or anything was heard or wanted."""
        watches = self._watches.values()
        if any(watch.slot is not None or watch.heard.question is not None for watch in watches):
            return
        due_ms = min((watch.ask_at_ms for watch in watches), default=None)
        wait_s = None if due_ms is None else (due_ms - self._port.now_ms()) / 1000
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._stirred.wait()

    def _look_after(self, watch: Watch, now_ms: int) -> None:
        """Count an answer that did not come, and ask again when it is time."""
        question = watch.heard.question
        if question is not None and watch.heard.open_question(now_ms) is None:
            self._missed(watch)
        if watch.slot is not None and now_ms >= watch.slot.until_ms:
            watch.slot = None
        if now_ms >= watch.ask_at_ms:
            if self._ask(watch, BOLT):
                watch.ask_at_ms = self._next_ms()
        elif watch.slot is not None and now_ms - watch.asked_at_ms >= _SLOT_GAP_MS:
            self._ask(watch, watch.slot.part)

    def _missed(self, watch: Watch) -> None:
        """A lock did not answer; after a few times it is told to be away."""
        watch.missed += 1
        retry_ms = min(_RETRY_MS, self._settings.poll_interval_s * 1_000)
        watch.ask_at_ms = min(watch.ask_at_ms, self._port.now_ms() + retry_ms)
        if watch.missed >= _MISSES_MAX and not watch.silent:
            watch.silent = True
            self._port.offer([Frame(_source(watch, "silent"), b"", self._port.now_ms())], None)

    def _ask(self, watch: Watch, part: str) -> bool:
        """Ask a lock for one part of itself; whether the question left."""
        now_ms, heard = self._port.now_ms(), watch.heard
        if not heard.may_be_asked(now_ms) or now_ms - watch.asked_at_ms < ASK_GAP_MS:
            return False
        slot = part.partition(".")[2]
        body: dict[str, object] = {"pin_code": {"user": int(slot)}} if slot else {"state": ""}
        topic = f"{self._base}{watch.lock.device}/get"
        if not self._link.ask(topic, orjson.dumps(body), expiry_s=_EXPIRY_S):
            return False
        watch.asked_at_ms, watch.asked_for = now_ms, part
        heard.question = Question(part, now_ms)
        self._stirred.set()
        return True

    async def refresh(self, device: str) -> None:
        """Ask for the bolt, or for the slot that a command is about. Never moves the lock."""
        watch = self._watches.get(device)
        if watch is not None and self._bridge_up is not False:
            self._ask(watch, self._wanted(watch))

    def _wanted(self, watch: Watch) -> str:
        """One after the other, while a command is about a slot."""
        if watch.slot is not None and watch.asked_for == BOLT:
            return watch.slot.part
        return BOLT

    # --- what is commanded --------------------------------------------------------------------

    async def send(self, command: Command) -> None:
        """Publish once, read back, and hear whether the bridge reports a failure.

        Raises:
            RefusedError: nothing left us.
            RejectedError: the bridge, the lock or the broker said no.
            UnavailableError: it left, and the lock did not answer the bridge.
        """
        watch = self._watches.get(command.device)
        if watch is None:
            raise RefusedError(Reason.UNKNOWN_DEVICE)
        if self._bridge_up is False:
            raise RefusedError(Reason.OFFLINE)
        if command.name in STATES:
            body: dict[str, object] = {"state": STATES[command.name]}
            await self._set(watch, "state", BOLT, body, command)
        elif command.name in CREDENTIALS and watch.lock.has_pins:
            await self._set_pin(watch, command)
        else:
            raise RefusedError(Reason.UNSUPPORTED)

    async def _set_pin(self, watch: Watch, command: Command) -> None:
        slot = command.part.removeprefix("credential.")
        if not slot.isdecimal():
            raise RefusedError(Reason.INVALID_ARGUMENT)
        part = f"users.{slot}"
        pin: dict[str, object] = {"user": int(slot), "pin_code": None}
        if command.name == "SetCredential":
            pin |= {"user_type": "unrestricted", "user_enabled": True}
            pin["pin_code"] = command.args["pin"]
            await self._must_be_free(watch, part, command)
        wanted = _WANTED[command.name]
        watch.slot = Slot(part, self._port.now_ms() + _SLOT_MS, wanted)
        self._stirred.set()
        await self._set(watch, "pin_code", part, {"pin_code": pin}, command)

    async def _must_be_free(self, watch: Watch, part: str, command: Command) -> None:
        """A slot of which nothing is known is asked for first: it may be somebody's."""
        axis = f"{command.part}.status"
        if self._status(watch, axis) is None:
            until_ms = min(self._port.now_ms() + _OCCUPIED_MS, command.deadline_ms)
            while self._status(watch, axis) is None and self._port.now_ms() < until_ms:
                self._ask(watch, part)
                await asyncio.sleep(_TICK_S / 2)
        status = self._status(watch, axis)
        if status is None:
            raise RefusedError(Reason.UNKNOWN_STATE)
        if status != "Available":
            raise RefusedError(Reason.OCCUPIED)

    def _status(self, watch: Watch, axis: str) -> object:
        twin = self._port.twin(watch.lock.device)
        known = twin.axes.get(axis) if twin is not None else None
        return None if known is None else known.value

    async def _set(
        self, watch: Watch, key: str, part: str, body: Mapping[str, object], command: Command
    ) -> None:
        device = watch.lock.device
        if (device, key) in self._waiting:
            raise RefusedError(Reason.BUSY)
        verdict: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiting[device, key] = Waiting(verdict, part, _WANTED[command.name])
        try:
            watch.heard.set_at_ms = self._port.now_ms()
            topic = f"{self._base}{device}/set"
            await self._link.command(topic, orjson.dumps(body), command.deadline_ms)
            until_ms = min(self._port.now_ms() + _VERDICT_MS, command.deadline_ms)
            for wait_ms in _READ_BACK_MS:
                left_ms = max(0, min(wait_ms, until_ms - self._port.now_ms()))
                await asyncio.wait([verdict], timeout=left_ms / 1_000)
                if verdict.done() or self._port.now_ms() >= until_ms:
                    break
                self._ask(watch, part)
        finally:
            del self._waiting[device, key]
        if not verdict.done() or (refusal := verdict.result()) is None:
            return
        if refusal != _MAY_BE_DONE:
            raise RejectedError(codec.VENDOR, refusal)
        raise UnavailableError(codec.VENDOR, "the bridge had no answer from the lock")

    def _settle(self, watch: Watch, live: Mapping[str, object]) -> None:
        """The lock itself said that it is done: whoever waits for the bridge need not any more."""
        for part, value in live.items():
            slot = watch.slot
            if slot is not None and part == slot.part and slot.wanted in {None, value}:
                watch.slot = None
            for key in ("state", "pin_code"):
                waiting = self._waiting.get((watch.lock.device, key))
                if waiting is not None and (part, value) == (waiting.part, waiting.wanted):
                    waiting.conclude(None)

    def _log_line(self, payload: bytes) -> None:
        """A failure of a lock of ours, and nothing else. The line itself is not kept."""
        failed = bridge.failure(payload)
        lock = self._names.get(failed.name) if failed is not None else None
        if failed is None or lock is None:
            return
        watch = self._watches[lock.device]
        if failed.verb == "get":
            if watch.heard.question is not None:
                watch.heard.question = None
                self._missed(watch)
            return
        waiting = self._waiting.get((lock.device, failed.key))
        if waiting is not None:
            waiting.conclude(failed.refusal or _MAY_BE_DONE)


def _source(watch: Watch, what: str) -> str:
    return f"lock/{watch.lock.device}/{what}"
