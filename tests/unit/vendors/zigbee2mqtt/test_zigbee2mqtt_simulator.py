"""The simulated bridge and its locks: what they say, and what is true."""

import json
from random import Random
from typing import Any

import pytest

from devices.errors import ConfigError
from vendors.sim import Effects, FleetSpec, HubEffects, Publish
from vendors.zigbee2mqtt import simulator
from vendors.zigbee2mqtt.lock import Lock

START_MS = 1_000


def one(seed: int = 1, **options: Any) -> Lock:
    """A lock whose bridge has started and said what it remembers."""
    lock = simulator.fleet(FleetSpec(1, "zigbee2mqtt", 0, options), lambda _: Random(seed))[0]
    lock.bridge.connected(START_MS)
    lock.bridge.wake(START_MS + 300)
    return lock


def documents(effects: Effects, lock: Lock) -> list[dict[str, Any]]:
    topic = f"zigbee2mqtt/{lock.friendly}"
    return [
        json.loads(message.payload)
        for message in effects.messages
        if isinstance(message, Publish) and message.topic == topic
    ]


def lines(effects: Effects) -> list[str]:
    return [
        json.loads(message.payload)["message"]
        for message in effects.messages
        if isinstance(message, Publish) and message.topic.endswith("/logging")
    ]


def bolts(effects: Effects) -> list[tuple[object, bool]]:
    """What is true of the bolt, and whether it was told for sure."""
    return [(truth.value, truth.sent) for truth in effects.truths if truth.key == "lock_state"]


def run(lock: Lock, until_ms: int = 600_000) -> Effects:
    return lock.wake(until_ms)


def ask(lock: Lock, verb: str, told: object, at_ms: int = 5_000) -> HubEffects:
    payload = told if isinstance(told, bytes) else json.dumps(told).encode()
    return lock.bridge.receive(Publish(f"zigbee2mqtt/{lock.friendly}/{verb}", payload), at_ms)


def held(lock: Lock, word: str) -> Lock:
    """The same lock, told to be so, and quiet."""
    ask(lock, "set", {"state": word}, 2_000)
    run(lock, 4_900)
    return lock


def test_a_document_repeats_everything_but_the_action() -> None:
    lock = held(one(), "LOCK")

    lock.act("turn_by_hand", 5_000)
    event, report = documents(run(lock), lock)
    battery = documents(lock.act("battery", 700_000), lock)[0]

    assert event["action"] == "manual_unlock"
    assert (event["state"], event["lock_state"]) == ("LOCK", "locked")
    assert not any(key.startswith("action") for key in report)
    assert (report["state"], report["lock_state"]) == ("UNLOCK", "unlocked")
    assert {key: battery[key] for key in ("state", "lock_state")} == {
        "state": "UNLOCK",
        "lock_state": "unlocked",
    }


def test_nothing_of_a_lock_is_retained() -> None:
    lock = one()
    said = [
        *ask(lock, "set", {"state": "UNLOCK"}).devices[lock.name].messages,
        *run(lock).messages,
    ]

    assert said
    assert not any(message.retain for message in said if isinstance(message, Publish))


@pytest.mark.parametrize("told", [b"UNLOCK", {"state": "UNLOCK"}, {"state": {"state": "unlock"}}])
def test_a_command_has_no_reply_but_what_the_lock_reports(told: object) -> None:
    lock = held(one(), "LOCK")

    assert documents(ask(lock, "set", told).devices[lock.name], lock) == []
    assert [each["state"] for each in documents(run(lock), lock)] == ["LOCK", "UNLOCK"]


def test_a_lock_listens_to_its_address_too() -> None:
    lock = held(one(), "LOCK")
    topic = f"zigbee2mqtt/{lock.name}/set/state"

    lock.bridge.receive(Publish(topic, b"UNLOCK"), 5_000)

    assert documents(run(lock), lock)[-1]["state"] == "UNLOCK"


@pytest.mark.parametrize(
    ("verb", "told", "said"),
    [
        ("set", {"state": "ON"}, "'ON' not allowed, choose between: LOCK,UNLOCK,TOGGLE"),
        ("set", {"pin_code": {"user": 999, "pin_code": 1}}, "user must be in range for device"),
        ("set", {"colour": "red"}, "No converter available for 'colour'"),
        ("set", b"open sesame", "Invalid message"),
    ],
)
def test_a_wrong_command_is_a_line_of_the_log(verb: str, told: object, said: str) -> None:
    lock = one()

    (line,) = lines(ask(lock, verb, told).devices[lock.name])

    assert said in line


def test_the_same_line_is_not_said_twice_in_a_row() -> None:
    lock = one()

    assert lines(ask(lock, "set", {"state": "ON"}).devices[lock.name])
    assert lines(ask(lock, "set", {"state": "ON"}).devices[lock.name]) == []


def test_a_code_is_told_only_if_the_owner_wants_that() -> None:
    for expose in (False, True):
        lock = one(expose_pin=expose)
        ask(lock, "set", {"pin_code": {"user": 3, "pin_code": "271828"}})
        run(lock, 20_000)
        ask(lock, "get", {"pin_code": {"user": 3}}, 30_000)
        user = documents(run(lock), lock)[-1]["users"]["3"]
        assert user == {"status": "enabled"} | ({"pin_code": "271828"} if expose else {})


def test_a_bridge_that_was_only_away_repeats_nothing() -> None:
    lock = one()
    lock.bridge.disconnected(10_000)

    back = lock.bridge.connected(20_000)

    assert [m.topic for m in back.messages] == ["zigbee2mqtt/bridge/state"]
    assert all(not effects.messages for effects in back.devices.values())
    assert lock.bridge.wake(30_000).devices == {}


def test_an_answer_that_repeats_the_bolt_is_not_told_for_sure() -> None:
    lock = held(one(), "LOCK")
    lock.act("fault:phantom_event", 5_000)
    assert bolts(run(lock, 6_000)) == [(None, True)]

    ask(lock, "get", {"state": ""}, 6_000)

    assert bolts(run(lock, 9_000)) == [("Locked", False)]


@pytest.mark.parametrize(("model", "sure"), [("assure", False), ("c4", True)])
def test_a_first_word_after_a_gap_may_leave_a_dispute_open(model: str, sure: bool) -> None:
    lock = held(one(models=[model]), "LOCK")
    lock.act("turn_by_hand", 5_000)
    run(lock, 9_000)
    lock.bridge.disconnected(10_000)
    lock.act("turn_by_hand", 10_000)
    assert not any(told for _, told in bolts(run(lock, 19_000)))
    lock.bridge.connected(20_000)

    first = bolts(lock.act("battery", 21_000))

    assert (("Locked", True) in first) is sure
    assert any(told for _, told in first) is sure


def test_names_have_spaces_and_slashes_and_ids_have_none() -> None:
    locks = simulator.fleet(FleetSpec(3, "zigbee2mqtt", 0, {}), lambda _: Random(1))

    assert [lock.friendly for lock in locks] == ["Front Door 1", "hall/Door 2", locks[2].name]
    assert all(set(lock.name) <= set("0x123456789abcdef") for lock in locks)


# --- faults -----------------------------------------------------------------------------------


def test_g1_a_bolt_moves_and_its_command_times_out() -> None:
    lock = held(one(), "LOCK")
    lock.act("fault:set_times_out", 5_000)

    ask(lock, "set", {"state": "UNLOCK"})
    after = run(lock)
    ask(lock, "get", {"state": ""}, 700_000)

    assert documents(after, lock) == []
    assert any("failed: 'Error: ZCL command" in line for line in lines(after))
    assert documents(run(lock, 800_000), lock)[0]["state"] == "UNLOCK"


def test_g3_a_bolt_comes_back_and_is_null() -> None:
    lock = held(one(), "UNLOCK")
    lock.act("fault:bounces", 5_000)

    ask(lock, "set", {"state": "LOCK"})
    last = documents(run(lock), lock)[-1]

    assert last["state"] == "UNLOCK"
    assert "lock_state" not in last
    assert last["action"] is None


def test_g5_a_code_is_stored_late_and_no_event_tells() -> None:
    lock = one()
    lock.act("fault:pin_times_out", 5_000)

    ask(lock, "set", {"pin_code": {"user": 3, "pin_code": 1234}})
    after = run(lock)

    assert documents(after, lock) == []
    assert any("'pin_code'" in line for line in lines(after))


def test_g7_an_action_is_wiped_in_the_same_moment() -> None:
    lock = held(one(), "LOCK")
    lock.act("fault:action_twice", 5_000)

    lock.act("turn_by_hand", 5_000)

    assert [each.get("action") for each in documents(run(lock), lock)] == [
        "manual_unlock",
        "",
        None,
    ]


def test_g8_a_hand_that_was_not_there_moves_no_bolt() -> None:
    lock = held(one(), "LOCK")
    lock.act("fault:phantom_event", 5_000)

    (event,) = documents(run(lock, 6_000), lock)

    assert event["action"] == "manual_unlock"
    assert event["state"] == "LOCK"


def test_g9_a_bolt_half_thrown_reads_unlock() -> None:
    lock = held(one(), "UNLOCK")
    lock.act("fault:half_thrown", 5_000)

    last = documents(run(lock), lock)[-1]

    assert (last["state"], last["lock_state"]) == ("UNLOCK", "not_fully_locked")


@pytest.mark.parametrize(
    "options",
    [{"models": ["yale"]}, {"models": []}, {"availability": "yes"}, {"no_such": 1}],
)
def test_an_option_that_is_wrong_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        simulator.fleet(FleetSpec(1, "zigbee2mqtt", 0, options), lambda _: Random(1))


def test_a_c4_says_action_and_state_at_once_in_its_own_spelling() -> None:
    lock = held(one(models=["c4"]), "LOCK")

    lock.act("turn_by_hand", 5_000)
    (document,) = documents(run(lock), lock)

    assert document["action"] == "manual_unlock_key_or_thumbturn"
    assert (document["state"], document["lock_state"]) == ("UNLOCKED", "unlocked")


def test_a_battery_lock_is_available_for_25_hours_after_its_last_word() -> None:
    lock = one(availability=True)
    lock.act("fault:dead_battery", 5_000)
    lock.act("battery", 5_000)
    lock.act("heal:dead_battery", 6_000)

    said = [m for m in run(lock, 6_000 + 25 * 3_600_000 + 1).messages if isinstance(m, Publish)]

    assert [(m.topic.rpartition("/")[2], m.payload) for m in said] == [
        ("availability", b'{"state":"offline"}')
    ]
