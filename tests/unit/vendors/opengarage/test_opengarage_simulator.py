"""The firmware's oddities, one by one."""

import json
from itertools import pairwise
from random import Random
from typing import Any, Final

import pytest

from devices.errors import ConfigError
from vendors.http import HttpRequest, request_of
from vendors.opengarage import simulator
from vendors.opengarage.opener import Opener
from vendors.sim import Addresses, Effects, FleetSpec, Publish

KEY: Final = "opendoor"
SETTLED_MS: Final = 10_000


def opener_at(word: str, **options: object) -> Opener:
    """An opener whose door is at rest there, ten seconds after power on at 0."""
    for seed in range(60):
        (made,) = simulator.fleet(FleetSpec(1, "og", 0, options), lambda _, seed=seed: Random(seed))
        if made.board.door.word(0) == word:
            power = made.hub.connected if made.hub is not None else made.connected
            power(0)
            made.wake(SETTLED_MS)
            return made
    raise AssertionError(word)


def ask(opener: Opener, target: str, now_ms: int) -> tuple[Any, int]:
    """The answer of an opener that is a server, and how long it takes over it."""
    assert opener.hub is not None
    effects = opener.hub.receive(request_of("GET", f"http://og{target}"), now_ms)
    assert effects.answer is not None
    assert effects.answer.status == 200
    return json.loads(effects.answer.body), effects.answer.delay_ms


def told(effects: Effects) -> list[tuple[str, bytes]]:
    return [(each.topic, each.payload) for each in effects.messages if isinstance(each, Publish)]


def test_its_state_is_open_to_everybody_and_its_fields_are_the_firmwares() -> None:
    state, _ = ask(opener_at("closed"), "/jc", SETTLED_MS)

    assert list(state) == [
        "dist", "secv", "door", "vehicle", "rcnt", "fwv", "has_swrx", "name", "mac", "cid", "rssi",
        "cld",
    ]  # fmt: skip
    assert state["door"] == 0
    assert state["rcnt"] == 4  # looked at 4, 6, 8, 10 s: the buffer was not full before


def test_with_security_plus_it_says_more() -> None:
    two, _ = ask(opener_at("closed", secv=2), "/jc", SETTLED_MS)
    one, _ = ask(opener_at("closed", secv=1), "/jc", SETTLED_MS)

    assert {"light", "lock", "obstruct", "nopenings"} <= two.keys()
    assert one.keys() - two.keys() == {"pemu"}


@pytest.mark.parametrize(
    ("query", "result"),
    [
        (f"dkey={KEY}&click=1", 1),
        (f"dkey={KEY}&open=1", 1),
        (f"dkey={KEY}&close=1", 1),
        (f"dkey={KEY}&light=toggle", 1),
        (f"dkey={KEY}&reboot=1", 1),
        (f"dkey={KEY}", 48),
        ("dkey=wrong&click=1", 2),
        ("click=1", 2),
    ],
)
def test_success_is_said_of_anything_that_it_knows(query: str, result: int) -> None:
    answer, _ = ask(opener_at("closed"), f"/cc?{query}", SETTLED_MS)

    assert answer == {"result": result, "item": ""}


def test_click_goes_before_close_and_close_before_open() -> None:
    opener = opener_at("closed", alarm_s=0)

    ask(opener, f"/cc?dkey={KEY}&open=1&close=1", SETTLED_MS)
    assert opener.board.door.word(SETTLED_MS) == "closed"  # close was tried, and dropped
    ask(opener, f"/cc?dkey={KEY}&close=1&click=1", SETTLED_MS)
    assert opener.board.door.word(SETTLED_MS) == "opening"


def test_what_its_sensor_contradicts_is_accepted_and_dropped() -> None:
    opener = opener_at("closed", alarm_s=0)

    answer, _ = ask(opener, f"/cc?dkey={KEY}&close=1", SETTLED_MS)

    assert answer["result"] == 1
    assert opener.board.door.word(SETTLED_MS + 60_000) == "closed"


@pytest.mark.parametrize(("alarm_s", "after_ms"), [(0, 0), (5, 5_500), (10, 10_500)])
def test_it_presses_after_the_alarm(alarm_s: int, after_ms: int) -> None:
    opener = opener_at("closed", alarm_s=alarm_s)
    ask(opener, f"/cc?dkey={KEY}&open=1", SETTLED_MS)

    opener.wake(SETTLED_MS + after_ms - 1)
    before = opener.board.door.word(SETTLED_MS + after_ms - 1) if after_ms else "closed"
    opener.wake(SETTLED_MS + after_ms)

    assert (before, opener.board.door.word(SETTLED_MS + after_ms + 1)) == ("closed", "opening")


def test_a_second_command_in_the_alarm_begins_it_anew_and_is_one_press() -> None:
    opener = opener_at("closed")
    ask(opener, f"/cc?dkey={KEY}&open=1", SETTLED_MS)
    ask(opener, f"/cc?dkey={KEY}&open=1", SETTLED_MS + 5_000)

    opener.wake(SETTLED_MS + 10_499)
    assert opener.board.door.word(SETTLED_MS + 10_499) == "closed"
    opener.wake(SETTLED_MS + 12_000)
    assert opener.board.door.word(SETTLED_MS + 12_000) == "opening"


def test_after_the_alarm_it_presses_wherever_the_door_is_by_then() -> None:
    opener = opener_at("closed")
    ask(opener, f"/cc?dkey={KEY}&open=1", SETTLED_MS)
    opener.act("wall_button", SETTLED_MS + 3_000)  # somebody was quicker

    opener.wake(SETTLED_MS + 6_000)

    assert opener.board.door.word(SETTLED_MS + 6_000) == "stopped"


def test_while_it_waits_for_its_relay_it_answers_nobody() -> None:
    opener = opener_at("closed", alarm_s=0)
    _, at_once_ms = ask(opener, f"/cc?dkey={KEY}&click=1", SETTLED_MS)

    _, later_ms = ask(opener, "/jc", SETTLED_MS + 300)

    assert (at_once_ms, later_ms) == (0, 700)


def test_a_ceiling_sensor_says_closed_as_soon_as_the_door_leaves_it() -> None:
    opener = opener_at("open", alarm_s=0, secv=0)
    ask(opener, f"/cc?dkey={KEY}&close=1", SETTLED_MS)
    later_ms = SETTLED_MS + 6_000

    state, _ = ask(opener, "/jc", later_ms)

    assert opener.board.door.word(later_ms) == "closing"
    assert state["door"] == 0


def test_without_a_distance_all_stays_as_it_was() -> None:
    opener = opener_at("closed")
    opener.act("fault:zero_distance", SETTLED_MS)
    before, _ = ask(opener, "/jc", SETTLED_MS + 4_000)
    opener.act("wall_button", SETTLED_MS + 4_000)

    after, _ = ask(opener, "/jc", SETTLED_MS + 60_000)

    assert (before["dist"], after["dist"]) == (0, 0)
    assert after["door"] == before["door"] == 0
    assert after["rcnt"] == before["rcnt"]


def test_a_frozen_distance_goes_on_being_read() -> None:
    opener = opener_at("closed")
    opener.act("fault:no_echo", SETTLED_MS)
    before, _ = ask(opener, "/jc", SETTLED_MS)
    opener.act("wall_button", SETTLED_MS)

    after, _ = ask(opener, "/jc", SETTLED_MS + 60_000)

    assert (after["dist"], after["door"]) == (before["dist"], 0)
    assert after["rcnt"] == before["rcnt"] + 30


def test_a_latched_sensor_says_open_until_a_restart_and_then_nothing_for_a_while() -> None:
    opener = opener_at("closed")
    opener.act("fault:latched", SETTLED_MS)
    latched, _ = ask(opener, "/jc", SETTLED_MS + 2_000)
    opener.act("heal:latched", 20_000)
    booting, _ = ask(opener, "/jc", 21_000)
    healed, _ = ask(opener, "/jc", 26_000)

    assert (latched["dist"], latched["door"]) == (20, 1)
    assert (booting["door"], healed["door"]) == (5, 0)


def test_a_reading_of_readings_wraps_at_a_hundred() -> None:
    opener = opener_at("closed")

    reads = [ask(opener, "/jc", SETTLED_MS + 2_000 * n)[0]["rcnt"] for n in (95, 96, 97, 197)]

    assert reads == [99, 0, 1, 1]


def test_time_that_nothing_happens_in_costs_nothing() -> None:
    opener = opener_at("closed")
    opener.wake(60_000)

    assert opener.wake(100_000).wake_at_ms is None
    assert ask(opener, "/jc", 86_400_000)[0]["door"] == 0


def test_a_closed_door_is_a_truth_only_when_it_has_had_the_time_to_be() -> None:
    opener = opener_at("open", secv=0)
    opener.act("wall_button", 20_000)

    places = [
        (truth.value, truth.sent)
        for now_ms in range(20_000, 80_000, 1_000)
        for truth in opener.wake(now_ms).truths
        if truth.key == "position"
    ]

    assert places == [("PartiallyOpened", False), ("FullyClosed", False)]


def test_where_a_door_is_that_the_board_did_not_see_leave_is_nobodys_truth() -> None:
    opener = opener_at("closed", secv=0)
    opener.disconnected(60_000)

    places = [
        truth.value
        for truths in (
            opener.connected(70_000).truths,
            *(opener.wake(now_ms).truths for now_ms in range(71_000, 120_000, 1_000)),
        )
        for truth in truths
        if truth.key == "position"
    ]

    assert places == [None, "FullyClosed"]


# --- over MQTT --------------------------------------------------------------------------------


def mqtt_at(word: str, **options: object) -> Opener:
    return opener_at(word, transport="mqtt", **options)


def play(opener: Opener, from_ms: int, to_ms: int) -> list[tuple[int, str, bytes]]:
    """What it says meanwhile, and when."""
    return [
        (now_ms, topic, payload)
        for now_ms in range(from_ms, to_ms, 500)
        for topic, payload in told(opener.wake(now_ms))
    ]


def test_it_says_that_it_is_there_and_keeps_only_that_on_the_broker() -> None:
    (made,) = simulator.fleet(FleetSpec(1, "og", 0, {"transport": "mqtt"}), lambda _: Random(1))

    effects = made.connected(0)

    assert effects.messages == (Publish("og-0001/OUT/STATUS", b"online", retain=True),)
    assert made.session is not None
    assert made.session.will == Publish("og-0001/OUT/STATUS", b"offline", qos=1, retain=True)
    assert made.session.client_id == "OG_000001"
    assert made.session.subscriptions == (("og-0001", 0), ("og-0001/IN/#", 0))


def test_it_says_everything_every_sixteen_seconds() -> None:
    opener = mqtt_at("closed")
    opener.wake(20_000)

    said = play(opener, 20_000, 90_000)

    times = [at_ms for at_ms, topic, _ in said if topic == "og-0001/OUT/JSON"]
    assert {later - sooner for sooner, later in pairwise(times)} == {16_000}
    assert {(topic, payload) for _, topic, payload in said if "JSON" not in topic} == {
        ("og-0001/OUT/STATE", b"CLOSED"),
        ("og-0001", b"Closed"),
    }


def test_an_event_is_told_at_once_with_security_plus_and_its_state_sixteen_seconds_later() -> None:
    opener = mqtt_at("closed", secv=2, alarm_s=0)
    opener.receive(Publish("og-0001/IN/STATE", b"open"), 20_000)

    said = play(opener, 20_000, 80_000)

    doors = [(at, json.loads(body)["door"]) for at, topic, body in said if "JSON" in topic]
    assert doors[0] == (22_000, 4)
    opened_ms = next(at_ms for at_ms, door in doors if door == 1)
    states = [(at, word) for at, topic, word in said if topic.endswith("/OUT/STATE")]
    assert states[0] == (opened_ms + 16_000, b"OPEN")
    assert (opened_ms, "og-0001/OUT/NOTIFY", b"My OpenGarage just OPENED!") in said


def test_without_security_plus_an_event_takes_two_looks_more() -> None:
    opener = mqtt_at("closed", secv=0, alarm_s=0)
    opener.act("wall_button", 20_000)

    said = play(opener, 20_000, 60_000)

    notice_ms = next(at_ms for at_ms, topic, _ in said if topic.endswith("NOTIFY"))
    flip_ms = min(
        at_ms for at_ms in range(20_000, 60_000, 500) if opener.board.door.overhead(at_ms)
    )
    assert 2_000 <= notice_ms - flip_ms <= 4_000


def test_what_does_not_fit_the_buffer_is_lost_and_the_word_is_not() -> None:
    opener = mqtt_at("closed", secv=2)
    opener.act("fault:climate_sensor", 20_000)
    opener.board.name = "a name of thirty-two letters....."

    topics = {topic for _, topic, _ in play(opener, 20_000, 60_000)}

    assert topics == {"og-0001/OUT/STATE", "og-0001"}


@pytest.mark.parametrize(
    ("topic", "payload", "word"),
    [
        ("og-0001/IN/STATE", b"click", "opening"),
        ("og-0001/IN/STATE", b"open", "opening"),
        ("og-0001/IN/STATE", b"close", "closed"),
        ("og-0001/IN/STATE", b"OPEN", "closed"),
        ("og-0001", b"Button", "opening"),
        ("og-0001/IN/anything", b"Button", "opening"),
        ("og-0001/IN/anything", b"click", "closed"),
        ("og-0001", b"open", "closed"),
    ],
)
def test_a_word_counts_on_its_topic_and_button_on_any(topic, payload, word) -> None:
    opener = mqtt_at("closed", alarm_s=0)

    opener.receive(Publish(topic, payload), 20_000)

    assert opener.board.door.word(20_001) == word


def test_without_a_broker_it_goes_on_and_says_nothing() -> None:
    opener = mqtt_at("closed")
    opener.disconnected(20_000)
    opener.act("wall_button", 21_000)

    assert play(opener, 21_000, 60_000) == []
    assert opener.receive(Publish("og-0001/IN/STATE", b"click"), 60_000).messages == ()
    assert told(opener.connected(61_000)) == [("og-0001/OUT/STATUS", b"online")]


# --- faults -----------------------------------------------------------------------------------


def test_a_changed_key_and_a_deaf_opener() -> None:
    opener = opener_at("closed", alarm_s=0)
    opener.act("fault:key_changed", SETTLED_MS)
    assert ask(opener, f"/cc?dkey={KEY}&open=1", SETTLED_MS)[0]["result"] == 2
    opener.act("heal:key_changed", SETTLED_MS)
    opener.act("fault:deaf", SETTLED_MS)
    assert ask(opener, f"/cc?dkey={KEY}&open=1", SETTLED_MS)[0]["result"] == 1
    assert opener.board.door.word(SETTLED_MS) == "closed"


def test_a_blocked_door_rests_whatever_is_pressed() -> None:
    opener = opener_at("closed", alarm_s=0)
    opener.act("fault:blocked", SETTLED_MS)
    opener.act("wall_button", SETTLED_MS)

    assert opener.board.door.word(SETTLED_MS + 5_000) == "closed"


def test_a_door_that_stops_half_way_is_called_closed() -> None:
    opener = opener_at("open", alarm_s=0, secv=0)
    opener.act("fault:half_way", SETTLED_MS)
    opener.act("wall_button", SETTLED_MS)
    later_ms = SETTLED_MS + 60_000

    assert ask(opener, "/jc", later_ms)[0]["door"] == 0
    assert opener.board.door.word(later_ms) == "stopped"
    opener.act("heal:half_way", later_ms)
    assert opener.board.door.word(later_ms + 60_000) == "stopped"  # nobody pressed


def test_a_port_scan_opens_and_closes_what_did_not_move() -> None:
    opener = opener_at("closed")
    opener.act("fault:port_scan", SETTLED_MS)

    doors = [ask(opener, "/jc", SETTLED_MS + 1_000 * n)[0]["door"] for n in range(120)]

    assert {0, 1} == set(doors)
    assert opener.board.door.word(200_000) == "closed"


def test_half_of_the_calls_wait_for_a_clock() -> None:
    opener = opener_at("closed")
    opener.act("fault:no_internet", SETTLED_MS)

    slow = [ask(opener, "/jc", SETTLED_MS + n)[1] >= 10_000 for n in range(100)]

    assert 30 < sum(slow) < 70


def test_with_security_plus_moving_states_may_be_missing() -> None:
    opener = opener_at("closed", secv=2, alarm_s=0)
    opener.act("fault:no_moving_states", SETTLED_MS)
    ask(opener, f"/cc?dkey={KEY}&open=1", SETTLED_MS)

    doors = {ask(opener, "/jc", SETTLED_MS + 1_000 * n)[0]["door"] for n in range(60)}

    assert doors == {0, 1}


# --- the fleet --------------------------------------------------------------------------------


def test_wrong_options_are_named_all_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        simulator.fleet(
            FleetSpec(1, "og", 0, {"colour": 1, "secv": 3, "sensor": "nose"}), lambda _: Random(1)
        )

    assert len(raised.value.problems) == 3
    assert "colour" in str(raised.value)


def test_a_fleet_has_openers_of_each_kind_and_macs_of_their_own() -> None:
    openers = simulator.fleet(FleetSpec(6, "og", 0, {}), lambda _: Random(1))

    assert [each.board.secv for each in openers] == [0, 2, 1, 0, 2, 1]
    assert len({each.board.mac for each in openers}) == 6


def test_the_settings_of_a_cell_follow_the_transport() -> None:
    at = Addresses("mqtt://b", "", {"og-0001": "http://192.0.2.1"})

    http = simulator.gateway_settings(FleetSpec(1, "og", 0, {}), at)
    mqtt = simulator.gateway_settings(FleetSpec(1, "og", 0, {"transport": "mqtt"}), at)

    common = {"name": "og-0001", "mac": "5C:CF:7F:00:00:01", "sensor": "ceiling"}
    assert http == {"openers": [{**common, "url": "http://192.0.2.1", "key": KEY}]}
    assert mqtt == {"openers": [{**common, "topic": "og-0001"}], "broker": {"url": "mqtt://b"}}


def test_a_page_that_is_not_there_and_a_message_that_is_no_request() -> None:
    opener = opener_at("closed")
    assert opener.hub is not None

    answer = opener.hub.receive(HttpRequest("GET", "/nowhere"), SETTLED_MS).answer

    assert answer is not None
    assert answer.status == 404
    assert opener.hub.receive(Publish("t", b""), SETTLED_MS).answer is None
