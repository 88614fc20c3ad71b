"""Whatever a peer sends: nothing raises out of `data_received`, and the session goes on."""

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt5 import (
    ConnAckPacket,
    DisconnectPacket,
    PingRespPacket,
    PubAckPacket,
    SubAckPacket,
    SubAckReasonCode,
)

from vendors.wire.mqtt import MqttSettings, PublishPacket, QoS, Session, TopicFilter

# Before it panics over invalid UTF-8, the codec reports the UnicodeDecodeError as unraisable.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SETTINGS = MqttSettings(url="mqtt://broker.example", packet_max_bytes=4_096, receive_max=3)
CONNACK = ConnAckPacket().write()
SUBACK = SubAckPacket(1, [SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE]).write()

GOOD = st.sampled_from(
    [
        CONNACK,
        SUBACK,
        PublishPacket("t", b"x").write(),
        PublishPacket("t/é", b"x" * 200, qos=QoS.AT_LEAST_ONCE, packet_id=1).write(),
        PublishPacket("t", b"", qos=QoS.AT_LEAST_ONCE, packet_id=2, content_type="c").write(),
        PubAckPacket(2).write(),
        PubAckPacket(60_000, reason_str="why").write(),
        PingRespPacket().write(),
        DisconnectPacket(reason_str="bye").write(),
    ]
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good packet with a few bytes of it changed, cut or put in."""
    packet = bytearray(draw(GOOD))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(packet) - 1)))
        packet[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(packet)


CHUNKS = st.lists(st.one_of(GOOD, damaged(), st.binary(max_size=64)), max_size=12)


class Wire:
    """A transport that swallows everything and ends when it is told to."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self.protocol = protocol
        self.ended = False

    def write(self, data: bytes) -> None:
        assert not self.ended, f"{len(data)} bytes after the end"

    def close(self) -> None:
        if not self.ended:
            self.ended = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close


async def endure(prelude: list[bytes], chunks: list[bytes]) -> None:
    """One session that hears all of it, acknowledges what it gets, and is then closed."""
    wires: list[Wire] = []
    opened = asyncio.Event()
    done: list[Any] = []

    async def opener(factory: Any) -> Any:
        wire = Wire(factory())
        wires.append(wire)
        opened.set()
        wire.protocol.connection_made(wire)  # type: ignore[arg-type]
        return wire, wire.protocol

    def hear(packets: list[PublishPacket], generation: int) -> None:
        session.ack(generation, [packet.packet_id for packet in packets[:1]])

    session = Session(
        SETTINGS,
        client_id="cell",
        rng=Random(1),
        subscriptions=[TopicFilter("#")],
        on_publish=hear,
        opener=opener,
    )
    running = asyncio.create_task(session.run())
    await opened.wait()
    accepted = session.publish("a", b"x", qos=1, done=done.append)

    for chunk in (*prelude, *chunks):
        if not wires[0].ended:
            wires[0].protocol.data_received(chunk)
            await asyncio.sleep(0)
    await session.close()
    await running

    assert accepted
    assert len(done) == 1
    assert all(wire.ended for wire in wires)


def run(session: Coroutine[Any, Any, None]) -> None:
    asyncio.run(session)


@given(chunks=CHUNKS)
def test_any_bytes_before_the_greeting_are_survived(chunks):
    run(endure([], chunks))


@given(chunks=CHUNKS)
def test_any_bytes_after_the_greeting_are_survived(chunks):
    run(endure([CONNACK, SUBACK], chunks))


@given(stream=st.lists(st.one_of(GOOD, damaged()), max_size=6).map(b"".join), data=st.data())
def test_any_cut_of_a_stream_is_survived(stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    edges = [0, *cuts, len(stream)]

    run(
        endure(
            [CONNACK, SUBACK],
            [stream[a:b] for a, b in pairwise(edges) if a < b],
        )
    )
