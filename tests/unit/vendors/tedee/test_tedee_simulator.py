"""A simulated bridge asked as its clients ask it, and its locks lived with."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import jsonschema_rs
import pytest
import yaml

from devices.errors import ConfigError
from vendors.http import HttpReply, HttpRequest
from vendors.sim import Addresses, Effects, FleetSpec, HubEffects, Webhook
from vendors.tedee import simulator
from vendors.tedee.bridge import Bridge
from vendors.tedee.lock import Lock

NOW_MS = 1_767_225_600_000
API = yaml.safe_load((Path(__file__).parent / "bridge_api.yaml").read_text())
HOOK = {"url": "http://192.0.2.2:8931/tedee/1"}
TOKEN = "BE9xnPnGfVUS"


def key(token: str, at_ms: int) -> str:
    return sha256(f"{token}{at_ms}".encode()).hexdigest() + str(at_ms)


class House:
    """A bridge with its locks, and time that the test moves on."""

    def __init__(self, *, count: int = 2, seed: int = 3, **options: object) -> None:
        spec = FleetSpec(count, "tedee", NOW_MS, options)
        self.locks = [
            lock
            for lock in simulator.fleet(spec, lambda name: Random(f"{seed}{name}"))
            if isinstance(lock, Lock)
        ]
        bridge = self.locks[0].hub
        assert isinstance(bridge, Bridge)
        self.bridge = bridge
        self.now_ms = NOW_MS
        self.hooks: list[Webhook] = []
        self.truths: dict[str, Any] = {}
        self.wakes: dict[str, int] = {}
        self._stamp_ms = NOW_MS
        self.took(bridge.connected(NOW_MS))

    def took(self, effects: HubEffects) -> None:
        for name, each in effects.devices.items():
            self.lock_took(name, each)

    def lock_took(self, name: str, effects: Effects) -> None:
        self.hooks += [each for each in effects.messages if isinstance(each, Webhook)]
        if name == self.locks[0].name:
            self.truths |= {truth.key: truth.value for truth in effects.truths}
        self.wakes.pop(name, None)
        if effects.wake_at_ms is not None:
            self.wakes[name] = effects.wake_at_ms

    def ask(
        self, method: str, path: str, body: object = None, *, token: str | None = None, **more: Any
    ) -> HttpReply | None:
        """One request with a good token unless another one is given."""
        self._stamp_ms = max(self.now_ms, self._stamp_ms + 1)
        data = b"" if body is None else json.dumps(body).encode()
        good = (
            key(self.bridge.token, self._stamp_ms) if self.bridge.encrypted else self.bridge.token
        )
        headers = {"api_token": good if token is None else token, "content-length": str(len(data))}
        headers = more.get("headers", headers)
        query = tuple(more.get("query", {}).items())
        request = HttpRequest(method, f"/v1.0{path}", query, headers, data)
        effects = self.bridge.receive(request, self.now_ms)
        self.took(effects)
        return effects.answer

    def status(self, method: str, path: str, body: object = None, **more: Any) -> int:
        answer = self.ask(method, path, body, **more)
        assert answer is not None
        return answer.status

    def act(self, what: str) -> None:
        lock = self.locks[0]
        self.lock_took(lock.name, lock.act(what, self.now_ms))

    def go(self, seconds: float) -> list[int]:
        """Let time pass; the states of the first lock on the way."""
        until_ms, seen = self.now_ms + round(seconds * 1_000), [self.said()["state"]]
        while due := [(at, name) for name, at in self.wakes.items() if at <= until_ms]:
            self.now_ms, name = min(due)
            lock = next(each for each in self.locks if each.name == name)
            self.lock_took(name, lock.wake(self.now_ms))
            seen.append(self.said()["state"])
        self.now_ms = until_ms
        return [state for number, state in enumerate(seen) if seen[number - 1 : number] != [state]]

    def said(self) -> dict[str, Any]:
        """The lock object of the first lock."""
        return dict(self.locks[0].described())

    def first(self) -> str:
        return self.locks[0].name


@pytest.fixture
def house() -> House:
    """Two locks, the first of them locked and with no will of its own to lock."""
    for seed in range(100):
        found = House(seed=seed)
        settings = found.said()["deviceSettings"]
        quiet = not settings["autoLockEnabled"] and not settings["autoPullSpringEnabled"]
        if quiet and found.said()["state"] == 6 and found.said()["doorState"] == 3:
            assert found.status("POST", "/callback", HOOK) == 200
            return found
    raise AssertionError("no such lock")


def told(house: House) -> list[dict[str, Any]]:
    return [json.loads(hook.body) for hook in house.hooks]


# --- who may ask ------------------------------------------------------------------------------


def test_the_published_token_is_taken_once() -> None:
    published = "e59d9763edc6e59f2faccf9a769e5cf170d68439c3fd67afae5e3e72d0463a711691058833000"
    bridge = Bridge("19420103-000006", TOKEN)
    request = HttpRequest("GET", "/v1.0/bridge", (), {"api_token": published})

    answers = [bridge.receive(request, 1_691_058_833_000 + each).answer for each in (0, 1)]

    assert [each.status for each in answers if each] == [200, 401]


@pytest.mark.parametrize(("off_ms", "status"), [(30_000, 200), (30_001, 401), (-30_001, 401)])
def test_a_token_is_good_near_its_time_only(house: House, off_ms: int, status: int) -> None:
    token = key(house.bridge.token, house.now_ms + off_ms)

    assert house.status("GET", "/lock", token=token) == status


def test_a_token_may_stand_in_the_query(house: House) -> None:
    query = {"api_token": key(house.bridge.token, NOW_MS + 7)}

    assert house.status("GET", "/lock", headers={}, query=query) == 200


@pytest.mark.parametrize(
    "token", ["", TOKEN, "0" * 77, key("wrong", NOW_MS), key(TOKEN, NOW_MS).upper(), "é" * 77]
)
def test_a_wrong_token_is_refused(house: House, token: str) -> None:
    assert house.status("GET", "/lock", token=token) == 401


def test_a_plain_token_is_the_token_as_often_as_one_likes() -> None:
    house = House(auth="plain")

    assert [house.status("GET", "/lock") for _ in range(2)] == [200, 200]
    assert house.status("GET", "/lock", token="é") == 401


def test_post_and_put_need_their_length(house: House) -> None:
    headers = {"api_token": key(house.bridge.token, NOW_MS + 9)}

    assert house.status("POST", f"/lock/{house.first()}/lock", headers=headers) == 411


# --- every answer is one that the published description knows ----------------------------------


def calls(device: str) -> Iterator[tuple[str, str, str, Any, dict[str, Any]]]:
    """What clients ask: the description's name for it, method, path, body, and the rest."""
    for wrong in ({}, {"token": "x"}):
        yield "GET /bridge", "GET", "/bridge", None, wrong
        yield "GET /lock", "GET", "/lock", None, wrong
        yield "GET /callback", "GET", "/callback", None, wrong
        for one in (device, "999999999"):
            yield "GET /lock/{id}", "GET", f"/lock/{one}", None, wrong
            for what in ("lock", "unlock", "pull", "lock"):
                yield f"POST /lock/{{id}}/{what}", "POST", f"/lock/{one}/{what}", None, wrong
    for mode in ("0", "2", "3", "4", "1", "x"):
        more = {"query": {"mode": mode}}
        yield "POST /lock/{id}/unlock", "POST", f"/lock/{device}/unlock", None, more
    for body in (HOOK, {**HOOK, "method": "GET", "headers": [{"a": "b"}]}, {}, {"url": 1}, [HOOK]):
        yield "POST /callback", "POST", "/callback", body, {}
    yield "GET /callback", "GET", "/callback", None, {}
    for number in (1, 1, 99):
        yield "PUT /callback/{id}", "PUT", f"/callback/{number}", HOOK, {}
        yield "DELETE /callback/{id}", "DELETE", f"/callback/{number}", None, {}
    yield "PUT /callback/{id}", "PUT", "/callback/2", {"url": None}, {}
    for several in ([HOOK, HOOK], [{}], {}, []):
        yield "PUT /callback", "PUT", "/callback", several, {}


@pytest.mark.parametrize("fault", ["", *simulator.FAULTS])
def test_every_answer_is_one_of_the_published_description(house: House, fault: str) -> None:
    if fault:
        house.act(f"fault:{fault}")
    seen = set()
    for seconds in (0.1, 1, 3, 20):
        for name, method, path, body, more in calls(house.first()):
            answer = house.ask(method, path, body, **more)
            house.go(seconds)
            if answer is None:
                assert fault == "bridge_down"
                continue
            known = {**API["answers"][name], **API["guessed"].get(name, {})}
            seen.add((name, answer.status))
            where = f"{name} {answer.status} {answer.body[:80]!r}"
            assert answer.status in known, where
            bare = fault == "bare_204" and answer.status == 204
            assert answer.header("content-type") == (None if bare else "application/json"), where
            assert answer.header("server") == "Tedee"
            schema = known[answer.status]
            if schema is None:
                assert answer.body == b"", where
                continue
            whole = {"$ref": f"#/definitions/{schema}", "definitions": API["definitions"]}
            validator = jsonschema_rs.Draft7Validator(whole)
            problems = [error.message for error in validator.iter_errors(json.loads(answer.body))]
            assert problems == [], where
    assert fault == "bridge_down" or len(seen) > 10


def test_a_path_or_method_that_does_not_exist_is_not_found(house: House) -> None:
    device = house.first()
    for method, path in (
        ("GET", "/pin"),
        ("POST", "/lock"),
        ("DELETE", f"/lock/{device}"),
        ("GET", f"/lock/{device}/lock"),
        ("GET", "/callback/1"),
        ("GET", "/callbacks"),
        ("DELETE", "/callback"),
    ):
        assert house.status(method, path) == 404, (method, path)


# --- what a lock does --------------------------------------------------------------------------


def test_an_operation_is_answered_when_the_motor_starts(house: House) -> None:
    answer = house.ask("POST", f"/lock/{house.first()}/unlock", query={"mode": "3"})

    assert answer is not None
    assert (answer.status, house.said()["state"]) == (204, 4)
    assert house.go(5) == [4, 2]
    assert [hook["data"]["state"] for hook in told(house)] == [4, 2]


def test_a_pull_holds_the_spring_and_ends_unlocked(house: House) -> None:
    house.ask("POST", f"/lock/{house.first()}/pull")

    assert house.go(10) == [8, 7, 255, 2]


@pytest.mark.parametrize(
    ("mode", "states"), [("0", [2]), ("3", [2]), ("2", [4, 2]), ("4", [8, 7, 255, 2])]
)
def test_what_unlocking_does_to_an_unlocked_lock_is_the_modes_choice(
    house: House, mode: str, states: list[int]
) -> None:
    house.act("turn_by_hand")
    answer = house.ask("POST", f"/lock/{house.first()}/unlock", query={"mode": mode})

    assert answer is not None
    assert answer.status == 204
    if mode != "2":
        assert house.go(10) == states


def test_mode_three_leaves_the_spring_of_a_lock_alone_that_pulls_by_itself() -> None:
    house = next(
        found
        for seed in range(200)
        if (found := House(seed=seed)).said()["deviceSettings"]["autoPullSpringEnabled"]
        and not found.said()["deviceSettings"]["autoLockEnabled"]
        and found.said()["state"] == 6
    )
    unlock = f"/lock/{house.first()}/unlock"

    house.ask("POST", unlock, query={"mode": "3"})
    assert house.go(10) == [4, 2]
    house.ask("POST", f"/lock/{house.first()}/lock")
    assert house.go(10) == [5, 6]
    house.ask("POST", unlock)
    assert house.go(15) == [4, 8, 7, 255, 2]


def test_the_mode_may_be_a_header_as_the_specification_has_it(house: House) -> None:
    headers = {"api_token": key(house.bridge.token, NOW_MS + 5), "content-length": "0", "mode": "9"}

    assert house.status("POST", f"/lock/{house.first()}/unlock", headers=headers) == 403


def test_one_motion_at_a_time(house: House) -> None:
    house.ask("POST", f"/lock/{house.first()}/unlock")
    answer = house.ask("POST", f"/lock/{house.first()}/lock")

    assert answer is not None
    assert (answer.status, json.loads(answer.body)["error-code"]) == (406, 3)


def test_an_auto_lock_locks_after_its_delay() -> None:
    house = next(
        found
        for seed in range(200)
        if (found := House(seed=seed)).said()["deviceSettings"]["autoLockEnabled"]
        and found.said()["state"] == 6
    )
    house.act("turn_by_hand")

    assert house.go(59) == [2]
    assert house.go(5) == [2, 5, 6]


def test_charging_is_told_when_it_begins_and_when_it_is_full(house: House) -> None:
    house.act("charge")
    house.act("charge")
    house.go(6_000)

    events = [hook["event"] for hook in told(house)]
    assert events == ["device-battery-start-charging", "device-battery-fully-charged"]
    assert (house.truths["battery_pct"], house.truths["charging"]) == (100, False)


# --- being told --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "GET", "GET+NO_PARAMS"])
def test_a_callback_is_called_in_the_form_and_with_the_headers_it_asked_for(method: str) -> None:
    house = House()
    house.ask("POST", "/callback", {**HOOK, "method": method, "headers": [{"Authorization": "x"}]})
    house.act("fault:far_lock")

    (hook,) = house.hooks
    assert ("Authorization", "x") in hook.headers
    stamp = "2026-01-01T00:00:00.000Z"
    about = {"deviceType": house.said()["type"], "deviceId": int(house.first())}
    data = {**about, "serialNumber": house.said()["serialNumber"], "isConnected": 0}
    if method == "POST":
        body = {"event": "device-connection-changed", "timestamp": stamp, "data": data}
        assert (hook.method, hook.url, json.loads(hook.body)) == ("POST", HOOK["url"], body)
        return
    pairs = [f"{name}={value}" for name, value in data.items()]
    pairs = ["event=device-connection-changed", f"timestamp={stamp}", *pairs]
    url = f"?{'&'.join(pairs)}" if method == "GET" else f"/{'/'.join(pairs)}"
    assert (hook.method, hook.url, hook.body) == ("GET", HOOK["url"] + url, b"")


def test_every_callback_is_called_until_it_is_removed(house: House) -> None:
    other = {"url": "http://192.0.2.3/x"}
    house.ask("POST", "/callback", other)
    house.act("turn_by_hand")
    assert [hook.url for hook in house.hooks] == [HOOK["url"], other["url"]]

    house.ask("DELETE", "/callback/1")
    house.act("turn_by_hand")
    assert [hook.url for hook in house.hooks[2:]] == [other["url"]]

    house.ask("PUT", "/callback", [])
    house.act("turn_by_hand")
    assert len(house.hooks) == 3


def test_a_callback_with_tls_is_taken_and_never_called(house: House) -> None:
    assert house.status("PUT", "/callback", [{"url": "https://192.0.2.2/x"}]) == 200
    house.act("turn_by_hand")

    assert house.hooks == []


def test_callbacks_survive_a_power_cut_and_nothing_is_told_in_it(house: House) -> None:
    house.took(house.bridge.disconnected(house.now_ms))
    house.act("turn_by_hand")
    assert house.hooks == []

    house.took(house.bridge.connected(house.now_ms))
    house.act("turn_by_hand")
    assert [hook["data"]["state"] for hook in told(house)] == [6]


# --- what goes wrong ----------------------------------------------------------------------------


def operated(house: House, what: str = "lock") -> tuple[int, int | None, list[int]]:
    """Status, BLE code, and the states from then on."""
    answer = house.ask("POST", f"/lock/{house.first()}/{what}")
    assert answer is not None
    code = json.loads(answer.body).get("error-code") if answer.body else None
    return answer.status, code, house.go(12)


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        ("half_locked", (204, None, [5, 3])),
        ("falls_back", (204, None, [5, 2])),
        ("jams", (204, None, [5, 3])),
        ("key_moved", (204, None, [5, 2])),
        ("ble_error", (406, 2, [2])),
        ("executed_but_error", (406, 2, [5, 6])),
        ("updating", (406, 3, [18])),
        ("uncalibrated", (406, 5, [0])),
        ("far_lock", (405, None, [255])),
    ],
)
def test_what_locking_meets(
    house: House, fault: str, wanted: tuple[int, int | None, list[int]]
) -> None:
    house.act("turn_by_hand")
    house.act(f"fault:{fault}")

    assert operated(house) == wanted
    assert house.said()["jammed"] == (fault in {"jams", "key_moved"})


def test_after_calibration_a_lock_whose_key_was_turned_locks_again(house: House) -> None:
    house.act("fault:key_moved")
    house.act("heal:key_moved")

    assert house.go(10) == [1, 6]
    assert operated(house, "unlock") == (204, None, [4, 2])
    assert house.said()["jammed"] == 0


@pytest.mark.parametrize("fault", ["battery_unknown", "updating", "far_lock"])
def test_a_battery_of_255_is_one_that_nobody_knows(house: House, fault: str) -> None:
    house.act(f"fault:{fault}")

    assert house.said()["batteryLevel"] == 255
    assert house.truths["battery_pct"] is None
    house.act(f"heal:{fault}")
    assert house.said()["batteryLevel"] <= 100


def test_a_clock_that_drifts_refuses_every_token_and_shows_in_its_date(house: House) -> None:
    house.act("fault:clock_skew")
    answer = house.ask("GET", "/lock")

    assert answer is not None
    assert (answer.status, answer.header("date")) == (401, "Wed, 31 Dec 2025 23:58:30 GMT")
    house.act("heal:clock_skew")
    assert house.status("GET", "/lock") == 200


def test_a_fault_of_the_bridge_is_over_when_it_is_over_for_each_lock(house: House) -> None:
    first, second = house.locks
    for lock in (first, second):
        house.lock_took(lock.name, lock.act("fault:bridge_down", NOW_MS))
    house.lock_took(first.name, first.act("heal:bridge_down", NOW_MS))
    assert house.ask("GET", "/lock") is None

    house.lock_took(second.name, second.act("heal:bridge_down", NOW_MS))
    assert house.status("GET", "/lock") == 200


# --- the fleet ----------------------------------------------------------------------------------


def test_locks_share_bridges_and_the_settings_name_them_all() -> None:
    spec = FleetSpec(5, "tedee", NOW_MS, {"locks_per_bridge": 2, "auth": "plain"})
    locks = simulator.fleet(spec, lambda _: Random(1))
    bridges = list(dict.fromkeys(lock.hub for lock in locks))
    at = Addresses(hubs={bridge.name: f"http://{bridge.name}.test" for bridge in bridges if bridge})

    settings = simulator.gateway_settings(spec, at)

    assert [lock.name for lock in locks] == ["33001", "33002", "33003", "33004", "33005"]
    assert len(bridges) == 3
    assert [each["url"] for each in settings["bridges"]] == list(at.hubs.values())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "options",
    [
        {"auth": "none"},
        {"locks_per_bridge": 0},
        {"locks_per_bridge": True},
        {"webhook_method": "PUT"},
        {"webhooks": "yes"},
    ],
)
def test_an_option_that_cannot_be_so_is_named(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        simulator.fleet(FleetSpec(1, "tedee", NOW_MS, options), lambda _: Random(1))


def test_an_update_begins_while_the_bolt_moves_and_hides_where_it_comes_to_rest(
    house: House,
) -> None:
    house.act("turn_by_hand")
    house.act("fault:updates_midway")

    assert operated(house) == (204, None, [5, 18])
    assert house.said()["batteryLevel"] == 255
    assert operated(house, "unlock")[:2] == (406, 3)
    house.go(30)
    assert house.said()["state"] == 6
    assert operated(house, "unlock") == (204, None, [4, 18])
    house.act("heal:updates_midway")
    assert (house.said()["state"], house.truths["lock_state"]) == (2, "Unlocked")
