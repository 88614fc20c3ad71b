"""What a simulated unit does, seen from outside: topics, envelopes, doors."""

import json
from hashlib import md5
from random import Random
from typing import Any, Final

import pytest

from devices.errors import ConfigError
from vendors.http import HttpRequest
from vendors.meross import simulator
from vendors.meross.lan_crypto import decrypted, encrypted, lan_key
from vendors.sim import Addresses, FleetSpec, Publish

NOW_MS: Final = 1_767_225_600_000
STATE: Final = "Appliance.GarageDoor.State"
KEY: Final = simulator.ACCOUNT_KEY
APP: Final = "/app/0-test/subscribe"


def make(count: int = 1, **options: Any) -> list[Any]:
    spec = FleetSpec(count, "meross", NOW_MS, options)
    return list(simulator.fleet(spec, Random))


def question(method: str, payload: dict[str, Any], namespace: str = STATE, key: str = KEY) -> bytes:
    header = {
        "messageId": "f" * 32,
        "namespace": namespace,
        "method": method,
        "from": APP,
        "timestamp": 1,
        "sign": md5(f"{'f' * 32}{key}1".encode()).hexdigest(),
    }
    return json.dumps({"header": header, "payload": payload}).encode()


def heard(effects: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(each.topic, json.loads(each.payload)) for each in effects.messages]


def shut_door(**options: Any) -> Any:
    """A door that is shut and connected."""
    device = next(each for each in make(20, **options) if not each.is_open)
    device.connected(NOW_MS)
    return device


def ask(device: Any, method: str, payload: dict[str, Any], **more: Any) -> tuple[Any, list[Any]]:
    """What is said at once, and what within 10 s."""
    now = device.receive(Publish("x", question(method, payload, **more)), NOW_MS)
    later = device.wake(NOW_MS + 10_000)
    return now, [*heard(now), *heard(later)]


def test_a_unit_that_boots_announces_itself_and_its_door() -> None:
    (device,) = make()

    told = heard(device.connected(NOW_MS))

    assert [
        (topic, said["header"]["namespace"], said["header"]["method"]) for topic, said in told
    ] == [
        (f"/appliance/{device.name}/publish", "Appliance.Control.Bind", "SET"),
        (f"/appliance/{device.name}/publish", STATE, "PUSH"),
    ]
    assert told[1][1]["payload"]["reason"] == {"bootup": {"timestamp": NOW_MS // 1_000}}


def test_a_unit_that_was_only_away_announces_itself() -> None:
    (device,) = make()
    device.connected(NOW_MS)
    device.disconnected(NOW_MS + 1)

    told = heard(device.connected(NOW_MS + 2))

    assert [said["header"]["namespace"] for _, said in told] == ["Appliance.Control.Bind"]


def test_all_that_it_says_is_signed_by_its_own_clock() -> None:
    device = shut_door()
    device.act("fault:clock_drift", NOW_MS)

    _, told = ask(device, "GET", {"state": {}})

    header = told[0][1]["header"]
    text = f"{header['messageId']}{KEY}{header['timestamp']}"
    assert header["sign"] == md5(text.encode()).hexdigest()
    assert header["timestamp"] == (NOW_MS - 15_000) // 1_000


def test_an_answer_repeats_the_id_and_goes_to_who_asked() -> None:
    device = shut_door()

    _, told = ask(device, "GET", {"state": {}})

    assert [(topic, said["header"]["messageId"]) for topic, said in told] == [(APP, "f" * 32)]


@pytest.mark.parametrize(
    ("firmware", "kind", "executes"), [("3.2.7", dict, 1), ("4.2.1", dict, 1), ("4.2.8", list, 0)]
)
def test_an_open_door_that_is_told_to_open_is_left_alone(firmware, kind, executes) -> None:
    device = shut_door(firmware=firmware)
    device.press(NOW_MS)

    _, told = ask(device, "SET", {"state": {"channel": 0, "open": 1}})

    said = next(each for _, each in told if each["header"]["method"] == "SETACK")
    entry = said["payload"]["state"]
    assert isinstance(entry, kind)
    entry = entry[0] if isinstance(entry, list) else entry
    assert (entry["open"], entry["execute"]) == (1, executes)
    assert device._heading == "up"  # noqa: SLF001 -- whether it was pressed shows nowhere else


def test_a_command_is_acknowledged_with_the_state_before_it() -> None:
    device = shut_door()

    now, told = ask(device, "SET", {"state": {"channel": 0, "open": 1}})

    by_method = {said["header"]["method"]: said["payload"]["state"] for _, said in told}
    assert by_method["PUSH"] == [{"channel": 0, "open": 1, "lmTime": NOW_MS // 1_000}]
    assert by_method["SETACK"]["open"] == 0
    assert [(t.key, t.value, t.sent) for t in now.truths][:2] == [
        ("position", "NotFullyClosed", True),
        ("main_state", None, True),
    ]


def test_a_door_that_shuts_reads_open_until_the_end() -> None:
    device = shut_door()
    device.press(NOW_MS)
    device.wake(NOW_MS + 40_000)
    device.press(NOW_MS + 50_000)

    assert device.is_open
    told = heard(device.wake(NOW_MS + 90_000))

    assert told[-1][1]["payload"]["state"][0]["open"] == 0
    assert not device.is_open


def test_a_press_while_it_moves_only_stops_it() -> None:
    device = shut_door()
    device.press(NOW_MS)

    device.press(NOW_MS + 5_000)
    device.wake(NOW_MS + 60_000)

    assert device.is_open


def test_another_key_is_a_sign_error() -> None:
    _, told = ask(shut_door(), "GET", {"state": {}}, key="another")

    assert told[0][1]["payload"] == {"error": {"code": 5001, "detail": "sign error"}}


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"null", b"[1]", b'{"header":{}}', b"\xff", b"[" * 2_000]
)
def test_what_is_no_message_is_borne_in_silence(body) -> None:
    device = shut_door()

    assert device.receive(Publish("x", body), NOW_MS).messages == ()


@pytest.mark.parametrize("state", [{}, {"channel": 7, "open": 1}, {"channel": 0, "open": 2}])
def test_a_command_that_means_nothing_moves_nothing(state) -> None:
    device = shut_door()

    _, told = ask(device, "SET", {"state": state})

    assert [said["header"]["method"] for _, said in told] == ["ERROR"]
    assert not device.is_open


def test_channel_0_moves_all_doors_of_a_msg200() -> None:
    doors = make(3, model="msg200")
    hub = doors[0].hub
    hub.connected(NOW_MS)
    before = {door.name: door.is_open for door in doors}

    hub.receive(Publish("x", question("SET", {"state": {"channel": 0, "open": 1}})), NOW_MS)

    assert all(door.is_open for door in doors)
    assert list(before) == [f"{hub.name}-{channel}" for channel in (1, 2, 3)]


def test_places_without_a_door_are_told_and_read_open() -> None:
    doors = make(4, model="msg200")
    hub = doors[3].hub
    hub.connected(NOW_MS)

    effects = hub.receive(Publish("x", question("GET", {"state": {}})), NOW_MS)

    ((_, said),) = heard(effects)
    assert [(each["channel"], each["doorEnable"]) for each in said["payload"]["state"]] == [
        (1, 1),
        (2, 0),
        (3, 0),
    ]
    assert [each["open"] for each in said["payload"]["state"][1:]] == [1, 1]


def post(hub: Any, body: bytes, path: str = "/config") -> Any:
    return hub.receive(HttpRequest("POST", path, body=body), NOW_MS).answer


def test_a_unit_on_the_lan_answers_in_the_reply_and_tells_nothing_by_itself() -> None:
    (device,) = make(transport="http")

    assert device.hub.connected(NOW_MS).messages == []
    reply = post(device.hub, question("GET", {"state": {}}))

    assert json.loads(reply.body)["header"]["method"] == "GETACK"
    assert post(device.hub, b"", "/").status == 404
    device.press(NOW_MS)
    assert device.effects().messages == ()


def test_an_encrypted_unit_cuts_off_whoever_asks_plainly() -> None:
    (device,) = make(transport="http", encrypted=True)
    hub = device.hub
    hub.connected(NOW_MS)
    key = lan_key(device.name, KEY, "48:e1:e9:00:00:01")
    asked = question("GET", {"state": {}})

    assert post(hub, asked) is None
    assert post(hub, encrypted(asked, b"0" * 32)) is None
    said = json.loads(decrypted(post(hub, encrypted(asked, key)).body, key))
    ability = post(hub, question("GET", {}, "Appliance.System.Ability"))

    assert said["header"]["method"] == "GETACK"
    assert "Appliance.Encrypt.ECDHE" in json.loads(ability.body)["payload"]["ability"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"model": "msg300"}, "model is 'msg300'"),
        ({"firmware": 4}, "firmware is 4"),
        ({"transport": "udp"}, "transport is 'udp'"),
        ({"colour": "red"}, "option colour"),
    ],
)
def test_options_that_do_not_exist_are_named(options, named) -> None:
    with pytest.raises(ConfigError, match=named):
        make(**options)


def test_its_gateway_knows_each_door() -> None:
    spec = FleetSpec(4, "meross", NOW_MS, {"model": "msg200"})

    told = simulator.gateway_settings(spec, Addresses("mqtt://broker.example"))

    devices: Any = told["devices"]
    assert [device["doors"] for device in devices] == [[1, 2, 3], [1]]
