"""What people see of a run where there is no terminal: lines, for logs, pipes and CI."""

import sys
from types import TracebackType
from typing import Final, Self

from fleet_sim.meter import Moment, together
from fleet_sim.watching import words

_VIRTUAL_EVERY_S: Final = 5.0


class PlainView:
    """Lines on stderr; it needs nothing that is not always there."""

    def __init__(self) -> None:
        self._shown_s = 0.0

    def __enter__(self) -> Self:
        """Nothing to set up."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Nothing to put back."""

    def say(self, text: str) -> None:
        """One line."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def pin(self, text: str) -> None:
        """A line that stays, as all of them do."""
        self.say(text)

    def show(self, moment: Moment) -> None:
        """One line a second; of simulated time, one every few of our seconds."""
        if moment.virtual:
            if moment.wall_s - self._shown_s < _VIRTUAL_EVERY_S:
                return
            self._shown_s = moment.wall_s
            total = together("all", moment.rows)
            over = f"{words.span(moment.elapsed_s)} of {words.span(moment.seconds)}"
            self.say(
                f"{over} at {words.times(moment.speed)}   {total.events:,} events"
                f"   p99 {words.ms(total.p99_ms)} ms   {words.left(moment.eta_s)}"
            )
            return
        cells = "   ".join(
            f"{row.vendor} {row.events_per_s:4.0f} ev/s p99 {words.ms(row.p99_ms)}"
            + (f" [{row.fault}]" if row.fault else "")
            for row in moment.rows
        )
        self.say(f"{moment.wall_s:5.0f} s   {cells}")
