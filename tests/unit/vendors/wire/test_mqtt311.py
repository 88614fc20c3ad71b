"""The 3.1.1 codec: one table of packets and bytes, driven in both directions."""

import pytest

from vendors.wire import mqtt311
from vendors.wire.mqtt311 import (
    ConnAck,
    Connect,
    Disconnect,
    MalformedPacketError,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)

CASES = [
    (Connect("c"), "10 0d 0004 4d515454 04 02 003c 0001 63"),
    (Connect("", clean_session=True, keep_alive_s=0), "10 0c 0004 4d515454 04 02 0000 0000"),
    (Connect("c", clean_session=False, level=3), "10 0f 0006 4d5149736470 03 00 003c 0001 63"),
    (
        Connect("c", will=Will("w/t", b"\x00\xff", qos=1, retain=True), username="u", password=b""),
        "10 1b 0004 4d515454 04 ee 003c 0001 63 0003 772f74 0002 00ff 0001 75 0000",
    ),
    (Connect("c", username="u"), "10 10 0004 4d515454 04 82 003c 0001 63 0001 75"),
    (ConnAck(), "20 02 00 00"),
    (ConnAck(session_present=True), "20 02 01 00"),
    (ConnAck(code=5), "20 02 00 05"),
    (Publish("a"), "30 03 0001 61"),
    (Publish("a/b", b"open", retain=True), "31 09 0003 612f62 6f70656e"),
    (Publish("a", b"x", qos=1, packet_id=1), "32 06 0001 61 0001 78"),
    (Publish("a", b"x", qos=2, duplicate=True, packet_id=65535), "3c 06 0001 61 ffff 78"),
    (Publish("/", b"y" * 200), "30 cb01 0001 2f" + "79" * 200),
    (Publish("tür", b""), "30 06 0004 74c3bc72"),
    (PubAck(1), "40 02 0001"),
    (PubRec(2), "50 02 0002"),
    (PubRel(3), "62 02 0003"),
    (PubComp(65535), "70 02 ffff"),
    (Subscribe(10, (("a/+", 1), ("#", 0))), "82 0c 000a 0003 612f2b 01 0001 23 00"),
    (SubAck(10, (0, 1, 2, 128)), "90 06 000a 00 01 02 80"),
    (Unsubscribe(11, ("a", "b/#")), "a2 0a 000b 0001 61 0003 622f23"),
    (UnsubAck(11), "b0 02 000b"),
    (PingReq(), "c0 00"),
    (PingResp(), "d0 00"),
    (Disconnect(), "e0 00"),
]
IDS = [f"{type(packet).__name__}-{number}" for number, (packet, _) in enumerate(CASES)]

MALFORMED = {
    "type 0": "00 00",
    "type 15": "f0 00",
    "reserved flags of PUBACK": "41 02 0001",
    "reserved flags of PUBREL": "60 02 0001",
    "reserved flags of SUBSCRIBE": "80 06 0001 0001 61 00",
    "remaining length of five bytes": "30 ff ff ff ff 7f",
    "PUBLISH without topic length": "30 01 00",
    "PUBLISH with an empty topic": "30 02 0000",
    "PUBLISH topic longer than the packet": "30 03 0005 61",
    "PUBLISH cut in its packet id": "32 04 0001 61 00",
    "PUBLISH with packet id 0": "32 05 0001 61 0000",
    "PUBLISH QoS 3": "36 05 0001 61 0001",
    "PUBLISH QoS 0 with DUP": "38 03 0001 61",
    "PUBLISH to +": "30 03 0001 2b",
    "PUBLISH to #": "30 05 0003 612f23",
    "PUBLISH topic with U+0000": "30 03 0001 00",
    "PUBLISH topic is no UTF-8": "30 03 0001 ff",
    "PUBLISH topic with a surrogate": "30 05 0003 eda080",
    "PUBACK too long": "40 03 0001 00",
    "PUBACK too short": "40 01 00",
    "PUBACK with packet id 0": "40 02 0000",
    "CONNECT by another name": "10 0d 0004 4d515458 04 02 003c 0001 63",
    "CONNECT level 5": "10 0d 0004 4d515454 05 02 003c 0001 63",
    "CONNECT reserved flag": "10 0d 0004 4d515454 04 03 003c 0001 63",
    "CONNECT will QoS without will": "10 0d 0004 4d515454 04 0a 003c 0001 63",
    "CONNECT will QoS 3": "10 13 0004 4d515454 04 1e 003c 0001 63 0001 77 0001 78",
    "CONNECT password without user": "10 10 0004 4d515454 04 42 003c 0001 63 0001 70",
    "CONNECT with bytes after its end": "10 0e 0004 4d515454 04 02 003c 0001 63 00",
    "CONNECT cut": "10 0b 0004 4d515454 04 02 003c 00",
    "CONNACK unknown code": "20 02 00 06",
    "CONNACK session in a refusal": "20 02 01 05",
    "CONNACK reserved flags": "20 02 02 00",
    "SUBSCRIBE without filter": "82 02 0001",
    "SUBSCRIBE with an empty filter": "82 05 0001 0000 00",
    "SUBSCRIBE QoS 3": "82 06 0001 0001 61 03",
    "SUBSCRIBE filter without QoS": "82 05 0001 0001 61",
    "SUBACK without a code": "90 02 0001",
    "SUBACK unknown code": "90 03 0001 03",
    "UNSUBSCRIBE without filter": "a2 02 0001",
    "PINGREQ with a body": "c0 01 00",
    "DISCONNECT flags": "e1 00",
}

UNWRITABLE = [
    Publish(""),
    Publish("a/+"),
    Publish("a\x00"),
    Publish("a\ud800"),
    Publish("a" * 65_536),
    Publish("a", qos=3, packet_id=1),
    Publish("a", qos=1),
    Publish("a", qos=1, packet_id=65_536),
    Publish("a", packet_id=1),
    Publish("a", duplicate=True),
    Connect("c", level=5),
    Connect("c", keep_alive_s=65_536),
    Connect("c", password=b"p"),
    Connect("c", will=Will("")),
    ConnAck(code=6),
    ConnAck(session_present=True, code=1),
    Subscribe(1, ()),
    Subscribe(1, (("", 0),)),
    SubAck(1, ()),
    SubAck(1, (3,)),
    Unsubscribe(1, ()),
    PubAck(0),
]


@pytest.mark.parametrize(("packet", "wire"), CASES, ids=IDS)
def test_a_packet_is_written_as_the_standard_says(packet, wire):
    assert mqtt311.encode(packet).hex() == wire.replace(" ", "")


@pytest.mark.parametrize("cast", [bytes, bytearray, memoryview])
@pytest.mark.parametrize(("packet", "wire"), CASES, ids=IDS)
def test_a_packet_is_read_whole(packet, wire, cast):
    raw = bytes.fromhex(wire)

    assert mqtt311.read(cast(raw)) == (packet, len(raw))


@pytest.mark.parametrize(("packet", "wire"), CASES, ids=IDS)
def test_a_packet_that_comes_byte_by_byte_is_nothing_until_its_last_byte(packet, wire):
    raw = bytes.fromhex(wire)

    read = [mqtt311.read(raw[:size]) for size in range(len(raw) + 1)]

    assert read == [None] * len(raw) + [(packet, len(raw))]


@pytest.mark.parametrize(("packet", "wire"), CASES, ids=IDS)
def test_what_stands_before_and_after_a_packet_is_left_alone(packet, wire):
    raw = bytes.fromhex(wire)

    assert mqtt311.read(b"\xff\xff" + raw + b"\x00garbage", 2) == (packet, len(raw))


@pytest.mark.parametrize("wire", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_packet_is_refused(wire):
    with pytest.raises(MalformedPacketError):
        mqtt311.read(bytes.fromhex(wire))


@pytest.mark.parametrize("packet", UNWRITABLE, ids=repr)
def test_what_could_not_be_read_is_not_written(packet):
    with pytest.raises(MalformedPacketError):
        mqtt311.encode(packet)


def test_an_oversize_packet_is_refused_by_its_header_alone():
    header = bytes.fromhex("30 ff 7f")

    assert mqtt311.read(header, packet_max=16_386) is None
    with pytest.raises(MalformedPacketError, match="16386 bytes where 16385"):
        mqtt311.read(header, packet_max=16_385)


def test_the_largest_remaining_length_is_understood():
    assert mqtt311.measure(bytes.fromhex("30 ff ff ff 7f")) == (5, mqtt311.PACKET_MAX)


@pytest.mark.parametrize("qos", [0, 1])
def test_a_publish_written_without_its_packet_is_the_same(qos: int) -> None:
    packet = mqtt311.Publish("door/1", b"open", qos, retain=True, packet_id=7 if qos else 0)

    assert mqtt311.encode_publish("door/1", b"open", qos, True, packet.packet_id) == (
        mqtt311.encode(packet)
    )


@pytest.mark.parametrize(
    ("topic", "qos", "packet_id"),
    [("", 0, 0), ("door/+", 0, 0), ("door/1", 3, 1), ("door/1", 1, 0), ("door/1", 0, 1)],
)
def test_a_publish_without_a_form_is_refused_without_its_packet_too(
    topic: str, qos: int, packet_id: int
) -> None:
    with pytest.raises(mqtt311.MalformedPacketError):
        mqtt311.encode_publish(topic, b"", qos, packet_id=packet_id)


def test_nothing_at_qos_0_is_sent_again() -> None:
    with pytest.raises(mqtt311.MalformedPacketError, match="DUP on a QoS 0 message"):
        mqtt311.encode_publish("door/1", b"", duplicate=True)
