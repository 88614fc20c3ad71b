"""A fleet on real sockets: every MQTT device its own connection, datagram devices share one.

MQTT devices speak 3.1.1, as their boards do, over `vendors.wire.mqtt311`.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import structlog

from fleet_sim.fleet import Agenda, Population, polled
from fleet_sim.hub import HubUnit, hubs_of
from fleet_sim.ledger import Ledger
from fleet_sim.unit import SharedSocket, Unit
from vendors.sim import Addresses, Publish
from vendors.wire import mqtt311 as mqtt

if TYPE_CHECKING:
    from fleet_sim.hub_server import HubServer

log = structlog.get_logger("fleet_sim.wire")

_CONNECT_S: Final = 10.0
_RETRY_S: Final = 1.0
_SPREAD: Final = (0.6, 1.4)
_PROBE_SHARE: Final = 0.75  # of the keepalive: PubSubClient pings when it has been idle so long
_TURN_MS: Final = 1
# A socket that is cut loses what its peer has not read; a busy broker may be so far behind.
_IN_FLIGHT_MS: Final = 2_000.0


def wall_ms() -> int:
    """Unix ms of this machine, which the gateway under test shares."""
    return time.time_ns() // 1_000_000


class BoardLink(asyncio.Protocol):
    """A board's MQTT 3.1.1 client: as little of one as boards have; or a hub's."""

    def __init__(self, unit: Unit | HubUnit) -> None:
        assert unit.session is not None
        self._unit = unit
        self._session = unit.session
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self.up = False
        self._packet_id = 0
        self._spoke_s = 0.0
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say CONNECT as the firmware does."""
        self._transport = cast("asyncio.Transport", transport)
        session, will = self._session, self._session.will
        self._write(
            mqtt.Connect(
                client_id=session.client_id,
                clean_session=session.clean_session,
                keep_alive_s=session.keepalive_s,
                username=session.username,
                will=None if will is None else mqtt.Will(*will),
            )
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the device, and whoever reconnects."""
        del exc
        self._transport = None
        if self.up:
            self.up = False
            self._unit.went_down()
        if not self.over.done():
            self.over.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Packets from the broker."""
        buffer, at = self._buffer + data, 0
        while (found := mqtt.read(buffer, at)) is not None:
            packet, used = found
            at += used
            self._take(packet)
        self._buffer = buffer[at:]

    def _take(self, packet: mqtt.Packet) -> None:
        if isinstance(packet, mqtt.ConnAck):
            if packet.code:
                self.drop()
                return
            if self._session.subscriptions:
                self._write(
                    mqtt.Subscribe(packet_id=self._next_id(), filters=self._session.subscriptions)
                )
            self.up = True
            self._unit.came_up()
            self._unit.fleet.agenda.at(wall_ms() + self._session.keepalive_s * 500, self._probe)
        elif isinstance(packet, mqtt.Publish):
            if packet.qos:
                self._write(mqtt.PubAck(packet_id=packet.packet_id))
            self._unit.received(Publish(packet.topic, packet.payload, packet.qos, packet.retain))

    def publish(self, message: Publish) -> None:
        """Send one; QoS 1 is not repeated, as a board without a session does not."""
        packet_id = self._next_id() if message.qos else 0
        self._write(
            mqtt.Publish(
                message.topic, message.payload, message.qos, message.retain, packet_id=packet_id
            )
        )

    def _probe(self, now_ms: int) -> None:
        if not self.up:
            return
        keepalive_s = self._session.keepalive_s
        if asyncio.get_running_loop().time() - self._spoke_s >= keepalive_s * _PROBE_SHARE / 2:
            self._write(mqtt.PingReq())
        self._unit.fleet.agenda.at(now_ms + keepalive_s * 500, self._probe)

    def _write(self, packet: mqtt.Packet) -> None:
        if self._transport is not None:
            self._spoke_s = asyncio.get_running_loop().time()
            self._transport.write(mqtt.encode(packet))

    def _next_id(self) -> int:
        self._packet_id = self._packet_id % 65_535 + 1
        return self._packet_id

    def drop(self) -> None:
        """Cut the link without a word: the broker publishes the will."""
        if self._transport is not None:
            self._transport.abort()

    def leave(self) -> None:
        """Say DISCONNECT and go."""
        if self._transport is not None:
            self._write(mqtt.Disconnect())
            self._transport.close()


class WireFleet:
    """All populations of a run, on sockets.

    Args:
        pace: how many times as often as in life people use their devices.
    """

    def __init__(
        self, populations: Iterable[Population], *, seed: int, pace: float, broker: tuple[str, int]
    ) -> None:
        self.populations = list(populations)
        self.seed = seed
        self.pace = pace
        self.in_flight_ms = _IN_FLIGHT_MS
        self.ledger = Ledger(polled(self.populations))
        self.agenda = Agenda()
        #: The world stands still: no timer fires, no habit is followed; questions are answered.
        self.quiet = False
        self._broker = broker
        self.units = [
            Unit(self, population, device)
            for population in self.populations
            for device in population.devices
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._socket: asyncio.DatagramTransport | None = None
        self._panels = SharedSocket(self.units)
        self.hubs = hubs_of(self, self.units)
        self.server: HubServer | None = None
        for unit in self.units:
            self.ledger.tally(unit.vendor).devices += 1

    def now_ms(self) -> float:
        """Unix ms of this machine, with its fraction."""
        return time.time_ns() / 1e6

    async def open_datagrams(self) -> int:
        """Bind the datagram devices' common socket; its port."""
        loop = asyncio.get_running_loop()
        self._socket, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self._panels.arrived), local_addr=("127.0.0.1", 0)
        )
        return int(self._socket.get_extra_info("sockname")[1])

    async def open_hubs(self, folder: Path) -> Addresses:
        """Let the hubs that are servers listen, powered; where they all are, without a broker.

        A server is there before anybody asks it, and a gateway that finds nobody backs off.
        """
        servers = [hub for hub in self.hubs if hub.session is None]
        if servers:
            # Only a fleet with such hubs needs an HTTP server.
            from fleet_sim.hub_server import HubServer  # noqa: PLC0415 -- see above

            self.server = HubServer(servers, folder)
            await self.server.open()
            for hub in servers:
                hub.came_up()
            return Addresses(hubs=self.server.urls, ca_file=self.server.ca_file)
        return Addresses()

    async def start(self, connects_per_s: float = 500.0) -> None:
        """Connect everybody, not all at once, and let people begin."""
        self._tasks.append(asyncio.create_task(self._clockwork()))
        for hub in self.hubs:
            if hub.session is not None:
                self._tasks.append(asyncio.create_task(self._keep(hub)))
        for unit in self.units:
            if unit.session is not None:
                self._tasks.append(asyncio.create_task(self._keep(unit)))
                await asyncio.sleep(1 / connects_per_s)
            elif unit.behind is None:
                unit.came_up()
            unit.live()

    async def _keep(self, unit: Unit | HubUnit) -> None:
        """Hold one device's connection, and make it again as its firmware does."""
        loop = asyncio.get_running_loop()
        assert unit.session is not None
        while True:
            try:
                async with asyncio.timeout(_CONNECT_S):
                    _, link = await loop.create_connection(lambda: BoardLink(unit), *self._broker)
            except (OSError, TimeoutError):
                await asyncio.sleep(_RETRY_S)
                continue
            unit.link = link
            try:
                await asyncio.shield(link.over)
            finally:
                unit.link = None
                link.drop()
            # Boards that went together do not come back in the same millisecond.
            await asyncio.sleep(unit.session.reconnect_s * unit.rng.uniform(*_SPREAD))

    async def _clockwork(self) -> None:
        while True:
            if not self.quiet:
                self.agenda.run(wall_ms())
            next_ms = self.agenda.next_ms
            wait_ms = 20 if next_ms is None else next_ms - wall_ms()
            await asyncio.sleep(min(max(wait_ms, _TURN_MS), 20) / 1000)

    def of(self, vendor: str) -> list[Unit]:
        """One vendor's devices."""
        return [unit for unit in self.units if unit.vendor == vendor]

    def datagram(self, payload: bytes, address: tuple[str, int]) -> None:
        """Let one leave by the common socket."""
        if self._socket is not None:
            self._socket.sendto(payload, address)

    async def stop(self) -> None:
        """Disconnect everybody politely."""
        for link in [each.link for each in self.units] + [each.link for each in self.hubs]:
            if link is not None:
                link.leave()
        await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.server is not None:
            await self.server.close()
        if self._socket is not None:
            self._socket.close()


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


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, arrived: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._arrived = arrived

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._arrived(data, (addr[0], addr[1]))


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
            self._probe = asyncio.get_running_loop().call_later(20, self._ping)

    def connection_lost(self, exc: Exception | None) -> None:
        """The run will end without a verdict."""
        del exc
        self.lost = True
        self._transport = None
        if self._probe is not None:
            self._probe.cancel()

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

    def close(self) -> None:
        """Leave."""
        if self._transport is not None:
            self._transport.close()
