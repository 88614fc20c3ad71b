"""The board's documented oddities, one by one."""

from random import Random

import pytest

from devices.errors import ConfigError
from vendors.ratgdo.opener import Opener
from vendors.ratgdo.simulator import Garage, fleet, gateway_settings
from vendors.sim import Addresses, Effects, FleetSpec, Publish

BASE = "home/garage/Left"
BIRTH_MS = 2_000
READY_MS = BIRTH_MS + 390


def closed_garage() -> Garage:
    """A board that is up, on a closed door, and past its guard."""
    board = next(
        made
        for seed in range(50)
        if (made := Garage("Left", Random(seed))).opener.words()["door"] == "closed"
    )
    board.connected(0)
    board.wake(20_000)
    return board


def said(effects: Effects) -> list[tuple[str, bytes]]:
    return [
        (message.topic.removeprefix(f"{BASE}/status/"), message.payload)
        for message in effects.messages
        if isinstance(message, Publish)
    ]


def order(board: Garage, what: str, word: str, now_ms: int) -> list[tuple[str, bytes]]:
    return said(board.receive(Publish(f"{BASE}/command/{what}", word.encode()), now_ms))


def test_the_birth_is_retained_and_the_will_is_not() -> None:
    board = Garage("Left", Random(1))
    board.connected(0)

    birth = next(
        m for m in board.wake(BIRTH_MS).messages if m.topic == f"{BASE}/status/availability"
    )

    assert (birth.payload, birth.qos, birth.retain) == (b"online", 0, True)
    assert board.session is not None
    assert board.session.will == Publish(
        f"{BASE}/status/availability", b"offline", qos=1, retain=False
    )


def test_it_pauses_then_announces_then_syncs_then_reports() -> None:
    board = Garage("Left", Random(1))

    at_connect = said(board.connected(0))
    at_birth = said(board.wake(BIRTH_MS))
    at_sync = said(board.wake(READY_MS))

    assert at_connect == []
    assert [topic.split("/")[0] for topic, _ in at_birth] == ["homeassistant"] * 4 + [
        "availability"
    ]
    assert {topic for topic, _ in at_sync} == {"door", "light", "lock", "obstruction"}


def test_after_a_reconnect_it_says_nothing_again_but_online() -> None:
    board = closed_garage()
    board.disconnected(30_000)
    board.connected(40_000)

    again = said(board.wake(60_000))

    assert [pair for pair in again if not pair[0].startswith("homeassistant")] == [
        ("availability", b"online")
    ]


def test_what_changed_while_it_was_away_is_told_after_the_reconnect() -> None:
    board = closed_garage()
    board.disconnected(30_000)
    board.act("light_switch", 31_000)
    board.connected(40_000)

    assert ("light", b"on") in said(board.wake(60_000))


def test_a_link_lost_before_the_sync_leaves_nothing_behind() -> None:
    board = Garage("Left", Random(1))
    board.connected(0)
    board.wake(BIRTH_MS)
    board.disconnected(BIRTH_MS + 100)

    assert said(board.wake(10_000)) == []


def test_commands_within_ten_seconds_of_the_birth_are_dropped_until_one_was_accepted() -> None:
    board = closed_garage()
    board.disconnected(30_000)
    board.connected(40_000)
    board.wake(43_000)
    assert order(board, "door", "open", 51_999) == []
    assert order(board, "door", "open", 52_000)[0] == ("door", b"opening")

    # From now on even one that the broker kept is carried out at the reconnect.
    board.wake(100_000)
    board.disconnected(100_000)
    board.connected(110_000)
    board.wake(113_000)
    assert order(board, "door", "close", 113_001) == [("door", b"closing")]


def test_a_query_makes_all_unknown_for_a_moment() -> None:
    board = closed_garage()

    blip = order(board, "anything", "query", 30_000)
    answer = said(board.wake(31_000))

    assert blip == [(what, b"unknown") for what in ("door", "light", "lock", "obstruction")]
    assert answer == [
        ("door", b"closed"),
        ("light", b"off"),
        ("lock", b"unlocked"),
        ("obstruction", b"clear"),
    ]


def test_a_query_that_is_not_answered_leaves_all_unknown_until_it_heals() -> None:
    board = closed_garage()
    board.act("fault:query_lost", 30_000)

    assert len(order(board, "anything", "query", 30_000)) == 4
    assert said(board.wake(60_000)) == []
    assert ("door", b"closed") in said(board.act("heal:query_lost", 61_000))


@pytest.mark.parametrize(
    ("word", "moves"), [("open", True), ("close", False), ("stop", False), ("toggle", True)]
)
def test_a_closed_door_moves_only_to_open_or_toggle(word: str, moves: bool) -> None:
    assert bool(order(closed_garage(), "door", word, 30_000)) is moves


@pytest.mark.parametrize("word", ["OPEN", "open ", "", "lock", "\x00"])
def test_words_it_does_not_know_do_nothing(word: str) -> None:
    assert order(closed_garage(), "door", word, 30_000) == []


def test_a_press_from_half_open_goes_against_the_last_way_whatever_the_word() -> None:
    board = closed_garage()
    order(board, "door", "open", 30_000)
    assert order(board, "door", "stop", 33_000) == [("door", b"stopped")]

    assert order(board, "door", "open", 34_000) == [("door", b"closing")]


def test_from_unknown_both_words_press() -> None:
    for word in ("open", "close"):
        board = closed_garage()
        order(board, "x", "query", 30_000)  # its answer is still to come
        board.receive(Publish(f"{BASE}/command/door", word.encode()), 30_050)
        assert board.opener.words()["door"] == "opening"


def test_a_door_travels_its_time_and_arrives() -> None:
    board = closed_garage()
    order(board, "door", "open", 30_000)
    travel_ms = board.opener.travel_ms

    assert said(board.wake(30_000 + travel_ms - 1)) == []
    assert said(board.wake(30_000 + travel_ms)) == [("door", b"open")]


def test_something_in_the_beam_turns_a_closing_door_and_keeps_an_open_one_from_closing() -> None:
    board = closed_garage()
    order(board, "door", "open", 30_000)
    board.wake(60_000)
    order(board, "door", "close", 61_000)

    assert said(board.act("cross_beam", 62_000)) == [
        ("door", b"opening"),
        ("obstruction", b"obstructed"),
    ]
    opener = Opener(Random(1))
    opener.place_ms, opener.last_heading = opener.travel_ms, 1
    opener.block(0)
    opener.press(1)
    assert opener.words()["door"] == "open"


def test_motion_is_told_each_time_and_never_cleared() -> None:
    board = closed_garage()

    first, second = board.act("walk_by", 30_000), board.act("walk_by", 31_000)

    assert said(first) == [("motion", b"detected"), ("light", b"on")]
    assert said(second) == [("motion", b"detected")]


def test_a_false_stop_of_a_closed_door_is_told_as_the_board_tells_it() -> None:
    board = closed_garage()

    blip = board.act("fault:false_stop", 30_000)

    assert said(blip) == [("door", b"stopped")]
    assert said(board.wake(40_000)) == [("door", b"closed")]
    assert board.opener.words()["door"] == "closed"


def test_a_dead_client_tells_all_anew_after_its_reboot() -> None:
    board = closed_garage()
    board.act("fault:mqtt_dead", 30_000)
    assert said(board.act("wall_button", 31_000)) == []
    board.wake(60_000)

    board.act("heal:mqtt_dead", 61_000)
    assert ("door", b"open") in said(board.wake(70_000))


def test_options_are_checked_and_the_prefix_is_the_boards() -> None:
    with pytest.raises(ConfigError, match="only topic_prefix"):
        fleet(FleetSpec(1, "x", 0, {"colour": "red"}), lambda _: Random(1))

    spec = FleetSpec(2, "g", 0, {"topic_prefix": "/home/garage"})
    boards = fleet(spec, lambda _: Random(1))
    assert [board.name for board in boards] == ["g-0001", "g-0002"]
    assert boards[0].session.subscriptions == (("/home/garageg-0001/command/#", 0),)
    assert gateway_settings(spec, Addresses("mqtt://b")) == {
        "url": "mqtt://b",
        "prefix": "/home/garage",
    }


def test_an_eye_without_pulses_reads_obstructed_and_the_door_closes_all_the_same() -> None:
    board = closed_garage()

    assert said(board.act("fault:latched_eye", 30_000)) == [("obstruction", b"obstructed")]
    assert ("door", b"opening") in order(board, "door", "open", 31_000)
    board.wake(60_000)
    assert ("door", b"closing") in order(board, "door", "close", 61_000)
    assert ("door", b"closed") in said(board.wake(90_000))
    assert said(board.act("heal:latched_eye", 91_000)) == [("obstruction", b"clear")]
