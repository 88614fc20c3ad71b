"""What is believed of webhooks that nobody signs, and of a status that contradicts one."""

import pytest

from devices.lock import DoorState
from vendors.switchbot import codec, trust
from vendors.switchbot.trust import BELIEVE, BELIEVE_DOOR, HINT, IGNORE, Witness

NOW_MS = 1_767_225_600_000
DOUBT_MS = 600_000


def witness() -> Witness:
    return Witness(age_max_ms=60_000, doubt_ms=DOUBT_MS)


def hook(word: object, at_ms: int | None = NOW_MS, door: object = None) -> codec.Hook:
    return codec.Hook("E1A2B3C4D5E6", "WoLock", "", word, door, 90, at_ms, "", "")


def test_an_unlocking_is_believed_at_once_and_a_locking_is_asked_about() -> None:
    assert witness().heard(hook("UNLOCKED"), NOW_MS, None) == BELIEVE
    assert witness().heard(hook("JAMMED"), NOW_MS, None) == BELIEVE
    assert witness().heard(hook("LOCKED"), NOW_MS, None) == BELIEVE_DOOR


@pytest.mark.parametrize("word", ["LOCKED", "locked", "lock"])
def test_no_webhook_whatever_its_spelling_makes_a_lock_locked(word: str) -> None:
    for door in (None, "OPENED", "CLOSED"):
        for known in (None, DoorState.DOOR_OPEN, DoorState.DOOR_CLOSED):
            verdict = witness().heard(hook(word, door=door), NOW_MS, known)
            assert verdict.frame != "lock"
            assert verdict.ask


def test_what_moves_the_door_vouches_for_nothing_else() -> None:
    told = hook("UNLOCKED", door="OPENED")

    assert witness().heard(told, NOW_MS, DoorState.DOOR_CLOSED) == BELIEVE_DOOR
    assert witness().heard(told, NOW_MS, DoorState.DOOR_OPEN) == BELIEVE
    assert witness().heard(told, NOW_MS, None) == BELIEVE


@pytest.mark.parametrize("at_ms", [None, 123_456_789, NOW_MS - 60_001, NOW_MS + 10_001], ids=str)
def test_a_webhook_without_a_time_of_the_present_is_a_hint_however_often_it_comes(
    at_ms: int | None,
) -> None:
    seen = witness()

    assert [seen.heard(hook("UNLOCKED", at_ms), NOW_MS, None) for _ in range(3)] == [HINT] * 3
    assert seen.unlocked_ms == 0


def test_what_is_no_younger_than_what_we_know_moves_nothing() -> None:
    seen = witness()
    seen.answered(NOW_MS - 5_000, "Locked")

    assert seen.heard(hook("UNLOCKED", NOW_MS - 5_000), NOW_MS, None) == HINT
    assert seen.heard(hook("UNLOCKED", NOW_MS - 4_000), NOW_MS, None) == BELIEVE
    assert seen.heard(hook("JAMMED", NOW_MS - 4_500), NOW_MS, None) == HINT


def test_the_second_copy_is_nothing() -> None:
    seen = witness()

    assert seen.heard(hook("UNLOCKED"), NOW_MS, None) == BELIEVE
    assert seen.heard(hook("UNLOCKED"), NOW_MS + 3_000, None) == IGNORE


def test_locked_after_an_unlocking_is_early_then_a_contradiction_until_it_is_old() -> None:
    seen = witness()
    seen.heard(hook("UNLOCKED"), NOW_MS, None)

    assert seen.answered(NOW_MS + 500, "Locked") == "early"
    assert seen.answered(NOW_MS + 4_999, "Locked") == "early"
    assert seen.answered(NOW_MS + 5_000, "Locked") == "doubt"
    assert seen.answered(NOW_MS + DOUBT_MS - 1, "Locked") == "doubt"
    assert seen.answered(NOW_MS + DOUBT_MS, "Locked") == "status"
    assert seen.answered(NOW_MS + DOUBT_MS + 1, "Locked") == "status"


@pytest.mark.parametrize("state", ["Unlocked", "NotFullyLocked", ""])
def test_a_status_that_follows_the_unlocking_ends_the_doubt(state: str) -> None:
    seen = witness()
    seen.heard(hook("UNLOCKED"), NOW_MS, None)

    assert seen.answered(NOW_MS + 500, state) == "status"
    assert seen.answered(NOW_MS + 9_000, "Locked") == "status"


def test_a_word_that_nobody_knows_ends_no_doubt() -> None:
    seen = witness()
    seen.heard(hook("UNLOCKED"), NOW_MS, None)

    assert seen.answered(NOW_MS + 500, None) == "status"
    assert seen.answered(NOW_MS + 6_000, "Locked") == "doubt"


def test_who_wants_no_doubt_has_none() -> None:
    seen = Witness(age_max_ms=60_000, doubt_ms=0)
    seen.heard(hook("UNLOCKED"), NOW_MS, None)

    assert seen.answered(NOW_MS + 500, "Locked") == "status"


def test_a_reported_locking_ends_the_doubt_even_if_a_status_overtook_it() -> None:
    seen = witness()
    seen.heard(hook("UNLOCKED"), NOW_MS, None)

    assert seen.answered(NOW_MS + 500, "Locked") == "early"
    assert seen.heard(hook("LOCKED", NOW_MS + 400), NOW_MS + 1_600, None) == HINT
    assert seen.answered(NOW_MS + 2_000, "Locked") == "status"


def test_an_unlocking_that_a_stuck_status_overtook_is_not_forgotten() -> None:
    seen = witness()
    seen.answered(NOW_MS + 300, "Locked")

    assert seen.heard(hook("UNLOCKED"), NOW_MS + 900, None) == HINT
    assert seen.answered(NOW_MS + 1_400, "Locked") == "early"
    assert seen.answered(NOW_MS + 7_000, "Locked") == "doubt"


def test_an_unlocking_that_its_own_status_overtook_is_old_news() -> None:
    seen = witness()
    seen.answered(NOW_MS + 300, "Unlocked")

    assert seen.heard(hook("UNLOCKED"), NOW_MS + 900, None) == HINT
    assert seen.answered(NOW_MS + 7_000, "Locked") == "status"


def test_a_doors_event_with_a_stale_locked_in_it_ends_no_doubt() -> None:
    seen = witness()
    seen.heard(hook("UNLOCKED", door="CLOSED"), NOW_MS, DoorState.DOOR_CLOSED)

    told = hook("LOCKED", NOW_MS + 300, door="OPENED")

    assert seen.heard(told, NOW_MS + 400, DoorState.DOOR_CLOSED) == BELIEVE_DOOR
    assert seen.answered(NOW_MS + 6_900, "Locked") == "doubt"


def test_a_vendors_clock_that_is_ahead_hides_no_contradiction() -> None:
    seen = witness()
    seen.heard(hook("UNLOCKED", NOW_MS + 9_000), NOW_MS, None)

    assert seen.answered(NOW_MS + 500, "Locked") == "early"
    assert seen.answered(NOW_MS + 5_500, "Locked") == "doubt"


def test_the_recorded_bounce_ends_with_nobody_saying_locked() -> None:
    """hsakoh/switchbot-mqtt#90: UNLOCKED, LOCKED 0.87 s later, and the door stays unlocked."""
    seen = witness()
    first = hook("UNLOCKED", 1_753_345_698_947)
    second = hook("LOCKED", 1_753_345_699_818)

    verdicts = [seen.heard(each, 1_753_345_700_000, None).frame for each in (first, second)]

    assert verdicts == ["lock", "door"]
    assert seen.answered(1_753_345_700_500, "Unlocked") == "status"


def test_every_verdict_but_a_copys_has_the_lock_asked() -> None:
    verdicts = [value for value in vars(trust).values() if isinstance(value, trust.Verdict)]

    assert [verdict for verdict in verdicts if not verdict.ask] == [IGNORE]
