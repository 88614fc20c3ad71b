"""Topics of Z-Wave JS UI, and the adapter behind them."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any

import pytest

from devices.command import Command
from devices.errors import DecodeError, RefusedError
from devices.reading import FRESH, Happening, Reading
from fleet_sim.clock import SimLoop
from vendors.api import Fact, Frame
from vendors.zwave_js import VENDOR, topics
from vendors.zwave_js.mqtt_side import MqttSide
from vendors.zwave_js.settings import ZwaveJsSettings
from vendors.zwave_js.topics import GatewayTopic, StatusTopic, ValueTopic

EPOCH_MS = 1_767_225_600_000
DOOR = "zwave/Hall/Front_Door"


@pytest.mark.parametrize(
    ("topic", "device", "args"),
    [
        ("zwave/nodeID_40/98/0/currentMode", "nodeID_40", (98, 0, "currentMode", None)),
        ("zwave/Front_Door/98/0/boltStatus", "Front_Door", (98, 0, "boltStatus", None)),
        (
            "zwave/Hall/Front_Door/113/0/Access_Control/Lock_state",
            "Hall/Front_Door",
            (113, 0, "Access Control", "Lock state"),
        ),
        (
            "zwave/Front_Door/door_lock/endpoint_0/currentMode",
            "Front_Door",
            (98, 0, "currentMode", None),
        ),
        ("zwave/x/user_code/endpoint_1/userIdStatus/3", "x", (99, 1, "userIdStatus", "3")),
    ],
)
def test_a_topic_names_its_value(topic: str, device: str, args: tuple[Any, ...]) -> None:
    found = topics.read("zwave", "ui", topic)

    assert isinstance(found, ValueTopic)
    names = ("commandClass", "endpoint", "property", "propertyKey")
    assert (found.device, *(found.args.get(name) for name in names)) == (device, *args)


@pytest.mark.parametrize(
    ("topic", "found"),
    [
        ("zwave/Front_Door/status", StatusTopic("Front_Door")),
        ("zwave/Hall/Front_Door/status", StatusTopic("Hall/Front_Door")),
        ("zwave/_CLIENTS/ZWAVE_GATEWAY-ui/status", GatewayTopic("status")),
        ("zwave/_CLIENTS/ZWAVE_GATEWAY-other/status", None),
        ("zwave/_EVENTS/ZWAVE_GATEWAY-ui/node/dead", None),
        ("zwave/Front_Door/98/0/targetMode/set/more", None),
        ("zwave/Front_Door/lastActive", None),
        ("zwave//98/0/currentMode", None),
        ("other/Front_Door/98/0/currentMode", None),
        ("zwave/Front_Door/37/0/currentValue", None),
        ("zwave/" + "a/" * 10_000, None),
        ("zwave", None),
        ("", None),
    ],
)
def test_other_topics_are_the_gateways_or_nobodys(topic: str, found: object) -> None:
    assert topics.read("zwave", "ui", topic) == found


class Cell:
    """A `vendors.api.Port` in simulated time that commits when it is told to."""

    network: Any = None

    def __init__(self) -> None:
        self.rng = Random(1)
        self.frames: list[Frame] = []
        self.facts: list[Fact] = []
        self.refused: list[str] = []
        self.links: list[tuple[bool, str]] = []
        self.committed: list[Callable[[], None]] = []
        self.acknowledged = 0

    def now_ms(self) -> int:
        return EPOCH_MS + round(asyncio.get_running_loop().time() * 1_000)

    def offer(self, frames: Sequence[Frame], committed: Callable[[], None] | None) -> None:
        assert committed is not None
        self.committed.append(committed)
        decode = VENDOR.decoder(settings())
        for frame in frames:
            self.frames.append(frame)
            try:
                self.facts += decode(frame)
            except DecodeError as error:
                self.refused.append(str(error))

    def cursor(self, name: str) -> None:
        del name

    def link(self, *, up: bool, reason: str) -> None:
        self.links.append((up, reason))

    def twin(self, device: str) -> None:
        del device

    def ack(self) -> None:
        self.acknowledged += 1

    def last(self, axis: str) -> Reading:
        return [f for f in self.facts if isinstance(f, Reading) and f.axis == axis][-1]


def settings() -> ZwaveJsSettings:
    return ZwaveJsSettings.model_validate({"mqtt": {"url": "mqtt://broker.example", "name": "ui"}})


def play(what: Callable[[MqttSide, Cell], Coroutine[Any, Any, None]]) -> Cell:
    async def run() -> Cell:
        cell, found = Cell(), settings()
        assert found.mqtt is not None
        await what(MqttSide(found, found.mqtt, cell), cell)  # type: ignore[arg-type]
        return cell

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        return runner.run(run())


def message(topic: str, value: object, *, retained: bool = False, time: int = 1) -> Frame:
    return Frame(topic, json.dumps({"time": time, "value": value}).encode(), EPOCH_MS, retained)


def kept(mode: int = 0) -> list[Frame]:
    """What a broker keeps of a lock."""
    bolt = "locked" if mode else "unlocked"
    values = {"currentMode": mode, "boltStatus": bolt, "latchStatus": "open"}
    return [message(f"{DOOR}/98/0/{name}", value, retained=True) for name, value in values.items()]


def report(mode: int, time: int) -> list[Frame]:
    values = {
        "insideHandlesCanOpenDoor": [True] * 4,
        "outsideHandlesCanOpenDoor": [True] * 4,
        "currentMode": mode,
        "boltStatus": "locked" if mode else "unlocked",
        "latchStatus": "open",
    }
    return [message(f"{DOOR}/98/0/{name}", value, time=time) for name, value in values.items()]


def test_what_the_broker_kept_is_one_state_and_not_fresh() -> None:
    async def listen(side: MqttSide, cell: Cell) -> None:
        side.took(kept(255), cell.ack)
        assert cell.frames == []
        await asyncio.sleep(1)

    cell = play(listen)

    assert [frame.source for frame in cell.frames] == ["mqtt/Hall%2FFront_Door/node"]
    assert cell.last("lock_state").value == "Locked"
    assert cell.last("lock_state").device == "Hall/Front_Door"
    assert cell.last("lock_state").provenance not in FRESH


def test_an_assumed_mode_and_a_report_are_told_apart_here_too() -> None:
    async def listen(side: MqttSide, cell: Cell) -> None:
        side.took(kept(), cell.ack)
        await asyncio.sleep(1)
        side.took([message(f"{DOOR}/98/0/currentMode", 255, time=2)], cell.ack)
        await asyncio.sleep(1)
        assert (cell.last("lock_state").value, cell.last("lock_state").reason) == (None, "moving")
        side.took(report(255, 3), cell.ack)

    cell = play(listen)

    assert cell.last("lock_state").value == "Locked"
    assert cell.last("lock_state").provenance in FRESH


def test_a_notification_explains_its_mode_and_is_told_once() -> None:
    async def listen(side: MqttSide, cell: Cell) -> None:
        side.took(kept(), cell.ack)
        await asyncio.sleep(1)
        mode = message(f"{DOOR}/98/0/currentMode", 255, time=2)
        what = message(f"{DOOR}/113/0/Access_Control/Keypad_lock_operation", {"userId": 3}, time=2)
        side.took([mode, what, what], cell.ack)

    cell = play(listen)

    assert cell.last("lock_state").value == "Locked"
    assert [f.data for f in cell.facts if isinstance(f, Happening)] == [
        {"operation": "Lock", "source": "Keypad", "user": 3}
    ]


def test_nothing_is_acknowledged_before_all_of_it_is_durable() -> None:
    async def listen(side: MqttSide, cell: Cell) -> None:
        side.took(kept(), cell.ack)
        await asyncio.sleep(1)
        assert cell.acknowledged == 0
        for committed in cell.committed:
            committed()
        await asyncio.sleep(0)
        assert cell.acknowledged == 1
        cell.committed.clear()
        side.took([message(f"{DOOR}/98/0/currentMode", 255, time=2)], cell.ack)
        assert (cell.committed, cell.acknowledged) == ([], 1)
        await asyncio.sleep(1)
        assert cell.acknowledged == 1
        for committed in cell.committed:
            committed()
        assert cell.acknowledged == 2
        side.took([message("zwave/Lamp/37/0/currentValue", 1)], cell.ack)
        assert cell.acknowledged == 3

    play(listen)


def test_a_gateway_that_is_gone_takes_its_locks_along_and_what_it_says_first_is_no_news() -> None:
    status = "zwave/_CLIENTS/ZWAVE_GATEWAY-ui/status"

    async def listen(side: MqttSide, cell: Cell) -> None:
        side.told(up=True, reason="")
        side.took(kept(), cell.ack)
        await asyncio.sleep(1)
        side.took([Frame(status, b'{"value":false}', EPOCH_MS)], cell.ack)
        assert cell.last("reachability").value == "Offline"
        with pytest.raises(RefusedError):
            await side.send(Command("c", "Hall/Front_Door", "LockDoor", EPOCH_MS + 9_000))
        body = {"time": 9, "value": True, "status": "Alive", "nodeId": 5}
        alive = Frame(f"{DOOR}/status", json.dumps(body).encode(), EPOCH_MS)
        side.took([message(status, True, time=9), alive, *report(255, 9)], cell.ack)
        await asyncio.sleep(1)

    cell = play(listen)

    gone = (False, "the gateway is not connected to the broker")
    assert cell.links == [(True, ""), gone, (True, "")]
    assert cell.last("reachability").value == "Online"
    assert cell.last("lock_state").value == "Locked"
    assert cell.last("lock_state").provenance not in FRESH


def test_a_greeting_that_comes_in_pieces_is_no_command() -> None:
    status = "zwave/_CLIENTS/ZWAVE_GATEWAY-ui/status"

    async def listen(side: MqttSide, cell: Cell) -> None:
        side.told(up=True, reason="")
        side.took([message(status, True, time=9)], cell.ack)
        side.took([message(f"{DOOR}/98/0/boltStatus", "locked", time=9)], cell.ack)
        await asyncio.sleep(1)  # what is unacknowledged is full
        side.took([message(f"{DOOR}/98/0/currentMode", 255, time=9)], cell.ack)
        await asyncio.sleep(1)
        assert cell.last("lock_state").value == "Locked"
        assert cell.last("lock_state").provenance not in FRESH
        side.took([message(f"{DOOR}/98/0/currentMode", 0, time=12)], cell.ack)
        await asyncio.sleep(1)

    cell = play(listen)

    assert (cell.last("lock_state").value, cell.last("lock_state").reason) == (None, "moving")


def test_a_lock_behind_a_gateway_that_was_gone_before_we_came_is_offline() -> None:
    async def listen(side: MqttSide, cell: Cell) -> None:
        status = "zwave/_CLIENTS/ZWAVE_GATEWAY-ui/status"
        body = {"time": 1, "value": True, "status": "Alive", "nodeId": 5}
        alive = Frame(f"{DOOR}/status", json.dumps(body).encode(), EPOCH_MS, retained=True)
        gone = Frame(status, b'{"value":false}', EPOCH_MS, retained=True)
        side.took([gone, *kept(255), alive], cell.ack)
        await asyncio.sleep(1)

    cell = play(listen)

    assert cell.last("lock_state").value == "Locked"
    assert cell.last("reachability").value == "Offline"


def test_a_code_is_kept_nowhere() -> None:
    async def listen(side: MqttSide, cell: Cell) -> None:
        side.took([*kept(), message(f"{DOOR}/99/0/userCode/1", "271828", retained=True)], cell.ack)
        await asyncio.sleep(1)
        side.took([message(f"{DOOR}/99/0/userCode/2", "271828", time=2)], cell.ack)
        await asyncio.sleep(1)

    cell = play(listen)

    assert not any(b"271828" in frame.payload for frame in cell.frames)


@pytest.mark.parametrize("payload", [b"", b"\xff", b"locked", b"[", b"[1]", b"null", b"NaN"])
def test_a_payload_of_another_type_is_refused_without_its_text(payload: bytes) -> None:
    async def listen(side: MqttSide, cell: Cell) -> None:
        side.took([Frame(f"{DOOR}/99/0/userCode/1", payload, EPOCH_MS)], cell.ack)

    cell = play(listen)

    assert cell.refused == ["zwave_js: a message that is no JSON object"]
    assert cell.frames[0].payload == b""


def test_what_is_no_lock_is_nobody() -> None:
    async def listen(side: MqttSide, cell: Cell) -> None:
        side.took([message("zwave/Window/128/0/level", 50)], cell.ack)
        await asyncio.sleep(1)
        with pytest.raises(RefusedError):
            await side.send(Command("c", "Window", "UnlockDoor", EPOCH_MS + 9_000))

    cell = play(listen)

    assert (cell.frames, cell.acknowledged) == ([], 1)
