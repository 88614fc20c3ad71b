"""A hostile peer: its connection ends with the reason that the standard names, nobody notices."""

import mqtt5
import pytest

from vendors.wire import mqtt311

# Before it panics over invalid UTF-8, the codec reports the UnicodeDecodeError as unraisable.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MALFORMED, PROTOCOL = 0x81, 0x82

# Said by a connected MQTT 5 client: (bytes, the reason of the DISCONNECT that answers).
FIVE = {
    "type 0": ("00 00", PROTOCOL),
    "a second CONNECT": ("10 0e 0004 4d515454 05 02 003c 00 0001 63", PROTOCOL),
    "CONNACK, which only servers say": ("20 03 00 00 00", PROTOCOL),
    "AUTH, which nobody asked for": ("f0 00", PROTOCOL),
    "PUBACK with flags": ("41 02 0001", PROTOCOL),
    "PINGREQ with a body": ("c0 01 00", MALFORMED),
    "remaining length of five bytes": ("30 ff ff ff ff 01", MALFORMED),
    "more than we take": ("30 81 20", 0x95),
    "topic that is not UTF-8": ("30 05 0002 c328 00", MALFORMED),
    "topic with a surrogate": ("30 06 0003 eda080 00", MALFORMED),
    "content type that is not UTF-8": ("30 09 0001 61 05 03 0002 c328", MALFORMED),
    "U+0000 in a topic": ("30 04 0001 00 00", 0x90),
    "U+0000 in a content type": ("30 08 0001 61 04 03 0001 00", MALFORMED),
    "U+0000 in a filter": ("82 07 0001 00 0001 00 01", MALFORMED),
    "wildcard in a topic": ("30 04 0001 23 00", 0x90),
    "wildcard in a response topic": ("30 08 0001 61 04 08 0001 2b", PROTOCOL),
    "no topic and no alias": ("30 03 0000 00", MALFORMED),
    "an alias that was never set": ("30 06 0000 03 23 0001", PROTOCOL),
    "an alias beyond the maximum": ("30 07 0001 61 03 23 0004", 0x94),
    "QoS 3": ("36 06 0001 61 0001 00", MALFORMED),
    "packet id 0": ("32 06 0001 61 0000 00", MALFORMED),
    "DUP at QoS 0": ("38 04 0001 61 00", MALFORMED),
    "subscription id from a client": ("30 06 0001 61 02 0b 01", PROTOCOL),
    "payload format 2": ("30 06 0001 61 02 01 02", PROTOCOL),
    "PUBACK of packet id 0": ("40 02 0000", MALFORMED),
    "PUBACK with a reason that is none": ("40 03 0001 01", MALFORMED),
    "SUBSCRIBE without a filter": ("82 03 0001 00", PROTOCOL),
    "SUBSCRIBE with packet id 0": ("82 07 0000 00 0001 61 00", PROTOCOL),
    "SUBSCRIBE for QoS 3": ("82 07 0001 00 0001 61 03", MALFORMED),
    "SUBSCRIBE with reserved options": ("82 07 0001 00 0001 61 41", MALFORMED),
    "the same behind properties": ("82 0e 0001 07 26 0001 6b 0001 76 0001 61 81", MALFORMED),
    "SUBSCRIBE with flags 0": ("80 07 0001 00 0001 61 00", PROTOCOL),
    "no local on a share": ("82 10 0001 00 000a 2473686172652f672f61 04", PROTOCOL),
    "UNSUBSCRIBE without a filter": ("a2 03 0001 00", PROTOCOL),
    "DISCONNECT with a server's reason": ("e0 01 01", MALFORMED),
}

# The same for 3.1.1, whose servers just close.
FOUR = {
    "type 0": "00 00",
    "a second CONNECT": "10 0d 0004 4d515454 04 02 003c 0001 63",
    "SUBACK, which only servers say": "90 03 0001 00",
    "topic that is not UTF-8": "30 04 0002 c328",
    "U+0000 in a topic": "30 03 0001 00",
    "wildcard in a topic": "30 03 0001 2b",
    "no topic": "30 02 0000",
    "QoS 3": "36 05 0001 61 0001",
    "packet id 0": "32 05 0001 61 0000",
    "PUBREL without its flags": "60 02 0001",
    "PUBACK of three bytes": "40 03 0001 00",
    "SUBSCRIBE without a filter": "82 02 0001",
    "SUBSCRIBE with a filter that is not UTF-8": "82 07 0001 0002 c328 00",
    "remaining length of five bytes": "30 80 80 80 80 01",
    "more than we take": "30 81 20",
    "DISCONNECT with a body": "e0 01 00",
}

# Said instead of a CONNECT: (bytes, the CONNACK that answers, if any does).
STRANGERS = {
    "PUBLISH first": ("30 03 0001 61", ""),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n".hex(), ""),
    "TLS": ("16 03 01 02 00 01 00 01 fc 03 03", ""),
    "CONNECT with flags": ("11 0d 0004 4d515454 04 02 003c 0001 63", ""),
    "MQTT 6": ("10 0d 0004 4d515454 06 02 003c 0001 63", "20 02 00 01"),
    "another protocol": ("10 0d 0004 4d515458 04 02 003c 0001 63", "20 02 00 01"),
    "no body": ("10 00", "20 02 00 01"),
    "3.1.1 with a reserved flag": ("10 0d 0004 4d515454 04 03 003c 0001 63", ""),
    "3.1.1 session without a name": ("10 0c 0004 4d515454 04 00 003c 0000", "20 02 00 02"),
    "3.1.1 name that is not UTF-8": ("10 0e 0004 4d515454 04 02 003c 0002 c328", ""),
    "5 with a reserved flag": ("10 0e 0004 4d515454 05 03 003c 00 0001 63", "81"),
    "5 with will flags but no will": ("10 0e 0004 4d515454 05 22 003c 00 0001 63", "81"),
    "5 name that is not UTF-8": ("10 0f 0004 4d515454 05 02 003c 00 0002 c328", "81"),
    "5 name with U+0000": ("10 0e 0004 4d515454 05 02 003c 00 0001 00", "81"),
    "5 cut": ("10 0c 0004 4d515454 05 02 003c 00 00", "81"),
    "5 with bytes after its end": ("10 0f 0004 4d515454 05 02 003c 00 0001 63 00", "81"),
    "5 receive maximum 0": ("10 11 0004 4d515454 05 02 003c 03 21 0000 0001 63", "81 82"),
    "5 will topic with a wildcard": (
        "10 15 0004 4d515454 05 06 003c 00 0001 63 00 0001 23 0001 78",
        "90",
    ),
    "5 wants to log in otherwise": (
        "10 12 0004 4d515454 05 02 003c 04 15 0001 61 0001 63",
        "8c",
    ),
    "too large for a CONNECT": ("10 81 80 40", ""),
}


@pytest.fixture
def bystanders(world):
    """Two clients, and a check that they hear each other as ever."""
    hears, says = world.client(version=4), world.client(version=5)
    hears.subscribe("by/+")

    def check():
        says.publish("by/stander", b"undisturbed", qos=1)
        assert hears.payloads() == [b"undisturbed"]
        assert not hears.closed
        assert not says.closed

    return check


@pytest.mark.parametrize(("said", "reason"), FIVE.values(), ids=FIVE)
def test_mqtt_5_is_told_why(world, bystanders, said, reason):
    peer = world.client("hostile")

    peer.send(bytes.fromhex(said) + mqtt5.PublishPacket("by/stander", b"after the end").write())

    assert [int(got.reason_code) for got in peer.got()] == [reason]
    assert peer.closed
    assert "hostile" not in world.broker.sessions
    bystanders()


@pytest.mark.parametrize("said", FOUR.values(), ids=FOUR)
def test_mqtt_311_is_just_closed(world, bystanders, said):
    peer = world.client("hostile", version=4)

    peer.send(bytes.fromhex(said) + mqtt311.encode(mqtt311.Publish("by/stander", b"after")))

    assert peer.got() == []
    assert peer.closed
    assert "hostile" not in world.broker.sessions
    bystanders()


@pytest.mark.parametrize(("said", "answer"), STRANGERS.values(), ids=STRANGERS)
def test_a_stranger_gets_no_further(world, bystanders, said, answer):
    before = set(world.broker.sessions)
    peer = world.dial().send(bytes.fromhex(said))

    assert peer.closed
    if peer.buffer[:1] == b"\x20" and peer.buffer[1] > 2:
        assert f"{peer.buffer[3]:02x}" in answer.split()
    else:
        assert peer.buffer == bytes.fromhex(answer)
    assert set(world.broker.sessions) == before
    bystanders()


def test_who_says_nothing_is_not_waited_for(world):
    mute, half = world.dial(), world.dial().send(bytes.fromhex("10 0d 0004"))
    world.wait(9.9)
    assert not mute.closed
    world.wait(0.2)

    assert mute.closed
    assert half.closed
    assert len(world.broker.timers) == 0


def test_bytes_that_make_no_packet_are_no_sign_of_life(world):
    peer = world.client(keep_alive_s=10)
    peer.send(b"\x30\x7f")  # announces 127 bytes
    for _ in range(14):
        world.wait(1)
        peer.send(b"x")
    assert not peer.closed
    world.wait(2)

    assert int(peer.got()[-1].reason_code) == 0x8D


def test_packets_may_come_byte_by_byte_and_all_at_once(world):
    hears = world.client()
    hears.subscribe("#")
    stream = b"".join(
        [
            mqtt5.ConnectPacket("slow", clean_start=True).write(),
            *(mqtt5.PublishPacket(f"a/{number}", b"y" * 200).write() for number in range(3)),
            mqtt5.DisconnectPacket().write(),
        ]
    )

    world.dial().send(*(stream[at : at + 1] for at in range(len(stream))))
    one_by_one = [got.topic for got in hears.got()]
    world.dial().send(stream)

    assert one_by_one == [got.topic for got in hears.got()] == ["a/0", "a/1", "a/2"]


def test_a_flood_is_cut_off_where_a_rate_is_set(a_world):
    world = a_world(rate_max_per_s=50)
    hears = world.client()
    hears.subscribe("#", qos=0)
    peer = world.client()
    flood = mqtt5.PublishPacket("a", b"").write()
    for _ in range(10):
        peer.send(flood * 5)
        world.wait(0.1)
    assert not peer.closed

    peer.send(flood * 60)

    assert int(peer.got()[-1].reason_code) == 0x96
    assert len(hears.got()) == 100  # what came within the rate was good


def test_more_unreleased_messages_than_agreed_end_the_connection(world):
    peer = world.client()
    for number in range(1, 6):
        peer.publish("a", qos=2, packet_id=number)

    assert int(peer.got()[-1].reason_code) == 0x93
    assert peer.closed


def test_acknowledgements_of_nothing_are_shrugged_off(world, bystanders):
    peer = world.client().send(
        *(bytes.fromhex(each) for each in ("40020001", "50020001", "62020001", "70020001"))
    )

    assert not peer.closed
    bystanders()


def test_who_lacks_the_password_is_told_so(a_world):
    world = a_world(authenticate=lambda *who: who == ("good", "u", b"right"))

    good = world.client("good", username="u", password=b"right")
    bad = world.dial().send(mqtt5.ConnectPacket("good", username="u", password=b"wrong"))
    old = world.dial(4).send(mqtt311.Connect("old"))

    assert int(good.greeting.reason_code) == 0
    assert [int(got.reason_code) for got in bad.got()] == [0x86]
    assert [got.code for got in old.got()] == [4]
    assert bad.closed
    assert old.closed
    assert not good.closed
