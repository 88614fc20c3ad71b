"""What must hold of every table in `devices`."""

import pytest

from devices.command import ALIASES, COMMANDS
from devices.kinds import HAPPENINGS, KINDS, Axis

ROWS = [
    pytest.param(KINDS[kind], name, spec, id=f"{kind}/{name}")
    for kind, rows in COMMANDS.items()
    for name, spec in rows.items()
]


def axes_of(kind):
    return kind.axes | {name: axis for part in kind.parts.values() for name, axis in part.items()}


@pytest.mark.parametrize(("kind", "name", "spec"), ROWS)
def test_a_command_speaks_only_of_axes_and_values_that_exist(kind, name, spec):
    axes = axes_of(kind)
    for table in (spec.done, spec.already, spec.blocked, spec.failed):
        for axis, values in table.items():
            assert set(values) <= set(axes[axis].values), (name, axis)
    assert {*spec.known, *spec.sensed} <= set(axes)
    assert set(spec.lasting) <= {value for values in spec.done.values() for value in values}


@pytest.mark.parametrize(("kind", "name", "spec"), ROWS)
def test_nothing_that_opens_is_repeatable(kind, name, spec):
    opens = {"FullyOpened", "NotFullyClosed", "Unlocked", "Unlatched"}

    proves_opening = any(opens & set(values) for values in spec.done.values())

    assert not (proves_opening and spec.repeatable), name


@pytest.mark.parametrize(("kind", "name", "spec"), ROWS)
def test_every_command_has_something_that_proves_it(kind, name, spec):
    assert spec.done
    assert 0 < spec.timeout_ms <= 120_000


def test_an_alias_names_a_command():
    for kind, aliases in ALIASES.items():
        assert set(aliases.values()) <= set(COMMANDS[kind])


def test_unknown_is_never_a_member_of_a_state_table():
    for kind in KINDS.values():
        for name, axis in axes_of(kind).items():
            assert "unknown" not in {value.lower() for value in axis.values}, name


def test_the_types_of_happenings_can_be_levels_of_a_topic():
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz_.") for name in HAPPENINGS)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), 2**53, -(2**53), 10**400, "1", True, None]
)
def test_a_number_that_json_readers_cannot_hold_is_no_value_of_any_axis(value):
    for kind in (Axis(type="integer"), Axis(type="number")):
        assert not kind.holds(value)


@pytest.mark.parametrize("value", [0, -(2**53) + 1, 2**53 - 1])
def test_a_number_without_limits_may_be_any_that_readers_hold(value):
    assert Axis(type="integer").holds(value)
