"""One device's radio in a run: which message is late, and when the link is cut."""

from fleet_sim.unit import Unit
from fleet_sim.world.radio import Radio
from fleet_sim.world.weektime import DAY_MS
from vendors.sim import Chance


class Reception:
    """What the air does to one device; a `unit.Reception`.

    Args:
        unit: the device.
        own: how good its radio is when the weather is good.
        late: its chance of being late.
        cuts: its chance of being cut. They are two, because who asks a device makes it speak, and
            that must not move what happens to it. None: behind one hub, another device loses the
            link for all.
        speed: how many seconds of the scenario pass in one of the run's.
    """

    __slots__ = ("_cut_ms", "_cuts", "_late", "_now", "_own", "_speed", "unit")

    def __init__(
        self, unit: Unit, own: Radio, late: Chance, cuts: Chance | None, *, speed: float
    ) -> None:
        self.unit = unit
        self._own = self._now = own
        self._late = late
        self._cuts = cuts
        self._speed = speed
        self._cut_ms: int | None = None

    def late_ms(self) -> int:
        """How late the next message comes; 0 for most."""
        radio = self._now
        if not radio.late or self._late.random() >= radio.late:
            return 0
        return self._late.randint(1, radio.late_ms)

    def weather(self, storms: list[Radio], now_ms: int) -> None:
        """From now on these storms blow over it."""
        self._now = self._own
        for each in storms:
            self._now = self._now.worse(each)
        self.unit.radio = None if self._now.perfect else self
        self._plan(now_ms)

    def rest(self) -> None:
        """Nothing is late or cut any more."""
        self._cut_ms = None
        self.unit.radio = None

    def _plan(self, now_ms: int) -> None:
        """When the link is cut next: anew at each change of the weather, for chance forgets."""
        rate = self._now.cuts_per_day * self._speed / DAY_MS
        self._cut_ms = None
        if rate and self._cuts is not None:
            self._cut_ms = now_ms + max(1, round(self._cuts.expovariate(rate)))
            self.unit.fleet.agenda.at(self._cut_ms, self._cut)

    def _cut(self, now_ms: int) -> None:
        if self._cut_ms is None or self._cut_ms > now_ms:
            return  # planned anew since
        self.unit.cut()
        self._plan(now_ms)
