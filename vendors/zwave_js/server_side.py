"""Listening to zwave-js-server over a WebSocket, and asking it to act."""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final

import orjson

from devices.command import Command, Reason
from devices.errors import RefusedError, UnavailableError
from vendors.api import Frame, Port
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.websocket import WsLink
from vendors.zwave_js import conversation
from vendors.zwave_js.conversation import FailedError, Questions
from vendors.zwave_js.names import DOOR_LOCK, USER_CODE, VENDOR, device_of, node_of
from vendors.zwave_js.nodes import ASLEEP, DEAD, PAUSE_MS, Node, is_lock
from vendors.zwave_js.settings import ServerSettings, ZwaveJsSettings

#: `targetMode` by command.
MODES: Final[Mapping[str, int]] = {"LockDoor": 255, "UnlockDoor": 0}

_LISTENING: Final = "doorfleet-listening"
# The state of two hundred nodes is some ten MB.
_HANDSHAKE_MS: Final = 30_000
# The driver tries three times, and a sleepy radio takes a second for each.
_RADIO_MS: Final = 15_000
# A lock is not asked more often than this, whoever wants to know: each question wakes it.
_ASK_MS: Final = 2_000
# Whether a node that is given up is back; three attempts of the radio stall everybody else.
_PING_MS: Final = 30_000
# A node that is back tells so by itself at the next hand on the lock; until then nobody could
# command it, so it is looked for now and then.
REVIVE_S: Final = 600.0
# A bolt takes 1 to 3 s; then the lock reports, or is asked whether it moved.
_VERIFY_S: Final = 5.0
# Between two locks of a round, so that a command finds the radio free.
_BETWEEN_S: Final = 1.0
# How long a slot that we wrote is read back along with its lock.
_SLOT_MS: Final = 70_000


class ServerSide:
    """The locks of one server."""

    def __init__(self, settings: ZwaveJsSettings, server: ServerSettings, port: Port) -> None:
        self._port = port
        self._only = frozenset(settings.nodes)
        self._interval_s = server.poll_interval_s
        self._link = WsLink(
            server.url,
            rng=port.rng,
            on_text=self._take,
            on_open=self._opened,
            on_link=self._told,
            network=port.network,
            ca_file=server.ca_file,
        )
        self._questions = Questions(self._link.send)
        self._nodes: dict[int, Node] = {}
        #: Those of this link and of earlier ones: what they told may be forgotten since.
        self._known: dict[int, Node] = {}
        self._why = ""
        self._listening = False
        #: While a server that was connected to has not said its version.
        self._greeted: asyncio.Future[None] | None = None
        self._again = asyncio.Event()
        self._asked_ms: dict[int, int] = {}
        self._slots: dict[int, dict[int, int]] = {}
        self._pauses: dict[int, asyncio.TimerHandle] = {}
        self._checks: dict[int, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Stay connected, and ask each lock now and then, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._link.run())
                group.create_task(self._rounds())
                group.create_task(self._revive())
        finally:
            for handle in (*self._pauses.values(), *self._checks.values()):
                handle.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- the link -----------------------------------------------------------------------------

    async def _opened(self) -> None:
        """The server speaks first: one that says nothing would be waited for without an end."""
        self._why = ""
        self._greeted = asyncio.get_running_loop().create_future()
        self._spawn(self._be_greeted(self._greeted))

    async def _be_greeted(self, greeted: asyncio.Future[None]) -> None:
        try:
            async with asyncio.timeout(_HANDSHAKE_MS / 1_000):
                await greeted
        except TimeoutError:
            await self._give_up("the server did not say its version")

    def _told(self, up: bool, reason: str) -> None:  # noqa: FBT001 -- WsLink's own
        self._listening = False
        self._heard_of()
        self._questions.lost()
        for number in list(self._nodes):
            self._settle(number)
        self._port.link(up=up, reason=self._why or reason)

    def _take(self, text: str) -> None:
        """One message; in order, and all of it at once."""
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, dict):
            # Not the message itself: it may hold codes.
            self._offer([Frame("ws/message", b"", self._port.now_ms())])
            return
        match message.get("type"):
            case "version":
                self._heard_of()
                self._spawn(self._greet(message))
            case "result":
                if message.get("messageId") == _LISTENING and message.get("success") is True:
                    self._learn(message.get("result"))
                self._questions.answered(message)
            case "event" if self._listening and isinstance(message.get("event"), dict):
                self._event(message["event"])
            case _:
                pass

    def _heard_of(self) -> None:
        """The server said something, or is gone."""
        if self._greeted is not None and not self._greeted.done():
            self._greeted.set_result(None)

    async def _greet(self, version: Mapping[str, Any]) -> None:
        """Agree on a schema and listen; whatever goes wrong is the reason of the link's end."""
        schema = conversation.agreed(version)
        if isinstance(schema, str):
            await self._give_up(schema)
            return
        try:
            agent = {"doorfleet": "1"}
            await self._questions.ask(
                "initialize",
                _HANDSHAKE_MS,
                schemaVersion=schema,
                additionalUserAgentComponents=agent,
            )
            await self._listen()
        except FailedError as failed:
            await self._give_up(f"the server refused: {failed}")
        except (NotSentError, NoReplyError) as failure:
            await self._give_up(str(failure))

    async def _listen(self) -> None:
        await self._questions.ask("start_listening", _HANDSHAKE_MS, message_id=_LISTENING)

    async def _give_up(self, why: str) -> None:
        self._why = why
        await self._link.drop()

    # --- what it tells ------------------------------------------------------------------------

    def _learn(self, result: object) -> None:
        """The whole state: what was known of each lock before is known anew."""
        state = result.get("state") if isinstance(result, dict) else None
        nodes = state.get("nodes") if isinstance(state, dict) else None
        if not isinstance(nodes, list):
            self._offer([Frame("ws/message", b"", self._port.now_ms())])
            return
        now_ms, before = self._port.now_ms(), self._nodes
        frames: list[Frame] = []
        self._nodes = {}
        for each in nodes:
            if isinstance(each, dict) and is_lock(each):
                frames += self._admit(each, now_ms)
        for number, node in before.items():
            if number not in self._nodes:
                frames += node.removed(now_ms)
                del self._known[number]
        self._offer(frames)
        self._listening = True
        self._port.link(up=True, reason="")
        self._again.set()

    def _admit(self, state: Mapping[str, Any], now_ms: int) -> Sequence[Frame]:
        number = state.get("nodeId")
        if not isinstance(number, int) or number < 1:
            return ()
        if self._only and device_of(number) not in self._only:
            return ()
        node = self._nodes[number] = self._known.setdefault(number, Node(f"ws/{number}"))
        return node.remembered(state, now_ms)

    def _event(self, event: Mapping[str, Any]) -> None:
        source, name, now_ms = event.get("source"), event.get("event"), self._port.now_ms()
        if source == "driver" and name == "driver ready":
            # The driver started anew: what it told before may be of another network.
            self._spawn(self._relisten())
            return
        if source == "controller" and name == "node removed":
            found = event.get("node")
            number = found.get("nodeId") if isinstance(found, dict) else None
            if isinstance(number, int) and (node := self._nodes.pop(number, None)) is not None:
                del self._known[number]
                self._offer(node.removed(now_ms))
            return
        number = event.get("nodeId")
        if source != "node" or not isinstance(number, int):
            return
        node = self._nodes.get(number)
        if node is None:
            state = event.get("nodeState")
            if name == "ready" and isinstance(state, dict) and is_lock(state):
                self._offer(self._admit(state, now_ms))
            return
        self._offer(node.heard(event, now_ms))
        self._watch(number, node)

    async def _relisten(self) -> None:
        self._listening = False
        try:
            await self._listen()
        except (FailedError, NotSentError, NoReplyError) as failure:
            await self._give_up(str(failure))

    def _watch(self, number: int, node: Node) -> None:
        """Wait for the end of a row of values, and for proof of what was only assumed."""
        loop = asyncio.get_running_loop()
        if (handle := self._pauses.pop(number, None)) is not None:
            handle.cancel()
        if node.waiting:
            self._pauses[number] = loop.call_later(PAUSE_MS / 1000, self._settle, number)
        if node.unproven and number not in self._checks:
            self._checks[number] = loop.call_later(_VERIFY_S, self._check, number)

    def _settle(self, number: int) -> None:
        self._pauses.pop(number, None)
        if (node := self._nodes.get(number)) is not None:
            self._offer(node.settled())
            self._watch(number, node)

    def _check(self, number: int) -> None:
        self._checks.pop(number, None)
        node = self._nodes.get(number)
        if node is not None and node.unproven and self._listening:
            self._spawn(self._ask(number))

    def _offer(self, frames: Sequence[Frame]) -> None:
        if frames:
            self._port.offer(frames, None)

    def _spawn(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- questions ----------------------------------------------------------------------------

    async def _rounds(self) -> None:
        """Ask one lock after the other: after each connect, and then at the interval."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(began_s + self._interval_s):
                    await self._again.wait()
            self._again.clear()
            began_s = loop.time()
            for number in list(self._nodes):
                if not self._listening or self._again.is_set():
                    break
                self._spawn(self._ask(number))
                await asyncio.sleep(_BETWEEN_S)

    async def _revive(self) -> None:
        """Look for the nodes that were given up."""
        while True:
            await asyncio.sleep(REVIVE_S)
            for number in [each for each, node in self._nodes.items() if node.status == DEAD]:
                if self._listening:
                    await self._ask(number)
                    await asyncio.sleep(_BETWEEN_S)

    async def refresh(self, device: str) -> None:
        """Ask the lock, if nobody has just done so; its report comes as an event."""
        number = node_of(device)
        if number is not None and number in self._nodes and self._listening:
            await self._ask(number)

    async def _ask(self, number: int) -> None:
        """Have the driver ask a lock; a silent one shows as a dead node."""
        node, now_ms = self._nodes.get(number), self._port.now_ms()
        if node is None:
            return
        pause_ms = _PING_MS if node.status == DEAD else _ASK_MS
        if node.status == ASLEEP or now_ms - self._asked_ms.get(number, 0) < pause_ms:
            return  # a node that sleeps is asked by nobody; it speaks when it wakes
        self._asked_ms[number] = now_ms
        with contextlib.suppress(FailedError, NotSentError, NoReplyError):
            if node.status == DEAD:
                await self._questions.ask("node.ping", _RADIO_MS, nodeId=number)
                return
            await self._poll(number, {"commandClass": DOOR_LOCK, "property": "currentMode"})
            for slot, until_ms in list(self._slots.get(number, {}).items()):
                if until_ms < now_ms:
                    del self._slots[number][slot]
                else:
                    await self._poll(number, user_id_status(slot))

    async def _poll(self, number: int, value_id: Mapping[str, object]) -> None:
        await self._questions.ask(
            "node.poll_value", _RADIO_MS, nodeId=number, valueId={"endpoint": 0, **value_id}
        )

    # --- commands -----------------------------------------------------------------------------

    async def send(self, command: Command) -> None:
        """Set one value, once; the driver's own answer is no effect.

        Raises:
            RefusedError: nothing left us.
            RejectedError: the server, or the lock, said no.
            UnavailableError: it may have left the radio.
        """
        number = node_of(command.device)
        node = self._nodes.get(number) if number is not None else None
        wanted = value_of(command)
        if number is None or node is None:
            raise RefusedError(Reason.UNKNOWN_DEVICE)
        if node.status == ASLEEP:
            # The driver would keep it until the node wakes up, which may be in an hour.
            raise RefusedError(Reason.OFFLINE)
        if not self._listening:
            raise RefusedError(Reason.UNAVAILABLE)
        left_ms = command.deadline_ms - self._port.now_ms()
        if left_ms <= 0:
            raise RefusedError(Reason.EXPIRED)
        value_id, value = wanted
        if value_id["commandClass"] == USER_CODE:
            slots = self._slots.setdefault(number, {})
            slots[int(str(value_id["propertyKey"]))] = self._port.now_ms() + _SLOT_MS
        try:
            result = await self._questions.ask(
                "node.set_value", left_ms, nodeId=number, valueId=value_id, value=value
            )
        except NotSentError:
            raise RefusedError(Reason.UNAVAILABLE) from None
        except NoReplyError as silence:
            raise UnavailableError(VENDOR, str(silence)) from None
        except FailedError as failed:
            raise conversation.refusal(failed) from None
        conversation.taken(result)


def user_id_status(slot: int) -> dict[str, object]:
    """Where a slot's status is found."""
    return {"commandClass": USER_CODE, "property": "userIdStatus", "propertyKey": slot}


def value_of(command: Command) -> tuple[dict[str, object], object]:
    """The value to set, and to what.

    Raises:
        RefusedError: it is none of ours.
    """
    if command.name in MODES:
        target: dict[str, object] = {"commandClass": DOOR_LOCK, "property": "targetMode"}
        return {"endpoint": 0, **target}, MODES[command.name]
    part, _, slot = command.part.partition(".")
    if part != "credential" or not slot.isdecimal():
        raise RefusedError(Reason.UNSUPPORTED)
    if command.name == "ClearCredential":
        return {"endpoint": 0, **user_id_status(int(slot))}, 0
    pin = command.args.get("pin")
    if command.name != "SetCredential" or not isinstance(pin, str):
        raise RefusedError(Reason.UNSUPPORTED)
    code = {"commandClass": USER_CODE, "property": "userCode", "propertyKey": int(slot)}
    return {"endpoint": 0, **code}, pin
