"""What can befall a command between whoever asks for it and the gateway."""

from collections.abc import Callable
from functools import partial

from fleet_sim.chance import stream
from fleet_sim.faults import Fault, Spell, host
from fleet_sim.ground import Heal

#: Publishes a command.
Ask = Callable[[], object]


class CommandFaults:
    """Carries commands; each method lets something begin, and gives back what ends it.

    Args:
        later: does something after so many seconds.
        now_ms: the time.
        seed: of which commands are struck, if not all are.
    """

    def __init__(
        self, later: Callable[[float, Ask], object], now_ms: Callable[[], float], seed: int
    ) -> None:
        self._later = later
        self._now_ms = now_ms
        self._chance = stream(seed, "commands")
        self._spoil: Callable[[Ask], None] | None = None

    def carry(self, ask: Ask) -> None:
        """Have a command reach the bus, as what befalls it says."""
        if self._spoil is None:
            ask()
        else:
            self._spoil(ask)

    def late(self, fault: host.CommandLate) -> Heal:
        """They come late."""
        strikes = self._striking(fault)

        def spoil(ask: Ask) -> None:
            if strikes():
                self._later(fault.late_ms / 1000, ask)
            else:
                ask()

        return self._spoiled(spoil)

    def doubled(self, fault: host.CommandDoubled) -> Heal:
        """They come, and once more later."""
        strikes = self._striking(fault)

        def spoil(ask: Ask) -> None:
            ask()
            if strikes():
                self._later(fault.again_ms / 1000, ask)

        return self._spoiled(spoil)

    def _striking(self, fault: Fault) -> Callable[[], bool]:
        spell = Spell()
        return lambda: spell.harms(fault, self._chance, self._now_ms())

    def _spoiled(self, spoil: Callable[[Ask], None]) -> Heal:
        self._spoil = spoil
        return partial(setattr, self, "_spoil", None)
