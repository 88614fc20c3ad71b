"""One device in a run, whatever runs it: its people, its link, and what is broken about it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from fleet_sim.around import Behind, Drained, Host, Link, Reception
from fleet_sim.chance import stream
from fleet_sim.faults import Arrivals, End, Fault, Spell
from fleet_sim.fleet import Population
from fleet_sim.habits import Habits, Manner, manner_of
from fleet_sim.line import Line, Parcel, size_of
from fleet_sim.struck import Struck
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

# Nobody pulls a hundred plugs in the same millisecond; what does is a fault of its own.
_PLUGS_MS: Final = 1_000


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
        "barred",
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
        #: While no link can be made: likewise.
        self.barred: list[Callable[[], None]] | None = None
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
        # None until its link was slow.
        self._line: Line | None = None

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
    def waits(self) -> list[Callable[[], None]] | None:
        """While it cannot connect: what is to be done when it can."""
        return self.barred if self.away is None else self.away

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
        messages = effects.messages
        for truth in effects.truths:
            ledger.truth(vendor, truth, at_ms=now_ms, stored=_stored(messages))
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
        torn: Publish | None = None
        for message in effects.messages:
            arrivals = self._strike(message, fault) if torn is None else ()
            if fault is not None and fault.tears and not arrivals and isinstance(message, Publish):
                torn = torn or message
            copies.append(sum(each is message for _, each in arrivals))
            if len(arrivals) > 1 and isinstance(message, Publish) and self.up:
                self._note_garbage(message, arrivals)
            sends += [(ms, each) for ms, each in arrivals if not isinstance(each, HttpReply)]
        if fault is not None and fault.veils and not all(copies):
            ledger.veil(self.vendor, self.device.name, now_ms)
        for truth in effects.truths:
            stored = _stored(effects.messages)
            ledger.truth(self.vendor, truth, at_ms=now_ms, copies=min(copies), stored=stored)
        # What is said in one breath is late together. On a connection that a hub shares out nothing
        # overtakes, and nothing waits for one device.
        radio = self.radio if sends and self.behind is None else None
        late_ms = 0 if radio is None else radio.late_ms()
        if fault is not None:
            late_ms += fault.lag_ms(self.rng)
        breath = sum(size_of(message) for _, message in sends)
        for delay_ms, message in sends:
            breath -= self._send(delay_ms + late_ms, now_ms, message, fault, breath)
        if torn is not None:
            self._tear(torn)
        if self.words is not None:
            self.words.remember(effects, got_out=min(copies) > 0)

    def _note_garbage(self, message: Publish, arrivals: Arrivals) -> None:
        """What comes besides a good message, and is none: a host must own up to having got it."""
        garbled = self.fleet.ledger.tally(self.vendor).garbled
        for _, each in arrivals:
            if isinstance(each, Publish) and each.payload != message.payload:
                garbled[each.topic] += 1

    def _strike(self, message: Message, fault: Fault | None) -> Arrivals:
        """What arrives of a message; of one that finds the line full nothing does."""
        if fault is None:
            return ((0, message),)
        waiting = 0 if self._line is None else self._line.bytes
        if fault.bytes_per_s and waiting + size_of(message) > fault.backlog_bytes:
            return ()
        return fault.strike(message, self.rng)

    def outdated(self, topic: str) -> None:
        """Its hub spoke there for it: what it said itself is no longer the last word."""
        if self.words is not None:
            self.words.outdated(topic)

    def _send(
        self,
        delay_ms: int,
        now_ms: float,
        message: Message,
        fault: Fault | None = None,
        breath: int = 0,
    ) -> int:
        """At once, or behind what a slow link still carries.

        `breath`: how many bytes are said in one breath from it on; how many of them the link was
        told of now. What is said in one breath arrives together, unless it trickles in.
        """
        self._sent += 1
        if self.words is not None:
            self.words.sent(message)
        self.fleet.ledger.tally(self.vendor).frames += 1
        if fault is not None and delay_ms and not fault.in_order:
            self.fleet.later(delay_ms, partial(self._overtaken, message, now_ms))
            return 0
        takes_ms, early, told = 0.0, False, 0
        if fault is not None and fault.bytes_per_s:
            drips = self.link is not None and self.link.drips and isinstance(message, Publish)
            early = fault.in_pieces and drips
            told = size_of(message) if early else breath
            takes_ms = 1_000 * told / fault.bytes_per_s
        if not (delay_ms or takes_ms or self._line):
            self._deliver(message, now_ms)
            return told
        if self._line is None:
            self._line = Line(self.fleet, self._arrived)
        self._line.put(message, delay_ms, takes_ms, early=early, sent_ms=now_ms)
        return told

    def _arrived(self, parcel: Parcel) -> None:
        self._deliver(parcel.message, parcel.sent_ms, parcel.over_ms)

    def _overtaken(self, message: Message, sent_ms: float) -> None:
        """It arrives after newer words: whoever cannot see that it is old takes it for news."""
        self.fleet.ledger.loosen(self.vendor, self.device.name, sent_ms, sent_ms)
        self.fleet.ledger.retold(self.vendor, self.device.name, sent_ms, self.fleet.now_ms())
        self._deliver(message, sent_ms)

    def _tear(self, message: Publish) -> None:
        """Let it break off, and its link with it."""
        share = self.rng.random()
        if self.behind is not None:
            self.behind.tear(message, share)
        elif self.link is not None and self.link.up:
            self.broke()
            self.link.tear(message, share)

    def _deliver(self, message: Message, sent_ms: float, over_ms: float = 0.0) -> None:
        if self.behind is not None:
            self.behind.deliver(message, self.device.name, sent_ms)
        elif isinstance(message, Publish):
            if self.link is None or not self.link.up:
                self._loosen(sent_ms)
            elif self.link.publish(message, over_ms):
                self.fleet.ledger.loosen(self.vendor, self.device.name, sent_ms, sent_ms)
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
        """Begin to fail; what failed until now fails no more."""
        if self.fault is not None and self.fault.ends is End.SILENT:
            self.cut()
        self.fault = fault
        if fault.apart_ms is None:
            self._rejoin()
        elif self.barred is None:
            self.barred = []
        self._spell = None if fault.probability >= 1 else Spell()
        self.live()
        if fault.back_ms is not None:
            self.leave()
        Struck(self, fault).begin()

    def usurp(self) -> None:
        """Have somebody else connect with its client id."""
        link = self.link if self.behind is None else self.behind
        if link is not None:
            link.usurp()

    def repeat(self) -> None:
        """Say again what was said, if there is something that may be."""
        passing = self.fault is not None and self.fault.babble_ms is not None
        words = self.words if self.up else None
        if words is not None and (word := words.again(passing=passing)) is not None:
            self._send(0, self.fleet.now_ms(), word)

    @property
    def usual_gap_ms(self) -> float | None:
        """How long it is between two messages of it, on average; None if it said nothing yet."""
        return (self.fleet.now_ms() - self._born_ms) / self._sent if self._sent else None

    def heal(self) -> None:
        """Fail no more."""
        fault, self.fault = self.fault, None
        self.live()
        if fault is not None and fault.back_ms is not None:
            at_ms = int(self.fleet.now_ms()) + self.rng.randrange(fault.back_ms)
            self.fleet.agenda.at(at_ms, lambda _: self.boot())
        if self.barred is not None:
            at_ms = int(self.fleet.now_ms()) + self.rng.randrange(_apart_ms(fault))
            self.fleet.agenda.at(at_ms, lambda _: self._reunite())
        if fault is not None and fault.reconnect:
            at_ms = int(self.fleet.now_ms()) + self.rng.randrange(_PLUGS_MS)
            self.fleet.agenda.at(at_ms, lambda _: self._pull(fault))

    def boot(self) -> None:
        """It comes back, unless it has no power."""
        if self.fault is None or self.fault.back_ms is None:
            self.come_back()

    def _reunite(self) -> None:
        """The end of a fault that keeps it apart, unless another one does now."""
        if self.fault is None or self.fault.apart_ms is None:
            self._rejoin()

    def _rejoin(self) -> None:
        """Links can be made again, and one that died is given up."""
        waiting, self.barred = self.barred, None
        if waiting is None:
            return
        if self.behind is not None:
            self.behind.reunite()
        elif not self.up:
            self.cut()
        for each in waiting:
            each()

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

    def cut(self, how: End = End.CLOSED) -> None:
        """Cut the link; what is under way on it is lost. A datagram device has none."""
        if self.behind is not None:
            self.behind.cut(how)
        elif self.link is not None:
            self.broke()
            self.link.drop(how)

    def broke(self) -> None:
        """Its link is about to end, or did: what is under way on it is lost."""
        under_way_ms = self.fleet.in_flight_ms
        since_ms = self.fleet.now_ms() - under_way_ms
        if self._line:
            since_ms = min(since_ms, self._line.since_ms)
        if self._line or under_way_ms:
            self._loosen(since_ms)
        if self._line is not None:
            self._line.clear()


def _apart_ms(fault: Fault | None) -> int:
    found = None if fault is None else fault.apart_ms
    return _PLUGS_MS if found is None else found


def _stored(messages: Sequence[Message]) -> bool:
    """Whether a broker keeps all of these for a subscriber that is away."""
    return bool(messages) and all(isinstance(one, Publish) and one.qos > 0 for one in messages)
