"""Where scenario files are, and what is wrong with one, in words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from devices.errors import ConfigError
from fleet_sim.world.population import TAGS, Fleet, Group

_SCENARIOS: Final = "scenarios"
_SHOWN_MAX: Final = 60
# A file of counts is read whole, and a year of them by the minute is 30 MB.
_BESIDE_MAX_BYTES: Final = 64 << 20
#: pydantic's error type to what to do about it.
_REMEDIES: Final[Mapping[str, str]] = {
    "missing": "add it",
    "greater_than": "write more than {gt}",
    "greater_than_equal": "write {ge} or more",
    "less_than": "write less than {lt}",
    "less_than_equal": "write {le} or less",
    "string_type": "write text",
    "string_too_short": "write {min_length} characters at least",
    "string_too_long": "write {max_length} characters at most",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "tuple_type": "write a list, each entry behind `- `",
    "dict_type": "write keys and values",
    "mapping_type": "write keys and values",
    "model_type": "write keys and values",
    "datetime_type": "write it like monday 08:00",
    "too_short": "list at least {min_length}",
}


def folder(shelf: str = _SCENARIOS) -> Traversable:
    """Where our own files are: beside the code when installed, in `config/` of a checkout."""
    installed = files("fleet_sim") / shelf
    return installed if installed.is_dir() else Path(__file__).parents[1] / "config" / shelf


def names(shelf: str = _SCENARIOS) -> list[str]:
    """The scenarios, or what else is on that shelf, that came with doorfleet."""
    found = (entry.name for entry in folder(shelf).iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def read(path: str | Path, shelf: str = _SCENARIOS) -> tuple[bytes, Callable[[str], str]]:
    """The bytes of a file, or of one of ours by its name; and what reads files beside it.

    Raises:
        ConfigError: neither is there, or it cannot be read.
    """
    given = Path(path)
    source: Traversable = given
    beside: Traversable = given.parent
    ours = names(shelf)
    if not given.exists() and str(path) in ours:
        source, beside = folder(shelf) / f"{path}.yaml", folder(shelf)
    try:
        data = source.read_bytes()
    except FileNotFoundError:
        near = get_close_matches(given.stem, ours, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError((f"{path}: no such file; {hint}ours are {', '.join(ours)}",)) from None
    except OSError as error:
        raise ConfigError(
            (f"{path}: {error.strerror}; give a YAML file that we may read",)
        ) from error
    return data, lambda name: _beside(beside, name)


def _beside(place: Traversable, name: str) -> str:
    """The text of a file that a scenario names.

    Raises:
        ValueError: it cannot be read, or is no text, or too large.
    """
    try:
        data = (place / name).read_bytes()
    except OSError as error:
        raise ValueError(f"{error.strerror}; give its path from the scenario's folder") from None
    if len(data) > _BESIDE_MAX_BYTES:
        raise ValueError(f"more than {_BESIDE_MAX_BYTES >> 20} MiB; give a sample of it")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8; save it as UTF-8") from None


def mistakes(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """Each mistake in words: place, value, remedy."""
    for each in error.errors():
        yield from _lines(each, model)


def _lines(error: ErrorDetails, model: type[BaseModel]) -> Iterator[str]:
    place = [step for step in error["loc"] if step != "[key]" and step not in TAGS]
    where = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in place).lstrip(".")
    kind, context = error["type"], error.get("ctx", {})
    shown = str(error["input"])
    shown = f" (got {shown[:_SHOWN_MAX]}{'…' if len(shown) > _SHOWN_MAX else ''})"
    prefix = f"{where}: " if where else ""
    if kind == "value_error":
        for sentence in str(context["error"]).splitlines():
            problem, _, remedy = sentence.partition("; ")
            large = isinstance(error["input"], dict | BaseModel)
            yield f"{prefix}{problem}{'' if large else shown}; {remedy}"
    elif kind == "extra_forbidden":
        keys = sorted(_keys(model, place[:-1]))
        near = get_close_matches(str(place[-1]), keys, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"known are {', '.join(keys)}"
        yield f"{prefix}unknown key{shown}; {remedy}"
    elif kind == "missing":
        yield f"{prefix}required, but missing; add it"
    else:
        message = error["msg"][:1].lower() + error["msg"][1:]
        remedy = _REMEDIES.get(kind, "correct it").format_map({**context})
        yield f"{prefix}{message}{shown}; {remedy}"


def _keys(model: type[BaseModel], place: Sequence[int | str]) -> Iterator[str]:
    """What may be written at this place."""
    for step in place:
        if isinstance(step, str):
            found = next(
                field.annotation
                for name, field in model.model_fields.items()
                if step in (name, field.alias)
            )
            model = _model_in(found) or model
    for name, field in model.model_fields.items():
        yield field.alias or name


def _model_in(kind: Any) -> type[BaseModel] | None:  # noqa: ANN401 -- an annotation of any kind
    """The model that an annotation is about."""
    if kind is Fleet:
        return Group
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((found for each in get_args(kind) if (found := _model_in(each))), None)
