"""A fleet's people: who does what when, drawn per device, costing nothing in between."""

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import count
from typing import Any

import orjson

from devices.errors import ConfigError
from fleet_sim.chance import stream
from fleet_sim.habits import Manner, manner_of
from fleet_sim.shard import WHOLE, Shard
from vendors import registry
from vendors.api import Delivery
from vendors.sim import Addresses, FleetSpec, Group, SimDevice, SimulatorModule


class Population:
    """The devices of one vendor in a run, or those of them that are in one shard of it.

    Args:
        only: the numbers of those that are meant, where a shard is not what is meant.

    Raises:
        ConfigError: an option that the vendor's devices do not have, or not each for itself.
    """

    def __init__(  # noqa: PLR0913 -- each of them says which devices
        self,
        vendor: str,
        count: int,
        seed: int,
        epoch_ms: int,
        options: Mapping[str, object] | None = None,
        *,
        shard: Shard = WHOLE,
        only: Sequence[int] | None = None,
        groups: tuple[Group, ...] = (),
    ) -> None:
        self.vendor = vendor
        #: How people use them, by their numbers; the others are used as usual.
        self.manners: Sequence[tuple[range, Manner]] = ()
        self.module: SimulatorModule = import_module(registry.vendor(vendor).simulator)
        _check(self.module, vendor, groups)
        whole = FleetSpec(count, vendor, epoch_ms, dict(options or {}), groups=groups)
        here = None if shard.of == 1 else _here(self.module, whole, shard)
        self.spec = replace(whole, only=here if only is None else only)
        self.devices: Sequence[SimDevice] = self.module.fleet(
            self.spec, lambda name: stream(seed, f"{vendor}/{name}")
        )

    def gateway_settings(self, at: Addresses) -> Mapping[str, object]:
        """What a gateway cell needs to listen to these, as a configuration file would say it."""
        plain: Mapping[str, object] = orjson.loads(
            orjson.dumps(self.module.gateway_settings(self.spec, at))
        )
        return plain

    def manner(self, place: int) -> Manner:
        """How people use the device at this place of `devices`."""
        number = self.spec.members[place] if self.manners else 0
        for numbers, manner in self.manners:
            if number in numbers:
                return manner
        return manner_of(self.module)


def _check(module: SimulatorModule, vendor: str, groups: Iterable[Group]) -> None:
    own: frozenset[str] = getattr(module, "OF_ONE", frozenset())
    strange = sorted({name for group in groups for name in group.options} - own)
    if strange:
        known = ", ".join(sorted(own)) or "none"
        what = f"its devices cannot differ in {', '.join(strange)}"
        raise ConfigError((f"{vendor}: {what}; options of a group: {known}",))


def _here(module: SimulatorModule, spec: FleetSpec, shard: Shard) -> Sequence[int]:
    """The numbers of the devices that are in this shard."""
    atom: Callable[[FleetSpec, int], int] | None = getattr(module, "atom", None)
    if atom is None:
        return [number for number in spec.members if shard.has(spec.prefix, number)]
    here: dict[int, bool] = {}
    numbers = []
    for number in spec.members:
        of = atom(spec, number)
        if of not in here:
            here[of] = shard.has(spec.prefix, of)
        if here[of]:
            numbers.append(number)
    return numbers


def blocks_of(  # noqa: PLR0913, PLR0917 -- each of them says which devices
    vendor: str,
    count: int,
    epoch_ms: int,
    options: Mapping[str, object] | None,
    shard: Shard,
    size: int,
) -> Iterator[Sequence[int]]:
    """The numbers of a shard's devices, some `size` at a time; a hub is in one block only."""
    module: SimulatorModule = import_module(registry.vendor(vendor).simulator)
    spec = FleetSpec(count, vendor, epoch_ms, dict(options or {}))
    atom: Callable[[FleetSpec, int], int] | None = getattr(module, "atom", None)
    block = array("L")
    before = None
    for number in spec.members if shard.of == 1 else _here(module, spec, shard):
        own = number if atom is None else atom(spec, number)
        if len(block) >= size and own != before:
            yield block
            block = array("L")
        block.append(number)
        before = own
    if block:
        yield block


def within(settings: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """These settings with others in them; a section keeps what the others do not say of it."""
    whole = dict(settings)
    for key, value in more.items():
        before: Any = whole.get(key)
        section = isinstance(before, Mapping) and isinstance(value, Mapping)
        whole[key] = within({**before}, value) if section else value
    return whole


def polled(populations: Iterable[Population]) -> list[str]:
    """The vendors among them whose gateway also asks, and so hears in the end what was not told."""
    vendors = dict.fromkeys(population.vendor for population in populations)
    return [name for name in vendors if registry.vendor(name).delivery is not Delivery.PUSH]


class Agenda:
    """What is to be done when: device timers and habits alike, in one heap."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[int], None]]] = []
        self._number = count()
        self._stopped = False

    def at(self, at_ms: int, what: Callable[[int], None]) -> None:
        """Do this at or after then; equal times go in the order they were asked for."""
        if not self._stopped:
            heapq.heappush(self._heap, (at_ms, next(self._number), what))

    def stop(self) -> None:
        """The world stands still: nothing is done any more."""
        self._stopped = True
        self._heap.clear()

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
