"""meross-iot's encryption at simulated msg200 units on the LAN.

The library asks a unit on the LAN once it was discovered over MQTT; here it is told of the unit by
hand, and everything that goes over the wire is still made and read by the library.
"""

# ruff: noqa: SLF001 -- the library has no public way onto the LAN without the vendor's cloud
import asyncio
import json
import time
import uuid
from datetime import UTC, datetime
from hashlib import md5
from typing import Any
from urllib.parse import urlsplit

import requests
from kit import kit
from meross_iot.controller.mixins.garage import GarageOpenerMixin
from meross_iot.device_factory import build_meross_device_from_abilities
from meross_iot.http_api import MerossHttpClient
from meross_iot.manager import MerossManager
from meross_iot.model.credentials import MerossCloudCreds
from meross_iot.model.enums import Namespace
from meross_iot.model.http.device import HttpDeviceInfo

SETTINGS: dict[str, Any] = kit.about["settings"]
KEY: str = SETTINGS["account_key"]
UNIT: dict[str, Any] = SETTINGS["devices"][0]
UUID: str = UNIT["uuid"]
AT: str = urlsplit(UNIT["url"]).netloc


def is_open(channel: int) -> bool:
    """What is true of a door."""
    return bool(kit.truth(f"{UUID}-{channel}")["position"] != "FullyClosed")


def plainly(namespace: str) -> requests.Response:
    """A question without encryption."""
    message_id, at_s = uuid.uuid4().hex, int(time.time())
    header = {
        "messageId": message_id,
        "namespace": namespace,
        "method": "GET",
        "payloadVersion": 1,
        "from": "/app/0-check/subscribe",
        "timestamp": at_s,
        "sign": md5(f"{message_id}{KEY}{at_s}".encode()).hexdigest(),
    }
    body = json.dumps({"header": header, "payload": {}}, separators=(",", ":"))
    return requests.post(f"http://{AT}/config", data=body, timeout=5)


def client_of(key: str, abilities: dict[str, Any]) -> tuple[MerossManager, Any]:
    """The library, as if it had logged in with this key, and its view of the unit."""
    creds = MerossCloudCreds(
        token="t",
        key=key,
        user_id="0",
        user_email="nobody@example.test",
        domain="http://127.0.0.1:9",
        mqtt_domain="127.0.0.1",
        issued_on=datetime.now(UTC),
    )
    manager = MerossManager(MerossHttpClient(cloud_credentials=creds))
    listed = HttpDeviceInfo(
        uuid=UUID,
        online_status=1,
        dev_name="doors",
        device_type="msg200",
        channels=[{}, {}, {}, {}],
        fmware_version="4.2.8",
        hdware_version="4.0.0",
        domain="127.0.0.1",
        reserved_domain="127.0.0.1",
    )
    device = build_meross_device_from_abilities(
        http_device_info=listed, device_abilities=abilities, manager=manager
    )
    device._inner_ip, device._mac_address = AT, UNIT["mac"]
    manager._device_registry.enroll_device(device)
    return manager, device


async def ask(manager: MerossManager, method: str, what: Namespace, payload: dict[str, Any]) -> Any:
    """The library's own way over the LAN."""
    return await manager._async_execute_cmd_http(
        device_ip=AT,
        destination_device_uuid=UUID,
        method=method,
        namespace=what,
        payload=payload,
        timeout=10,
    )


async def fails(manager: MerossManager) -> bool:
    """Whether a question of this client ends in an error of its own."""
    try:
        await ask(manager, "GET", Namespace.SYSTEM_ALL, {})
    except Exception:  # noqa: BLE001 -- the library names none
        return True
    return False


async def main() -> None:
    """All checks."""
    abilities: dict[str, Any] = {}
    with kit.check("what it can do is told plainly, encryption too"):
        abilities |= plainly("Appliance.System.Ability").json()["payload"]["ability"]
        assert "Appliance.Encrypt.ECDHE" in abilities

    with kit.check("any other plain question is cut off"):
        try:
            plainly("Appliance.System.All")
        except requests.exceptions.ConnectionError:
            pass
        else:
            raise AssertionError("answered")

    manager, device = client_of(KEY, abilities)
    with kit.check("the library takes it for a garage opener that encrypts"):
        assert isinstance(device, GarageOpenerMixin)
        assert device.support_encryption()

    with kit.check("an encrypted answer tells all three doors"):
        said = await ask(manager, "GET", Namespace.SYSTEM_ALL, {})
        await device.async_handle_update(namespace=Namespace.SYSTEM_ALL, data=said)
        for channel in (1, 2, 3):
            assert device.get_is_open(channel) == is_open(channel), channel

    shut = [channel for channel in (1, 2, 3) if not is_open(channel)]
    with kit.check("one door opens, and its acknowledgement says shut"):
        state = {"state": {"channel": shut[0], "open": 1, "uuid": UUID}}
        said = await ask(manager, "SET", Namespace.GARAGE_DOOR_STATE, state)
        assert [entry["channel"] for entry in said["state"]] == [shut[0]], said
        assert (said["state"][0]["open"], said["state"][0]["execute"]) == (0, 1), said
        assert [channel for channel in shut if is_open(channel)] == [shut[0]]

    with kit.check("a door that is open already is left alone, and says so"):
        state = {"state": {"channel": shut[0], "open": 1, "uuid": UUID}}
        said = await ask(manager, "SET", Namespace.GARAGE_DOOR_STATE, state)
        assert (said["state"][0]["open"], said["state"][0]["execute"]) == (1, 0), said

    with kit.check("channel 0 opens every door"):
        state = {"state": {"channel": 0, "open": 1, "uuid": UUID}}
        await ask(manager, "SET", Namespace.GARAGE_DOOR_STATE, state)
        assert all(is_open(channel) for channel in (1, 2, 3))

    with kit.check("another key is cut off"):
        stranger, _ = client_of(KEY[::-1], abilities)
        assert await fails(stranger)

    with kit.check("a unit that was paired anew answers with an error, signed with its key"):
        kit.act(f"{UUID}-1", "fault:sign_error")
        said = await ask(manager, "GET", Namespace.SYSTEM_ALL, {})
        assert said["error"]["code"] == 5001, said
        kit.act(f"{UUID}-1", "heal:sign_error")

    with kit.check("half an answer is the client's own error"):
        kit.act(f"{UUID}-1", "fault:truncated")
        assert await fails(manager)
        kit.act(f"{UUID}-1", "heal:truncated")
        assert not await fails(manager)


asyncio.run(main())
