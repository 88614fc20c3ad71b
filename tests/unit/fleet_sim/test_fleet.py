"""A fleet's people: rates as in life, and no device moves another's chance."""

from collections import Counter
from typing import Any, Final

import pytest

from fleet_sim.chance import stream
from fleet_sim.fleet import Agenda, Population, polled
from fleet_sim.habits import Habits, Manner
from vendors import registry

EPOCH_MS: Final = 1_767_571_200_000
DAY_MS: Final = 86_400_000


HABITS: Final = {"open": 3.0, "look": 1.0, "never": 0.0}


def life(population: Population, index: int) -> list[Any]:
    """What one device does in a few hours, if people come each ten minutes."""
    device, told = population.devices[index], []
    now_ms = EPOCH_MS
    told.append(device.connected(now_ms))
    for habit in list(population.module.HABITS) * 3:
        now_ms += 600_000
        told += [device.wake(now_ms), device.act(habit, now_ms)]
    return [(effects.messages, effects.truths) for effects in told]


@pytest.mark.parametrize("vendor", registry.names())
def test_a_device_is_the_same_however_many_there_are(vendor: str) -> None:
    few, many = (Population(vendor, count, 7, EPOCH_MS) for count in (2, 9))

    assert [device.name for device in few.devices] == [device.name for device in many.devices[:2]]
    assert life(few, 1) == life(many, 1)


@pytest.mark.parametrize("vendor", registry.names())
def test_another_seed_is_another_fleet(vendor: str) -> None:
    one, other = (Population(vendor, 3, seed, EPOCH_MS) for seed in (1, 2))

    assert [life(one, index) for index in range(3)] != [life(other, index) for index in range(3)]


def test_whom_the_gateway_asks() -> None:
    fleet = [Population(vendor, 1, 1, EPOCH_MS) for vendor in ("uhppote", "nuki", "ratgdo")]

    assert polled(fleet) == ["uhppote"]


def test_people_do_things_as_often_as_in_life() -> None:
    habits = Habits(Manner(HABITS), stream(5, "people"))

    gaps_ms = [habits.gap_ms(1.0, EPOCH_MS) or 0 for _ in range(4000)]
    picked = Counter(habits.pick() for _ in range(4000))

    assert sum(gaps_ms) / len(gaps_ms) == pytest.approx(DAY_MS / 4, rel=0.05)
    assert picked["open"] / picked["look"] == pytest.approx(3.0, rel=0.1)


def test_a_pace_and_a_factor_make_it_more() -> None:
    usual = Habits(Manner(HABITS), stream(5, "people"))
    busy = Habits(Manner(HABITS, pace=10.0), stream(5, "people"))
    gap_ms = busy.gap_ms(2.0, EPOCH_MS)
    assert gap_ms is not None

    assert usual.gap_ms(1.0, EPOCH_MS) == pytest.approx(gap_ms * 20, rel=0.01)


def test_where_nobody_does_anything_nothing_is_planned() -> None:
    assert Habits(Manner({"never": 0.0}), stream(5, "people")).gap_ms(1.0, EPOCH_MS) is None


def test_an_agenda_does_what_is_due_in_order_and_nothing_else() -> None:
    agenda, done = Agenda(), []
    for at_ms, name in ((30, "c"), (10, "a"), (20, "b1"), (20, "b2"), (40, "d")):
        agenda.at(at_ms, lambda now_ms, name=name: done.append((name, now_ms)))
    assert agenda.next_ms == 10

    agenda.run(25)

    assert done == [("a", 25), ("b1", 25), ("b2", 25)]
    assert agenda.next_ms == 30


def test_what_is_planned_meanwhile_is_done_in_the_same_turn_if_it_is_due() -> None:
    agenda, done = Agenda(), []

    def first(_now_ms: int) -> None:
        agenda.at(15, lambda _: done.append("second"))
        agenda.at(25, lambda _: done.append("later"))

    agenda.at(10, first)
    agenda.run(20)

    assert done == ["second"]
