"""switchbot-api 2.13.1, the library behind Home Assistant's SwitchBot Cloud, at a simulated cloud.

Its base URL is a constant of the module, read at each call; its session is given to it.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import loads
from threading import Thread
from typing import Any

import aiohttp
import switchbot_api
from kit import kit
from switchbot_api import (
    Device,
    KeyPadCommands,
    LockCommands,
    LockV2Commands,
    LockV3Commands,
    SwitchBotAPI,
    SwitchbotCloudDeviceLockState,
    SwitchBotConnectionError,
    SwitchBotDeviceOfflineError,
)

HELD: list[dict[str, Any]] = []
#: What its reader makes of a state, and what is true then.
MEANS = {
    SwitchbotCloudDeviceLockState.LOCKED.value: "Locked",
    SwitchbotCloudDeviceLockState.UNLOCKED.value: "Unlocked",
    SwitchbotCloudDeviceLockState.LATCH_BOLT_LOCKED.value: "Unlocked",
}
#: Spelt as the README has it; the client's reader does not know it.
README_ONLY = {"Smart Lock Pro Wifi": {"lock": "Locked", "unlock": "Unlocked"}}
DOORS = {"opened": "DoorOpen", "open": "DoorOpen", "closed": "DoorClosed", "close": "DoorClosed"}
PIN = "271828"
HUB = "C0D5AA000001"


class Hook(BaseHTTPRequestHandler):
    """Keeps what the cloud tells."""

    def do_POST(self) -> None:
        """One webhook."""
        HELD.append(loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 20.0) -> None:
    """Look once in a while."""
    until_s = time.monotonic() + within_s
    while not await holds():
        assert time.monotonic() < until_s, f"not within {within_s} s"
        await asyncio.sleep(0.7)


async def settled(api: SwitchBotAPI, device: str, state: str) -> None:
    """Until the client sees this state."""

    async def so() -> bool:
        return bool((await api.get_status(device))["lockState"] == state)

    await until(so)


async def reads(api: SwitchBotAPI) -> list[Device]:
    """The list, and each lock's status."""
    found: list[Device] = []
    with kit.check("it lists the hub, the locks and their keypads"):
        found = [each for each in await api.list_devices() if isinstance(each, Device)]
        locks = [each for each in found if "Lock" in each.device_type]
        assert [each.device_id for each in locks] == kit.about["devices"]
        assert {each.hub_device_id for each in locks} == {HUB}
        known = {*LockV2Commands.get_supported_devices(), *LockCommands.get_supported_devices()}
        assert len([each for each in locks if each.device_type in known]) == len(locks) - 1

    for each in found:
        if "Lock" not in each.device_type:
            continue
        with kit.check(f"the status of a {each.device_type} is what is true of it"):
            status, true = await api.get_status(each.device_id), kit.truth(each.device_id)
            means = README_ONLY.get(each.device_type, MEANS)
            assert means[status["lockState"]] == true["lock_state"], (status, true)
            assert DOORS.get(status.get("doorState", "")) == true["door_state"], (status, true)
            assert status["calibrate"] is True
            if each.device_type == "Smart Lock":
                assert status["battery"] in {10, 20, 60, 100}
            else:
                assert status["battery"] == true["battery_pct"]
    return found


async def operates(api: SwitchBotAPI, first: str, night: str) -> None:
    """Commands, and what becomes of them."""
    with kit.check("it unlocks, and sees it unlocked"):
        await api.send_command(first, LockCommands.UNLOCK)
        await settled(api, first, "unlocked")
        assert kit.truth(first)["lock_state"] == "Unlocked"

    with kit.check("it locks, sees it locking, then locked"):
        await api.send_command(first, LockCommands.LOCK)
        assert (await api.get_status(first))["lockState"] == "locking"
        await settled(api, first, "locked")
        assert kit.truth(first)["lock_state"] == "Locked"

    with kit.check("a deadbolt command leaves the latch, which its reader knows"):
        await api.send_command(first, LockV2Commands.DEADBOLT)
        await settled(api, first, SwitchbotCloudDeviceLockState.LATCH_BOLT_LOCKED.value)

    with kit.check("a night latch is for one model only"):
        await api.send_command(night, LockV3Commands.NIGHT_LATCH_UNLOCK)
        with kit.refused(SwitchBotConnectionError):
            await api.send_command(first, LockV3Commands.NIGHT_LATCH_UNLOCK)

    with kit.check("what is no lock's command, or no device's, is its own error"):
        for device, command in ((first, "press"), ("NOBODY", "lock"), (HUB, "lock")):
            with kit.refused(SwitchBotConnectionError):
                await api.send_command(device, command)

    with (
        kit.check("an order that is accepted and not executed is a success to it, as was found"),
        kit.broken(first, "accepted_not_executed"),
    ):
        await api.send_command(first, LockCommands.LOCK)
        await asyncio.sleep(5)
        assert kit.truth(first)["lock_state"] == "Unlocked"


async def proves_itself(api: SwitchBotAPI) -> None:
    """Tokens, secrets and nonces."""
    token, secret = kit.about["settings"]["token"], kit.about["settings"]["secret"]
    with kit.check("a wrong token or secret is a connection error to it, as was found (401)"):
        for bad in (("0" * len(token), secret), (token, "0" * len(secret))):
            with kit.refused(SwitchBotConnectionError):
                await SwitchBotAPI(*bad, session=api.session).list_devices()

    with kit.check("the same headers are good for one request only"):
        assert api.session is not None
        headers = api.make_headers(token, secret)
        url = f"{switchbot_api._API_HOST}/v1.1/devices"  # noqa: SLF001 -- the client's only seam
        statuses = []
        for _ in range(2):
            async with api.session.get(url, headers=headers) as reply:
                statuses.append(reply.status)
        assert statuses == [200, 401], statuses

    with kit.check("an old time is refused however it is signed"):
        api_time, time.time = time.time, lambda: api_time() - 400
        try:
            with kit.refused(SwitchBotConnectionError):
                await api.list_devices()
        finally:
            time.time = api_time


async def meets_trouble(api: SwitchBotAPI, device: str) -> None:
    """What the cloud is known to answer."""
    for fault, why in (("device_offline", "161"), ("hub_offline", "171")):
        with (
            kit.check(f"a lock that is away is its own error ({why})"),
            kit.broken(device, fault),
            kit.refused(SwitchBotDeviceOfflineError),
        ):
            await api.get_status(device)

    for fault, why in (
        ("status_190", "190"),
        ("status_300", "a code that nobody documents"),
        ("unauthorized_401", "401"),
        ("rate_429", "429 with JSON"),
    ):
        with (
            kit.check(f"a connection error to it: {why}"),
            kit.broken(device, fault),
            kit.refused(SwitchBotConnectionError),
        ):
            await api.get_status(device)

    with (
        kit.check("429 without JSON escapes as aiohttp's error, as was found"),
        kit.broken(device, "rate_429_text"),
        kit.refused(aiohttp.ContentTypeError),
    ):
        await api.get_status(device)

    with kit.check("a status that stays locked, a word in another case, a jam: as they come"):
        kit.act(device, "come_home")
        await settled(api, device, "unlocked")
        for fault, state in (
            ("status_stays_locked", "locked"),
            ("enum_mismatch", "Unlocked"),
            ("jammed", SwitchbotCloudDeviceLockState.JAMMED.value),
        ):
            with kit.broken(device, fault):
                assert (await api.get_status(device))["lockState"] == state


async def is_told(api: SwitchBotAPI, device: str) -> None:
    """The webhook, and what comes by it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/secret"

    with kit.check("it sets a webhook up, finds it, removes it"):
        await api.setup_webhook(url)
        assert (await api.get_webook_configuration())["urls"] == [url]
        with kit.refused(SwitchBotConnectionError):
            await api.setup_webhook("http://127.0.0.1:1/other")
        await api.delete_webhook(url)
        assert (await api.get_webook_configuration())["urls"] == []

    with kit.check("what people do at a lock comes as a webhook of its shape"):
        await api.setup_webhook(url)
        HELD.clear()
        kit.act(device, "turn_by_hand")
        await until(_held)
        context = HELD[0]["context"]
        assert HELD[0]["eventType"] == "changeReport"
        assert context["deviceMac"] == device
        assert context["deviceType"] == "WoLockPro"
        assert context["lockState"] == kit.truth(device)["lock_state"].upper()
        assert len(str(context["timeOfSample"])) == 13

    with kit.check("a bounce: UNLOCKED, then a false LOCKED 0.9 s later"):
        if kit.truth(device)["lock_state"] == "Unlocked":
            kit.act(device, "turn_by_hand")
            await asyncio.sleep(2)
        with kit.broken(device, "bounce_0p9s"):
            HELD.clear()
            kit.act(device, "turn_by_hand")
            await until(_held_twice)
            assert [each["context"]["lockState"] for each in HELD] == ["UNLOCKED", "LOCKED"]
            assert (await api.get_status(device))["lockState"] == "unlocked"

    await _keys(api, device)
    server.shutdown()


async def _keys(api: SwitchBotAPI, device: str) -> None:
    keypad = device.replace("B0E9FE", "F75A1C")

    with kit.check("a passcode is accepted, told by webhook, listed, and decrypted by the client"):
        HELD.clear()
        new = {"name": "interop", "type": "permanent", "password": PIN}
        await api.send_command(keypad, KeyPadCommands.CREATE_KEY, parameters=new)
        assert (await api.get_device(keypad))["keyList"] == []
        await until(_held)
        context = HELD[0]["context"]
        assert (context["eventName"], context["result"]) == ("createKey", "success")
        (key,) = (await api.get_status(keypad))["keyList"]
        assert (key["name"], key["status"]) == ("interop", "normal")
        assert api.aes_128_cbc_decrypt(key["password"], key["iv"]) == PIN

    with kit.check("a deleted passcode is gone"):
        HELD.clear()
        (key,) = (await api.get_device(keypad))["keyList"]
        await api.send_command(keypad, KeyPadCommands.DELETE_KEY, parameters={"id": key["id"]})
        await until(_held)
        assert HELD[0]["context"]["eventName"].strip() == "deleteKey"
        assert (await api.get_device(keypad))["keyList"] == []

    with kit.check("a passcode of five digits is refused"), kit.refused(SwitchBotConnectionError):
        bad = {"name": "short", "type": "permanent", "password": "12345"}
        await api.send_command(keypad, KeyPadCommands.CREATE_KEY, parameters=bad)


async def _held() -> bool:
    return bool(HELD)


async def _held_twice() -> bool:
    return len(HELD) > 1


async def runs_out(api: SwitchBotAPI) -> None:
    """The last check: nothing is answered after it."""
    with kit.check("beyond the day's quota there is 429, and the client's reader breaks on it"):
        quota = kit.about["settings"]["quota_per_day"]
        asking = [api.get_webook_configuration() for _ in range(quota + 1)]
        said = await asyncio.gather(*asking, return_exceptions=True)
        over = [each for each in said if isinstance(each, aiohttp.ContentTypeError)]
        assert 1 < len(over) <= quota
        assert {error.status for error in over} == {429}
        assert not [each for each in said if isinstance(each, SwitchBotConnectionError)]


async def main() -> None:
    """All checks, one after the other."""
    settings = kit.about["settings"]
    switchbot_api._API_HOST = settings["url"]  # noqa: SLF001 -- the client's only seam
    trusted = ssl.create_default_context(cafile=kit.about["ca_file"])
    connector = aiohttp.TCPConnector(ssl=trusted)
    first, second, _, night, _ = kit.about["devices"]
    async with aiohttp.ClientSession(connector=connector) as session:
        api = SwitchBotAPI(settings["token"], settings["secret"], session)
        await reads(api)
        await operates(api, first, night)
        await proves_itself(api)
        await meets_trouble(api, second)
        await is_told(api, first)
        await runs_out(api)


if __name__ == "__main__":
    asyncio.run(main())
