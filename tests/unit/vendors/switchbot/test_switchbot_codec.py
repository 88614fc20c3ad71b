"""Words, replies and webhooks, one by one."""

import json
from typing import Any

import pytest

from devices.errors import DecodeError
from devices.reading import Happening, Provenance, Reading, Value
from vendors.api import Frame
from vendors.switchbot import codec
from vendors.switchbot.signing import signed

NOW_MS = 1_767_225_600_000
LOCK = "E1A2B3C4D5E6"
BODY: dict[str, Any] = {
    "deviceId": LOCK,
    "deviceType": "Smart Lock Pro",
    "hubDeviceId": "C0D5AA000001",
    "battery": 90,
    "version": "V4.2",
    "lockState": "locked",
    "doorState": "closed",
    "calibrate": True,
}


def reply(code: int = 100, **changes: Any) -> bytes:
    body = {name: value for name, value in {**BODY, **changes}.items() if value is not ...}
    return json.dumps({"statusCode": code, "body": body, "message": "success"}).encode()


def read(source: str, payload: bytes) -> dict[str, tuple[Value, str | None]]:
    facts = codec.decode(Frame(source, payload, NOW_MS))
    return {fact.axis: (fact.value, fact.reason) for fact in facts if isinstance(fact, Reading)}


def hook(**context: Any) -> bytes:
    context = {"deviceMac": LOCK, "deviceType": "WoLockPro", "timeOfSample": NOW_MS, **context}
    return json.dumps({"eventType": "changeReport", "context": context}).encode()


@pytest.mark.parametrize(
    ("word", "lock_state", "motion", "fault"),
    [
        ("lock", "Locked", "Idle", "None"),
        ("locked", "Locked", "Idle", "None"),
        ("LOCKED", "Locked", "Idle", "None"),
        ("unlock", "Unlocked", "Idle", "None"),
        ("unlocked", "Unlocked", "Idle", "None"),
        ("UNLOCKED", "Unlocked", "Idle", "None"),
        ("latchBoltLocked", "Unlocked", "Idle", "None"),
        ("halfLocked", "NotFullyLocked", "Idle", "None"),
        ("locking", None, "Locking", "None"),
        ("unlocking", None, "Unlocking", "None"),
        ("jammed", None, "Idle", "LockJammed"),
        ("JAMMED", None, "Idle", "LockJammed"),
        ("Locked", None, None, None),
        ("LOCK", None, None, None),
        ("deadlocked", None, None, None),
        ("", None, None, None),
        (None, None, None, None),
        (1, None, None, None),
        (["locked"], None, None, None),
    ],
    ids=str,
)
def test_each_word_of_the_bolt(
    word: object, lock_state: Value, motion: Value, fault: Value
) -> None:
    found = read(f"http/{LOCK}/status", reply(lockState=word))

    assert [found[axis][0] for axis in ("lock_state", "motion", "fault")] == [
        lock_state,
        motion,
        fault,
    ]
    assert all(value is not None or reason for value, reason in found.values())


def test_a_status_says_what_it_says_and_that_the_lock_is_there() -> None:
    facts = codec.decode(Frame(f"http/{LOCK}/status", reply(), NOW_MS))

    assert {(fact.axis, fact.value) for fact in facts if isinstance(fact, Reading)} == {
        ("reachability", "Online"),
        ("lock_state", "Locked"),
        ("motion", "Idle"),
        ("fault", "None"),
        ("door_state", "DoorClosed"),
        ("power_level", "OK"),
        ("battery_pct", 90),
    }
    assert {fact.provenance for fact in facts if isinstance(fact, Reading)} == {Provenance.POLL}


@pytest.mark.parametrize("word", ["lock", "unlock", "jammed"])
def test_an_uncalibrated_locks_state_is_nobodys(word: str) -> None:
    found = read(f"http/{LOCK}/status", reply(lockState=word, calibrate=False))

    assert found["lock_state"] == (None, "uncalibrated")
    assert found["motion"] == (None, "uncalibrated")
    assert found["fault"] == ("NotCalibrated", None)


def test_a_doubted_status_says_nothing_of_the_bolt_and_all_of_the_rest() -> None:
    found = read(f"http/{LOCK}/doubt", reply())

    assert found["lock_state"] == found["motion"] == found["fault"] == (None, "contradictory")
    assert found["door_state"] == ("DoorClosed", None)


def test_an_early_status_says_nothing_of_the_bolt_not_even_that_it_is_unknown() -> None:
    found = read(f"http/{LOCK}/early", reply())

    assert found.keys() == {"reachability", "door_state", "power_level", "battery_pct"}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("open", "DoorOpen"),
        ("opened", "DoorOpen"),
        ("OPENED", "DoorOpen"),
        ("close", "DoorClosed"),
        ("closed", "DoorClosed"),
        ("CLOSED", "DoorClosed"),
        ("CLOSE", None),
        ("timeOutNotClose", None),
        (0, None),
        (..., None),
    ],
    ids=str,
)
def test_each_word_of_the_door(word: object, value: Value) -> None:
    assert read(f"http/{LOCK}/status", reply(doorState=word))["door_state"][0] == value


@pytest.mark.parametrize(
    ("device_type", "battery", "level", "percent"),
    [
        ("Smart Lock Pro", 100, "OK", 100),
        ("Smart Lock Pro", 20, "OK", 20),
        ("Smart Lock Pro", 19, "Warning", 19),
        ("Smart Lock Pro", 9, "Critical", 9),
        ("Smart Lock Pro", 0, "Critical", 0),
        ("Smart Lock", 100, "OK", "untold"),
        ("Smart Lock", 60, "OK", "untold"),
        ("Smart Lock", 20, "Warning", "untold"),
        ("Smart Lock", 10, "Critical", "untold"),
        ("Smart Lock Pro", 101, None, None),
        ("Smart Lock Pro", -1, None, None),
        ("Smart Lock Pro", 255, None, None),
        ("Smart Lock Pro", True, None, None),
        ("Smart Lock Pro", "90", None, None),
        ("Smart Lock Pro", ..., "untold", "untold"),
    ],
    ids=str,
)
def test_four_steps_are_a_level_and_no_percentage(
    device_type: str, battery: object, level: Value, percent: Value
) -> None:
    found = read(f"http/{LOCK}/status", reply(deviceType=device_type, battery=battery))

    assert found.get("power_level", ("untold", None))[0] == level
    assert found.get("battery_pct", ("untold", None))[0] == percent


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (161, ("Offline", None)),
        (171, ("Offline", None)),
        (190, (None, "vendor:190")),
        (152, (None, "vendor:152")),
        (300, (None, "vendor:300")),
        (-1, (None, "vendor:-1")),
    ],
)
def test_a_code_that_is_no_success_tells_of_the_way_to_the_lock_only(
    code: int, told: tuple[Value, str | None]
) -> None:
    assert read(f"http/{LOCK}/status", reply(code)) == {"reachability": told}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"Too Many Requests",
        b"{}",
        b'{"statusCode":true,"body":{}}',
        b'{"statusCode":"100","body":{}}',
        b'{"statusCode":100,"body":null}',
        b'{"statusCode":100,"body":[]}',
        b"[" * 5_000,
        b'{"statusCode":100,"body":{}}' + b" " * 70_000,
        json.dumps({"statusCode": 100, "body": {"deviceId": "other"}}).encode(),
    ],
)
def test_what_is_no_status_of_this_lock_is_refused(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.decode(Frame(f"http/{LOCK}/status", payload, NOW_MS))


@pytest.mark.parametrize(
    ("status", "value"),
    [("normal", "OccupiedEnabled"), ("expired", "OccupiedDisabled"), ("odd", None), (None, None)],
)
def test_a_slot_is_the_passcode_of_its_name(status: object, value: Value) -> None:
    keys = [
        {"id": 1, "name": "Guest", "status": "normal"},
        {"id": 2, "name": "doorfleet 1", "status": status},
    ]
    found = read(f"http/{LOCK}/keys/2", json.dumps({"keyList": keys}).encode())

    assert found["credential.1.status"][0] == value
    assert found["credential.2.status"] == ("Available", None)


def test_a_name_that_is_there_twice_or_a_list_that_is_none_is_unknown() -> None:
    twice = {"keyList": [{"name": "doorfleet 1", "status": "normal"}] * 2}

    found = read(f"http/{LOCK}/keys/1", json.dumps(twice).encode())
    none = read(f"http/{LOCK}/keys/1", b'{"keyList":null}')

    assert found["credential.1.status"] == (None, "contradictory")
    assert none["credential.1.status"] == (None, "no_report")


def test_a_device_list_gives_locks_with_their_keypads_and_no_secret() -> None:
    entries = [
        {"deviceId": "HUB1", "deviceType": "Hub Mini"},
        {"deviceId": LOCK, "deviceType": "Smart Lock Pro"},
        {
            "deviceId": "KEYPAD",
            "deviceType": "Keypad Touch",
            "lockDeviceId": LOCK,
            "keyList": [
                {"id": 7, "name": "doorfleet 1", "status": "normal", "password": "s3cr", "iv": "00"}
            ],
        },
        {"deviceId": "no id !", "deviceType": "Smart Lock"},
        "nonsense",
    ]
    body = {"deviceList": entries, "infraredRemoteList": []}

    found = codec.listed(json.dumps({"statusCode": 100, "body": body}).encode())

    assert list(found) == [LOCK]
    assert found[LOCK].keypad == "KEYPAD"
    assert codec.key_ids(found[LOCK].keys) == {"doorfleet 1": "7"}
    assert b"s3cr" not in found[LOCK].keys
    assert b"password" not in found[LOCK].keys


@pytest.mark.parametrize("payload", [b"", b'{"statusCode":190,"body":{}}', b'{"statusCode":100}'])
def test_no_list_is_no_list(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.listed(payload)


def test_a_believed_webhook_tells_of_bolt_and_door_with_its_own_time() -> None:
    facts = codec.decode(
        Frame(f"hook/{LOCK}/lock", hook(lockState="UNLOCKED", doorState="CLOSED"), NOW_MS)
    )

    readings = [fact for fact in facts if isinstance(fact, Reading)]
    assert {(r.axis, r.value) for r in readings} == {
        ("lock_state", "Unlocked"),
        ("motion", "Idle"),
        ("fault", "None"),
        ("door_state", "DoorClosed"),
    }
    assert {(r.provenance, r.observed_at_ms) for r in readings} == {(Provenance.REPORT, NOW_MS)}


def test_a_webhook_that_is_a_hint_tells_of_the_door_only() -> None:
    payload = hook(lockState="LOCKED", doorState="OPENED", battery=72)

    assert read(f"hook/{LOCK}/door", payload) == {
        "door_state": ("DoorOpen", None),
        "power_level": ("OK", None),
        "battery_pct": (72, None),
    }


@pytest.mark.parametrize("device_type", ["", "WoLock", None])
def test_battery_in_a_webhook_is_nothing_where_steps_and_percentages_were_both_seen(
    device_type: object,
) -> None:
    payload = hook(lockState="LOCKED", battery=95, deviceType=device_type)

    assert read(f"hook/{LOCK}/door", payload) == {}


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b'{"eventType":"changeReport"}',
        b'{"eventType":"changeReport","context":{}}',
        b'{"eventType":"other","context":{"deviceMac":"E1"}}',
        b'{"eventType":"changeReport","context":{"deviceMac":"../../x"}}',
        b"\xff",
    ],
)
def test_what_is_no_webhook_is_refused(payload: bytes) -> None:
    for source in ("hook", f"hook/{LOCK}/lock", f"hook/{LOCK}/door", f"hook/{LOCK}/key"):
        with pytest.raises(DecodeError):
            codec.decode(Frame(source, payload, NOW_MS))


def test_a_webhook_of_another_lock_is_refused() -> None:
    with pytest.raises(DecodeError):
        codec.decode(Frame("hook/F00D00000001/lock", hook(lockState="UNLOCKED"), NOW_MS))


@pytest.mark.parametrize(
    ("event", "result", "operation"),
    [
        ("createKey", "success", "Add"),
        ("deleteKey ", "success", "Clear"),
        ("deleteKey", "success", "Clear"),
        ("createKey", "failed", None),
        ("createKey", "timeout", None),
        ("renameKey", "success", None),
    ],
)
def test_a_keypads_webhook_tells_of_what_succeeded(
    event: str, result: str, operation: str | None
) -> None:
    payload = hook(eventName=event, result=result, commandId="CMD-1663558451952-01")

    facts = codec.decode(Frame(f"hook/{LOCK}/key", payload, NOW_MS))

    if operation is None:
        assert facts == ()
        return
    assert facts == (
        Happening(
            LOCK,
            "credential.changed",
            {"operation": operation, "detail": "CMD-1663558451952-01"},
            NOW_MS,
        ),
    )


def test_the_two_spellings_of_a_commands_id_are_one() -> None:
    assert codec.command_key("CMD-1663558451952-01") == codec.command_key("CMD166355845195201")


def test_silence_and_its_reasons_are_the_adapters_own_words() -> None:
    assert read(f"http/{LOCK}/silent", b"") == {"reachability": ("Offline", None)}
    assert read(f"http/{LOCK}/unseen", b"rate_limited") == {"reachability": (None, "rate_limited")}
    for what, payload in (("silent", b"x"), ("unseen", b""), ("unseen", b"Not A Word")):
        with pytest.raises(DecodeError):
            codec.decode(Frame(f"http/{LOCK}/{what}", payload, NOW_MS))


def test_a_signature_is_the_hmac_of_token_time_and_nonce() -> None:
    """Computed beside our code: `openssl dgst -sha256 -hmac S` over T, t and nonce."""
    headers = signed("T", "S", NOW_MS, 0)

    assert headers["nonce"] == "00000000-0000-4000-8000-000000000000"
    assert headers["t"] == "1767225600000"
    assert headers["Authorization"] == "T"
    assert headers["sign"] == "NrZSn72tEfFsdVleuQsrjcr4UrhDiqmFHE7rcUuhIUM="


@pytest.mark.parametrize(
    ("entries", "gone"),
    [
        ([{"deviceId": LOCK, "deviceType": "Smart Lock Pro"}], ["OTHER"]),
        ([{"deviceId": LOCK, "deviceType": "hovering"}, {"deviceId": "OTHER"}], []),
        ([{"deviceId_v2": LOCK, "deviceType": "Smart Lock Pro"}], []),
        ([{"deviceId": LOCK}, {"deviceId": None}], []),
        ([{"deviceId": LOCK}, "nonsense"], []),
        ([], [LOCK, "OTHER"]),
    ],
)
def test_a_list_with_an_entry_that_has_no_id_does_not_say_who_is_gone(
    entries: list[Any], gone: list[str]
) -> None:
    payload = json.dumps({"statusCode": 100, "body": {"deviceList": entries}}).encode()

    assert codec.missing(payload, (LOCK, "OTHER")) == gone


def test_no_list_does_not_say_who_is_gone_either() -> None:
    with pytest.raises(DecodeError):
        codec.missing(b'{"statusCode":190,"body":{}}', (LOCK,))
