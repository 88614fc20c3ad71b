"""How often and when people use their devices, as a scenario says it."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from fleet_sim.world import counts
from fleet_sim.world.fields import Strict, known
from fleet_sim.world.rhythm import RHYTHMS, Rhythm

#: What reads a file that a scenario names, by its path as written; in pydantic's context.
READER: Final = "read"
Reader = Callable[[str], str]
_NAMED, _OWN = RHYTHM_TAGS = "<name>", "<own>"


def read_counts(path: str, info: ValidationInfo, *, gaps: bool = False) -> counts.Counted:
    """What the CSV file of this name says, beside the scenario.

    Raises:
        ValueError: a line for each mistake, with the file's name before it.
    """
    reader: Reader | None = (info.context or {}).get(READER)
    if reader is None:
        raise ValueError(f"{path}: a file can be named in a file only; give hours instead")
    try:
        return counts.read(reader(path), gaps=gaps)
    except ValueError as error:
        lines = (
            f"{path}{', ' if each.startswith('line ') else ': '}{each}"
            for each in str(error).splitlines()
        )
        raise ValueError("\n".join(lines)) from None


class Hours(Strict):
    """A rhythm of one's own: how much happens in each hour, compared with the others."""

    hours: tuple[float, ...] = Field(
        default=(),
        description="24 numbers of a day from midnight on, or 168 of a week from Monday on.",
    )
    csv: str | None = Field(
        default=None,
        description="A CSV file beside the scenario: hour and count (and weekday), or timestamp.",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_of_both(cls, given: Any) -> Any:  # noqa: ANN401 -- as the file has it
        if not isinstance(given, Mapping):
            return given
        if bool(given.get("hours")) == (given.get("csv") is not None):
            raise ValueError("neither hours nor csv, or both; give one of them")
        return given

    @model_validator(mode="after")
    def _that_make_a_week(self, info: ValidationInfo) -> Self:
        if self.csv is not None and not self.hours:
            found = read_counts(self.csv, info).rhythm
            assert found is not None  # only gaps have none, and nobody asked for them
            # What was read is what counts from now on: the scenario may go to another machine.
            self.__dict__.update(hours=found.hours, csv=None)
        Rhythm(self.hours)
        return self

    def rhythm(self) -> Rhythm:
        """As devices use it."""
        return Rhythm(self.hours)


def _name(given: str) -> str:
    return known(given, RHYTHMS, "rhythm")


def _kind(given: object) -> str:
    return _OWN if isinstance(given, Mapping | Hours) else _NAMED


RhythmName = Annotated[
    str, AfterValidator(_name), WithJsonSchema({"type": "string", "enum": list(RHYTHMS)})
]
#: A rhythm as a scenario says it: a name of ours, or hours of one's own.
RhythmField = Annotated[
    Annotated[RhythmName, Tag(_NAMED)] | Annotated[Hours, Tag(_OWN)], Discriminator(_kind)
]


def rhythm_of(given: "str | Hours") -> Rhythm:
    """The rhythm that a scenario means."""
    return RHYTHMS[given] if isinstance(given, str) else given.rhythm()


class Use(Strict):
    """How people use a group's devices."""

    rhythm: RhythmField = Field(default="flat", description="When in the week.")
    pace: float = Field(
        default=1.0, gt=0, le=10_000, description="How many times as often as in life."
    )
    rates: Mapping[str, Annotated[float, Field(ge=0, le=100_000)]] = Field(
        default={}, description="A habit's times per device and day, where it is not the vendor's."
    )
