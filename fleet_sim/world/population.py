"""Who lives in a scenario: devices by vendor, site, model and firmware, and how each is used."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any, Final, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    Tag,
    model_validator,
)
from pydantic_core import core_schema

from fleet_sim.chance import stream
from fleet_sim.world.fields import Count, Strict, Vendor, known
from fleet_sim.world.people import RHYTHM_TAGS, Use
from fleet_sim.world.radio import PERFECT, RadioField
from vendors import registry
from vendors.sim import FleetSpec, SimulatorModule
from vendors.sim import Group as Numbers

#: What a device may be, and which option of the vendor's devices says it.
_OF_ONE: Final = ("model", "firmware")
_SHORT, _LONG = "<short>", "<long>"
Place = Annotated[str, Field(max_length=64)]


def module_of(vendor: str) -> SimulatorModule:
    """The vendor's simulator."""
    found: SimulatorModule = import_module(registry.vendor(vendor).simulator)
    return found


def habits(vendor: str) -> Mapping[str, float]:
    """What people do with this vendor's devices: times per device and day."""
    return module_of(vendor).HABITS


@cache
def world_of(vendor: str) -> frozenset[str]:
    """What of the world around it this vendor's devices can be told."""
    found: frozenset[str] = getattr(module_of(vendor), "WORLD", frozenset())
    return found


@cache
def of_one(vendor: str) -> frozenset[str]:
    """The options in which one of this vendor's devices may differ from another."""
    found: frozenset[str] = getattr(module_of(vendor), "OF_ONE", frozenset())
    return found


def check_version(vendor: str, version: str) -> None:
    """Tell a device of this vendor that it runs this, as a run would, and forget the device.

    Raises:
        ValueError: it has no word for such a version; with what it takes.
    """
    (device,) = module_of(vendor).fleet(FleetSpec(1, vendor, 0, {}), lambda name: stream(0, name))
    try:
        device.act(f"firmware:{version}", 0)
    except ValueError as error:
        raise ValueError(f"{vendor} takes no firmware {version!r}; {error}") from None


def _used(given: object) -> object:
    return {"rhythm": given} if isinstance(given, str) else given


UseField = Annotated[Use, BeforeValidator(_used)]


class Group(Strict):
    """Some devices of one vendor that have much in common."""

    vendor: Vendor = Field(description="Whose devices.")
    count: Count = Field(description="How many.")
    site: Place = Field(default="", description="Where they are: what storms and acts may name.")
    model: str | None = Field(
        default=None, max_length=64, description="Which, where the vendor's simulator has more."
    )
    firmware: str | None = Field(
        default=None, max_length=32, description="What they run, where their protocol tells it."
    )
    habits: UseField | None = Field(
        default=None, description="A named rhythm, or rhythm, pace and rates."
    )
    radio: RadioField = Field(default=PERFECT, description="How good their radio is.")
    drift_ms_per_day: float = Field(
        default=0.0,
        ge=0,
        le=86_400_000,
        description="How far a clock goes wrong in a day, where it has one: the deviation.",
    )
    options: Mapping[str, Any] = Field(
        default={}, description="What the vendor's simulator takes for one device."
    )

    @model_validator(mode="after")
    def _that_its_vendor_knows(self) -> Self:
        if self.habits is not None:
            for habit in self.habits.rates:
                known(habit, habits(self.vendor), f"habit of {self.vendor}")
        can, own = world_of(self.vendor), of_one(self.vendor)
        if self.drift_ms_per_day and "clock" not in can:
            raise ValueError(
                f"{self.vendor} tells no time, so no clock of it can drift; remove drift_ms_per_day"
            )
        if self.firmware is not None and not {"firmware"} & (can | own):
            raise ValueError(f"{self.vendor} tells no firmware that could differ; remove firmware")
        # An option of its own is checked as options are.
        if self.firmware and "firmware" not in own:
            check_version(self.vendor, self.firmware)
        if self.model is not None and "model" not in own:
            raise ValueError(f"{self.vendor} has no models to choose; remove model")
        return self

    def special(self) -> dict[str, Any]:
        """The options of its devices that are theirs alone."""
        own = of_one(self.vendor)
        named = {name: getattr(self, name) for name in _OF_ONE if name in own}
        return {
            **{name: value for name, value in named.items() if value is not None},
            **self.options,
        }


class Fleet(Mapping[str, int]):
    """How many devices there are of each vendor, and in which groups.

    Several groups of a vendor are ranges of the numbers of its one population, in their order.
    """

    def __init__(self, groups: tuple[Group, ...]) -> None:
        self.groups = groups
        self._counts: dict[str, int] = {}
        for group in groups:
            self._counts[group.vendor] = self._counts.get(group.vendor, 0) + group.count

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Counts by vendor, or a list of groups; written out again as groups."""
        del source
        return core_schema.no_info_before_validator_function(
            lambda given: given.groups if isinstance(given, cls) else given,
            core_schema.no_info_after_validator_function(
                _settled,
                handler.generate_schema(_Given),
                serialization=core_schema.plain_serializer_function_ser_schema(_written),
            ),
        )

    def __getitem__(self, vendor: str) -> int:
        """How many."""
        return self._counts[vendor]

    def __iter__(self) -> Iterator[str]:
        """Vendors, in the order of the file."""
        return iter(self._counts)

    def __len__(self) -> int:
        """How many vendors."""
        return len(self._counts)

    def __repr__(self) -> str:
        """As a short form says it."""
        return f"Fleet({self._counts})"

    def numbered(self, vendor: str) -> list[tuple[range, Group]]:
        """The groups of a vendor with the numbers of their devices, from 1 on."""
        found, first = [], 1
        for group in self.groups:
            if group.vendor == vendor:
                found.append((range(first, first + group.count), group))
                first += group.count
        return found

    def options_of_groups(self, vendor: str) -> tuple[Numbers, ...]:
        """What a `vendors.sim.FleetSpec` is told of a vendor's groups."""
        return tuple(
            Numbers(numbers, special)
            for numbers, group in self.numbered(vendor)
            if (special := group.special())
        )


def _form(given: object) -> str:
    return _LONG if isinstance(given, list | tuple) else _SHORT


def _settled(given: Mapping[str, int] | tuple[Group, ...]) -> Fleet:
    if isinstance(given, Mapping):
        given = tuple(Group(vendor=vendor, count=count) for vendor, count in given.items())
    return Fleet(given)


def _written(fleet: Fleet) -> list[dict[str, Any]]:
    return [group.model_dump(mode="json", exclude_defaults=True) for group in fleet.groups]


_Counts = Annotated[Mapping[Vendor, Count], Field(min_length=1), Tag(_SHORT)]
_Groups = Annotated[tuple[Group, ...], Field(min_length=1), Tag(_LONG)]
_Given = Annotated[_Counts | _Groups, Discriminator(_form)]
#: The tags stand in the places of pydantic's errors, and nobody has written them.
TAGS: Final = frozenset({_SHORT, _LONG, *RHYTHM_TAGS})
