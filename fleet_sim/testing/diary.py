"""What really happens to the devices of a test, while it happens: a journal that can be asked."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from devices.reading import Value
from fleet_sim.journal import Journal
from fleet_sim.ledger import is_state
from vendors.sim import Effects

_DEEDS_KEPT: Final = 20
_LOOK_S: Final = 0.1
#: What the wire does by itself is nobody's deed.
_BY_ITSELF: Final = frozenset({"wake", "hub", "received", "connected", "disconnected"})


class Diary(Journal):
    """The states of all devices by axis, as they truly are, and what was last done to whom."""

    def __init__(self) -> None:
        super().__init__()
        self._states: dict[str, dict[str, Value]] = {}
        self._told: set[str] = set()
        self._news = threading.Condition()
        #: `vendor/name deed`, the latest last.
        self.deeds: deque[str] = deque(maxlen=_DEEDS_KEPT)

    def note(self, at_ms: int, device: str, n: int, did: str, effects: Effects) -> bool:
        """See `Journal`."""
        if did not in _BY_ITSELF:
            self.deeds.append(f"{device} {did}")
        if effects.truths:
            with self._news:
                state = self._states.setdefault(device, {})
                for truth in effects.truths:
                    if is_state(truth.key):
                        state[truth.key] = truth.value
                    if truth.sent:
                        self._told.add(device)
                self._news.notify_all()
        return super().note(at_ms, device, n, did, effects)

    def has_told(self, device: str) -> bool:
        """Whether this device (`vendor/name`) has told anything of itself."""
        return device in self._told

    def state(self, device: str) -> Mapping[str, Value]:
        """Axis to value, as things are with `vendor/name`."""
        with self._news:
            return dict(self._states.get(device, {}))

    def is_so(self, device: str, wanted: Mapping[str, Value]) -> bool:
        """Whether `vendor/name` truly is as wanted."""
        state = self._states.get(device, {})
        return all(axis in state and state[axis] == value for axis, value in wanted.items())

    def failure(self, device: str, wanted: Mapping[str, Value], late: str) -> AssertionError:
        """What to raise if it did not become so; `late` says by when."""
        state = self._states.get(device, {})
        is_so = {axis: state.get(axis) for axis in wanted}
        known = ", ".join(sorted(state)) or "no axis that was told yet"
        return AssertionError(
            f"{device} did not become {_listed(wanted)} {late}; it is {_listed(is_so)}, of {known}"
        )

    def wait(
        self,
        device: str,
        wanted: Mapping[str, Value],
        within_s: float,
        trouble: Callable[[], str | None],
    ) -> None:
        """Until it is so with a device.

        Raises:
            AssertionError: it did not become so in time; with how it is.
        """
        __tracebackhide__ = True
        deadline_s = time.monotonic() + within_s
        with self._news:
            while True:
                if self.is_so(device, wanted):
                    return
                left_s = deadline_s - time.monotonic()
                why = trouble()
                if left_s <= 0 or why is not None:
                    late = f"within {within_s:g} s" if why is None else f"any more: {why}"
                    raise self.failure(device, wanted, late)
                self._news.wait(min(left_s, _LOOK_S))


def _listed(values: Mapping[str, Value]) -> str:
    return ", ".join(f"{axis}={value}" for axis, value in values.items())
