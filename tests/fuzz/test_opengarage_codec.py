"""Anything at all into OpenGarage's codec: facts of the table, or DecodeError; and no name lies."""

import json
from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from devices.errors import DecodeError
from devices.kinds import CLOSURE
from devices.reading import Reading
from vendors.api import Decode, Frame
from vendors.opengarage import codec
from vendors.opengarage.settings import OpenGarageSettings

NOW_MS: Final = 1_767_225_600_000
SENSORS: Final = ("ceiling", "side", "switch")
HTTP: Final[Decode] = codec.decoder(
    OpenGarageSettings.model_validate(
        {
            "openers": [
                {"name": each, "url": f"http://192.0.2.{n}", "sensor": each}
                for n, each in enumerate(SENSORS)
            ]
        }
    )
)
MQTT: Final[Decode] = codec.decoder(
    OpenGarageSettings.model_validate(
        {
            "broker": {"url": "mqtt://broker.example"},
            "openers": [{"name": each, "topic": each, "sensor": each} for each in SENSORS],
        }
    )
)
SOURCES: Final = [
    *(f"http/{each}/jc{more}" for each in SENSORS for more in ("", "/settling")),
    *(f"{each}/OUT/{what}" for each in SENSORS for what in ("JSON", "STATE", "STATUS", "NOTIFY")),
    *(f"{each}/OUT/STATE/settling" for each in SENSORS),
    "http/ceiling/silent",
]
WORDS: Final = [b"OPEN", b"CLOSED", b"STOPPED", b"Closed", b"online", b"offline", b"Button"]
#: The only words and numbers that may ever read as an end of the way: written out here.
ENDS: Final = {b"CLOSED": "FullyClosed", b"OPEN": "FullyOpened"}

numbers = st.one_of(
    st.integers(-1, 7),
    st.integers(),
    st.sampled_from([None, True, False, "0", "closed", 0.0, 1.5, [], {}, 500, 501]),
)
fields = st.fixed_dictionaries(
    {},
    optional={
        "dist": st.one_of(st.integers(0, 520), numbers),
        "secv": numbers,
        "door": numbers,
        "fwv": st.one_of(st.just(124), numbers),
        "light": numbers,
        "lock": numbers,
        "obstruct": numbers,
        "result": numbers,
    },
)
names = st.one_of(
    st.text(max_size=32).map(lambda text: text.encode(errors="surrogatepass")),
    st.binary(max_size=32),
    st.sampled_from(
        [b'","door":0,"x":"', b'x","mac":"y","door":0,"z":"', b"\\", b'"', b'","name":"', b'"}{"']
    ),
)


def written(said: dict[str, object], name: bytes) -> bytes:
    """As the firmware writes it: the name as it is, everything else in order."""
    head = json.dumps(said).encode()[:-1]
    comma = b"," if said else b""
    return head + comma + b'"name":"' + name + b'","mac":"AA:BB:CC:DD:EE:FF","rssi":-60,"cld":0}'


def facts_of(source: str, payload: bytes, retained: bool) -> list[Reading] | None:
    """What both transports' decoders make of it; None if it is refused."""
    found: list[Reading] = []
    for decode in (HTTP, MQTT):
        try:
            facts = decode(Frame(source, payload, NOW_MS, retained))
        except DecodeError:
            return None
        for fact in facts:
            assert isinstance(fact, Reading)
            axis = CLOSURE.axis(fact.axis)
            assert axis is not None
            assert axis.holds(fact.value) if fact.value is not None else fact.reason
            found.append(fact)
    return found


@given(source=st.text(max_size=60), payload=st.binary(max_size=80), retained=st.booleans())
@example("http//jc", b"{}", False)
def test_any_source_and_any_payload(source: str, payload: bytes, retained: bool) -> None:
    facts_of(source, payload, retained)


@given(
    source=st.sampled_from(SOURCES),
    payload=st.one_of(
        st.binary(max_size=200),
        st.sampled_from([*WORDS, b"[" * 5_000, b"NaN", b"null", b"1e999", b"{}", b"\0"]),
        st.tuples(st.sampled_from(WORDS), st.binary(max_size=3)).map(b"".join),
    ),
    retained=st.booleans(),
)
def test_real_sources_with_anything_in_them(source: str, payload: bytes, retained: bool) -> None:
    for fact in facts_of(source, payload, retained) or ():
        if fact.axis == "position" and fact.value in ENDS.values():
            assert ENDS[payload] == fact.value


@given(source=st.sampled_from(SOURCES), said=fields, name=names, retained=st.booleans())
def test_documents_as_the_firmware_would_write_them(
    source: str, said: dict[str, object], name: bytes, retained: bool
) -> None:
    payload = written(said, name)

    for fact in facts_of(source, payload, retained) or ():
        if (fact.axis, fact.value) == ("position", "FullyClosed"):
            assert said["door"] == 0
            assert said["door"] is not False
            assert (
                source.partition("/")[0] == "switch"
                or said["dist"] in range(1, 501)
                or ("switch" in source)
            )
        elif (fact.axis, fact.value) == ("position", "FullyOpened"):
            assert said["door"] == 1
        elif (fact.axis, fact.value) == ("obstruction", "Clear"):
            assert said["obstruct"] == 0
            assert said.get("door") != 5


@given(source=st.sampled_from(SOURCES), name=names, other=names)
def test_the_name_changes_nothing(source: str, name: bytes, other: bytes) -> None:
    said: dict[str, object] = {"dist": 120, "secv": 2, "door": 1, "fwv": 124, "light": 1}

    assert facts_of(source, written(said, name), False) == facts_of(
        source, written(said, other), False
    )


@given(cut=st.integers(0, 400), name=names, extra=st.binary(min_size=1, max_size=3))
def test_a_document_cut_short_is_refused(cut: int, name: bytes, extra: bytes) -> None:
    whole = written({"dist": 120, "secv": 0, "door": 0, "fwv": 124}, name)

    assert facts_of("http/side/jc", whole[: cut % len(whole)], False) is None
    if extra.strip(b" \t\r\n"):
        assert facts_of("http/side/jc", whole + extra, False) is None
