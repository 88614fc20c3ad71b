"""Scenarios on real sockets: each fault strikes, heals, and costs nobody an event."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from fleet_sim import stage, wire_run
from fleet_sim.broker.tcp import TcpBroker
from fleet_sim.meter import Moment
from fleet_sim.scenario import Scenario

FLEET = {"nuki": 4, "ratgdo": 4, "uhppote": 2}
SECONDS = 11.0
#: Enough for what no fault has a part in.
SHORT_S = 4.0
#: Three vendors, each ill in its own way at the same time; every kind by itself: tests/contract.
TURNS = (
    {"nuki": "hang", "ratgdo": "reconnect_storm", "uhppote": "silence"},
    {"nuki": "malformed", "ratgdo": "duplicate", "uhppote": "latency"},
    {"nuki": "latency", "ratgdo": "flood", "uhppote": "hang"},
    {"nuki": "power_cut", "ratgdo": "power_cut", "uhppote": "power_cut"},
)


def scenario(turn: dict[str, str], **more: Any) -> Scenario:
    return Scenario.model_validate(
        {
            "name": "turn",
            "hours": SECONDS / 3600,
            # Somebody at each device every two seconds or so.
            "pace": 3000,
            "fleet": FLEET,
            "acts": [
                {"at": 2, "for": 4, "vendor": vendor, "fault": fault}
                for vendor, fault in turn.items()
            ],
            **more,
        }
    )


class Watching:
    """Remembers what it was shown; `at_a_word` is called at whatever is said."""

    def __init__(self, at_a_word: Callable[[], object] = lambda: None) -> None:
        self.at_a_word = at_a_word
        self.said: list[str] = []
        self.shown: list[float] = []

    def say(self, text: str) -> None:
        self.at_a_word()
        self.said.append(text)

    def show(self, moment: Moment) -> None:
        assert 0 < moment.elapsed_s <= moment.seconds + 1
        assert [row.vendor for row in moment.rows] == list(FLEET)
        self.shown.append(moment.elapsed_s)


@pytest.fixture(scope="module")
def played() -> Sequence[dict[str, Any] | BaseException]:
    """What came of each turn. All run at once, with nothing in common, since each mostly waits."""

    async def all_of_them() -> Sequence[dict[str, Any] | BaseException]:
        runs = (wire_run.run(scenario(turn), seed=11) for turn in TURNS)
        return await asyncio.gather(*runs, return_exceptions=True)

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("number", range(len(TURNS)), ids=lambda n: "-".join(TURNS[n].values()))
def test_faults_cost_no_event_that_could_arrive(
    played: Sequence[dict[str, Any] | BaseException], number: int
) -> None:
    turn, result = TURNS[number], played[number]
    if isinstance(result, BaseException):
        raise result

    assert result["evidence"] == []
    assert result["verdict"] == "pass", result["problems"]
    for vendor, fault in turn.items():
        assert result["vendors"][vendor]["devices"] == FLEET[vendor]
        assert result["vendors"][vendor]["events"] > (10 if fault == "power_cut" else 20)
        if fault == "malformed" and vendor != "uhppote":
            assert result["cells"][vendor]["counters"]["dead_letters"] > 0


@pytest.mark.mosquitto
async def test_a_scenario_of_hours_in_seconds_on_mosquitto(need: Any) -> None:
    need("mosquitto")
    long = scenario({}, hours=1, pace=8).model_copy(
        update={"acts": scenario({"nuki": "hang"}, hours=1).acts}
    )
    watch = Watching()

    result = await wire_run.run(long, seed=11, seconds=SHORT_S, broker="mosquitto", watch=watch)

    assert (result["broker"], result["simulated_s"], result["evidence"]) == ("mosquitto", 3600, [])
    assert result["verdict"] == "pass", result["problems"]
    assert len(watch.shown) > 1
    assert watch.shown == sorted(watch.shown)
    assert any("nuki: hang begins" in line for line in watch.said)


async def test_the_bus_is_heard_from_the_gateways_first_word_on() -> None:
    async with TcpBroker() as broker:
        url = f"mqtt://127.0.0.1:{broker.port}"
        clients: list[str] = []
        watch = Watching(lambda: clients.append(next(iter(broker.core.sessions))))

        result = await wire_run.run(scenario({}), seed=11, seconds=SHORT_S, broker=url, watch=watch)

    assert clients[0].startswith("doorfleet-witness-")
    assert result["evidence"] == []


async def test_a_broker_that_is_not_there_is_told() -> None:
    with pytest.raises(stage.StageError):
        await wire_run.run(scenario({}), seed=1, broker="http://nowhere")
