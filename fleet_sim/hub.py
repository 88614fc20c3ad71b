"""One hub in a run, whatever runs it: it answers for its devices, and their messages leave by it.

host ──► request, WebSocket, topic ──► Hub.receive ──► effects of its devices ──► their units
host ◄── answer, webhook, text, topic ◄──────────────────────────────────────────────┘
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from fleet_sim.around import Host, Link
from fleet_sim.chance import stream
from fleet_sim.faults import Carried, Certificate, End, Fault, name_of
from fleet_sim.line import size_of
from fleet_sim.unit import Unit
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
# Whoever asks a host that fails as often as this, hammers it.
_NOTED_MAX: Final = 10_000


class Outlet(Protocol):
    """Whoever carries what a hub sends that is no answer."""

    def webhook(self, hub: "HubUnit", message: Webhook, device: str, sent_ms: float) -> None:
        """Make the call, in the order of the hub's others; `hub.undelivered` if nobody took it."""

    def websocket(self, hub: "HubUnit", message: WsText | WsClose) -> None:
        """Hand it to the connection that it names; one that is gone swallows it."""

    def cut(self, hub: "HubUnit", how: End = End.CLOSED) -> None:
        """Break every connection of this hub without a word."""


#: Lets so many seconds pass, for ever if it is None, while somebody waits for an answer.
Lapse = Callable[[float | None], Awaitable[None]]


async def lapse(seconds: float | None) -> None:
    """Where a connection that is cut takes whoever waits with it."""
    if seconds is None:
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(seconds)


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
        #: How often somebody asked it for something, or shook hands with it in vain.
        self.asked = 0
        #: When that was, Unix ms, while the whole hub was struck.
        self.asked_ms: list[float] = []
        self._words: Mapping[str, bytes] = getattr(hub, "REFUSALS", {})
        self._dated: bool = getattr(hub, "DATED", True)
        self._topics: set[str] = set()
        self._wake_ms: int | None = None
        #: Until when a slow link carries answers.
        self._busy_ms = 0.0
        #: Its links died, and nobody was told.
        self._severed = False
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

    @property
    def struck(self) -> bool:
        """Whether the hub itself is struck, even if it does no harm at this moment."""
        return self.whole and next(iter(self.units.values())).fault is not None

    @property
    def whole(self) -> bool:
        """Whether all of its devices are struck alike, and so the hub itself."""
        return len({unit.fault for unit in self.units.values()}) == 1

    def fault_at(self, device: str = "") -> Fault | None:
        """What strikes a message of this device; of the hub's own, what strikes all devices."""
        if device in self.units:
            return self.units[device].harm()
        # One of them speaks for all: a hub that fails now and then does so as one.
        return next(iter(self.units.values())).harm() if self.whole else None

    @property
    def certificate(self) -> Certificate:
        """What it shows to whoever connects now, if it speaks TLS."""
        fault = self.fault_at()
        return Certificate.OWN if fault is None else fault.certificate

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

    def was_asked(self) -> None:
        """Somebody asks, or shakes hands in vain."""
        self.asked += 1
        if self.struck and len(self.asked_ms) < _NOTED_MAX:
            self.asked_ms.append(self.fleet.now_ms())

    async def request(self, request: HttpRequest, lapse: Lapse = lapse) -> HttpReply | None:
        """What it answers, when it does; None if the connection is to be cut instead.

        What `lapse` raises when that happens meanwhile, is raised.
        """
        if not self.powered:
            return None
        self.was_asked()
        whole, fault = self.whole, self.fault_at()
        if fault is not None and fault.deaf:
            await lapse(None)  # whoever asks gives up
        if (refusal := self._refusal(fault, request)) is not None:
            return refusal
        effects = self.hub.receive(request, self._now())
        self.apply(effects)
        if effects.answer is None:
            return None
        if not whole:  # whom it was for shows when it is done: then that is not said
            fault = self.fault_at(effects.about)
            if (refusal := self._refusal(fault, request)) is not None:
                return refusal
        answer = await self._answer(effects.answer, fault, lapse)
        self._veil(fault, effects.answer, answer, effects.about)
        self.fleet.ledger.tally(self.vendor).frames += 1
        return answer

    async def _answer(self, answer: HttpReply, fault: Fault | None, lapse: Lapse) -> HttpReply:
        """What arrives of an answer, when it does."""
        arrivals = ((0, answer),) if fault is None else fault.strike(answer, self.rng)
        if not arrivals:
            await lapse(None)
        more_ms, struck = arrivals[0]
        assert isinstance(struck, HttpReply)
        if fault is not None:
            more_ms += fault.lag_ms(self.rng) + self._takes_ms(fault, struck)
        if delay_ms := answer.delay_ms + more_ms:
            await lapse(delay_ms / 1000)
        return struck

    def _takes_ms(self, fault: Fault, answer: HttpReply) -> int:
        """How long a slow link takes for it, behind the answers that it carries already."""
        if not fault.bytes_per_s:
            return 0
        now_ms = self.fleet.now_ms()
        self._busy_ms = max(self._busy_ms, now_ms) + 1_000 * size_of(answer) / fault.bytes_per_s
        return round(self._busy_ms - now_ms)

    def opened(self, peer: str, request: HttpRequest) -> HttpReply | None:
        """Somebody opens a WebSocket that the outlet calls `peer`; the answer, if it is a no."""
        self.was_asked()
        if (refusal := self._refusal(self.fault_at(), request)) is not None:
            return refusal
        effects = self.hub.receive(WsOpen(peer, request), self._now())
        self.apply(effects)
        return effects.answer

    def _refusal(self, fault: Fault | None, request: HttpRequest) -> HttpReply | None:
        """What it answers instead of doing what it is asked, in its own words if it has some."""
        refusal = None if fault is None else fault.refuse(request, self.rng)
        if refusal is None or fault is None:
            return None
        words = self._words.get(name_of(fault))
        return refusal if words is None else _said(refusal, words)

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
        lag_ms = 0 if fault is None else fault.lag_ms(self.rng)
        for message in effects.messages:
            self.fleet.ledger.tally(self.vendor).frames += 1
            if isinstance(message, Publish) and message.retain:
                self._topics.add(message.topic)
                for unit in self.units.values():
                    unit.outdated(message.topic)
            arrivals = ((0, message),) if fault is None else fault.strike(message, self.rng)
            for more_ms, each in arrivals:
                assert not isinstance(each, HttpReply)
                delay_ms = more_ms + lag_ms
                self._veil(fault, message, each)
                if delay_ms:
                    self.fleet.later(delay_ms, partial(self.deliver, each))
                else:
                    self.deliver(each)
        wake_ms = effects.wake_at_ms
        if wake_ms is not None and wake_ms != self._wake_ms:
            self._wake_ms = wake_ms
            self.fleet.agenda.at(wake_ms, self._wake)

    def _veil(self, fault: Fault | None, meant: Carried, said: Carried, device: str = "") -> None:
        """What is said otherwise of this device, or of all, may be read as unknown."""
        if fault is None or not fault.veils or said is meant:
            return
        for name in (device,) if device in self.units else self.units:
            self.fleet.ledger.veil(self.vendor, name, self.fleet.now_ms())

    def deliver(self, message: Message, device: str = "", sent_ms: float | None = None) -> None:
        """Let one message leave, a device's or the hub's own."""
        sent_ms = self.fleet.now_ms() if sent_ms is None else sent_ms
        match message:
            case Publish():
                if self.link is None or not self.link.up or self.link.publish(message):
                    self.undelivered(device, sent_ms)
            case Webhook() if self.outlet is not None and self.powered:
                self._call(message, device, sent_ms)
            case Webhook():
                self.undelivered(device, sent_ms)
            case WsText() | WsClose() if self.outlet is not None:
                self.leaves(device, sent_ms)
                self.outlet.websocket(self, message)
            case _:
                pass  # nobody is there yet

    def _call(self, webhook: Webhook, device: str, sent_ms: float) -> None:
        """Let a webhook leave, as often and as late as what strikes it says."""
        fault = self.fault_at(device)
        calls = ((0, webhook),) if fault is None else fault.call(webhook, self.rng)
        if not calls or calls[0][0]:  # lost, or late and so perhaps overtaken
            self.undelivered(device, sent_ms)
        for number, (delay_ms, each) in enumerate(calls):
            if delay_ms:
                self.fleet.later(delay_ms, partial(self._leave_again, each, device, sent_ms))
            elif number:
                self._leave_again(each, device, sent_ms)
            else:
                self._leave(each, device, sent_ms)

    def _leave_again(self, webhook: Webhook, device: str, sent_ms: float) -> None:
        """Late, or once more: whatever comes of it, it is not owed."""
        self._retold(device, sent_ms)
        self._leave(webhook, "", sent_ms)

    def _leave(self, webhook: Webhook, device: str, sent_ms: float) -> None:
        if self.outlet is not None and self.powered:
            self.outlet.webhook(self, webhook, device, sent_ms)
        else:
            self.undelivered(device, sent_ms)

    def _retold(self, device: str, sent_ms: float) -> None:
        if device and not self._dated:
            self.fleet.ledger.retold(self.vendor, device, sent_ms, self.fleet.now_ms())

    def leaves(self, device: str, sent_ms: float) -> None:
        """A push of this device leaves only now: an answer to a question may have been faster.

        Whoever knows the newer state need not hear of the older one any more; and if nothing shows
        how old it is, it passes for news.
        """
        if self.fleet.now_ms() - sent_ms > _OVERTAKEN_MS:
            self.undelivered(device, sent_ms)
            self._retold(device, sent_ms)

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

    @property
    def barred(self) -> list[Callable[[], None]] | None:
        """As a unit's, likewise."""
        if any(unit.barred is None for unit in self.units.values()):
            return None
        return next(iter(self.units.values())).barred

    @property
    def waits(self) -> list[Callable[[], None]] | None:
        """While it cannot connect: what is to be done when it can."""
        return self.barred if self.away is None else self.away

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

    def cut(self, how: End = End.CLOSED) -> None:
        """Break its links; what is under way on them is lost.

        In silence only if all of its devices are struck alike. A server that neither says nor hears
        anything needs no other end until it is found dead.
        """
        if how is End.SILENT and not self.whole:
            return
        self._severed = how is End.SILENT
        self.broke()
        if self.link is not None:
            self.link.drop(how)
        if self.outlet is not None and how is not End.SILENT:
            self.outlet.cut(self, how)

    def reunite(self) -> None:
        """A link that died in silence is given up; one that did not is left alone."""
        if self._severed:
            self.cut()

    def speaks(self, unit: Unit) -> bool:
        """Whether what befalls its link does so through this device: the first that is struck."""
        return next(each for each in self.units.values() if each.fault is not None) is unit

    def tear(self, message: Publish, share: float) -> None:
        """Let a message break off, and its link with it."""
        if self.link is not None and self.link.up:
            self.broke()
            self.link.tear(message, share)

    def usurp(self) -> None:
        """Have somebody else connect with its client id."""
        if self.link is not None:
            self.link.usurp()

    def broke(self) -> None:
        """Its link is about to end, or did: what is under way on it is lost."""
        self._loosen()

    def _loosen(self) -> None:
        since_ms = self.fleet.now_ms() - self.fleet.in_flight_ms
        for name, unit in self.units.items():
            self.fleet.ledger.loosen(self.vendor, name, since_ms)
            unit.broke()  # what waits for the link is for one that is gone

    def _wake(self, at_ms: int) -> None:
        if self._wake_ms is None or self._wake_ms > at_ms:
            return  # planned anew since
        self._wake_ms = None
        self.apply(self.hub.wake(at_ms))

    def _now(self) -> int:
        return int(self.fleet.now_ms())


def _said(refusal: HttpReply, words: bytes) -> HttpReply:
    """The refusal with another body, which is JSON."""
    headers = [each for each in refusal.headers if each[0] != "Content-Type"]
    return refusal._replace(body=words, headers=(("Content-Type", "application/json"), *headers))


def hubs_of(fleet: Host, units: Sequence[Unit]) -> list[HubUnit]:
    """The hubs of a run, in the order of their first devices."""
    behind: dict[int, tuple[str, Hub, list[Unit]]] = {}
    for unit in units:
        hub = unit.device.hub
        if hub is not None:
            behind.setdefault(id(hub), (unit.vendor, hub, []))[2].append(unit)
    return [HubUnit(fleet, vendor, hub, some) for vendor, hub, some in behind.values()]
