"""Documents in which everything is repeated, and lines of a log that quote codes."""

import json

import pytest

from devices.errors import DecodeError
from devices.kinds import HAPPENINGS
from devices.lock import LockOperationType, OperationSource
from devices.reading import Happening, Provenance, Reading
from vendors.api import Frame
from vendors.zigbee2mqtt import actions, bridge, codec, models

LOCK = "0x000d6f0000000510"


def decoded(source: str, told: object, *, retained: bool = False) -> list[Reading | Happening]:
    payload = told if isinstance(told, bytes) else json.dumps(told).encode()
    return list(codec.decode(Frame(f"lock/{LOCK}/{source}", payload, 0, retained)))


def axes(source: str, told: object, *, retained: bool = False) -> dict[str, tuple[object, str]]:
    facts = decoded(source, told, retained=retained)
    return {f.axis: (f.value, f.provenance) for f in facts if isinstance(f, Reading)}


@pytest.mark.parametrize("state", ["UNLOCK", "UNLOCKED"])
@pytest.mark.parametrize("lock_state", [None, "absent", "locked", "unlatched", 2, "", "UNLOCKED"])
def test_unlock_is_unlocked_only_with_its_lock_state(state: str, lock_state: object) -> None:
    told = {"state": state} | ({} if lock_state == "absent" else {"lock_state": lock_state})

    assert codec.bolt(told)[1] is None
    assert codec.bolt(told)[2]


@pytest.mark.parametrize("how", ["report", "poll", "cached"])
def test_a_part_is_read_in_the_way_that_the_adapter_names(how: str) -> None:
    told = {"state": "LOCK", "lock_state": "locked", "battery": 50}

    found = axes(f"state?bolt={how}", told)

    assert found["lock_state"] == ("Locked", Provenance(how))
    assert "battery_pct" not in found
    assert ("reachability" in found) == (how != "cached")


def test_a_part_that_is_not_named_says_nothing() -> None:
    assert decoded("state", {"state": "LOCK", "lock_state": "locked", "battery": 50}) == []


def test_a_retained_document_is_of_unknown_age_and_tells_of_no_action() -> None:
    told = {"state": "UNLOCK", "lock_state": "unlocked", "action": "manual_unlock"}

    facts = decoded("state?*=cached", told, retained=True)

    assert [(f.axis, f.provenance) for f in facts if isinstance(f, Reading)] == [
        ("lock_state", Provenance.RETAINED)
    ]
    assert not any(isinstance(f, Happening) for f in facts)


@pytest.mark.parametrize("action", sorted(actions.OPERATIONS))
def test_an_operation_moves_no_bolt_and_may_cast_doubt_on_one(action: str) -> None:
    unlocks = actions.OPERATIONS[action][0] is LockOperationType.UNLOCK
    for lock_state, state in (("locked", "LOCK"), ("unlocked", "UNLOCK")):
        found = axes("state", {"state": state, "lock_state": lock_state, "action": action})
        disputed = unlocks == (lock_state == "locked")
        assert found.get("lock_state") == ((None, Provenance.EVENT) if disputed else None)


@pytest.mark.parametrize(
    "action", [*actions.OPERATIONS, *actions.ERRORS, *actions.PROGRAMMING, "unknown", "x", "1 2"]
)
def test_each_action_becomes_a_happening_of_the_tables(action: str) -> None:
    found = actions.read(LOCK, {"action": action, "action_user": 3, "action_source": 0})

    assert found is not None
    spec = HAPPENINGS[found.type]
    assert spec.required.keys() <= found.data.keys() <= (spec.required | spec.optional).keys()


@pytest.mark.parametrize(
    ("told", "source"),
    [
        ({"action_source_name": "indeterminate", "action_source": 4}, OperationSource.UNSPECIFIED),
        ({"action_source": 4}, OperationSource.BIOMETRIC),
        ({"action_source": True}, OperationSource.UNSPECIFIED),
        ({"action_source_name": None, "action_source": 3}, OperationSource.RFID),
        ({}, OperationSource.UNSPECIFIED),
    ],
)
def test_the_name_of_a_source_counts_before_its_number(told: dict, source: str) -> None:
    assert actions.source(told) is source


def test_what_cannot_be_read_is_not_quoted() -> None:
    with pytest.raises(DecodeError) as raised:
        decoded("state", b'{"users":{"3":{"pin_code":"271828"')

    assert "271828" not in str(raised.value)


@pytest.mark.parametrize("source", ["state?bolt", "state?bolt=maybe", "state?=&=", "set", "get"])
def test_a_source_that_the_adapter_does_not_make_says_nothing(source: str) -> None:
    assert decoded(source, {"state": "LOCK", "lock_state": "locked"}) == []


# --- the bridge -------------------------------------------------------------------------------


def listed(**changes: object) -> bytes:
    return json.dumps(
        [*models.OTHERS, {**models.listed(LOCK, "hall/Front Door", models.ASSURE), **changes}]
    ).encode()


def test_a_lock_is_what_exposes_one() -> None:
    assert bridge.locks(listed()) == {
        "hall/Front Door": bridge.Lock(LOCK, "hall/Front Door", has_pins=True)
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"disabled": True},
        {"definition": None},
        {"definition": {"exposes": [{"type": "lock", "features": [{"property": "state_left"}]}]}},
        {"definition": {"exposes": {"type": "lock"}}},
        {"ieee_address": "0x1"},
        {"ieee_address": 7},
        {"friendly_name": None},
    ],
)
def test_what_is_no_lock_or_is_not_heard_is_not_taken(changes: dict[str, object]) -> None:
    assert bridge.locks(listed(**changes)) == {}


@pytest.mark.parametrize("payload", [b"", b"{}", b"[" * 2_000, b"\xff", b'"x"'])
def test_a_list_that_is_none_is_told_from_an_empty_one(payload: bytes) -> None:
    assert bridge.locks(payload) is None
    assert bridge.locks(b"[]") == {}


@pytest.mark.parametrize(
    ("message", "failure"),
    [
        (
            (
                "Publish 'set' 'state' to 'Front Door' failed: 'Error: Command 0x680ae2000000/1"
                ' closuresDoorLock.unlockDoor({"pincodevalue":""}) failed (Error: Timeout - 48024'
                " - 1 - 192 - 257 - 11 after 6000ms)'"
            ),
            ("set", "state", "Front Door", None),
        ),
        (
            (
                "Publish 'set' 'state' to 'a 'b' c' failed: 'Error: 'OFF' not allowed, choose"
                " between: LOCK,UNLOCK,TOGGLE'"
            ),
            ("set", "state", "a 'b' c", "unsupported"),
        ),
        (
            "Publish 'get' 'pin_code' to 'd' failed: 'Error: user must be in range for device'",
            ("get", "pin_code", "d", "invalid_argument"),
        ),
        (
            "Publish 'set' 'pin_code' to 'd' failed: 'Error: … failed (Status 'FAILURE')'",
            ("set", "pin_code", "d", "vendor:failure"),
        ),
        (
            "Publish 'set' 'state' to 'd' failed: 'Error: … failed (Status 'NOT_AUTHORIZED')'",
            ("set", "state", "d", "not_authorized"),
        ),
        (
            "No converter available for 'pin_code' on 'd': ({\"pin_code\":\"271828\"})",
            ("set", "pin_code", "d", "unsupported"),
        ),
    ],
)
def test_a_failure_line_says_what_failed_and_whether_nothing_happened(
    message: str, failure: tuple[str, str, str, str | None]
) -> None:
    line = json.dumps({"level": "error", "message": message, "namespace": "z2m"}).encode()

    assert bridge.failure(line) == failure


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{}", b'{"message":7}', b'{"message":"MQTT publish: topic"}']
)
def test_other_lines_are_no_failures(payload: bytes) -> None:
    assert bridge.failure(payload) is None


@pytest.mark.parametrize(
    "payload",
    [
        b'{"users":{"3":{"status":"enabled","pin_code":"271828"}}}',
        b'{"pin_code": {"user": 3, "pin_code" : 271828}}',
        b'{"state":{"state":"UNLOCK","code":"271828"}}',
        b'{"users":{"3":{"pin_code":"271828',
        b'{"pincodevalue":"27\\"1828271828"}',
    ],
)
def test_no_code_outlives_the_wire(payload: bytes) -> None:
    assert b"271828" not in bridge.without_codes(payload)


def test_a_document_without_its_codes_says_what_it_said() -> None:
    told = {"state": "LOCK", "users": {"3": {"status": "enabled", "pin_code": "1234"}}}

    bare = json.loads(bridge.without_codes(json.dumps(told).encode()))

    assert codec.parts(bare) == codec.parts(told)
