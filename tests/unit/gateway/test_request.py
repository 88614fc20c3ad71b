"""A message of a `command` topic: read, or refused with the place of its first mistake."""

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.command import COMMANDS, CommandSpec
from devices.kinds import CLOSURE, LOCK, PANEL
from gateway.request import (
    PAYLOAD_MAX_BYTES,
    Request,
    Unreadable,
    argument_problem,
    axis_of,
    part_problem,
    read,
)

GOOD: Final = {"id": "a", "name": "LockDoor"}


def test_the_least_and_the_most_that_a_request_says() -> None:
    least = read(json.dumps(GOOD).encode())
    most = read(
        json.dumps(
            GOOD
            | {
                "part": "door.1",
                "args": {"speed": 3, "soft": True},
                "deadline_ms": 1,
                "expect": {"lock_state": "Locked", "battery_pct": None},
            }
        ).encode()
    )

    assert (least.part, least.args, least.expect, least.deadline_ms) == ("", {}, {}, None)
    assert (most.part, most.args["speed"], most.expect["battery_pct"]) == ("door.1", 3, None)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "not JSON at byte 0"),
        (b"{", "not JSON at byte"),
        (b"\xff\xfe", "not JSON at byte 0"),
        (b'"open"', "not a JSON object"),
        (b"[" * 5_000, "not JSON"),
        (b" " * (PAYLOAD_MAX_BYTES + 1), "more than 16384 bytes"),
        (json.dumps({"name": "x"}).encode(), "id: Field required"),
        (json.dumps(GOOD | {"id": ""}).encode(), "id: "),
        (json.dumps(GOOD | {"id": "two words"}).encode(), "id: "),
        (json.dumps(GOOD | {"id": "a" * 129}).encode(), "id: "),
        (json.dumps(GOOD | {"id": 7}).encode(), "id: "),
        (json.dumps(GOOD | {"part": "door.0"}).encode(), "part: "),
        (json.dumps(GOOD | {"part": "door.1\n"}).encode(), "part: "),
        (json.dumps(GOOD | {"deadline_ms": 0}).encode(), "deadline_ms: "),
        (json.dumps(GOOD | {"deadline_ms": 1.5}).encode(), "deadline_ms: "),
        (json.dumps(GOOD | {"deadline_ms": "1"}).encode(), "deadline_ms: "),
        (json.dumps(GOOD | {"args": []}).encode(), "args: "),
        (json.dumps(GOOD | {"args": {"x": {}}}).encode(), "args.x"),
        (json.dumps(GOOD | {"expect": {str(n): 1 for n in range(17)}}).encode(), "expect: "),
        (json.dumps(GOOD | {"colour": "red"}).encode(), "colour: "),
    ],
)
def test_what_is_no_request_is_refused_at_its_place(payload: bytes, said: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read(payload)

    assert str(caught.value).startswith(said)
    assert len(str(caught.value)) < 500


@given(
    st.binary(max_size=200)
    | st.builds(
        lambda v: json.dumps(v).encode(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(sorted([*Request.model_fields, "x"])), inner, max_size=6
                )
            ),
            max_leaves=12,
        ),
    )
)
def test_any_bytes_are_a_request_or_unreadable(payload: bytes) -> None:
    try:
        request = read(payload)
    except Unreadable:
        return
    assert request.id
    assert request.name


def test_an_argument_that_the_command_does_not_know_is_named() -> None:
    spec = COMMANDS["lock"]["LockDoor"]

    assert argument_problem(spec, {}) is None
    assert argument_problem(spec, {"speed": 1}) == "args.speed: not an argument of this command"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"seconds": 5}, None),
        ({"seconds": "5"}, "args.seconds: "),
        ({"seconds": 0}, "args.seconds: "),
        ({"colour": "red"}, "args: "),
    ],
)
def test_arguments_are_held_against_their_schema(args: dict[str, Any], said: str | None) -> None:
    spec = CommandSpec(done={}, args={"seconds": {"type": "integer", "minimum": 1}})

    problem = argument_problem(spec, args)

    assert (problem is None) if said is None else str(problem).startswith(said)


def test_an_axis_is_the_parts_own_or_else_the_devices() -> None:
    assert axis_of(PANEL, "door.1", "lock_state") == "door.1.lock_state"
    assert axis_of(PANEL, "door.1", "reachability") == "reachability"
    assert axis_of(LOCK, "", "lock_state") == "lock_state"
    assert axis_of(LOCK, "", "colour") is None


def test_a_part_is_told_where_one_is_needed_and_refused_where_not() -> None:
    access = COMMANDS["panel"]["AccessDoor"]

    assert part_problem(PANEL, access, "door.1") is None
    assert str(part_problem(PANEL, access, "")).startswith("part: say which, such as door.1")
    assert "nothing that this command acts on" in str(part_problem(PANEL, access, "lift.1"))
    assert part_problem(CLOSURE, COMMANDS["closure"]["Stop"], "door.1") is not None
