"""From a YAML file to a `GatewayConfig`, or to every mistake that it holds at once.

A mistake reads `file: path: problem (got VALUE); remedy`. A value whose key smells of a secret
is never repeated.
"""

import json
import os
import types
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from devices.errors import ConfigError
from gateway.config import CellConfig, GatewayConfig, clashes
from gateway.yaml_text import yaml_of
from vendors import registry
from vendors.api import Vendor

#: The one variable that is read; it names the file if no argument does.
VARIABLE: Final = "DOORFLEET_CONFIG"
EXAMPLE: Final = "config/gateway.example.yaml"

_SECRET: Final = ("password", "passwd", "secret", "token", "pin", "code", "credential", "key")
_SHOWN_MAX: Final = 60

#: pydantic's error type to what to do about it; `{name}` comes from the error's own context.
_REMEDIES: Final[Mapping[str, str]] = {
    "missing": "add it",
    "string_type": "write text, in quotes if it looks like a number",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "greater_than": "write more than {gt}",
    "greater_than_equal": "write {ge} or more",
    "less_than": "write less than {lt}",
    "less_than_equal": "write {le} or less",
    "literal_error": "write {expected}",
    "enum": "write {expected}",
    "string_pattern_mismatch": "write what matches {pattern}",
    "string_too_short": "write at least {min_length} characters",
    "string_too_long": "write at most {max_length} characters",
    "too_short": "list at least {min_length}",
    "invalid_key": "put it in quotes",
    "too_long": "list at most {max_length}",
    "tuple_type": "write a list, each entry behind `- `",
    "list_type": "write a list, each entry behind `- `",
    "model_type": "write keys and values",
    "model_attributes_type": "write keys and values",
    "dict_type": "write keys and values",
    "path_type": "write a path",
    "union_tag_not_found": "add `kind`",
}

#: Where pydantic's own words speak of Python.
_PROBLEMS: Final[Mapping[str, str]] = {
    "missing": "required, but missing",
    "path_type": "is no path",
    "tuple_type": "is no list",
    "too_short": "holds too little",
    "model_type": "holds no keys and values",
    "model_attributes_type": "holds no keys and values",
    "dict_type": "holds no keys and values",
    "string_type": "is no text",
    "invalid_key": "a key that is no text",
    "string_pattern_mismatch": "holds a character, or begins with one, that may not stand there",
    "union_tag_not_found": "says no `kind`",
}


def find(given: str | None) -> Path:
    """The file to read: the argument, else what DOORFLEET_CONFIG names.

    Raises:
        ConfigError: neither is there.
    """
    if named := given or os.environ.get(VARIABLE):
        return Path(named)
    raise ConfigError(
        (f"no configuration: give the file as an argument, or name it in {VARIABLE}",)
    )


def load(path: Path) -> GatewayConfig:
    """The configuration in this file.

    Raises:
        ConfigError: with every mistake that the file holds.
    """
    try:
        data = path.read_bytes()
    except OSError as failure:
        remedy = f"begin with a copy of {EXAMPLE}" if not path.exists() else "check its permissions"
        raise ConfigError((f"{path}: cannot be read: {failure.strerror}; {remedy}",)) from failure
    document = yaml_of(data, str(path))
    return parse(document, origin=str(path))


def parse(document: object, *, origin: str = "config") -> GatewayConfig:
    """The same from plain values; `origin` stands where a file's name would.

    Raises:
        ConfigError: with every mistake.
    """
    if not isinstance(document, dict):
        what = "is empty" if document is None else "holds no keys and values"
        raise ConfigError((f"{origin}: {what}; begin with a copy of {EXAMPLE}",))
    problems: list[str] = []
    judged: set[tuple[str | int, ...]] = set()
    filled = dict(document)
    if isinstance(document.get("cells"), list):
        filled["cells"] = [
            _with_settings(cell, number, problems, judged)
            for number, cell in enumerate(document["cells"])
        ]
    config: GatewayConfig | None = None
    try:
        config = GatewayConfig.model_validate(filled)
    except ValidationError as failure:
        errors = failure.errors()
        problems += [
            line
            for error in errors
            if tuple(error["loc"]) not in judged and not _follows(error, errors)
            for line in _lines(error, GatewayConfig, ())
        ]
        # pydantic looks at the whole only when every part is right; people want to know at once.
        problems += [each for each in _clashes(document) if each not in problems]
    if config is None or problems:
        raise ConfigError(tuple(f"{origin}: {problem}" for problem in problems))
    return config


def vendor_of(cell: CellConfig) -> Vendor:
    """The vendor that a cell's configuration names; it was found once already."""
    return registry.vendor(cell.vendor)


def _follows(error: ErrorDetails, errors: list[ErrorDetails]) -> bool:
    """Whether this only repeats others: a list counts as empty once all its entries are wrong."""
    loc = error["loc"]
    return error["type"] == "too_short" and any(
        len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in errors
    )


def _clashes(document: Mapping[str, object]) -> list[str]:
    """Names that stand twice, in a document whose other parts may be wrong."""
    names: list[list[str]] = []
    for key, default in (("cells", "vendor"), ("bus", "kind")):
        entries = document.get(key)
        names.append(
            [
                name
                for entry in (entries if isinstance(entries, list) else ())
                if isinstance(entry, dict)
                and isinstance(name := entry.get("name", entry.get(default)), str)
            ]
        )
    return clashes(*names)


def _with_settings(
    cell: object, number: int, problems: list[str], judged: set[tuple[str | int, ...]]
) -> object:
    """The cell with its settings as the vendor's own model, if they are one."""
    if not isinstance(cell, dict) or not isinstance(cell.get("vendor"), str):
        return cell
    here = ("cells", number)
    try:
        vendor = registry.vendor(cell["vendor"])
    except ConfigError as failure:
        problems += [f"{_path((*here, 'vendor'))}: {problem}" for problem in failure.problems]
        return cell
    except ImportError as failure:
        problems.append(
            f"{_path((*here, 'vendor'))}: {cell['vendor']!r} cannot be loaded: {failure};"
            " install what it needs"
        )
        return cell
    given = cell.get("settings")
    try:
        settings = vendor.settings.model_validate({} if given is None else given)
    except ValidationError as failure:
        for error in failure.errors():
            problems += _lines(error, vendor.settings, (*here, "settings"))
        judged.add((*here, "settings"))
        return cell
    return cell | {"settings": settings}


# --- one mistake, in words --------------------------------------------------------------------


def _lines(
    error: ErrorDetails, model: type[BaseModel], above: tuple[str | int, ...]
) -> Iterator[str]:
    place, siblings = _walk(model, error["loc"])
    place = above + place
    where = f"{_path(place)}: " if place else ""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":  # a validator's own sentence: problem and remedy in one
        for sentence in str(context["error"]).splitlines():
            shown = "" if isinstance(error["input"], dict | BaseModel) else _got(error, place)
            yield f"{where}{sentence}{shown}"
        return
    if kind == "union_tag_invalid":
        tag = json.dumps(context["tag"])
        yield f"{where}no such kind (got {tag}); write {context['expected_tags']}"
        return
    if kind == "extra_forbidden":
        yield f"{where}unknown key{_got(error, place)}; {_nearest(str(place[-1]), siblings)}"
        return
    problem = _PROBLEMS.get(kind) or _lower(error["msg"])
    remedy = _REMEDIES.get(kind, "correct it").format_map({**context})
    shown = "" if kind == "missing" else _got(error, place)
    yield f"{where}{problem}{shown}; {remedy}"


def _walk(
    model: type[BaseModel], loc: tuple[str | int, ...]
) -> tuple[tuple[str | int, ...], tuple[str, ...]]:
    """The place as the file shows it (no union tags), and the keys known at the last step."""
    here: object = model
    place: list[str | int] = []
    siblings: tuple[str, ...] = ()
    for step in loc:
        here = _plain(here)
        if isinstance(here, tuple):  # a union: the step is its tag, which the file does not show
            here = next((m for m in here if _tag(m) == step), None)
            continue
        place.append(step)
        if isinstance(here, type) and issubclass(here, BaseModel):
            siblings = tuple(here.model_fields)
            found = here.model_fields.get(str(step))
            here = found.annotation if found is not None else None
        elif isinstance(step, int) and get_origin(here) in {tuple, list}:
            here = get_args(here)[0]
        else:
            here = None
    return tuple(place), siblings


def _plain(annotation: object) -> object:
    """Without Annotated and `| None`; a tuple of models for a union of them."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        members = [_plain(each) for each in get_args(annotation) if each is not type(None)]
        return members[0] if len(members) == 1 else tuple(members)
    return annotation


def _tag(member: object) -> object:
    if isinstance(member, type) and issubclass(member, BaseModel):
        kind = member.model_fields.get("kind")
        return None if kind is None else kind.default
    return None


def _path(place: tuple[str | int, ...]) -> str:
    """`cells[0].settings.url`."""
    return "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in place).lstrip(".")


def _got(error: ErrorDetails, place: tuple[str | int, ...]) -> str:
    words = str(place[-1]).lower().split("_") if place else []
    # A misspelt password is a password.
    smells = any(word in _SECRET or get_close_matches(word, _SECRET, n=1) for word in words)
    if smells and words[-1] not in {"file", "s", "ms", "max"}:
        return " (got a value that is not shown)"
    if isinstance(error["input"], dict | list):  # may hold such a value further down
        return f" (got {'keys and values' if isinstance(error['input'], dict) else 'a list'})"
    try:
        shown = json.dumps(error["input"], ensure_ascii=False)
    except (TypeError, ValueError):
        shown = str(error["input"])
    if len(shown) > _SHOWN_MAX:
        shown = shown[:_SHOWN_MAX] + "…"
    return f" (got {shown})"


def _nearest(key: str, known: tuple[str, ...]) -> str:
    if f"{key}_file" in known:
        return f"put it into a file of its own and name that file in {key}_file"
    if near := get_close_matches(key, known, n=1):
        return f"did you mean {near[0]}?"
    return f"known are {', '.join(known)}" if known else "remove it"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
