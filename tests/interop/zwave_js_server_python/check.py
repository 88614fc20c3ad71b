"""zwave-js-server-python, which Home Assistant uses, at a simulated server.

It speaks schema 35. Its constants 2 to 5 for modes of one handle are not what a server says; what
it reads here is 0 and 255.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from kit import kit
from zwave_js_server.client import Client
from zwave_js_server.const import CommandClass, NodeStatus, SetValueStatus
from zwave_js_server.exceptions import FailedZWaveCommand, NotFoundError
from zwave_js_server.model.node import Node
from zwave_js_server.model.value import get_value_id_str
from zwave_js_server.util.lock import clear_usercode, get_code_slots, set_usercode
from zwave_js_server.version import get_server_version

(URL,) = (url.replace("http", "ws", 1) for url in kit.about["hubs"].values())
FIRST, SECOND = kit.about["devices"]
LOCKED, UNLOCKED = 255, 0


class Events:
    """What the client told of a node, in order."""

    def __init__(self, node: Node) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.ends = [
            node.on("value updated", self._value),
            node.on("notification", self._notification),
            node.on("dead", lambda _: self.seen.append(("dead", None))),
            node.on("alive", lambda _: self.seen.append(("alive", None))),
        ]

    def _value(self, data: dict[str, Any]) -> None:
        value = data["value"]
        self.seen.append((str(value.property_key or value.property_), value.value))

    def _notification(self, data: dict[str, Any]) -> None:
        self.seen.append(("notification", data["notification"].event))

    def names(self) -> list[str]:
        return [name for name, _ in self.seen]


@asynccontextmanager
async def connected() -> AsyncIterator[Client]:
    """A client that has the whole state."""
    async with aiohttp.ClientSession() as session:
        client = Client(URL, session)
        await client.connect()
        ready = asyncio.Event()
        listening = asyncio.create_task(client.listen(ready))
        try:
            async with asyncio.timeout(10):
                await ready.wait()
            yield client
        finally:
            await client.disconnect()
            await listening


def node_of(client: Client, device: str) -> Node:
    assert client.driver is not None
    return client.driver.controller.nodes[int(device.removeprefix("nodeID_"))]


def mode_id(node: Node, name: str = "currentMode") -> str:
    return get_value_id_str(node, CommandClass.DOOR_LOCK, name, endpoint=0)


def value(node: Node, name: str = "currentMode") -> Any:
    return node.values[mode_id(node, name)].value


async def until(holds: Callable[[], Any], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 -- the client tells of some of it by no event
            await asyncio.sleep(0.02)


async def truth(device: str) -> Any:
    return await asyncio.to_thread(kit.truth, device)


async def act(device: str, what: str) -> None:
    await asyncio.to_thread(kit.act, device, what)


async def settle(node: Node, device: str, mode: int) -> None:
    """Have the lock at rest in this mode."""
    await node.async_set_value(mode_id(node, "targetMode"), mode)
    word = "Locked" if mode == LOCKED else "Unlocked"
    async with asyncio.timeout(10):
        while (await truth(device))["lock_state"] != word:  # noqa: ASYNC110 -- asked over HTTP
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.8)  # its report comes after its notification


async def main() -> None:
    with kit.check("the version message is read"):
        async with aiohttp.ClientSession() as session:
            version = await get_server_version(URL, session)
        assert (version.min_schema_version, version.max_schema_version) == (0, 50), version
    async with connected() as client:
        node = node_of(client, FIRST)
        with kit.check("the whole state is read: a controller and two locks"):
            assert client.driver is not None
            assert sorted(client.driver.controller.nodes) == [1, 2, 3]
            assert client.driver.controller.own_node is not None
            assert node.status == NodeStatus.ALIVE
            assert node.ready
            assert node.device_class is not None
            assert node.device_class.specific.label == "Secure Keypad Door Lock"
        with kit.check("each value of the lock has its class, label and type"):
            assert value(node) in {LOCKED, UNLOCKED}
            assert value(node, "boltStatus") in {"locked", "unlocked"}
            assert node.values[mode_id(node, "targetMode")].metadata.writeable
            assert not node.values[mode_id(node)].metadata.writeable
        await locking(client, node)
        await people(node)
        await codes(node)
        await refusals(client, node)
        await faults(node)
    await asyncio.sleep(1)  # a report comes after its notification
    with kit.check("a client that comes again gets the whole state again"):
        async with connected() as client:
            node = node_of(client, FIRST)
            seen = "Locked" if value(node) == LOCKED else "Unlocked"
            assert seen == (await truth(FIRST))["lock_state"]


async def locking(client: Client, node: Node) -> None:
    await settle(node, FIRST, UNLOCKED)
    with kit.check("lock: the mode is assumed at once, the bolt follows, then the lock reports"):
        events = Events(node)
        result = await node.async_set_value(mode_id(node, "targetMode"), LOCKED)
        assert result is not None
        assert result.status == SetValueStatus.SUCCESS_UNSUPERVISED
        await until(lambda: "currentMode" in events.names(), 2)
        assert events.seen == [("currentMode", LOCKED)], events.seen
        assert (await truth(FIRST))["lock_state"] is None
        assert value(node, "boltStatus") == "unlocked"
        await until(lambda: "latchStatus" in events.names())
        assert (await truth(FIRST))["lock_state"] == "Locked"
        assert value(node, "boltStatus") == "locked"
        assert ("notification", 3) in events.seen, events.seen
        for end in events.ends:
            end()
    with kit.check("unlock"):
        await settle(node, FIRST, UNLOCKED)
        assert (value(node), value(node, "boltStatus")) == (UNLOCKED, "unlocked")
    with kit.check("poll_value gives the value, and a whole report beside it"):
        events = Events(node)
        polled = await client.async_send_command(
            {
                "command": "node.poll_value",
                "nodeId": node.node_id,
                "valueId": {"commandClass": 98, "endpoint": 0, "property": "currentMode"},
            }
        )
        assert polled == {"value": UNLOCKED}, polled
        await until(lambda: "latchStatus" in events.names())
        assert events.names() == [
            "insideHandlesCanOpenDoor",
            "outsideHandlesCanOpenDoor",
            "duration",
            "targetMode",
            "currentMode",
            "doorStatus",
            "boltStatus",
            "latchStatus",
        ], events.names()
        for end in events.ends:
            end()


async def people(node: Node) -> None:
    with kit.check("a hand at the lock: the mode, then the notification; the target stays"):
        await settle(node, FIRST, LOCKED)
        events = Events(node)
        await act(FIRST, "turn_by_hand")
        await until(lambda: "notification" in events.names())
        assert events.seen[:2] == [("currentMode", UNLOCKED), ("notification", 2)], events.seen
        await until(lambda: "latchStatus" in events.names())
        assert value(node, "targetMode") == LOCKED
    with kit.check("the keypad names its user"):
        await settle(node, FIRST, LOCKED)
        found: list[Any] = []
        end = node.on("notification", lambda data: found.append(data["notification"]))
        await act(FIRST, "come_home")
        await until(lambda: found)
        assert (found[0].event, found[0].parameters) == (6, {"userId": 2}), found[0]
        assert found[0].event_label == "Keypad unlock operation"
        end()
    with kit.check("the door's contact is a Notification variable"):
        events = Events(node)
        await act(FIRST, "door")
        await until(lambda: ("Door state", 22) in events.seen)
        assert (await truth(FIRST))["door_state"] == "DoorOpen"
    with kit.check("another lock of the network is not touched by any of this"):
        assert (await truth(SECOND))["motion"] == "Idle"


async def codes(node: Node) -> None:
    def in_use(slot: int) -> Any:
        return next(each["in_use"] for each in get_code_slots(node) if each["code_slot"] == slot)

    with kit.check("code slots are counted, and their status read"):
        assert [each["code_slot"] for each in get_code_slots(node)] == [1, 2, 3, 4]
        assert not in_use(1)
        assert in_use(2)
    with kit.check("set_usercode is accepted, and read back a second later"):
        await set_usercode(node, 1, "271828")
        await until(lambda: in_use(1))
        assert (await truth(FIRST))["credential.1.status"] == "OccupiedEnabled"
    with kit.check("clear_usercode"):
        await clear_usercode(node, 1)
        await until(lambda: not in_use(1))
        assert (await truth(FIRST))["credential.1.status"] == "Available"
    with kit.check("a slot that the lock has not is unknown to the client"):
        try:
            await set_usercode(node, 77, "271828")
        except NotFoundError:
            return
        raise AssertionError("it was taken")


async def refusals(client: Client, node: Node) -> None:
    with kit.check("ping is answered"):
        assert await node.async_ping()
    with kit.check("a node that does not exist is refused with the server's code"):
        try:
            await client.async_send_command({"command": "node.ping", "nodeId": 77})
        except Exception as error:  # noqa: BLE001 -- its class depends on the code
            code = getattr(error, "error_code", repr(error))
        else:
            code = "none"
        assert code == "node_not_found", code
    with kit.check("a value that does not fit is a status, not an error"):
        answer = await client.async_send_command(
            {
                "command": "node.set_value",
                "nodeId": node.node_id,
                "valueId": {"commandClass": 98, "endpoint": 0, "property": "targetMode"},
                "value": "secured",
            }
        )
        assert answer["result"]["status"] == SetValueStatus.INVALID_VALUE, answer


async def faults(node: Node) -> None:
    with kit.check("a jam is the variable `Lock state`, and ends with it"):
        await settle(node, FIRST, UNLOCKED)
        events = Events(node)
        await act(FIRST, "fault:jam_sticks")
        await until(lambda: ("Lock state", 11) in events.seen)
        assert (await truth(FIRST))["fault"] == "LockJammed"
        await act(FIRST, "heal:jam_sticks")
        await until(lambda: ("Lock state", 0) in events.seen)
    with kit.check("presumed dead: the command fails, and the lock moves and is alive again"):
        await settle(node, FIRST, LOCKED)
        events = Events(node)
        await act(FIRST, "fault:presumed_dead")
        try:
            await node.async_set_value(mode_id(node, "targetMode"), UNLOCKED)
        except FailedZWaveCommand as failed:
            code = failed.zwave_error_code
        else:
            code = 0
        assert code == 204, code
        await until(lambda: "dead" in events.names())
        await until(lambda: "alive" in events.names())
        assert (await truth(FIRST))["lock_state"] == "Unlocked"
        await act(FIRST, "heal:presumed_dead")


asyncio.run(main())
