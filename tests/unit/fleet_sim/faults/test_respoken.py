"""One field otherwise: of documents wherever they are carried, and of values by themselves."""

from collections.abc import Callable
from random import Random
from typing import Any

import orjson
import pytest

from fleet_sim.faults import make, respoken
from fleet_sim.faults.fault import Carried
from vendors.http import HttpReply
from vendors.sim import Chance, Publish, Push, Reply, Webhook, WsClose, WsText

DOCUMENT = {"id": 7, "state": "locked", "more": [{"state": "open", "serial": "AB12"}, 3]}
TEXT = orjson.dumps(DOCUMENT)
CHANGES = (respoken.renamed, respoken.estranged, respoken.nullified)
Change = Callable[[Carried, str, Chance], Carried]


def said(message: Carried) -> Any:
    match message:
        case Publish(payload=body) | HttpReply(body=body) | Webhook(body=body):
            return orjson.loads(body)
        case WsText(text=text):
            return orjson.loads(text)
    raise AssertionError(message)


@pytest.mark.parametrize(
    "message",
    [
        Publish("a/b", TEXT, 1, retain=True),
        HttpReply(200, TEXT),
        Webhook("http://192.0.2.1", TEXT),
        WsText("peer", TEXT.decode()),
    ],
    ids=lambda message: type(message).__name__,
)
@pytest.mark.parametrize(
    ("change", "becomes"),
    [
        (respoken.renamed, {"id": 7, "state_v2": "locked", "more": [{"state_v2": "open"}]}),
        (respoken.estranged, {"id": 7, "state": "hovering", "more": [{"state": "hovering"}]}),
        (respoken.nullified, {"id": 7, "state": None, "more": [{"state": None}]}),
    ],
)
def test_every_field_of_the_name_is_otherwise_and_nothing_else(
    message: Carried, change: Change, becomes: dict[str, Any]
) -> None:
    becomes["more"] = [{**becomes["more"][0], "serial": "AB12"}, 3]

    changed = change(message, "state", Random(1))

    assert said(changed) == becomes
    assert type(changed) is type(message)
    assert said(message) == DOCUMENT


@pytest.mark.parametrize("change", CHANGES)
def test_without_a_name_chance_chooses_one_that_suits(change: Change) -> None:
    message = HttpReply(200, TEXT)

    chosen = {orjson.dumps(said(change(message, "", Random(seed)))) for seed in range(40)}

    # `more` holds others, and `id` and `serial` are no words.
    assert len(chosen) == (1 if change is respoken.estranged else 3)
    assert TEXT not in chosen


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "message",
    [
        Reply(b"\x17" * 64),
        Push(b"\x17" * 64, ("192.0.2.1", 60_001)),
        HttpReply(200, b"encrypted"),
        HttpReply(204),
        Webhook("http://192.0.2.1/?state=locked"),
        WsClose("peer"),
        WsText("peer", "{broken"),
        HttpReply(200, b"[]"),
    ],
    ids=str,
)
def test_what_has_neither_names_nor_words_is_the_very_same(
    change: Change, message: Carried
) -> None:
    assert change(message, "", Random(1)) is message


@pytest.mark.parametrize("change", CHANGES)
def test_a_name_that_is_not_there_changes_nothing(change: Change) -> None:
    message = HttpReply(200, TEXT)

    assert change(message, "door", Random(1)) is message


def test_a_value_by_itself_has_its_name_in_its_topic() -> None:
    message = Publish("garage/status/door", b"open", 1, retain=True)

    assert respoken.renamed(message, "", Random(1)) == Publish("garage/status/door_v2", b"open", 1)
    assert respoken.estranged(message, "", Random(1)) == message._replace(payload=b"hovering")
    assert respoken.nullified(message, "", Random(1)) == message._replace(payload=b"null")


@pytest.mark.parametrize("kind", ["renamed_field", "unknown_enum", "null_value"])
def test_what_is_said_otherwise_was_not_said(kind: str) -> None:
    """Nobody owes what such a frame meant, and the device boots in the end."""
    fault = make(kind)

    ((delay_ms, arrived),) = fault.strike(HttpReply(200, TEXT), Random(1))

    assert (delay_ms, fault.veils, fault.reconnect) == (0, True, True)
    assert said(arrived) != DOCUMENT


def test_who_babbles_says_so_often_that_it_says_something_again() -> None:
    fault = make("babbling_idiot", {"babble_per_s": 4})

    assert fault.babble_ms == 250
    assert fault.says_again
    assert not fault.veils
