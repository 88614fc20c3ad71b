"""Any bytes, and packets with any bytes in them: read, or refused with DecodeError; never else."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from devices.errors import DecodeError
from devices.kinds import HAPPENINGS, PANEL
from devices.reading import Reading
from vendors.api import Frame
from vendors.uhppote import codec, packets

SERIAL = 405_419_896
NOW_MS = 1_767_225_600_000
DECODE = codec.decoder(UTC, {SERIAL: codec.Doors(2, frozenset({1}))})
DECODERS = (DECODE, codec.decoder(ZoneInfo("America/Sao_Paulo"), {}))
WHAT = ("", "/live", "/buffered", "/silent", "/lost/3-7", "/restarted/9-9", "/lost/9-3", "/other")

sources = st.one_of(
    st.sampled_from([f"udp/{SERIAL}{what}" for what in WHAT]),
    st.text(max_size=40),
    st.from_regex(r"udp/[0-9]{0,12}(/[a-z]{0,9}(/[0-9]{0,11}-[0-9]{0,11})?)?"),
)


def _packet(function: int, body: bytes, start: int) -> bytes:
    return bytes((start, function, 0, 0)) + SERIAL.to_bytes(4, "little") + body


bodies = st.binary(min_size=56, max_size=56)
packets_of_ours = st.builds(
    _packet,
    st.sampled_from([*packets.REPLIES, 0xFF]),
    st.one_of(bodies, st.binary(max_size=8).map(lambda head: head.ljust(56, b"\0"))),
    st.sampled_from([0x17, 0x17, 0x17, 0x19, 0x18]),
)


def judge(frame: Frame) -> None:
    for decode in DECODERS:
        try:
            facts = decode(frame)
        except DecodeError:
            continue
        for fact in facts:
            if isinstance(fact, Reading):
                axis = PANEL.axis(fact.axis)
                assert axis is not None
                assert fact.reason if fact.value is None else axis.holds(fact.value)
            else:
                spec = HAPPENINGS[fact.type]
                assert set(spec.required) <= fact.data.keys()
                assert fact.data.keys() <= {*spec.required, *spec.optional}


@given(sources, st.binary(max_size=1_500))
def test_any_bytes_are_read_or_refused(source, payload):
    judge(Frame(source, payload, NOW_MS))


@given(st.sampled_from(WHAT), packets_of_ours)
def test_any_packet_is_read_or_refused(what, packet):
    judge(Frame(f"udp/{SERIAL}{what}", packet, NOW_MS))


@given(packets_of_ours, st.integers(0, 63), st.integers(0, 255))
def test_no_byte_of_a_status_makes_a_door_locked_or_closed_but_its_own(packet, at, value):
    before = bytearray(_packet(packets.STATUS, packet[8:], 0x17))
    after = bytearray(before)
    after[at] = value
    if at in {0, 1, 4, 5, 6, 7, packets.AT_RELAYS, 28, 29, 30, 31, 36}:
        return
    source = f"udp/{SERIAL}"

    assert DECODE(Frame(source, bytes(before), NOW_MS)) == DECODE(
        Frame(source, bytes(after), NOW_MS)
    )


FIELDS = {
    packets.u8: st.integers(0, 0xFF),
    packets.u16: st.integers(0, 0xFFFF),
    packets.u24: st.integers(0, 0xFF_FFFF),
    packets.u32: st.integers(0, 0xFFFF_FFFF),
    packets.flag: st.booleans(),
    packets.raw6: st.binary(min_size=6, max_size=6),
    packets.raw2: st.binary(min_size=2, max_size=2),
    packets.ipv4: st.ip_addresses(v=4).map(str),
    packets.day8: st.none() | st.dates(),
    packets.day6: st.none() | st.dates(min_value=date(2000, 1, 1), max_value=date(2099, 12, 31)),
    packets.clock: st.times().map(lambda at: at.replace(microsecond=0)),
    packets.hhmm: st.times().map(lambda at: time(at.hour, at.minute)),
    packets.moment: st.none()
    | st.datetimes(min_value=datetime(1, 1, 1)).map(lambda at: at.replace(microsecond=0)),  # noqa: DTZ001 -- panels know no zone
}


@st.composite
def filled(draw: st.DrawFn) -> tuple[int, packets.Layout, dict[str, object]]:
    table = draw(st.sampled_from([packets.REQUESTS, packets.REPLIES]))
    function = draw(st.sampled_from(list(table)))
    layout = table[function]
    return function, layout, {name: draw(FIELDS[kind]) for name, (_, kind) in layout.items()}


@given(filled(), st.integers(1, 0xFFFF_FFFF))
def test_what_is_packed_is_unpacked(filling, serial):
    function, layout, values = filling

    packet = packets.pack(function, serial, layout, values)

    assert len(packet) == packets.SIZE
    assert codec.checked(packet) == (function, serial)
    assert packets.unpack(layout, packet) == values


@given(st.sampled_from([packets.REQUESTS, packets.REPLIES]), st.data(), bodies)
def test_any_body_can_be_unpacked(table, data, body):
    layout = table[data.draw(st.sampled_from(list(table)))]

    fields = packets.unpack(layout, _packet(0x20, body, 0x17))

    assert fields.keys() == layout.keys()
