"""The standing oracles: the promises of ARCHITECTURE.md, each held against what a run has shown.

A promise looks at one vendor and says what breaks it, and which word of the experiment would allow
it; None if this run has nothing to look at. `PROMISES` is the table; it is always on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from fleet_sim.chaos import convergence, doors, hosts
from fleet_sim.chaos.experiment import Experiment, May
from fleet_sim.chaos.seen import Seen
from fleet_sim.demo import compared, slowed
from fleet_sim.faults import Strikes
from fleet_sim.ledger import LATE_MS

_UP: Final = "up"
#: What a cell says before it has begun, and no sign of trouble then.
_BEGINNING: Final = ("starting", _UP)
# The first part of the time before the acts: everybody connects.
_WARM: Final = 0.1


class Breach(NamedTuple):
    """What breaks a promise; `by` is the word that would allow it, if there is one."""

    what: str
    by: May | None = None


Found = Sequence[Breach] | None


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged: an experiment, its run, and in simulated time its twin without the acts."""

    experiment: Experiment
    run: Seen
    twin: Seen | None = None

    @property
    def began_s(self) -> float:
        """When the first act began."""
        return self.experiment.begins_s

    @property
    def over_s(self) -> float:
        """When the last act was over."""
        return self.experiment.ends_s

    def baseline(self, vendor: str) -> list[float]:
        """Latencies as they would have been, or were before; in ms."""
        if self.twin is not None:
            return self.twin.latencies(vendor, self.began_s, self.over_s)
        return self.run.latencies(vendor, _WARM * self.began_s, self.began_s)


class Promise(NamedTuple):
    """One of them: a word for a table's head, what it says, and who looks."""

    name: str
    says: str
    look: Callable[[Case, str], Found]


def _count(case: Case, vendor: str, sin: str, by: May | None = None) -> Iterator[Breach]:
    count = case.run.figure(vendor, sin)
    if count:
        evidence = case.run.report.get("evidence", ())
        proof = next(
            (line for line in evidence if line.startswith(f"{sin} ") and f" {vendor}/" in line), ""
        )
        yield Breach(f"{count} {sin}" + (f" ({proof})" if proof else ""), by)


def _complete(case: Case, vendor: str) -> Found:
    lost, states = case.run.figure(vendor, "lost"), case.run.lost_states.get(vendor, 0)
    return list(_count(case, vendor, "lost", May.LOST_STATE if lost == states else None))


def _once(case: Case, vendor: str) -> Found:
    return list(_count(case, vendor, "duplicated"))


def _ordered(case: Case, vendor: str) -> Found:
    return list(_count(case, vendor, "reordered"))


def _true(case: Case, vendor: str) -> Found:
    return list(_count(case, vendor, "invented"))


def _unchanged(case: Case, vendor: str) -> Found:
    """Word for word what its twin said; of a vendor that nothing was to happen to."""
    if case.twin is None or case.experiment.allowed(vendor):
        return None
    # A run with acts may wait longer in the end, and then hears more.
    end_s = case.experiment.seconds
    ours, theirs = (
        [one for one in seen.said.get(vendor, ()) if one.at_s < end_s]
        for seen in (case.run, case.twin)
    )
    for one, other in zip(ours, theirs, strict=False):
        if one.mark != other.mark:
            return [
                Breach(
                    f"{one.device} said {one.type} at {one.at_s:.3f} s; without the acts"
                    f" {other.device} says {other.type} at {other.at_s:.3f} s, or with other words"
                )
            ]
    if len(ours) != len(theirs):
        return [Breach(f"said {len(ours)} things; without the acts {len(theirs)}")]
    return []


def _fast(case: Case, vendor: str) -> Found:
    """While others fail: p99 within 1.25 of its own and 2 ms, and no event later than is late."""
    during = case.run.latencies(vendor, case.began_s, case.over_s)
    late = sum(ms > LATE_MS for ms in during)
    found = [Breach(f"{late} events later than {LATE_MS / 1000:g} s", May.LATE)] if late else []
    slow = slowed(compared(case.baseline(vendor), during))
    if slow is not None:
        found.append(Breach(f"{slow[0]} while others failed{slow[1]}", May.LATE))
    return found


def _up(case: Case, vendor: str) -> Found:
    """Its cell is well, and stays the one that it is."""
    report = case.run.report
    if "health" not in report:
        return None
    ill = [
        f"{change['state']} at {change['at_s']:.1f} s: {change['reason']}"
        for change in case.run.health(vendor)
        if change["at_s"] > 0 and change["state"] not in _BEGINNING
    ]
    found = [Breach(f"its cell was {ill[0]}", May.DEGRADED)] if ill else []
    restarts = sum(
        count
        for name, count in report.get("restarts", {}).items()
        if name.partition("#")[0] == vendor
    )
    if restarts:
        found.append(Breach(f"its cell was restarted {restarts} times", May.RESTARTS))
    return found


def _doors(case: Case, vendor: str) -> Found:
    report = case.run.report
    if "actuations" not in report:
        return None
    # What comes late to the gateway has a deadline there; only a slow link makes it late later.
    links = (act for act in case.experiment.acts_on(vendor) if act.strikes is Strikes.LINK)
    late_s = max((act.late_ms for act in links), default=0) / 1000
    return [
        Breach(what)
        for what in doors.wrong(report["commands"], report["actuations"], vendor, late_s=late_s)
    ]


def _committed(case: Case, vendor: str) -> Found:
    """What is in its store is on the bus, and says under its id what it said."""
    again = case.run.rewritten.get(vendor, 0)
    found = [Breach(f"{again} events came again with other bytes")] if again else []
    for name, cell in case.run.cells(vendor).items():
        behind = {sink: rows for sink, rows in (cell.get("lag_rows") or {}).items() if rows}
        if behind:
            found.append(Breach(f"in the end {name} still owes its sinks {behind}"))
    return found


def _kept(case: Case, vendor: str) -> Found:
    """Torn frames that came over MQTT are dead letters in the store, or counted as such."""
    report = case.run.report
    # A cell that was ended has forgotten what it counted.
    if vendor not in report.get("dead_letters", {}) or report["restarts"][vendor]:
        return None
    torn, cell = sum(case.run.torn.get(vendor, {}).values()), report["cells"][vendor]
    buried, counted = cell.get("dead_letters", 0), cell.get("dead_letters_unkept", 0)
    found = hosts.unkept(torn, buried, report["dead_letters"][vendor], counted)
    return [Breach(what) for what in found]


def _bounded(case: Case, vendor: str) -> Found:
    maxima = case.run.report.get("maxima")
    if maxima is None:
        return None
    return [
        Breach(f"{name} held {what}")
        for name, most in maxima.items()
        if name.partition("#")[0] == vendor
        for what in hosts.beyond(most)
    ]


def _gentle(case: Case, vendor: str) -> Found:
    """A host that fails is asked as its breaker allows, and no more often."""
    requests = case.run.report.get("requests", {}).get(vendor)
    if not requests:
        return None
    devices = case.run.figure(vendor, "devices")  # each may be a host of its own
    acts = case.experiment.acts_on(vendor)
    return [Breach(what) for what in hosts.hammered(acts, requests, devices)]


def _converged(case: Case, vendor: str) -> Found:
    within_s = case.experiment.recovery_s
    last = convergence.last_trouble(case.experiment, case.run, case.twin, vendor)
    if last is None or last.after_s <= within_s:
        return []
    return [
        Breach(f"{last.after_s:.0f} s after the last act, allowed are {within_s:g}: {last.why}")
    ]


#: In the order of a matrix. What is wrong under faults first, what must come after them last.
PROMISES: Final = (
    Promise("complete", "nothing is lost", _complete),
    Promise("once", "nothing is said twice under two ids", _once),
    Promise("in order", "per device, order is kept", _ordered),
    Promise("true", "nothing is invented; unknown is never read as unlocked or closed", _true),
    Promise("unchanged", "who is not struck says word for word what it else would", _unchanged),
    Promise("fast", "p99 within 1.25 of its own baseline + 2 ms", _fast),
    Promise("up", "its cell stays up, and is the same one", _up),
    Promise("doors", "no command moves a door twice, late, or stale", _doors),
    Promise("committed", "what is committed is on the bus, and stays as it was said", _committed),
    Promise("kept", "bad input is kept as a dead letter", _kept),
    Promise("bounded", "nothing grows beyond its limit", _bounded),
    Promise("gentle", "a failing host is not hammered", _gentle),
    Promise("converged", "all is well again within the recovery objective", _converged),
)
