"""A story told to a fleet in simulated time: deeds by hand between those of the scenario."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from devices.errors import ConfigError
from devices.reading import Value
from fleet_sim.life import BEGINS_MS
from fleet_sim.scenario import Scenario
from fleet_sim.testing.diary import Diary
from fleet_sim.testing.fleet import Device, Devices
from fleet_sim.virtual import VirtualRun, simulated

T = TypeVar("T")

#: Is given the devices by vendor, and may `await asyncio.sleep(...)` for hours.
Story = Callable[[Mapping[str, Devices]], Coroutine[Any, Any, object]]

# A board may pause some seconds before it tells how it is.
_GREETING_S: Final = 10.0
_LOOK_S: Final = 0.1


def tell(scenario: Scenario, story: Story, *, seed: int) -> dict[str, Any]:
    """Run the scenario, and the story in it; the report.

    Raises:
        ConfigError: the scenario ended before the story did.
        Exception: the story's own.
    """
    with simulated() as (folder, runner):
        return runner.run(_tell(scenario, story, seed, folder))


async def _tell(scenario: Scenario, story: Story, seed: int, folder: Path) -> dict[str, Any]:
    diary = Diary()
    run = VirtualRun(scenario, seed, folder, journal=diary)
    run.recalls = True  # a story may flood
    hand = _InPlace(run, diary)
    begins_s = BEGINS_MS / 1000 + scenario.arrive_s + _GREETING_S
    told: list[asyncio.Task[object]] = []

    async def told_in_time() -> None:
        await asyncio.sleep(begins_s)
        await story(hand.groups())

    result = await run.run(built=lambda: told.append(asyncio.create_task(told_in_time())))
    (telling,) = told
    if not telling.done():
        telling.cancel()
        raise ConfigError(
            (f"hours: the scenario is over after {scenario.hours:g}, the story is not; give more",)
        )
    telling.result()
    return result


class _InPlace:
    """A `Stagehand` on the very loop that the devices live on."""

    def __init__(self, run: VirtualRun, diary: Diary) -> None:
        self._run = run
        self._diary = diary

    def groups(self) -> Mapping[str, Devices]:
        return {
            vendor: Devices(
                vendor, [Device(self, unit) for unit in self._run.units if unit.vendor == vendor]
            )
            for vendor in self._run.scenario.fleet
        }

    def call(self, what: Callable[..., T], *arguments: object) -> T:
        return what(*arguments)

    def state(self, device: str) -> Mapping[str, Value]:
        return self._diary.state(device)

    def wait(self, device: str, wanted: Mapping[str, Value], within_s: float) -> None:
        del wanted, within_s
        raise RuntimeError(f"{device}: in simulated time write `await device.wait_async(...)`")

    async def wait_async(self, device: str, wanted: Mapping[str, Value], within_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + within_s
        while loop.time() < deadline_s:
            if self._diary.is_so(device, wanted):
                return
            await asyncio.sleep(_LOOK_S)
        raise self._diary.failure(device, wanted, f"within {within_s:g} s")
