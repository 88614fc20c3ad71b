"""What a scenario comes to, before anybody runs it; pure."""

from collections.abc import Iterator
from typing import Any

from fleet_sim.scenario import Scenario
from fleet_sim.world import courier
from fleet_sim.world.fields import DAYS
from fleet_sim.world.people import Hours, rhythm_of
from fleet_sim.world.population import Group, habits, world_of
from fleet_sim.world.rhythm import Rhythm
from fleet_sim.world.weektime import DAY_HOURS, HOUR_MS, HOURS, WallClock


def outlook(scenario: Scenario) -> dict[str, Any]:
    """Devices, how much people will do, and what goes wrong: plain JSON values.

    `deeds_per_hour` are means: `peak_at` says in which hour of the fleet's week most is done.
    """
    groups = [group for vendor in scenario.fleet for _, group in scenario.groups(vendor)]
    hours = list(_hours(scenario, groups))
    most = max(range(len(hours)), key=hours.__getitem__)
    first = int(WallClock(scenario.starts).at(0) // HOUR_MS)
    day, hour = divmod((first + most) % HOURS, DAY_HOURS)
    return {
        "scenario": scenario.name,
        "description": scenario.description,
        "hours": scenario.hours,
        "starts": scenario.starts.isoformat(sep=" ", timespec="minutes"),
        "devices": sum(group.count for group in groups),
        "groups": [_group(scenario, group) for group in groups],
        "deeds_per_hour": {
            "mean": round(sum(hours) / len(hours), 1),
            "peak": round(hours[most], 1),
            "peak_at": f"{DAYS[day]} {hour:02}:00",
        },
        "deliveries_per_day": round(_deliveries(scenario, groups), 1),
        "batteries": _batteries(scenario, groups),
        "acts": [
            {"at_s": act.at_s, "for_s": act.for_s, "vendor": act.vendor, "fault": act.fault}
            for act in scenario.acts
        ],
        "storms": [
            {"at_s": storm.at_s, "for_s": storm.for_s, "site": storm.site}
            for storm in scenario.storms
        ],
        "rollouts": [
            {"at_s": each.at_s, "vendor": each.vendor, "to": each.to, "waves": list(each.waves)}
            for each in scenario.rollouts
        ],
    }


def _group(scenario: Scenario, group: Group) -> dict[str, Any]:
    rhythm = scenario.rhythm if group.habits is None else group.habits.rhythm
    return {
        "vendor": group.vendor,
        "count": group.count,
        "site": group.site,
        "model": group.model,
        "firmware": group.firmware,
        "rhythm": "of its own" if isinstance(rhythm, Hours) else rhythm,
    }


def _used(scenario: Scenario, group: Group) -> tuple[float, Rhythm]:
    """How often in a day people do something with all of its devices, and when."""
    rates, pace, rhythm = habits(group.vendor), 1.0, rhythm_of(scenario.rhythm)
    if group.habits is not None:
        rates = {**rates, **group.habits.rates}
        pace, rhythm = group.habits.pace, rhythm_of(group.habits.rhythm)
    return sum(rates.values()) * pace * scenario.pace * group.count, rhythm


def _hours(scenario: Scenario, groups: list[Group]) -> Iterator[float]:
    """Deeds in each hour of the scenario, of its first week at most."""
    used = [_used(scenario, group) for group in groups]
    first = int(WallClock(scenario.starts).at(0) // HOUR_MS)
    for number in range(max(1, min(HOURS, round(scenario.hours)))):
        at_ms = (first + number) * HOUR_MS
        yield sum(a_day / DAY_HOURS * rhythm.now(at_ms) for a_day, rhythm in used)


def _deliveries(scenario: Scenario, groups: list[Group]) -> float:
    spec = scenario.deliveries
    if spec is None:
        return 0.0
    doors = sum(
        group.count
        for group in groups
        if spec.come_to(group.vendor, group.site) and courier.way_of(group.vendor) is not None
    )
    return spec.a_day * doors * spec.share


def _batteries(scenario: Scenario, groups: list[Group]) -> int:
    """How many devices have one that drains."""
    if scenario.batteries is None:
        return 0
    return sum(group.count for group in groups if "battery" in world_of(group.vendor))
