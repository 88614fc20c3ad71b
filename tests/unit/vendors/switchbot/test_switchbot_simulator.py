"""The cloud's documented oddities, and its locks', one by one."""

import hmac
import json
from base64 import b64decode, b64encode
from itertools import count
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from devices.errors import ConfigError
from vendors.http import HttpReply, HttpRequest
from vendors.sim import Addresses, Effects, FleetSpec, HubEffects, Truth, Webhook, WsOpen
from vendors.switchbot.account import DEMO_POLL_MS, Cloud, Profile
from vendors.switchbot.budget import usual_interval_ms
from vendors.switchbot.settings import SwitchBotSettings
from vendors.switchbot.simulator import FAULTS, HABITS, MODELS, Lock, fleet, gateway_settings

EPOCH_MS = 1_767_225_600_000
SECOND_MS = 1_000
URL = "http://127.0.0.1:8420/key"
_NONCES = count()


class World:
    """A fleet, its clock, and what its cloud was asked and told."""

    def __init__(self, locks: int = 5, seed: int = 1, **options: object) -> None:
        spec = FleetSpec(locks, "sb", EPOCH_MS, options)
        self.locks = list(fleet(spec, lambda name: Random(f"{seed}/{name}")))
        hub = self.locks[0].hub
        assert isinstance(hub, Cloud)
        self.cloud = hub
        self.now_ms = EPOCH_MS
        self.hooks: list[tuple[int, dict[str, Any]]] = []
        self.truths: list[Truth] = []
        self._take_all(self.cloud.connected(EPOCH_MS))

    @property
    def profile(self) -> Profile:
        return self.cloud.profile

    def _take_all(self, effects: HubEffects) -> None:
        for each in effects.devices.values():
            self._take(each)

    def _take(self, effects: Effects) -> None:
        self.truths += effects.truths
        for message in effects.messages:
            assert isinstance(message, Webhook)
            self.hooks.append((self.now_ms, json.loads(message.body)["context"]))

    def act(self, lock: Lock, what: str) -> None:
        self._take(lock.act(what, self.now_ms))

    def go(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.now_ms += 100
            for lock in self.locks:
                self._take(lock.wake(self.now_ms))

    def headers(self, **changes: str) -> dict[str, str]:
        stamp, nonce = str(self.now_ms), f"nonce-{next(_NONCES)}"
        token, secret = self.profile.token, self.profile.secret
        sign = hmac.digest(secret.encode(), f"{token}{stamp}{nonce}".encode(), "sha256")
        made = {"authorization": token, "t": stamp, "nonce": nonce}
        return made | {"sign": b64encode(sign).decode()} | changes

    def send(
        self, method: str, path: str, headers: dict[str, str] | None = None, **body: object
    ) -> HttpReply:
        raw = json.dumps(body).encode() if body else b""
        made = self.headers() if headers is None else headers
        request = HttpRequest(method, f"/v1.1/{path}", (), made, raw)
        effects = self.cloud.receive(request, self.now_ms)
        self._take_all(effects)
        assert effects.answer is not None
        return effects.answer

    def ask(self, method: str, path: str, **body: object) -> tuple[int, Any]:
        answer = self.send(method, path, **body)
        assert answer.status == 200
        document = json.loads(answer.body)
        return document["statusCode"], document["body"]

    def status(self, lock: Lock) -> Any:
        code, body = self.ask("GET", f"devices/{lock.name}/status")
        assert code == 100
        return body

    def order(self, device: str, command: str, parameter: object = "default") -> tuple[int, Any]:
        said = {"commandType": "command", "command": command, "parameter": parameter}
        return self.ask("POST", f"devices/{device}/commands", **said)

    def listen(self) -> None:
        said = {"action": "setupWebhook", "url": URL, "deviceList": "ALL"}
        assert self.ask("POST", "webhook/setupWebhook", **said)[0] == 100


def word(lock: Lock) -> object:
    return lock.status()["lockState"]


def locked(world: World, number: int = 0) -> Lock:
    """A lock of the fleet, locked, with nothing on its way."""
    lock = world.locks[number]
    world.order(lock.name, "lock")
    world.go(10)
    world.hooks.clear()
    assert word(lock) in ("locked", "lock")
    return lock


# --- who may ask ------------------------------------------------------------------------------


def test_only_who_signs_with_the_secret_now_and_once_is_answered() -> None:
    world = World()
    good = world.headers()

    assert world.send("GET", "devices", good).status == 200
    refused = [
        world.send("GET", "devices", good),  # replayed
        world.send("GET", "devices", {}),
        world.send("GET", "devices", world.headers(authorization="other")),
        world.send("GET", "devices", world.headers(sign=world.headers()["sign"].upper())),
        world.send("GET", "devices", world.headers(t=str(world.now_ms // 1000))),
    ]
    old = world.headers()
    world.now_ms += 301 * SECOND_MS
    refused.append(world.send("GET", "devices", old))

    assert [reply.status for reply in refused] == [401] * 6
    assert json.loads(refused[0].body) == {"message": "Unauthorized"}


@pytest.mark.parametrize(
    ("profile", "status", "body"),
    [
        ("429_json", 429, b'{"message":"Too many requests"}'),
        ("429_text", 429, b"Too Many Requests"),
        ("401", 401, b'{"message":"Unauthorized"}'),
    ],
)
def test_over_the_days_quota_it_answers_as_the_profile_says_until_midnight(
    profile: str, status: int, body: bytes
) -> None:
    world = World(quota_per_day=100, over_quota=profile)
    replies = [world.send("GET", "devices") for _ in range(101)]
    world.now_ms += 86_400 * SECOND_MS

    assert [reply.status for reply in replies[:100]] == [200] * 100
    assert (replies[100].status, replies[100].body) == (status, body)
    assert world.send("GET", "devices").status == 200


def test_it_is_no_websocket_server_and_knows_no_other_path() -> None:
    world = World()

    answer = world.cloud.receive(WsOpen("x", HttpRequest("GET", "/")), EPOCH_MS).answer

    assert answer is not None
    assert answer.status == 404
    assert world.send("GET", "nothing").status == 404
    assert world.send("DELETE", "devices").status == 404


# --- what it answers --------------------------------------------------------------------------


def test_the_list_has_the_hub_the_locks_and_their_keypads() -> None:
    world = World(2)

    _, body = world.ask("GET", "devices")

    assert [entry["deviceType"] for entry in body["deviceList"]] == [
        "Hub Mini",
        "Smart Lock Pro",
        "Keypad",
        "Smart Lock Ultra",
        "Keypad",
    ]
    assert body["infraredRemoteList"] == []
    assert body["deviceList"][2]["lockDeviceId"] == world.locks[0].name


def test_models_spell_the_same_state_in_their_own_way() -> None:
    world = World(5)
    bodies = [world.status(locked(world, number)) for number in range(5)]

    assert [body["lockState"] for body in bodies] == [
        "locked",
        "locked",
        "locked",
        "lock",
        "locked",
    ]
    assert [body.get("doorState") for body in bodies] == [
        "closed",
        "closed",
        "closed",
        "close",
        None,
    ]
    assert bodies[2]["battery"] in (10, 20, 60, 100)
    assert len(MODELS) == 5


@pytest.mark.parametrize(
    ("path", "code"),
    [("devices/NOBODY/status", 152), ("devices/C0D5AA000001/status", 100)],
)
def test_other_devices_have_their_answers(path: str, code: int) -> None:
    assert World().ask("GET", path)[0] == code


@pytest.mark.parametrize(
    ("device", "command", "code"),
    [
        ("NOBODY", "lock", 152),
        ("C0D5AA000001", "lock", 151),
        ("B0E9FE000001", "press", 160),
        ("B0E9FE000001", "nightLatchUnlock", 160),
        ("B0E9FE000004", "nightLatchUnlock", 100),
        ("F75A1C000001", "lock", 160),
        ("F75A1C000001", "createKey", 190),
    ],
)
def test_errors_come_inside_a_success(device: str, command: str, code: int) -> None:
    assert World().order(device, command)[0] == code


def test_an_order_is_accepted_first_and_done_later() -> None:
    world = World()
    lock = locked(world)

    assert world.order(lock.name, "unlock") == (100, {})
    assert world.status(lock)["lockState"] == "unlocking"
    world.go(5)
    assert world.status(lock)["lockState"] == "unlocked"


# --- webhooks ---------------------------------------------------------------------------------


def test_an_account_has_one_webhook() -> None:
    world = World()
    world.listen()
    other = {"action": "setupWebhook", "url": "http://other.example/x", "deviceList": "ALL"}

    assert world.ask("POST", "webhook/setupWebhook", **other)[0] == 190
    assert world.ask("POST", "webhook/queryWebhook", action="queryUrl") == (100, {"urls": [URL]})
    assert world.ask("POST", "webhook/deleteWebhook", action="deleteWebhook", url=URL)[0] == 100
    assert world.ask("POST", "webhook/setupWebhook", **other)[0] == 100


def test_a_webhook_comes_a_little_after_its_sample_once_and_unsigned() -> None:
    world = World()
    lock = locked(world)
    world.listen()

    world.order(lock.name, "unlock")
    world.go(10)

    ((at_ms, context),) = world.hooks
    assert context["lockState"] == "UNLOCKED"
    assert context["deviceType"] == "WoLockPro"
    assert context["deviceMac"] == lock.name
    assert context["doorState"] == "CLOSED"
    assert 300 <= at_ms - context["timeOfSample"] <= 1_400


def test_locked_after_a_reported_unlocking_may_be_of_two_minds_once() -> None:
    world = World()
    world.listen()
    lock = locked(world)
    world.act(lock, "turn_by_hand")
    world.go(2)
    world.truths.clear()
    world.act(lock, "turn_by_hand")
    world.go(2)
    for fault in ("fault:webhook_lost", "heal:webhook_lost"):
        world.act(lock, fault)

    for axis, values in (("lock_state", ["Locked", None, "Locked"]), ("fault", [None, "None"])):
        seen = [t for t in world.truths if (t.device, t.key) == (lock.name, axis)]
        assert [truth.value for truth in seen] == values
        assert not any(truth.sent for truth in seen)


def test_nobody_is_told_where_nobody_listens() -> None:
    world = World()
    world.order(world.locks[0].name, "unlock")
    world.order(world.locks[1].name, "lock")
    world.go(10)

    assert world.hooks == []
    assert all(not truth.sent for truth in world.truths)


def test_first_generation_webhooks_leave_the_door_out() -> None:
    world = World()
    lock = locked(world, 2)
    world.listen()

    world.act(lock, "door")
    world.act(lock, "come_home")
    world.go(40)

    assert [context.keys() >= {"doorState"} for _, context in world.hooks] == [False]


# --- what goes wrong --------------------------------------------------------------------------


def broken(fault: str, number: int = 0) -> tuple[World, Lock]:
    world = World()
    lock = locked(world, number)
    world.listen()
    world.act(lock, f"fault:{fault}")
    world.go(3)
    world.hooks.clear()
    return world, lock


def words_of(world: World) -> list[object]:
    return [context["lockState"] for _, context in world.hooks]


def test_seven_in_ten_webhooks_are_lost() -> None:
    world, lock = broken("webhook_lost")
    for _ in range(100):
        world.act(lock, "turn_by_hand")
        world.go(2)

    assert 15 <= len(world.hooks) <= 45


def test_a_doubled_webhook_is_the_same_one_again() -> None:
    world, lock = broken("webhook_doubled")
    world.act(lock, "turn_by_hand")
    world.go(10)

    (first_ms, first), (second_ms, second) = world.hooks
    assert first == second
    assert 2_900 <= second_ms - first_ms <= 3_100


def test_a_late_webhook_says_when_it_was() -> None:
    world, lock = broken("webhook_late")
    world.act(lock, "turn_by_hand")
    world.go(150)

    ((at_ms, context),) = world.hooks
    assert at_ms - context["timeOfSample"] >= 70_000


def test_a_doors_webhook_carries_a_stale_locked_and_comes_again() -> None:
    world, lock = broken("webhook_stale_locked", 1)
    world.act(lock, "turn_by_hand")
    world.go(3)
    world.act(lock, "door")
    world.go(80)

    assert word(lock) == "unlocked"
    assert words_of(world) == ["LOCKED"] * 4


def test_an_unlocking_is_followed_by_a_false_locked() -> None:
    world, lock = broken("bounce_0p9s")
    world.act(lock, "turn_by_hand")
    world.go(5)

    assert words_of(world) == ["UNLOCKED", "LOCKED"]
    samples = [context["timeOfSample"] for _, context in world.hooks]
    assert samples[1] - samples[0] == 870
    assert word(lock) == "unlocked"


def test_a_status_stays_locked_while_the_webhook_is_right() -> None:
    world, lock = broken("status_stays_locked")
    world.act(lock, "turn_by_hand")
    world.go(5)

    assert words_of(world) == ["UNLOCKED"]
    assert world.status(lock)["lockState"] == "locked"


def test_words_come_in_another_case() -> None:
    world, lock = broken("enum_mismatch")
    world.act(lock, "turn_by_hand")
    world.go(5)

    assert words_of(world) == ["Unlocked"]
    assert world.status(lock)["lockState"] == "Unlocked"


def test_an_order_is_accepted_and_nothing_moves() -> None:
    world, lock = broken("accepted_not_executed")

    assert world.order(lock.name, "unlock")[0] == 100
    world.go(30)
    assert word(lock) == "locked"


def test_verbs_are_swapped() -> None:
    world, lock = broken("verbs_swapped")
    world.order(lock.name, "unlock")
    world.go(6)
    first = word(lock)
    world.order(lock.name, "deadbolt")
    world.go(6)

    assert (first, word(lock)) == ("latchBoltLocked", "unlocked")


def test_the_contact_says_the_opposite_or_nothing_new() -> None:
    world, lock = broken("door_sensor_inverted")
    assert world.status(lock)["doorState"] == "opened"

    world, lock = broken("door_sensor_stuck")
    world.act(lock, "door")
    assert world.status(lock)["doorState"] == "closed"


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ("rate_429", 429, b'{"message":"Too many requests"}'),
        ("rate_429_text", 429, b"Too Many Requests"),
        ("unauthorized_401", 401, b'{"message":"Unauthorized"}'),
    ],
)
def test_questions_and_orders_are_refused(fault: str, status: int, body: bytes) -> None:
    world, lock = broken(fault)

    for method, path in (("GET", "status"), ("POST", "commands")):
        answer = world.send(method, f"devices/{lock.name}/{path}")
        assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize(
    ("fault", "code"),
    [("status_190", 190), ("status_300", 300), ("device_offline", 161), ("hub_offline", 171)],
)
def test_codes_that_mean_no_state(fault: str, code: int) -> None:
    world, lock = broken(fault)

    assert world.ask("GET", f"devices/{lock.name}/status")[0] == code
    world.act(lock, f"heal:{fault}")
    assert world.ask("GET", f"devices/{lock.name}/status")[0] == 100


def test_a_jam_is_told_and_a_person_ends_it() -> None:
    world = World()
    lock = locked(world)
    world.listen()
    world.act(lock, "fault:jammed")
    world.go(3)

    assert words_of(world) == ["JAMMED"]
    assert world.status(lock)["lockState"] == "jammed"
    world.act(lock, "heal:jammed")
    assert word(lock) == "unlocked"


def test_an_uncalibrated_lock_says_so_and_does_not_move() -> None:
    world, lock = broken("uncalibrated")

    assert world.status(lock)["calibrate"] is False
    assert world.order(lock.name, "unlock")[0] == 100
    world.go(10)
    assert word(lock) == "locked"


# --- passcodes --------------------------------------------------------------------------------


def create(world: World, name: str = "doorfleet 1", **more: object) -> tuple[int, Any]:
    said = {"name": name, "type": "permanent", "password": "271828", **more}
    return world.order("F75A1C000001", "createKey", said)


def keys(world: World) -> list[dict[str, Any]]:
    _, body = world.ask("GET", "devices")
    found: list[dict[str, Any]] = body["deviceList"][2]["keyList"]
    return found


def test_a_passcode_is_accepted_then_made_then_told() -> None:
    world = World()
    world.listen()

    code, body = create(world)
    assert (code, keys(world)) == (100, [])
    world.go(15)

    ((_, context),) = world.hooks
    assert context["eventName"] == "createKey"
    assert context["result"] == "success"
    assert context["commandId"].replace("-", "") == body["commandId"]
    assert [(key["name"], key["status"]) for key in keys(world)] == [("doorfleet 1", "normal")]


def test_a_listed_passcode_is_encrypted_with_the_accounts_secret() -> None:
    world = World()
    create(world)
    world.go(15)

    (key,) = keys(world)
    secret, iv = bytes.fromhex(world.profile.secret), bytes.fromhex(key["iv"])
    decryptor = Cipher(algorithms.AES(secret), modes.CBC(iv)).decryptor()
    plain = decryptor.update(b64decode(key["password"])) + decryptor.finalize()

    assert plain == b"271828" + bytes([10]) * 10
    assert "271828" not in json.dumps(keys(world))


def test_a_name_is_there_once_and_a_deleted_passcode_is_gone() -> None:
    world = World()
    world.listen()
    create(world)
    world.go(15)
    create(world)
    world.go(15)
    world.order("F75A1C000001", "deleteKey", {"id": keys(world)[0]["id"]})
    world.go(15)

    told = [(context["eventName"], context["result"]) for _, context in world.hooks]
    assert told == [("createKey", "success"), ("createKey", "failed"), ("deleteKey ", "success")]
    assert keys(world) == []


@pytest.mark.parametrize(
    "change",
    [
        {"password": "12345"},
        {"password": "1234567890123"},
        {"password": "12345x"},
        {"type": "forever"},
        {"type": "timeLimit"},
        {"name": ""},
    ],
    ids=str,
)
def test_a_passcode_that_cannot_be_is_190(change: dict[str, object]) -> None:
    assert create(World(), **change)[0] == 190


def test_a_guests_passcode_expires() -> None:
    world = World()
    world.act(world.locks[0], "guest_code")
    world.go(15)
    before = [key["status"] for key in keys(world)]
    world.now_ms += 4 * 86_400 * SECOND_MS

    assert (before, [key["status"] for key in keys(world)]) == (["normal"], ["expired"])


@pytest.mark.parametrize(
    ("fault", "result"), [("key_fails", "failed"), ("key_times_out", "timeout")]
)
def test_a_keypad_may_fail(fault: str, result: str) -> None:
    world, _ = broken(fault)
    create(world)
    world.go(65)

    assert [context["result"] for _, context in world.hooks] == [result]
    assert keys(world) == []


# --- the fleet --------------------------------------------------------------------------------


def test_every_fault_and_every_habit_can_be_acted_out() -> None:
    world = World()
    for what in (*HABITS, *(f"{verb}:{fault}" for fault in FAULTS for verb in ("fault", "heal"))):
        world.act(world.locks[0], what)
        world.go(1)

    assert world.status(world.locks[0])["calibrate"] is True


@pytest.mark.parametrize(
    "options",
    [
        {"no_such": 1},
        {"quota_per_day": 1},
        {"quota_per_day": "10000"},
        {"over_quota": "500"},
        {"keypads": 1},
        {"skew_s": 0},
    ],
    ids=str,
)
def test_an_option_that_cannot_be_is_named(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        World(**options)


def test_without_keypads_there_are_none() -> None:
    _, body = World(2, keypads=False).ask("GET", "devices")

    assert "Keypad" not in [entry["deviceType"] for entry in body["deviceList"]]


def test_a_fleet_is_polled_every_five_seconds_unless_it_has_the_real_quota() -> None:
    def interval_ms(**options: object) -> int:

        spec = FleetSpec(50, "sb", EPOCH_MS, options)
        wanted = gateway_settings(spec, Addresses(hubs={"sb-cloud": "https://127.0.0.1:1"}))
        settings = SwitchBotSettings.model_validate(wanted)
        return usual_interval_ms(settings.quota_per_day, 50, settings.poll_min_ms)

    assert interval_ms() == DEMO_POLL_MS
    assert interval_ms(quota_per_day=10_000) == 720_000
