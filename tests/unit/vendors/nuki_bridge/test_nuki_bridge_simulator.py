"""The bridge's documented oddities, one by one."""

import json
from collections.abc import Mapping
from random import Random
from typing import Any, Final

import pytest

from devices.errors import ConfigError
from vendors.http import HttpReply, HttpRequest
from vendors.nuki.bridge import auth, simulator
from vendors.nuki.bridge.lock import Lock
from vendors.nuki.bridge.simulator import Bridge, fleet, gateway_settings
from vendors.sim import Addresses, FleetSpec, HubEffects, Webhook

EPOCH_MS: Final = 1_767_225_600_000
HERE: Final = "http://192.0.2.10/here"


class Street:
    """A bridge with two locks, whose wakes and truths are kept."""

    def __init__(self, seed: int = 3) -> None:
        spec = FleetSpec(2, "nuki_bridge", EPOCH_MS, {})
        self.locks: list[Lock] = list(fleet(spec, lambda name: Random(f"{seed}{name}")))
        self.lock = self.locks[0]
        self.bridge: Bridge = self.lock.hub
        self.now_ms = EPOCH_MS
        self.wakes: dict[str, int | None] = {}
        self.posted: list[dict[str, Any]] = []
        self.true: dict[tuple[str, str], tuple[object, bool]] = {}
        self.take(self.bridge.connected(self.now_ms))
        self.bridge.callbacks = [HERE]

    def take(self, effects: HubEffects) -> HttpReply | None:
        for name, each in effects.devices.items():
            self.wakes[name] = each.wake_at_ms
            self.posted += [json.loads(m.body) for m in each.messages if isinstance(m, Webhook)]
            for truth in each.truths:
                self.true[truth.device, truth.key] = (truth.value, truth.sent)
        return effects.answer

    def act(self, what: str) -> None:
        self.take(HubEffects(devices={self.lock.name: self.lock.act(what, self.now_ms)}))

    def pass_ms(self, ms: int) -> None:
        until_ms = self.now_ms + ms
        while (due := self.wakes.get(self.lock.name)) is not None and due <= until_ms:
            self.now_ms = due
            self.take(HubEffects(devices={self.lock.name: self.lock.wake(due)}))
        self.now_ms = until_ms

    def raw(self, path: str, **arguments: object) -> HttpReply | None:
        query = tuple((key, str(value)) for key, value in arguments.items())
        reply = self.take(self.bridge.receive(HttpRequest("GET", path, query), self.now_ms))
        if reply is not None:
            self.pass_ms(reply.delay_ms)
        return reply

    def ask(self, path: str, **arguments: object) -> Any:
        reply = self.raw(path, token=self.bridge.token, **arguments)
        assert reply is not None
        return (reply.status, json.loads(reply.body)) if reply.body else reply.status

    def state(self) -> Any:
        return self.ask("/lockState", nukiId=self.lock.nuki_id, deviceType=4)

    def order(self, action: int, no_wait: int = 1) -> Any:
        return self.ask("/lockAction", nukiId=self.lock.nuki_id, action=action, noWait=no_wait)

    def memory(self) -> Any:
        _, listed = self.ask("/list")
        return listed[0].get("lastKnownState")


def at_rest(number: int) -> Street:
    """A street whose first lock rests in this state."""
    for seed in range(50):
        here = Street(seed)
        if here.memory()["state"] == number:
            return here
    raise AssertionError(number)


# --- letting in -------------------------------------------------------------------------------


def proofs(token: str, at_ms: int) -> list[Mapping[str, str]]:
    ts = auth.timestamp(at_ms)
    return [dict(auth.hashed(token, ts, 1)), dict(auth.encrypted(token, ts, 2, bytes(24)))]


def test_a_proof_is_good_once() -> None:
    here = Street()

    for proof in proofs(here.bridge.token, here.now_ms):
        replies = [here.raw("/info", **proof) for _ in range(2)]
        assert [reply.status for reply in replies if reply] == [200, 401]


@pytest.mark.parametrize("off_by_ms", [-3_600_000, -70_000, 70_000, 3_600_000])
def test_a_proof_is_good_near_the_bridges_clock_only(off_by_ms: int) -> None:
    here = Street()

    for proof in proofs(here.bridge.token, here.now_ms + off_by_ms):
        reply = here.raw("/info", **proof)
        assert reply is not None
        assert reply.status == 401


def test_a_bridge_whose_clock_is_off_lets_the_plain_token_in_only() -> None:
    here = Street()
    here.act("fault:clock_skew")

    hashed, encrypted = proofs(here.bridge.token, here.now_ms)
    assert [getattr(here.raw("/info", **each), "status", 0) for each in (hashed, encrypted)] == [
        401,
        401,
    ]
    assert here.ask("/info")[0] == 200


@pytest.mark.parametrize(
    "arguments", [{}, {"token": "x"}, {"token": ""}, {"ctoken": "00", "nonce": "00"}, {"hash": ""}]
)
def test_nobody_comes_in_without_the_token(arguments: dict[str, str]) -> None:
    reply = Street().raw("/list", **arguments)

    assert reply is not None
    assert (reply.status, reply.body) == (401, b"")


# --- one at a time ----------------------------------------------------------------------------


def test_a_question_while_it_answers_another_is_503() -> None:
    here = Street()
    query = (("token", here.bridge.token),)
    wake = (*query, ("nukiId", str(here.lock.nuki_id)))
    first = here.take(here.bridge.receive(HttpRequest("GET", "/lockState", wake), here.now_ms))
    second = here.take(here.bridge.receive(HttpRequest("GET", "/list", query), here.now_ms + 100))

    assert first is not None
    assert second is not None
    assert (first.status, second.status) == (200, 503)
    here.pass_ms(first.delay_ms)
    assert here.ask("/list")[0] == 200


def test_it_speaks_with_the_lock_for_a_while_and_from_memory_at_once() -> None:
    here = Street()

    asked = here.raw("/lockState", token=here.bridge.token, nukiId=here.lock.nuki_id)
    listed = here.raw("/list", token=here.bridge.token)

    assert asked is not None
    assert listed is not None
    assert asked.delay_ms >= 500
    assert listed.delay_ms < 100


# --- acting -----------------------------------------------------------------------------------


def test_it_tells_of_the_end_and_never_of_the_beginning() -> None:
    here = at_rest(1)

    assert here.order(1) == (200, {"success": True, "batteryCritical": False})
    assert here.posted == []
    assert here.true[here.lock.name, "motion"] == ("Unlocking", False)
    here.pass_ms(12_000)

    assert [each["stateName"] for each in here.posted] == ["unlocked"]
    assert here.true[here.lock.name, "lock_state"] == ("Unlocked", True)


def test_waited_for_it_answers_when_the_motor_has_stopped() -> None:
    here = at_rest(1)
    began_ms = here.now_ms

    assert here.order(1, no_wait=0)[1]["success"] is True
    assert here.now_ms - began_ms >= 1_200
    assert here.state()[1]["stateName"] == "unlocked"


def test_waited_for_a_jam_is_no_success_and_heals_itself() -> None:
    here = at_rest(3)
    here.act("fault:jam_self_heals")
    here.pass_ms(60_000)
    here.order(1, no_wait=0)

    assert here.order(2, no_wait=0) == (200, {"success": False})
    assert here.state()[1]["state"] == 254
    here.pass_ms(12_000)
    assert here.state()[1]["state"] == 1


def test_while_the_motor_runs_nothing_else_is_taken() -> None:
    here = at_rest(1)
    here.act("come_home")

    assert here.order(2) == 503
    here.pass_ms(4_000)
    assert here.order(2)[0] == 200


@pytest.mark.parametrize("action", ["0", "6", "80", "-1", "", "lock", "01", "\uff11"])
def test_what_is_no_action_is_400(action: str) -> None:
    here = Street()

    assert here.ask("/lockAction", nukiId=here.lock.nuki_id, action=action) == 400


@pytest.mark.parametrize("number", ["0", "", "x", "-1", "4294967295", "9" * 400])
def test_a_lock_that_nobody_has_is_404(number: str) -> None:
    assert Street().ask("/lockState", nukiId=number) == 404
    assert Street().ask("/lockAction", nukiId=number, action=1) == 404


def test_an_openers_type_is_404_and_any_locks_type_will_do() -> None:
    here = Street()

    assert here.ask("/lockState", nukiId=here.lock.nuki_id, deviceType=2) == 404
    assert here.ask("/lockState", nukiId=here.lock.nuki_id, deviceType=0)[0] == 200


# --- callbacks --------------------------------------------------------------------------------


def test_three_callbacks_are_all() -> None:
    here = Street()

    added = [here.ask("/callback/add", url=f"http://192.0.2.1/{n}") for n in range(3)]

    assert [reply[1]["success"] for reply in added] == [True, True, False]
    assert here.ask("/callback/remove", id=0) == (200, {"success": True})
    assert here.ask("/callback/list")[1]["callbacks"][0] == {"id": 0, "url": "http://192.0.2.1/0"}


@pytest.mark.parametrize("url", ["", "https://here", "ftp://here", "http://" + "x" * 300])
def test_a_callback_that_it_cannot_call_is_400(url: str) -> None:
    assert Street().ask("/callback/add", url=url)[0] == 400


def test_a_callback_that_was_lost_shows_in_its_memory() -> None:
    here = at_rest(1)
    here.act("fault:callback_lost")
    here.pass_ms(10_000)
    here.act("turn_by_hand")
    here.pass_ms(10_000)

    assert here.posted == []
    assert here.memory()["state"] == 3
    assert here.true[here.lock.name, "lock_state"] == ("Unlocked", False)


def test_when_others_hold_all_callbacks_ours_is_gone() -> None:
    here = Street()
    here.act("fault:callbacks_full")

    assert HERE not in here.bridge.callbacks
    assert here.ask("/callback/add", url=HERE)[1]["success"] is False
    here.act("heal:callbacks_full")
    assert here.ask("/callback/add", url=HERE)[1]["success"] is True


# --- what goes wrong --------------------------------------------------------------------------


def test_a_stale_memory_looks_as_good_as_ever() -> None:
    here = at_rest(1)
    here.act("fault:stale_cache")
    before = here.memory()
    here.act("turn_by_hand")
    here.pass_ms(3_600_000)

    assert here.memory() == before
    assert here.posted == []
    assert here.state()[1]["stateName"] == "unlocked"
    here.act("heal:stale_cache")
    here.pass_ms(10_000)
    assert here.memory()["stateName"] == "unlocked"


def test_a_lock_without_batteries_fails_and_later_is_gone_while_its_state_stays() -> None:
    here = at_rest(1)
    here.act("fault:lock_off")

    assert here.state() == (200, {"success": False})
    assert here.order(1) == (200, {"success": False})
    assert here.memory()["stateName"] == "locked"
    here.pass_ms(60_000)
    assert here.state()[0] == 410
    assert here.order(1)[0] == 410
    here.act("heal:lock_off")
    assert here.state()[1]["success"] is True


def test_a_lock_may_have_no_last_state_at_all() -> None:
    here = Street()
    here.act("fault:no_last_state")

    assert here.memory() is None


def test_asked_often_it_goes_away_and_comes_back_without_its_memory() -> None:
    here = Street()
    here.act("fault:reboots_under_polling")
    for _ in range(20):
        if here.raw("/list", token=here.bridge.token) is None:
            break
    else:
        raise AssertionError("still there")

    assert here.raw("/list", token=here.bridge.token) is None
    here.pass_ms(here.bridge.back_ms - here.now_ms)
    assert here.memory() is None
    here.pass_ms(10_000)
    assert here.memory() is not None


def test_what_happens_while_it_is_away_is_told_when_it_is_back() -> None:
    here = at_rest(1)
    assert here.ask("/reboot") == (200, {"success": True})
    here.act("turn_by_hand")
    here.pass_ms(here.bridge.back_ms - here.now_ms - 1)
    assert here.posted == []
    here.pass_ms(10_000)

    assert [each["stateName"] for each in here.posted] == ["unlocked"]


def test_turning_by_hand_may_be_found_by_asking_only() -> None:
    here = at_rest(1)
    here.act("fault:silent_hand")
    here.pass_ms(10_000)
    here.posted.clear()
    here.act("turn_by_hand")
    here.pass_ms(3_600_000)

    assert here.posted == []
    assert here.memory()["stateName"] == "locked"
    assert here.state()[1]["stateName"] == "unlocked"


def test_a_name_may_hold_bytes_that_are_no_utf_8() -> None:
    here = Street()
    here.act("fault:name_not_utf8")
    reply = here.raw("/list", token=here.bridge.token)

    assert reply is not None
    with pytest.raises(UnicodeDecodeError):
        reply.body.decode()


def test_number_and_name_may_disagree() -> None:
    here = at_rest(1)
    here.act("fault:contradictory")

    said = here.state()[1]

    assert (said["state"], said["stateName"]) == (1, "unlocked")
    assert here.true[here.lock.name, "lock_state"][0] is None


def test_an_undefined_lock_says_yes_and_does_nothing() -> None:
    here = Street()
    here.act("fault:undefined_state")

    assert here.order(1)[1]["success"] is True
    here.pass_ms(10_000)
    assert here.state()[1]["state"] == 255


def test_a_busy_bridge_says_so_to_most() -> None:
    here = Street()
    here.act("fault:busy")

    said = [here.ask("/list") for _ in range(40)]

    assert 10 < said.count(503) < 35


# --- the fleet --------------------------------------------------------------------------------


def test_up_to_five_locks_share_a_bridge() -> None:
    locks = fleet(FleetSpec(7, "nuki_bridge", EPOCH_MS, {}), lambda _: Random(1))

    assert [lock.hub.name for lock in locks] == ["bridge-01"] * 5 + ["bridge-02"] * 2
    assert [lock.name for lock in locks][:2] == ["3A000001", "3A000002"]
    assert len({lock.hub.token for lock in locks}) == 2


def test_the_gateway_is_told_of_every_bridge() -> None:
    spec = FleetSpec(2, "nuki_bridge", EPOCH_MS, {"locks_per_bridge": 1, "auth": "hashed"})
    hubs = {"bridge-01": "http://a:1", "bridge-02": "http://a:2"}
    locks = fleet(spec, lambda _: Random(1))

    told = gateway_settings(spec, Addresses(hubs=hubs))

    assert told["bridges"] == [
        {"url": "http://a:1", "token": locks[0].hub.token, "auth": "hashed"},
        {"url": "http://a:2", "token": locks[1].hub.token, "auth": "hashed"},
    ]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"colour": "red"}, "colour"),
        ({"locks_per_bridge": 0}, "locks_per_bridge"),
        ({"locks_per_bridge": True}, "locks_per_bridge"),
        ({"strangers": 4}, "strangers"),
        ({"auth": "none"}, "plain, hashed, encrypted"),
        ({"auth": ["plain"]}, "auth"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        fleet(FleetSpec(1, "nuki_bridge", EPOCH_MS, options), lambda _: Random(1))


def test_options_are_checked_once_and_not_for_every_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[FleetSpec] = []
    check = simulator._options  # noqa: SLF001 -- how often it is called is what counts
    monkeypatch.setattr(simulator, "_options", lambda spec: checks.append(spec) or check(spec))

    locks = fleet(FleetSpec(40, "nuki_bridge", EPOCH_MS, {"locks_per_bridge": 4}), Random)

    assert len({id(lock.hub) for lock in locks}) == 10
    assert len(checks) == 1


def test_a_lock_whose_battery_gives_up_is_away_and_then_knows_nothing_of_its_bolt() -> None:
    street = Street()
    street.act("fault:brown_out")

    assert street.order(1 if street.state()[1]["state"] == 1 else 2) == (
        200,
        {"success": True, "batteryCritical": True},
    )
    street.pass_ms(1_100)
    assert street.state() == (200, {"success": False})
    assert street.true[street.lock.name, "reachability"][0] == "Offline"
    street.pass_ms(20_000)
    assert street.state()[1]["state"] == 255
    assert street.true[street.lock.name, "lock_state"][0] is None
    street.act("heal:brown_out")
    assert (street.state()[1]["state"], street.state()[1]["batteryCritical"]) == (1, False)
