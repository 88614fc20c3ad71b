"""Who gets which message, with which flags: what MQTT 3.1.1 and 5 say about routing."""

import itertools

import mqtt5
import pytest

BOTH = pytest.mark.parametrize("version", [4, 5])


@BOTH
@pytest.mark.parametrize("sent", [0, 1, 2])
@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_a_message_comes_at_the_lesser_of_two_qualities(world, version, sent, wanted):
    hears, says = world.client(version=version), world.client(version=version)
    hears.subscribe("a/+", qos=wanted)

    says.publish("a/b", b"x", qos=sent)

    (message,) = hears.got()
    assert (message.topic, message.payload, message.qos) == ("a/b", b"x", min(sent, wanted))


@BOTH
def test_quality_2_is_delivered_once_however_often_it_is_sent(world, version):
    hears, says = world.client(), world.client(version=version)
    hears.subscribe("#", qos=0)

    says.publish("a", b"x", qos=2)
    says.publish("a", b"x", qos=2, duplicate=True)
    assert [type(packet).__name__.lower()[:6] for packet in says.got()] == ["pubrec", "pubrec"]
    says.send(bytes.fromhex("62020009"), bytes.fromhex("62020009"))
    assert [type(packet).__name__.lower()[:7] for packet in says.got()] == ["pubcomp", "pubcomp"]
    says.publish("a", b"y", qos=2)

    assert hears.payloads() == [b"x", b"y"]


def test_quality_2_to_a_subscriber_goes_its_four_steps(world):
    hears, says = world.client(), world.client()
    hears.subscribe("#", qos=2)
    says.publish("a", qos=2)
    (message,) = hears.got()

    hears.send(mqtt5.PubRecPacket(message.packet_id))
    (release,) = hears.got()
    hears.send(mqtt5.PubCompPacket(message.packet_id))

    assert isinstance(release, mqtt5.PubRelPacket)
    assert release.packet_id == message.packet_id
    assert not world.broker.sessions["client-1"].inflight


def test_a_release_of_nothing_is_answered_with_packet_id_not_found(world):
    peer = world.client().send(mqtt5.PubRelPacket(3), mqtt5.PubRecPacket(4))

    assert [(type(got).__name__, int(got.reason_code)) for got in peer.got()] == [
        ("PubCompPacket", 0x92),
        ("PubRelPacket", 0x92),
    ]


def test_a_publisher_is_told_that_nobody_listens(world):
    peer = world.client().publish("a", qos=1)

    assert [int(got.reason_code) for got in peer.got()] == [0x10]


@BOTH
def test_overlapping_filters_bring_one_copy_at_the_best_quality(world, version):
    hears, says = world.client(version=version), world.client()
    hears.subscribe("a/#", qos=0)
    hears.subscribe("a/+", qos=2)
    hears.subscribe("a/b", qos=1)

    says.publish("a/b", qos=2)

    assert [message.qos for message in hears.got()] == [2]


def test_overlapping_filters_bring_all_their_identifiers(world):
    hears, says = world.client(), world.client()
    hears.subscribe("a/#", identifier=5)
    hears.subscribe("a/b", identifier=268_435_455)

    says.publish("a/b")

    assert sorted(hears.got()[0].subscription_ids) == [5, 268_435_455]


def test_a_subscription_made_again_replaces_the_old_one(world):
    hears, says = world.client(), world.client()
    hears.subscribe("a", qos=2, identifier=1)
    hears.subscribe("a", qos=0, identifier=2)

    says.publish("a", qos=2)

    (message,) = hears.got()
    assert (message.qos, message.subscription_ids) == (0, [2])


@BOTH
def test_an_unsubscribed_client_hears_no_more(world, version):
    hears, says = world.client(version=version), world.client()
    hears.subscribe("a")
    hears.send(
        mqtt5.UnsubscribePacket(3, ["a", "b"])
        if version == 5
        else bytes.fromhex("a2080003000161000162")
    )
    (answer,) = hears.got()

    says.publish("a")

    assert hears.got() == []
    if version == 5:
        assert [int(code) for code in answer.reason_codes] == [0, 0x11]


def test_no_local_keeps_a_clients_own_words_from_it(world):
    peer, other = world.client(), world.client()
    peer.subscribe("a", no_local=True)

    peer.publish("a", b"mine")
    other.publish("a", b"theirs")

    assert peer.payloads() == [b"theirs"]


@BOTH
def test_dollar_topics_hide_from_leading_wildcards(world, version):
    hears, says = world.client(version=version), world.client()
    hears.subscribe("#")
    hears.subscribe("+/x")

    says.publish("$odd/x")
    assert hears.got() == []
    hears.subscribe("$odd/+")
    says.publish("$odd/x", b"y")

    assert hears.payloads() == [b"y"]


def test_properties_travel_with_the_message(world):
    hears, says = world.client(), world.client()
    hears.subscribe("a")

    says.publish(
        "a",
        content_type="text/plain",
        response_topic="reply/1",
        correlation_data=b"\x00\xff",
        payload_format_indicator=1,
        user_properties=[("k", "1"), ("k", "2")],
        topic_alias=1,
    )

    (message,) = hears.got()
    assert message.content_type == "text/plain"
    assert message.response_topic == "reply/1"
    assert message.correlation_data == b"\x00\xff"
    assert message.payload_format_indicator == 1
    assert message.user_properties == [("k", "1"), ("k", "2")]
    assert message.topic_alias is None  # ours is our own business
    assert not message.duplicate


def test_a_topic_alias_stands_for_the_topic_that_it_was_last_given(world):
    hears, says = world.client(), world.client()
    hears.subscribe("#")

    says.publish("a", b"1", topic_alias=3)
    says.publish("", b"2", topic_alias=3)
    says.publish("b", b"3", topic_alias=3)
    says.publish("", b"4", topic_alias=3)

    assert [(got.topic, got.payload) for got in hears.got()] == [
        ("a", b"1"),
        ("a", b"2"),
        ("b", b"3"),
        ("b", b"4"),
    ]


# Retained


@BOTH
def test_a_retained_message_waits_for_subscribers_and_is_marked_only_then(world, version):
    early, late = world.client(version=version), world.client(version=version)
    says = world.client(version=version)
    early.subscribe("a/#", qos=2)

    says.publish("a/b", b"x", qos=1, retain=True)
    late.subscribe("+/b", qos=2)

    assert [(got.retain, got.qos) for got in early.got()] == [(False, 1)]
    assert [(got.retain, got.qos) for got in late.got()] == [(True, 1)]


def test_retain_as_published_keeps_the_flag(world):
    hears, says = world.client(), world.client()
    hears.subscribe("a", retain_as_published=True)

    says.publish("a", retain=True)
    says.publish("a", retain=False)

    assert [got.retain for got in hears.got()] == [True, False]


@BOTH
def test_an_empty_payload_forgets_the_retained_message(world, version):
    says = world.client(version=version)
    says.publish("a", b"x", retain=True)
    says.publish("a", b"", retain=True)

    late = world.client(version=version)
    late.subscribe("a")

    assert late.got() == []
    assert len(world.broker.retained) == 0


@pytest.mark.parametrize(("handling", "expected"), [(0, [1, 1]), (1, [1, 0]), (2, [0, 0])])
def test_retain_handling_says_when_retained_messages_come(world, handling, expected):
    world.client().publish("a", retain=True)
    hears = world.client()

    counts = []
    for _ in range(2):
        hears.subscribe("a", retain_handling=mqtt5.RetainHandling(handling))
        counts.append(len(hears.got()))

    assert counts == expected


@pytest.mark.parametrize(
    ("topic_filter", "found"),
    [
        ("#", ["a", "a/b", "a/b/c", "b"]),
        ("a/#", ["a", "a/b", "a/b/c"]),
        ("+/b", ["a/b"]),
        ("+", ["a", "b"]),
        ("$s/#", ["$s/x"]),
        ("+/x", []),
        ("a/+/c", ["a/b/c"]),
        ("nothing", []),
    ],
)
def test_a_filter_finds_the_retained_messages_of_its_topics(world, topic_filter, found):
    says, hears = world.client(), world.client()
    for topic in ("a", "a/b", "a/b/c", "b", "$s/x"):
        says.publish(topic, retain=True)

    hears.subscribe(topic_filter)

    assert sorted(got.topic for got in hears.got()) == found


def test_all_retained_messages_come_even_if_they_are_more_than_a_queue_holds(a_world):
    world = a_world(retained_max=100, retained_max_bytes=100_000)
    says, hears = world.client(), world.client()
    for number in range(50):
        says.publish(f"a/{number}", b"x", qos=1, retain=True)

    hears.subscribe("#")
    seen = []
    while got := hears.got():
        for message in got:
            seen.append(message.topic)
            hears.send(mqtt5.PubAckPacket(message.packet_id))

    assert sorted(seen) == sorted(f"a/{number}" for number in range(50))


def test_a_full_store_keeps_no_more_and_no_stale_word(world):
    says = world.client()
    for number in range(25):
        says.publish(f"a/{number}", retain=True)
    says.publish("a/0", b"n" * 4_000, retain=True)
    assert len(world.broker.retained) == 20

    for number in range(1, 7):
        says.publish(f"a/{number}", b"n" * 4_000, retain=True)
    late = world.client()
    late.subscribe("a/6")

    assert late.got() == []  # what it said before is no longer true
    assert world.broker.counters.dropped_retained > 5


def test_a_retained_message_expires(world):
    world.client().publish("a", retain=True, message_expiry_interval=10)
    world.wait(4)
    early, late = world.client(), world.client()

    early.subscribe("a")
    assert [got.message_expiry_interval for got in early.got()] == [6]
    world.wait(6)
    late.subscribe("a")

    assert late.got() == []
    assert len(world.broker.retained) == 0


# Shared subscriptions


def test_a_shared_subscription_gives_each_message_to_one_member(world):
    members = [world.client() for _ in range(3)]
    for member in members:
        member.subscribe("$share/g/a/+")
    alone = world.client()
    alone.subscribe("a/#")

    says = world.client()
    for number in range(9):
        says.publish("a/b", b"%d" % number)

    shares = [member.payloads() for member in members]
    assert [len(share) for share in shares] == [3, 3, 3]
    assert sorted(itertools.chain.from_iterable(shares)) == alone.payloads()


def test_a_member_that_left_gets_no_share(world):
    stays, leaves = world.client(), world.client("leaves", expiry_s=100)
    for member in (stays, leaves):
        member.subscribe("$share/g/a")
    leaves.lose()

    says = world.client()
    for number in range(4):
        says.publish("a", b"%d" % number)

    assert stays.payloads() == [b"0", b"1", b"2", b"3"]


def test_groups_are_served_apart_and_get_nothing_retained(world):
    world.client().publish("a", retain=True)
    one, two = world.client(), world.client()
    one.subscribe("$share/g/a")
    two.subscribe("$share/h/a")
    assert one.got() == two.got() == []

    world.client().publish("a", b"y")

    assert one.payloads() == two.payloads() == [b"y"]


@pytest.mark.parametrize("topic_filter", ["$share/g", "$share//a", "$share/g/", "$share/+/a"])
def test_a_bad_share_is_refused(world, topic_filter):
    assert world.client().subscribe(topic_filter) == [0x8F]


@BOTH
@pytest.mark.parametrize("topic_filter", ["a/#/b", "a#", "+a", "a/b+/c", "##"])
def test_a_bad_filter_is_refused_and_the_good_one_beside_it_is_not(world, version, topic_filter):
    peer = world.client(version=version)
    bad = len(topic_filter).to_bytes(2, "big") + topic_filter.encode() + b"\x01"
    body = b"\x00\x07" + b"\x00" * (version == 5) + b"\x00\x01a\x01" + bad

    peer.send(bytes((0x82, len(body))) + body)

    (answer,) = peer.got()
    codes = answer.reason_codes if version == 5 else answer.codes
    assert [int(code) for code in codes] == [1, 0x8F if version == 5 else 0x80]


def test_subscriptions_are_counted(world):
    peer = world.client()

    codes = peer.subscribe(*(f"a/{number}" for number in range(8)))

    assert codes == [1] * 6 + [0x97] * 2
    assert peer.subscribe("a/0", qos=2) == [2]
