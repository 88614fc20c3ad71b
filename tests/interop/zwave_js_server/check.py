"""The same script at the real zwave-js-server and at our simulated one: what each of them says.

    theirs   check ─► client.mjs ─► server.mjs: server, driver, mock radio, mock lock
    ours     check ─► client.mjs ─► simulated server and lock

For each step the two rows of messages must be the same: which events, about what, with which
fields, and where among them the answer stands. What differs on purpose is in `ALLOWED`.
"""

import asyncio
import json
import os
import shutil
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from kit import kit

HERE: Final = Path(__file__).parent
NODE: Final = Path(os.environ["INTEROP_NODE"])
(HUB,) = kit.about["hubs"].values()
(LOCK,) = kit.about["devices"]
SCHEMA: Final = 50
#: What is left out on both sides, and why.
ALLOWED: Final[Mapping[str, str]] = {
    "statistics updated": "counters of the radio, which nobody here reads",
    "metadata updated": "labels and limits of a value, told once in the state by ours",
    "alarmType": "Notification V1 beside V8: the driver sets it to 0 with each report",
    "alarmLevel": "likewise",
}
#: After the last message that a step waits for, this long for more.
QUIET_S: Final = 0.7
Row = tuple[str, ...]


class Side:
    """One of the two servers, and the client that listens to it."""

    def __init__(self, client: Process, act: Callable[[str], Any]) -> None:
        self.act = act
        self.messages: list[dict[str, Any]] = []
        self._client = client
        self._number = 0
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._client.stdout is not None
        while line := await self._client.stdout.readline():
            self.messages.append(json.loads(line))

    def say(self, command: str, **fields: Any) -> str:
        assert self._client.stdin is not None
        self._number += 1
        name = f"m{self._number}"
        body = {"messageId": name, "command": command, **fields}
        self._client.stdin.write(json.dumps(body).encode() + b"\n")
        return name

    async def until(self, what: str, since: int = 0, within_s: float = 45.0) -> None:
        """A message of this shape has come, and then nothing more for a moment."""
        end_s = time.monotonic() + within_s
        while not any(what in "/".join(row(each)) for each in self.messages[since:]):
            if time.monotonic() > end_s:
                seen = [row(each) for each in self.messages[since:]]
                raise AssertionError(f"no {what} within {within_s} s: {seen}")
            await asyncio.sleep(0.05)
        await asyncio.sleep(QUIET_S)

    def rows(self, since: int) -> list[Row]:
        """What was said, as shapes."""
        return [
            shown
            for each in self.messages[since:]
            if (shown := row(each)) and not ALLOWED.keys() & set(shown[:3])
        ]

    async def close(self) -> None:
        assert self._client.stdin is not None
        self._client.stdin.close()
        await self._client.wait()
        await self._reading


def row(message: dict[str, Any]) -> Row:
    """A message without its times and texts: what it is about, and which fields it has."""
    if message["type"] == "version":
        return ("version", *message)
    if message["type"] == "result":
        result = message.get("result")
        inner = result.get("result") if isinstance(result, dict) else None
        status = str(inner.get("status")) if isinstance(inner, dict) else ""
        code = str(message.get("errorCode", ""))
        number = str(message.get("zwaveErrorCode", ""))
        fields = sorted(result) if isinstance(result, dict) and "state" not in result else []
        return ("result", code, number, status, *sorted(message), *fields)
    event = message["event"]
    args = event.get("args") if isinstance(event.get("args"), dict) else {}
    what = (args.get(key) for key in ("property", "propertyKey", "event"))
    about = ".".join(str(each) for each in what if each is not None)
    value = args.get("newValue")
    shown = json.dumps(value) if isinstance(value, int | str) else type(value).__name__
    return (event["event"], about, shown, *event, *args)


def mode(name: str) -> dict[str, Any]:
    return {"commandClass": 98, "endpoint": 0, "property": name}


def slot(name: str, number: int = 1) -> dict[str, Any]:
    return {"commandClass": 99, "endpoint": 0, "property": name, "propertyKey": number}


def told(command: str, **fields: Any) -> Callable[[Side], Any]:
    return lambda side: side.say(command, nodeId=2, **fields)


def done(what: str) -> Callable[[Side], Any]:
    return lambda side: side.act(what)


#: A name, what is done, and what the last message of it is about.
STEPS: Final[tuple[tuple[str, Callable[[Side], Any], str], ...]] = (
    ("lock", told("node.set_value", valueId=mode("targetMode"), value=255), "latchStatus"),
    ("poll the mode", told("node.poll_value", valueId=mode("currentMode")), "latchStatus"),
    ("lock again", told("node.set_value", valueId=mode("targetMode"), value=255), "latchStatus"),
    ("a hand unlocks", done("turn_by_hand"), "latchStatus"),
    ("a hand locks", done("turn_by_hand"), "latchStatus"),
    ("the keypad unlocks", done("come_home"), "latchStatus"),
    ("a hand locks again", done("turn_by_hand"), "latchStatus"),
    ("too many wrong codes", done("wrong_code"), "notification"),
    ("the door opens and shuts", done("door"), "Access Control.Door state/23"),
    ("a hand unlocks once more", done("turn_by_hand"), "latchStatus"),
    ("a jam", done("fault:jam_sticks"), "Lock state"),
    ("the jam ends", done("heal:jam_sticks"), "latchStatus"),
    ("set a code", told("node.set_value", valueId=slot("userCode"), value="271828"), "userCode"),
    ("poll its status", told("node.poll_value", valueId=slot("userIdStatus")), "userCode"),
    ("clear it", told("node.set_value", valueId=slot("userIdStatus"), value=0), "userCode"),
    ("ping", told("node.ping"), "result"),
    ("an unknown property", told("node.set_value", valueId=mode("nope"), value=1), "result"),
    ("a wrong value", told("node.set_value", valueId=mode("targetMode"), value="x"), "result"),
    ("an unknown node", lambda side: side.say("node.ping", nodeId=77), "result"),
    ("an unknown command", lambda side: side.say("nope.nope"), "result"),
    ("a schema that does not exist", lambda s: s.say("initialize", schemaVersion=99), "result"),
    ("back to ours", lambda side: side.say("initialize", schemaVersion=SCHEMA), "result"),
    ("no acknowledgement", done("fault:presumed_dead"), ""),
    ("dead", told("node.set_value", valueId=mode("targetMode"), value=255), "latchStatus"),
    ("acknowledgements again", done("heal:presumed_dead"), ""),
    ("alive", told("node.poll_value", valueId=mode("currentMode")), "latchStatus"),
)


async def listen(url: str, act: Callable[[str], Any]) -> Side:
    """A client that has the whole state."""
    client = await asyncio.create_subprocess_exec(
        "node", "client.mjs", url, cwd=NODE, stdin=PIPE, stdout=PIPE, limit=2**24
    )
    side = Side(client, act)
    await side.until("version")
    side.say("initialize", schemaVersion=SCHEMA)
    side.say("start_listening")
    await asyncio.sleep(1.5)
    return side


async def level(side: Side) -> None:
    """Bring a lock to where the script begins; each value has been told once then."""
    side.say("node.set_value", nodeId=2, valueId=mode("targetMode"), value=0)
    await side.until("latchStatus")
    for what in ("door", "fault:jam_sticks", "heal:jam_sticks"):
        side.act(what)
        await asyncio.sleep(1)
    await side.until("Access Control.Door state/23")
    side.say("node.poll_value", nodeId=2, valueId=slot("userIdStatus"))
    await side.until("userCode")


async def main() -> None:
    for name in ("server.mjs", "client.mjs"):
        shutil.copy(HERE / name, NODE)
    server = await asyncio.create_subprocess_exec(
        "node", "server.mjs", cwd=NODE, stdin=PIPE, stdout=PIPE
    )
    assert server.stdin is not None
    assert server.stdout is not None
    stdin = server.stdin
    try:
        async with asyncio.timeout(60):
            first = json.loads(await server.stdout.readline())
        theirs = await listen(
            f"ws://127.0.0.1:{first['port']}", lambda act: stdin.write(f"{act}\n".encode())
        )
        ours = await listen(HUB.replace("http", "ws", 1), lambda act: kit.act(LOCK, act))
        compare_states(theirs, ours)
        await asyncio.gather(level(theirs), level(ours))
        for name, what, last in STEPS:
            since = len(theirs.messages), len(ours.messages)
            with kit.check(f"{name}: the same messages in the same order"):
                for side in (theirs, ours):
                    what(side)
                if last:
                    ends = (
                        side.until(last, n) for side, n in zip((theirs, ours), since, strict=True)
                    )
                    await asyncio.gather(*ends)
                said = theirs.rows(since[0]), ours.rows(since[1])
                assert said[0] == said[1], difference(*said)
        await theirs.close()
        await ours.close()
    finally:
        stdin.close()
        await server.wait()


def compare_states(theirs: Side, ours: Side) -> None:
    """The version message, and the state: what a client can count on is there."""
    with kit.check("the version message has the same fields and the same schemas"):
        one, other = theirs.messages[0], ours.messages[0]
        assert one.keys() == other.keys(), (one, other)
        assert one["maxSchemaVersion"] == other["maxSchemaVersion"]
        assert one["serverVersion"] == other["serverVersion"]
    states = [
        next(m["result"]["state"] for m in side.messages if "state" in m.get("result", {}))
        for side in (theirs, ours)
    ]
    locks = [next(n for n in state["nodes"] if n["nodeId"] == 2) for state in states]
    with kit.check("our state has no field that a real one has not"):
        for part in ("driver", "controller"):
            more = states[1][part].keys() - states[0][part].keys()
            assert not more, (part, more)
        # A secure node has a class for it; a real one that is new has no label and no firmware.
        more = locks[1].keys() - locks[0].keys() - {"manufacturerId", "productId", "productType"}
        assert not more, more
    values = [
        {(v["commandClass"], v["property"], str(v.get("propertyKey"))): v for v in lock["values"]}
        for lock in locks
    ]
    with kit.check("each of our values has the fields and the class version of a real one"):
        for key in values[0].keys() & values[1].keys():
            one, other = values[0][key], values[1][key]
            assert one.keys() | {"value"} == other.keys() | {"value"}, (key, one, other)
            assert one["ccVersion"] == other["ccVersion"], key
            for what in ("type", "readable", "writeable", "stateful", "secret", "label"):
                assert one["metadata"][what] == other["metadata"][what], (key, what, one, other)
    with kit.check("both have the values that are read of a lock"):
        for name in ("currentMode", "targetMode", "boltStatus", "duration", "doorStatus"):
            assert all((98, name, "None") in each for each in values), name


def difference(theirs: list[Row], ours: list[Row]) -> str:
    """The two rows side by side."""
    lines = ["theirs:", *map(repr, theirs), "ours:", *map(repr, ours)]
    return "\n".join(lines)


asyncio.run(main())
