"""Our place among the three that a bridge tells.

Whoever knows the address may tell us that a door is locked, so it holds a key made from the
token: the bridge knows it, and whoever may ask the bridge for its callbacks.
"""

import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import structlog

from devices.errors import DecodeError
from vendors.nuki.bridge import auth, codec
from vendors.nuki.bridge.client import BUSY, OK, BridgeClient, BusyError
from vendors.wire.errors import NotSentError

#: Source: Bridge HTTP API 1.13, `/callback`.
CALLBACKS_MAX: Final = 3
# Whoever else uses the bridge may have taken our place.
_LOOK_AGAIN_MS: Final = 120_000
_WITHIN_MS: Final = 10_000
_PATH: Final = "/nuki_bridge"

log = structlog.get_logger("vendors.nuki_bridge")


class Callbacks:
    """One bridge's callbacks, as far as they are of our `name`.

    Args:
        base_url: where we listen; None while we do not.
    """

    def __init__(
        self, url: str, client: BridgeClient, name: str, base_url: Callable[[], str | None]
    ) -> None:
        self._url = url
        self._client = client
        self._base_url = base_url
        self._name = name
        self._prefix = f"{_PATH}/{name}/"
        self._looked_ms: int | None = None
        self._full = False

    def forget(self) -> None:
        """The bridge may have forgotten us, or we listen elsewhere now."""
        self._looked_ms = None

    def are_at(self, path: str) -> bool:
        """Whether this is the address that we gave the bridge."""
        try:
            return secrets.compare_digest(path.encode(), self._path().encode())
        except NotSentError:
            return False

    async def see_to(self, now_ms: int) -> None:
        """Be registered, if it is time to look.

        Raises:
            NotSentError, NoReplyError: the bridge does not answer; busy is no reason.
        """
        base_url = self._base_url()
        due = self._looked_ms is None or now_ms - self._looked_ms >= _LOOK_AGAIN_MS
        if base_url is None or not due:
            return
        try:
            self._note(full=not await self._take_a_place(f"{base_url}{self._path()}"))
        except DecodeError as error:
            log.warning("nuki_bridge.callbacks_unreadable", bridge=self._url, error=error.detail)
        except BusyError:
            return
        self._looked_ms = now_ms

    async def _take_a_place(self, url: str) -> bool:
        """Take old addresses of ours back, and give the present one; whether it is there now."""
        taken = await self._taken()
        for _ in range(CALLBACKS_MAX):
            others = [number for number, each in taken if self._is_ours(each) and each != url]
            again = [number for number, each in taken if each == url][1:]
            if not (spare := others + again):
                break
            # Numbers may move up when one is removed, so each is looked up anew.
            await self._change("/callback/remove", "id", str(spare[0]))
            taken = await self._taken()
        if any(each == url for _, each in taken):
            return True
        return len(taken) < CALLBACKS_MAX and await self._change("/callback/add", "url", url)

    async def _taken(self) -> list[tuple[int, str]]:
        return list(codec.callbacks((await self._client.read("/callback/list")).body))

    async def _change(self, path: str, name: str, value: str) -> bool:
        reply = await self._client.change(path, ((name, value),), _WITHIN_MS)
        if reply.status == BUSY:
            raise BusyError("busy")
        return reply.status == OK and codec.succeeded(reply.body)

    def _path(self) -> str:
        return self._prefix + auth.callback_key(self._client.secret(), f"{self._name} {self._url}")

    def _is_ours(self, url: str) -> bool:
        """Of our name, whatever machine and token it was for."""
        try:
            return urlsplit(url).path.startswith(self._prefix)
        except ValueError:
            return False

    def _note(self, *, full: bool) -> None:
        if full and not self._full:
            log.warning("nuki_bridge.callbacks_full", bridge=self._url, max=CALLBACKS_MAX)
        self._full = full
