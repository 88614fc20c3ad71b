"""Being told over HTTP: a small server that answers 2xx only after the commit.

    vendor ─► bounded body ─► accept() ─► Port.offer ─ ─ ─ committed ─► the vendor's answer
                   │             │                         │ not in time: 503
                 413        its own status

Who calls is checked by `accept`, since every vendor proves itself otherwise, or not at all.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from aiohttp import web

from vendors.api import Frame, Port
from vendors.http import HttpReply, HttpRequest

#: A call to the frames that it brought and what to answer once they are durable; no frames: at
#: once. Raises nothing: a refusal is a reply.
Accept = Callable[[HttpRequest], tuple[Sequence[Frame], HttpReply]]
Handler = Callable[[HttpRequest], Awaitable[HttpReply]]

# The longest that a lock's vendor sends is below 1 KiB.
_BODY_MAX: Final = 64 * 1024
# Most vendors give up after 5 to 10 s, and then nobody sends it again.
_COMMIT_MS: Final = 4_000
_CALLS_MAX: Final = 256
# Nobody who means it takes longer over so little.
_BODY_S: Final = 5.0
_TOO_LARGE: Final = HttpReply(413)
# What comes after a refusal is thrown away for so long, and then the connection is.
_LINGER_S: Final = 1.0
_TOO_SLOW: Final = HttpReply(408)
_LATER: Final = HttpReply(503, b"", (("Retry-After", "1"),))


class WebhookListener:
    """One listening socket of one cell.

    Args:
        port: the cell.
        accept: see `Accept`.
        bind: (host, port) to listen on; port 0 takes a free one.
        cert_file, key_file: PEM files, for TLS; absent, plain HTTP.
        body_s: how long a caller may take over its body.
    """

    def __init__(  # noqa: PLR0913 -- by keyword
        self,
        port: Port,
        accept: Accept,
        bind: tuple[str, int],
        *,
        cert_file: Path | None = None,
        key_file: Path | None = None,
        body_s: float = _BODY_S,
    ) -> None:
        self._port = port
        self._body_s = body_s
        self._accept = accept
        self._bind = bind
        self._tls = (cert_file, key_file)
        self._calls = 0
        self._runner: web.ServerRunner | None = None
        self._close: Callable[[], None] | None = None
        #: Where we listen, once we do.
        self.address: tuple[str, int] = bind
        #: Calls that were refused before or by `accept`.
        self.refused = 0

    async def open(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken, the address is not ours, or a TLS file cannot be read.
        """
        network: Any = self._port.network
        if network is not None:
            self.address, self._close = await network.webhook_listen(self._bind, self.handle)
            return
        self._runner = web.ServerRunner(
            web.Server(self._serve, access_log=None, lingering_time=_LINGER_S)
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, *self._bind, ssl_context=self._context())
        try:
            await site.start()
        except OSError:
            await self.close()
            raise
        host, port, *_ = self._runner.addresses[0]
        self.address = (host, port)

    def _context(self) -> ssl.SSLContext | None:
        cert_file, key_file = self._tls
        if cert_file is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert_file, key_file)
        return context

    @property
    def base_url(self) -> str:
        """How we are called from this machine; behind a proxy the operator says otherwise."""
        host, port = self.address
        return f"{'https' if self._tls[0] is not None else 'http'}://{host}:{port}"

    async def close(self) -> None:
        """Listen no longer."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        if self._close is not None:
            self._close()
            self._close = None

    async def handle(self, call: HttpRequest) -> HttpReply:
        """One call: its frames offered, and its answer once they are durable."""
        if len(call.body) > _BODY_MAX:
            self.refused += 1
            return _TOO_LARGE
        if self._calls >= _CALLS_MAX:
            self.refused += 1
            return _LATER
        self._calls += 1
        try:
            frames, reply = self._accept(call)
            if not frames:
                self.refused += reply.status >= web.HTTPBadRequest.status_code
                return reply
            durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._port.offer(frames, partial(_settle, durable))
            try:
                async with asyncio.timeout(_COMMIT_MS / 1000):
                    await durable
            except TimeoutError:
                return _LATER  # it may come again, and is then a repeat
            return reply
        finally:
            self._calls -= 1

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            async with asyncio.timeout(self._body_s):
                call = await request_from(request, _BODY_MAX)
        except ValueError:
            self.refused += 1
            return response_of(_TOO_LARGE)
        except TimeoutError:
            self.refused += 1
            return response_of(_TOO_SLOW)
        return response_of(await self.handle(call))


def _settle(durable: asyncio.Future[None]) -> None:
    if not durable.done():  # the caller may have given up
        durable.set_result(None)


async def request_from(request: web.BaseRequest, body_max: int) -> HttpRequest:
    """A request as a value.

    Raises:
        ValueError: its body is longer than `body_max` bytes.
    """
    try:
        await request.content.readexactly(body_max + 1)
    except asyncio.IncompleteReadError as end:
        body = end.partial
    else:
        raise ValueError(f"a body of more than {body_max} bytes")
    return HttpRequest(
        request.method,
        unquote(request.rel_url.raw_path),
        tuple(request.query.items()),
        lower(request.headers),
        body,
    )


def lower(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Headers by lower-case name."""
    return {name.lower(): value for name, value in headers.items()}


def response_of(reply: HttpReply) -> web.Response:
    """A reply for aiohttp to send."""
    return web.Response(status=reply.status, body=reply.body or None, headers=list(reply.headers))
