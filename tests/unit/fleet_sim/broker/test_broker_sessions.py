"""What outlives a connection: sessions, wills, what is queued and what is repeated."""

import mqtt5
import pytest

from vendors.wire import mqtt311

BOTH = pytest.mark.parametrize("version", [4, 5])
WILL = mqtt5.Will("will", payload=b"gone")


def kept(world, name, version=5, **options):
    """A client whose session outlives its connection."""
    return world.client(name, version, clean=False, **({"expiry_s": 100} | options))


@BOTH
def test_a_session_keeps_what_was_said_meanwhile_but_not_at_quality_0(world, version):
    kept(world, "c", version).subscribe("#", qos=2)
    world.broker.sessions["c"].link.lost(world.now_s)
    says = world.client()
    for qos in (0, 1, 2, 1):
        says.publish("a", b"%d" % qos, qos=qos)
    says.send(mqtt5.PubRelPacket(9))

    present, back = world.resumed("c", version)

    assert present
    assert back.payloads() == [b"1", b"2", b"1"]


@BOTH
def test_a_clean_start_forgets_the_session(world, version):
    kept(world, "c", version).subscribe("#")
    world.broker.sessions["c"].link.lost(world.now_s)

    peer = world.client("c", version)
    world.client().publish("a", qos=1)

    assert not peer.greeting.session_present
    assert peer.got() == []


@BOTH
def test_what_was_not_acknowledged_is_repeated_with_its_id_and_the_flag(world, version):
    peer = kept(world, "c", version)
    peer.subscribe("#", qos=2)
    says = world.client()
    for number in range(3):
        says.publish("a", b"%d" % number, qos=1 + number % 2, packet_id=20 + number)
    first = peer.got()
    peer.send(bytes.fromhex("4002") + first[0].packet_id.to_bytes(2, "big"))
    peer.send(bytes.fromhex("5002") + first[1].packet_id.to_bytes(2, "big"))
    peer.got()
    peer.lose()

    _, back = world.resumed("c", version)
    release, again = back.got()

    assert type(release).__name__.lower().startswith("pubrel")
    assert release.packet_id == first[1].packet_id
    assert (again.duplicate, again.payload, again.qos) == (True, b"2", 1)
    assert again.packet_id == first[2].packet_id


def test_a_session_ends_when_its_time_is_over(world):
    kept(world, "c", expiry_s=10).lose()
    world.wait(9.9)
    assert "c" in world.broker.sessions
    world.wait(0.2)

    assert "c" not in world.broker.sessions
    assert world.broker.next_deadline_s is None


def test_a_session_without_an_end_is_given_one_and_told(a_world):
    world = a_world(session_expiry_max_s=60)

    peer = kept(world, "c", expiry_s=0xFFFF_FFFF)

    assert peer.greeting.session_expiry_interval == 60


def test_a_disconnect_can_change_how_long_the_session_stays(world):
    kept(world, "c").send(mqtt5.DisconnectPacket(session_expiry_interval=0))

    assert "c" not in world.broker.sessions


def test_a_session_that_was_to_end_cannot_be_prolonged_by_the_goodbye(world):
    peer = world.client("c").send(mqtt5.DisconnectPacket(session_expiry_interval=5))

    assert [int(got.reason_code) for got in peer.got()] == [0x82]
    assert "c" not in world.broker.sessions


@BOTH
def test_the_second_of_one_name_takes_the_session_over(world, version):
    first = kept(world, "c", version)
    first.subscribe("#")

    present, second = world.resumed("c", version)
    world.client().publish("a")

    assert present
    assert first.closed
    assert second.payloads() == [b"x"]
    if version == 5:
        assert [int(got.reason_code) for got in first.got()] == [0x8E]
    else:
        assert first.got() == []


def test_a_client_without_a_name_is_given_one(world):
    one, two = world.dial().send(mqtt5.ConnectPacket("")), world.dial(4)
    two.send(bytes.fromhex("100c00044d51545404020000 0000"))

    assert one.got()[0].assigned_client_id in world.broker.sessions
    assert two.got()[0].code == 0
    assert len(world.broker.sessions) == 2


# The window


def test_no_more_is_under_way_than_the_client_takes_at_once(world):
    peer, says = world.client(receive_max=2), world.client()
    peer.subscribe("#")
    for number in range(4):
        says.publish("a", b"%d" % number, qos=1)

    got = peer.got()
    assert [message.payload for message in got] == [b"0", b"1"]
    says.publish("a", b"waits its turn")
    peer.send(mqtt5.PubAckPacket(got[1].packet_id))

    assert peer.payloads() == [b"2"]


def test_repeats_keep_to_the_window_of_the_client_that_came_back(world):
    peer = kept(world, "c", receive_max=4)
    peer.subscribe("#")
    says = world.client()
    for number in range(6):
        says.publish("a", b"%d" % number, qos=1)
    assert len(peer.got()) == 4
    peer.lose()

    _, back = world.resumed("c", receive_max=1)
    seen = []
    while got := back.got():
        assert len(got) == 1
        seen.append((got[0].payload, got[0].duplicate))
        back.send(mqtt5.PubAckPacket(got[0].packet_id))

    assert seen == [(b"%d" % number, number < 4) for number in range(6)]


def test_a_refused_message_of_quality_2_is_over(world):
    peer, says = world.client(receive_max=1), world.client()
    peer.subscribe("#", qos=2)
    says.publish("a", b"1", qos=2)
    says.publish("a", b"2", qos=1)

    reason = mqtt5.PubRecReasonCode.NOT_AUTHORIZED
    peer.send(mqtt5.PubRecPacket(peer.got()[0].packet_id, reason_code=reason))

    assert peer.payloads() == [b"2"]


@BOTH
def test_a_full_queue_drops_the_newest_and_counts_it(world, version):
    kept(world, "c", version).subscribe("#")
    world.broker.sessions["c"].link.lost(world.now_s)
    says = world.client()
    for number in range(12):
        says.publish("a", b"%d" % number, qos=1)

    _, back = world.resumed("c", version)
    seen = []
    while got := back.got():
        for message in got:
            seen.append(message.payload)
            back.send(bytes.fromhex("4002") + message.packet_id.to_bytes(2, "big"))

    assert seen == [b"%d" % number for number in range(8)]
    assert world.broker.counters.dropped_full == 4


def test_a_queue_is_bounded_in_bytes_too(world):
    kept(world, "c").lose()
    kept(world, "c").subscribe("#")
    world.broker.sessions["c"].link.lost(world.now_s)
    says = world.client()
    for _ in range(5):
        says.publish("a", b"x" * 3_000, qos=1)

    assert world.broker.sessions["c"].queued == 2


def test_user_properties_count_as_bytes(world):
    kept(world, "c").subscribe("#")
    world.broker.sessions["c"].link.lost(world.now_s)
    says = world.client()
    for _ in range(5):
        says.publish("a", b"", qos=1, user_properties=[("k" * 1_000, "v" * 2_000)])

    assert world.broker.sessions["c"].queued == 2


def test_what_expires_in_the_queue_is_not_delivered(world):
    kept(world, "c").subscribe("#")
    world.broker.sessions["c"].link.lost(world.now_s)
    says = world.client()
    says.publish("a", b"soon stale", qos=1, message_expiry_interval=5)
    says.publish("a", b"fresh", qos=1, message_expiry_interval=50)
    world.wait(20)

    _, back = world.resumed("c")

    assert [(got.payload, got.message_expiry_interval) for got in back.got()] == [(b"fresh", 30)]


def test_a_message_too_large_for_one_client_goes_to_the_others(world):
    small, large, says = world.client(max_packet_size=60), world.client(), world.client()
    small.subscribe("#")
    large.subscribe("#")

    says.publish("a", b"x" * 100, qos=1)
    says.publish("a", b"y", qos=1)

    assert small.payloads() == [b"y"]
    assert large.payloads() == [b"x" * 100, b"y"]
    assert world.broker.counters.dropped_oversize == 1


# Slow ones


def test_a_slow_client_has_its_messages_kept_in_order_and_costs_nobody_else(world):
    slow, quick, says = world.client(), world.client(), world.client()
    for peer in (slow, quick):
        peer.subscribe("#", qos=0)
    slow.connection.slowed(world.now_s)

    for number in range(12):
        says.publish("a", b"%d" % number)

    assert len(quick.got()) == 12
    assert slow.got() == []
    slow.connection.eased(world.now_s)
    world.flush()
    assert slow.payloads() == [b"%d" % number for number in range(8)]


def test_one_burst_to_one_client_is_written_in_bounded_pieces(world):
    peer, says = world.client(), world.client()
    peer.subscribe("#", qos=0)
    says.send(b"".join(mqtt5.PublishPacket("a", b"x" * 1_500).write() for _ in range(12)))

    assert peer.writes > 2
    assert len(peer.got()) == 10  # five fill the buffer, a sixth overruns it, four fit a queue


def test_a_peer_that_lets_answers_pile_up_unread_is_put_out(world):
    peer = world.client()
    peer.connection.slowed(world.now_s)
    for _ in range(5):
        peer.send(mqtt5.PingReqPacket().write() * 1_000)

    assert peer.closed
    assert int(peer.got()[-1].reason_code) == 0x97


# Wills


def test_a_will_is_said_when_the_connection_is_lost(world):
    hears = world.client()
    hears.subscribe("will")
    world.client(will=mqtt5.Will("will", payload=b"gone", qos=mqtt5.QoS(1), retain=True)).lose()
    late = world.client()
    late.subscribe("will")

    assert [(got.payload, got.qos, got.retain) for got in hears.got()] == [(b"gone", 1, False)]
    assert [got.retain for got in late.got()] == [True]


@BOTH
def test_a_polite_goodbye_forgets_the_will(world, version):
    hears = world.client()
    hears.subscribe("will")
    will = WILL if version == 5 else will311()
    peer = world.client(version=version, will=will)

    peer.send(b"\xe0\x00")
    peer.lose()

    assert peer.closed
    assert hears.got() == []


def will311():
    return mqtt311.Will("will", b"gone")


def test_a_goodbye_with_the_will_says_it(world):
    hears = world.client()
    hears.subscribe("will")
    reason = mqtt5.DisconnectReasonCode.DISCONNECT_WITH_WILL_MESSAGE

    world.client(will=WILL).send(mqtt5.DisconnectPacket(reason_code=reason))

    assert hears.payloads() == [b"gone"]


@BOTH
@pytest.mark.parametrize("end", ["silence", "takeover", "error"])
def test_the_broker_ending_a_connection_says_the_will(world, version, end):
    hears = world.client()
    hears.subscribe("will")
    will = WILL if version == 5 else will311()
    peer = world.client("c", version, will=will, keep_alive_s=10)

    if end == "silence":
        world.wait(14.9)
        assert not peer.closed
        world.wait(0.2)
    elif end == "takeover":
        world.client("c")
    else:
        peer.send(b"\x00\x00")

    assert peer.closed
    assert hears.payloads() == [b"gone"]


def test_pings_keep_a_connection_alive(world):
    peer = world.client(keep_alive_s=10)
    for _ in range(10):
        world.wait(10)
        peer.send(mqtt5.PingReqPacket())

    assert not peer.closed
    assert len(peer.got()) == 10


def test_silence_is_told_to_those_who_can_hear_it(world):
    peer = world.client(keep_alive_s=10)
    world.wait(16)

    assert [int(got.reason_code) for got in peer.got()] == [0x8D]


def test_who_names_no_keep_alive_may_be_silent(world):
    peer = world.client()
    world.wait(1e6)

    assert not peer.closed


def test_the_broker_may_name_a_keep_alive(a_world):
    world = a_world(keep_alive_max_s=20)

    peer = world.client()
    world.wait(31)

    assert peer.greeting.server_keep_alive == 20
    assert peer.closed


@pytest.mark.parametrize(
    ("delay_s", "expiry_s", "said_after_s"), [(0, 100, 0), (10, 100, 10), (10, 4, 4), (10, 0, 0)]
)
def test_a_will_waits_its_delay_or_the_sessions_end(world, delay_s, expiry_s, said_after_s):
    hears = world.client()
    hears.subscribe("will")
    will = mqtt5.Will("will", payload=b"gone", will_delay_interval=delay_s)
    kept(world, "c", will=will, expiry_s=expiry_s).lose()

    if said_after_s:
        world.wait(said_after_s - 0.5)
        assert hears.got() == []
        world.wait(1)

    assert hears.payloads() == [b"gone"]
    world.wait(1_000)
    assert hears.got() == []


def test_coming_back_in_time_calls_the_will_off(world):
    hears = world.client()
    hears.subscribe("will")
    will = mqtt5.Will("will", payload=b"gone", will_delay_interval=10)
    kept(world, "c", will=will).lose()
    world.wait(5)
    world.resumed("c")
    world.wait(50)

    assert hears.got() == []


def test_coming_back_with_a_clean_start_ends_the_session_and_says_the_will(world):
    hears = world.client()
    hears.subscribe("will")
    will = mqtt5.Will("will", payload=b"gone", will_delay_interval=10)
    kept(world, "c", will=will).lose()

    world.client("c")

    assert hears.payloads() == [b"gone"]


def test_a_wills_own_life_begins_when_it_is_said(world):
    will = mqtt5.Will("will", payload=b"gone", retain=True, message_expiry_interval=10)
    peer = world.client(will=will)
    world.wait(500)
    peer.lose()
    world.wait(5)
    late, too_late = world.client(), world.client()
    late.subscribe("will")
    assert [got.message_expiry_interval for got in late.got()] == [5]
    world.wait(6)
    too_late.subscribe("will")

    assert too_late.got() == []


def test_coming_and_going_leaves_nothing_behind(world):
    for _ in range(500):
        world.client("c", clean=False, expiry_s=1_000, keep_alive_s=60_000).lose()

    assert len(world.broker.timers) < 130
    assert world.broker.holdables == {}


def test_sessions_are_counted(world):
    for number in range(12):
        kept(world, f"c{number}").lose()

    refused = world.dial().send(mqtt5.ConnectPacket("one more"))

    assert [int(got.reason_code) for got in refused.got()] == [0x97]
    assert refused.closed
    assert world.resumed("c3")[0]


@BOTH
def test_taking_over_says_the_will_of_the_one_who_was_put_out(world, version):
    hears = world.client()
    hears.subscribe("will")
    will = WILL if version == 5 else will311()
    kept(world, "c", version, will=will)

    present, _ = world.resumed("c", version)

    assert present
    assert hears.payloads() == [b"gone"]


def test_a_session_that_ends_with_its_connection_cannot_be_taken_over(world):
    world.client("c", expiry_s=0).subscribe("#")

    present, second = world.resumed("c")
    world.client().publish("a")

    assert not present
    assert second.got() == []
