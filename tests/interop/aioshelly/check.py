"""aioshelly, which Home Assistant uses, at simulated devices: `/shelly`, WebSocket RPC with digest
authentication, deltas and their overlay, errors.

It never speaks MQTT; the RPC core that answers it is the one that answers over MQTT.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aioshelly.common import ConnectionOptions, get_info
from aioshelly.exceptions import InvalidAuthError, RpcCallError
from aioshelly.rpc_device import RpcDevice, RpcUpdateType
from kit import kit

PASSWORD = kit.about["settings"]["direct"]["password"]
URLS: dict[str, str] = kit.about["settings"]["direct"]["devices"]
COVER, OPENER, SECOND = kit.about["devices"]
logging.getLogger("aioshelly").setLevel(logging.CRITICAL)


def options(device: str, password: str = PASSWORD) -> ConnectionOptions:
    """Where a device is, and user admin."""
    at = urlsplit(URLS[device])
    return ConnectionOptions(at.hostname, "admin", password, port=at.port or 80)


async def until(holds: Callable[[], Any], within_s: float = 45.0) -> None:
    """Look again and again; a door takes its time."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 -- the client's state has no event for it
            await asyncio.sleep(0.05)


async def refusal(call: Coroutine[Any, Any, Any]) -> RpcCallError:
    """How the device refuses it."""
    try:
        await call
    except RpcCallError as error:
        return error
    raise AssertionError("it was taken")


class Client:
    """An initialized device, and what it was told of."""

    def __init__(self, session: aiohttp.ClientSession, device: str, password: str = PASSWORD):
        self._session = session
        self._options = options(device, password)
        self.updates: list[RpcUpdateType] = []
        self.rpc: RpcDevice

    async def __aenter__(self) -> RpcDevice:
        self.rpc = await RpcDevice.create(self._session, None, self._options)
        self.rpc.subscribe_updates(lambda _, kind: self.updates.append(kind))
        await self.rpc.initialize()
        return self.rpc

    async def __aexit__(self, *_: object) -> None:
        await self.rpc.shutdown()


async def who(session: aiohttp.ClientSession) -> None:
    """`/shelly` needs no password, and says that the rest does."""
    at = urlsplit(URLS[COVER])
    info = await get_info(session, str(at.hostname), port=at.port or 80)
    assert info["auth_en"] is True
    assert info["gen"] == 3
    assert info["auth_domain"] == info["id"]


async def initialized(session: aiohttp.ClientSession) -> None:
    """All calls of `initialize`, with a challenge in between."""
    async with Client(session, COVER) as device:
        assert device.firmware_supported
        assert device.requires_auth
        assert device.status["cover:0"]["pos_control"] is True
        assert device.config["cover:0"]["maxtime_open"] == 60.0
        assert device.config["mqtt"]["topic_prefix"] == COVER


async def wrong_password(session: aiohttp.ClientSession) -> None:
    """The client's own error."""
    try:
        async with Client(session, COVER, "wrong"):
            pass
    except InvalidAuthError:
        return
    raise AssertionError("a wrong password was taken")


async def moves(session: aiohttp.ClientSession) -> None:
    """To the other end, seen by deltas alone."""
    async with Client(session, COVER) as device:
        was_open = device.status["cover:0"]["state"] == "open"
        there = "closed" if was_open else "open"
        await (device.cover_close(0) if was_open else device.cover_open(0))
        await until(lambda: device.status["cover:0"]["state"] in ("opening", "closing"), 5)
        await until(lambda: device.status["cover:0"]["state"] == there)
        assert device.status["cover:0"]["source"] == "limit_switch"
        assert device.status["cover:0"]["current_pos"] == (100 if there == "open" else 0)
        truth = kit.truth(COVER)["position"]
        assert truth == {"open": "FullyOpened", "closed": "FullyClosed"}[there]


async def stops(session: aiohttp.ClientSession) -> None:
    """Stop on the way, then a position."""
    async with Client(session, SECOND) as device:
        await device.cover_set_position(0, pos=50)
        await until(lambda: device.status["cover:0"]["state"] in ("opening", "closing"), 5)
        assert device.status["cover:0"]["target_pos"] == 50
        await asyncio.sleep(2)
        await device.cover_stop(0)
        await until(lambda: device.status["cover:0"]["state"] == "stopped", 5)
        await device.update_cover_status(0)
        assert 0 < device.status["cover:0"]["current_pos"] < 100
        await device.cover_set_position(0, pos=30)
        await until(lambda: device.status["cover:0"]["state"] == "stopped")
        await until(lambda: abs(device.status["cover:0"]["current_pos"] - 30) <= 1)
        assert abs(kit.truth(SECOND)["position_pct"] - 30) <= 1


async def polls_while_moving(session: aiohttp.ClientSession) -> None:
    """No delta tells a position on the way; who asks is told one."""
    async with Client(session, SECOND) as device:
        await device.cover_open(0)
        await asyncio.sleep(1.5)
        first = (await device.cover_get_status(0))["current_pos"]
        await asyncio.sleep(1.5)
        second = (await device.cover_get_status(0))["current_pos"]
        assert second > first
        await device.cover_stop(0)


async def nobody_asked(session: aiohttp.ClientSession) -> None:
    """A person at the wall switch is a delta too."""
    client = Client(session, COVER)
    async with client as device:
        before = len(client.updates)
        kit.act(COVER, "wall_switch")
        await until(lambda: RpcUpdateType.STATUS in client.updates[before:], 5)
        assert device.status["cover:0"]["state"] in ("opening", "closing")
        await device.cover_stop(0)
        await until(lambda: device.status["cover:0"]["state"] == "stopped", 5)


async def errors(session: aiohttp.ClientSession) -> None:
    """Codes of refusals."""
    async with Client(session, COVER) as device:
        for method, params, wanted in (
            ("Cover.Fly", {"id": 0}, 404),
            ("Cover.Open", {"id": 7}, -105),
            ("Cover.GoToPosition", {"id": 0, "pos": 400}, -103),
            ("Switch.Set", {"id": 0, "on": True}, 404),
        ):
            error = await refusal(device.call_rpc(method, params))
            assert error.code == wanted, (method, error.code)


async def lost_position(session: aiohttp.ClientSession) -> None:
    """GoToPosition is refused while the position is unknown."""
    kit.act(COVER, "fault:position_lost")
    async with Client(session, COVER) as device:
        assert device.status["cover:0"]["current_pos"] is None
        error = await refusal(device.cover_set_position(0, pos=50))
        assert "position unknown" in error.message
    kit.act(COVER, "heal:position_lost")


async def obstructed(session: aiohttp.ClientSession) -> None:
    """The photo eye is an error in a delta, and a closing door does not go on."""
    async with Client(session, SECOND) as device:
        await device.cover_close(0)
        await until(lambda: device.status["cover:0"]["state"] == "closing", 5)
        kit.act(SECOND, "cross_beam")
        await until(lambda: "safety_switch" in device.status["cover:0"].get("errors", []), 5)
        await refusal(device.cover_close(0))
        assert device.status["input:1"]["state"] is True
        assert kit.truth(SECOND)["obstruction"] == "BlockedBySensor"


async def relay(session: aiohttp.ClientSession) -> None:
    """A pulse on the opener's button: the relay lets go by itself, the reeds tell."""
    async with Client(session, OPENER) as device:
        before = device.status["input:0"]["state"], device.status["input:1"]["state"]
        assert sorted(before) == [False, True], before
        assert device.config["switch:0"]["auto_off"] is True
        await device.switch_set(0, True)
        await until(lambda: not any(device.status[f"input:{n}"]["state"] for n in (0, 1)), 5)
        await until(lambda: device.status["switch:0"]["output"] is False, 5)
        after = before[::-1]
        await until(
            lambda: (device.status["input:0"]["state"], device.status["input:1"]["state"]) == after
        )


async def stale(session: aiohttp.ClientSession) -> None:
    """Nonces of one use, as firmware 2.0 marks them: the client proves anew."""
    kit.act(COVER, "fault:stale_nonce")
    async with Client(session, COVER) as device:
        for _ in range(3):
            assert (await device.cover_get_status(0))["id"] == 0
    kit.act(COVER, "heal:stale_nonce")


async def hangs(session: aiohttp.ClientSession) -> None:
    """A WebSocket that gives no reply, while HTTP does."""
    kit.act(COVER, "fault:ws_rpc_hangs")
    device = await RpcDevice.create(session, None, options(COVER))
    try:
        async with asyncio.timeout(3):
            await device.initialize()
    except TimeoutError:
        pass
    else:
        raise AssertionError("it answered")
    finally:
        await device.shutdown()
    await who(session)
    kit.act(COVER, "heal:ws_rpc_hangs")


async def drops(session: aiohttp.ClientSession) -> None:
    """The end of a WebSocket is told, and a new one works."""
    client = Client(session, COVER)
    async with client:
        kit.act(COVER, "fault:no_reconnect")
        await until(lambda: RpcUpdateType.DISCONNECTED in client.updates, 5)
    kit.act(COVER, "heal:no_reconnect")
    await initialized(session)


async def full(session: aiohttp.ClientSession) -> None:
    """Six clients and no seventh."""
    url = URLS[COVER].replace("http", "ws") + "/rpc"
    sockets = [await session.ws_connect(url) for _ in range(6)]
    try:
        await session.ws_connect(url)
    except aiohttp.WSServerHandshakeError:
        pass
    else:
        raise AssertionError("a seventh was let in")
    finally:
        for socket in sockets:
            await socket.close()


CHECKS: dict[str, Callable[[aiohttp.ClientSession], Coroutine[Any, Any, None]]] = {
    "/shelly is for everybody, and says that the rest is not": who,
    "a device is initialized, through its challenge": initialized,
    "a wrong password is the client's own error": wrong_password,
    "a door goes to the other end, told by deltas": moves,
    "a door stops on the way, and goes to a position": stops,
    "where it is while it moves is told to whoever asks": polls_while_moving,
    "what people do is told without a question": nobody_asked,
    "refusals have their codes": errors,
    "a position that is lost is null, and GoToPosition is refused": lost_position,
    "a photo eye is an error, and closing is refused": obstructed,
    "a relay lets go by itself, and reeds tell of the door": relay,
    "a stale nonce is proven anew": stale,
    "a WebSocket may hang while HTTP works": hangs,
    "a lost link is told, and a new one works": drops,
    "there is room for six": full,
}


async def tried(check: Callable[[aiohttp.ClientSession], Coroutine[Any, Any, None]]) -> None:
    """One check with a session of its own."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        await check(session)


for name, each in CHECKS.items():
    with kit.check(name):
        asyncio.run(tried(each))
