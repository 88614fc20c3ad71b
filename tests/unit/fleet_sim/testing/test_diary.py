"""What is true of a device, while it happens."""

import threading

import pytest

from devices.reading import Value
from fleet_sim.testing.diary import Diary
from vendors.sim import Effects, Truth


def effects(key: str, value: Value, *, sent: bool = True) -> Effects:
    return Effects((), (Truth("a", key, value, 0, sent),))


def test_it_knows_the_present_state_and_no_happening() -> None:
    diary = Diary()
    diary.note(1, "nuki/a", 1, "connected", effects("lock_state", "Locked"))
    diary.note(2, "nuki/a", 2, "leave", effects("lock_state", "Unlocked", sent=False))
    diary.note(3, "nuki/a", 3, "wake", effects("lock.operation", None))

    assert diary.state("nuki/a") == {"lock_state": "Unlocked"}
    assert diary.state("nuki/b") == {}


def test_it_remembers_deeds_and_not_what_the_wire_does_by_itself() -> None:
    diary = Diary()
    for number, did in enumerate(("connected", "leave", "wake", "fault:mqtt_dead"), start=1):
        diary.note(number, "nuki/a", number, did, Effects())

    assert list(diary.deeds) == ["nuki/a leave", "nuki/a fault:mqtt_dead"]


def test_it_knows_who_has_told_anything() -> None:
    diary = Diary()
    diary.note(1, "nuki/a", 1, "connected", effects("lock_state", "Locked", sent=False))
    assert not diary.has_told("nuki/a")

    diary.note(2, "nuki/a", 2, "wake", effects("lock_state", "Locked"))

    assert diary.has_told("nuki/a")


def test_one_can_wait_until_it_is_so() -> None:
    diary = Diary()
    unlocked = effects("lock_state", "Unlocked")
    timer = threading.Timer(0.05, diary.note, (1, "nuki/a", 1, "leave", unlocked))
    timer.start()

    diary.wait("nuki/a", {"lock_state": "Unlocked"}, 5, lambda: None)
    timer.join()


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (None, "nuki/a did not become motion=Idle within 0 s; it is motion=None, of lock_state"),
        ("it went", "nuki/a did not become motion=Idle any more: it went; it is motion=None"),
    ],
)
def test_what_did_not_become_so_is_told_with_how_it_is(trouble: str | None, said: str) -> None:
    diary = Diary()
    diary.note(1, "nuki/a", 1, "connected", effects("lock_state", "Locked"))

    with pytest.raises(AssertionError, match=said):
        diary.wait("nuki/a", {"motion": "Idle"}, 60 if trouble else 0, lambda: trouble)
