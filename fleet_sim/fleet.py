"""A fleet's people: who does what when, drawn per device, costing nothing in between."""

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count, groupby
from typing import Any

import orjson

from devices.errors import ConfigError
from fleet_sim.chance import stream
from fleet_sim.habits import Manner, manner_of
from fleet_sim.shard import WHOLE, Shard
from fleet_sim.world.population import module_of, of_one
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
        self.module = module_of(vendor)
        _check(vendor, groups)
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


def _check(vendor: str, groups: Iterable[Group]) -> None:
    own = of_one(vendor)
    strange = sorted({name for group in groups for name in group.options} - own)
    if strange:
        known = ", ".join(sorted(own)) or "none"
        what = f"its devices cannot differ in {', '.join(strange)}"
        raise ConfigError((f"{vendor}: {what}; options of a group: {known}",))


def _atoms(module: SimulatorModule, spec: FleetSpec) -> Callable[[int], int]:
    """What the device of a number is never parted from; without hubs each is alone.

    Raises:
        ConfigError: an option that the vendor's devices do not have.
    """
    atom: Callable[[FleetSpec, int], int] | None = getattr(module, "atom", None)
    if atom is None:
        return lambda number: number
    # An atom is asked for each of a million devices, so it trusts the options; a fleet of nobody
    # refuses wrong ones in the words in which the whole fleet would.
    module.fleet(replace(spec, only=()), lambda name: stream(0, name))
    return partial(atom, spec)


def _here(module: SimulatorModule, spec: FleetSpec, shard: Shard) -> Sequence[int]:
    """The numbers of the devices that are in this shard."""
    return [
        number
        for atom, numbers in groupby(spec.members, _atoms(module, spec))
        if shard.has(spec.prefix, atom)
        for number in numbers
    ]


def blocks_of(  # noqa: PLR0913, PLR0917 -- each of them says which devices
    vendor: str,
    count: int,
    epoch_ms: int,
    options: Mapping[str, object] | None,
    shard: Shard,
    size: int,
) -> Iterator[Sequence[int]]:
    """The numbers of a shard's devices, some `size` at a time; a hub is in one block only.

    Raises:
        ConfigError: an option that the vendor's devices do not have.
    """
    module = module_of(vendor)
    spec = FleetSpec(count, vendor, epoch_ms, dict(options or {}))
    atom = _atoms(module, spec)
    block = array("L")
    before = None
    for number in spec.members if shard.of == 1 else _here(module, spec, shard):
        own = atom(number)
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


def polls(vendor: str) -> bool:
    """Whether a gateway also asks this vendor's devices, and so hears what was not told."""
    return registry.vendor(vendor).delivery is not Delivery.PUSH


def polled(populations: Iterable[Population]) -> list[str]:
    """The vendors among them whose gateway also asks, and so hears in the end what was not told."""
    vendors = dict.fromkeys(population.vendor for population in populations)
    return [name for name in vendors if polls(name)]


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
