"""What a toxic is: a small value with settings, and what it does with what comes by."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, TypeVar, get_type_hints

from fleet_sim.proxy.items import Message, Sign

if TYPE_CHECKING:
    from fleet_sim.proxy.stage import Stage

M = TypeVar("M", bound=Message)

#: A day: nobody waits longer for a fault on purpose.
MS_MAX: Final = 86_400_000
_ABOUT: Final = "about"


class About(NamedTuple):
    """What is known of one setting: its unit, a line for people, and what it may be."""

    unit: str
    line: str
    least: float | None
    most: float | None


def setting(
    default: Any,  # noqa: ANN401 -- int, float, str, or any JSON
    unit: str,
    line: str,
    least: float | None = 0,
    most: float | None = None,
) -> Any:  # noqa: ANN401 -- as `dataclasses.field`
    """A field of a toxic; both limits are allowed values, and count for numbers alone."""
    return field(default=default, metadata={_ABOUT: About(unit, line, least, most)})


def milliseconds(default: int, line: str) -> Any:  # noqa: ANN401 -- as `dataclasses.field`
    """A field for a span of time."""
    return setting(default, "ms", line, most=MS_MAX)


def share(line: str) -> Any:  # noqa: ANN401 -- as `dataclasses.field`
    """A field for how many of many."""
    return setting(1.0, "share", line, most=1)


@dataclass(frozen=True, slots=True)
class Toxic:
    """One that does no harm. Times are seconds of one clock that never goes back.

    A toxic keeps nothing: what it must remember of a connection is in the `Stage` that it is at
    work in, and there it puts what shall leave, and when.
    """

    #: The messages that it looks at; None if bytes are enough for it.
    reads: ClassVar[type[Message] | None] = None
    #: Where it came from: an incident, a rule, or whose idea it was.
    source: ClassVar[str] = ""

    def problems(self) -> list[str]:
        """What no single setting can say: which of them do not go together."""
        return []

    def loses(self, stage: "Stage") -> bool:
        """Whether bytes are missing after it: the connection ends when it is taken away."""
        del stage
        return False

    def begin(self, at_s: float, stage: "Stage") -> None:
        """It starts to work in a connection, new or not."""

    def take(self, data: bytes, at_s: float, stage: "Stage") -> None:
        """Bytes come by."""
        stage.add(at_s, data)

    def strike(self, message: Any, at_s: float, stage: "Stage") -> None:  # noqa: ANN401 -- one of `reads`
        """A message comes by."""
        stage.add(at_s, message)

    def end(self, sign: Sign, at_s: float, stage: "Stage") -> None:
        """Nothing more comes; whatever waits is said before."""
        stage.add(max(at_s, stage.free_s), sign)


def settings_of(kind: type[Toxic]) -> Mapping[str, tuple[Any, Any, About]]:
    """What it can be told: name to (type, default, more)."""
    types = get_type_hints(kind)
    return {
        each.name: (types[each.name], each.default, each.metadata[_ABOUT]) for each in _of(kind)
    }


def values_of(toxic: Toxic) -> dict[str, Any]:
    """Its settings, as JSON has them."""
    return {each.name: getattr(toxic, each.name) for each in _of(type(toxic))}


def made(kind: type[Toxic], given: Mapping[str, Any], place: str = "attributes") -> Toxic:
    """A toxic with these settings; what is not said is as the kind has it.

    Raises:
        ValueError: with every mistake, its place and what would be right.
    """
    known = settings_of(kind)
    problems = [
        f"{place}.{name}: no such setting; known are {', '.join(known) or 'none'}"
        for name in given
        if name not in known
    ]
    for name, value in given.items():
        if name in known and (wanted := _wanted(*known[name], value)):
            problems.append(f"{place}.{name}: {value!r} is not {wanted}")
    if problems:
        raise ValueError("; ".join(problems))
    toxic = kind(
        **{
            name: float(value) if known[name][0] is float else value
            for name, value in given.items()
        }
    )
    if problems := [f"{place}.{each}" for each in toxic.problems()]:
        raise ValueError("; ".join(problems))
    return toxic


def _of(kind: type[Toxic]) -> list[Any]:
    found = [each for each in fields(kind) if _ABOUT in each.metadata]
    assert all(each.default is not MISSING for each in found)
    return found


def _wanted(type_: Any, _default: Any, about: About, value: Any) -> str:  # noqa: ANN401 -- JSON
    """What would be right, if this is not."""
    if type_ is str:
        return "" if isinstance(value, str) else "text"
    if type_ not in (int, float):
        return ""
    number = "a whole number" if type_ is int else "a number"
    low, high = about.least, about.most
    right = isinstance(value, int if type_ is int else int | float) and not isinstance(value, bool)
    if right and (low is None or value >= low) and (high is None or value <= high):
        return ""
    limits = (f" from {low:g}" if low is not None else "") + (
        f" up to {high:g}" if high is not None else ""
    )
    return number + limits
