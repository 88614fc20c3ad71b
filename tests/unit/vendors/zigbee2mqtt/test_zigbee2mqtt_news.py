"""What is new in a document that repeats everything."""

from typing import Any

import pytest

from devices.kinds import LOCK as KIND
from devices.reading import Provenance, Reading
from devices.twin import Twin
from vendors.zigbee2mqtt.news import ACKNOWLEDGED_MS, ANSWER_MS, REPORTED_MS, Heard, Question

OUT = {"state": "LOCK", "lock_state": "locked"}
BACK = {"state": "UNLOCK", "lock_state": "unlocked"}


def twin(**axes: Any) -> Twin:
    found = Twin("d", KIND)
    found.fold([Reading("d", axis, value, Provenance.REPORT) for axis, value in axes.items()], 1)
    return found


def heard(*documents: dict[str, Any]) -> Heard:
    found = Heard()
    for each in documents:
        found.take(each, None, 0)
    return found


def test_only_what_differs_is_news() -> None:
    it = heard({**OUT, "battery": 80, "linkquality": 7})

    assert it.take({**OUT, "battery": 79, "linkquality": 9}, None, 1).how == {"battery": "report"}
    assert it.take({**OUT, "battery": 79, "linkquality": 8}, None, 2).how == {}
    assert it.take({**BACK, "battery": 79}, None, 3).how == {"bolt": "report"}


def test_another_spelling_of_the_same_is_no_news() -> None:
    it = heard(OUT)

    assert it.take({"state": "LOCKED", "lock_state": "locked"}, None, 1).how == {}


def test_the_first_document_is_a_memory() -> None:
    assert Heard().take({**OUT, "battery": 80}, None, 0).how == {
        "bolt": "cached",
        "battery": "cached",
    }


@pytest.mark.parametrize("restarted", [False, True])
def test_a_memory_that_says_what_is_known_adds_nothing(restarted: bool) -> None:
    it = heard(OUT)
    it.gap(restarted=restarted)

    assert it.take(OUT, twin(lock_state="Locked"), 1).how == {}


def test_a_bridge_that_started_does_not_overwrite_what_is_known() -> None:
    it = heard(BACK)
    it.gap(restarted=True)

    news = it.take({**OUT, "battery": 80}, twin(lock_state="Unlocked", battery_pct=70), 1)

    assert news.how == {"bolt": "doubt", "battery": "cached"}
    assert news.doubtful


def test_a_bridge_that_was_only_away_knows_more_than_we_do() -> None:
    it = heard(BACK)
    it.gap(restarted=False)

    assert it.take(OUT, twin(lock_state="Unlocked"), 1).how == {"bolt": "cached"}


def test_a_memory_settles_no_dispute() -> None:
    it, disputed = heard(OUT), twin()
    it.gap(restarted=False)
    disputed.fold([Reading("d", "lock_state", None, Provenance.EVENT, None, "contradictory")], 1)

    assert it.take(OUT, disputed, 1).how == {}


def test_a_question_makes_an_unchanged_document_an_answer() -> None:
    it = heard(OUT)
    it.question = Question("bolt", 100)

    news = it.take({**OUT, "linkquality": 1}, None, 1_000)

    assert news.how == {"bolt": "poll"}
    assert news.answered == Question("bolt", 100)
    assert it.take(OUT, None, 1_100).how == {}


@pytest.mark.parametrize(
    "document",
    [
        {**OUT, "battery": 70},
        {**OUT, "battery": 80, "sound_volume": "low"},
        {**OUT, "battery": 80, "action": "lock"},
        {"battery": 80},
    ],
)
def test_a_document_that_has_another_reason_is_no_answer(document: dict[str, Any]) -> None:
    it = heard({**OUT, "battery": 80})
    it.question = Question("bolt", 100)

    news = it.take(document, None, 1_000)

    assert "bolt" not in news.how
    assert it.question is not None


def test_an_answer_that_comes_too_late_is_none() -> None:
    it = heard(OUT)
    it.question = Question("bolt", 0)

    assert it.take(OUT, None, ANSWER_MS + 1).how == {}


def test_after_an_event_against_the_bolt_what_repeats_the_bolt_settles_nothing() -> None:
    it = heard(OUT)
    it.question = Question("bolt", 100)

    assert it.take({**OUT, "action": "manual_unlock"}, None, 200).doubtful
    assert it.take({**OUT, "linkquality": 1}, None, 300).how == {}  # of the battery, perhaps
    assert not it.may_be_asked(200 + REPORTED_MS - 1)
    assert it.may_be_asked(200 + REPORTED_MS)

    it.question = Question("bolt", 200 + REPORTED_MS)
    assert it.take({**OUT, "linkquality": 2}, None, 3_000).how == {"bolt": "poll"}


def test_an_event_that_goes_with_the_bolt_leaves_a_question_open() -> None:
    it = heard(OUT)
    it.question = Question("bolt", 100)

    assert not it.take({**OUT, "action": "manual_lock"}, None, 200).doubtful
    assert it.take(OUT, None, 300).how == {"bolt": "poll"}


def test_an_event_against_the_bolt_leaves_a_question_about_a_slot_open() -> None:
    users = {"3": {"status": "enabled"}}
    it = heard({**OUT, "users": users})
    it.question = Question("users.3", 100)

    it.take({**OUT, "users": users, "action": "manual_unlock"}, None, 200)

    assert it.take({**OUT, "users": users}, None, 300).how == {"users.3": "poll"}


def test_of_a_slot_only_that_slot_is_an_answer() -> None:
    users = {"3": {"status": "enabled"}, "4": {"status": "available"}}
    it = heard({**OUT, "users": users})
    it.question = Question("users.3", 0)

    assert it.take({**OUT, "users": users}, None, 1).how == {"users.3": "poll"}


def test_with_last_seen_an_acknowledged_command_is_no_answer() -> None:
    it = heard({**OUT, "last_seen": "a"})
    it.set_at_ms = 1_000
    it.question = Question("bolt", 2_000)

    assert it.take({**OUT, "last_seen": "b"}, None, 2_100).how == {}
    assert not it.may_be_asked(1_000 + ACKNOWLEDGED_MS - 1)
    it.question = Question("bolt", 1_000 + ACKNOWLEDGED_MS)
    assert it.take({**OUT, "last_seen": "c"}, None, 13_000).how == {"bolt": "poll"}
