"""Rows of events: which belong to one report, which the driver made up, and what they mean."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from devices.reading import Provenance, Reading
from vendors.api import Frame
from vendors.zwave_js import codec
from vendors.zwave_js.nodes import Node

NOW_MS = 1_767_225_600_000
#: As traced with zwave-js 15.29.0.
REPORT = (
    "insideHandlesCanOpenDoor",
    "outsideHandlesCanOpenDoor",
    "duration",
    "targetMode",
    "currentMode",
    "doorStatus",
    "boltStatus",
    "latchStatus",
)
#: Declaration order of `DoorLockCCOperationReport`, as drivers before that had it.
OLDER = (
    "currentMode",
    "targetMode",
    "duration",
    "outsideHandlesCanOpenDoor",
    "insideHandlesCanOpenDoor",
    "doorStatus",
    "boltStatus",
    "latchStatus",
)


def values(mode: int) -> dict[str, Any]:
    return {
        "insideHandlesCanOpenDoor": [True] * 4,
        "outsideHandlesCanOpenDoor": [True] * 4,
        "duration": {"value": 0, "unit": "seconds"},
        "targetMode": mode,
        "currentMode": mode,
        "doorStatus": "closed",
        "boltStatus": "locked" if mode else "unlocked",
        "latchStatus": "open",
    }


def updated(name: str, value: object) -> dict[str, Any]:
    args = {"commandClass": 98, "endpoint": 0, "property": name, "newValue": value}
    return {"source": "node", "event": "value updated", "nodeId": 2, "args": args}


def notified(event: int) -> dict[str, Any]:
    args = {"type": 6, "event": event}
    return {"source": "node", "event": "notification", "nodeId": 2, "ccId": 113, "args": args}


def lock_of(status: int = 4, **more: object) -> Node:
    node = Node("ws/2")
    told = [
        {"commandClass": 98, "property": name, "value": value, "ccVersion": 4}
        for name, value in (values(0) | more).items()
    ]
    node.remembered({"nodeId": 2, "status": status, "values": told}, NOW_MS)
    return node


def states(frames: Sequence[Frame]) -> list[tuple[object, str | None, Provenance]]:
    """What the frames say of the bolt."""
    return [
        (fact.value, fact.reason, fact.provenance)
        for frame in frames
        for fact in codec.decode(frame)
        if isinstance(fact, Reading) and fact.axis == "lock_state"
    ]


@pytest.mark.parametrize("order", [REPORT, OLDER])
def test_a_report_is_one_frame_in_whatever_order_its_driver_tells_it(order: Sequence[str]) -> None:
    node = lock_of()

    frames = [f for name in order for f in node.heard(updated(name, values(255)[name]), NOW_MS)]

    assert states(frames) == [("Locked", None, Provenance.REPORT)]
    assert not node.waiting
    assert not node.unproven


@pytest.mark.parametrize("order", [REPORT, OLDER])
def test_an_assumed_mode_before_a_report_stays_by_itself(order: Sequence[str]) -> None:
    node = lock_of()

    frames = node.heard(updated("currentMode", 255), NOW_MS)
    for name in order:
        frames += node.heard(updated(name, values(0)[name]), NOW_MS)

    assert states(frames) == [
        (None, "moving", Provenance.OPTIMISTIC),
        ("Unlocked", None, Provenance.REPORT),
    ]


def test_an_assumed_mode_is_told_when_nothing_follows() -> None:
    node = lock_of()

    at_once = node.heard(updated("currentMode", 255), NOW_MS)
    later = node.settled()

    assert at_once == []
    assert states(later) == [(None, "moving", Provenance.OPTIMISTIC)]
    assert node.unproven


def test_a_notification_of_the_same_mode_explains_it_and_another_one_does_not() -> None:
    same, other = lock_of(), lock_of()

    told = same.heard(updated("currentMode", 255), NOW_MS) + same.heard(notified(1), NOW_MS)
    not_told = other.heard(updated("currentMode", 255), NOW_MS) + other.heard(notified(2), NOW_MS)

    assert states(told) == [("Locked", None, Provenance.EVENT)]
    assert states(not_told) == [(None, "moving", Provenance.OPTIMISTIC)]


def test_a_report_that_is_cut_short_is_what_it_says_and_not_what_was_known() -> None:
    node = lock_of()

    frames = []
    for name in REPORT[:5]:
        frames += node.heard(updated(name, values(255)[name]), NOW_MS)
    frames += node.settled()

    assert states(frames) == [("Locked", None, Provenance.REPORT)]


def test_a_message_that_comes_twice_is_no_row_of_its_own() -> None:
    node = lock_of()

    told = [
        *node.heard(updated("currentMode", 255), NOW_MS),
        *node.heard(updated("currentMode", 255), NOW_MS),
        *node.heard(notified(1), NOW_MS),
    ]

    assert states(told) == [("Locked", None, Provenance.EVENT)]


def test_repeats_do_not_hold_a_row_open() -> None:
    node = lock_of()

    told = [
        frame
        for late_ms in range(0, 400, 50)
        for frame in node.heard(updated("currentMode", 255), NOW_MS + late_ms)
    ]

    assert states(told) == [(None, "moving", Provenance.OPTIMISTIC)]


def test_frames_are_of_the_time_at_which_their_row_began() -> None:
    node = lock_of()

    node.heard(updated("currentMode", 255), NOW_MS + 7)

    assert [frame.received_at_ms for frame in node.settled()] == [NOW_MS + 7]


def test_a_mode_that_is_removed_is_unknown() -> None:
    node = lock_of()
    event = updated("currentMode", None) | {"event": "value removed"}
    del event["args"]["newValue"]

    frames = node.heard(event, NOW_MS) + node.settled()

    assert states(frames) == [(None, "no_report", Provenance.OPTIMISTIC)]


def test_a_slot_that_an_interview_forgot_is_unknown() -> None:
    node = Node("ws/2")
    slots = [
        {"commandClass": 99, "property": "userIdStatus", "propertyKey": n, "value": 1}
        for n in (1, 2)
    ]
    node.remembered({"values": slots}, NOW_MS)

    (frame,) = node.heard({"event": "ready", "nodeState": {"values": slots[:1]}}, NOW_MS)

    told = {f.axis: (f.value, f.reason) for f in codec.decode(frame) if isinstance(f, Reading)}
    assert told == {
        "credential.1.status": ("OccupiedEnabled", None),
        "credential.2.status": (None, "no_report"),
    }


def jam(node: Node, value: int, at_ms: int) -> list[tuple[str, object, str | None]]:
    args = {"commandClass": 113, "endpoint": 0, "property": "Access Control"}
    args |= {"propertyKey": "Lock state", "newValue": value}
    frames = node.heard({"event": "value updated", "args": args}, at_ms)
    return [
        (fact.axis, fact.value, fact.reason)
        for frame in frames
        for fact in codec.decode(frame)
        if isinstance(fact, Reading)
    ]


def test_a_jam_that_a_timer_ends_is_unknown_and_one_that_the_lock_ends_is_over() -> None:
    for age_ms, end in (
        (20_000, ("fault", "None", None)),
        (300_010, ("fault", None, "idle_by_timer")),
        (900_000, ("fault", "None", None)),
    ):
        node = lock_of()
        began = jam(node, 11, NOW_MS)

        assert ("lock_state", None, "jammed") in began
        assert ("fault", "LockJammed", None) in began
        assert jam(node, 0, NOW_MS + age_ms) == [end]


def test_a_jam_stands_in_each_report_until_the_bolt_is_out_or_somebody_operated_it() -> None:
    def fault(node: Node, mode: int) -> object:
        frames = [
            f for name in REPORT for f in node.heard(updated(name, values(mode)[name]), NOW_MS)
        ]
        facts = [fact for frame in frames for fact in codec.decode(frame)]
        return next(f.value for f in facts if isinstance(f, Reading) and f.axis == "fault")

    node = lock_of()
    jam(node, 11, NOW_MS)

    assert fault(node, 0) == "LockJammed"
    assert fault(node, 255) == "None"
    assert fault(node, 0) == "None"
    jam(node, 11, NOW_MS)
    node.heard(notified(2), NOW_MS)
    assert fault(node, 0) == "None"


def test_what_an_asleep_or_dead_node_last_said_is_cached() -> None:
    for status, reach in ((1, "Sleeping"), (3, "Offline")):
        node = Node("ws/2")
        told = [{"commandClass": 98, "property": "currentMode", "value": 255}]

        (frame,) = node.remembered({"status": status, "values": told}, NOW_MS)

        facts = {f.axis: f for f in codec.decode(frame) if isinstance(f, Reading)}
        assert facts["reachability"].value == reach
        assert facts["lock_state"].value == "Locked"
        assert facts["lock_state"].provenance is Provenance.CACHED


def test_other_classes_and_endpoints_make_no_frame() -> None:
    node = lock_of()
    others = [
        {"commandClass": 98, "endpoint": 1, "property": "currentMode", "newValue": 255},
        {"commandClass": 98, "endpoint": 0, "property": "autoRelockTime", "newValue": 5},
        {"commandClass": 99, "property": "userCode", "propertyKey": 1, "newValue": "1"},
        {"commandClass": 113, "endpoint": 0, "property": "alarmType", "newValue": 0},
        {"commandClass": 37, "endpoint": 0, "property": "currentValue", "newValue": True},
    ]  # fmt: skip

    frames = [f for args in others for f in node.heard({"event": "value updated", "args": args}, 0)]

    assert frames == []
    assert node.settled() == []
    assert node.heard({"event": "statistics updated", "statistics": {}}, 0) == []


def test_a_frame_holds_json() -> None:
    (frame,) = lock_of().heard({"event": "dead"}, NOW_MS)

    assert frame.source == "ws/2/status"
    assert json.loads(frame.payload) == {"event": {"event": "dead"}}
