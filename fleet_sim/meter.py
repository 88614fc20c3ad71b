"""How a run stands while it lasts: rates, latencies, and what is wrong so far."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Protocol

from fleet_sim import timeline
from fleet_sim.ledger import Ledger
from fleet_sim.report import SINS
from fleet_sim.scenario import Scenario
from fleet_sim.timeline import Latencies, Timeline


@dataclass(frozen=True, slots=True)
class Row:
    """One vendor: rates per second and latencies in ms since the row before, None if unknown.

    What was done and said since the beginning is in `deeds`, `frames`, `events`; `took` is how many
    took at most so many ms (see `fleet_sim.timeline`), and `recent` those since the row before.
    `sins` are those that show before the end:
    what is lost or invented is known only when all is said.
    """

    vendor: str
    devices: int
    connected: int
    cell: str
    fault: str
    frames_per_s: float
    events_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    deeds_per_s: float = 0.0
    deeds: int = 0
    frames: int = 0
    events: int = 0
    late: int = 0
    redelivered: int = 0
    sins: Mapping[str, int] = field(default_factory=dict)
    battery_pct: float | None = None
    took: Latencies = ()
    recent: Latencies = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """A run at one moment, complete in itself: it may go to another thread or process.

    `elapsed_s` of `seconds` are over, in the scenario's time; `wall_s` in ours. `virtual`: rates
    are per simulated second. `timeline`: the course so far, as `Timeline.so_far` tells it. `starts`
    is what the clock at the devices says in the beginning.
    """

    scenario: str
    seed: int
    elapsed_s: float
    seconds: float
    wall_s: float
    virtual: bool
    rows: Sequence[Row]
    timeline: Mapping[str, Any] = field(default_factory=dict)
    acts: Sequence[Mapping[str, Any]] = ()
    starts: str = ""

    @property
    def speed(self) -> float:
        """How many times as fast as in life."""
        return self.elapsed_s / self.wall_s if self.wall_s else 1.0

    @property
    def eta_s(self) -> float | None:
        """How many of our seconds are left, if it goes on like this."""
        speed = self.speed
        return (self.seconds - self.elapsed_s) / speed if speed else None

    @property
    def problems(self) -> list[str]:
        """What breaks a promise already, in words."""
        sins = [f"{row.vendor}: {n} {sin}" for row in self.rows for sin, n in row.sins.items() if n]
        cells = [
            f"{row.vendor}: its cell is {row.cell}"
            for row in self.rows
            if row.cell in ("degraded", "down", "failed")
        ]
        return sins + cells


class Watch(Protocol):
    """Who is shown a run while it lasts."""

    def say(self, text: str) -> None:
        """One line for people."""

    def show(self, moment: Moment) -> None:
        """How it stands: about once a second, or at the end of each bucket of simulated time."""


def struck(scenario: Scenario, at_s: float) -> dict[str, str]:
    """By vendor, the fault that it suffers from at this second of the scenario."""
    now = [act for act in scenario.acts if act.at_s <= at_s < act.until_s]
    of_all = {vendor: act.fault for act in now if act.vendor is None for vendor in scenario.fleet}
    return of_all | {act.vendor: act.fault for act in now if act.vendor is not None}


class Meter:
    """Makes the moments of one run.

    Args:
        about: `scenario`, `seed`, `seconds`, `starts`, `virtual` and `acts` of every `Moment`.
        ledger: whose tallies are read.
        course: the run's timeline.
        cells: each cell's last word on its health, kept up to date by others.
    """

    def __init__(
        self,
        about: Mapping[str, Any],
        ledger: Ledger,
        course: Timeline,
        cells: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._about = about
        self._ledger = ledger
        self._course = course
        self._cells = cells
        self._last: dict[str, tuple[int, int, int, int]] = {}
        self._at_s = 0.0
        self._began_s = time.perf_counter()

    def moment(self, elapsed_s: float, struck: Mapping[str, str]) -> Moment:
        """Now; `struck` names the fault that a vendor suffers from."""
        wall_s = time.perf_counter() - self._began_s
        at_s = elapsed_s if self._about["virtual"] else wall_s
        passed_s = max(at_s - self._at_s, 1e-9)
        self._at_s = at_s
        return Moment(
            **self._about,
            elapsed_s=elapsed_s,
            wall_s=wall_s,
            rows=[
                self._row(vendor, passed_s, struck.get(vendor, ""))
                for vendor in self._course.latencies
            ],
            timeline=self._course.so_far(),
        )

    def _row(self, vendor: str, passed_s: float, fault: str) -> Row:
        tally = self._ledger.tally(vendor)
        deeds, frames, events, seen = self._last.get(vendor, (0, 0, 0, 0))
        recent = timeline.sketch(ms for _, ms in tally.latencies[seen:])
        self._last[vendor] = (tally.deeds, tally.frames, tally.events, len(tally.latencies))
        return Row(
            vendor=vendor,
            devices=tally.devices,
            connected=tally.connected,
            cell=str(self._cells.get(vendor, {}).get("state", "?")),
            fault=fault,
            frames_per_s=(tally.frames - frames) / passed_s,
            events_per_s=(tally.events - events) / passed_s,
            p50_ms=timeline.percentile(recent, 50),
            p99_ms=timeline.percentile(recent, 99),
            deeds_per_s=(tally.deeds - deeds) / passed_s,
            battery_pct=timeline.mean(tally.battery_sum, tally.battery_devices),
            took=sorted(self._course.latencies[vendor].items()),
            recent=recent,
            sins={sin: getattr(tally, sin) for sin in SINS},
            **{name: getattr(tally, name) for name in _TOTALS},
        )


_TOTALS: Final = ("deeds", "frames", "events", "late", "redelivered")
_RATES: Final = ("deeds_per_s", "frames_per_s", "events_per_s")


def merge(moments: Sequence[Moment]) -> Moment:
    """One moment of several shards of a run; the slowest shard says how far it is."""
    first = moments[0]
    by_vendor: dict[str, list[Row]] = {}
    for moment in moments:
        for row in moment.rows:
            by_vendor.setdefault(row.vendor, []).append(row)
    courses = [moment.timeline for moment in moments if moment.timeline]
    return Moment(
        scenario=first.scenario,
        seed=first.seed,
        elapsed_s=min(moment.elapsed_s for moment in moments),
        seconds=first.seconds,
        wall_s=max(moment.wall_s for moment in moments),
        virtual=first.virtual,
        rows=[together(vendor, rows) for vendor, rows in by_vendor.items()],
        timeline=timeline.merge(courses) if courses else {},
        acts=first.acts,
        starts=first.starts,
    )


def together(name: str, rows: Sequence[Row]) -> Row:
    """One row of several: of one vendor's shards, or of all vendors."""
    recent = timeline.added(row.recent for row in rows)
    charged = [(row.battery_pct, row.devices) for row in rows if row.battery_pct is not None]
    weights = sum(devices for _, devices in charged)
    bad = [row.cell for row in rows if row.cell != "up"]
    return Row(
        vendor=name,
        devices=sum(row.devices for row in rows),
        connected=sum(row.connected for row in rows),
        cell=bad[0] if bad else "up",
        fault=next((row.fault for row in rows if row.fault), ""),
        p50_ms=timeline.percentile(recent, 50),
        p99_ms=timeline.percentile(recent, 99),
        battery_pct=(
            round(sum(pct * devices for pct, devices in charged) / weights, 1) if weights else None
        ),
        took=timeline.added(row.took for row in rows),
        recent=recent,
        sins={sin: sum(row.sins.get(sin, 0) for row in rows) for sin in SINS},
        **{rate: sum(getattr(row, rate) for row in rows) for rate in _RATES},
        **{total: sum(getattr(row, total) for row in rows) for total in _TOTALS},
    )


#: All of a row but its latencies one by one.
_FIGURES: Final = [part.name for part in fields(Row) if part.name not in ("took", "recent")]


def status(moment: Moment) -> dict[str, Any]:
    """As plain JSON values, for `/status`."""
    rows = [
        {name: getattr(row, name) for name in _FIGURES}
        for row in (*moment.rows, together("all", moment.rows))
    ]
    return {
        "scenario": moment.scenario,
        "seed": moment.seed,
        "time": "virtual" if moment.virtual else "real",
        "elapsed_s": round(moment.elapsed_s, 3),
        "seconds": moment.seconds,
        "wall_s": round(moment.wall_s, 3),
        "speed": round(moment.speed, 2),
        "eta_s": None if moment.eta_s is None else round(moment.eta_s, 1),
        "verdict": "fail" if moment.problems else "pass so far",
        "problems": moment.problems,
        "acts": [
            dict(act) for act in moment.acts if act["at_s"] <= moment.elapsed_s < act["until_s"]
        ],
        "vendors": {row["vendor"]: row for row in rows[:-1]},
        "total": rows[-1],
    }
