"""A network without sockets: what a cell's adapters open, and what a device's link is made of.

cell ── mqtt_opener ──► MemoryBroker ◄── MemoryLink ── unit
     ── udp_opener ──► datagrams by (host, port) ◄──── the fleet's common socket
     ── http_send, ws_connect, webhook_listen ──► hubs   (`fleet_sim.memory_web`)
"""

import asyncio
import errno
from collections.abc import Callable
from typing import Any, Final, cast

from fleet_sim.broker.memory import MemoryBroker
from fleet_sim.broker.memory_client import MemoryClient
from fleet_sim.broker.message import Message
from fleet_sim.hub import HubUnit
from fleet_sim.memory_web import MemoryWeb
from fleet_sim.sim_link import SimLink
from fleet_sim.unit import Unit
from vendors.sim import Publish
from vendors.wire.udp import Address, Wire

_ANY: Final = ("0.0.0.0", "")  # noqa: S104 -- an address to be matched, not bound
_LOOPBACK: Final = "127.0.0.1"
_BROADCAST: Final = "255.255.255.255"
#: Ports that nobody asked for by number are handed out from here on.
_FIRST_PORT: Final = 49_152

ProtocolFactory = Callable[[], asyncio.DatagramProtocol]


class MemoryNet(MemoryWeb):
    """The `network` of `gateway.app.make_cell`: one broker, one segment for datagrams, a web."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__()
        self.broker = broker
        self.mqtt_opener = broker.connect_transport
        self._ports: dict[int, MemoryDatagrams] = {}

    async def udp_opener(
        self,
        factory: ProtocolFactory,
        local: Address,
        broadcast: bool,  # noqa: FBT001 -- the shape of `vendors.wire.udp.DatagramOpener`
    ) -> tuple[Wire, asyncio.DatagramProtocol]:
        """Bind; port 0 is any free one.

        Raises:
            OSError: the port is taken.
        """
        del broadcast
        host, port = local
        port = port or next(n for n in range(_FIRST_PORT, 65_536) if n not in self._ports)
        if port in self._ports:
            raise OSError(errno.EADDRINUSE, f"port {port} is taken")
        protocol = factory()
        wire = MemoryDatagrams(self, protocol, (_LOOPBACK if host in _ANY else host, port))
        self._ports[port] = wire
        protocol.connection_made(cast("asyncio.DatagramTransport", wire))
        return wire, protocol

    def deliver(self, data: bytes, source: Address, target: Address) -> None:
        """Carry a datagram; one to nobody is lost, as on any network."""
        wire = self._ports.get(target[1])
        if wire is not None:
            wire.take(data, source)

    def release(self, port: int) -> None:
        """Nobody listens there any more."""
        self._ports.pop(port, None)


class MemoryDatagrams:
    """One bound end: a `vendors.wire.udp.Wire`. What is sent arrives on the loop's next turn."""

    def __init__(
        self, net: MemoryNet, protocol: asyncio.DatagramProtocol, address: Address
    ) -> None:
        self._net = net
        self._protocol = protocol
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def sendto(self, data: bytes, addr: Address) -> None:
        """Let one datagram leave; none does once it is closed."""
        if not self._closed:
            self._loop.call_soon(self._net.deliver, bytes(data), self._address, addr)

    def take(self, data: bytes, source: Address) -> None:
        """One arrived."""
        self._protocol.datagram_received(data, source)

    def get_extra_info(self, name: str, default: object = None) -> object:
        """`sockname` is the bound address."""
        return self._address if name == "sockname" else default

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def close(self) -> None:
        """Stop; `connection_lost` follows."""
        if not self._closed:  # the port may be somebody else's by now
            self._closed = True
            self._net.release(self._address[1])
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close


class MemoryLink(SimLink):
    """One board's connection to the in-memory broker."""

    __slots__ = ("_broker", "_client")

    def __init__(self, broker: MemoryBroker, unit: Unit | HubUnit) -> None:
        super().__init__(unit)
        self._broker = broker
        self._client = MemoryClient(broker, self._heard)
        self._client.on_lost = self.lost

    @property
    def up(self) -> bool:
        """Whether what is published now arrives."""
        return self._client.connected

    def join(self) -> bool:
        """Connect and subscribe; False if the broker refuses."""
        session, will = self.session, self.session.will
        try:
            self._client.connect(
                session.client_id,
                will=None
                if will is None
                else Message(will.topic, will.payload, qos=will.qos, retain=will.retain),
                clean=session.clean_session,
                keep_alive_s=session.keepalive_s,
            )
        except ConnectionRefusedError:
            return False
        for topic_filter, qos in session.subscriptions:
            self._client.subscribe(topic_filter, qos)
        return True

    def _heard(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:  # noqa: FBT001 -- OnMessage
        self.unit.received(Publish(topic, payload, qos, retain))

    def publish(self, message: Publish, over_ms: float = 0.0) -> bool:
        """It is with the broker when this returns; whether that could not hand it on."""
        del over_ms
        topic, payload, qos, retain = message
        return not self._client.publish(topic, payload, qos=qos, retain=retain)

    def break_off(self, *, politely: bool) -> None:
        """End the connection; the broker knows at once."""
        if politely:
            self._client.disconnect()
        else:
            self._client.drop()

    def vanish(self) -> None:
        """The broker knows 1.5 keepalives later."""
        self._client.vanish()

    def usurp(self) -> None:
        """The broker knows one client by this id: the latest."""
        if self.up:
            MemoryClient(self._broker).connect(self.session.client_id, keep_alive_s=0)


def listener(heard: Callable[[bytes, Address], None]) -> ProtocolFactory:
    """A datagram protocol that hands everything on."""

    class Listener(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
            heard(data, (addr[0], addr[1]))

    return Listener
