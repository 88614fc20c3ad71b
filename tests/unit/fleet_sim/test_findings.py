"""What a run notes for whoever judges it."""

from typing import Any

import orjson

from devices.reading import Value
from fleet_sim.findings import Findings, NotingJournal
from fleet_sim.journal import Journal
from vendors.sim import Effects, Truth

BEGAN_MS = 1_000_000.0


def findings() -> Findings:
    return Findings(BEGAN_MS, ("nuki", "uhppote"))


def told(*truths: tuple[str, Value], at_s: float = 0.0) -> Effects:
    at_ms = int(BEGAN_MS + at_s * 1000)
    return Effects(truths=[Truth("one", key, value, at_ms) for key, value in truths])


def event(vendor: str = "nuki", kind: str = "lock.changed", **data: Any) -> dict[str, Any]:
    return {"type": f"doorfleet.{kind}.v1", "data": {"vendor": vendor, "device": "one", **data}}


def test_an_events_bytes_move_the_digest_of_its_vendor_and_no_others() -> None:
    one, other = findings(), findings()
    for each, payload in ((one, b"a"), (other, b"b")):
        each.event("topic", payload, event(), BEGAN_MS)

    first, second = one.plain()["digests"], other.plain()["digests"]
    assert first["nuki"] != second["nuki"]
    assert first["uhppote"] == second["uhppote"]


def test_health_is_noted_when_it_changes() -> None:
    one = findings()
    for at_s, state in ((1, "up"), (2, "up"), (3, "down"), (4, "up")):
        one.health({"cell": "nuki", "state": state, "reason": ""}, BEGAN_MS + at_s * 1000)

    assert [(each["at_s"], each["state"]) for each in one.plain()["health"]] == [
        (1.0, "up"),
        (3.0, "down"),
        (4.0, "up"),
    ]


def test_the_most_that_ever_waited_is_kept() -> None:
    one = findings()
    for waiting in (3, 9, 4):
        one.snapshot("nuki", {"waiting": waiting, "events": 100})

    assert one.plain()["maxima"]["nuki"] == {"waiting": 9}


def test_a_command_has_when_it_was_asked_for_and_every_result() -> None:
    class Door:
        name = "nuki/one"

    one = findings()
    asked = {"id": "a", "name": "UnlockDoor", "deadline_ms": BEGAN_MS + 9_000}
    one.asked(Door(), orjson.dumps(asked), BEGAN_MS + 2_000)  # type: ignore[arg-type]  # all that is needed
    ended = {
        "command_id": "a",
        "outcome": "succeeded",
        "reason": None,
        "finished_at_ms": BEGAN_MS + 4_000,
    }
    one.event("topic", b"", event(kind="command.finished", **ended), BEGAN_MS + 4_001)

    assert one.plain()["commands"] == [
        {
            "device": "nuki/one",
            "id": "a",
            "asked_s": [2.0],
            "results": [{"at_s": 4.001, "outcome": "succeeded", "reason": None, "finished_s": 4.0}],
            "name": "UnlockDoor",
            "part": "",
            "deadline_s": 9.0,
        }
    ]


def test_only_what_moves_a_door_from_the_hosts_side_is_an_actuation() -> None:
    one = findings()
    journal = NotingJournal(None, one)
    for at_s, did, truths in (
        (1, "received", [("lock_state", "Locked")]),  # the first word on it
        (2, "unlock", [("lock_state", "Unlocked")]),  # somebody at the door
        (3, "received", [("lock_state", "Locked"), ("battery_pct", 80)]),
        (4, "received", [("lock_state", "Locked")]),  # said again
        (5, "hub", [("battery_pct", 70)]),
        (6, "hub", [("door.unlocked", "7-1")]),
    ):
        effects = told(*truths, at_s=at_s)
        assert not journal.note(int(BEGAN_MS) + at_s * 1000, "nuki/one", 1, did, effects)
    found_late = told(("lock_state", "Unlocked"), at_s=7)
    journal.note(int(BEGAN_MS) + 9_000, "nuki/one", 1, "hub", found_late)

    assert one.plain()["actuations"] == [
        {"at_s": 3.0, "device": "nuki/one", "did": "received", "changes": {"lock_state": "Locked"}},
        {"at_s": 6.0, "device": "nuki/one", "did": "hub", "changes": {"door.unlocked": "7-1"}},
    ]


def test_a_journal_that_is_read_along_is_written_as_ever() -> None:
    alone, written = Journal(), Journal()
    read = NotingJournal(written, findings())
    for each in (alone, read):
        assert each.note(5, "nuki/one", 1, "unlock", told(("lock_state", "Unlocked")))

    assert written.close() == alone.close()
