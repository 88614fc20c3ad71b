"""What a run in simulated time notes for whoever judges it, beside the ledger; pure.

    events of the bus ──► a digest per vendor, how commands ended
    the cells' health ──► each change of it; the most that ever waited
    the journal       ──► what moved a door from the host's side
    couriers          ──► what was asked of whom

All times are in seconds of the scenario.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final

import orjson

from devices.reading import Value
from fleet_sim.journal import Journal
from fleet_sim.unit import Unit
from fleet_sim.world.courier import finished
from vendors.sim import Effects

#: What is done to a device by whoever is not at the door, as the journal calls it.
_BY_THE_HOST: Final = frozenset({"received", "hub"})
#: What says of a door that it moves, has moved, or may be moved; of a panel's, by its last word.
_MOVES: Final = frozenset({"main_state", "motion", "lock_state", "target_position"})
#: What a cell must hold within bounds, of its snapshot.
_BOUNDED: Final = ("waiting", "outbox_bytes", "outbox_rows")


class Findings:
    """Notes of one run.

    Args:
        began_ms: Unix ms of the scenario's beginning.
        vendors: whose devices and cells there are.
    """

    def __init__(self, began_ms: float, vendors: Iterable[str]) -> None:
        self._began_ms = began_ms
        self._digests = {vendor: blake2b(digest_size=16) for vendor in vendors}
        self._maxima: dict[str, dict[str, int]] = {vendor: {} for vendor in self._digests}
        self._health: list[dict[str, Any]] = []
        self._ends: list[dict[str, Any]] = []
        self._conditions: dict[str, tuple[str, str]] = {}
        self._commands: dict[tuple[str, str], dict[str, Any]] = {}
        self._actuations: list[dict[str, Any]] = []
        self._states: dict[tuple[str, str], Value] = {}

    def at_s(self, at_ms: float) -> float:
        """The second of the scenario."""
        return round((at_ms - self._began_ms) / 1000, 3)

    # --- what is heard ------------------------------------------------------------------------

    def event(self, topic: str, payload: bytes, event: Mapping[str, Any], at_ms: float) -> None:
        """The bus said something."""
        self._digests[event["data"]["vendor"]].update(b"%b %b\n" % (topic.encode(), payload))
        ended = finished(event)
        if ended is not None:
            about = self._command(f"{ended['vendor']}/{ended['device']}", ended["command_id"])
            about["results"].append(
                {
                    "at_s": self.at_s(at_ms),
                    "outcome": ended["outcome"],
                    "reason": ended.get("reason"),
                    "finished_s": self.at_s(ended["finished_at_ms"]),
                }
            )

    def health(self, body: Mapping[str, Any], at_ms: float) -> None:
        """A cell, or its will, said how it fares; that it fares as before is no news."""
        cell, state, reason = body["cell"], body["state"], body["reason"]
        self.snapshot(cell, body.get("counters", {}))
        if self._conditions.get(cell) != (state, reason):
            self._conditions[cell] = (state, reason)
            self._health.append(
                {
                    "at_s": self.at_s(at_ms),
                    "cell": cell,
                    "state": state,
                    "reason": reason,
                    "hosts_open": body.get("counters", {}).get("hosts_open", 0),
                }
            )

    def ended(self, cell: str, how: str, at_ms: float) -> None:
        """A cell's process is gone."""
        self._ends.append({"at_s": self.at_s(at_ms), "cell": cell, "how": how})

    def snapshot(self, cell: str, said: Mapping[str, Any]) -> None:
        """A look at a cell: see `gateway.app.Cell.snapshot`."""
        most = self._maxima[cell]
        for key in _BOUNDED:
            if key in said:
                most[key] = max(most.get(key, 0), said[key])

    def asked(self, unit: Unit, request: bytes, at_ms: float) -> None:
        """Somebody publishes this on the device's command topic."""
        what = orjson.loads(request)
        about = self._command(unit.name, what["id"])
        about |= {key: what.get(key, "") for key in ("name", "part")}
        about["deadline_s"] = self.at_s(what["deadline_ms"])
        about["asked_s"].append(self.at_s(at_ms))

    def _command(self, device: str, id_: str) -> dict[str, Any]:
        fresh = {"device": device, "id": id_, "asked_s": [], "results": []}
        return self._commands.setdefault((device, id_), fresh)

    # --- what is done -------------------------------------------------------------------------

    def done(self, at_ms: float, device: str, did: str, effects: Effects) -> None:
        """Something happened to a device; noted if a door moved that nobody stands at."""
        moved = {}
        for _, key, value, happened_ms, _ in effects.truths:
            if key.rpartition(".")[2] in _MOVES:
                before = self._states.get((device, key))
                self._states[device, key] = value
                # The first word on it is how it is, not that it moved.
                # What took place before was not done by this: it was only found when asked.
                if before is not None and before != value and happened_ms >= int(at_ms):
                    moved[key] = value
            elif key == "door.unlocked":
                moved[key] = value
        if moved and did in _BY_THE_HOST:
            self._actuations.append(
                {"at_s": self.at_s(at_ms), "device": device, "did": did, "changes": moved}
            )

    # --- in the end ---------------------------------------------------------------------------

    def plain(self) -> dict[str, Any]:
        """All of it as plain JSON values.

        `digests`: of each vendor's events, in the order of the bus. `health`: each change of a
        cell's state or reason. `ends`: each time that one's process ended. `maxima`: the most that
        a cell held at any look. `commands`: what was asked, when, and each result that the bus told
        of it. `actuations`: each time when something from the host's side moved a door, with what
        changed.
        """
        return {
            "digests": {vendor: digest.hexdigest() for vendor, digest in self._digests.items()},
            "health": self._health,
            "ends": self._ends,
            "maxima": self._maxima,
            "commands": list(self._commands.values()),
            "actuations": self._actuations,
        }


class NotingJournal(Journal):
    """A journal that is read along while it is written.

    Args:
        journal: what is written; None for nothing.
        findings: take note of what moves a door.
    """

    def __init__(self, journal: Journal | None, findings: Findings) -> None:
        super().__init__()
        self._journal = journal
        self._findings = findings

    def note(self, at_ms: int, device: str, n: int, did: str, effects: Effects) -> bool:
        """See `Journal`."""
        if effects.truths:
            self._findings.done(at_ms, device, did, effects)
        return self._journal is not None and self._journal.note(at_ms, device, n, did, effects)
