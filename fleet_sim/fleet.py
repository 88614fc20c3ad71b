"""A fleet's people: who does what when, drawn per device, costing nothing in between."""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from itertools import count
from random import Random
from typing import Final

import orjson

from fleet_sim.chance import stream
from vendors import registry
from vendors.api import Delivery
from vendors.sim import Addresses, FleetSpec, SimDevice, SimulatorModule

_DAY_MS: Final = 86_400_000


class Population:
    """All devices of one vendor in a run."""

    def __init__(
        self,
        vendor: str,
        count: int,
        seed: int,
        epoch_ms: int,
        options: Mapping[str, object] | None = None,
    ) -> None:
        self.vendor = vendor
        self.module: SimulatorModule = import_module(registry.vendor(vendor).simulator)
        self.spec = FleetSpec(count, vendor, epoch_ms, dict(options or {}))
        self.devices: Sequence[SimDevice] = self.module.fleet(
            self.spec, lambda name: stream(seed, f"{vendor}/{name}")
        )

    def gateway_settings(self, at: Addresses) -> Mapping[str, object]:
        """What a gateway cell needs to listen to these, as a configuration file would say it."""
        plain: Mapping[str, object] = orjson.loads(
            orjson.dumps(self.module.gateway_settings(self.spec, at))
        )
        return plain


def polled(populations: Iterable[Population]) -> list[str]:
    """The vendors among them whose gateway also asks, and so hears in the end what was not told."""
    vendors = dict.fromkeys(population.vendor for population in populations)
    return [name for name in vendors if registry.vendor(name).delivery is not Delivery.PUSH]


class Agenda:
    """What is to be done when: device timers and habits alike, in one heap."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[int], None]]] = []
        self._number = count()

    def at(self, at_ms: int, what: Callable[[int], None]) -> None:
        """Do this at or after then; equal times go in the order they were asked for."""
        heapq.heappush(self._heap, (at_ms, next(self._number), what))

    @property
    def next_ms(self) -> int | None:
        """When the next thing is due."""
        return self._heap[0][0] if self._heap else None

    def run(self, now_ms: int) -> None:
        """Do what is due."""
        heap = self._heap
        while heap and heap[0][0] <= now_ms:
            at_ms, _, what = heapq.heappop(heap)
            what(max(at_ms, now_ms))


class Habits:
    """One device's people: each habit a Poisson process of its own rate."""

    def __init__(self, module: SimulatorModule, rng: Random, pace: float) -> None:
        self._names = list(module.HABITS)
        self._weights = list(module.HABITS.values())
        self._per_ms = sum(self._weights) / _DAY_MS * pace
        self._rng = rng

    def gap_ms(self, factor: float) -> int:
        """How long until somebody does something."""
        return max(1, round(self._rng.expovariate(self._per_ms * factor)))

    def pick(self) -> str:
        """What they do."""
        return self._rng.choices(self._names, self._weights)[0]
