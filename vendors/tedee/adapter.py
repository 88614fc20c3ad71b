"""Speaking to Tedee bridges: asked and told about locks, and what locks are asked to do.

An accepted operation is no effect: a bridge answers 204 when the motor starts. What the lock
then does is told by webhooks, and found by asking.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson

from devices.command import Command, Reason
from devices.errors import RefusedError, RejectedError, UnavailableError
from vendors.api import Decode, Frame, HostStanding, Port
from vendors.http import HttpReply, HttpRequest, Pairs
from vendors.tedee import codec
from vendors.tedee.bridge_link import PATH, BridgeLink
from vendors.tedee.settings import TedeeSettings
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.webhook import WebhookListener

#: Our name: the end of the path and the query. Mode 3 unlocks and leaves the spring alone; a
#: lock that is set to pull by itself would open the door in mode 0 or 4.
OPERATIONS: Final[Mapping[str, tuple[str, Pairs]]] = {
    "LockDoor": ("lock", ()),
    "UnlockDoor": ("unlock", (("mode", "3"),)),
    "Unlatch": ("pull", ()),
}
#: What a status means whatever the body says. 405 is a lock that the bridge does not hear.
REFUSALS: Final[Mapping[int, str]] = {
    401: Reason.NOT_AUTHORIZED,
    403: Reason.INVALID_ARGUMENT,
    404: Reason.UNKNOWN_DEVICE,
    405: Reason.OFFLINE,
    409: Reason.BUSY,
    429: Reason.RATE_LIMITED,
}
_BLE_ERROR: Final = 406
#: `error-code` of a 406: the lock's own no. 2 is absent: an error of any kind, after which the
#: lock may have moved all the same (patrickhilker/tedee_hass_integration#41).
#: Source: tedee-com/tedee-lock-ble-api-doc, `commands/operations/unlock.rst`, `pull-spring.rst`.
BLE_REFUSALS: Final[Mapping[int, str]] = {
    1: Reason.INVALID_ARGUMENT,
    3: Reason.BUSY,
    5: Reason.NOT_CALIBRATED,
    6: Reason.PRECONDITION,  # unlocked by auto-unlock less than 3 minutes ago
    8: Reason.UNSUPPORTED,  # the spring is not configured
    9: "dismounted",
    10: Reason.PRECONDITION,  # unlocked otherwise less than 3 minutes ago
}
_ACCEPTED: Final = range(200, 300)
_SERVER_FAULT: Final = 500
_LISTEN_AGAIN_S: Final = 5.0
_NOBODY: Final = HttpReply(404)


def decoder(settings: TedeeSettings) -> Decode:
    """The codec needs no settings."""
    del settings
    return codec.decode


def connect(settings: TedeeSettings, port: Port) -> "TedeeAdapter":
    """An adapter that opens nothing before `run`."""
    return TedeeAdapter(settings, port)


class TedeeAdapter:
    """The locks of some bridges."""

    def __init__(self, settings: TedeeSettings, port: Port) -> None:
        self._port = port
        self._settings = settings
        every_ms = round(settings.poll_interval_s * 1000)
        self._links = [
            BridgeLink(number, each, port, every_ms, self._tell_link)
            for number, each in enumerate(settings.bridges, 1)
        ]
        self._listener: WebhookListener | None = None
        if settings.webhook is not None:
            bind = (settings.webhook.host, settings.webhook.port)
            self._listener = WebhookListener(port, self._accept, bind)

    async def run(self) -> None:
        """Ask, and be told, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for link in self._links:
                    tasks.create_task(link.poller.run())
                if self._listener is not None:
                    tasks.create_task(self._be_told(self._listener))
        finally:
            if self._listener is not None:
                await self._listener.close()
            for link in self._links:
                await link.close()

    async def _be_told(self, listener: WebhookListener) -> None:
        """Listen, and let every bridge know where; without it, asking has to do."""
        webhook = self._settings.webhook
        assert webhook is not None
        while True:
            with suppress(OSError):
                await listener.open()
                break
            await asyncio.sleep(_LISTEN_AGAIN_S)
        base_url = webhook.url or listener.base_url
        async with asyncio.TaskGroup() as tasks:
            for link in self._links:
                tasks.create_task(link.keep_callback(base_url, webhook.method))

    def _accept(self, call: HttpRequest) -> tuple[Sequence[Frame], HttpReply]:
        found = PATH.fullmatch(call.path)
        number = int(found[1]) if found is not None else 0
        if found is None or not 1 <= number <= len(self._links):
            return (), _NOBODY
        return self._links[number - 1].take(call, found[2] or "")

    def _tell_link(self) -> None:
        """The vendor is there as long as one bridge answers."""
        troubles = [link.trouble for link in self._links]
        if None in troubles:
            self._port.link(up=True, reason="a bridge answers")
        elif any(troubles):
            self._port.link(up=False, reason=next(each for each in troubles if each))

    # --- commands -----------------------------------------------------------------------------

    async def send(self, command: Command) -> None:
        """Have the bridge operate the lock, once.

        Raises:
            RefusedError: nothing left us.
            RejectedError: the bridge or the lock said no.
            UnavailableError: it left, and what became of it is not known.
        """
        operation = OPERATIONS.get(command.name)
        if operation is None:
            raise RefusedError(Reason.UNSUPPORTED)
        link = self._link_of(command.device)
        if link is None:
            raise RefusedError(Reason.UNAVAILABLE)
        within_ms = command.deadline_ms - self._port.now_ms()
        if within_ms <= 0:
            raise RefusedError(Reason.EXPIRED)
        path, query = operation
        try:
            reply = await link.request(
                "POST", f"/lock/{command.device}/{path}", query=query, within_ms=within_ms
            )
        except NotSentError as error:
            raise RefusedError(Reason.UNAVAILABLE) from error
        except NoReplyError as error:
            link.lively()
            raise UnavailableError(codec.VENDOR, str(error)) from error
        link.lively()
        link.poller.soon()
        _judge(reply)

    def hosts(self) -> Iterable[HostStanding]:
        """Its bridges."""
        return [link.host.standing for link in self._links]

    async def refresh(self, device: str) -> None:
        """Ask its bridge about all of its locks; who asks meanwhile shares the answer."""
        link = self._link_of(device)
        if link is not None:
            with suppress(NotSentError, NoReplyError):
                await link.poller.once()

    def _link_of(self, device: str) -> BridgeLink | None:
        return next((link for link in self._links if device in link.locks), None)


def _judge(reply: HttpReply) -> None:
    """Raise what an answer to an operation amounts to, if it is no yes."""
    if reply.status in _ACCEPTED:
        return
    reason = REFUSALS.get(reply.status)
    if reply.status == _BLE_ERROR:
        code = _error_code(reply.body)
        reason = BLE_REFUSALS.get(code) if code is not None else None
        if reason is None:
            raise UnavailableError(codec.VENDOR, f"the lock reported error {code} over BLE")
    if reason is None and reply.status >= _SERVER_FAULT:
        raise UnavailableError(codec.VENDOR, f"the bridge answered {reply.status}")
    raise RejectedError(codec.VENDOR, reason or f"vendor:{reply.status}")


def _error_code(body: bytes) -> int | None:
    found: Any = None
    with suppress(orjson.JSONDecodeError):
        found = orjson.loads(body)
    code = found.get("error-code") if isinstance(found, dict) else None
    return code if type(code) is int else None
