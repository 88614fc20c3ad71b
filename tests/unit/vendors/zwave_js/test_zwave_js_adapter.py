"""The adapter at servers: what they agree on, what it asks, and what it makes of answers."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from devices.command import Command, Reason
from devices.errors import DecodeError, RefusedError, RejectedError, UnavailableError
from devices.reading import FRESH, Reading
from fleet_sim.clock import SimLoop
from vendors.api import Fact, Frame
from vendors.zwave_js import VENDOR
from vendors.zwave_js.settings import ZwaveJsSettings

EPOCH_MS = 1_767_225_600_000
SETTINGS = {"server": {"url": "ws://server.example:3000"}}
LOCK: dict[str, Any] = {
    "nodeId": 2,
    "status": 4,
    "ready": True,
    "values": [
        {"commandClass": 98, "property": "currentMode", "ccVersion": 4, "value": 0},
        {"commandClass": 98, "property": "boltStatus", "value": "unlocked"},
        {"commandClass": 99, "property": "userIdStatus", "propertyKey": 1, "value": 1},
        {"commandClass": 99, "property": "userCode", "propertyKey": 1, "value": "271828"},
    ],
}


class Server:
    """A zwave-js-server that answers as it is told: the network of the port, and each channel."""

    def __init__(self, *, low: int = 0, high: int = 50, nodes: Sequence[Any] = (LOCK,)) -> None:
        self.version = {"type": "version", "minSchemaVersion": low, "maxSchemaVersion": high}
        self.nodes = list(nodes)
        self.asked: list[dict[str, Any]] = []
        self.links = 0
        #: By command: fields of the answer instead of success; None: no answer at all.
        self.answers: dict[str, Mapping[str, Any] | None] = {}
        self._texts: asyncio.Queue[str | None] = asyncio.Queue()

    async def ws_connect(self, url: str, headers: Mapping[str, str]) -> "Server":
        assert url == "ws://server.example:3000"
        del headers
        self.links += 1
        self._texts = asyncio.Queue()
        self.tell(self.version)
        return self

    async def send(self, text: str) -> None:
        asked = json.loads(text)
        self.asked.append(asked)
        command = asked["command"]
        result: dict[str, Any] = {}
        if command == "start_listening":
            result = {"state": {"driver": {}, "controller": {}, "nodes": self.nodes}}
        if command == "node.set_value":
            result = {"result": {"status": 254}}
        answer = self.answers.get(command, {"success": True, "result": result})
        if answer is not None:
            self.tell({"type": "result", "messageId": asked["messageId"], **answer})

    async def receive(self) -> str | None:
        return await self._texts.get()

    async def close(self) -> None:
        self._texts.put_nowait(None)

    def tell(self, message: object) -> None:
        self._texts.put_nowait(message if isinstance(message, str) else json.dumps(message))

    def event(self, name: str, **fields: object) -> None:
        body = {"source": "node", "event": name, "nodeId": 2, **fields}
        self.tell({"type": "event", "event": body})

    def value(self, name: str, value: object, cc: int = 98, key: object = None) -> None:
        args = {"commandClass": cc, "endpoint": 0, "property": name, "newValue": value}
        self.event("value updated", args=args | ({} if key is None else {"propertyKey": key}))

    def report(self, mode: int) -> None:
        self.value("insideHandlesCanOpenDoor", [True] * 4)
        self.value("outsideHandlesCanOpenDoor", [True] * 4)
        self.value("currentMode", mode)
        self.value("boltStatus", "locked" if mode else "unlocked")

    def commands(self) -> list[str]:
        return [each["command"] for each in self.asked]


class Cell:
    """A `vendors.api.Port` in simulated time, which decodes at once."""

    def __init__(self, server: Server, settings: Mapping[str, Any]) -> None:
        self.rng = Random(1)
        self.network: Any = server
        self.frames: list[Frame] = []
        self.links: list[tuple[bool, str]] = []
        self.refused: list[str] = []
        self.settings = ZwaveJsSettings.model_validate(settings)
        self._decode = VENDOR.decoder(self.settings)
        self.facts: list[Fact] = []

    def now_ms(self) -> int:
        return EPOCH_MS + round(asyncio.get_running_loop().time() * 1_000)

    def offer(self, frames: Sequence[Frame], committed: Callable[[], None] | None) -> None:
        assert committed is None
        self.frames += frames
        for frame in frames:
            try:
                self.facts += self._decode(frame)
            except DecodeError as error:
                self.refused.append(str(error))

    def cursor(self, name: str) -> int | None:
        del name

    def link(self, *, up: bool, reason: str) -> None:
        self.links.append((up, reason))

    def twin(self, device: str) -> None:
        del device

    def last(self, axis: str) -> Reading:
        return [f for f in self.facts if isinstance(f, Reading) and f.axis == axis][-1]


def play(
    server: Server,
    what: Callable[[Any, Cell], Coroutine[Any, Any, None]],
    settings: Mapping[str, Any] = SETTINGS,
) -> Cell:
    """Run the adapter in simulated time while `what` happens."""

    async def run() -> Cell:
        cell = Cell(server, settings)
        adapter = VENDOR.connect(cell.settings, cell)  # type: ignore[arg-type]
        running = asyncio.create_task(adapter.run())
        await asyncio.sleep(1)
        await what(adapter, cell)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return cell

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        return runner.run(run())


def command(name: str, part: str = "", **args: str) -> Command:
    return Command("c", "nodeID_2", name, EPOCH_MS + 3_600_000, part, args)


async def nothing(adapter: Any, cell: Cell) -> None:
    del adapter, cell


# --- the schema -------------------------------------------------------------------------------


@pytest.mark.parametrize(("high", "spoken"), [(21, 21), (35, 35), (50, 50), (64, 50)])
def test_the_newest_schema_that_both_know_is_spoken(high: int, spoken: int) -> None:
    server = Server(high=high)

    cell = play(server, nothing)

    assert server.commands()[:2] == ["initialize", "start_listening"]
    assert server.asked[0]["schemaVersion"] == spoken
    assert cell.links[0] == (True, "")


@pytest.mark.parametrize(
    ("low", "high", "why"),
    [
        (0, 20, "schema: the server speaks 0 to 20, we 21 to 50"),
        (51, 60, "schema: the server speaks 51 to 60, we 21 to 50"),
        (0, None, "schema: the server names none"),
    ],
)
def test_a_server_of_another_schema_is_a_link_that_is_down_and_says_why(
    low: int, high: Any, why: str
) -> None:
    server = Server(low=low, high=high)

    cell = play(server, nothing)

    assert server.asked == []
    assert cell.frames == []
    assert set(cell.links) == {(False, why)}


def test_a_schema_that_the_server_refuses_all_the_same_is_the_reason_too() -> None:
    server = Server()
    server.answers["initialize"] = {"success": False, "errorCode": "schema_incompatible"}

    cell = play(server, nothing)

    assert set(cell.links) == {(False, "the server refused: schema_incompatible")}


def test_a_server_that_lets_us_in_and_says_nothing_is_not_waited_for_without_an_end() -> None:
    server = Server()
    server.version = {"type": "hush"}

    async def wait(adapter: Any, cell: Cell) -> None:
        await asyncio.sleep(40)
        server.version = Server().version
        await asyncio.sleep(60)

    cell = play(server, wait)

    assert (False, "the server did not say its version") in cell.links
    assert cell.links[-1] == (True, "")


# --- the state --------------------------------------------------------------------------------


def test_what_the_server_remembers_is_cached_and_its_verdict_is_not() -> None:
    cell = play(Server(), nothing)

    told = {f.axis: f for f in cell.facts if isinstance(f, Reading)}
    assert told["reachability"].provenance in FRESH
    assert told["lock_state"].value == "Unlocked"
    assert told["lock_state"].provenance not in FRESH
    assert told["credential.1.status"].provenance not in FRESH


def test_after_each_connect_the_whole_state_is_taken_again_and_each_lock_is_asked() -> None:
    server = Server()

    async def lose(adapter: Any, cell: Cell) -> None:
        server.nodes = [{**LOCK, "status": 3}]
        await server.close()
        await asyncio.sleep(5)

    cell = play(server, lose)

    assert server.links == 2
    assert server.commands().count("start_listening") == 2
    assert "node.poll_value" in server.commands()
    assert [up for up, _ in cell.links] == [True, False, True]
    assert cell.last("reachability").value == "Offline"


def test_nodes_that_are_no_locks_or_not_wanted_are_nobodys() -> None:
    bulb = {"nodeId": 3, "status": 4, "values": [{"commandClass": 37, "property": "currentValue"}]}
    cell = play(Server(nodes=[bulb, LOCK, 7, {"nodeId": "x"}]), nothing)
    other = play(Server(), nothing, {**SETTINGS, "nodes": ["nodeID_9"]})

    assert {fact.device for fact in cell.facts} == {"nodeID_2"}
    assert other.facts == []


def test_a_node_that_is_removed_is_offline_and_one_that_is_added_speaks_when_it_is_ready() -> None:
    server = Server(nodes=[])

    async def come_and_go(adapter: Any, cell: Cell) -> None:
        server.event("ready", nodeState=LOCK)
        await asyncio.sleep(1)
        assert cell.last("lock_state").value == "Unlocked"
        server.tell(
            {
                "type": "event",
                "event": {"source": "controller", "event": "node removed", "node": {"nodeId": 2}},
            }
        )
        await asyncio.sleep(1)

    cell = play(server, come_and_go)

    assert cell.last("reachability").value == "Offline"


def test_a_driver_that_starts_anew_is_asked_for_everything_again() -> None:
    server = Server()

    async def restart(adapter: Any, cell: Cell) -> None:
        server.nodes = []
        server.tell({"type": "event", "event": {"source": "driver", "event": "driver ready"}})
        await asyncio.sleep(1)

    cell = play(server, restart)

    assert server.commands().count("start_listening") == 2
    assert cell.last("reachability").value == "Offline"


def test_a_code_is_in_no_frame() -> None:
    server = Server()

    async def codes(adapter: Any, cell: Cell) -> None:
        server.value("userCode", "314159", 99, 2)
        server.event(
            "notification",
            ccId=113,
            args={"type": 6, "event": 6, "parameters": {"userId": 2, "userCode": "314159"}},
        )
        await adapter.send(command("SetCredential", "credential.3", pin="161803"))

    cell = play(server, codes)

    everything = b"".join(frame.payload for frame in cell.frames)
    assert not any(code in everything for code in (b"271828", b"314159", b"161803"))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '"271828"'])
def test_a_message_that_is_none_is_refused_without_its_text(text: str) -> None:
    server = Server()

    async def garble(adapter: Any, cell: Cell) -> None:
        server.tell(text)
        await asyncio.sleep(1)

    cell = play(server, garble)

    assert cell.refused == ["zwave_js: a message that is no JSON object"]
    assert cell.frames[-1].payload == b""


# --- the mode that is only assumed ------------------------------------------------------------


def test_an_assumed_mode_is_never_fresh_and_the_lock_is_asked_if_it_does_not_report() -> None:
    server = Server()

    async def lock(adapter: Any, cell: Cell) -> None:
        await asyncio.sleep(5)
        asked = len(server.asked)
        server.value("currentMode", 255)
        await asyncio.sleep(1)
        assumed = cell.last("lock_state")
        assert (assumed.value, assumed.reason) == (None, "moving")
        assert assumed.provenance not in FRESH
        assert cell.last("motion").value == "Locking"
        await asyncio.sleep(5)
        assert server.commands()[asked:] == ["node.poll_value"]
        server.report(255)
        await asyncio.sleep(1)

    cell = play(server, lock)

    assert (cell.last("lock_state").value, cell.last("motion").value) == ("Locked", "Idle")
    assert cell.last("lock_state").provenance in FRESH


def test_a_report_right_after_the_assumed_mode_is_told_from_it() -> None:
    server = Server()

    async def lock(adapter: Any, cell: Cell) -> None:
        server.value("currentMode", 255)
        server.report(0)
        await asyncio.sleep(1)

    cell = play(server, lock)

    states = [f for f in cell.facts if isinstance(f, Reading) and f.axis == "lock_state"]
    assert [(f.value, f.reason) for f in states[1:]] == [(None, "moving"), ("Unlocked", None)]


def test_a_notification_explains_the_mode_before_it() -> None:
    server = Server()

    async def turn(adapter: Any, cell: Cell) -> None:
        server.value("currentMode", 255)
        server.event("notification", ccId=113, args={"type": 6, "event": 1})
        await asyncio.sleep(1)

    cell = play(server, turn)

    assert cell.last("lock_state").value == "Locked"
    assert cell.last("lock_state").provenance in FRESH
    assert [f.type for f in cell.facts if not isinstance(f, Reading)] == ["lock.operation"]


# --- questions --------------------------------------------------------------------------------


def test_a_lock_is_asked_once_however_often_somebody_wants_to_know() -> None:
    server = Server()

    async def ask(adapter: Any, cell: Cell) -> None:
        await asyncio.sleep(5)
        before = len(server.asked)
        for _ in range(10):
            await adapter.refresh("nodeID_2")
            await asyncio.sleep(0.1)
        await adapter.refresh("nodeID_77")
        await adapter.refresh("front door")
        assert server.commands()[before:] == ["node.poll_value"]

    play(server, ask)


def test_a_dead_node_is_pinged_and_a_sleeping_one_left_alone() -> None:
    server = Server()

    async def die(adapter: Any, cell: Cell) -> None:
        await asyncio.sleep(60)
        before = len(server.asked)
        server.event("dead")
        await asyncio.sleep(0.1)
        await adapter.refresh("nodeID_2")
        server.event("sleep")
        await asyncio.sleep(60)
        await adapter.refresh("nodeID_2")
        assert server.commands()[before:] == ["node.ping"]

    cell = play(server, die)

    assert cell.last("reachability").value == "Sleeping"


def test_a_dead_node_is_looked_for_every_ten_minutes_and_commanded_by_nobody_else() -> None:
    server = Server(nodes=[{**LOCK, "status": 3}])

    async def wait(adapter: Any, cell: Cell) -> None:
        before = len(server.asked)
        await asyncio.sleep(1_900)
        assert server.commands()[before:] == ["node.ping"] * 3

    play(server, wait)


def test_a_slot_that_was_written_is_read_back_with_its_lock() -> None:
    server = Server()

    async def write(adapter: Any, cell: Cell) -> None:
        await asyncio.sleep(5)
        await adapter.send(command("ClearCredential", "credential.3"))
        before = len(server.asked)
        await adapter.refresh("nodeID_2")
        asked = [each["valueId"].get("propertyKey") for each in server.asked[before:]]
        assert asked == [None, 3]

    play(server, write)


# --- commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "part", "args", "value_id", "value"),
    [
        ("LockDoor", "", {}, {"commandClass": 98, "property": "targetMode"}, 255),
        ("UnlockDoor", "", {}, {"commandClass": 98, "property": "targetMode"}, 0),
        (
            "SetCredential",
            "credential.4",
            {"pin": "271828"},
            {"commandClass": 99, "property": "userCode", "propertyKey": 4},
            "271828",
        ),
        (
            "ClearCredential",
            "credential.4",
            {},
            {"commandClass": 99, "property": "userIdStatus", "propertyKey": 4},
            0,
        ),
    ],
)
def test_a_command_sets_one_value_once(
    name: str, part: str, args: dict[str, str], value_id: dict[str, Any], value: object
) -> None:
    server = Server()

    async def send(adapter: Any, cell: Cell) -> None:
        await adapter.send(command(name, part, **args))

    play(server, send)

    (asked,) = [each for each in server.asked if each["command"] == "node.set_value"]
    assert (asked["nodeId"], asked["valueId"], asked["value"]) == (
        2,
        {"endpoint": 0, **value_id},
        value,
    )


def met(server: Server, sent: Command) -> str:
    """How a command ends."""
    found = []

    async def send(adapter: Any, cell: Cell) -> None:
        try:
            await adapter.send(sent)
        except RefusedError as error:
            found.append(f"refused {error.reason}")
        except RejectedError as error:
            found.append(f"rejected {error.detail}")
        except UnavailableError:
            found.append("unavailable")
        else:
            found.append("taken")

    play(server, send)
    return found[0]


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        ({"success": True, "result": {"result": {"status": 254}}}, "taken"),
        ({"success": True, "result": {"result": {"status": 255}}}, "taken"),
        ({"success": True, "result": {"result": {"status": 1}}}, "taken"),
        ({"success": True, "result": {"success": True}}, "taken"),
        ({"success": True, "result": {"success": False}}, "rejected vendor:fail"),
        ({"success": True, "result": {"result": {"status": 0}}}, "rejected unsupported"),
        ({"success": True, "result": {"result": {"status": 2}}}, "rejected vendor:fail"),
        ({"success": True, "result": {"result": {"status": 5}}}, "rejected vendor:invalid_value"),
        ({"success": True, "result": {"result": {"status": 77}}}, "unavailable"),
        ({"success": True, "result": None}, "unavailable"),
        (
            {"success": False, "errorCode": "zwave_error", "zwaveErrorCode": 204},
            "unavailable",
        ),
        (
            {"success": False, "errorCode": "zwave_error", "zwaveErrorCode": 322},
            "rejected vendor:zw0322",
        ),
        ({"success": False, "errorCode": "node_not_found"}, "rejected vendor:node_not_found"),
        ({"success": False}, "rejected vendor:unknown_error"),
        (None, "unavailable"),
    ],
)
def test_an_answer_is_taken_for_what_it_says_and_silence_for_nothing(
    answer: Mapping[str, Any] | None, end: str
) -> None:
    server = Server()
    server.answers["node.set_value"] = answer

    assert met(server, command("UnlockDoor")) == end
    assert server.commands().count("node.set_value") == 1


def test_what_cannot_leave_is_refused_before_it_does() -> None:
    asleep = Server(nodes=[{**LOCK, "status": 1}])
    there = command("UnlockDoor")

    assert met(asleep, there) == f"refused {Reason.OFFLINE}"
    assert met(Server(nodes=[]), there) == f"refused {Reason.UNKNOWN_DEVICE}"
    assert met(Server(), there._replace(deadline_ms=EPOCH_MS)) == f"refused {Reason.EXPIRED}"
    assert met(Server(), there._replace(name="Unlatch")) == f"refused {Reason.UNSUPPORTED}"
    assert met(Server(), command("SetCredential")) == f"refused {Reason.UNSUPPORTED}"
    assert "node.set_value" not in asleep.commands()


def test_a_link_that_is_lost_on_the_way_leaves_it_unknown() -> None:
    server = Server()
    server.answers["node.set_value"] = None

    async def lose(adapter: Any, cell: Cell) -> None:
        sending = asyncio.create_task(adapter.send(command("UnlockDoor")))
        await asyncio.sleep(0.1)
        await server.close()
        with pytest.raises(UnavailableError):
            await sending
        with pytest.raises(RefusedError):
            await adapter.send(command("UnlockDoor"))

    play(server, lose)

    assert server.commands().count("node.set_value") == 1


# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://a", "ws://", "ws://u:p@a:3000", "ws://a:0", "a:3000", "ws://a:99999"]
)
def test_a_url_that_is_no_servers_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        ZwaveJsSettings.model_validate({"server": {"url": url}})


def test_one_way_to_the_network_must_be_set() -> None:
    both = {"server": {"url": "ws://a"}, "mqtt": {"url": "mqtt://a"}}
    for settings in ({}, both):
        with pytest.raises(ValidationError, match="set one of server and mqtt"):
            ZwaveJsSettings.model_validate(settings)
