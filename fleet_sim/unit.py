"""One device in a run, whatever runs it: its people, its link, and what is broken about it."""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Protocol

from fleet_sim.chance import stream
from fleet_sim.faults import Fault, Spell
from fleet_sim.fleet import Population
from fleet_sim.habits import Habits, Manner, manner_of
from fleet_sim.journal import Journal
from fleet_sim.ledger import Ledger
from fleet_sim.words import Words
from vendors.http import HttpReply
from vendors.sim import (
    Chance,
    Effects,
    Message,
    MqttSession,
    Publish,
    Push,
    Reply,
    SimDevice,
)

# The serial stands in bytes 4 to 7 of every UHPPOTE datagram.
_SERIAL_END: Final = 8
# Nobody pulls a hundred plugs in the same millisecond; what does is a fault of its own.
_PLUGS_MS: Final = 1_000


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

    def stop(self) -> None:
        """The world stands still: nothing is done any more."""


class Host(Protocol):
    """What a run gives its units.

    `in_flight_ms`: what was sent so shortly before a link was cut may be lost on the way.
    `recalls`: whether what devices have told is asked for: to be said again, or to be cleared.
    """

    seed: int
    pace: float
    ledger: Ledger
    journal: Journal | None
    in_flight_ms: float
    recalls: bool

    @property
    def agenda(self) -> Planner:
        """Everybody's timers."""

    def now_ms(self) -> float:
        """Unix ms, with its fraction."""

    def later(self, wait_ms: float, what: Callable[[], None]) -> None:
        """Have a link carry something on after so long, whatever the agenda does meanwhile."""

    def datagram(self, payload: bytes, address: tuple[str, int]) -> None:
        """Let one leave by the datagram devices' common socket."""


class Drained(Protocol):
    """A device's battery."""

    def used(self) -> None:
        """Somebody did something."""


class Reception(Protocol):
    """A device's radio."""

    def late_ms(self) -> int:
        """How late the next message comes; 0 for most."""


class Behind(Protocol):
    """The hub that a device is behind."""

    @property
    def up(self) -> bool:
        """Whether what its devices send now may arrive."""

    def deliver(self, message: Message, device: str, sent_ms: float) -> None:
        """Let one message of a device leave."""

    def cut(self) -> None:
        """Break its links."""

    def left(self) -> None:
        """One of its devices has no power: without any the hub has none either."""

    def returned(self) -> None:
        """One of them has power again."""


class Unit:
    """A simulated device, connected to a run."""

    __slots__ = (
        "_at_rest",
        "_born_ms",
        "_habit_ms",
        "_line",
        "_lines",
        "_rng",
        "_sent",
        "_spell",
        "_wake_ms",
        "answer",
        "away",
        "battery",
        "behind",
        "device",
        "fault",
        "fleet",
        "habits",
        "link",
        "radio",
        "vendor",
        "words",
    )

    def __init__(
        self,
        fleet: Host,
        population: Population,
        device: SimDevice,
        manner: Manner | None = None,
    ) -> None:
        self.fleet = fleet
        self.device = device
        self.vendor = population.vendor
        people = stream(fleet.seed, f"people/{self.name}")
        self.habits = Habits(manner or manner_of(population.module), people)
        self.fault: Fault | None = None
        self._spell: Spell | None = None
        self.link: Link | None = None
        self.behind: Behind | None = None
        #: While it has no power or boots: what is to be done when it is back; None: it is there.
        self.away: list[Callable[[], None]] | None = None
        self.battery: Drained | None = None
        self.radio: Reception | None = None
        #: Where a datagram device's replies go: whoever asked last.
        self.answer: tuple[str, int] | None = None
        #: What it has told; None if nobody will ask.
        self.words = Words() if fleet.recalls else None
        self._rng: Chance | None = None
        self._wake_ms: int | None = None
        self._habit_ms: int | None = None
        self._at_rest = False
        self._born_ms = fleet.now_ms()
        self._sent = 0
        #: How many lines of the journal are its.
        self._lines = 0
        # What is under way on a slow link, as (due, sent, message); None until one was slow.
        self._line: deque[tuple[float, float, Message]] | None = None

    @property
    def rng(self) -> Chance:
        """The chance of its link: most links are never struck, and need none."""
        if self._rng is None:
            self._rng = stream(self.fleet.seed, f"link/{self.name}")
        return self._rng

    @property
    def name(self) -> str:
        """`vendor/name`."""
        return f"{self.vendor}/{self.device.name}"

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
        return [*sorted(self.words.topics if self.words is not None else ()), *will]

    # --- what the device does -----------------------------------------------------------------

    def apply(self, effects: Effects, did: str) -> None:
        """Note what is true, send, and plan.

        Args:
            effects: what came of it.
            did: what was done, as the journal calls it.
        """
        fault, now_ms = self.harm(), self.fleet.now_ms()
        journal = self.fleet.journal
        if journal is not None:
            noted = journal.note(int(now_ms), self.name, self._lines + 1, did, effects)
            self._lines += noted
        if fault is None and self.radio is None and not self._line:
            self._speak(effects, now_ms)
        else:
            self._struck(effects, fault, now_ms)
        wake_ms = effects.wake_at_ms
        if wake_ms is not None and wake_ms != self._wake_ms:
            self.fleet.agenda.at(wake_ms, self._wake)
        self._wake_ms = wake_ms

    def _speak(self, effects: Effects, now_ms: float) -> None:
        """Nothing is wrong with its link: all that it says leaves at once."""
        ledger, vendor, words = self.fleet.ledger, self.vendor, self.words
        for truth in effects.truths:
            ledger.truth(vendor, truth, at_ms=now_ms)
        messages = effects.messages
        if messages:
            self._sent += len(messages)
            ledger.tally(vendor).frames += len(messages)
            for message in messages:
                if words is not None:
                    words.sent(message)
                self._deliver(message, now_ms)
        if words is not None:
            words.remember(effects, got_out=True)

    def _struck(self, effects: Effects, fault: Fault | None, now_ms: float) -> None:
        """What becomes of it on a link that is struck, or slow."""
        ledger = self.fleet.ledger
        sends: list[tuple[int, Message]] = []
        copies = [] if effects.messages else [1]
        for message in effects.messages:
            arrivals = ((0, message),) if fault is None else fault.strike(message, self.rng)
            copies.append(sum(each is message for _, each in arrivals))
            sends += [(ms, each) for ms, each in arrivals if not isinstance(each, HttpReply)]
        for truth in effects.truths:
            ledger.truth(self.vendor, truth, at_ms=now_ms, copies=min(copies))
        # What is said in one breath is late together. On a connection that a hub shares out nothing
        # overtakes, and nothing waits for one device.
        radio = self.radio if sends and self.behind is None else None
        late_ms = 0 if radio is None else radio.late_ms()
        for delay_ms, message in sends:
            self._send(delay_ms + late_ms, now_ms, message)
        if self.words is not None:
            self.words.remember(effects, got_out=min(copies) > 0)

    def outdated(self, topic: str) -> None:
        """Its hub spoke there for it: what it said itself is no longer the last word."""
        if self.words is not None:
            self.words.outdated(topic)

    def _send(self, delay_ms: int, now_ms: float, message: Message) -> None:
        """At once, or behind what a slow link still carries."""
        self._sent += 1
        if self.words is not None:
            self.words.sent(message)
        self.fleet.ledger.tally(self.vendor).frames += 1
        if not (delay_ms or self._line):
            self._deliver(message, now_ms)
            return
        due_ms = now_ms + delay_ms
        if self._line is None:
            self._line = deque()
        if self._line:
            due_ms = max(due_ms, self._line[-1][0])
        self._line.append((due_ms, now_ms, message))
        if len(self._line) == 1:
            self.fleet.later(delay_ms, self._arrive)

    def _arrive(self) -> None:
        if not self._line:
            return  # the link was cut in between
        now_ms = self.fleet.now_ms()
        while self._line and self._line[0][0] <= now_ms + 1:
            _, sent_ms, message = self._line.popleft()
            self._deliver(message, sent_ms)
        if self._line:
            wait_ms = self._line[0][0] - now_ms
            self.fleet.later(wait_ms, self._arrive)

    def _deliver(self, message: Message, sent_ms: float) -> None:
        if self.behind is not None:
            self.behind.deliver(message, self.device.name, sent_ms)
        elif isinstance(message, Publish):
            if self.link is not None and self.link.up:
                self.link.publish(message)
            else:
                self._loosen(sent_ms)
        elif self.away is not None:
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
        self.apply(self.device.wake(at_ms), "wake")

    def came_up(self) -> None:
        """Its link is there. What is said then is no measure of what it says in a day."""
        self.fleet.ledger.tally(self.vendor).linked(1)
        sent = self._sent
        self.apply(self.device.connected(int(self.fleet.now_ms())), "connected")
        self._sent = sent

    def went_down(self) -> None:
        """Its link is gone."""
        self.fleet.ledger.tally(self.vendor).linked(-1)
        self.apply(self.device.disconnected(int(self.fleet.now_ms())), "disconnected")

    def received(self, message: Publish | bytes) -> None:
        """Something from the host side."""
        if self.away is not None:
            return
        fault = self.harm()
        if fault is None:
            self._hear(message)
        elif not fault.deaf:
            for delay_ms, each in fault.listen(message, self.rng):
                if delay_ms:
                    self.fleet.later(delay_ms, partial(self._hear, each))
                else:
                    self._hear(each)

    def _hear(self, message: Publish | bytes) -> None:
        self.apply(self.device.receive(message, int(self.fleet.now_ms())), "received")

    # --- its people ---------------------------------------------------------------------------

    def live(self) -> None:
        """Let people begin to use it, or use it at another rate from now on."""
        if not self._at_rest:
            self._plan(int(self.fleet.now_ms()))

    def rest(self) -> None:
        """Nobody uses it from now on; what it has begun it brings to its end."""
        self._at_rest = True
        self._habit_ms = None

    def _plan(self, now_ms: int) -> None:
        factor = self.fault.rate_factor if self.fault is not None else 1.0
        gap_ms = self.habits.gap_ms(factor * self.fleet.pace, now_ms)
        if gap_ms is not None:
            self._habit_ms = now_ms + gap_ms
            self.fleet.agenda.at(self._habit_ms, self._habit)

    def _habit(self, now_ms: int) -> None:
        if self._habit_ms is None or self._habit_ms > now_ms:
            return  # at rest, or another rate since
        if self.away is None:
            self.act(self.habits.pick(), now_ms)
        self._plan(now_ms)

    def act(self, habit: str, now_ms: int | None = None) -> None:
        """Somebody does this: a habit, or `fault:<name>` and `heal:<name>` of the vendor's own."""
        at_ms = int(self.fleet.now_ms()) if now_ms is None else now_ms
        if ":" not in habit:
            self.fleet.ledger.tally(self.vendor).deeds += 1
            if self.battery is not None:
                self.battery.used()
        self.apply(self.device.act(habit, at_ms), habit)

    # --- what is broken about it --------------------------------------------------------------

    def harm(self) -> Fault | None:
        """The fault that harms at this moment: one that comes and goes may do so no longer."""
        fault, spell = self.fault, self._spell
        if fault is None or spell is None:
            return fault
        return fault if spell.harms(fault, self.rng, self.fleet.now_ms()) else None

    def strike(self, fault: Fault) -> None:
        """Begin to fail."""
        self.fault = fault
        self._spell = None if fault.probability >= 1 else Spell()
        self.live()
        if fault.back_ms is not None:
            self.leave()
        if fault.cut_every_ms:
            self._storm(fault)
        if fault.rate_factor > 1 and self._sent:
            normal_ms = (self.fleet.now_ms() - self._born_ms) / self._sent
            self._babble(fault, normal_ms / fault.rate_factor)

    def _storm(self, fault: Fault) -> None:
        if self.fault is fault:
            self.cut()
            at_ms = int(self.fleet.now_ms()) + fault.cut_every_ms
            self.fleet.agenda.at(at_ms, lambda _: self._storm(fault))

    def _babble(self, fault: Fault, every_ms: float) -> None:
        """Say again what was said, so often that it makes up for what people cannot do faster."""

        def again(at_ms: int) -> None:
            if self.fault is not fault:
                return
            word = self.words.again() if self.words is not None and self.up else None
            if word is not None:
                self._send(0, self.fleet.now_ms(), word)
            self.fleet.agenda.at(at_ms + gap_ms(), again)

        def gap_ms() -> int:
            return max(1, round(self.rng.expovariate(1 / every_ms)))

        self.fleet.agenda.at(int(self.fleet.now_ms()) + gap_ms(), again)

    def heal(self) -> None:
        """Fail no more."""
        fault, self.fault = self.fault, None
        self.live()
        if fault is not None and fault.back_ms is not None:
            at_ms = int(self.fleet.now_ms()) + self.rng.randrange(fault.back_ms)
            self.fleet.agenda.at(at_ms, lambda _: self.boot())
        if fault is not None and fault.reconnect:
            at_ms = int(self.fleet.now_ms()) + self.rng.randrange(_PLUGS_MS)
            self.fleet.agenda.at(at_ms, lambda _: self._pull(fault))

    def boot(self) -> None:
        """It comes back, unless it has no power."""
        if self.fault is None or self.fault.back_ms is None:
            self.come_back()

    def _pull(self, healed: Fault) -> None:
        """The end of a fault that only a reconnect ends, unless it has begun again."""
        if self.fault is not healed:
            self.cut()

    def leave(self) -> None:
        """No power, or no time: it has no link, says nothing, and nobody uses it."""
        if self.away is not None:
            return
        self.away = []
        if self.behind is not None:
            self.behind.left()
        else:
            self.cut()

    def come_back(self) -> None:
        """It is there again, and so is whoever waited for it; or it never was away."""
        if self.away is None:
            return
        waiting, self.away = self.away, None
        if self.behind is not None:
            self.behind.returned()
        for each in waiting or ():
            each()

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
        if self._line is not None:
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
