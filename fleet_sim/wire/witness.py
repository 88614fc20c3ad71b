"""An independent subscriber, and what sweeps up behind a run."""

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final, cast

from fleet_sim.stage import BrokerAt, StageError
from vendors.wire import mqtt311 as mqtt

_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 20.0
_PING_S: Final = 20.0


class Witness(asyncio.Protocol):
    """An independent QoS 1 subscriber of the bus: what it hears goes into the ledger."""

    def __init__(self, topics: Sequence[str], heard: Callable[[mqtt.Publish], None]) -> None:
        self._topics = topics
        self._heard = heard
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.ready = asyncio.get_running_loop().create_future()
        self._probe: asyncio.TimerHandle | None = None
        self.lost = False
        self._said = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """CONNECT and SUBSCRIBE in one go."""
        self._transport = cast("asyncio.Transport", transport)
        filters = tuple((topic, 1) for topic in self._topics)
        client_id = f"doorfleet-witness-{os.getpid()}"
        self._transport.write(
            mqtt.encode(mqtt.Connect(client_id=client_id, keep_alive_s=60))
            + mqtt.encode(mqtt.Subscribe(packet_id=1, filters=filters))
        )
        self._ping()

    def _ping(self) -> None:
        if self._transport is not None:
            self._transport.write(mqtt.encode(mqtt.PingReq()))
            self._probe = asyncio.get_running_loop().call_later(_PING_S, self._ping)

    def connection_lost(self, exc: Exception | None) -> None:
        """The run will end without a verdict."""
        del exc
        self.lost = True
        self._transport = None
        if self._probe is not None:
            self._probe.cancel()
        if not self.ready.done():
            self.ready.set_exception(
                ConnectionError("it closed the connection; does it let us in?")
            )
            self.ready.exception()  # whoever listens no longer need not look

    def data_received(self, data: bytes) -> None:
        """Hand on and acknowledge."""
        buffer, at, acks = self._buffer + data, 0, []
        while (found := mqtt.read(buffer, at)) is not None:
            packet, used = found
            at += used
            if isinstance(packet, mqtt.Publish):
                if packet.packet_id:
                    acks.append(mqtt.encode(mqtt.PubAck(packet_id=packet.packet_id)))
                self._heard(packet)
            elif isinstance(packet, mqtt.SubAck) and not self.ready.done():
                self.ready.set_result(None)
        self._buffer = buffer[at:]
        if acks and self._transport is not None:
            self._transport.write(b"".join(acks))

    def publish(self, topic: str, payload: bytes) -> None:
        """Say something on the bus, with QoS 1; what the broker loses is not said again."""
        if self._transport is not None:
            packet_id = self._said = self._said % 65_535 + 1
            self._transport.write(
                mqtt.encode(mqtt.Publish(topic, payload, qos=1, packet_id=packet_id))
            )

    def close(self) -> None:
        """Leave."""
        if self._transport is not None:
            self._transport.close()


async def listen(
    broker: BrokerAt, topics: Sequence[str], heard: Callable[[mqtt.Publish], None]
) -> Witness:
    """A witness that has subscribed.

    Raises:
        StageError: the broker cannot be reached, or does not let us in.
    """
    try:
        async with asyncio.timeout(_ANSWER_S):
            _, witness = await asyncio.get_running_loop().create_connection(
                lambda: Witness(topics, heard), broker.host, broker.port
            )
            await witness.ready
    except OSError as error:
        raise StageError(f"broker {broker.url}: {str(error) or 'no answer'}") from error
    return witness


async def forget(broker: tuple[str, int], topics: Iterable[str]) -> None:
    """Clear retained messages, so that a run leaves nothing on a broker that is not its own."""
    async with asyncio.timeout(_CONNECT_S):
        reader, writer = await asyncio.open_connection(*broker)
        client_id = f"doorfleet-sweep-{os.getpid()}"
        writer.write(mqtt.encode(mqtt.Connect(client_id=client_id, keep_alive_s=60)))
        for topic in topics:
            writer.write(mqtt.encode(mqtt.Publish(topic, b"", retain=True)))
        writer.write(mqtt.encode(mqtt.PingReq()))
        heard = b""
        while not heard.endswith(mqtt.encode(mqtt.PingResp())):
            if not (data := await reader.read(4096)):
                break
            heard += data
        writer.write(mqtt.encode(mqtt.Disconnect()))
        writer.close()
        await writer.wait_closed()
