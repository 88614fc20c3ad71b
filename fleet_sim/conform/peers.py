"""What an adapter meets in the street instead of a network: a broker, datagrams, hubs."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import mqtt5

from fleet_sim.faults import Certificate
from fleet_sim.hub import Lapse, lapse
from fleet_sim.memory_web import MemoryWeb
from vendors.http import HttpReply, HttpRequest
from vendors.sim import (
    Hub,
    HubEffects,
    Message,
    Publish,
    Webhook,
    WsClose,
    WsOpen,
    WsText,
)

if TYPE_CHECKING:
    from fleet_sim.conform.street import Street


_ANY = "0.0.0.0"  # noqa: S104 -- to be matched, not bound
_LOOPBACK = "127.0.0.1"
_FIRST_PORT = 40_000


class MqttPeer:
    """The vendor's broker as the adapter meets it: grants everything, acknowledges everything."""

    def __init__(self, street: "Street", protocol: asyncio.Protocol) -> None:
        self._street = street
        self._protocol = protocol
        self._packet_id = 0
        street.loop.call_soon(protocol.connection_made, cast("asyncio.Transport", self))

    def write(self, data: bytes) -> None:
        """What the adapter sends, packet by packet."""
        view, at = memoryview(data), 0
        while at < len(data):
            packet, length = mqtt5.read(view[at:])
            at += length
            self._street.loop.call_soon(self._take, packet)

    def _take(self, packet: object) -> None:
        match packet:
            case mqtt5.ConnectPacket():
                self._say(mqtt5.ConnAckPacket())
            case mqtt5.SubscribePacket():
                granted = [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE] * len(
                    packet.topic_filters
                )
                self._say(mqtt5.SubAckPacket(packet.packet_id, granted))
                self._street.peer = self
                self._street.begin()
            case mqtt5.PingReqPacket():
                self._say(mqtt5.PingRespPacket())
            case mqtt5.PublishPacket():
                if packet.packet_id is not None:
                    self._say(mqtt5.PubAckPacket(packet.packet_id))
                self._street.command(Publish(packet.topic, packet.payload))

    def publish(self, message: Publish) -> None:
        """What a device says, as a subscriber gets it: live, so without the retain flag."""
        self._packet_id = self._packet_id % 65_535 + 1
        self._say(
            mqtt5.PublishPacket(
                message.topic,
                message.payload,
                qos=mqtt5.QoS.AT_LEAST_ONCE if message.qos else mqtt5.QoS.AT_MOST_ONCE,
                packet_id=self._packet_id if message.qos else None,
            )
        )

    def _say(self, packet: Any) -> None:  # noqa: ANN401 -- any of mqtt5's packets
        self._street.loop.call_soon(self._protocol.data_received, packet.write())

    def close(self) -> None:
        """The adapter hangs up."""
        self._street.peer = None
        self._street.loop.call_soon(self._protocol.connection_lost, None)

    abort = close


class MemoryWire:
    """The adapter's datagram socket: every device hears every datagram, as on a broadcast."""

    def __init__(
        self, street: "Street", protocol: asyncio.DatagramProtocol, address: tuple[str, int]
    ) -> None:
        self._street = street
        self.protocol = protocol
        host, port = address
        self.address = (_LOOPBACK if host == _ANY else host, port or _FIRST_PORT)
        street.wires.append(self)
        protocol.connection_made(cast("asyncio.DatagramTransport", self))

    def sendto(self, data: bytes, addr: tuple[str, int] | None = None) -> None:
        """What the adapter sends; every device hears it."""
        del addr
        self._street.loop.call_soon(self._street.datagram, bytes(data), self)

    def get_extra_info(self, name: str, default: object = None) -> object:
        """`sockname` is the bound address."""
        return self.address if name == "sockname" else default

    def is_closing(self) -> bool:
        """Never, while it is used."""
        return False

    def close(self) -> None:
        """The adapter lets go of it."""
        self._street.loop.call_soon(self.protocol.connection_lost, None)

    abort = close


class StreetHub:
    """A hub of the street, as `fleet_sim.memory_web` meets it."""

    certificate = Certificate.OWN

    def __init__(self, street: "Street", hub: Hub) -> None:
        self.hub = hub
        self.outlet: Any = None
        self.powered = False
        self._street = street
        self._timer: asyncio.TimerHandle | None = None

    def fault_at(self, device: str = "") -> None:
        """No link of the street fails; devices do."""
        del device

    def begin(self) -> None:
        """Power on."""
        self.powered = True
        self.apply(self.hub.connected(self._street.now_ms()))

    def cut(self) -> None:
        """Its link to the broker breaks, and with it that of all its devices."""
        session = self.hub.session
        assert session is not None
        if not self.powered:
            return  # another of its devices was there before
        self.powered = False
        if session.will is not None:
            self.carry(session.will)
        self._street.cut_off |= self._devices
        self.apply(self.hub.disconnected(self._street.now_ms()))

    def join(self) -> None:
        """It is connected again."""
        if not self.powered:
            self._street.cut_off -= self._devices
            self.begin()

    @property
    def _devices(self) -> set[str]:
        return {device.name for device in self._street.devices if device.hub is self.hub}

    def apply(self, effects: HubEffects) -> None:
        """Carry, keep and plan, as the street does for a device."""
        street = self._street
        if not self.powered:
            street.said_without_link += effects.messages
        for name, each in effects.devices.items():
            street.apply(street.by_name[name], each)
        street.sent += effects.messages
        for message in effects.messages:
            self.carry(message)
        if effects.wake_at_ms is not None:
            if self._timer is not None:
                self._timer.cancel()
            delay_s = max(0, effects.wake_at_ms - street.now_ms()) / 1_000
            self._timer = street.loop.call_later(delay_s, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.apply(self.hub.wake(self._street.now_ms()))

    def carry(self, message: Message, device: str = "") -> None:
        """Let one message leave, of a device or of the hub itself."""
        if self._street.mute:
            return
        match message:
            case Publish():
                if self._street.peer is not None:
                    self._street.peer.publish(message)
            case Webhook():
                self.outlet.webhook(self, message, device, self._street.now_ms())
            case WsText() | WsClose():
                self.outlet.websocket(self, message)

    async def request(self, request: HttpRequest, lapse: Lapse = lapse) -> HttpReply | None:
        """What it answers; a mute one never does."""
        if self._street.mute:
            await lapse(None)
        effects = self.hub.receive(request, self._street.now_ms())
        self.apply(effects)
        if effects.answer is not None:
            if effects.answer.delay_ms:
                await lapse(effects.answer.delay_ms / 1_000)
            self._street.sent.append(effects.answer)
        return effects.answer

    def opened(self, peer: str, request: HttpRequest) -> HttpReply | None:
        """Somebody opens a WebSocket."""
        effects = self.hub.receive(WsOpen(peer, request), self._street.now_ms())
        self.apply(effects)
        return effects.answer

    def heard(self, message: WsText | WsClose) -> None:
        """Something came over a WebSocket."""
        if self._street.mute and isinstance(message, WsText):
            return
        self.apply(self.hub.receive(message, self._street.now_ms()))

    def leaves(self, device: str, sent_ms: float) -> None:
        """A webhook leaves; the street keeps no ledger."""
        del device, sent_ms

    def undelivered(self, device: str, since_ms: float) -> None:
        """A webhook that nobody took."""
        del device, since_ms


class Network(MemoryWeb):
    """`Port.network`: what `vendors.wire` asks for instead of sockets."""

    def __init__(self, street: "Street") -> None:
        super().__init__()
        self._street = street

    async def mqtt_opener(self, factory: Callable[[], asyncio.Protocol]) -> tuple[Any, Any]:
        """A `vendors.wire.mqtt.opener.Opener`."""
        protocol = factory()
        return MqttPeer(self._street, protocol), protocol

    async def udp_opener(
        self,
        factory: Callable[[], asyncio.DatagramProtocol],
        address: tuple[str, int],
        broadcast: bool,  # noqa: FBT001 -- the shape of `vendors.wire.udp.DatagramOpener`
    ) -> tuple[Any, Any]:
        """A `vendors.wire.udp.DatagramOpener`."""
        del broadcast
        protocol = factory()
        wire = MemoryWire(self._street, protocol, address)
        self._street.begin()
        return wire, protocol
