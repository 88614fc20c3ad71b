"""What each fault of a link does to one message, and whom an act strikes."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from itertools import groupby
from random import Random
from typing import Any, Final

import pytest

from fleet_sim import acts
from fleet_sim.clock import SimLoop
from fleet_sim.faults import FAULTS, End, Fault, Setting, Spell, Strikes, make, mqtt, name_of, wire
from fleet_sim.ledger import Ledger
from fleet_sim.scenario import Act, Scenario
from fleet_sim.unit import Unit
from vendors.http import HttpReply
from vendors.sim import Effects, Message, Publish, Push, Reply, Truth, Webhook, WsText

PUBLISH: Final = Publish("a/b", b"open", qos=1, retain=True)
MESSAGES: Final = (PUBLISH, Reply(b"r" * 64), Push(b"p" * 64, ("127.0.0.1", 60_001)))


def strike(fault: Fault, message: Message) -> list[tuple[int, Message]]:
    return list(fault.strike(message, Random(1)))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_can_strike_every_message(name: str, message: Message) -> None:
    fault = FAULTS[name].make(name, {})

    arrivals = strike(fault, message)

    assert all(delay_ms >= 0 for delay_ms, _ in arrivals)
    assert all(type(each) is type(message) for _, each in arrivals)
    assert strike(fault, message) == arrivals
    assert FAULTS[name].what


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (wire.Silence(), []),
        (wire.Hang(), []),
        (wire.Flood(), [(0, PUBLISH)]),
        (wire.Duplicate(), [(0, PUBLISH), (0, PUBLISH)]),
        (wire.Latency(latency_ms=250), [(250, PUBLISH)]),
        (wire.Loss(), []),
        (wire.Reorder(hold_ms=700), [(700, PUBLISH)]),
        (wire.Truncate(), []),
        (wire.Bandwidth(), [(0, PUBLISH)]),
        (wire.HalfOpen(), []),
        (mqtt.WillStorm(), []),
        (mqtt.ReconnectStorm(), [(0, PUBLISH)]),
        (Fault(), [(0, PUBLISH)]),
    ],
)
def test_what_arrives(fault: Fault, said: list[Any]) -> None:
    assert strike(fault, PUBLISH) == said


def test_a_torn_message_comes_first_and_is_never_kept_by_a_broker() -> None:
    garbage, truth = strike(wire.Malformed(), PUBLISH)

    assert truth == (0, PUBLISH)
    assert isinstance(garbage[1], Publish)
    assert (garbage[1].topic, garbage[1].retain) == ("a/b", False)
    assert len(garbage[1].payload) > 64


JSON: Final = b'{"state":"open","at":1767571200,"by":"somebody"}'
BODIES: Final = (
    PUBLISH._replace(payload=JSON),
    PUBLISH._replace(payload=b"2"),
    Reply(b"\x17" + bytes(63)),
    HttpReply(200, JSON),
    Webhook("http://127.0.0.1/hook", JSON),
    WsText("peer", JSON.decode()),
)


def body_of(message: Any) -> bytes:
    text = getattr(message, "text", None)
    if text is not None:
        return str(text).encode("latin-1")
    return bytes(getattr(message, "payload", None) or getattr(message, "body", b""))


@pytest.mark.parametrize("message", BODIES, ids=lambda message: type(message).__name__)
def test_flipped_bits_are_no_text_and_no_packet_any_more(message: Any) -> None:
    for seed in range(200):
        ((_, found),) = wire.Corrupt().strike(message, Random(seed))
        body = body_of(found)

        assert len(body) == len(body_of(message))
        assert body[0] == body_of(message)[0] | 0x80
        with pytest.raises(UnicodeDecodeError):
            body.decode()


def test_what_has_no_body_cannot_be_corrupted() -> None:
    hook = Webhook("http://127.0.0.1/hook?state=open", b"", "GET")

    assert wire.Corrupt().strike(hook, Random(1)) == ((0, hook),)
    assert wire.Truncate().strike(hook, Random(1)) == ()


@pytest.mark.parametrize("message", BODIES[2:], ids=lambda message: type(message).__name__)
def test_what_is_cut_off_is_a_beginning_and_never_the_whole(message: Any) -> None:
    for seed in range(200):
        ((_, found),) = wire.Truncate().strike(message, Random(seed))

        assert 0 < len(body_of(found)) < len(body_of(message))
        assert body_of(message).startswith(body_of(found))


def test_jitter_is_anything_up_to_its_limit() -> None:
    rng = Random(2)
    late = [wire.Jitter(jitter_ms=50).lag_ms(rng) for _ in range(2_000)]

    assert (min(late), max(late)) == (0, 50)


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_fault_takes_is_what_it_is_made_of(name: str) -> None:
    kind = FAULTS[name]
    given = {each: _another(takes) for each, takes in kind.settings.items()}

    fault = make(name, given)

    assert {each: getattr(fault, each) for each in given} == given
    assert kind.strikes is Strikes.DEVICE or name_of(fault) == name
    assert all(takes.about for takes in kind.settings.values())
    assert kind.what
    assert kind.seen
    assert kind.source


def _another(takes: Setting) -> Any:
    if takes.type is bool:
        return not takes.default
    if takes.type is str:
        return takes.default
    return 0.5 if takes.unit == "share" else takes.type(500)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"late_ms": 5}, "latency has no setting 'late_ms'; it takes latency_ms, probability"),
        ({"latency_ms": 0}, "setting latency_ms is 0; write a whole number above 0"),
        ({"latency_ms": 1.5}, "setting latency_ms is 1.5; write a whole number"),
        ({"latency_ms": True}, "setting latency_ms is True; write a whole number"),
        ({"stability_ms": -1}, "setting stability_ms is -1; write a whole number of 0 or more"),
        ({"probability": 2}, "setting probability is 2; write a share above 0, up to 1"),
    ],
)
def test_what_a_fault_does_not_take_is_refused_with_what_it_does(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        make("latency", given)


def test_what_comes_and_goes_stays_as_it_is_for_a_while() -> None:
    fault, spell, rng = wire.Silence(probability=0.5, stability_ms=100), Spell(), Random(3)

    harms = [spell.harms(fault, rng, at_ms) for at_ms in range(0, 10_000, 10)]

    runs = [len(list(run)) for _, run in groupby(harms)]
    assert set(harms) == {True, False}
    assert all(length % 10 == 0 for length in runs)


def test_what_always_harms_draws_no_chance() -> None:
    rng = Random(3)
    before = rng.getstate()

    assert Spell().harms(wire.Silence(), rng, 0)
    assert rng.getstate() == before


# --- a unit with a link of its own --------------------------------------------------------------


class Device:
    """Says what it is told to."""

    session = None
    serial = 1
    heard = 0

    def __init__(self, name: str = "d1") -> None:
        self.name = name

    def receive(self, _message: object, _now_ms: int) -> Effects:
        self.heard += 1
        return Effects()

    def act(self, _habit: str, _now_ms: int) -> Effects:
        return Effects()

    def wake(self, _now_ms: int) -> Effects:
        return Effects()


class Population:
    vendor = "acme"

    class module:  # noqa: N801 -- stands for a simulator's module
        HABITS = {"open": 1.0}  # noqa: RUF012 -- likewise


class Host:
    """A run that goes by hand."""

    seed = 1
    pace = 1e-9
    in_flight_ms = 0.0
    recalls = True
    journal = None

    def __init__(self) -> None:
        self.clock_ms = 0.0
        self.ledger = Ledger()
        self.agenda = self
        self.sent: list[tuple[bytes, Any]] = []

    def at(self, at_ms: int, what: Callable[[int], None]) -> None:
        """What is due within the test; nobody does anything by himself here."""
        if at_ms - self.clock_ms < 10_000:
            wait_s = (at_ms - self.clock_ms) / 1000
            asyncio.get_running_loop().call_later(wait_s, what, at_ms)

    def now_ms(self) -> float:
        return self.clock_ms

    def later(self, wait_ms: float, what: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(wait_ms / 1000, what)

    def datagram(self, payload: bytes, address: tuple[str, int]) -> None:
        self.sent.append((payload, address))


class Line:
    """A link that keeps what it is given."""

    drips = False

    def __init__(self) -> None:
        self.up = True
        self.unheard = False
        self.said: list[bytes] = []
        self.ends: list[End] = []
        self.torn: tuple[bytes, float] | None = None
        self.usurped = 0
        self.over_ms = 0.0

    def publish(self, message: Publish, over_ms: float = 0.0) -> bool:
        self.said.append(message.payload)
        self.over_ms = over_ms
        return self.unheard

    def drop(self, how: End = End.CLOSED) -> None:
        self.up = False
        self.ends.append(how)

    def tear(self, message: Publish, share: float) -> None:
        self.torn = (message.payload, share)
        self.up = False

    def usurp(self) -> None:
        self.usurped += 1

    def leave(self) -> None:
        self.up = False


@pytest.fixture
def unit() -> Unit:
    unit = Unit(Host(), Population(), Device())  # type: ignore[arg-type]
    unit.link = Line()
    return unit


def tell(unit: Unit, value: str) -> None:
    unit.apply(
        Effects([Publish("t", value.encode())], [Truth("d1", "door", value, 0)], None), "wake"
    )


def lost(unit: Unit) -> int:
    return unit.fleet.ledger.close()["acme"].lost


async def test_what_a_slow_link_carries_is_not_overtaken(unit: Unit, eventually: Any) -> None:
    unit.strike(wire.Latency(latency_ms=30))
    tell(unit, "a")
    unit.heal()
    unit.fleet.clock_ms = 10.0  # type: ignore[attr-defined]
    tell(unit, "b")
    line = unit.link
    assert isinstance(line, Line)
    assert line.said == []

    unit.fleet.clock_ms = 40.0  # type: ignore[attr-defined]
    await eventually(lambda: len(line.said) == 2)

    assert line.said == [b"a", b"b"]


async def test_a_cut_takes_what_a_slow_link_carried_and_excuses_it(unit: Unit) -> None:
    tell(unit, "a")
    unit.fleet.clock_ms = 50.0  # type: ignore[attr-defined]
    unit.strike(wire.Latency(latency_ms=30))
    tell(unit, "b")
    unit.cut()

    assert lost(unit) == 1  # `a`, which was on its way before


def test_what_is_said_without_a_link_is_not_owed(unit: Unit) -> None:
    unit.cut()
    tell(unit, "a")

    assert lost(unit) == 0


def test_what_silence_swallows_is_not_owed_and_what_comes_after_is(unit: Unit) -> None:
    unit.strike(wire.Silence())
    tell(unit, "a")
    unit.heal()
    tell(unit, "b")

    assert lost(unit) == 1


def in_simulated_time(course: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(course)


def test_a_hung_device_hears_nothing_and_is_made_to_connect_anew(unit: Unit) -> None:
    unit.strike(wire.Hang())
    unit.received(b"hello")
    assert unit.device.heard == 0  # type: ignore[attr-defined]

    async def heal() -> None:
        unit.heal()
        await asyncio.sleep(2)

    in_simulated_time(heal())

    assert not unit.up or unit.device.session is None
    assert unit.link is not None
    assert not unit.link.up


def link_of(unit: Unit) -> Line:
    assert isinstance(unit.link, Line)
    return unit.link


def simulated(course: Callable[[Unit], Coroutine[Any, Any, None]]) -> Unit:
    """A unit, and a course of things that happen to it in simulated time."""

    async def play() -> Unit:
        unit = Unit(SimHost(), Population(), Device())  # type: ignore[arg-type]
        unit.link = Line()
        await course(unit)
        return unit

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        return runner.run(play())


class SimHost(Host):
    """A run whose time is the loop's, and which may be so late with everything."""

    late_ms = 0

    def now_ms(self) -> float:
        return asyncio.get_running_loop().time() * 1000

    def at(self, at_ms: int, what: Callable[[int], None]) -> None:
        asyncio.get_running_loop().call_at(at_ms / 1000, what, at_ms + self.late_ms)


def test_a_word_that_waits_is_overtaken_and_may_be_believed_when_it_comes() -> None:
    async def course(unit: Unit) -> None:
        unit.strike(wire.Reorder(probability=1.0, hold_ms=500))
        tell(unit, "a")
        unit.heal()
        await asyncio.sleep(0.1)
        tell(unit, "b")
        await asyncio.sleep(1)

    unit = simulated(course)

    assert link_of(unit).said == [b"b", b"a"]
    assert lost(unit) == 1  # `b`: of `a` nobody has to know


def test_a_narrow_link_lets_messages_queue_and_loses_what_has_no_room() -> None:
    async def course(unit: Unit) -> None:
        # 5 bytes (with the topic) take 100 ms; two may wait.
        unit.strike(wire.SlowDrip(bytes_per_s=50.0, backlog_bytes=10))
        for word in ("1234", "5678", "lost"):
            tell(unit, word)
        unit.heal()
        tell(unit, "last")
        await asyncio.sleep(0.15)
        assert link_of(unit).said == [b"1234"]
        await asyncio.sleep(1)

    unit = simulated(course)

    assert link_of(unit).said == [b"1234", b"5678", b"last"]
    assert lost(unit) == 3


def test_a_link_that_drips_is_given_the_message_at_its_first_byte() -> None:
    async def course(unit: Unit) -> None:
        link_of(unit).drips = True
        unit.strike(wire.SlowDrip(bytes_per_s=50.0))
        tell(unit, "1234")
        tell(unit, "5678")
        await asyncio.sleep(0.05)
        assert (link_of(unit).said, link_of(unit).over_ms) == ([b"1234"], 100.0)
        unit.cut()

    unit = simulated(course)

    assert lost(unit) == 0  # the first was on its way still


def test_a_packet_that_breaks_off_takes_its_link_and_the_rest_of_the_breath_with_it() -> None:
    async def course(unit: Unit) -> None:
        unit.strike(wire.Truncate(probability=1.0))
        unit.apply(
            Effects(
                [Publish("t", b"half"), Publish("t", b"rest")], [Truth("d1", "door", "open", 0)]
            ),
            "wake",
        )

    unit = simulated(course)

    assert link_of(unit).torn is not None
    assert link_of(unit).torn[0] == b"half"  # type: ignore[index]
    assert link_of(unit).said == []
    assert lost(unit) == 0


def test_what_a_broker_had_to_drop_is_not_owed(unit: Unit) -> None:
    tell(unit, "a")
    link_of(unit).unheard = True
    unit.fleet.clock_ms = 5.0  # type: ignore[attr-defined]
    tell(unit, "b")

    assert lost(unit) == 1


def test_resets_come_at_random_and_as_often_as_they_are_asked_for() -> None:
    async def course(unit: Unit) -> None:
        unit.strike(wire.Reset(every_ms=1_000))
        await asyncio.sleep(500)
        unit.heal()
        await asyncio.sleep(500)

    unit = simulated(course)

    assert set(link_of(unit).ends) == {End.RESET}
    assert 420 < len(link_of(unit).ends) < 580


def test_somebody_else_takes_its_id_again_and_again_until_it_is_healed() -> None:
    async def course(unit: Unit) -> None:
        unit.strike(mqtt.DuplicateClientId(every_ms=1_000))
        await asyncio.sleep(9.5)
        unit.heal()
        await asyncio.sleep(10)

    assert link_of(simulated(course)).usurped == 10


@pytest.mark.parametrize(
    ("fault", "end"), [(wire.Partition(), End.SILENT), (mqtt.WillStorm(), End.CLOSED)]
)
def test_who_is_kept_apart_may_connect_when_it_is_healed_and_not_before(
    fault: Fault, end: End
) -> None:
    back: list[float] = []

    async def course(unit: Unit) -> None:
        unit.strike(fault)
        assert unit.waits is not None
        unit.waits.append(lambda: back.append(unit.fleet.now_ms()))
        await asyncio.sleep(10)
        assert back == []
        unit.heal()
        await asyncio.sleep(10)
        assert unit.waits is None

    assert link_of(simulated(course)).ends[0] is end
    assert fault.apart_ms is not None
    assert 10_000 <= back[0] <= 10_000 + fault.apart_ms


def test_who_is_struck_again_at_its_end_stays_apart() -> None:
    async def course(unit: Unit) -> None:
        unit.strike(wire.Partition())
        unit.heal()
        unit.strike(wire.Partition())
        await asyncio.sleep(10)
        assert unit.waits is not None
        unit.strike(wire.Latency())
        assert unit.waits is None

    simulated(course)


@pytest.mark.parametrize(("late_ms", "least", "most"), [(0, 400, 600), (300, 1, 1)])
def test_babble_is_bounded_and_gives_way_to_whoever_runs_it(
    late_ms: int, least: int, most: int
) -> None:
    async def course(unit: Unit) -> None:
        unit.fleet.late_ms = late_ms  # type: ignore[attr-defined]
        word = Publish("t", b"a", retain=True)
        unit.apply(Effects([word], [Truth("d1", "door", "a", 0)]), "wake")
        await asyncio.sleep(1)
        unit.strike(wire.Flood(rate_factor=1e9))
        await asyncio.sleep(10)

    assert least <= len(link_of(simulated(course)).said) <= most


def test_datagrams_go_to_whoever_asked_or_listens(unit: Unit) -> None:
    unit.apply(Effects([Reply(b"nobody asked")]), "wake")
    unit.answer = ("10.0.0.1", 5)
    unit.apply(Effects([Reply(b"r"), Push(b"p", ("10.0.0.2", 6))]), "wake")

    assert unit.fleet.sent == [(b"r", ("10.0.0.1", 5)), (b"p", ("10.0.0.2", 6))]  # type: ignore[attr-defined]


# --- acts -----------------------------------------------------------------------------------------


def units(count: int) -> list[Unit]:
    host = Host()
    return [Unit(host, Population(), Device(f"d{number}")) for number in range(count)]  # type: ignore[arg-type]


def there(units: list[Unit]) -> list[acts.Resident]:
    return [acts.Resident(unit, number) for number, unit in enumerate(units, 1)]


def make_act(**more: Any) -> Act:
    given = {"at": 1, "for": 1, "vendor": "nuki", "fault": "hang"}
    return Act.model_validate({**given, **more}).model_copy(update={"vendor": "acme"})


@pytest.mark.parametrize(
    ("share", "least", "most"), [(1.0, 400, 400), (0.5, 170, 230), (0.01, 1, 12)]
)
def test_an_act_strikes_about_its_share(share: float, least: int, most: int) -> None:
    fleet = there(units(400))

    chosen = acts.struck(make_act(share=share), "0", 7, fleet)

    assert least <= len(chosen) <= most
    assert chosen == acts.struck(make_act(share=share), "0", 7, fleet)
    if share < 1:
        assert chosen != acts.struck(make_act(share=share), "0", 8, fleet)


def test_who_is_struck_does_not_depend_on_who_else_is_there() -> None:
    fleet = there(units(40))
    some = fleet[::3]

    chosen = acts.struck(make_act(share=0.5), "0", 7, fleet)

    assert acts.struck(make_act(share=0.5), "0", 7, some) == [
        unit for unit, _, _ in some if unit in chosen
    ]


def test_the_first_is_struck_if_nobody_else_is() -> None:
    fleet = there(units(9))
    act = make_act(share=0.000001)

    assert acts.struck(act, "0", 7, fleet) == [fleet[0].unit]
    assert acts.struck(act, "0", 7, fleet[1:]) == []  # it is in another shard
    assert acts.struck(act, "0", 7, fleet, first=4) == [fleet[3].unit]


def test_an_act_at_a_site_strikes_nobody_elsewhere() -> None:
    fleet = [
        acts.Resident(unit, number, "north" if number < 4 else "south")
        for unit, number, _ in there(units(9))
    ]

    chosen = acts.struck(make_act(site="south"), "0", 7, fleet, first=4)

    assert chosen == [unit for unit, number, _ in fleet if number >= 4]


def test_an_act_that_follows_another_at_once_begins_after_its_end() -> None:
    fleet = units(3)
    scenario = Scenario(hours=1, fleet={"nuki": 3}, acts=()).model_copy(
        update={
            "acts": (
                make_act(at=10, fault="flood", **{"for": 5}),
                make_act(at=5, **{"for": 5}),
            )
        }
    )

    cues = acts.cues(scenario, 1, fleet)

    assert [at_s for at_s, _ in cues] == [5, 10, 10, 15]
    seen = []

    async def play() -> None:
        for _, what in cues:
            what()
            seen.append(type(fleet[0].fault).__name__)

    in_simulated_time(play())
    assert seen == ["Hang", "NoneType", "Flood", "NoneType"]
