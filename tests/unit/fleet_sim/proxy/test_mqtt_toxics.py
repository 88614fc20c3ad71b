"""MQTT packets in a stream, and the toxics that read them."""

import re

import mqtt5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mqtt5 import PublishPacket, SubscribePacket, TopicFilter

from fleet_sim.proxy import mqtt
from fleet_sim.proxy.catalogue import TOXICS
from fleet_sim.proxy.items import Answer, Sign
from fleet_sim.proxy.toxic import made
from vendors.wire.mqtt311 import Connect, PubAck, Publish, SubAck, Subscribe, encode, read

CONNECT = encode(Connect("board"))
PACKETS = [
    CONNECT,
    encode(Publish("a/door", b"open", 1, packet_id=7)),
    encode(Subscribe(8, (("a/#", 1), ("b", 0)))),
    encode(PubAck(9)),
    encode(Publish("b/lock", b"x" * 300)),
]


def publish(number: int, topic: str = "a/door") -> bytes:
    return encode(Publish(topic, b"%d" % number))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_packets_are_cut_wherever_the_stream_is(size: int, in_pieces) -> None:
    cutter = mqtt.PacketCutter(mqtt.Talk())

    found = [item for part in in_pieces(b"".join(PACKETS), size) for item in cutter.cut(part)]

    assert [packet.raw for packet in found] == PACKETS
    assert [packet.kind for packet in found][1:] == ["publish", "subscribe", "puback", "publish"]
    assert found[1].topic == "a/door"
    assert {packet.level for packet in found[1:]} == {4}


@settings(max_examples=40)
@given(st.lists(st.tuples(st.binary(max_size=40), st.booleans()), max_size=12))
def test_whatever_comes_leaves_unchanged_cut_or_not(parts: list[tuple[bytes, bool]]) -> None:
    cutter = mqtt.PacketCutter(mqtt.Talk())
    left = b""
    for part, whole in [(CONNECT, True), *parts]:
        if whole:
            left += b"".join(getattr(item, "raw", item) for item in cutter.cut(part))
        else:
            left += cutter.release() + part
            cutter.follow(part)

    assert left + cutter.release() == CONNECT + b"".join(part for part, _ in parts)


def test_a_toxic_that_comes_within_a_packet_meets_the_next_one_whole(client_course, toxic) -> None:
    first, second = encode(Publish("a", b"x" * 50)), publish(2)
    sent = client_course("mqtt").says(CONNECT + first[:20])

    sent.arrange(toxic("mqtt_drop"))
    sent.says(first[20:] + second, 1)

    assert sent.bytes == CONNECT + first


def test_a_packet_too_long_to_hold_goes_by_in_pieces(client_course, toxic, in_pieces) -> None:
    long = encode(Publish("a", bytes(mqtt.PACKET_MAX)))
    sent = client_course("mqtt", toxic("mqtt_drop"))

    for part in in_pieces(CONNECT + long + publish(2), 65_536):
        sent.says(part)
        assert sent.flow.held <= mqtt.PACKET_MAX

    assert sent.bytes == CONNECT + long


def test_a_delayed_packet_never_gets_into_the_middle_of_another(client_course, toxic) -> None:
    long = encode(Publish("b", bytes(mqtt.PACKET_MAX)))
    late = publish(1)
    sent = client_course("mqtt", toxic("mqtt_delay", topic="a/#", delay=10))

    sent.says(CONNECT + late + long[:2000]).until(500)
    assert late not in sent.bytes
    sent.says(long[2000:], 501)

    assert sent.bytes == CONNECT + long + late


def test_no_mqtt_is_let_through_as_it_is(client_course, toxic) -> None:
    nonsense = b"\x30\xff\xff\xff\xff\xff nonsense"
    sent = client_course("mqtt", toxic("mqtt_drop")).says(nonsense).says(b"more")

    assert sent.bytes == nonsense + b"more"


def test_what_is_held_leaves_before_the_end(client_course, toxic) -> None:
    sent = client_course("mqtt", toxic("mqtt_delay", delay=100)).says(publish(1) + publish(2)[:5])

    sent.ends(1)

    assert sent.all() == [(1, publish(2)[:5]), (100, publish(1)), (100, Sign.END)]


def test_drop_loses_packets_of_the_kind_and_the_topic(client_course, toxic) -> None:
    sent = client_course(
        "mqtt", toxic("mqtt_drop", topic="a/+"), toxic("mqtt_drop", "acks", packets="puback")
    )

    sent.says(b"".join(PACKETS))

    assert sent.bytes == PACKETS[0] + PACKETS[2] + PACKETS[4]


def test_duplicate_repeats_and_says_so_where_the_packet_has_an_id(client_course, toxic) -> None:
    sent = client_course("mqtt", toxic("mqtt_duplicate")).says(PACKETS[1] + PACKETS[4])

    found, at = [], 0
    while at < len(sent.bytes):
        packet, size = read(sent.bytes, at)
        found.append((packet.topic, packet.duplicate))
        at += size

    assert found == [("a/door", False), ("a/door", True), ("b/lock", False), ("b/lock", False)]


def test_delay_lets_the_others_overtake(client_course, toxic) -> None:
    sent = client_course("mqtt", toxic("mqtt_delay", topic="a/#", delay=200))

    sent.says(publish(1) + publish(2, "b") + publish(3))

    assert sent.all() == [(0, publish(2, "b")), (200, publish(1)), (200, publish(3))]


def test_reorder_lets_two_change_places_and_the_last_go_on(client_course, toxic) -> None:
    sent = client_course("mqtt", toxic("mqtt_reorder", hold=300))

    sent.says(publish(1), 0).says(publish(2), 5).says(publish(3), 10)

    assert sent.all() == [(5, publish(2)), (5, publish(1)), (310, publish(3))]


def test_corrupt_changes_the_payload_and_nothing_else(client_course, toxic) -> None:
    sent = client_course("mqtt", toxic("mqtt_corrupt", bytes=3)).says(PACKETS[4])

    packet, size = read(sent.bytes)

    assert (size, packet.topic, len(packet.payload)) == (len(PACKETS[4]), "b/lock", 300)
    assert 1 <= sum(one != ord("x") for one in packet.payload) <= 3


def test_a_share_of_the_packets_is_struck_the_same_for_the_same_seed(client_course, toxic) -> None:
    def left(seed: int) -> bytes:
        drop = toxic("mqtt_drop", share=0.5, seed=seed)
        return client_course("mqtt", drop).says(b"".join(map(publish, range(100)))).bytes

    assert left(1) == left(1) != left(2)
    assert 30 < len(left(1)) / len(publish(1)) < 75


def test_a_refused_subscribe_is_answered_for_each_filter(client_course, toxic) -> None:
    other = encode(Subscribe(9, (("c", 1),)))
    sent = client_course("mqtt", toxic("mqtt_refuse_subscribe", topic="a/#"))

    sent.says(CONNECT + PACKETS[2] + other)

    assert sent.bytes == CONNECT + other
    assert answers(sent) == [encode(SubAck(8, (0x80, 0x80)))]


def test_a_refusal_in_mqtt_5_is_one_of_mqtt_5(client_course, toxic) -> None:
    asked = SubscribePacket(8, [TopicFilter("$share/g/a/door")]).write()
    sent = client_course("mqtt", toxic("mqtt_refuse_subscribe", topic="a/#", code=0x87))

    sent.says(CONNECT.replace(b"MQTT\x04", b"MQTT\x05") + asked)

    (answer,) = answers(sent)
    packet, size = mqtt5.read(answer)
    assert (packet.packet_id, size) == (8, len(answer))
    assert packet.reason_codes == [mqtt5.SubAckReasonCode.NOT_AUTHORIZED]


def answers(sent) -> list[bytes]:
    return [item.message.raw for _, item in sent.left if isinstance(item, Answer)]


def test_an_alias_of_mqtt_5_stands_for_the_topic_that_it_was_given_with() -> None:
    talk = mqtt.Talk()
    talk.level = 5
    cutter = mqtt.PacketCutter(talk)
    full = PublishPacket("a/door", b"open", topic_alias=3, message_expiry_interval=60).write()
    short = PublishPacket("", b"shut", topic_alias=3, content_type="text/plain").write()

    found = list(cutter.cut(full + short))

    assert [packet.topic for packet in found] == ["a/door", "a/door"]
    assert [packet.raw[packet.payload :] for packet in found] == [b"open", b"shut"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"packets": "publishes"}, "packets: 'publishes' is no kind of packet"),
        ({"topic": "a/#/b"}, "topic: 'a/#/b' is no topic filter"),
        ({"share": 1.5}, "share: 1.5 is not a number from 0 up to 1"),
    ],
)
def test_wrong_settings_are_refused_with_their_place(settings, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"attributes.{said}")):
        made(TOXICS["mqtt_drop"], settings)
