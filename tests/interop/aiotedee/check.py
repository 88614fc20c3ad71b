"""aiotedee 0.3.0, the library behind Home Assistant's Tedee integration, at a simulated bridge.

Two things of the client have to be set from outside: its port is a constant of a module (80), and
it waits 5 s after each operation.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import loads
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiotedee import TedeeLocalClient
from aiotedee.client import base, local
from aiotedee.exceptions import TedeeDataUpdateException, TedeeLocalAuthException
from aiotedee.models import TedeeDoorState, TedeeLock, TedeeLockState
from kit import kit

HELD: list[dict[str, Any]] = []
MEANS = {
    "Locked": TedeeLockState.LOCKED,
    "Unlocked": TedeeLockState.UNLOCKED,
    "NotFullyLocked": TedeeLockState.HALF_OPEN,
    "Unlatched": TedeeLockState.PULLED,
}
DOOR = {"DoorClosed": TedeeDoorState.CLOSED, "DoorOpen": TedeeDoorState.OPENED}


class Hook(BaseHTTPRequestHandler):
    """Keeps what the bridge tells."""

    def do_POST(self) -> None:
        """One webhook."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["X-Secret"] == "sesame":
            HELD.append(loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 15.0) -> None:
    """Look once a second, as the vendor asks."""
    until_s = time.monotonic() + within_s
    while not await holds():
        assert time.monotonic() < until_s, f"not within {within_s} s"
        await asyncio.sleep(1)


async def settled(client: TedeeLocalClient, lock: TedeeLock, state: TedeeLockState) -> None:
    """Until the client sees this state."""

    async def so() -> bool:
        await client.sync()
        return lock.state is state

    await until(so)


def client_of(session: aiohttp.ClientSession, token: str = "", **more: Any) -> TedeeLocalClient:
    """A client at the first bridge."""
    bridge = kit.about["settings"]["bridges"][0]
    parts = urlsplit(bridge["url"])
    local.API_LOCAL_PORT = str(parts.port)
    base.LOCK_DELAY = base.UNLOCK_DELAY = 0
    return TedeeLocalClient(
        local_token=token or bridge["token"], local_ip=parts.hostname, session=session, **more
    )


async def reads(client: TedeeLocalClient) -> None:
    """Locks and bridge."""
    with kit.check("it lists the locks with what is true of them"):
        await client.get_locks()
        for device in kit.about["devices"]:
            lock, true = client.locks_dict[int(device)], kit.truth(device)
            assert lock.state is MEANS[true["lock_state"]], lock
            assert lock.is_connected
            assert lock.battery_level == true["battery_pct"]
            assert lock.is_charging is true["charging"]
            assert not lock.is_jammed
            door = true["door_state"]
            assert lock.door_state is DOOR.get(door, TedeeDoorState.NOT_PAIRED), lock
            assert lock.type_name in {"Tedee PRO", "Tedee GO"}
            assert lock.is_enabled_pullspring

    with kit.check("it reads the bridge"):
        found = await client.get_local_bridge()
        assert (found.serial, bool(found.name)) == (next(iter(kit.about["hubs"])), True)


async def operates(client: TedeeLocalClient, device: str) -> None:
    """What a lock does when it is asked to."""
    lock = client.locks_dict[int(device)]
    with kit.check("it unlocks, and sees it unlocked"):
        await client.unlock(int(device))
        await settled(client, lock, TedeeLockState.UNLOCKED)
        assert kit.truth(device)["lock_state"] == "Unlocked"

    with kit.check("it pulls the spring, sees it pulled, and unlocked again"):
        lock.duration_pullspring = -1  # it waits for one second longer than that
        await client.pull(int(device))
        await settled(client, lock, TedeeLockState.PULLED)
        await settled(client, lock, TedeeLockState.UNLOCKED)

    with kit.check("it opens an unlocked door by mode 4"):
        lock.duration_pullspring = -1
        await client.open(int(device))
        await settled(client, lock, TedeeLockState.PULLED)
        await settled(client, lock, TedeeLockState.UNLOCKED)

    with kit.check("it locks, and sees it locked"):
        await client.lock(int(device))
        await settled(client, lock, TedeeLockState.LOCKED)
        assert kit.truth(device)["lock_state"] == "Locked"

    with kit.check("a lock turned halfway is half open, and no jam"):
        kit.act(device, "half_turn")
        await client.sync()
        assert (lock.state, lock.is_jammed) == (TedeeLockState.HALF_OPEN, False)

    with kit.check("a jam is a flag beside the state, and the next motion clears it"):
        with kit.broken(device, "jams"):
            await client.lock(int(device))
            await settled(client, lock, TedeeLockState.HALF_OPEN)
            assert lock.is_jammed
            assert kit.truth(device)["fault"] == "LockJammed"
        await client.lock(int(device))
        await settled(client, lock, TedeeLockState.LOCKED)
        assert not lock.is_jammed


async def proves_itself(
    client: TedeeLocalClient, session: aiohttp.ClientSession, device: str
) -> None:
    """Tokens, right and wrong."""
    with (
        kit.check("the wrong token is the client's own error"),
        kit.refused(TedeeLocalAuthException),
    ):
        await client_of(session, "nonsense").get_locks()

    with kit.check("a bridge whose clock drifts refuses the right token, until it is right"):
        with kit.broken(device, "clock_skew"), kit.refused(TedeeLocalAuthException):
            await client.sync()
        await client.sync()

    with kit.check("a plain token is refused where an encrypted one is needed"):  # noqa: SIM117
        with kit.refused(TedeeLocalAuthException):
            await client_of(session, api_token_mode_plain=True).get_locks()


async def meets_trouble(client: TedeeLocalClient, device: str, other: str) -> None:
    """What bridges and locks are known to do wrong; `other` is a lock that is well."""
    for fault, why in (
        ("far_lock", "a lock out of reach (405)"),
        ("ble_error", "an error over BLE (406)"),
        ("uncalibrated", "a lock without calibration (406)"),
        ("bridge_down", "a bridge that is down"),
    ):
        with (
            kit.check(f"an operation fails with the client's own error: {why}"),
            kit.broken(device, fault),
            kit.refused(TedeeDataUpdateException),
        ):
            await client.unlock(int(device))

    with (
        kit.check("an operation on a lock that does not exist fails with its own error"),
        kit.refused(TedeeDataUpdateException),
    ):
        await client.lock(999_999_999)

    with (
        kit.check("a 204 without Content-Type is what the client cannot read, as was found"),
        kit.broken(other, "bare_204"),
        kit.refused(aiohttp.ContentTypeError),
    ):
        await client.lock(int(other))

    with kit.check("a lock out of reach: state 255, battery 255, not connected, and back"):
        lock = client.locks_dict[int(device)]
        with kit.broken(device, "far_lock"):
            await client.sync()
            assert (lock.state, lock.battery_level) == (TedeeLockState.UNPULLING, 255)
            assert not lock.is_connected
        await client.sync()
        assert lock.is_connected


async def is_told(client: TedeeLocalClient, device: str) -> None:
    """Callbacks, and what comes by them."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    Thread(target=server.serve_forever, daemon=True).start()
    url, header = f"http://127.0.0.1:{server.server_port}/tedee", [{"X-Secret": "sesame"}]
    lock = client.locks_dict[int(device)]

    with kit.check("it registers a webhook with a header, finds and removes it"):
        number = await client.register_webhook(url, header)
        assert [each["url"] for each in await client.get_webhooks()] == [url]
        await client.delete_webhook(number)
        assert await client.get_webhooks() == []

    with kit.check("it sets and clears all webhooks at once"):
        await client.update_webhooks(url, header)
        assert len(await client.get_webhooks()) == 1
        await client.cleanup_webhooks_by_host("127.0.0.1")
        assert await client.get_webhooks() == []
        await client.register_webhook(url)
        await client.delete_webhooks()
        assert await client.get_webhooks() == []

    with kit.check("what the bridge tells is what the client then knows"):
        await client.register_webhook(url, header)
        for habit, event in (
            ("turn_by_hand", "lock-status-changed"),
            ("fault:far_lock", "device-connection-changed"),
            ("heal:far_lock", "device-connection-changed"),
            ("charge", "device-battery-start-charging"),
        ):
            HELD.clear()
            kit.act(device, habit)
            await until(_held)
            assert event in [each["event"] for each in HELD], HELD
            for each in HELD:
                client.parse_webhook_message(each)
        true = kit.truth(device)
        assert lock.state is MEANS[true["lock_state"]]
        assert lock.is_connected
        assert lock.is_charging is true["charging"] is True
    server.shutdown()


async def _held() -> bool:
    return bool(HELD)


async def main() -> None:
    """All checks, one after the other."""
    first, second = kit.about["devices"]
    async with aiohttp.ClientSession() as session:
        client = client_of(session)
        await reads(client)
        await operates(client, first)
        await proves_itself(client, session, first)
        await meets_trouble(client, second, first)
        await is_told(client, first)


if __name__ == "__main__":
    asyncio.run(main())
