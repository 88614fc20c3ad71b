"""Lock objects and webhooks, beyond what the samples show."""

import json
from typing import Any

import pytest

from devices.errors import DecodeError
from devices.reading import FRESH, Provenance, Reading
from vendors.api import Frame
from vendors.tedee import codec

NOW_MS = 1_767_225_600_000
LOCK: dict[str, Any] = {
    "id": 10,
    "isConnected": 1,
    "state": 6,
    "jammed": 0,
    "doorState": 3,
    "batteryLevel": 90,
    "isCharging": 0,
}
STATUS = {"deviceId": 10, "state": 6, "jammed": 0, "doorState": 3}


def lock(**changes: Any) -> dict[str, Reading]:
    payload = json.dumps({**LOCK, **changes}).encode()
    facts = codec.decode(Frame("http/10/lock", payload, NOW_MS))
    return {fact.axis: fact for fact in facts if isinstance(fact, Reading)}


def webhook(name: str, stamp: str = "2026-01-01T00:00:00.250Z", **data: Any) -> bytes:
    return json.dumps({"event": name, "timestamp": stamp, "data": data}).encode()


def test_locked_is_told_by_one_number_without_a_jam_and_by_nothing_else() -> None:
    locked = {
        (state, jammed)
        for state in range(300)
        for jammed in range(4)
        if lock(state=state, jammed=jammed)["lock_state"].value == "Locked"
    }

    assert locked == {(6, 0)}


def test_what_is_unknown_says_why_whatever_the_numbers() -> None:
    for state in range(300):
        for jammed in range(4):
            for axis, reading in lock(state=state, jammed=jammed, doorState=state % 9).items():
                assert (reading.value is None) == (reading.reason is not None), (axis, reading)


def test_halfway_is_not_fully_locked_and_no_jam() -> None:
    found = lock(state=3)

    assert (found["lock_state"].value, found["fault"].value) == ("NotFullyLocked", "None")


def test_what_a_bridge_remembers_of_a_lock_out_of_reach_is_never_fresh() -> None:
    found = lock(isConnected=0)

    assert found.pop("reachability")[2:4] == ("Offline", Provenance.POLL)
    assert {reading.provenance for reading in found.values()} == {Provenance.CACHED}
    assert Provenance.CACHED not in FRESH


def test_a_lock_whose_connection_is_no_flag_is_neither_here_nor_fresh() -> None:
    found = lock(isConnected=7)

    assert (found["reachability"].value, found["reachability"].reason) == (None, "unmapped:7")
    assert found["lock_state"].provenance is Provenance.CACHED


def test_a_webhook_has_the_bridges_own_time() -> None:
    (reading,) = codec.decode(
        Frame(
            "webhook/post", webhook("device-battery-level-changed", deviceId=10, batteryLevel=5), 0
        )
    )

    assert isinstance(reading, Reading)
    assert reading.observed_at_ms == NOW_MS + 250
    assert reading.provenance is Provenance.REPORT


@pytest.mark.parametrize("stamp", ["yesterday", "", "2026-01-01T00:00:00", "9" * 40])
def test_a_time_that_cannot_be_read_makes_the_news_no_less_true(stamp: str) -> None:
    facts = codec.decode(Frame("webhook/post", webhook("lock-status-changed", stamp, **STATUS), 0))

    assert facts[1][2] == "Locked"
    assert facts[1].observed_at_ms is None


@pytest.mark.parametrize("event", sorted({*codec.SILENT_EVENTS, "of-next-years-firmware"}))
def test_events_without_an_axis_of_ours_say_nothing(event: str) -> None:
    assert list(codec.decode(Frame("webhook/post", webhook(event, deviceId=10), 0))) == []


@pytest.mark.parametrize("device", [0, -1, 2**31, True, "10", 1.0, None, [10]])
def test_what_is_no_lock_id_is_refused(device: Any) -> None:
    payload = webhook("lock-status-changed", **{**STATUS, "deviceId": device})

    with pytest.raises(DecodeError, match="deviceId"):
        codec.decode(Frame("webhook/post", payload, 0))


def test_no_event_follows_from_a_motor_that_runs_whoever_is_said_to_have_started_it() -> None:
    payload = webhook("lock-status-changed", **{**STATUS, "state": 5}, source=18, user_id=3)

    facts = codec.decode(Frame("webhook/post", payload, 0))

    assert all(isinstance(fact, Reading) for fact in facts)


def test_text_forms_are_unescaped_and_bounded() -> None:
    pairs = "event=lock-status-changed&timestamp=2023-07-25T14%3A41%3A48.825Z&deviceId=10"
    payload = f"{pairs}&state=2&jammed=0&doorState=2".encode()

    assert codec.decode(Frame("webhook/query", payload, 0))[1][2] == "Unlocked"
    with pytest.raises(DecodeError):
        codec.decode(Frame("webhook/query", payload + b"&x=" + b"y" * 20_000, 0))
    with pytest.raises(DecodeError):
        codec.decode(
            Frame("webhook/query", payload.replace(b"state=2", "state=\uff12".encode()), 0)
        )
