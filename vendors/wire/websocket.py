"""One WebSocket to one host, kept open: text in, text out, and the link's state told.

host ◄──► aiohttp ◄──► WsLink ──► on_text (in order) · on_link
                         ▲
                       send(): False, and nothing left us, while there is no link
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final, NoReturn, Protocol

import aiohttp

from vendors.wire.backoff import Backoff
from vendors.wire.http import client_context

_OPEN_S: Final = 10.0
# A silent host is told from a dead one by its pong.
_HEARTBEAT_S: Final = 20.0
# The first answer of a hub describes every node that it has.
_MESSAGE_MAX: Final = 32 * 1024 * 1024
_BACKOFF: Final = Backoff(500, 30_000)
_REDIRECTS: Final = range(300, 400)
# A link that held for so long is no part of a row of failures.
_STEADY_S: Final = 10.0


class Channel(Protocol):
    """An open WebSocket."""

    async def send(self, text: str) -> None:
        """Let one message leave; raises ConnectionError if it cannot."""

    async def receive(self) -> str | None:
        """The next message; None once it is closed. Raises ConnectionError for a broken one."""

    async def close(self) -> None:
        """Close it."""


#: (URL, headers) to an open channel; raises ConnectionError. The seam for in-process runs.
WsConnect = Callable[[str, Mapping[str, str]], Awaitable[Channel]]


class WsLink:
    """A WebSocket that is made again whenever it is lost.

    Args:
        url: `ws://host:port/path`, or `wss://`.
        rng: for the jitter of reconnects.
        on_text: called with each message; a ConnectionError of it closes the link.
        on_open: awaited first on each new link, before any message is read; may `send`.
        on_link: told (False, why) when there is no link, again after each attempt; that there is
            one `on_open` tells.
        network: of the port; its `ws_connect` replaces the socket.
    """

    def __init__(  # noqa: PLR0913 -- by keyword
        self,
        url: str,
        *,
        rng: Random,
        on_text: Callable[[str], None],
        on_open: Callable[[], Awaitable[None]],
        on_link: Callable[[bool, str], None],
        headers: Mapping[str, str] | None = None,
        network: Any = None,  # noqa: ANN401 -- the simulators' own type
        ca_file: Path | None = None,
    ) -> None:
        self._url = url
        self._rng = rng
        self._on_text = on_text
        self._on_open = on_open
        self._on_link = on_link
        self._headers = dict(headers or {})
        self._ca_file = ca_file
        self._connect: WsConnect = network.ws_connect if network is not None else self._over_socket
        self._channel: Channel | None = None

    @property
    def up(self) -> bool:
        """Whether there is a link."""
        return self._channel is not None

    async def send(self, text: str) -> bool:
        """Let one message leave; False if there is no link, or it broke under it."""
        if self._channel is None:
            return False
        try:
            await self._channel.send(text)
        except ConnectionError:
            return False
        return True

    async def drop(self) -> None:
        """Close this link; another one is made."""
        if self._channel is not None:
            await self._channel.close()

    async def run(self) -> NoReturn:
        """Stay connected until cancelled."""
        loop, attempt = asyncio.get_running_loop(), 0
        while True:
            began_s = loop.time()
            reason = "closed by the host"
            try:
                async with asyncio.timeout(_OPEN_S):
                    self._channel = await self._connect(self._url, self._headers)
                await self._on_open()
                while (text := await self._channel.receive()) is not None:
                    self._on_text(text)
            except (ConnectionError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
            finally:
                channel, self._channel = self._channel, None
                if channel is not None:
                    with contextlib.suppress(ConnectionError):
                        await channel.close()
            self._on_link(False, reason)  # noqa: FBT003 -- up
            attempt = 0 if loop.time() - began_s >= _STEADY_S else attempt + 1
            await asyncio.sleep(_BACKOFF.delay_ms(attempt, self._rng) / 1000)

    async def _over_socket(self, url: str, headers: Mapping[str, str]) -> Channel:
        try:
            context = client_context(self._ca_file)
        except OSError as error:
            raise ConnectionError(f"ca_file: {error.strerror or error}") from error
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context), middlewares=(_stay_here,)
        )
        try:
            socket = await session.ws_connect(
                url, headers=headers, heartbeat=_HEARTBEAT_S, max_msg_size=_MESSAGE_MAX
            )
        except aiohttp.InvalidURL:
            await session.close()
            raise ConnectionError("no URL") from None
        except aiohttp.ClientResponseError as error:  # its text holds the URL, and so the token
            await session.close()
            raise ConnectionError(f"answered with status {error.status}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            await session.close()
            raise ConnectionError(str(error) or type(error).__name__) from error
        except BaseException:
            await session.close()
            raise
        return _Socket(session, socket)


async def _stay_here(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """A host that points elsewhere would have our token carried there."""
    response = await handler(request)
    if response.status in _REDIRECTS:
        response.close()
        raise ConnectionError(f"answered with status {response.status}")
    return response


class _Socket:
    """aiohttp's WebSocket as a `Channel`."""

    def __init__(
        self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse
    ) -> None:
        self._session = session
        self._socket = socket

    async def send(self, text: str) -> None:
        try:
            await self._socket.send_str(text)
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise ConnectionError(str(error)) from error

    async def receive(self) -> str | None:
        while True:
            message = await self._socket.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    text: str = message.data
                    return text
                case aiohttp.WSMsgType.ERROR:
                    raise ConnectionError(str(message.data))
                case aiohttp.WSMsgType.CLOSE | aiohttp.WSMsgType.CLOSING | aiohttp.WSMsgType.CLOSED:
                    return None
                case _:
                    continue  # binary: no host of ours speaks it

    async def close(self) -> None:
        await self._socket.close()
        await self._session.close()
