"""The 3.1.1 codec: what is written is read back; any bytes are a packet, nothing or the error."""

from hypothesis import given
from hypothesis import strategies as st

from vendors.wire import mqtt311
from vendors.wire.mqtt311 import MalformedPacketError

TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
TOPICS = st.text(
    st.characters(exclude_characters="\x00+#", exclude_categories=["Cs"]), min_size=1, max_size=12
)
FILTERS = st.one_of(TOPICS, st.sampled_from(["#", "+", "a/+/b", "$share/g/#"]))
IDS = st.integers(1, 65_535)
QOS = st.integers(0, 2)
PAYLOADS = st.binary(max_size=200)
WILLS = st.builds(mqtt311.Will, TOPICS, PAYLOADS, QOS, st.booleans())


@st.composite
def connects(draw):
    username = draw(st.none() | TEXTS)
    return mqtt311.Connect(
        client_id=draw(TEXTS),
        clean_session=draw(st.booleans()),
        keep_alive_s=draw(st.integers(0, 65_535)),
        will=draw(st.none() | WILLS),
        username=username,
        password=None if username is None else draw(st.none() | PAYLOADS),
        level=draw(st.sampled_from([3, 4])),
    )


@st.composite
def publishes(draw):
    qos = draw(QOS)
    return mqtt311.Publish(
        topic=draw(TOPICS),
        payload=draw(PAYLOADS),
        qos=qos,
        retain=draw(st.booleans()),
        duplicate=bool(qos) and draw(st.booleans()),
        packet_id=draw(IDS) if qos else 0,
    )


CONNACKS = st.builds(mqtt311.ConnAck, st.booleans()) | st.builds(
    mqtt311.ConnAck, st.just(False), st.integers(1, 5)
)
SUBSCRIBES = st.builds(
    mqtt311.Subscribe, IDS, st.lists(st.tuples(FILTERS, QOS), min_size=1, max_size=4).map(tuple)
)
SUBACKS = st.builds(
    mqtt311.SubAck,
    IDS,
    st.lists(st.sampled_from([0, 1, 2, 0x80]), min_size=1, max_size=4).map(tuple),
)
UNSUBSCRIBES = st.builds(
    mqtt311.Unsubscribe, IDS, st.lists(FILTERS, min_size=1, max_size=4).map(tuple)
)
ANSWERS = st.one_of(
    *(
        st.builds(kind, IDS)
        for kind in (
            mqtt311.PubAck,
            mqtt311.PubRec,
            mqtt311.PubRel,
            mqtt311.PubComp,
            mqtt311.UnsubAck,
        )
    )
)
EMPTY = st.sampled_from([mqtt311.PingReq(), mqtt311.PingResp(), mqtt311.Disconnect()])
PACKETS = st.one_of(
    connects(), publishes(), CONNACKS, SUBSCRIBES, SUBACKS, UNSUBSCRIBES, ANSWERS, EMPTY
)


@given(packet=PACKETS, before=st.binary(max_size=3), after=st.binary(max_size=3))
def test_what_is_written_is_read_back(packet, before, after):
    raw = mqtt311.encode(packet)

    assert mqtt311.read(raw) == (packet, len(raw))
    assert mqtt311.read(memoryview(before + raw + after), len(before)) == (packet, len(raw))


@given(packet=PACKETS, data=st.data())
def test_a_cut_packet_is_incomplete_and_nothing_else(packet, data):
    raw = mqtt311.encode(packet)

    assert mqtt311.read(raw[: data.draw(st.integers(0, len(raw) - 1))]) is None


def judge(raw):
    """The one promise about bytes that anyone may have sent."""
    try:
        read = mqtt311.read(raw, packet_max=1_000)
    except MalformedPacketError:
        return
    if read is not None:
        packet, size = read
        assert 2 <= size <= len(raw)
        # What was understood has a form of its own, which means the same.
        again = mqtt311.encode(packet)
        assert mqtt311.read(again) == (packet, len(again))


@given(raw=st.binary(max_size=300))
def test_any_bytes_are_a_packet_nothing_or_the_error(raw):
    judge(raw)


@given(head=st.integers(0x10, 0xFF), body=st.binary(max_size=100))
def test_any_body_is_a_packet_or_the_error(head, body):
    judge(bytes((head, len(body))) + body)


@given(packet=PACKETS, data=st.data())
def test_a_damaged_packet_is_a_packet_nothing_or_the_error(packet, data):
    raw = bytearray(mqtt311.encode(packet))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))

    judge(bytes(raw))
