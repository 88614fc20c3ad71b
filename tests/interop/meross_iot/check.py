"""meross-iot at simulated units, over MQTT with TLS, with a stub of the vendor's cloud.

The library logs in over HTTP, is told of the units there, and then speaks to them through the
broker. What a unit pushes the cloud passes on to the apps of its account: the relay here does.
"""

import asyncio
import base64
import hashlib
import json
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import paho.mqtt.client as mqtt
from kit import kit
from meross_iot.controller.mixins.garage import GarageOpenerMixin
from meross_iot.http_api import MerossHttpClient
from meross_iot.manager import MerossManager
from meross_iot.model.exception import CommandTimeoutError
from meross_iot.model.http.exception import BadLoginException

USER = "4242"
EMAIL, PASSWORD = "nobody@example.test", "a password"
KEY: str = kit.about["settings"]["account_key"]
UNITS: list[str] = [device["uuid"] for device in kit.about["settings"]["devices"]]
BROKER: dict[str, Any] = kit.about["broker"]
# The constant of the login's sign, as the library has it.
LOGIN_SECRET = "23x17ahWarFH6w29"
TRAVEL_S = 40


class Cloud(BaseHTTPRequestHandler):
    """Login, the list of units, and nothing else."""

    def do_POST(self) -> None:
        """One call of the API."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = f"{LOGIN_SECRET}{body['timestamp']}{body['nonce']}{body['params']}"
        params = json.loads(base64.b64decode(body["params"]))
        status, data = 0, {}
        if hashlib.md5(text.encode()).hexdigest() != body["sign"]:
            status = 1005
        elif self.path == "/v1/Auth/signIn":
            if params["password"] != hashlib.md5(PASSWORD.encode()).hexdigest():
                status = 1004
            else:
                data = {"token": "t", "key": KEY, "userid": USER, "email": EMAIL}
                data |= {"domain": CLOUD_URL, "mqttDomain": BROKER["host"]}
        elif self.path == "/v1/Device/devList":
            data = [about(each) for each in UNITS]
        said = json.dumps({"apiStatus": status, "data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def about(unit: str) -> dict[str, Any]:
    """A unit, as the cloud lists it."""
    return {
        "uuid": unit,
        "onlineStatus": 1,
        "devName": f"door {unit[-2:]}",
        "deviceType": "msg100",
        "subType": "us",
        "channels": [{}],
        "fmwareVersion": "4.2.1",
        "hdwareVersion": "4.0.0",
        "domain": BROKER["host"],
        "reservedDomain": BROKER["host"],
        "bindTime": 1_600_000_000,
    }


class Relay:
    """The cloud's half of the broker: what units push goes to the apps of their account."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, f"relay-{uuid.uuid4().hex}")
        self._client.on_message = self._pass_on
        self._client.connect(BROKER["host"], BROKER["port"])
        self._client.subscribe([("/appliance/+/publish", 1), ("/app/raw-1/subscribe", 1)])
        self._client.loop_start()

    def _pass_on(self, client: mqtt.Client, _: Any, message: mqtt.MQTTMessage) -> None:
        self.heard.append((message.topic, json.loads(message.payload)))
        if message.topic.startswith("/appliance/"):
            client.publish(f"/app/{USER}/subscribe", message.payload, qos=1)

    def ask(self, unit: str, key: str) -> dict[str, Any]:
        """A question, signed with this key; the whole answer."""
        message_id, at_s = uuid.uuid4().hex, int(time.time())
        header = {
            "messageId": message_id,
            "namespace": "Appliance.GarageDoor.State",
            "method": "GET",
            "payloadVersion": 1,
            "from": "/app/raw-1/subscribe",
            "timestamp": at_s,
            "sign": hashlib.md5(f"{message_id}{key}{at_s}".encode()).hexdigest(),
        }
        question = json.dumps({"header": header, "payload": {"state": {}}})
        self._client.publish(f"/appliance/{unit}/subscribe", question, qos=1)

        def answers() -> list[dict[str, Any]]:
            return [said for _, said in self.heard if said["header"]["messageId"] == message_id]

        kit.eventually(answers)
        return answers()[0]


async def eventually(holds: Callable[[], Any], within_s: float = 5.0) -> None:
    """Look again until it holds."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 -- the library tells nobody
            await asyncio.sleep(0.05)


def is_open(unit: str) -> bool:
    """What is true of the door."""
    return bool(kit.truth(unit)["position"] != "FullyClosed")


async def login(password: str = PASSWORD) -> MerossHttpClient:
    """The library's own way in."""
    return await MerossHttpClient.async_from_user_password(CLOUD_URL, EMAIL, password)


async def main() -> None:  # noqa: C901, PLR0915 -- a list of what is tried
    """All checks."""
    relay = Relay()
    with kit.check("a wrong password is the client's own error"):
        try:
            await login("wrong")
        except BadLoginException:
            pass
        else:
            raise AssertionError("logged in")

    client = await login()
    trust = ssl.create_default_context(cafile=BROKER["ca_file"])
    manager = MerossManager(
        client, mqtt_override_server=(BROKER["host"], BROKER["tls_port"]), mqtt_ssl_context=trust
    )

    with kit.check("discovery over TLS finds every unit, as a garage opener"):
        await manager.async_device_discovery()
        found = manager.find_devices(device_class=GarageOpenerMixin)
        assert sorted(each.uuid for each in found) == sorted(UNITS)
    doors: dict[str, Any] = {each.uuid: each for each in manager.find_devices()}

    with kit.check("each door is as it is"):
        for unit, door in doors.items():
            await door.async_update()
            assert door.get_is_open() == is_open(unit), unit
            assert door.mac_address.startswith("48:e1:e9:")
    shut = [unit for unit in UNITS if not is_open(unit)]
    opened = [unit for unit in UNITS if is_open(unit)]
    assert len(shut) >= 5, shut

    with kit.check("an open command opens, and the door pushes that at once"):
        door = doors[shut[0]]
        await door.async_open()
        await eventually(lambda: is_open(shut[0]), 2)
        await eventually(door.get_is_open, 2)

    with kit.check("a door that somebody opens is pushed"):
        kit.act(shut[1], "drive_out")
        await eventually(doors[shut[1]].get_is_open)

    with kit.check("a door that pushes nothing is known when it is asked"):
        kit.act(shut[2], "fault:no_push")
        kit.act(shut[2], "drive_out")
        await asyncio.sleep(1)
        assert doors[shut[2]].get_is_open() is False
        await doors[shut[2]].async_update()
        assert doors[shut[2]].get_is_open() is True

    with kit.check("a close is acknowledged with the state before it, and shuts in the end"):
        unit = opened[0] if opened else shut[0]
        door = doors[unit]
        if not opened:
            await asyncio.sleep(TRAVEL_S)
        await door.async_close()
        acks = [s for _, s in relay.heard if s["header"]["method"] == "SETACK"]
        assert acks == []  # they go to the app that asked, and to nobody else
        await door.async_update()
        assert door.get_is_open() is True
        await eventually(lambda: not is_open(unit), TRAVEL_S)
        await eventually(lambda: door.get_is_open() is False, 2)

    with kit.check("a question with our key is answered, with another one it is error 5001"):
        assert relay.ask(shut[0], KEY)["header"]["method"] == "GETACK"
        answer = relay.ask(shut[0], "another key")
        assert answer["header"]["method"] == "ERROR"
        assert answer["payload"]["error"]["code"] == 5001

    with kit.check("a unit that was paired anew is not believed by the client"):
        kit.act(shut[3], "fault:sign_error")
        kit.act(shut[3], "drive_out")
        await asyncio.sleep(1)
        assert doors[shut[3]].get_is_open() is False
        try:
            await doors[shut[3]].async_update(timeout=1)
        except CommandTimeoutError:
            pass
        else:
            raise AssertionError("its answer was believed")
        kit.act(shut[3], "heal:sign_error")

    with kit.check("a unit that is deaf is the client's own timeout, and the door stays"):
        kit.act(shut[4], "fault:deaf")
        try:
            await doors[shut[4]].async_open(timeout=1)
        except CommandTimeoutError:
            pass
        else:
            raise AssertionError("it answered")
        assert not is_open(shut[4])
        kit.act(shut[4], "heal:deaf")

    with kit.check("a unit that lives in 1970 and takes 6 s is believed all the same"):
        kit.act(shut[4], "fault:epoch_clock")
        began_s = time.monotonic()
        await doors[shut[4]].async_update(timeout=10)
        assert time.monotonic() - began_s > 5
        pushed = [s["header"]["timestamp"] for t, s in relay.heard if shut[4] in t]
        assert pushed[-1] < 1_000, pushed
        kit.act(shut[4], "heal:epoch_clock")

    with kit.check("an answer that is cut off is none"):
        kit.act(shut[4], "fault:truncated")
        try:
            await doors[shut[4]].async_update(timeout=1)
        except CommandTimeoutError:
            pass
        else:
            raise AssertionError("half an answer was believed")
        kit.act(shut[4], "heal:truncated")

    manager.close()
    await client.async_logout()


server = ThreadingHTTPServer(("127.0.0.1", 0), Cloud)
CLOUD_URL = f"http://127.0.0.1:{server.server_port}"
threading.Thread(target=server.serve_forever, daemon=True).start()
asyncio.run(main())
