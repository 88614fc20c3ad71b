"""A broker without sockets, and peers that say packets to it and read its answers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import mqtt5
import pytest

from fleet_sim.broker.connection import Connection
from fleet_sim.broker.core import Broker
from fleet_sim.broker.limits import Limits
from fleet_sim.broker.session import Authenticate
from vendors.wire import mqtt311


class Peer:
    """A client's end of one connection; also the `Outlet` of the broker's end."""

    def __init__(self, world: "World", version: int) -> None:
        self.world = world
        self.version = version
        self.closed = False
        self.paused = False
        self.buffer = b""
        self.writes = 0
        self.connection = Connection(world.broker, self, world.now_s)

    # Outlet

    def write(self, data: bytes) -> None:
        assert not self.closed, "a byte after the end"
        self.writes += 1
        self.buffer += data

    def close(self) -> None:
        self.closed = True

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    # Client

    def send(self, *packets: Any) -> "Peer":
        """Say packets of either version, or bytes."""
        for packet in packets:
            self.connection.receive(encode(packet), self.world.now_s)
        self.world.flush()
        return self

    def got(self) -> list[Any]:
        """What the broker said since this was last asked."""
        raw, self.buffer = self.buffer, b""
        packets = []
        while raw:
            if self.version == 5:
                packet, size = mqtt5.read(memoryview(raw))
            else:
                read = mqtt311.read(raw)
                assert read is not None
                packet, size = read
            packets.append(packet)
            raw = raw[size:]
        return packets

    def payloads(self) -> list[bytes]:
        """The payloads of what it got, which must all be messages; acknowledges nothing."""
        return [packet.payload for packet in self.got()]

    def subscribe(self, *filters: str, qos: int = 1, **options: Any) -> list[int]:
        """Subscribe; the reason codes. Retained messages stay to be read."""
        identifier = options.pop("identifier", None)
        if self.version == 5:
            wanted = [
                mqtt5.TopicFilter(
                    each,
                    max_qos=mqtt5.QoS(qos),
                    **{"retain_as_published": False, **options},
                )
                for each in filters
            ]
            self.send(mqtt5.SubscribePacket(7, wanted, subscription_id=identifier))
        else:
            self.send(mqtt311.Subscribe(7, tuple((each, qos) for each in filters)))
        suback, size = self.first()
        self.buffer = self.buffer[size:]
        return [int(code) for code in getattr(suback, "reason_codes", None) or suback.codes]

    def publish(self, topic: str, payload: bytes = b"x", qos: int = 0, **more: Any) -> "Peer":
        """Publish; at QoS 1 and 2 with packet id 9 unless told otherwise."""
        packet_id = more.pop("packet_id", 9 if qos else None)
        if self.version == 5:
            return self.send(
                mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS(qos), packet_id=packet_id, **more)
            )
        return self.send(mqtt311.Publish(topic, payload, qos, packet_id=packet_id or 0, **more))

    def lose(self) -> None:
        """Lose the connection without a word."""
        self.connection.lost(self.world.now_s)
        self.world.flush()

    def first(self) -> tuple[Any, int]:
        """The first packet that it got, and its size; the packet stays."""
        if self.version == 5:
            return mqtt5.read(memoryview(self.buffer))
        read = mqtt311.read(self.buffer)
        assert read is not None
        return read


class World:
    """One broker, and time that passes when told to."""

    def __init__(self, limits: Limits, authenticate: Authenticate | None = None) -> None:
        self.broker = Broker(limits, authenticate)
        self.now_s = 1_000.0
        self._names = 0

    def flush(self) -> None:
        self.broker.flush(self.now_s)

    def wait(self, seconds: float) -> None:
        """Let time pass, deadline by deadline, as a loop would."""
        until_s = self.now_s + seconds
        while (due_s := self.broker.next_deadline_s) is not None and due_s <= until_s:
            self.now_s = due_s
            self.broker.tick(due_s)
            self.flush()
        self.now_s = until_s

    def dial(self, version: int = 5) -> Peer:
        """A connection that has not said anything."""
        return Peer(self, version)

    def client(self, name: str = "", version: int = 5, **options: Any) -> Peer:
        """A connected client; `greeting` is its CONNACK."""
        if not name:
            self._names += 1
            name = f"client-{self._names}"
        peer = self.dial(version).send(connect(name, version, **options))
        (peer.greeting,) = peer.got()[:1]  # type: ignore[attr-defined]
        return peer

    def resumed(self, name: str, version: int = 5, **options: Any) -> tuple[bool, Peer]:
        """A client that asks for its old session; whether there was one. Its messages wait."""
        peer = self.dial(version).send(
            connect(name, version, **{"clean": False, "expiry_s": 100, **options})
        )
        greeting, size = peer.first()
        peer.buffer = peer.buffer[size:]
        return greeting.session_present, peer


def connect(name: str, version: int = 5, **options: Any) -> Any:
    """CONNECT; `clean`, `expiry_s`, `will` and `keep_alive_s` in both versions."""
    clean = options.pop("clean", True)
    expiry_s = options.pop("expiry_s", 0)
    keep_alive_s = options.pop("keep_alive_s", 0)
    if version == 5:
        return mqtt5.ConnectPacket(
            name,
            clean_start=clean,
            session_expiry_interval=expiry_s,
            keep_alive=keep_alive_s,
            **options,
        )
    return mqtt311.Connect(name, clean_session=clean, keep_alive_s=keep_alive_s, **options)


def encode(packet: Any) -> bytes:
    if isinstance(packet, bytes):
        return packet
    return packet.write() if hasattr(packet, "write") else mqtt311.encode(packet)


LIMITS: Final = Limits(
    packet_max_bytes=4_096,
    connections_max=10,
    window_max=5,
    receive_max=4,
    queue_max=8,
    queue_max_bytes=8_000,
    out_max_bytes=8_000,
    retained_max=20,
    retained_max_bytes=20_000,
    subscriptions_max=6,
    topic_alias_max=3,
    sessions_max=12,
)


@pytest.fixture
def world() -> World:
    """A broker with small limits, so that a test meets them."""
    return World(LIMITS)


@pytest.fixture
def a_world() -> Callable[..., World]:
    """`a_world(rate_max_per_s=5)`: a broker with other limits than the small ones."""

    def make(authenticate: Authenticate | None = None, **changes: Any) -> World:
        return World(replace(LIMITS, **changes), authenticate)

    return make
