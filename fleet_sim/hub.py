"""One hub in a run, whatever runs it: it answers for its devices, and their messages leave by it.

host ──► request, WebSocket, topic ──► Hub.receive ──► effects of its devices ──► their units
host ◄── answer, webhook, text, topic ◄──────────────────────────────────────────────┘
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from fleet_sim.chance import stream
from fleet_sim.faults import Fault
from fleet_sim.unit import Host, Link, Unit
from vendors.http import HttpReply, HttpRequest
from vendors.sim import (
    Hub,
    HubEffects,
    Message,
    MqttSession,
    Publish,
    Webhook,
    WsClose,
    WsOpen,
    WsText,
)

# A webhook that waited this long may have been overtaken by an answer that tells the same, or more.
_OVERTAKEN_MS: Final = 250.0


class Outlet(Protocol):
    """Whoever carries what a hub sends that is no answer."""

    def webhook(self, hub: "HubUnit", message: Webhook, device: str, sent_ms: float) -> None:
        """Make the call, in the order of the hub's others; `hub.undelivered` if nobody took it."""

    def websocket(self, hub: "HubUnit", message: WsText | WsClose) -> None:
        """Hand it to the connection that it names; one that is gone swallows it."""

    def cut(self, hub: "HubUnit") -> None:
        """Break every connection of this hub without a word."""


class HubUnit:
    """A hub, and the units of the devices behind it."""

    def __init__(self, fleet: Host, vendor: str, hub: Hub, units: Sequence[Unit]) -> None:
        self.fleet = fleet
        self.vendor = vendor
        self.hub = hub
        self.units = {unit.device.name: unit for unit in units}
        self.rng = stream(fleet.seed, f"hub/{vendor}/{hub.name}")
        self.link: Link | None = None
        self.outlet: Outlet | None = None
        self.powered = False
        self._topics: set[str] = set()
        self._wake_ms: int | None = None
        for unit in units:
            unit.behind = self

    @property
    def session(self) -> MqttSession | None:
        """How it connects to a broker, if it does."""
        return self.hub.session

    @property
    def up(self) -> bool:
        """Whether what its devices send now may arrive."""
        if self.hub.session is None:
            return self.powered
        return self.link is not None and self.link.up

    @property
    def retained(self) -> list[str]:
        """The topics on which a broker keeps the hub's own word."""
        return sorted(self._topics)

    def fault_at(self, device: str = "") -> Fault | None:
        """What strikes a message of this device; of the hub's own, what strikes all devices."""
        if device in self.units:
            return self.units[device].harm()
        faults = {unit.harm() for unit in self.units.values()}
        return faults.pop() if len(faults) == 1 else None

    # --- what happens to it -------------------------------------------------------------------

    def came_up(self) -> None:
        """Power on, or its link is there."""
        self.powered = True
        self.fleet.ledger.tally(self.vendor).linked(len(self.units))
        self.apply(self.hub.connected(self._now()))

    def went_down(self) -> None:
        """Its link is gone."""
        self.fleet.ledger.tally(self.vendor).linked(-len(self.units))
        self.apply(self.hub.disconnected(self._now()))

    def received(self, message: Publish) -> None:
        """Something from the broker."""
        fault = self.fault_at()
        if fault is None or not fault.deaf:
            self.apply(self.hub.receive(message, self._now()))

    async def request(self, request: HttpRequest) -> HttpReply | None:
        """What it answers, when it does; None if the connection is to be cut instead."""
        if not self.powered:
            return None
        fault = self.fault_at()
        if fault is not None and fault.deaf:
            await asyncio.Event().wait()  # whoever asks gives up
        if fault is not None and (refusal := fault.refuse(request, self.rng)) is not None:
            return refusal
        effects = self.hub.receive(request, self._now())
        self.apply(effects)
        answer = effects.answer
        if answer is None:
            return None
        fault = self.fault_at(effects.about)
        delay_ms = answer.delay_ms
        if fault is not None:
            if (refusal := fault.refuse(request, self.rng)) is not None:
                return refusal
            arrivals = fault.strike(answer, self.rng)
            if not arrivals:
                await asyncio.Event().wait()
            more_ms, struck = arrivals[0]
            assert isinstance(struck, HttpReply)
            answer, delay_ms = struck, delay_ms + more_ms
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)
        self.fleet.ledger.tally(self.vendor).frames += 1
        return answer

    def opened(self, peer: str, request: HttpRequest) -> HttpReply | None:
        """Somebody opens a WebSocket that the outlet calls `peer`; the answer, if it is a no."""
        fault = self.fault_at()
        if fault is not None and (refusal := fault.refuse(request, self.rng)) is not None:
            return refusal
        effects = self.hub.receive(WsOpen(peer, request), self._now())
        self.apply(effects)
        return effects.answer

    def heard(self, message: WsText | WsClose) -> None:
        """Something came over a WebSocket, or it is gone."""
        fault = self.fault_at()
        if fault is not None and fault.deaf and isinstance(message, WsText):
            return
        if isinstance(message, WsClose):
            self._loosen()
        self.apply(self.hub.receive(message, self._now()))

    # --- what it does -------------------------------------------------------------------------

    def apply(self, effects: HubEffects) -> None:
        """Let the devices' effects be theirs, send its own, and plan."""
        for name, one in effects.devices.items():
            self.units[name].apply(one, "hub")
        fault = self.fault_at()
        for message in effects.messages:
            self.fleet.ledger.tally(self.vendor).frames += 1
            if isinstance(message, Publish) and message.retain:
                self._topics.add(message.topic)
                for unit in self.units.values():
                    unit.outdated(message.topic)
            arrivals = ((0, message),) if fault is None else fault.strike(message, self.rng)
            for delay_ms, each in arrivals:
                assert not isinstance(each, HttpReply)
                if delay_ms:
                    self.fleet.later(delay_ms, partial(self.deliver, each))
                else:
                    self.deliver(each)
        wake_ms = effects.wake_at_ms
        if wake_ms is not None and wake_ms != self._wake_ms:
            self._wake_ms = wake_ms
            self.fleet.agenda.at(wake_ms, self._wake)

    def deliver(self, message: Message, device: str = "", sent_ms: float | None = None) -> None:
        """Let one message leave, a device's or the hub's own."""
        sent_ms = self.fleet.now_ms() if sent_ms is None else sent_ms
        match message:
            case Publish():
                if self.link is not None and self.link.up:
                    self.link.publish(message)
                elif device:
                    self.undelivered(device, sent_ms)
            case Webhook() if self.outlet is not None and self.powered:
                self.outlet.webhook(self, message, device, sent_ms)
            case Webhook():
                self.undelivered(device, sent_ms)
            case WsText() | WsClose() if self.outlet is not None:
                self.outlet.websocket(self, message)
            case _:
                pass  # nobody is there yet

    def leaves(self, device: str, sent_ms: float) -> None:
        """A webhook of this device leaves only now: an answer to a question may have been faster.

        Whoever knows the newer state need not hear of the older one any more.
        """
        if self.fleet.now_ms() - sent_ms > _OVERTAKEN_MS:
            self.undelivered(device, sent_ms)

    def undelivered(self, device: str, sent_ms: float) -> None:
        """What this device told at that moment has not arrived."""
        if device:
            self.fleet.ledger.loosen(self.vendor, device, sent_ms, sent_ms)

    @property
    def away(self) -> list[Callable[[], None]] | None:
        """As a unit's, while all of its devices are away: it stands where they do."""
        if any(unit.away is None for unit in self.units.values()):
            return None
        return next(iter(self.units.values())).away

    def left(self) -> None:
        """One of its devices has no power: without any it has none itself."""
        if self.away is not None:
            self.cut()
            if self.session is None and self.powered:
                self.went_down()
            self.powered = False

    def returned(self) -> None:
        """One of them has power again. A hub with a session of its own connects by that."""
        if self.session is None and not self.powered:
            self.came_up()

    def cut(self) -> None:
        """Break its links; what is under way on them is lost."""
        self._loosen()
        if self.link is not None:
            self.link.drop()
        if self.outlet is not None:
            self.outlet.cut(self)

    def _loosen(self) -> None:
        since_ms = self.fleet.now_ms() - self.fleet.in_flight_ms
        for name in self.units:
            self.fleet.ledger.loosen(self.vendor, name, since_ms)

    def _wake(self, at_ms: int) -> None:
        if self._wake_ms is None or self._wake_ms > at_ms:
            return  # planned anew since
        self._wake_ms = None
        self.apply(self.hub.wake(at_ms))

    def _now(self) -> int:
        return int(self.fleet.now_ms())


def hubs_of(fleet: Host, units: Sequence[Unit]) -> list[HubUnit]:
    """The hubs of a run, in the order of their first devices."""
    behind: dict[int, tuple[str, Hub, list[Unit]]] = {}
    for unit in units:
        hub = unit.device.hub
        if hub is not None:
            behind.setdefault(id(hub), (unit.vendor, hub, []))[2].append(unit)
    return [HubUnit(fleet, vendor, hub, some) for vendor, hub, some in behind.values()]
