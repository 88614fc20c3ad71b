"""What every run in real time does alike, whether its devices are in this process or in several."""

from collections.abc import Mapping
from typing import Any, Final

from fleet_sim import acts, report
from fleet_sim.ledger import Ledger
from fleet_sim.meter import Meter, Watch, struck
from fleet_sim.scenario import Scenario
from fleet_sim.timeline import Timeline

#: How long gateway and devices may take to come up.
UP_S: Final = 20.0
#: The bus has fallen silent when nothing came for so long; and how long that is waited for.
SILENT_S: Final = 2.0
SETTLE_MAX_S: Final = 60.0
#: Nobody waits longer for a poll that comes once an hour: then the newest state is not owed.
WAIT_MAX_S: Final = 30.0
_SHOW_S: Final = 1.0


class Narrator:
    """Says what begins and ends, shows how it stands, and closes the timeline's buckets.

    Args:
        scenario: what is run.
        seed: of all chance.
        hurry: how many times as fast as the scenario says.
        course: its timeline.
        ledger: whose tallies are shown.
        cells: each cell's last word on its health, kept up to date by others.
        watch: is told and shown; None: nobody is.
    """

    def __init__(  # noqa: PLR0913, PLR0917 -- all that there is to tell of
        self,
        scenario: Scenario,
        seed: int,
        hurry: float,
        course: Timeline,
        ledger: Ledger,
        cells: Mapping[str, Mapping[str, Any]],
        watch: Watch | None,
    ) -> None:
        self._scenario = scenario
        self._hurry = hurry
        self._course = course
        self._watch = watch
        self._said = acts.announcements(scenario, hurry)
        self._ends_s = [end_s / hurry for end_s in course.ends_s]
        self._about = report.about(scenario, seed, virtual=False)
        self._meter = Meter(self._about, ledger, course, cells)
        self._shown_s = 0.0

    def tell(self, now_s: float, played: Scenario | None = None) -> None:
        """So many of our seconds are over; `played` is the scenario with what was added to it."""
        while self._said and self._said[0][0] <= now_s:
            text = self._said.pop(0)[1]
            if self._watch is not None:
                self._watch.say(text)
        while self._ends_s and self._ends_s[0] <= now_s:
            self._ends_s.pop(0)
            self._course.close_bucket()
        if self._watch is not None and now_s - self._shown_s >= _SHOW_S:
            self._shown_s = now_s
            at_s, now = now_s * self._hurry, played or self._scenario
            self._about["acts"] = report.acts(now)
            self._watch.show(self._meter.moment(at_s, struck(now, at_s)))

    def finish(self) -> None:
        """All of them are over."""
        for _ in self._ends_s:
            self._course.close_bucket()


def patience(
    scenario: Scenario, *, gateway: bool, most_s: float = WAIT_MAX_S
) -> tuple[float, bool]:
    """How long after a run's end its slowest news is waited for, in s; whether that is enough."""
    longest_s = scenario.longest_wait_s if gateway else 0.0
    wait_s = min(longest_s, most_s)
    return wait_s, wait_s >= longest_s


def all_up(vendors: Mapping[str, int], cells: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether each of these vendors' cells has said that it is up."""
    return all(cells.get(vendor, {}).get("state") == "up" for vendor in vendors)


def cells_of(
    vendors: Mapping[str, int], cells: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """The health of every cell that these vendors need."""
    absent = {"state": "silent", "reason": "its health was never heard"}
    return {vendor: cells.get(vendor, absent) for vendor in vendors}
