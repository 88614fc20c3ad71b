"""Simulated time for somebody else's code."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from devices.errors import ConfigError
from fleet_sim.scenario import Scenario
from fleet_sim.testing.fleet import Devices
from fleet_sim.testing.virtual import EPOCH_MS, VirtualClock, in_virtual_time

SHORT = {"hours": 0.5, "pace": 20, "fleet": {"nuki": 2}}


async def hours(count: int) -> float:
    await asyncio.sleep(count * 3600)
    return asyncio.get_running_loop().time()


def test_hours_are_over_at_once_and_the_clock_goes_on() -> None:
    clock = VirtualClock(1)

    assert clock.now_ms() == EPOCH_MS
    assert clock.run(hours(20)) == pytest.approx(72_000)
    assert clock.run(hours(1)) == pytest.approx(3600)
    assert clock.now_ms() == EPOCH_MS + 75_600_000


async def test_an_async_test_may_use_it_too() -> None:
    assert VirtualClock(1).run(hours(1)) == pytest.approx(3600)


async def test_an_error_comes_back_from_there() -> None:
    async def fails() -> None:
        await asyncio.sleep(3600)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        VirtualClock(1).run(fails())


def test_waiting_for_nothing_is_told() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="no task can run, no timer is set"):
        VirtualClock(1).run(waits())


@in_virtual_time
async def test_a_year_is_over_with_its_fixtures(tmp_path: Path) -> None:
    assert tmp_path.name
    assert await hours(365 * 24) == pytest.approx(365 * 86_400)


@pytest.mark.parametrize("what", [SHORT, Scenario.model_validate(SHORT)], ids=["content", "value"])
def test_a_scenario_runs_with_the_seed_of_the_tests(what: Scenario | dict[str, object]) -> None:
    clock = VirtualClock(5)

    report = clock.scenario(what)

    assert (report["verdict"], report["seed"]) == ("pass", 5)
    assert report["vendors"]["nuki"]["events"] > 0
    assert clock.scenario(what, seed=5)["digest"] == report["digest"]
    assert clock.scenario(what, seed=6)["digest"] != report["digest"]


NIGHT = {"hours": 8, "pace": 0.001, "fleet": {"nuki": 2, "ratgdo": 1}}


def test_a_story_is_told_to_the_fleet_in_its_own_time() -> None:
    seen: dict[str, object] = {}

    async def night(fleet: Mapping[str, Devices]) -> None:
        lock, door = fleet["nuki"][0], fleet["ratgdo"][0]
        seen["before"] = dict(door.state)["position"]
        await asyncio.sleep(5 * 3600)
        lock.strike("hang")
        door.act("wall_button")
        await door.wait_async(main_state="Moving")
        seen["moving"] = door.state["target_position"]
        await door.wait_async(main_state="Stopped")
        seen["after"] = door.state["position"]
        assert lock.fault == "hang"
        lock.heal()

    report = VirtualClock(4).scenario(NIGHT, night)

    assert seen["before"] != seen["after"]
    assert seen["moving"] in {"MoveToFullyOpen", "MoveToFullyClosed"}
    assert (report["verdict"], report["evidence"]) == ("pass", [])
    assert VirtualClock(4).scenario(NIGHT, night)["digest"] == report["digest"]
    assert VirtualClock(4).scenario(NIGHT)["digest"] != report["digest"]


def test_what_fails_in_a_story_fails_the_test() -> None:
    async def never(fleet: Mapping[str, Devices]) -> None:
        await fleet["nuki"][0].wait_async(lock_state="Melted", within_s=3600)

    with pytest.raises(AssertionError, match=r"did not become lock_state=Melted within 3600 s"):
        VirtualClock(4).scenario(NIGHT, never)


def test_nobody_stops_simulated_time_to_wait_for_it() -> None:
    async def stops(fleet: Mapping[str, Devices]) -> None:
        fleet["nuki"].wait(lock_state="Locked")

    with pytest.raises(RuntimeError, match=r"write `await device\.wait_async"):
        VirtualClock(4).scenario(NIGHT, stops)


def test_a_story_ends_before_its_scenario_does() -> None:
    async def long(fleet: Mapping[str, Devices]) -> None:
        await asyncio.sleep(9 * 3600)

    with pytest.raises(ConfigError, match="the scenario is over after 8, the story is not"):
        VirtualClock(4).scenario(NIGHT, long)


def test_a_scenario_that_cannot_be_is_refused_by_place() -> None:
    with pytest.raises(ConfigError, match=r"nuky: unknown vendor .*did you mean nuki\?"):
        VirtualClock(1).scenario({"hours": 1, "fleet": {"nuky": 1}})
    with pytest.raises(ConfigError, match=r"quiet_dya: no such file; did you mean quiet_day\?"):
        VirtualClock(1).scenario("quiet_dya")
