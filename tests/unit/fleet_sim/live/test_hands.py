"""What is done to whom: in this process, and in the processes of a crew."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fleet_sim.act import Act
from fleet_sim.acts import Resident
from fleet_sim.clock import SimLoop
from fleet_sim.cluster.orders import Heal, Orders, Strike
from fleet_sim.cluster.plan import Seat
from fleet_sim.cluster.striking import Everywhere
from fleet_sim.fleet import Agenda, Population
from fleet_sim.ledger import Ledger
from fleet_sim.live.here import Here
from fleet_sim.scenario import Scenario
from fleet_sim.unit import Unit

SCENARIO = Scenario.model_validate({"hours": 1, "fleet": {"nuki": 40, "ratgdo": 1}})


class Host:
    """What a unit needs of a run."""

    seed, pace, journal, in_flight_ms, recalls = 1, 1.0, None, 0.0, False

    def __init__(self) -> None:
        self.ledger, self.agenda = Ledger(), Agenda()

    def now_ms(self) -> float:
        return 1_000.0

    def later(self, wait_ms: float, what: Callable[[], None]) -> None:
        raise AssertionError(wait_ms, what)

    def datagram(self, payload: bytes, address: tuple[str, int]) -> None:
        raise AssertionError(payload, address)


class Ground:
    """Notes what fails."""

    def __init__(self) -> None:
        self.did: list[str] = []

    def begin(self, act: Act) -> None:
        self.did.append(f"begin {act.fault}")

    def end(self, act: Act) -> None:
        self.did.append(f"end {act.fault}")


def act(fault: str, **more: Any) -> Act:
    return Act.model_validate({"at": 0, "for": 1, "vendor": "nuki", "fault": fault, **more})


@pytest.fixture(scope="module")
def units() -> list[Unit]:
    population = Population("nuki", 40, 1, 0)
    host = Host()
    return [
        Unit(host, population, device, population.manner(place))
        for place, device in enumerate(population.devices)
    ]


def here(units: list[Unit], seed: int = 3, ground: Ground | None = None) -> Here:
    return Here(SCENARIO, seed, [Resident(unit, n + 1) for n, unit in enumerate(units)], ground)


def test_the_same_devices_are_struck_for_the_same_seed_fault_and_share(units: list[Unit]) -> None:
    one, other, another = here(units), here(units), here(units, seed=4)
    struck = list(one.begin("f1", act("hang", share=0.3)))
    held = [unit.device.name for unit in units if unit.fault is not None]
    one.end("f1")

    assert held == struck
    assert [unit for unit in units if unit.fault is not None] == []
    assert list(other.begin("f9", act("hang", share=0.3, **{"for": 30}))) == struck
    other.close()
    assert [unit for unit in units if unit.fault is not None] == []
    assert list(another.begin("f1", act("hang", share=0.3))) != struck
    another.close()


def test_a_larger_share_strikes_the_same_and_more(units: list[Unit]) -> None:
    hand = here(units)
    few = set(hand.begin("f1", act("hang", share=0.2)))
    hand.close()
    many = set(hand.begin("f2", act("hang", share=0.6)))
    hand.close()

    assert few < many


def test_a_flood_finds_words_to_repeat_in_a_run_that_kept_none(units: list[Unit]) -> None:
    hand = here(units)
    hand.begin("f1", act("flood"))
    hand.close()

    assert all(unit.words is not None for unit in units)


def test_what_devices_stand_on_is_struck_through_the_ground(units: list[Unit]) -> None:
    ground = Ground()
    hand = here(units, ground=ground)
    struck = hand.begin("f1", act("cell_kill"))
    hand.close()

    assert list(struck) == []
    assert ground.did == ["begin cell_kill", "end cell_kill"]


def test_what_comes_and_goes_does_so_by_hand_too_and_is_healed_for_good(units: list[Unit]) -> None:
    ground = Ground()
    settings = {"probability": 0.5, "stability_ms": 60_000}

    async def story() -> tuple[list[str], list[str]]:
        hand = Here(SCENARIO, 3, [Resident(unit, 1) for unit in units], ground, hurry=60.0)
        hand.begin("f1", act("cell_hang", settings=settings, **{"for": 3_600}))
        await asyncio.sleep(30.5)
        then = list(ground.did)
        hand.end("f1")
        ended = list(ground.did)
        await asyncio.sleep(60)
        assert ground.did == ended
        return then, ended

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        then, ended = runner.run(story())

    assert 10 < len(then) <= 31
    assert ended == ["begin cell_hang", "end cell_hang"] * (len(ended) // 2)


def test_a_coordinator_knows_whom_its_workers_strike(units: list[Unit]) -> None:
    seats = [Seat("nuki", unit.device.name, n + 1, "") for n, unit in enumerate(units)]
    told: list[Strike | Heal] = []
    everywhere, hand = Everywhere(SCENARIO, 3, seats, told.append), here(units)
    struck = everywhere.begin("f1", act("hang", share=0.3))
    owed = everywhere.deeds
    everywhere.end("f1")

    assert struck == hand.begin("f1", act("hang", share=0.3))
    hand.close()
    assert told == [Strike("f1", act("hang", share=0.3)), Heal("f1")]
    assert owed == [Strike("f1", act("hang", share=0.3))]
    assert everywhere.deeds == []


def test_deeds_do_not_stand_in_the_way_of_orders() -> None:
    orders = Orders()
    deed = Heal("f1")
    orders.give(deed)
    orders.give(None)

    with pytest.raises(KeyboardInterrupt):
        orders.next()
    assert list(orders.deeds()) == [deed]
    assert list(orders.deeds()) == []
