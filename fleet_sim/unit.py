"""One device in a run, whatever runs it: its people, its link, and what is broken about it."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from devices.reading import Value
from fleet_sim.chance import stream
from fleet_sim.faults import Fault
from fleet_sim.fleet import Habits, Population
from fleet_sim.ledger import LOOSE, Ledger, is_state
from vendors.http import HttpReply
from vendors.sim import (
    Effects,
    Message,
    MqttSession,
    Publish,
    Push,
    Reply,
    SimDevice,
    Webhook,
    WsText,
)

# The serial stands in bytes 4 to 7 of every UHPPOTE datagram.
_SERIAL_END: Final = 8
# Nobody pulls a hundred plugs in the same millisecond; what does is a fault of its own.
_PLUGS_S: Final = 1.0


class Link(Protocol):
    """A board's connection to its broker."""

    @property
    def up(self) -> bool:
        """Whether what is published now may arrive."""

    def publish(self, message: Publish) -> None:
        """Send one, while `up`."""

    def drop(self) -> None:
        """Cut it without a word: the broker publishes the will."""

    def leave(self) -> None:
        """Say DISCONNECT and go."""


class Planner(Protocol):
    """Whoever does things when they are due."""

    def at(self, at_ms: int, what: Callable[[int], None]) -> None:
        """Do this at or after then; equal times go in the order they were asked for."""


class Host(Protocol):
    """What a run gives its units.

    `in_flight_ms`: what was sent so shortly before a link was cut may be lost on the way.
    """

    seed: int
    pace: float
    ledger: Ledger
    in_flight_ms: float

    @property
    def agenda(self) -> Planner:
        """Everybody's timers."""

    def now_ms(self) -> float:
        """Unix ms, with its fraction."""

    def datagram(self, payload: bytes, address: tuple[str, int]) -> None:
        """Let one leave by the datagram devices' common socket."""


class Behind(Protocol):
    """The hub that a device is behind."""

    @property
    def up(self) -> bool:
        """Whether what its devices send now may arrive."""

    def deliver(self, message: Message, device: str, sent_ms: float) -> None:
        """Let one message of a device leave."""

    def cut(self) -> None:
        """Break its links."""


class Unit:
    """A simulated device, connected to a run."""

    def __init__(self, fleet: Host, population: Population, device: SimDevice) -> None:
        self.fleet = fleet
        self.device = device
        self.vendor = population.vendor
        name = f"{population.vendor}/{device.name}"
        self.rng = stream(fleet.seed, f"link/{name}")
        self.habits = Habits(population.module, stream(fleet.seed, f"people/{name}"), fleet.pace)
        self.fault: Fault | None = None
        self.link: Link | None = None
        self.behind: Behind | None = None
        #: Where a datagram device's replies go: whoever asked last.
        self.answer: tuple[str, int] | None = None
        self._wake_ms: int | None = None
        self._habit_number = 0
        self._at_rest = False
        self._born_ms = fleet.now_ms()
        self._sent = 0
        #: Its last word on each topic where a broker keeps it, and to each who is told without
        #: having asked; the longest unsaid first.
        self._words: dict[str, Publish | Webhook | WsText] = {}
        #: What is so, what was last told of it, and what was ever told in each of those places.
        self._true: dict[str, Value] = {}
        self._told: dict[str, Value] = {}
        self._tells: dict[str, set[str]] = {}
        self._topics: set[str] = set()
        # What is under way on a slow link, as (due, sent, message).
        self._line: deque[tuple[float, float, Message]] = deque()

    @property
    def session(self) -> MqttSession | None:
        """How it connects to a broker, if it does so itself."""
        return self.device.session

    @property
    def up(self) -> bool:
        """Whether its link is there; a datagram device has none to lose."""
        if self.behind is not None:
            return self.behind.up
        return self.device.session is None or (self.link is not None and self.link.up)

    @property
    def retained(self) -> list[str]:
        """The topics on which a broker keeps its word."""
        session = self.device.session if self.device.hub is None else self.device.hub.session
        will = [session.will.topic] if session is not None and session.will is not None else []
        return [*sorted(self._topics), *will]

    # --- what the device does -----------------------------------------------------------------

    def apply(self, effects: Effects) -> None:
        """Note what is true, send, and plan."""
        fault, ledger, now_ms = self.fault, self.fleet.ledger, self.fleet.now_ms()
        sends: list[tuple[int, Message]] = []
        copies = [] if effects.messages else [1]
        for message in effects.messages:
            arrivals = ((0, message),) if fault is None else fault.strike(message, self.rng)
            copies.append(sum(each is message for _, each in arrivals))
            sends += [(ms, each) for ms, each in arrivals if not isinstance(each, HttpReply)]
        for truth in effects.truths:
            ledger.truth(self.vendor, truth, at_ms=now_ms, copies=min(copies))
        for delay_ms, message in sends:
            self._send(delay_ms, now_ms, message)
        self._remember(effects, got_out=min(copies) > 0)
        wake_ms = effects.wake_at_ms
        if wake_ms is not None and wake_ms != self._wake_ms:
            self.fleet.agenda.at(wake_ms, self._wake)
        self._wake_ms = wake_ms

    def _remember(self, effects: Effects, *, got_out: bool) -> None:
        """What may be said again: a topic's last word, if it got out and told of no happening."""
        states = [truth for truth in effects.truths if is_state(truth.key)]
        repeatable = got_out and len(states) == len(effects.truths)
        told = {truth.key: truth.value for truth in states if truth.sent}
        self._true.update((truth.key, truth.value) for truth in states)
        self._told.update(told)
        for message in effects.messages:
            match message:
                case Publish(topic=where, retain=True) | Webhook(url=where) | WsText(peer=where):
                    self._tells.setdefault(where, set()).update(told.keys() - LOOSE)
                    self._words.pop(where, None)
                    if repeatable:
                        self._words[where] = message
                case _:
                    pass

    def _still_true(self, where: str) -> bool:
        """Whether nothing of what was told there has become otherwise unsaid.

        Whoever asked knows better than that word, which does not tell how old it is.
        """
        return all(self._true[key] == self._told[key] for key in self._tells[where])

    def outdated(self, topic: str) -> None:
        """Its hub spoke there for it: what it said itself is no longer the last word."""
        self._words.pop(topic, None)

    def _send(self, delay_ms: int, now_ms: float, message: Message) -> None:
        """At once, or behind what a slow link still carries."""
        self._sent += 1
        if isinstance(message, Publish) and message.retain:
            self._topics.add(message.topic)
        self.fleet.ledger.tally(self.vendor).frames += 1
        if not (delay_ms or self._line):
            self._deliver(message, now_ms)
            return
        due_ms = now_ms + delay_ms
        if self._line:
            due_ms = max(due_ms, self._line[-1][0])
        self._line.append((due_ms, now_ms, message))
        if len(self._line) == 1:
            asyncio.get_running_loop().call_later(delay_ms / 1000, self._arrive)

    def _arrive(self) -> None:
        if not self._line:
            return  # the link was cut in between
        now_ms = self.fleet.now_ms()
        while self._line and self._line[0][0] <= now_ms + 1:
            _, sent_ms, message = self._line.popleft()
            self._deliver(message, sent_ms)
        if self._line:
            wait_ms = self._line[0][0] - now_ms
            asyncio.get_running_loop().call_later(wait_ms / 1000, self._arrive)

    def _deliver(self, message: Message, sent_ms: float) -> None:
        if self.behind is not None:
            self.behind.deliver(message, self.device.name, sent_ms)
        elif isinstance(message, Publish):
            if self.link is not None and self.link.up:
                self.link.publish(message)
            else:
                self._loosen(sent_ms)
        elif isinstance(message, Reply):
            if self.answer is not None:
                self.fleet.datagram(message.payload, self.answer)
        elif isinstance(message, Push):
            self.fleet.datagram(message.payload, message.to)

    def _loosen(self, since_ms: float) -> None:
        self.fleet.ledger.loosen(self.vendor, self.device.name, since_ms)

    def _wake(self, at_ms: int) -> None:
        if self._wake_ms is None or self._wake_ms > at_ms:
            return  # planned anew since
        self._wake_ms = None
        self.apply(self.device.wake(at_ms))

    def came_up(self) -> None:
        """Its link is there. What is said then is no measure of what it says in a day."""
        sent = self._sent
        self.apply(self.device.connected(int(self.fleet.now_ms())))
        self._sent = sent

    def went_down(self) -> None:
        """Its link is gone."""
        self.apply(self.device.disconnected(int(self.fleet.now_ms())))

    def received(self, message: Publish | bytes) -> None:
        """Something from the host side."""
        if self.fault is None or not self.fault.deaf:
            self.apply(self.device.receive(message, int(self.fleet.now_ms())))

    # --- its people ---------------------------------------------------------------------------

    def live(self) -> None:
        """Let people begin to use it, or use it at another rate from now on."""
        self._habit_number += 1
        if not self._at_rest:
            self._plan(int(self.fleet.now_ms()), self._habit_number)

    def rest(self) -> None:
        """Nobody uses it from now on; what it has begun it brings to its end."""
        self._at_rest = True
        self._habit_number += 1

    def _plan(self, now_ms: int, number: int) -> None:
        factor = self.fault.rate_factor if self.fault is not None else 1.0
        self.fleet.agenda.at(
            now_ms + self.habits.gap_ms(factor), lambda at_ms: self._habit(at_ms, number)
        )

    def _habit(self, now_ms: int, number: int) -> None:
        if number != self._habit_number:
            return  # another rate since
        self.act(self.habits.pick(), now_ms)
        self._plan(now_ms, number)

    def act(self, habit: str, now_ms: int | None = None) -> None:
        """Somebody does this: a habit, or `fault:<name>` and `heal:<name>` of the vendor's own."""
        at_ms = int(self.fleet.now_ms()) if now_ms is None else now_ms
        self.apply(self.device.act(habit, at_ms))

    # --- what is broken about it --------------------------------------------------------------

    def strike(self, fault: Fault) -> None:
        """Begin to fail."""
        self.fault = fault
        self.live()
        if fault.cut_every_ms:
            self._storm(fault)
        if fault.rate_factor > 1 and self._sent:
            normal_ms = (self.fleet.now_ms() - self._born_ms) / self._sent
            self._babble(fault, normal_ms / fault.rate_factor)

    def _storm(self, fault: Fault) -> None:
        if self.fault is fault:
            self.cut()
            asyncio.get_running_loop().call_later(fault.cut_every_ms / 1000, self._storm, fault)

    def _babble(self, fault: Fault, every_ms: float) -> None:
        """Say again what was said, so often that it makes up for what people cannot do faster."""

        def again(at_ms: int) -> None:
            if self.fault is not fault:
                return
            topic = next(filter(self._still_true, self._words), None)
            if topic is not None and self.up:
                word = self._words[topic] = self._words.pop(topic)
                self._send(0, self.fleet.now_ms(), word)
            self.fleet.agenda.at(at_ms + gap_ms(), again)

        def gap_ms() -> int:
            return max(1, round(self.rng.expovariate(1 / every_ms)))

        self.fleet.agenda.at(int(self.fleet.now_ms()) + gap_ms(), again)

    def heal(self) -> None:
        """Fail no more."""
        fault, self.fault = self.fault, None
        self.live()
        if fault is not None and fault.reconnect:
            wait_s = self.rng.uniform(0, _PLUGS_S)
            asyncio.get_running_loop().call_later(wait_s, self._pull, fault)

    def _pull(self, healed: Fault) -> None:
        """The end of a fault that only a reconnect ends, unless it has begun again."""
        if self.fault is not healed:
            self.cut()

    def cut(self) -> None:
        """Cut the link; what is under way on it is lost. A datagram device has none."""
        if self.behind is not None:
            self.behind.cut()
            return
        if self.link is None:
            return
        under_way_ms = self.fleet.in_flight_ms
        since_ms = self.fleet.now_ms() - under_way_ms
        if self._line:
            since_ms = min(since_ms, self._line[0][1])
        if self._line or under_way_ms:
            self._loosen(since_ms)
        self._line.clear()
        self.link.drop()


class SharedSocket:
    """Finds whom a datagram is for: any number of serials share a socket."""

    def __init__(self, units: Iterable[Unit]) -> None:
        self._by_serial = {unit.device.serial: unit for unit in units if unit.device.serial}

    def arrived(self, payload: bytes, address: tuple[str, int]) -> None:
        """A datagram from the host: for the serial that it names, or for all (serial 0)."""
        if len(payload) < _SERIAL_END:
            return  # no serial in it
        serial = int.from_bytes(payload[4:_SERIAL_END], "little")
        one = self._by_serial.get(serial)
        for unit in [one] if one else (self._by_serial.values() if serial == 0 else ()):
            unit.answer = address
            unit.received(payload)
