"""A board's link in simulated time: cut, refused, without power, and there again."""

from types import SimpleNamespace
from typing import Any

from fleet_sim.alone import SteppedAgenda
from fleet_sim.faults import End
from fleet_sim.sim_link import SimLink
from vendors.sim import MqttSession, Publish


class Line(SimLink):
    """Takes what it gets, and refuses as often as it is told to."""

    def __init__(self, unit: Any, refusals: int = 0) -> None:
        super().__init__(unit)
        self.refusals = refusals
        self.is_up = False

    @property
    def up(self) -> bool:
        return self.is_up

    def publish(self, message: Publish, over_ms: float = 0.0) -> bool:
        raise AssertionError((message, over_ms))

    def join(self) -> bool:
        self.refusals -= 1
        self.is_up = self.refusals < 0
        return self.is_up

    def break_off(self, *, politely: bool) -> None:
        del politely
        self.is_up = False

    def vanish(self) -> None:
        self.is_up = False

    def usurp(self) -> None:
        raise AssertionError("nobody does")


class Unit:
    """Notes when its link came and went."""

    def __init__(self) -> None:
        self.session = MqttSession("a", 15, (), None, reconnect_s=0.5)
        self.waits: list[Any] | None = None
        self.agenda = SteppedAgenda(0)
        self.fleet = SimpleNamespace(agenda=self.agenda, now_ms=lambda: float(self.agenda.now_ms))
        self.seen: list[tuple[int, str]] = []

    def came_up(self) -> None:
        self.seen.append((self.agenda.now_ms, "up"))

    def went_down(self) -> None:
        self.seen.append((self.agenda.now_ms, "down"))


def test_a_board_that_was_cut_connects_anew_as_its_firmware_does() -> None:
    unit = Unit()
    line = Line(unit)
    line.connect()
    unit.agenda.at(1_000, lambda _: line.drop())
    unit.agenda.step_to(5_000)

    assert unit.seen == [(0, "up"), (1_000, "down"), (1_500, "up")]


def test_a_link_that_died_in_silence_is_known_to_be_dead_when_it_is_dropped() -> None:
    unit = Unit()
    line = Line(unit)
    line.connect()
    unit.agenda.at(1_000, lambda _: line.drop(End.SILENT))
    unit.agenda.at(2_000, lambda _: line.drop(End.SILENT))
    unit.agenda.at(9_000, lambda _: line.drop())
    unit.agenda.step_to(8_000)
    assert not line.up

    unit.agenda.step_to(20_000)

    assert unit.seen == [(0, "up"), (9_000, "down"), (9_500, "up")]


def test_half_a_packet_is_the_end_of_its_link() -> None:
    unit = Unit()
    line = Line(unit)
    line.connect()
    unit.agenda.at(1_000, lambda _: line.tear(Publish("t", b"open"), 0.5))
    unit.agenda.step_to(5_000)

    assert unit.seen == [(0, "up"), (1_000, "down"), (1_500, "up")]


def test_a_cut_of_what_is_cut_is_nothing() -> None:
    unit = Unit()
    line = Line(unit)
    line.drop()
    unit.agenda.step_to(5_000)

    assert unit.seen == []


def test_a_board_that_is_refused_waits_a_second_at_least() -> None:
    unit = Unit()
    Line(unit, refusals=2).connect()
    unit.agenda.step_to(5_000)

    assert unit.seen == [(2_000, "up")]


def test_a_board_without_power_connects_when_it_has_some() -> None:
    unit = Unit()
    unit.waits = []
    line = Line(unit)
    line.connect()
    assert not line.up

    waiting, unit.waits = unit.waits, None
    for each in waiting:
        each()

    assert unit.seen == [(0, "up")]


def test_a_board_that_took_leave_does_not_come_back() -> None:
    unit = Unit()
    line = Line(unit)
    line.connect()
    line.leave()
    line.lost()
    unit.agenda.step_to(60_000)

    assert unit.seen == [(0, "up"), (0, "down")]
