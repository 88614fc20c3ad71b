"""One street for every vendor: its simulated devices, its own adapter, its own codec, no sockets.

    people ─► device ─► wire (memory) ─► adapter ─► Port.offer ─► decode ─► twins
                ▲                           │
                └───────────────────────────┘ commands and questions

All of it in simulated time. The truths that the devices state are kept beside, for comparison.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from random import Random
from typing import Any, Final

from devices.command import COMMANDS, NEAR_PCT, Command
from devices.errors import DecodeError, RefusedError, RejectedError, UnavailableError
from devices.reading import Happening, Reading, Value
from devices.twin import Twin
from fleet_sim.broker.topics import matches
from fleet_sim.chance import stream
from fleet_sim.clock import SimLoop
from fleet_sim.conform.peers import MemoryWire, MqttPeer, Network, StreetHub
from vendors.api import Frame, Vendor
from vendors.http import HttpReply
from vendors.sim import (
    Addresses,
    Effects,
    FleetSpec,
    Message,
    Publish,
    Push,
    Reply,
    SimDevice,
    Truth,
)

#: When the street's time begins: 1 January 2026, 00:00 UTC.
EPOCH_MS: Final = 1_767_225_600_000
PANELS_AT: Final = ("192.0.2.1", 60_000)
#: What the commands that take arguments are given.
ARGUMENTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "MoveToPosition": {"position_pct": 40},
    "SetCredential": {"pin": "271828"},
}
# Before anybody does anything, everybody is connected.
_SETTLE_S: Final = 5.0


class Street:
    """Devices of one vendor, the gateway's side of that vendor, and what became of it all."""

    def __init__(
        self,
        vendor: Vendor,
        module: Any,  # noqa: ANN401 -- a `vendors.sim.SimulatorModule`, with what it has besides
        count: int,
        seed: int,
    ) -> None:
        self.vendor = vendor
        self.loop = asyncio.get_running_loop()
        self.module = module
        spec = FleetSpec(count, vendor.name, EPOCH_MS, {})
        self.devices: Sequence[SimDevice] = self.module.fleet(
            spec, lambda name: stream(seed, f"{vendor.name}/{name}")
        )
        self.by_name = {device.name: device for device in self.devices}
        hubs = {id(device.hub): device.hub for device in self.devices if device.hub is not None}
        self.hubs = {key: StreetHub(self, hub) for key, hub in hubs.items()}
        self.seed = seed
        self.rng = Random(seed)  # noqa: S311 -- a seed is the point
        #: Nothing that devices say arrives, and nothing is heard: for laws about silence.
        self.mute = False
        self.network = Network(self)
        servers: Any = [hub for hub in self.hubs.values() if hub.hub.session is None]
        self.at = Addresses(
            "mqtt://broker.example", ":".join(map(str, PANELS_AT)), self.network.serve(servers)
        )
        self.peer: MqttPeer | None = None
        self.wires: list[MemoryWire] = []
        self.sent: list[Message | HttpReply] = []
        self.cut_off: set[str] = set()
        self.said_without_link: list[Message] = []
        self.frames: list[Frame] = []
        self.errors: list[tuple[Frame, DecodeError]] = []
        self.truths: list[Truth] = []
        self.happened: Counter[tuple[str, str]] = Counter()
        self.twins: dict[str, Twin] = {}
        self.link_told = (False, "")
        self._cursors: dict[str, int] = {}
        self._keys: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._begun = False
        self._asker: MemoryWire | None = None
        self.settings = vendor.settings.model_validate(self.module.gateway_settings(spec, self.at))
        self._decode = vendor.decoder(self.settings)
        self.adapter = vendor.connect(self.settings, self)

    # --- the cell's side: a `vendors.api.Port` ---

    def now_ms(self) -> int:
        """Unix ms of the street."""
        return EPOCH_MS + round(self.loop.time() * 1_000)

    def offer(self, frames: Sequence[Frame], committed: Callable[[], None] | None) -> None:
        """Decode and fold at once; what is durable here is what was folded."""
        for frame in frames:
            self.frames.append(frame)
            try:
                facts = self._decode(frame)
            except DecodeError as error:
                self.errors.append((frame, error))
                continue
            for fact in facts:
                self._take(fact, frame.received_at_ms)
            if frame.cursor is not None:
                self._cursors[frame.cursor[0]] = frame.cursor[1]
        if committed is not None:
            committed()

    def _take(self, fact: Reading | Happening, at_ms: int) -> None:
        if isinstance(fact, Reading):
            twin = self.twins.setdefault(fact.device, Twin(fact.device, self.vendor.kind))
            twin.fold([fact], at_ms)
            return
        key = f"{fact.device}/{fact.vendor_key}"
        if fact.vendor_key is None or key not in self._keys:
            self._keys.add(key)
            self.happened[fact.device, fact.type] += 1

    def cursor(self, name: str) -> int | None:
        """The last position under this name."""
        return self._cursors.get(name)

    def link(self, *, up: bool, reason: str) -> None:
        """What the adapter tells of its link."""
        self.link_told = (up, reason)

    def twin(self, device: str) -> Twin | None:
        """The device as folded."""
        return self.twins.get(device)

    # --- the devices' side ---

    def begin(self) -> None:
        """Power on, once somebody listens."""
        if not self._begun:
            self._begun = True
            for hub in self.hubs.values():
                hub.begin()
            for device in self.devices:
                if device.hub is None:
                    self.apply(device, device.connected(self.now_ms()))

    def apply(self, device: SimDevice, effects: Effects) -> None:
        """Carry the messages, keep the truths, plan."""
        self.sent += effects.messages
        if device.name in self.cut_off:
            self.said_without_link += effects.messages
        for message in effects.messages:
            if device.hub is not None:
                self.hubs[id(device.hub)].carry(message, device.name)
            else:
                self._carry(message)
        self.truths += effects.truths
        if (timer := self._timers.pop(device.name, None)) is not None:
            timer.cancel()
        if effects.wake_at_ms is not None:
            delay_s = max(0, effects.wake_at_ms - self.now_ms()) / 1_000
            self._timers[device.name] = self.loop.call_later(delay_s, self._wake, device)

    def _carry(self, message: Message) -> None:
        if self.mute:
            return
        if isinstance(message, Publish):
            if self.peer is not None:
                self.peer.publish(message)
            return
        if isinstance(message, Reply):
            self._datagram(message.payload, self._asker)
        elif isinstance(message, Push):
            for wire in self.wires:
                if wire.address[1] == message.to[1]:
                    self._datagram(message.payload, wire)

    def _datagram(self, payload: bytes, wire: MemoryWire | None) -> None:
        if wire is not None:
            self.loop.call_soon(wire.protocol.datagram_received, payload, PANELS_AT)

    def _wake(self, device: SimDevice) -> None:
        self.apply(device, device.wake(self.now_ms()))

    def act(self, device: SimDevice, what: str) -> None:
        """A habit, a fault or its end."""
        self.apply(device, device.act(what, self.now_ms()))

    def cut(self, device: SimDevice) -> None:
        """The link of an MQTT device, or of its hub, breaks; the broker publishes the will."""
        if device.hub is not None:
            self.hubs[id(device.hub)].cut()
            return
        assert device.session is not None
        self.cut_off.add(device.name)
        if device.session.will is not None and self.peer is not None:
            self.peer.publish(device.session.will)
        self.apply(device, device.disconnected(self.now_ms()))

    def join(self, device: SimDevice) -> None:
        """It is connected again."""
        if device.hub is not None:
            self.hubs[id(device.hub)].join()
            return
        self.cut_off.discard(device.name)
        self.apply(device, device.connected(self.now_ms()))

    def command(self, message: Publish) -> None:
        """Somebody published: each board with a link gets what it subscribed to."""
        if self.mute:
            return
        for device in self.devices:
            if device.session is None or device.name in self.cut_off:
                continue
            if any(matches(topic, message.topic) for topic, _ in device.session.subscriptions):
                self.apply(device, device.receive(message, self.now_ms()))
        for hub in self.hubs.values():
            session = hub.hub.session
            if (
                session is not None
                and hub.powered
                and any(matches(topic, message.topic) for topic, _ in session.subscriptions)
            ):
                hub.apply(hub.hub.receive(message, self.now_ms()))

    def datagram(self, data: bytes, wire: MemoryWire) -> None:
        """The adapter asked: whoever is meant answers."""
        if self.mute:
            return
        self._asker = wire
        for device in self.devices:
            self.apply(device, device.receive(data, self.now_ms()))

    # --- what a test asks for ---

    async def people(self, seconds: float, gap_s: float = 20.0) -> None:
        """Let people use the devices at random, each device's people by its own dice."""
        end_s = self.loop.time() + seconds
        dice = {d.name: stream(self.seed, f"people/{d.name}") for d in self.devices}
        due = {d.name: self.loop.time() + dice[d.name].uniform(0, gap_s) for d in self.devices}
        habits = sorted(self.module.HABITS)
        while True:
            device = min(self.devices, key=lambda each: (due[each.name], each.name))
            at_s = due[device.name]
            await asyncio.sleep(max(0, min(at_s, end_s) - self.loop.time()))
            if at_s >= end_s:
                return
            self.act(device, dice[device.name].choice(habits))
            due[device.name] += dice[device.name].expovariate(1 / gap_s)

    def part(self, name: str) -> str:
        """The first part of the kind that the command acts on; empty if it is the device."""
        kind, spec = self.vendor.kind, COMMANDS[self.vendor.kind.name][name]
        axes = [*spec.done, *spec.known]
        if all(axis in kind.axes for axis in axes):
            return ""
        return next(f"{part}.1" for part, has in kind.parts.items() if set(axes) <= set(has))

    async def send(self, device: SimDevice, name: str, timeout_ms: int | None = None) -> bool:
        """Have the adapter send a command to the device (its first part); whether it left."""
        timeout_ms = timeout_ms or COMMANDS[self.vendor.kind.name][name].timeout_ms
        until_ms = self.now_ms() + timeout_ms
        command = Command(
            "c", device.name, name, until_ms, self.part(name), ARGUMENTS.get(name, {})
        )
        try:
            await self.adapter.send(command)
        except (RefusedError, RejectedError, UnavailableError):
            return False
        return True

    def holds(self, device: SimDevice, name: str, *, already: bool = False) -> bool:
        """Whether the device's twin shows that the command is done (was so `already`)."""
        spec = COMMANDS[self.vendor.kind.name][name]
        wanted = (already and spec.already) or spec.done
        twin, part = self.twins.get(device.name), self.part(name)
        axes = twin.axes if twin is not None else {}
        at = {axis: axes.get(f"{part}.{axis}" if part else axis) for axis in wanted}
        if not all(known and known.value in wanted[axis] for axis, known in at.items()):
            return False
        return all(
            (known := axes.get(axis)) is not None
            and isinstance(known.value, int)
            and abs(known.value - ARGUMENTS[name][argument]) <= NEAR_PCT
            for axis, argument in spec.target.items()
        )

    def finally_true(self, device: str) -> dict[str, Value]:
        """Each axis of the device with the value that the device itself stated last."""
        return {
            truth.key: truth.value
            for truth in self.truths
            if truth.device == device and self.vendor.kind.axis(truth.key) is not None
        }


Play = Callable[[Street], Coroutine[Any, Any, None]]


def perform(
    vendor: Vendor,
    module: Any,  # noqa: ANN401 -- see Street
    play: Play,
    *,
    count: int = 2,
    seed: int = 7,
) -> Street:
    """Let this be played in simulated time; the street as it is then."""

    async def main() -> Street:
        here = Street(vendor, module, count, seed)
        running = here.loop.create_task(here.adapter.run())
        if any(hub.hub.session is None for hub in here.hubs.values()):
            here.begin()
        await asyncio.sleep(_SETTLE_S)
        await play(here)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await here.network.close()
        return here

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        return runner.run(main())
