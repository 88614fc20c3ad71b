"""What a twin concludes from readings."""

import pytest

from devices.kinds import CLOSURE, LOCK, PANEL
from devices.reading import Provenance, Reading
from devices.twin import Twin


def seen(axis, value, provenance=Provenance.REPORT, observed_at_ms=None, reason=None):
    return Reading("d", axis, value, provenance, observed_at_ms, reason)


def test_the_first_sight_of_an_axis_is_a_change_from_nothing():
    twin = Twin("d", LOCK)

    (change,) = twin.fold([seen("lock_state", "Locked")], 5)

    assert (change.axis, change.known.value, change.was, change.jumped) == (
        "lock_state",
        "Locked",
        None,
        False,
    )


def test_a_repeat_changes_nothing_but_its_times():
    twin = Twin("d", LOCK)
    twin.fold([seen("lock_state", "Locked", Provenance.RETAINED)], 5)

    changes = twin.fold([seen("lock_state", "Locked", Provenance.REPORT, 8)], 9)

    known = twin.axes["lock_state"]
    assert changes == []
    assert (known.received_at_ms, known.observed_at_ms, known.since_ms) == (9, 8, 5)
    assert known.provenance is Provenance.REPORT


def test_a_value_outside_the_table_is_unknown_with_the_raw_value_as_reason():
    twin = Twin("d", LOCK)

    (change,) = twin.fold([seen("lock_state", "HalfShut")], 5)

    assert change.known.value is None
    assert change.known.reason == "unmapped:HalfShut"


def test_unknown_always_has_a_reason():
    twin = Twin("d", LOCK)

    (change,) = twin.fold([seen("lock_state", None)], 5)

    assert change.known.reason == "no_report"


def test_another_reason_for_unknown_is_a_change():
    twin = Twin("d", LOCK)
    twin.fold([seen("lock_state", None, reason="boot")], 5)

    (change,) = twin.fold([seen("lock_state", None, reason="calibrating")], 6)

    assert (change.was, change.known.reason) == (None, "calibrating")


def test_an_axis_that_the_kind_does_not_have_is_passed_over():
    assert Twin("d", LOCK).fold([seen("position", "FullyClosed")], 5) == []


def test_a_closed_door_that_is_suddenly_open_has_jumped():
    twin = Twin("d", CLOSURE)
    twin.fold([seen("position", "FullyClosed")], 1)

    (change,) = twin.fold([seen("position", "FullyOpened")], 2)

    assert change.jumped


@pytest.mark.parametrize("end", ["FullyOpened", "FullyClosed"])
def test_a_door_that_travels_has_not_jumped(end):
    twin = Twin("d", CLOSURE)
    twin.fold([seen("position", "PartiallyOpened")], 1)

    (change,) = twin.fold([seen("position", end)], 2)

    assert not change.jumped


def test_nothing_jumps_out_of_the_unknown():
    twin = Twin("d", CLOSURE)
    twin.fold([seen("position", None, reason="boot")], 1)

    (change,) = twin.fold([seen("position", "FullyOpened")], 2)

    assert not change.jumped


@pytest.mark.parametrize(
    ("axis", "there"),
    [
        ("door.1.lock_state", True),
        ("door.12.alarm", True),
        ("tamper", True),
        ("door.0.lock_state", False),
        ("door.1.nothing", False),
        ("gate.1.lock_state", False),
        ("lock_state", False),
    ],
)
def test_the_parts_of_a_panel_have_axes_of_their_own(axis, there):
    assert (PANEL.axis(axis) is not None) is there
