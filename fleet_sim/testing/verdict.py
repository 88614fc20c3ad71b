"""What a ledger found, in words that a failing test can show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleet_sim import report
from fleet_sim.ledger import Tally


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether every promise was kept; false if not, and then its text says which and where.

    `problems`: a line each. `evidence`: device, key and value of what was lost, duplicated,
    reordered or invented. `vendors`: the figures of each, as in a run's report.
    """

    problems: Sequence[str]
    evidence: Sequence[str]
    vendors: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, problems: Sequence[str], tallies: Mapping[str, Tally]) -> "Verdict":
        """The verdict on closed tallies."""
        return cls(
            tuple(problems),
            tuple(line for tally in tallies.values() for line in tally.evidence),
            {vendor: report.figures(tally) for vendor, tally in tallies.items()},
        )

    @property
    def passed(self) -> bool:
        """Whether every promise was kept."""
        return not self.problems

    def __bool__(self) -> bool:
        """`assert ledger.verdict()`."""
        return self.passed

    def count(self, sin: str) -> int:
        """How many were `lost`, `duplicated`, `reordered` or `invented`, of all vendors."""
        return sum(int(figures[sin]) for figures in self.vendors.values())

    def __str__(self) -> str:
        """All of it, for people."""
        if self.passed:
            events = sum(int(figures["events"]) for figures in self.vendors.values())
            return f"kept: every promise, over {events} events"
        lines = [f"broken: {problem}" for problem in self.problems]
        return "\n".join([*lines, *(f"  {line}" for line in self.evidence)])

    def __repr__(self) -> str:
        """What pytest shows of a failed `assert`: one line, the first of the evidence in it."""
        if self.passed:
            return f"<{self}>"
        more = f", and {len(self.evidence) - 1} more" if len(self.evidence) > 1 else ""
        return f"<broken: {'; '.join([*self.problems, *self.evidence[:1]])}{more}>"
