"""How a connection gets its transport: the seam where in-process runs replace the network."""

import asyncio
from collections.abc import Awaitable, Callable

from vendors.wire.mqtt.reason import tls_context
from vendors.wire.mqtt.settings import MqttSettings

ProtocolFactory = Callable[[], asyncio.Protocol]
#: Makes a transport for the factory's protocol, or raises OSError. Of the transport only
#: `write`, `close` and `abort` are used; it must call `connection_lost` in the end.
Opener = Callable[[ProtocolFactory], Awaitable[tuple[asyncio.BaseTransport, asyncio.Protocol]]]


def tcp_opener(settings: MqttSettings) -> Opener:
    """TCP, or TLS for `mqtts://`, to the broker of the settings.

    Raises:
        LinkError: permanent; a TLS file is missing or wrong.
    """
    context = tls_context(settings)

    async def opener(
        factory: ProtocolFactory,
    ) -> tuple[asyncio.BaseTransport, asyncio.Protocol]:
        loop = asyncio.get_running_loop()
        return await loop.create_connection(factory, settings.host, settings.port, ssl=context)

    return opener
