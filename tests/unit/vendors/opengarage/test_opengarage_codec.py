"""What the samples do not show: the tables against the closure's own, and the name's tricks."""

from typing import Final

import orjson
import pytest

from devices.errors import DecodeError
from devices.kinds import CLOSURE
from devices.reading import Provenance
from vendors.api import Frame
from vendors.opengarage import board, codec, opener
from vendors.opengarage.settings import OpenGarageSettings

SETTINGS: Final = OpenGarageSettings.model_validate(
    {"openers": [{"name": "left", "mac": "AA:BB:CC:DD:EE:FF", "url": "http://192.0.2.1"}]}
)
DECODE: Final = codec.decoder(SETTINGS)
OVER_MQTT: Final = codec.decoder(
    OpenGarageSettings.model_validate(
        {"broker": {"url": "mqtt://b"}, "openers": [{"name": "left", "topic": "og"}]}
    )
)


def document(name: str = "My OpenGarage", **fields: object) -> bytes:
    """As the firmware writes it."""
    head = {"dist": 25, "secv": 0, "door": 1, "fwv": 124} | fields
    return b'%s,"name":"%s","mac":"AA:BB:CC:DD:EE:FF","rssi":-60}' % (
        orjson.dumps(head)[:-1],
        name.encode(),
    )


def read(payload: bytes, source: str = "http/left/jc", *, retained: bool = False):
    return DECODE(Frame(source, payload, 0, retained))


def position(payload: bytes, source: str = "http/left/jc") -> object:
    return next(fact.value for fact in read(payload, source) if fact.axis == "position")


def test_every_row_of_the_tables_is_of_the_kind() -> None:
    rows = [row for rows in codec.DOOR.values() for row in rows] + [
        (axis, value, None) for axis, values in codec.FLAGS.values() for value in values.values()
    ]

    for axis, value, reason in rows:
        spec = CLOSURE.axis(axis)
        assert spec is not None
        assert spec.holds(value) if value is not None else reason


def test_codec_and_simulator_read_the_same_numbers_alike() -> None:
    for number, values in opener.HEARD.items():
        assert tuple(value for _, value, _ in codec.DOOR[number]) == values
    assert set(codec.DOOR) == {board.CLOSED, *range(1, 6)}


@pytest.mark.parametrize(
    "name",
    [
        'x","door":0,"y":"z',
        'x", "mac" : "00:11:22:33:44:55","door":0,"z":"',
        '"',
        "\\",
        '","name":"',
        "\u202e\u0000",
        "{}[]",
        "é" * 30,
    ],
)
def test_no_name_costs_the_state_or_changes_it(name: str) -> None:
    assert position(document(name)) == "FullyOpened"


@pytest.mark.parametrize("cut", range(10, len(document('a "door":0')) - 1))
def test_half_a_document_says_nothing(cut: int) -> None:
    with pytest.raises(DecodeError):
        read(document('a "door":0')[:cut])


def test_a_settling_door_is_not_shut_and_an_open_one_is_open() -> None:
    assert position(document(door=0, dist=200)) == "FullyClosed"
    assert position(document(door=0, dist=200), "http/left/jc/settling") == "PartiallyOpened"
    assert position(document(door=1), "http/left/jc/settling") == "FullyOpened"
    assert position(document(door=0, secv=2), "http/left/jc/settling") == "FullyClosed"


def test_of_a_door_that_was_not_seen_for_long_no_place_is_said_unless_it_is_open() -> None:
    said = {fact.axis for fact in read(document(door=0, dist=200), "http/left/jc/unsure")}

    assert said == {"reachability", "main_state", "target_position"}
    assert position(document(door=1), "http/left/jc/unsure") == "FullyOpened"
    assert position(document(door=0, secv=2), "http/left/jc/unsure") == "FullyClosed"
    assert list(OVER_MQTT(Frame("og/OUT/STATE/unsure", b"CLOSED", 0))) == []


@pytest.mark.parametrize("distance", [0, 501, 4_294_967_295, -1])
@pytest.mark.parametrize("secv", [0, 1, 2])
def test_a_door_that_was_not_looked_at_is_unknown(distance: int, secv: int) -> None:
    facts = {fact.axis: fact for fact in read(document(door=0, dist=distance, secv=secv))}

    assert facts["position"].value is None
    assert facts["position"].reason == "no_echo"


def test_an_answer_is_a_poll_and_a_message_a_report() -> None:
    assert {fact.provenance for fact in read(document())} == {Provenance.POLL}
    for retained, provenance in ((False, Provenance.REPORT), (True, Provenance.RETAINED)):
        facts = OVER_MQTT(Frame("og/OUT/JSON", document(), 0, retained))
        assert {fact.provenance for fact in facts} == {provenance}
        assert ("reachability" in {fact.axis for fact in facts}) is not retained


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (document(), (0, 1)),
        (document(door=0, dist=200, secv=1), (1, 0)),
        (document(door=0, dist=0), (0, None)),
        (document(door=3), (0, None)),
        (document(door=5), (0, None)),
        (document(door=6), (0, None)),
        (document(door=3, secv=1), (1, 3)),
        (document(door=5, secv=1), (1, None)),
        (document().replace(b"AA:BB", b"00:00"), None),
        (document(door="0"), None),
        (b'{"result":2}', None),
    ],
)
def test_a_glance_sees_what_may_be_believed(payload: bytes, said: object) -> None:
    assert codec.glance(payload, SETTINGS.openers[0]) == said


def test_an_error_shows_no_payload() -> None:
    for payload in (b'{"result":"secret"}', document(door="secret"), b"secret", b'"secret"'):
        with pytest.raises(DecodeError) as refused:
            read(payload)
        assert "secret" not in str(refused.value)
