"""The broker without sockets: bytes over a memory transport, boards without bytes, and faults."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from fleet_sim.broker.limits import Limits
from fleet_sim.broker.memory import MemoryBroker
from fleet_sim.broker.memory_client import MemoryClient
from fleet_sim.broker.message import Message
from fleet_sim.clock import SimLoop
from vendors.wire import mqtt311


def simulate(run: Coroutine[Any, Any, Any]) -> Any:
    """In simulated time: an hour of waiting costs nothing."""
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        return runner.run(run)


class Board:
    """A board with a record of what it heard."""

    def __init__(self, broker: MemoryBroker, name: str, **options: Any) -> None:
        self.heard: list[bytes] = []
        self.losses = 0
        self.client = MemoryClient(broker, lambda _, payload, *__: self.heard.append(payload))
        self.client.on_lost = self.lost
        self.client.connect(name, **options)

    def lost(self) -> None:
        self.losses += 1


class Pipe(asyncio.Protocol):
    """A client that speaks 3.1.1 over a memory transport."""

    def __init__(self) -> None:
        self.buffer = b""
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert not self.ended
        self.buffer += data

    def connection_lost(self, exc: Exception | None) -> None:
        assert exc is None
        self.ended = True

    def send(self, *packets: mqtt311.Packet) -> None:
        for packet in packets:
            self.transport.write(mqtt311.encode(packet))

    def got(self) -> list[mqtt311.Packet]:
        packets = []
        while (read := mqtt311.read(self.buffer)) is not None:
            packets.append(read[0])
            self.buffer = self.buffer[read[1] :]
        return packets


async def pipe(broker: MemoryBroker, name: str = "pipe", **options: Any) -> Pipe:
    _, made = await broker.connect_transport(Pipe)
    made.send(mqtt311.Connect(name, **options), mqtt311.Subscribe(1, (("#", 1),)))
    await turns()
    assert [type(packet) for packet in made.got()] == [mqtt311.ConnAck, mqtt311.SubAck]
    return made


async def turns() -> None:
    """Let everything that is due happen."""
    for _ in range(8):
        await asyncio.sleep(0)


def test_boards_and_byte_clients_hear_each_other_in_order():
    async def run() -> None:
        broker = MemoryBroker()
        board, wire = Board(broker, "board"), await pipe(broker)
        board.client.subscribe("down/#", qos=1)
        for number in range(20):
            board.client.publish("up", b"%d" % number, qos=number % 3)
            wire.send(mqtt311.Publish("down/x", b"%d" % number))
        await turns()

        numbers = [b"%d" % number for number in range(20)]
        assert board.heard == numbers
        heard = [packet for packet in wire.got() if packet.topic == "up"]
        assert [packet.payload for packet in heard] == numbers

    simulate(run())


def test_a_board_that_answers_at_once_answers_in_order():
    async def run() -> None:
        broker = MemoryBroker()
        board, other = Board(broker, "board"), Board(broker, "other")
        other.client.subscribe("#")
        board.client.on_message = lambda _, payload, *__: board.client.publish("echo", payload)
        board.client.subscribe("ask")
        for number in range(3):
            other.client.publish("ask", b"%d" % number)
        await turns()

        assert other.heard == [b"0", b"1", b"2", b"0", b"1", b"2"]

    simulate(run())


def test_an_unsubscribed_board_hears_no_more_and_a_bad_topic_is_an_error():
    async def run() -> None:
        broker = MemoryBroker()
        board = Board(broker, "board")
        board.client.subscribe("a")
        board.client.unsubscribe("a")
        board.client.subscribe("bad/#/filter")
        board.client.publish("a", b"x")
        await turns()

        assert board.heard == []
        with pytest.raises(ValueError, match="topic"):
            board.client.publish("a/+", b"x")
        with pytest.raises(RuntimeError, match="already"):
            board.client.connect("board")

    simulate(run())


@pytest.mark.parametrize(("leave", "after_s"), [("disconnect", None), ("drop", 0), ("vanish", 15)])
def test_a_board_may_take_leave_drop_or_vanish(leave, after_s):
    async def run() -> None:
        broker = MemoryBroker()
        watcher = Board(broker, "watcher", keep_alive_s=0)
        watcher.client.subscribe("will")
        mortal = Board(broker, "mortal", will=Message("will", b"gone"), keep_alive_s=10)

        getattr(mortal.client, leave)()
        assert not mortal.client.connected
        if after_s:
            await asyncio.sleep(after_s - 0.1)
            assert watcher.heard == []
        await asyncio.sleep(1)

        assert watcher.heard == ([] if after_s is None else [b"gone"])
        assert "mortal" not in broker.core.sessions
        assert mortal.losses == 0
        assert "mortal" not in broker.core.holdables

    simulate(run())


def test_a_board_that_comes_back_before_it_was_missed_takes_over():
    async def run() -> None:
        broker = MemoryBroker()
        watcher = Board(broker, "watcher")
        watcher.client.subscribe("will")
        board = Board(broker, "board", will=Message("will", b"gone"), clean=False)
        board.client.subscribe("a", qos=1)
        board.client.vanish()

        assert board.client.connect("board", clean=False)
        watcher.client.publish("a", b"back", qos=1)
        await turns()

        assert watcher.heard == [b"gone"]
        assert board.heard == [b"back"]

    simulate(run())


def test_a_link_may_lose_repeat_and_delay_and_keeps_the_order_of_equal_delays():
    async def run() -> None:
        broker = MemoryBroker()
        board, other = Board(broker, "board"), Board(broker, "other")
        other.client.subscribe("#")
        for fault in ((), (0, 80), (250,), (250,)):
            board.client.link_fault = lambda upward, *_, fault=fault: fault if upward else (0,)
            for number in range(3):
                board.client.publish("a", b"%d" % number)
        await turns()
        assert other.heard == [b"0", b"1", b"2"]
        await asyncio.sleep(0.1)
        assert other.heard == [b"0", b"1", b"2"] * 2
        await asyncio.sleep(1)
        assert other.heard == [b"0", b"1", b"2"] * 4

        other.heard.clear()
        other.client.link_fault = lambda upward, *_: (0,) if upward else (100,)
        for number in range(5):
            other.client.publish("a", b"%d" % number)
        await asyncio.sleep(1)
        assert other.heard == [b"%d" % number for number in range(5)]

    simulate(run())


def test_what_was_under_way_does_not_survive_the_connection():
    async def run() -> None:
        broker = MemoryBroker()
        board, other = Board(broker, "board"), Board(broker, "other")
        other.client.subscribe("#")
        board.client.link_fault = lambda *_: (500,)
        board.client.publish("a", b"lost")
        board.client.drop()
        board.client.connect("board")
        await asyncio.sleep(5)

        assert other.heard == []

    simulate(run())


def test_the_broker_that_ends_a_connection_tells_the_board_after_what_came_before():
    async def run() -> None:
        broker = MemoryBroker()
        board, other = Board(broker, "board"), Board(broker, "other")
        board.client.subscribe("a")
        other.client.publish("a", b"before")
        broker.core.disconnect(broker.driver.now_s(), "board")
        await turns()

        assert (board.heard, board.losses, board.client.connected) == ([b"before"], 1, False)
        board.client.publish("a", b"into the void")

    simulate(run())


def test_a_refusing_broker_and_a_cut_off_board():
    async def run() -> None:
        broker = MemoryBroker()
        broker.core.refuse_connections(on=True)
        with pytest.raises(ConnectionRefusedError, match="unavailable"):
            Board(broker, "board")
        broker.core.refuse_connections(on=False)
        broker.core.partition(["board"], broker.driver.now_s())
        with pytest.raises(ConnectionRefusedError, match="cut off"):
            Board(broker, "board")
        broker.core.heal(broker.driver.now_s())
        assert Board(broker, "board").client.connected

    simulate(run())


@pytest.mark.parametrize("kind", ["board", "wire"])
def test_a_stalled_client_loses_nothing_however_long_it_takes(kind):
    async def run() -> None:
        broker = MemoryBroker()
        core = broker.core
        other = Board(broker, "other", keep_alive_s=0)
        other.client.subscribe("up")
        if kind == "board":
            board = Board(broker, "held", keep_alive_s=10)
            board.client.subscribe("down", qos=1)
        else:
            wire = await pipe(broker, "held", keep_alive_s=10)
        core.stall("held", broker.driver.now_s())
        other.client.publish("down", b"1", qos=1)
        other.client.publish("down", b"2", qos=1)
        if kind == "board":
            board.client.publish("up", b"3")
        else:
            wire.send(mqtt311.Publish("up", b"3"))
        await asyncio.sleep(100)
        assert other.heard == []
        assert (board.heard if kind == "board" else wire.got()) == []

        core.heal(broker.driver.now_s())
        broker.kick()
        await turns()

        assert other.heard == [b"3"]
        heard = board.heard if kind == "board" else [packet.payload for packet in wire.got()][:2]
        assert heard == [b"1", b"2"]

    simulate(run())


@pytest.mark.parametrize("kind", ["board", "wire"])
def test_a_partitioned_client_is_given_up_after_one_and_a_half_keep_alives(kind):
    async def run() -> None:
        broker = MemoryBroker()
        watcher = Board(broker, "watcher", keep_alive_s=0)
        watcher.client.subscribe("will")
        if kind == "board":
            held = Board(broker, "held", will=Message("will", b"gone"), keep_alive_s=10)
        else:
            held = await pipe(broker, "held", keep_alive_s=10, will=mqtt311.Will("will", b"gone"))
        for heals in (True, False):
            broker.core.partition(["held"], broker.driver.now_s())
            broker.kick()
            await asyncio.sleep(14.5)
            assert watcher.heard == []
            if heals:
                broker.core.heal(broker.driver.now_s())
                broker.kick()
                if kind == "wire":
                    held.send(mqtt311.PingReq())
                await turns()
        await asyncio.sleep(1)

        assert watcher.heard == [b"gone"]
        broker.core.heal(broker.driver.now_s())
        broker.kick()
        await turns()
        assert held.losses == 1 if kind == "board" else held.ended

    simulate(run())


def test_a_crash_forgets_sessions_without_a_word_and_may_forget_what_was_retained():
    async def run() -> None:
        broker = MemoryBroker()
        watcher = Board(broker, "watcher", clean=False)
        board = Board(broker, "board", will=Message("will", b"gone"))
        board.client.publish("kept", b"x", retain=True)
        broker.core.forget_sessions(broker.driver.now_s())
        broker.kick()
        await turns()
        assert (watcher.losses, board.losses) == (1, 1)
        assert broker.core.sessions == {}

        assert not watcher.client.connect("watcher", clean=False)
        watcher.client.subscribe("#")
        await turns()
        assert watcher.heard == [b"x"]
        broker.core.drop_retained()
        assert len(broker.core.retained) == 0

    simulate(run())


def test_a_board_learns_that_nobody_heard_it_who_should_have():
    async def run() -> None:
        broker = MemoryBroker(Limits(queue_max=1))
        board = Board(broker, "board")
        assert board.client.publish("a", b"of no interest", qos=1)

        cell = Board(broker, "cell", clean=False)
        cell.client.subscribe("a", 1)
        assert board.client.publish("a", b"1")
        cell.client.drop()
        assert not board.client.publish("a", b"2")  # QoS 0 waits for nobody
        assert board.client.publish("a", b"3", qos=1)
        assert not board.client.publish("a", b"4", qos=1)  # the queue is full

        broker.core.forget_sessions(broker.driver.now_s(), ["cell"])
        assert not board.client.publish("a", b"5", qos=1)
        assert board.client.publish("b", b"of no interest", qos=1)
        cell.client.connect("cell", clean=False)
        assert not board.client.publish("a", b"6", qos=1)
        cell.client.subscribe("a", 1)
        assert board.client.publish("a", b"7", qos=1)
        await turns()
        assert cell.heard[-1] == b"7"

    simulate(run())


def test_a_byte_client_that_pauses_misses_nothing_and_keeps_the_order():
    async def run() -> None:
        broker = MemoryBroker(Limits(queue_max=10_000))
        wire, board = await pipe(broker), Board(broker, "board")
        wire.transport.pause_reading()
        for number in range(3_000):
            board.client.publish("a", b"%d." % number + b"x" * 1_000)
            if number % 100 == 0:
                await turns()
        assert wire.got() == []
        assert broker.core.sessions["pipe"].queued > 0  # beyond its room they wait in the session

        wire.transport.resume_reading()
        board.client.publish("a", b"3000.")
        await turns()

        numbers = [int(packet.payload.partition(b".")[0]) for packet in wire.got()]
        assert numbers == list(range(3_001))

    simulate(run())


def test_a_byte_client_that_closes_is_gone_and_one_that_is_closed_hears_it():
    async def run() -> None:
        broker = MemoryBroker()
        leaves, thrown = await pipe(broker, "leaves"), await pipe(broker, "thrown")
        leaves.transport.close()
        thrown.transport.write(b"\x00\x00")
        await turns()

        assert leaves.ended
        assert thrown.ended
        assert broker.core.sessions == {}

    simulate(run())
