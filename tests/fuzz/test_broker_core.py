"""Whatever peers send, in whatever order: nothing raises, nobody else notices, memory is bounded.

No sockets and no clock: the broker's core, its connections, and peers made of lists. A witness
subscribes to everything and has to hear every message that was accepted, once and in order.
"""

import contextlib
import os
from collections.abc import Iterator

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_sim.broker.connection import Connection
from fleet_sim.broker.core import Broker
from fleet_sim.broker.limits import Limits
from vendors.wire import mqtt311

# Before it panics over invalid UTF-8, the codec reports the UnicodeDecodeError as unraisable.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

LIMITS = Limits(
    packet_max_bytes=2_048,
    window_max=3,
    receive_max=4,
    queue_max=6,
    queue_max_bytes=6_000,
    out_max_bytes=6_000,
    retained_max=5,
    retained_max_bytes=6_000,
    subscriptions_max=4,
    topic_alias_max=2,
    sessions_max=8,
    session_expiry_max_s=1_000,
)
TOPICS = ("a", "a/b", "a/c", "b/b", "$x/y")
FILTERS = ("a", "a/+", "+/b", "#", "$share/g/a/+", "$share/h/#", "a/#/bad")
CLIENTS = 4


class Peer:
    """A client's end; also the broker's `Outlet`."""

    def __init__(self, world: "World", version: int) -> None:
        self.version = version
        self.closed = False
        self.buffer = b""
        self.late: list = []
        self._world = world
        self.connection = Connection(world.broker, self, world.now_s)

    def write(self, data: bytes) -> None:
        assert not self.closed, "a byte after the end"
        self.buffer += data

    def close(self) -> None:
        self.closed = True

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def send(self, raw: bytes) -> None:
        self.connection.receive(raw, self._world.now_s)
        self._world.broker.flush(self._world.now_s)

    def lose(self) -> None:
        self.connection.lost(self._world.now_s)
        self._world.broker.flush(self._world.now_s)

    def got(self) -> Iterator:
        """What it was sent, which must all be good packets of its version."""
        raw, self.buffer = self.buffer, b""
        while raw:
            packet, size = mqtt5.read(memoryview(raw)) if self.version == 5 else mqtt311.read(raw)
            yield packet
            raw = raw[size:]

    def take(self, *, some: bool = False) -> list:
        """Acknowledge all that came, until no more comes, or half of it; the messages."""
        messages = []
        late, self.late = self.late, []
        for packet in late:
            self.answer(packet)
        while self.buffer:
            for packet in self.got():
                if hasattr(packet, "payload"):
                    messages.append(packet)
                if some and len(messages) % 2:
                    self.late.append(packet)
                else:
                    self.answer(packet)
        return messages

    def answer(self, packet) -> None:
        kind = type(packet).__name__.removesuffix("Packet")
        if kind == "Publish" and int(packet.qos):
            self.send(ack(0x40 if int(packet.qos) == 1 else 0x50, packet.packet_id))
        elif kind == "PubRel":
            self.send(ack(0x70, packet.packet_id))


class World:
    """A broker, a witness to everything, and a client that must not notice anything."""

    def __init__(self) -> None:
        self.broker = Broker(LIMITS)
        self.now_s = 0.0
        self.count = 0
        self.accepted: list[bytes] = []
        self.heard: list[bytes] = []
        self.witness = self.client("witness", 4)
        self.witness.send(mqtt311.encode(mqtt311.Subscribe(1, (("#", 1), ("$x/#", 1)))))
        self.calm = self.client("calm", 5)
        self.calm.send(mqtt5.SubscribePacket(1, [mqtt5.TopicFilter("$calm/only")]).write())
        self.hear()
        self.calm.take()

    def client(self, name: str, version: int) -> Peer:
        peer = Peer(self, version)
        peer.send(connect(name, version, clean=True, expiry_s=0, keep_alive_s=0))
        return peer

    def hear(self) -> None:
        self.heard += [message.payload for message in self.witness.take()]

    def wait(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while (due_s := self.broker.next_deadline_s) is not None and due_s <= until_s:
            self.now_s = due_s
            self.broker.tick(due_s)
            self.broker.flush(due_s)
        self.now_s = until_s

    def check(self) -> None:
        """Others are served as ever, and everything is within its bounds."""
        self.calm.send(mqtt5.PublishPacket("$calm/only", b"!").write())
        assert [message.payload for message in self.calm.take()] == [b"!"]
        self.hear()
        assert not self.calm.closed
        assert not self.witness.closed
        broker = self.broker
        assert len(broker.retained) <= LIMITS.retained_max
        assert len(broker.sessions) <= LIMITS.sessions_max
        assert len(broker.timers) < 200
        assert not broker.dirty
        for session in broker.sessions.values():
            assert session.queued <= LIMITS.queue_max + LIMITS.retained_max
            assert len(session.inflight) <= LIMITS.window_max
            assert len(session.subscriptions) <= LIMITS.subscriptions_max


def ack(head: int, packet_id: int) -> bytes:
    return bytes((head, 2)) + packet_id.to_bytes(2, "big")


def connect(
    name: str,
    version: int,
    *,
    clean: bool,
    expiry_s: int,
    keep_alive_s: int = 60,
    will: bool = False,
) -> bytes:
    if version == 5:
        return mqtt5.ConnectPacket(
            name,
            clean_start=clean,
            session_expiry_interval=expiry_s,
            keep_alive=keep_alive_s,
            will=mqtt5.Will("a/will", payload=b"will", will_delay_interval=3) if will else None,
        ).write()
    return mqtt311.encode(
        mqtt311.Connect(
            name,
            clean,
            keep_alive_s,
            mqtt311.Will("a/will", b"will", 1, retain=True) if will else None,
        )
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the codec's panics, which it prints itself, out of the test's output."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


# Bytes that make no sense

GOOD = {
    5: [
        mqtt5.PublishPacket("calm/x", b"x" * 30, content_type="ü").write(),
        mqtt5.PublishPacket(
            "a",
            b"y",
            qos=mqtt5.QoS(1),
            packet_id=1,
            topic_alias=1,
            message_expiry_interval=5,
            response_topic="r",
            correlation_data=b"c",
            user_properties=[("k", "v")],
        ).write(),
        mqtt5.PublishPacket("", b"z", qos=mqtt5.QoS(2), packet_id=2, topic_alias=1).write(),
        mqtt5.SubscribePacket(
            3, [mqtt5.TopicFilter("a/+"), mqtt5.TopicFilter("$share/g/b")], subscription_id=1
        ).write(),
        mqtt5.UnsubscribePacket(4, ["a/+"]).write(),
        mqtt5.PubRelPacket(2).write(),
        mqtt5.PubAckPacket(1, reason_str="why").write(),
        mqtt5.PubRecPacket(1).write(),
        mqtt5.PingReqPacket().write(),
        mqtt5.DisconnectPacket(session_expiry_interval=1, reason_str="bye").write(),
        connect("other", 5, clean=True, expiry_s=1, will=True),
    ],
    4: [
        mqtt311.encode(packet)
        for packet in (
            mqtt311.Publish("calm/x", b"x" * 30),
            mqtt311.Publish("a/ü", b"y", 1, retain=True, packet_id=1),
            mqtt311.Publish("a", b"z", 2, packet_id=2),
            mqtt311.Subscribe(3, (("a/+", 2), ("#", 0))),
            mqtt311.Unsubscribe(4, ("a/+",)),
            mqtt311.PubRel(2),
            mqtt311.PubAck(1),
            mqtt311.PingReq(),
            mqtt311.Disconnect(),
            mqtt311.Connect("other", will=mqtt311.Will("w"), username="u", password=b"p"),
        )
    ],
}
VERSIONS = st.sampled_from([4, 5])


@given(chunks=st.lists(st.binary(max_size=80), max_size=6))
def test_any_bytes_of_a_stranger_are_survived(chunks):
    world = World()
    with quiet():
        peer = Peer(world, 5)
        for chunk in chunks:
            peer.send(chunk)
        world.check()
        world.wait(15)

    assert peer.closed
    assert set(world.broker.sessions) == {"witness", "calm"}


@given(version=VERSIONS, chunks=st.lists(st.binary(max_size=80), max_size=6))
def test_any_bytes_of_a_client_are_survived(version, chunks):
    world = World()
    with quiet():
        peer = world.client("hostile", version)
        for chunk in chunks:
            peer.send(chunk)
    world.check()


@st.composite
def damaged(draw, version):
    """A good packet with a few bytes of it changed, cut or put in."""
    raw = bytearray(draw(st.sampled_from(GOOD[version])))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(raw)


@given(version=VERSIONS, greets=st.booleans(), data=st.data())
def test_damaged_packets_are_survived(version, greets, data):
    stream = b"".join(data.draw(st.lists(damaged(version), max_size=5)))
    cut = data.draw(st.integers(0, len(stream)))
    world = World()
    with quiet():
        peer = world.client("hostile", version) if greets else Peer(world, version)
        peer.send(stream[:cut])
        peer.send(stream[cut:])
        world.check()
        peer.lose()
        world.wait(2_000)

    assert set(world.broker.sessions) <= {"witness", "calm"}


# Good packets in any order


class Actor:
    """One client that comes and goes, and what it is entitled to hear."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"actor-{number}"
        self.peer: Peer | None = None
        self.newest = 0
        self.copies = 0
        self.shares: set[str] = set()

    def do(self, act: str, arg: int) -> None:
        if act == "connect":
            self.connect(arg)
        elif self.peer is not None and not self.peer.closed:
            getattr(self, act)(self.peer, arg)

    def connect(self, arg: int) -> None:
        old = self.peer
        version = 4 + arg % 2
        self.peer = Peer(self.world, version)
        clean, will = bool(arg & 2), bool(arg & 4)
        self.peer.send(
            connect(self.name, version, clean=clean, expiry_s=(0, 5, 500)[arg % 3], will=will)
        )
        assert old is None or old.closed or not old.connection.session

    def subscribe(self, peer: Peer, arg: int) -> None:
        topic_filter, qos = FILTERS[arg % len(FILTERS)], arg % 3
        if topic_filter.startswith("$share/"):
            self.shares.add(topic_filter)
        body = b"\x00\x07" + b"\x00" * (peer.version == 5)
        body += len(topic_filter).to_bytes(2, "big") + topic_filter.encode() + bytes((qos,))
        peer.send(bytes((0x82, len(body))) + body)

    def unsubscribe(self, peer: Peer, arg: int) -> None:
        topic_filter = FILTERS[arg % len(FILTERS)]
        body = b"\x00\x08" + b"\x00" * (peer.version == 5)
        body += len(topic_filter).to_bytes(2, "big") + topic_filter.encode()
        peer.send(bytes((0xA2, len(body))) + body)

    def burst(self, peer: Peer, arg: int) -> None:
        for number in range(8):
            self.publish(peer, arg + number)

    def publish(self, peer: Peer, arg: int) -> None:
        world = self.world
        world.count += 1
        topic, qos, retain = TOPICS[arg % len(TOPICS)], arg % 3, bool(arg & 8)
        payload = b"%d" % world.count + b"." * (arg % 700)
        packet_id = world.count if qos else 0
        if peer.version == 5:
            raw = mqtt5.PublishPacket(
                topic,
                payload,
                qos=mqtt5.QoS(qos),
                retain=retain,
                packet_id=packet_id or None,
                message_expiry_interval=(arg % 5 or None),
            ).write()
        else:
            raw = mqtt311.encode(mqtt311.Publish(topic, payload, qos, retain, packet_id=packet_id))
        peer.send(raw)
        if qos == 2:
            peer.send(raw)  # said twice, meant once
            peer.send(ack(0x62, packet_id))
        world.accepted.append(payload)
        world.hear()

    def take(self, peer: Peer, arg: int) -> None:
        del arg
        for message in peer.take():
            self.judge(message)

    def take_half(self, peer: Peer, arg: int) -> None:
        del arg
        for message in peer.take(some=True):
            self.judge(message)

    def judge(self, message) -> None:
        """In order; twice only by way of a share, and what says itself that it is not new."""
        number = message.payload.partition(b".")[0]
        if message.retain or message.duplicate or number == b"will":
            return
        assert int(number) >= self.newest, "out of order"
        self.copies = self.copies + 1 if int(number) == self.newest else 1
        self.newest = int(number)
        assert self.copies <= 1 + len(self.shares), "more than once"

    def slow(self, peer: Peer, arg: int) -> None:
        del arg
        peer.connection.slowed(self.world.now_s)

    def ease(self, peer: Peer, arg: int) -> None:
        del arg
        peer.connection.eased(self.world.now_s)
        self.world.broker.flush(self.world.now_s)

    def lose(self, peer: Peer, arg: int) -> None:
        del arg
        peer.lose()
        self.peer = None

    def leave(self, peer: Peer, arg: int) -> None:
        del arg
        peer.send(b"\xe0\x00")
        assert peer.closed

    def stall(self, peer: Peer, arg: int) -> None:
        """The broker hangs for this client, and is healed: all in one, nothing is lost."""
        world = self.world
        world.broker.stall(self.name, world.now_s)
        peer.send(b"\xc0\x00")
        before = len(peer.buffer)
        world.wait(arg % 3)
        assert len(peer.buffer) == before
        world.broker.heal(world.now_s)
        world.broker.flush(world.now_s)
        assert peer.buffer.endswith(b"\xd0\x00") or len(peer.buffer) > before

    def wait(self, peer: Peer, arg: int) -> None:
        del peer
        self.world.wait(arg % 120)


ACTS = st.tuples(
    st.sampled_from(
        [
            "connect",
            "connect",
            "subscribe",
            "subscribe",
            "unsubscribe",
            "publish",
            "publish",
            "publish",
            "burst",
            "take",
            "take_half",
            "slow",
            "ease",
            "lose",
            "leave",
            "stall",
            "wait",
        ]
    ),
    st.integers(0, CLIENTS - 1),
    st.integers(0, 4_095),
)


@given(acts=st.lists(ACTS, max_size=40))
def test_good_packets_in_any_order_lose_nothing(acts):
    world = World()
    actors = [Actor(world, number) for number in range(CLIENTS)]
    for number, actor in enumerate(actors):
        actor.connect(number)
        actor.do("subscribe", (1, 3, 5, 8)[number])  # a/+, everything, a share, a/+ at QoS 2

    for act, who, arg in acts:
        actors[who].do(act, arg)
        world.hear()

    world.check()
    assert [payload for payload in world.heard if payload != b"will"] == world.accepted
    for actor in actors:
        actor.do("ease", 0)
        actor.do("take", 0)
        session = world.broker.sessions.get(actor.name)
        if session is not None and session.link is not None:
            assert session.queued == 0
            assert not session.inflight
    for actor in actors:
        actor.do("leave", 0)
    world.wait(2_000)
    assert set(world.broker.sessions) <= {"witness", "calm"}
    assert world.broker.holdables.keys() <= {"witness", "calm"}
