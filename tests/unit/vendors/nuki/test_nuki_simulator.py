"""The lock's documented oddities, one by one."""

from random import Random

import pytest

from devices.errors import ConfigError
from vendors.nuki.simulator import Lock, fleet, gateway_settings
from vendors.sim import Addresses, Effects, FleetSpec, Publish

BASE = "nuki/39000001"
TRAVEL_MS = 4_000


def lock_at(state: bytes) -> Lock:
    """A connected lock at rest in `state` (1 locked, 3 unlocked)."""
    for seed in range(50):
        lock = Lock("39000001", Random(seed))
        if ("state", state) in said(lock.connected(0)):
            return lock
    raise AssertionError(state)


def said(effects: Effects) -> list[tuple[str, bytes]]:
    return [
        (message.topic.removeprefix(f"{BASE}/"), message.payload)
        for message in effects.messages
        if isinstance(message, Publish)
    ]


def order(lock: Lock, payload: bytes, now_ms: int, what: str = "lockAction") -> Effects:
    return lock.receive(Publish(f"{BASE}/{what}", payload, qos=1), now_ms)


def test_it_says_all_that_is_kept_at_each_connect() -> None:
    lock = lock_at(b"1")
    lock.disconnected(1_000)

    again = lock.connected(2_000)

    assert all(message.retain and message.qos == 1 for message in again.messages)
    assert dict(said(again)).keys() >= {
        "connected",
        "state",
        "doorsensorState",
        "batteryCritical",
        "batteryCharging",
        "batteryChargeState",
        "name",
        "firmware",
        "deviceType",
        "mode",
    }
    assert lock.session is not None
    assert lock.session.will == Publish(f"{BASE}/connected", b"false", qos=1, retain=True)


def test_the_event_comes_at_the_start_before_the_state_and_is_not_kept() -> None:
    effects = order(lock_at(b"1"), b"1", 1_000)

    assert said(effects) == [
        ("commandResponse", b"0"),
        ("lockActionEvent", b"1,172,0,0,0"),
        ("state", b"2"),
    ]
    assert [message.retain for message in effects.messages] == [False, False, True]


def test_the_end_is_told_by_the_state_alone() -> None:
    lock = lock_at(b"1")
    order(lock, b"1", 1_000)

    assert said(lock.wake(1_000 + TRAVEL_MS)) == [("state", b"3")]


def test_one_command_at_a_time() -> None:
    lock = lock_at(b"1")
    order(lock, b"1", 1_000)

    assert said(order(lock, b"2", 1_500)) == [("commandResponse", b"69")]
    assert said(lock.wake(1_000 + TRAVEL_MS)) == [("state", b"3")]


@pytest.mark.parametrize(
    "payload", [b"0", b"7", b"80", b"-1", b"", b"lock", b"1.0", b"\xff", b"01"]
)
def test_actions_beyond_one_to_six_are_ignored(payload: bytes) -> None:
    assert said(order(lock_at(b"1"), payload, 1_000)) == []


@pytest.mark.parametrize(
    ("what", "payload", "state"),
    [("unlock", b"true", b"2"), ("lock", b"true", b"4"), ("lock", b"false", None)],
)
def test_the_two_simple_topics(what: str, payload: bytes, state: bytes | None) -> None:
    assert dict(said(order(lock_at(b"1"), payload, 1_000, what))).get("state") == state


@pytest.mark.parametrize(
    ("action", "states"), [(b"3", [b"5", b"3"]), (b"4", [b"6", b"4", b"1"]), (b"6", [b"1"])]
)
def test_each_action_ends_where_it_should(action: bytes, states: list[bytes]) -> None:
    lock = lock_at(b"1")
    order(lock, action, 1_000)

    after = said(lock.wake(100_000))

    assert [payload for what, payload in after if what == "state"] == states


def test_lock_n_go_locks_again_by_itself_and_says_so() -> None:
    lock = lock_at(b"1")
    order(lock, b"4", 1_000)

    assert ("lockActionEvent", b"2,6,0,0,0") in said(lock.wake(100_000))


def test_a_jam_shows_at_the_end_of_the_travel_and_heals_by_itself() -> None:
    lock = lock_at(b"3")
    lock.act("fault:jam_self_heals", 0)
    lock.wake(20_000)
    order(lock, b"1", 21_000)
    lock.wake(30_000)

    accepted = said(order(lock, b"2", 31_000))
    jammed = lock.wake(31_000 + TRAVEL_MS)

    assert accepted[0] == ("commandResponse", b"0")
    assert said(jammed) == [("state", b"254")]
    assert jammed.wake_at_ms is not None
    assert said(lock.wake(jammed.wake_at_ms)) == [("state", b"1")]


def test_a_command_out_of_a_jam_is_not_undone_by_its_healing() -> None:
    lock = lock_at(b"1")
    lock.act("fault:jam_self_heals", 0)
    lock.act("heal:jam_self_heals", 1)
    order(lock, b"1", 5_000)

    states = [payload for what, payload in said(lock.wake(60_000)) if what == "state"]

    assert states == [b"3"]


def test_a_session_dropped_at_a_command_shows_the_will_then_everything_anew() -> None:
    lock = lock_at(b"1")
    lock.act("fault:drops_at_command", 0)

    assert said(order(lock, b"1", 1_000)) == [("connected", b"false")]
    assert said(lock.act("button", 1_500)) == []
    back = said(lock.wake(3_000))
    assert ("connected", b"true") in back
    assert ("state", b"1") in back


def test_a_boot_run_then_calibration_and_commands_are_refused_for_it() -> None:
    lock = lock_at(b"1")

    assert said(lock.act("fault:calibrating", 0)) == [("state", b"253")]
    assert said(order(lock, b"1", 1_000)) == [("commandResponse", b"71")]
    assert said(lock.wake(5_000)) == [("state", b"252")]
    assert said(lock.act("heal:calibrating", 6_000)) == [("state", b"1")]


def test_an_undefined_lock_ignores_commands() -> None:
    lock = lock_at(b"1")

    assert said(lock.act("fault:undefined_state", 0)) == [("state", b"255")]
    assert said(order(lock, b"1", 1_000)) == []


def test_a_turn_by_hand_that_is_not_noticed_is_a_truth_that_was_not_told() -> None:
    lock = lock_at(b"1")
    lock.act("fault:silent_hand", 0)

    effects = lock.act("turn_by_hand", 1_000)

    assert effects.messages == ()
    assert [(t.key, t.value, t.sent) for t in effects.truths] == [("lock_state", "Unlocked", False)]


def test_ids_are_eight_upper_case_hex_digits_and_options_are_refused() -> None:
    locks = fleet(FleetSpec(11, "x", 0, {}), lambda _: Random(1))

    assert [locks[0].name, locks[10].name] == ["39000001", "3900000B"]
    with pytest.raises(ConfigError, match="colour"):
        fleet(FleetSpec(1, "x", 0, {"colour": 1}), lambda _: Random(1))
    assert gateway_settings(FleetSpec(1, "x", 0, {}), Addresses("mqtt://b")) == {"url": "mqtt://b"}


def test_a_low_battery_gives_up_while_the_motor_runs() -> None:
    """It is gone in the middle of its movement, and does not know where its bolt is then."""
    lock = lock_at(b"1")

    assert said(lock.act("fault:brown_out", 0)) == [("batteryCritical", b"true")]
    assert ("state", b"2") in said(order(lock, b"1", 1_000))
    assert said(lock.wake(1_000 + TRAVEL_MS // 3)) == [("connected", b"false")]
    assert said(order(lock, b"1", 2_500)) == []
    back = said(lock.wake(20_000))
    assert ("connected", b"true") in back
    assert ("state", b"255") in back
    assert said(lock.act("heal:brown_out", 30_000)) == [
        ("batteryCritical", b"false"),
        ("state", b"1"),
    ]
    assert ("commandResponse", b"0") in said(order(lock, b"1", 40_000))
    assert ("state", b"3") in said(lock.wake(40_000 + TRAVEL_MS))
