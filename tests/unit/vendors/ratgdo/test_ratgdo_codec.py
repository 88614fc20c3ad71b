"""What the samples do not show: the tables against the devices' own, and the guards."""

import pytest

from devices.errors import DecodeError
from devices.kinds import CLOSURE
from devices.reading import Provenance
from vendors.api import Frame
from vendors.ratgdo import codec, simulator

decode = codec.decoder("home/garage/")


def test_every_row_of_the_tables_is_of_the_kind() -> None:
    for table in codec.TABLES.values():
        for rows in table.values():
            for axis, value, reason in rows:
                spec = CLOSURE.axis(axis)
                assert spec is not None
                assert spec.holds(value) if value is not None else reason


def test_codec_and_simulator_know_the_same_words_and_read_them_alike() -> None:
    for what, words in simulator.SEEN.items():
        assert {word.encode() for word in words} == set(codec.TABLES[what])
        for word, axes in words.items():
            rows = codec.TABLES[what][word.encode()]
            assert [(axis, value) for axis, value, _ in rows] == list(axes)


def test_only_the_word_closed_is_closed() -> None:
    shut = [
        word
        for word, rows in codec.DOOR.items()
        if any(value == "FullyClosed" for _, value, _ in rows)
    ]

    assert shut == [b"closed"]


def test_provenance_tells_live_from_kept() -> None:
    topic = "home/garage/Left/status/door"

    live = decode(Frame(topic, b"open", 0))
    kept = decode(Frame(topic, b"open", 0, retained=True))

    assert {fact.provenance for fact in live} == {Provenance.REPORT}
    assert {fact.provenance for fact in kept} == {Provenance.RETAINED}


@pytest.mark.parametrize(
    ("prefix", "topic", "found"),
    [
        ("home/garage/", "home/garage/Left/status/door", ("Left", "door")),
        ("/home/garage", "/home/garageLeft/status/door", ("Left", "door")),
        ("", "Left/status/door", ("Left", "door")),
        ("home/garage/", "home/garage//status/door", None),
        ("home/garage/", "home/garage/a/b/status/door", None),
        ("home/garage/", "home/garage/Left/status/door/x", None),
        ("home/garage/", "home/garage/Left/status/humidity", None),
        ("home/garage/", "home/garden/Left/status/door", None),
    ],
)
def test_a_topic_is_taken_apart(prefix, topic, found) -> None:
    assert codec.split(prefix, topic) == found


def test_an_error_shows_no_payload() -> None:
    with pytest.raises(DecodeError) as refused:
        decode(Frame("home/garage/Left/status/door", b"secret\x00", 0))

    assert "secret" not in str(refused.value)
