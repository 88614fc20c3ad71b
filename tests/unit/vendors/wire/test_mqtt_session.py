"""The session against a broker that is played here, packet by packet, without a network."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import mqtt5
import pytest
from mqtt5 import (
    ConnAckPacket,
    ConnAckReasonCode,
    ConnectPacket,
    DisconnectPacket,
    DisconnectReasonCode,
    PingReqPacket,
    PingRespPacket,
    PubAckPacket,
    SubAckPacket,
    SubAckReasonCode,
    SubscribePacket,
)
from pydantic import ValidationError
from structlog.testing import capture_logs

from vendors.wire.mqtt import (
    Link,
    MqttSettings,
    PubAckReasonCode,
    PublishPacket,
    QoS,
    Session,
    TopicFilter,
)

SETTINGS = MqttSettings(
    url="mqtt://broker.example",
    backoff_base_ms=1,
    backoff_max_ms=2,
    connect_timeout_s=1,
    receive_max=4,
    inflight_max=4,
    packet_max_bytes=4_096,
)
Eventually = Callable[..., Awaitable[None]]
# Before it panics over invalid UTF-8, the codec reports the UnicodeDecodeError as unraisable.
CODEC_PANICS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@dataclass
class Peer:
    """One connection, seen from the broker: what came in, and what to say."""

    protocol: asyncio.Protocol
    packets: list[Any] = field(default_factory=list)
    writes: int = 0
    ended: bool = False

    def write(self, data: bytes) -> None:
        assert not self.ended
        self.writes += 1
        view, at = memoryview(data), 0
        while at < len(data):
            packet, length = mqtt5.read(view[at:])
            self.packets.append(packet)
            at += length

    def close(self) -> None:
        if not self.ended:
            self.ended = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def say(self, *packets: Any) -> None:
        self.protocol.data_received(b"".join(packet.write() for packet in packets))

    def answer(self, *codes: SubAckReasonCode) -> None:
        """To the last SUBSCRIBE."""
        self.say(SubAckPacket(self.of(SubscribePacket)[-1].packet_id, list(codes)))

    def drop(self, error: Exception | None = None) -> None:
        self.ended = True
        self.protocol.connection_lost(error)

    def of(self, kind: type) -> list[Any]:
        return [packet for packet in self.packets if isinstance(packet, kind)]

    @property
    def acked(self) -> list[int]:
        return [packet.packet_id for packet in self.of(PubAckPacket)]

    @property
    def goodbye(self) -> int | None:
        left = self.of(DisconnectPacket)
        return left[0].reason_code.value if left else None


@dataclass
class Rig:
    """A session, its broker's end, and all it told."""

    session: Session = field(init=False)
    peers: list[Peer] = field(default_factory=list)
    heard: list[tuple[list[PublishPacket], int]] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    connack: ConnAckPacket = field(default_factory=ConnAckPacket)
    suback: tuple[SubAckReasonCode, ...] = ()
    greet: bool = True

    async def opener(self, factory):
        protocol = factory()
        peer = Peer(protocol)
        self.peers.append(peer)
        protocol.connection_made(peer)
        if self.greet:
            peer.say(self.connack)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for wish in peer.of(SubscribePacket):
                codes = list(self.suback) or [
                    SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE for _ in wish.topic_filters
                ]
                peer.say(SubAckPacket(wish.packet_id, codes))
        return peer, protocol

    @property
    def peer(self) -> Peer:
        return self.peers[-1]


Start = Callable[..., Any]


@pytest.fixture
async def start(eventually: Eventually) -> AsyncIterator[Start]:
    async with contextlib.AsyncExitStack() as running:

        async def start(
            settings: MqttSettings = SETTINGS, *, await_up: bool = True, rig=None, **wishes
        ):
            rig = rig or Rig()
            rig.session = Session(
                settings,
                client_id="cell",
                rng=Random(1),
                opener=rig.opener,
                on_publish=lambda packets, generation: rig.heard.append((packets, generation)),
                on_link=rig.links.append,
                **wishes,
            )
            task = asyncio.create_task(rig.session.run())

            async def stop() -> None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

            running.push_async_callback(stop)
            if await_up:
                await eventually(lambda: rig.session.up)
            return rig

        yield start


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


async def turn() -> None:
    """Let everything that was queued for this loop turn happen."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def frame(packet_id: int, *, topic: str = "t", payload: bytes = b"x") -> PublishPacket:
    return PublishPacket(topic, payload, qos=QoS.AT_LEAST_ONCE, packet_id=packet_id)


WISH = (TopicFilter("door/#"),)
GRANTED = SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE
REFUSED = SubAckReasonCode.NOT_AUTHORIZED
DEAF = "connected, but without door/# (SUBACK 0x87 not authorized)"
#: Whoever looks at a state does not want it to be over in a moment.
PATIENT = SETTINGS.model_copy(update={"backoff_base_ms": 60_000, "backoff_max_ms": 600_000})


# --- connecting ---


async def test_connect_carries_what_the_settings_say(start):
    rig = await start(SETTINGS.model_copy(update={"username": "ratgdo", "keepalive_s": 17}))

    connect = rig.peer.of(ConnectPacket)[0]

    assert (connect.client_id, connect.username, connect.keep_alive) == ("cell", "ratgdo", 17)
    assert (connect.receive_max, connect.max_packet_size) == (4, 4_096)
    assert not connect.clean_start
    assert rig.links == [Link(up=True, reason="connected", session_present=False)]


async def test_the_password_is_the_files_line(start, tmp_path):
    file = tmp_path / "password"
    file.write_bytes(b"s3cret\n")

    rig = await start(SETTINGS.model_copy(update={"username": "u", "password_file": file}))

    assert rig.peer.of(ConnectPacket)[0].password == b"s3cret"


async def test_a_missing_password_file_is_named(start, tmp_path, eventually):
    file = tmp_path / "none"
    rig = await start(SETTINGS.model_copy(update={"password_file": file}), await_up=False)

    await eventually(lambda: rig.links)

    assert rig.links[0].reason == f"password_file {file}: No such file or directory"
    assert rig.peers == []


async def test_subscriptions_never_ask_for_qos_2(start):
    rig = await start(subscriptions=WISH)

    (asked,) = rig.peer.of(SubscribePacket)[0].topic_filters

    assert asked.max_qos == QoS.AT_LEAST_ONCE


async def test_many_subscriptions_go_in_portions_that_every_broker_takes(start):
    rig = await start(subscriptions=[TopicFilter(f"t/{n}") for n in range(20)])

    assert [len(p.topic_filters) for p in rig.peer.of(SubscribePacket)] == [8, 8, 4]


async def test_a_link_that_hears_not_all_it_asked_for_is_not_up(start, logs):
    rig = Rig(suback=(GRANTED, REFUSED))

    await start(PATIENT, rig=rig, subscriptions=(TopicFilter("bell/#"), *WISH))

    assert rig.links == [Link(up=False, reason=DEAF, session_present=False)]
    assert [e["event"] for e in logs] == ["mqtt.subscription_refused"]
    assert logs[0]["reason"] == DEAF


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (SubAckReasonCode.UNSPECIFIED_ERROR, "0x80 unspecified error"),
        (SubAckReasonCode.QUOTA_EXCEEDED, "0x97 quota exceeded"),
        (
            SubAckReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
            "0xa2 wildcard subscriptions not supported",
        ),
    ],
)
async def test_a_refused_subscription_is_told_in_the_standards_words(start, code, words):
    rig = Rig(suback=(code,))

    await start(PATIENT, rig=rig, subscriptions=WISH)

    assert rig.links[-1].reason == f"connected, but without door/# (SUBACK {words})"


async def test_what_the_broker_adds_to_a_refused_subscription_is_told_too(start):
    rig = await start(PATIENT, await_up=False, rig=Rig(greet=False), subscriptions=WISH)
    await turn()
    rig.peer.say(ConnAckPacket())
    await turn()
    (asked,) = rig.peer.of(SubscribePacket)

    rig.peer.say(SubAckPacket(asked.packet_id, [REFUSED], reason_str="see your contract"))

    assert rig.links[-1].reason.endswith("door/# (SUBACK 0x87 not authorized (see your contract))")


async def test_only_what_was_refused_is_asked_for_again_on_the_same_link(start, eventually, logs):
    rig = Rig(suback=(GRANTED, REFUSED))
    await start(rig=rig, subscriptions=(TopicFilter("bell/#"), *WISH))

    for asked in range(2, 5):
        await eventually(lambda n=asked: len(rig.peer.of(SubscribePacket)) == n)
        rig.peer.answer(REFUSED)
    await eventually(lambda: len(rig.peer.of(SubscribePacket)) == 5)
    rig.peer.answer(GRANTED)
    await asyncio.sleep(0.02)  # ten of the longest waits: nothing more is asked

    first, *again = [[f.pattern for f in p.topic_filters] for p in rig.peer.of(SubscribePacket)]
    assert (first, again) == (["bell/#", "door/#"], [["door/#"]] * 4)
    assert rig.links == [
        Link(up=False, reason=DEAF, session_present=False),
        Link(up=True, reason="connected", session_present=False),
    ]
    assert (len(rig.peers), rig.session.generation) == (1, 1)
    assert [e["event"] for e in logs] == ["mqtt.subscription_refused", "mqtt.link_up"]


async def test_a_lasting_refusal_is_met_with_growing_patience(start, eventually):
    rig = Rig(suback=(REFUSED,))
    slow = SETTINGS.model_copy(update={"backoff_base_ms": 5, "backoff_max_ms": 60_000})
    await start(slow, rig=rig, subscriptions=WISH)

    loop = asyncio.get_running_loop()
    until_s = loop.time() + 0.5
    asked = 1
    while loop.time() < until_s:
        await asyncio.sleep(0.002)
        if len(rig.peer.of(SubscribePacket)) > asked:
            asked += 1
            rig.peer.answer(REFUSED)

    # Unchecked, half a second would hold some two hundred at 2.5 ms each.
    assert 2 < asked < 20


async def test_a_link_that_does_not_hear_all_still_speaks_and_hears_the_rest(start):
    rig = await start(PATIENT, rig=Rig(suback=(REFUSED,)), subscriptions=WISH)

    taken = rig.session.publish("lock/open", b"", qos=1, resend=False)
    rig.peer.say(frame(1))
    await turn()

    assert taken
    assert [p.topic for p in rig.peer.of(PublishPacket)] == ["lock/open"]
    assert [p.topic for packets, _ in rig.heard for p in packets] == ["t"]


async def test_one_of_two_that_is_granted_later_is_told(start, eventually):
    rig = Rig(suback=(REFUSED, REFUSED))
    await start(rig=rig, subscriptions=(TopicFilter("bell/#"), *WISH))

    await eventually(lambda: len(rig.peer.of(SubscribePacket)) == 2)
    rig.peer.answer(GRANTED, REFUSED)

    assert rig.links[-1] == Link(up=False, reason=DEAF, session_present=False)
    await eventually(lambda: len(rig.peer.of(SubscribePacket)) == 3)
    assert [f.pattern for f in rig.peer.of(SubscribePacket)[-1].topic_filters] == ["door/#"]


async def test_a_link_that_went_is_not_asked_again_and_the_next_one_asks_for_all(start, eventually):
    rig = Rig(suback=(REFUSED, REFUSED))
    await start(rig=rig, subscriptions=(TopicFilter("bell/#"), *WISH))
    first = rig.peer
    await eventually(lambda: len(first.of(SubscribePacket)) == 2)
    rig.suback = (GRANTED, GRANTED)

    first.answer(GRANTED, REFUSED)
    first.drop()
    await eventually(lambda: rig.links[-1].up)
    await asyncio.sleep(0.02)  # ten of the longest waits

    assert len(first.of(SubscribePacket)) == 2
    (asked,) = rig.peer.of(SubscribePacket)
    assert [f.pattern for f in asked.topic_filters] == ["bell/#", "door/#"]


async def test_a_broker_that_leaves_the_second_question_unanswered_is_given_up(start, eventually):
    rig = await start(rig=Rig(suback=(REFUSED,)), subscriptions=WISH)
    first = rig.peer

    await eventually(lambda: len(rig.peers) == 2)

    assert first.ended
    assert rig.links[1].reason == "no SUBACK from broker.example:1883 within 1 s"


async def test_a_lower_quality_than_asked_for_is_no_refusal(start, logs):
    rig = Rig(suback=(SubAckReasonCode.GRANTED_QOS_AT_MOST_ONCE,))

    await start(rig=rig, subscriptions=WISH)
    await turn()

    assert rig.links == [
        Link(up=True, reason="connected, QoS 0 only: door/#", session_present=False)
    ]
    assert [e["event"] for e in logs] == ["mqtt.qos_lowered", "mqtt.link_up"]
    assert len(rig.peer.of(SubscribePacket)) == 1


async def test_a_suback_after_the_end_of_the_link_brings_nothing_up(start, eventually):
    rig = await start(PATIENT, await_up=False, rig=Rig(greet=False), subscriptions=WISH)
    await turn()
    rig.peer.say(ConnAckPacket())
    await turn()
    (asked,) = rig.peer.of(SubscribePacket)

    rig.peer.say(SubAckPacket(99, [GRANTED]), SubAckPacket(asked.packet_id, [GRANTED]))

    assert not rig.session.up
    assert [link.up for link in rig.links] == [False]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (ConnAckReasonCode.NOT_AUTHORIZED, "CONNACK 0x87 not authorized"),
        (ConnAckReasonCode.BAD_USER_NAME_OR_PASSWORD, "CONNACK 0x86 bad user name or password"),
        (ConnAckReasonCode.SERVER_BUSY, "CONNACK 0x89 server busy"),
    ],
)
async def test_a_refusal_is_told_once_however_often_it_comes(start, eventually, logs, code, reason):
    rig = Rig(connack=ConnAckPacket(reason_code=code))
    await start(rig=rig, await_up=False)

    await eventually(lambda: len(rig.peers) > 3)

    assert rig.links == [Link(up=False, reason=reason, session_present=False)]
    assert [e["event"] for e in logs].count("mqtt.link_down") == 1


async def test_a_refusal_that_only_a_person_heals_waits_longest(start, eventually, logs):
    rig = Rig(connack=ConnAckPacket(reason_code=ConnAckReasonCode.BANNED))
    slow = SETTINGS.model_copy(update={"backoff_base_ms": 1, "backoff_max_ms": 600_000})
    await start(slow, rig=rig, await_up=False)

    await eventually(lambda: rig.links)
    await asyncio.sleep(0.1)  # a hundred times the first wait of an ordinary outage

    assert len(rig.peers) == 1
    assert "mqtt.refused" in [e["event"] for e in logs]


async def test_a_broker_without_qos_1_is_refused(start, eventually):
    rig = Rig(connack=ConnAckPacket(max_qos=QoS.AT_MOST_ONCE))
    await start(rig=rig, await_up=False)

    await eventually(lambda: rig.links)

    assert rig.links[0].reason == "the broker offers QoS 0 only"


async def test_a_broker_that_says_nothing_is_given_up_in_time(start, eventually):
    rig = Rig(greet=False)
    await start(rig=rig, await_up=False)

    await eventually(lambda: len(rig.peers) > 1)

    assert rig.links[0].reason == "no answer from broker.example:1883 within 1 s"
    assert rig.peers[0].ended


# --- frames in ---


async def test_all_frames_of_a_chunk_come_in_one_call(start):
    rig = await start()

    rig.peer.say(frame(1), frame(2), PublishPacket("t", b"qos 0"))

    ((packets, generation),) = rig.heard
    assert [p.packet_id for p in packets] == [1, 2, None]
    assert generation == rig.session.generation == 1


async def test_nothing_is_acknowledged_until_told(start):
    rig = await start()
    rig.peer.say(frame(1), frame(2))
    await turn()

    before = list(rig.peer.acked)
    rig.session.ack(1, [1, 2])
    await turn()

    assert (before, rig.peer.acked) == ([], [1, 2])


async def test_pubacks_leave_in_the_order_the_frames_came(start):
    rig = await start()
    rig.peer.say(frame(7), frame(3), frame(5))

    rig.session.ack(1, [5])
    rig.session.ack(1, [3])
    await turn()
    early = list(rig.peer.acked)
    rig.session.ack(1, [7])
    await turn()

    assert (early, rig.peer.acked) == ([], [7, 3, 5])


async def test_acks_of_one_loop_turn_leave_in_one_write(start):
    rig = await start()
    rig.peer.say(frame(1), frame(2), frame(3))
    writes = rig.peer.writes

    rig.session.ack(1, [1])
    rig.session.ack(1, [2, 3])
    rig.session.publish("a", b"", qos=1)
    await turn()

    assert rig.peer.writes == writes + 1


async def test_an_ack_from_a_former_connection_is_ignored(start, eventually):
    rig = await start()
    rig.peer.say(frame(1))
    rig.peer.drop()
    await eventually(lambda: rig.session.generation == 2)
    rig.peer.say(frame(1))

    rig.session.ack(1, [1])
    await turn()
    stale = list(rig.peer.acked)
    rig.session.ack(2, [1])
    await turn()

    assert (stale, rig.peer.acked) == ([], [1])


async def test_an_ack_for_a_frame_that_never_came_does_not_acknowledge_a_later_one(start):
    rig = await start()

    rig.session.ack(1, [9, None])
    rig.peer.say(frame(9))
    await turn()

    assert rig.peer.acked == []


async def test_a_stream_of_single_bytes_is_understood(start):
    rig = await start()
    stream = frame(1, payload=b"x" * 300).write() + frame(2).write()

    for byte in stream:
        rig.peer.protocol.data_received(bytes([byte]))

    assert [len(p.payload) for packets, _ in rig.heard for p in packets] == [300, 1]


@CODEC_PANICS
@pytest.mark.parametrize(
    ("poison", "code", "reason"),
    [
        pytest.param(b"\x30\x04\x00\x01\xff\x00", 0x81, "invalid UTF-8", id="utf-8"),
        pytest.param(b"\x30\x03\x00\x09a", 0x81, "malformed packet", id="too short inside"),
        pytest.param(b"\x30\xff\xff\xff\xff\x01", 0x81, "endless length", id="length"),
        pytest.param(b"\x00\x00", 0x82, "unexpected packet 0x00", id="type 0"),
        pytest.param(b"\x10\x00", 0x82, "unexpected packet 0x10", id="CONNECT"),
        pytest.param(b"\x34\x06\x00\x01a\x00\x01\x00", 0x82, "unexpected packet 0x34", id="QoS 2"),
        pytest.param(b"\x50\x02\x00\x01", 0x82, "unexpected packet 0x50", id="PUBREC"),
        pytest.param(b"\x20\x03\x00\x00\x00", 0x82, "unexpected packet 0x20", id="2nd CONNACK"),
        pytest.param(b"\x30\x81\x40", 0x95, "packet of 8196 bytes, 4096 allowed", id="too large"),
        pytest.param(b"\x30\x07\x00\x01a\x03\x23\x00\x01", 0x94, "topic alias", id="alias"),
        pytest.param(frame(1).write(), 0x82, "packet identifier 1 is in use", id="id in use"),
        pytest.param(
            b"".join(frame(n).write() for n in range(2, 34)),
            0x93,
            "more than 32 frames unacknowledged",
            id="receive maximum",
        ),
    ],
)
async def test_a_broken_peer_is_told_why_and_what_came_before_it_counts(
    start, eventually, poison, code, reason
):
    rig = await start()
    peer = rig.peer

    peer.protocol.data_received(frame(1).write() + poison)

    assert rig.heard[0][0][0].packet_id == 1
    assert peer.goodbye == code
    assert reason in rig.links[-1].reason
    await eventually(lambda: rig.session.generation == 2)
    assert rig.session.up


async def test_a_suback_to_nothing_ends_the_link(start):
    rig = await start()

    rig.peer.say(SubAckPacket(9, [SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE]))

    assert rig.peer.goodbye == 0x82
    assert rig.links[-1].reason == "SUBACK does not answer our SUBSCRIBE"


@CODEC_PANICS
async def test_a_frame_that_cannot_be_read_is_met_with_growing_patience(start, eventually):
    backoff = {"backoff_base_ms": 5, "backoff_max_ms": 60_000}
    rig = await start(SETTINGS.model_copy(update=backoff))
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    for generation in range(1, 7):  # the broker redelivers it on every link
        await eventually(lambda g=generation: rig.session.generation == g and rig.session.up)
        rig.peer.protocol.data_received(b"\x30\x04\x00\x01\xff\x00")
    await asyncio.sleep(max(0.0, began_s + 0.5 - loop.time()))

    # Unchecked, half a second would hold some two hundred links at 2.5 ms each.
    assert len(rig.peers) < 20


async def test_what_follows_a_goodbye_of_the_broker_is_not_read(start):
    rig = await start()
    left = DisconnectPacket(reason_code=DisconnectReasonCode.SERVER_SHUTTING_DOWN)

    rig.peer.say(frame(1), left, frame(2))

    assert [p.packet_id for packets, _ in rig.heard for p in packets] == [1]
    assert rig.links[-1].reason == "DISCONNECT 0x8b server shutting down"


# --- frames out ---


async def test_done_is_called_once_with_the_brokers_code(start):
    rig = await start()
    codes: list[Any] = []
    rig.session.publish("a", b"1", qos=1, done=codes.append)
    await turn()
    (sent,) = rig.peer.of(PublishPacket)

    refused = PubAckPacket(sent.packet_id, reason_code=PubAckReasonCode.QUOTA_EXCEEDED)
    rig.peer.say(refused, refused)

    assert codes == [PubAckReasonCode.QUOTA_EXCEEDED]


async def test_properties_arrive_as_given(start):
    rig = await start()

    rig.session.publish(
        "a",
        b"1",
        qos=1,
        retain=True,
        content_type="c",
        response_topic="r",
        correlation_data=b"d",
        message_expiry_s=9,
        user_properties=[("k", "v")],
    )
    await turn()

    (sent,) = rig.peer.of(PublishPacket)
    assert (sent.topic, sent.payload, sent.retain) == ("a", b"1", True)
    assert (sent.content_type, sent.response_topic) == ("c", "r")
    assert (sent.correlation_data, sent.message_expiry_interval) == (b"d", 9)
    assert sent.user_properties == [("k", "v")]


async def test_a_full_window_takes_no_more_and_says_when_there_is_room(start):
    rig = await start()
    told: list[int] = []
    rig.session.on_window(lambda: told.append(rig.session.window_free))

    taken = [rig.session.publish("a", b"", qos=1) for _ in range(6)]
    await turn()
    rig.peer.say(*(PubAckPacket(p.packet_id) for p in rig.peer.of(PublishPacket)[:2]))

    assert taken == [True] * 4 + [False] * 2
    assert told == [2]


async def test_the_brokers_window_counts_when_it_is_smaller(start):
    rig = await start(rig=Rig(connack=ConnAckPacket(receive_max=2)))

    taken = [rig.session.publish("a", b"", qos=1) for _ in range(3)]

    assert taken == [True, True, False]


async def test_frames_told_to_wait_are_sent_again_in_order_when_the_link_is_back(start, eventually):
    rig = await start()
    codes: list[Any] = []
    for payload in (b"1", b"2", b"3"):
        rig.session.publish("a", payload, qos=1, done=codes.append)
    await turn()
    rig.connack = ConnAckPacket(session_present=True, receive_max=2)

    rig.peer.drop()
    await eventually(lambda: rig.session.up)
    await turn()
    first = [(p.payload, p.duplicate) for p in rig.peer.of(PublishPacket)]
    rig.peer.say(PubAckPacket(rig.peer.of(PublishPacket)[0].packet_id))
    await turn()

    assert first == [(b"1", True), (b"2", True)]
    assert [p.payload for p in rig.peer.of(PublishPacket)] == [b"1", b"2", b"3"]
    assert codes == [PubAckReasonCode.SUCCESS]


async def test_a_session_that_the_broker_forgot_gets_its_frames_as_new_ones(start, eventually):
    rig = await start()
    rig.session.publish("a", b"1", qos=1)
    await turn()

    rig.peer.drop()
    await eventually(lambda: rig.session.up)
    await turn()

    assert [p.duplicate for p in rig.peer.of(PublishPacket)] == [False]


async def test_a_frame_made_in_a_done_does_not_overtake_those_that_wait(start, eventually):
    rig = await start()

    def then(code: Any) -> None:
        if code is not None:
            rig.session.publish("a", b"new", qos=1)

    rig.session.publish("a", b"1", qos=1)
    rig.session.publish("a", b"2", qos=1, done=then)
    rig.session.publish("a", b"3", qos=1)
    await turn()
    rig.connack = ConnAckPacket(session_present=True, receive_max=2)
    rig.peer.drop()
    await eventually(lambda: rig.session.up)
    await turn()
    sent = rig.peer.of(PublishPacket)

    rig.peer.say(*(PubAckPacket(p.packet_id) for p in sent))
    await turn()

    assert [p.payload for p in rig.peer.of(PublishPacket)] == [b"1", b"2", b"3", b"new"]


async def test_a_command_is_never_repeated(start, eventually):
    rig = await start()
    codes: list[Any] = []
    rig.session.publish("open", b"", qos=1, resend=False, done=codes.append)
    await turn()
    rig.connack = ConnAckPacket(session_present=True)

    rig.peer.drop()
    lost = list(codes)
    down = rig.session.publish("open", b"", qos=1, resend=False, done=codes.append)
    await eventually(lambda: rig.session.up)
    await turn()

    assert (lost, codes, down) == ([None], [None], False)
    assert rig.peer.of(PublishPacket) == []


async def test_while_the_link_is_down_a_frame_waits_and_a_telemetry_does_not(start, eventually):
    rig = await start()
    rig.peer.drop()

    waits = rig.session.publish("a", b"1", qos=1)
    shed = rig.session.publish("a", b"0")
    await eventually(lambda: rig.session.up)
    await turn()

    assert (waits, shed) == (True, False)
    assert [p.payload for p in rig.peer.of(PublishPacket)] == [b"1"]


@pytest.mark.parametrize(
    ("topic", "payload", "code"),
    [
        ("a/+/b", b"", PubAckReasonCode.TOPIC_NAME_INVALID),
        ("#", b"", PubAckReasonCode.TOPIC_NAME_INVALID),
        ("a\0", b"", PubAckReasonCode.TOPIC_NAME_INVALID),
        ("", b"", PubAckReasonCode.TOPIC_NAME_INVALID),
        ("a", b"x" * 200, PubAckReasonCode.QUOTA_EXCEEDED),
    ],
)
async def test_what_the_broker_would_hang_up_over_is_refused_here(start, topic, payload, code):
    rig = await start(rig=Rig(connack=ConnAckPacket(max_packet_size=100)))
    codes: list[Any] = []

    taken = rig.session.publish(topic, payload, qos=1, done=codes.append)
    await turn()

    assert (taken, codes) == (True, [code])
    assert rig.peer.of(PublishPacket) == []
    assert rig.session.window_free == 4


async def test_a_frame_accepted_while_down_that_is_too_large_for_the_broker_blocks_nothing(
    start, eventually
):
    rig = await start()
    codes: list[Any] = []
    rig.connack = ConnAckPacket(max_packet_size=100)
    rig.peer.drop()

    rig.session.publish("a", b"x" * 200, qos=1, done=codes.append)
    rig.session.publish("a", b"small", qos=1, done=codes.append)
    await eventually(lambda: rig.session.up)
    await turn()

    assert codes == [PubAckReasonCode.QUOTA_EXCEEDED]
    assert [p.payload for p in rig.peer.of(PublishPacket)] == [b"small"]


async def test_qos_2_is_a_mistake_of_the_program(start):
    rig = await start()

    with pytest.raises(ValueError, match="QoS 0 or 1, not 2"):
        rig.session.publish("a", b"", qos=2)


async def test_births_come_first_on_every_link(start, eventually):
    rig = await start(birth=[PublishPacket("health", b"up", retain=True)])
    rig.session.publish("a", b"1", qos=1)
    await turn()

    rig.peer.drop()
    await eventually(lambda: rig.session.up)
    await turn()

    assert [p.topic for p in rig.peer.of(PublishPacket)] == ["health", "a"]


async def test_a_peer_that_does_not_read_is_sent_no_more(start):
    rig = await start()
    told: list[bool] = []
    rig.session.on_window(lambda: told.append(True))
    rig.peer.protocol.pause_writing()

    taken = rig.session.publish("a", b"", qos=1)
    free = rig.session.window_free
    rig.peer.protocol.resume_writing()

    assert (taken, free, told) == (False, 0, [True])
    assert rig.session.publish("a", b"", qos=1)


# --- keeping alive, and the end ---


async def test_a_silent_link_is_probed_and_a_dead_one_dropped(start, eventually):
    rig = await start(SETTINGS.model_copy(update={"keepalive_s": 1}))
    first = rig.peer

    await eventually(lambda: first.of(PingReqPacket))
    first.say(PingRespPacket())
    await eventually(lambda: len(first.of(PingReqPacket)) == 2)
    await eventually(lambda: rig.session.generation == 2)

    assert first.ended
    assert rig.links[1].reason == "no PINGRESP within 1 s"


async def test_a_busy_link_is_not_probed(start):
    rig = await start(SETTINGS.model_copy(update={"keepalive_s": 1}))
    loop = asyncio.get_running_loop()
    until_s = loop.time() + 1.6

    while loop.time() < until_s:
        rig.session.publish("a", b"")
        rig.peer.say(PublishPacket("a", b""))
        await asyncio.sleep(0.05)

    assert rig.peer.of(PingReqPacket) == []


@pytest.mark.parametrize(("with_will", "code"), [(False, 0x00), (True, 0x04)])
async def test_close_says_goodbye_after_all_that_was_said_before(start, with_will, code):
    rig = await start()
    codes: list[Any] = []
    rig.peer.say(frame(1))
    rig.session.ack(1, [1])
    rig.session.publish("a", b"last", qos=1, done=codes.append)

    await rig.session.close(with_will=with_will)

    kinds = [type(p).__name__ for p in rig.peer.packets[1:]]
    assert kinds == ["PubAckPacket", "PublishPacket", "DisconnectPacket"]
    assert (rig.peer.goodbye, rig.peer.ended, codes) == (code, True, [None])
    assert not rig.session.up


async def test_a_drained_close_waits_for_the_last_puback(start, eventually):
    rig = await start()
    codes: list[Any] = []
    rig.session.publish("a", b"last", qos=1, done=codes.append)
    closing = asyncio.create_task(rig.session.close(drain_s=10))
    await eventually(lambda: rig.peer.of(PublishPacket))

    rig.peer.say(PubAckPacket(rig.peer.of(PublishPacket)[0].packet_id))
    await closing

    assert codes == [PubAckReasonCode.SUCCESS]


async def test_an_outage_is_logged_once(start, eventually, logs):
    rig = await start()
    rig.greet = False

    rig.peer.drop(ConnectionResetError(104, "Connection reset by peer"))
    await eventually(lambda: len(rig.peers) == 2)
    rig.peer.drop()
    await eventually(lambda: len(rig.peers) == 3)
    rig.greet = True
    rig.peer.drop()
    await eventually(lambda: rig.session.up)

    events = [e["event"] for e in logs]
    assert events == ["mqtt.link_up", "mqtt.link_down", "mqtt.link_up"]
    assert [link.reason for link in rig.links[1:]] == [
        "connection reset broker.example:1883",
        "closed by the broker broker.example:1883",
        "connected",
    ]


# --- settings ---


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"url": "http://h"}, "must start with mqtt://"),
        ({"url": "mqtt://u:p@h"}, "use username and password_file"),
        ({"url": "mqtt://"}, "names no host"),
        ({"url": "mqtt://h:99999"}, "[Pp]ort"),
        ({"url": "mqtt://h:0"}, "port must be 1 to 65535"),
        ({"url": "mqtt://h/topic"}, "must end after the port"),
        ({"url": "mqtts://h", "cert_file": "c"}, "come together"),
        ({"url": "mqtt://h", "ca_file": "c"}, "need TLS"),
        ({"url": "mqtt://h", "backoff_base_ms": 9, "backoff_max_ms": 8}, "must not exceed"),
        ({"url": "mqtt://h", "colour": "red"}, "Extra inputs"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_remedy(wrong, remedy):
    with pytest.raises(ValidationError, match=remedy):
        MqttSettings(**wrong)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("mqtt://h", "h:1883"),
        ("mqtts://h", "h:8883"),
        ("mqtt://[::1]:5", "[::1]:5"),
    ],
)
def test_ports_default_to_the_registered_ones(url, where):
    assert MqttSettings(url=url).where == where
