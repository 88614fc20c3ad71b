"""Each kind that fails about the gateway's host, as an outsider on the bus sees it.

A fleet in simulated time with the gateway's own cells; a plain client hears all that is said on
the bus. What a kind says is to be seen is seen while it lasts, and neither before nor afterwards;
in the end nothing is lost, doubled, out of order or invented, and every cell is up.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from statistics import median
from typing import Any, Final, NamedTuple

import orjson
import pytest

from fleet_sim.broker.memory_client import MemoryClient
from fleet_sim.faults import FAULTS, Family, Strikes
from fleet_sim.life import BEGINS_MS
from fleet_sim.scenario import Scenario
from fleet_sim.virtual import VirtualRun, simulated

#: Told at QoS 1, at QoS 0, and by datagrams.
FLEET: Final = {"nuki": 4, "ratgdo": 4, "uhppote": 2}
STRUCK: Final = "ratgdo"
BEGINS_S, LASTS_S = 200.0, 120.0
HEALED_S: Final = 60.0
#: The supervisor gives up who is silent for so long.
HANG_S: Final = 10.0


class Window(NamedTuple):
    """A part of a run, in seconds of the scenario."""

    begins_s: float
    ends_s: float


BEFORE: Final = Window(60.0, BEGINS_S - 1)
DURING: Final = Window(BEGINS_S, BEGINS_S + LASTS_S)
AFTER: Final = Window(BEGINS_S + LASTS_S + HEALED_S, 560.0)


class Outsider:
    """A plain client of the bus."""

    def __init__(self, run: VirtualRun) -> None:
        self._run = run
        self.heard: list[tuple[float, str, Any]] = []
        client = MemoryClient(run._broker, self._hear)  # noqa: SLF001 -- where it is plugged in
        client.connect("outsider", keep_alive_s=0)
        client.subscribe("doorfleet/v1/#", qos=1)

    def _hear(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        del qos, retain
        at_s = self._run._loop.time() - BEGINS_MS / 1000  # noqa: SLF001 -- the time it is
        self.heard.append((at_s, topic, orjson.loads(payload)))

    def said(self, what: str, when: Window) -> list[tuple[float, str, Any]]:
        """What was said on topics with this in them."""
        return [each for each in self.heard if what in each[1] and _within(each[0], when)]

    def health(self, when: Window, state: str) -> list[float]:
        """When the struck cell, or its will, said that it is so, in seconds after the beginning."""
        said = self.said(f"gateway/{STRUCK}/health", when)
        return [at_s - when.begins_s for at_s, _, body in said if body["state"] == state]


def _within(at_s: float, when: Window) -> bool:
    # To the microsecond: sums of many seconds are not exact.
    return when.begins_s <= at_s + 1e-6 < when.ends_s


# --- what is looked at, in a part of a run: a number, None if there is none -----------------------

Look = Callable[[Outsider, Mapping[str, Any], Window], float | None]


def gone_after_s(seen: Outsider, result: Mapping[str, Any], when: Window) -> float | None:
    """The will of the cell's connection."""
    del result
    return min(seen.health(when, "down"), default=None)


def stopped_after_s(seen: Outsider, result: Mapping[str, Any], when: Window) -> float | None:
    """The cell's own last word."""
    del result
    return min(seen.health(when, "stopped"), default=None)


def events(seen: Outsider, result: Mapping[str, Any], when: Window) -> float | None:
    """How much is heard of the cell once it is struck."""
    del result
    later = when._replace(begins_s=when.begins_s + 3)
    return sum(topic.split("/")[3] == STRUCK for _, topic, _ in seen.said("/event/", later))


def events_of_all(seen: Outsider, result: Mapping[str, Any], when: Window) -> float | None:
    """How much is heard of everybody."""
    del result
    return len(seen.said("/event/", when._replace(begins_s=when.begins_s + 3)))


def events_beside_one(seen: Outsider, result: Mapping[str, Any], when: Window) -> float | None:
    """Events without the first of each cell, which may still find room."""
    del result
    cells = Counter(topic.split("/")[3] for _, topic, _ in seen.said("/event/", when))
    return sum(count - 1 for count in cells.values())


def wait_ms(seen: Outsider, result: Mapping[str, Any], when: Window) -> float | None:
    """From when a cell had what an event tells, by its own clock, until it is heard."""
    del result
    return median(1000 * behind for behind in _behind_s(seen, when))


def wrong_s(seen: Outsider, result: Mapping[str, Any], when: Window) -> float | None:
    """How far the times in events are from the time."""
    return -median(_behind_s(seen, when))


def _behind_s(seen: Outsider, when: Window) -> list[float]:
    began_s = datetime.fromisoformat("2026-01-05T00:00:00Z").timestamp() + BEGINS_MS / 1000
    return [
        at_s - (datetime.fromisoformat(event["time"]).timestamp() - began_s)
        for at_s, _, event in seen.said("/event/", when)
    ]


def most_a_second(seen: Outsider, result: Mapping[str, Any], when: Window) -> float | None:
    """How many messages of one cell are heard in a second at most."""
    del result
    seconds = Counter(
        (int(at_s), topic.split("/")[3]) for at_s, topic, _ in seen.said("/event/", when)
    )
    return max(seconds.values(), default=0)


def copies(seen: Outsider, result: Mapping[str, Any], when: Window) -> float | None:
    """How often the same command is heard."""
    del result
    asked = Counter(
        (topic, body["id"]) for _, topic, body in seen.said("/command", when) if "id" in body
    )
    return max(asked.values())


def patience_s(seen: Outsider, result: Mapping[str, Any], when: Window) -> float | None:
    """From when a courier asks until the command is heard on the bus."""
    heard = {
        (topic.split("/")[3] + "/" + topic.split("/")[4], body["id"]): at_s
        for at_s, topic, body in seen.said("/command", Window(0, 9_999))
        if topic.endswith("/command")
    }
    waits = [
        heard[one["device"], one["id"]] - one["asked_s"][0]
        for one in result["commands"]
        if one["asked_s"] and _within(one["asked_s"][0], when)
    ]
    return max(waits)


class Case(NamedTuple):
    """What is seen while a kind lasts, from `least` to `most`; without it, it is not."""

    look: Look
    least: float
    most: float
    settings: Mapping[str, float] = {}


CASES: Final[Mapping[str, Case]] = {
    "cell_hang": Case(gone_after_s, HANG_S - 3, HANG_S + 1),
    "cell_spin": Case(gone_after_s, HANG_S - 3, HANG_S + 1),
    # From 40 MB to 256 MB, weighed every 5 s.
    "cell_leak": Case(gone_after_s, 43, 50, {"mb_per_s": 5.0}),
    "cell_crash": Case(stopped_after_s, -0.01, 1),
    "cell_kill": Case(gone_after_s, -0.01, 0.01),
    "files_exhausted": Case(events, 0, 0),
    "disk_full": Case(events_beside_one, 0, 0),
    "disk_slow": Case(wait_ms, 400, 1_200, {"commit_ms": 800}),
    "disk_forgets": Case(events_of_all, 0, 0),
    "clock_jump": Case(wrong_s, 3_599, 3_601),
    "bus_down": Case(events_of_all, 0, 0),
    "bus_slow": Case(wait_ms, 200, 2_000),
    "bus_throttled": Case(most_a_second, 1, 2, {"per_s": 2}),
    "command_late": Case(patience_s, 19.9, 20.1, {"late_ms": 20_000}),
    "command_doubled": Case(copies, 2, 2),
}


def run(kind: str, case: Case) -> tuple[Outsider, dict[str, Any]]:
    """Ten busy minutes, of which two go wrong."""
    vendor = {"vendor": STRUCK} if FAULTS[kind].strikes is Strikes.CELL else {}
    act = {"at": BEGINS_S, "for": LASTS_S, "fault": kind, "settings": dict(case.settings)}
    return lived(act | vendor)


@cache
def quiet_digests() -> Mapping[str, str]:
    """Of each vendor's events, when nothing goes wrong."""
    digests: Mapping[str, str] = lived()[1]["digests"]
    return digests


def lived(*acts: Mapping[str, Any]) -> tuple[Outsider, dict[str, Any]]:
    scenario = Scenario.model_validate(
        {
            "hours": 1 / 6,
            "pace": 60,
            "fleet": FLEET,
            "gateway": {"uhppote": {"poll_ms": 20_000, "upkeep_ms": 600_000}},
            "deliveries": {
                "per_day": 1_000,
                "rhythm": "flat",
                "place_min_s": 1,
                "place_max_s": 3,
                "patience_s": 60,
            },
            "acts": acts,
        }
    )
    seen: list[Outsider] = []
    with simulated() as (scratch, runner):
        one = VirtualRun(scenario, 5, scratch)
        result = runner.run(one.run(built=lambda: seen.append(Outsider(one))))
    return seen[0], result


@pytest.mark.parametrize(
    "kind", [name for name, kind in FAULTS.items() if kind.family is Family.HOST]
)
def test_what_a_kind_says_is_seen_while_it_lasts(kind: str) -> None:
    case = CASES[kind]

    seen, result = run(kind, case)

    def shows(when: Window) -> tuple[float | None, bool]:
        found = case.look(seen, result, when)
        return found, found is not None and case.least <= found <= case.most

    assert (shows(BEFORE)[1], shows(DURING)[1], shows(AFTER)[1]) == (False, True, False), (
        shows(BEFORE),
        shows(DURING),
        shows(AFTER),
    )
    assert (result["verdict"], result["problems"], result["evidence"]) == ("pass", [], [])
    assert all(cell["state"] == "up" for cell in result["cells"].values())
    if FAULTS[kind].strikes is Strikes.CELL:  # nobody else's stream has moved by a byte
        others = [vendor for vendor in FLEET if vendor != STRUCK]
        for vendor in others:
            assert result["digests"][vendor] == quiet_digests()[vendor]


@pytest.mark.parametrize("jump_s", [3_600.0, -3_600.0])
def test_a_cell_asks_as_ever_once_its_clock_is_right_again(jump_s: float) -> None:
    """A SwitchBot cell once waited until its clock was as late again."""
    scenario = Scenario.model_validate(
        {
            "hours": 0.5,
            "pace": 20,
            "fleet": {"switchbot": 2},
            "gateway": {"switchbot": {"poll_min_ms": 30_000}},
            "acts": [
                {"at": "10m", "for": "5m", "fault": "clock_jump", "settings": {"jump_s": jump_s}}
            ],
        }
    )
    asked: list[int] = []
    with simulated() as (scratch, runner):
        one = VirtualRun(scenario, 5, scratch)

        def count() -> None:
            asked.append(sum(hub.asked for hub in one.hubs))
            one._loop.call_later(300, count)  # noqa: SLF001 -- the time it is

        result = runner.run(one.run(built=lambda: one._loop.call_later(30, count)))  # noqa: SLF001

    assert (result["verdict"], result["evidence"]) == ("pass", [])
    before, after = asked[2] - asked[1], asked[5] - asked[4]
    assert after >= 0.8 * before > 0
