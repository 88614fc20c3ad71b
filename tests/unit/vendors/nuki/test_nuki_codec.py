"""What the samples do not show: the tables against the lock's own, and the guards."""

import pytest

from devices.errors import DecodeError
from devices.kinds import LOCK
from vendors.api import Frame
from vendors.nuki import codec, simulator


def test_every_row_of_the_tables_is_of_the_kind() -> None:
    rows = [row for table in codec.NUMBERS.values() for rows in table.values() for row in rows] + [
        row for table in codec.FLAGS.values() for row in table.values()
    ]

    for axis, value, reason in rows:
        spec = LOCK.axis(axis)
        assert spec is not None
        assert spec.holds(value) if value is not None else reason


def test_codec_and_simulator_read_the_same_states_alike() -> None:
    for state, values in simulator.SEEN.items():
        assert tuple(value for _, value, _ in codec.STATE[state]) == values


def test_all_states_of_a_table_tell_of_the_same_axes() -> None:
    for table in codec.NUMBERS.values():
        assert len({tuple(axis for axis, _, _ in rows) for rows in table.values()}) == 1


def test_a_moving_bolt_is_nowhere() -> None:
    for state in (2, 4, 7):
        assert codec.STATE[state][0] == ("lock_state", None, "moving")


@pytest.mark.parametrize(
    ("topic", "found"),
    [
        ("nuki/398172F4/state", ("398172F4", "state")),
        ("nuki/398172f4/state", None),
        ("nuki/398172F/state", None),
        ("nuki/398172F4/state/", None),
        ("x/nuki/398172F4/state", None),
        ("nuki/398172F4/", None),
        ("nuki/398172F4/state\n", None),
    ],
)
def test_a_topic_is_taken_apart(topic, found) -> None:
    assert codec.split(topic) == found


def test_long_topics_are_not_remembered() -> None:
    before = codec.split.cache_info().currsize

    for number in range(100):
        codec.decode(Frame("nuki/398172F4/" + "a" * (1_000 + number), b"1", 0))

    assert codec.split.cache_info().currsize == before


def test_an_error_shows_no_payload() -> None:
    with pytest.raises(DecodeError) as refused:
        codec.decode(Frame("nuki/398172F4/lockActionEvent", b"1,0,0,0,secret", 0))

    assert "secret" not in str(refused.value)
