"""What a fault does to a device by the clock, for as long as it lasts: cuts, take-overs, babble."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from fleet_sim.faults import End, Fault

if TYPE_CHECKING:
    from fleet_sim.unit import Unit

# Whoever runs it comes first: nobody babbles faster, and who is called so late takes breath.
_WORD_MS: Final = 20
_BEHIND_MS: Final = 250
_BREATH_MS: Final = 1_000


class Struck:
    """One device with one fault; a fault that is over does nothing more."""

    def __init__(self, unit: "Unit", fault: Fault) -> None:
        self._unit = unit
        self._fault = fault

    def begin(self) -> None:
        """Do what comes first, and plan the rest."""
        unit, fault = self._unit, self._fault
        if fault.ends is not None:
            unit.cut(fault.ends)
        if fault.cut_every_ms:
            self._storm()
        if fault.reset_every_ms:
            self._later(self._gap_ms(fault.reset_every_ms), self._reset)
        if fault.usurped_every_ms:
            self._usurp()
        if (every_ms := self._word_every_ms()) is not None:
            self._babble(max(every_ms, _WORD_MS))

    def _later(self, wait_ms: int, what: Callable[[], None]) -> None:
        """Do this after so long, if it fails still."""
        self._at(int(self._unit.fleet.now_ms()) + wait_ms, lambda _: what())

    def _at(self, at_ms: int, what: Callable[[int], None]) -> None:
        self._unit.fleet.agenda.at(at_ms, partial(self._due, what))

    def _due(self, what: Callable[[int], None], now_ms: int) -> None:
        if self._unit.fault is self._fault:
            what(now_ms)

    def _gap_ms(self, mean_ms: float) -> int:
        return max(1, round(self._unit.rng.expovariate(1 / mean_ms)))

    @property
    def _speaks(self) -> bool:
        """Whether what befalls its link is to befall it through this device: many may share it."""
        return self._unit.behind is None or self._unit.behind.speaks(self._unit)

    def _storm(self) -> None:
        self._unit.cut()
        self._later(self._fault.cut_every_ms, self._storm)

    def _reset(self) -> None:
        if self._speaks:
            self._unit.cut(End.RESET)
        self._later(self._gap_ms(self._fault.reset_every_ms), self._reset)

    def _usurp(self) -> None:
        if self._speaks:
            self._unit.usurp()
        self._later(self._fault.usurped_every_ms, self._usurp)

    # --- babble -------------------------------------------------------------------------------

    def _word_every_ms(self) -> float | None:
        """So often it says again what it said; a flood makes up for what people cannot do."""
        fault, usual_ms = self._fault, self._unit.usual_gap_ms
        if fault.babble_ms is not None:
            return fault.babble_ms
        if fault.rate_factor > 1 and usual_ms is not None:
            return usual_ms / fault.rate_factor
        return None

    def _babble(self, every_ms: float) -> None:
        due_ms = int(self._unit.fleet.now_ms()) + self._gap_ms(every_ms)
        self._at(due_ms, partial(self._word, every_ms, due_ms))

    def _word(self, every_ms: float, due_ms: int, now_ms: int) -> None:
        wait_ms = _BREATH_MS
        if now_ms - due_ms <= _BEHIND_MS:
            self._unit.repeat()
            wait_ms = self._gap_ms(every_ms)
        self._at(now_ms + wait_ms, partial(self._word, every_ms, now_ms + wait_ms))
