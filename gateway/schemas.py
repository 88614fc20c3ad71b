"""The event schemas: made from the tables of `devices`, kept as files, held against each event.

`python -m gateway.schemas FOLDER` writes them. At run time the files are what counts, because
they are what consumers were given.
Source: JSON Schema Draft-04 (draft-zyp-json-schema-04, 2013-01-31), the newest draft that AWS
EventBridge's schema registry takes.
"""

import json
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import orjson

from devices.command import Outcome
from devices.errors import ConfigError
from devices.kinds import HAPPENINGS, KINDS, Axis, Kind
from devices.reading import Provenance
from gateway.events import COMMAND_FINISHED, SEQUENCE_DIGITS, Event, changed_type
from gateway.roster import DEVICE_NAME_MAX

Schema = dict[str, Any]
#: Every `<t>` that may follow `event/`.
TYPES: Final = (*map(changed_type, KINDS), *HAPPENINGS, COMMAND_FINISHED)

_AT_MS: Final = {"type": "integer", "minimum": 0}
# A device's own clock may stand before 1970.
_OBSERVED_AT_MS: Final = {"type": "integer"}
_REASON: Final = {"type": "string", "minLength": 1, "maxLength": 256}
_NAME: Final = {"type": "string", "minLength": 1, "maxLength": DEVICE_NAME_MAX}
_VENDOR: Final = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"}


def _object(required: Mapping[str, object], optional: Mapping[str, object]) -> Schema:
    shape: Schema = {
        "type": "object",
        "properties": {**required, **optional},
        "additionalProperties": False,
    }
    # Draft-04 has no empty `required` (5.4.3.1).
    return {**shape, "required": list(required)} if required else shape


def _change(axis: Axis) -> Schema:
    value: Schema
    if axis.values:
        value, or_unknown = {"enum": list(axis.values)}, {"enum": [*axis.values, None]}
    else:
        limits = {"minimum": axis.minimum, "maximum": axis.maximum}
        value = {"type": axis.type} | {k: v for k, v in limits.items() if v is not None}
        or_unknown = value | {"type": [axis.type, "null"]}
    return {
        **_object(
            {
                "value": or_unknown,
                "was": or_unknown,
                "provenance": {"enum": [p.value for p in Provenance]},
                "received_at_ms": _AT_MS,
                "jumped": {"type": "boolean"},
            },
            {"reason": _REASON, "observed_at_ms": _OBSERVED_AT_MS},
        ),
        # Unknown always says why.
        "anyOf": [{"properties": {"value": value}}, {"required": ["reason"]}],
    }


def _changes(kind: Kind) -> Schema:
    shape: Schema = {
        "type": "object",
        "minProperties": 1,
        "properties": {name: _change(axis) for name, axis in kind.axes.items()},
        "additionalProperties": False,
    }
    if kind.parts:
        shape["patternProperties"] = {
            rf"^{part}\.[1-9][0-9]{{0,2}}\.{name}$": _change(axis)
            for part, axes in kind.parts.items()
            for name, axis in axes.items()
        }
    return shape


def _of(kinds: list[str]) -> dict[str, object]:
    return {"device": _NAME, "vendor": _VENDOR, "kind": {"enum": kinds}}


def _event(what: str, data: Schema) -> Schema:
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "id": f"urn:doorfleet:schema:{what}:1",
        "title": f"doorfleet.{what}.v1",
        **_object(
            {
                "specversion": {"enum": ["1.0"]},
                "id": {"type": "string", "pattern": f"^[0-9a-z]+-[0-9]{{{SEQUENCE_DIGITS}}}$"},
                "source": {"type": "string", "pattern": "^/doorfleet/"},
                "type": {"enum": [f"doorfleet.{what}.v1"]},
                "time": {"type": "string", "format": "date-time"},
                "datacontenttype": {"enum": ["application/json"]},
                "dataschema": {"enum": [f"urn:doorfleet:schema:{what}:1"]},
                "sequence": {"type": "string", "pattern": f"^[0-9]{{{SEQUENCE_DIGITS}}}$"},
                "traceparent": {"type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$"},
                "data": data,
            },
            {},
        ),
    }


def generate() -> dict[str, Schema]:
    """Every event schema by its `<t>`."""
    made = {
        changed_type(name): _object({**_of([name]), "changes": _changes(kind)}, {})
        for name, kind in KINDS.items()
    }
    made |= {
        name: _object(
            {
                **_of(list(KINDS)),
                "received_at_ms": _AT_MS,
                "buffered": {"type": "boolean"},
                **spec.required,
            },
            {
                "observed_at_ms": _OBSERVED_AT_MS,
                "vendor_key": {"type": "string", "maxLength": 128},
                **spec.optional,
            },
        )
        for name, spec in HAPPENINGS.items()
    }
    made[COMMAND_FINISHED] = _object(
        {
            **_of(list(KINDS)),
            "command_id": {"type": "string", "minLength": 1, "maxLength": 128},
            "name": {"type": "string", "maxLength": 128},
            "part": {"type": "string", "maxLength": 64},
            "outcome": {"enum": [o.value for o in Outcome]},
            "reason": {"type": ["string", "null"], "maxLength": 256},
            "finished_at_ms": _AT_MS,
        },
        {},
    )
    return {what: _event(what, data) for what, data in made.items()}


def file_name(what: str) -> str:
    """The file that holds a type's schema."""
    return f"{what}.v1.json"


def folder() -> Traversable:
    """Where the schemas are: beside the code when installed, in `config/` of a checkout."""
    installed = files("gateway") / "schemas"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "config" / "schemas"


class Schemas:
    """The files, ready to hold events against them.

    Raises:
        ConfigError: a file is missing or is no schema; the message names it.
    """

    def __init__(self, where: Traversable | None = None) -> None:
        where = where if where is not None else folder()
        self._validators: dict[str, jsonschema_rs.Draft4Validator] = {}
        problems = []
        for what in TYPES:
            try:
                schema = orjson.loads((where / file_name(what)).read_bytes())
                self._validators[what] = jsonschema_rs.Draft4Validator(schema)
            except (OSError, ValueError) as error:
                problems.append(f"schema {where / file_name(what)}: {error}; run `make schemas`")
        if problems:
            raise ConfigError(tuple(problems))

    def check_of(self, what: str) -> Callable[[Event], bool]:
        """The yes-or-no check of one type; `fault` says what a no is about.

        Raises:
            KeyError: there is no such type.
        """
        return self._validators[what].is_valid

    def fault(self, what: str, event: Event) -> str:
        """What is wrong with an event and where, empty if nothing is; without its values."""
        for error in self._validators[what].iter_errors(event):
            place = "/".join(str(step) for step in error.instance_path)
            return f"schema {what}: {place}: {error.kind.name}"
        return ""


@cache
def installed() -> Schemas:
    """The shipped ones, compiled once: cells that are forked afterwards share them.

    Raises:
        ConfigError: see `Schemas`.
    """
    return Schemas()


def write(where: Path) -> None:
    """Write every schema file, and remove those of types that are gone."""
    where.mkdir(parents=True, exist_ok=True)
    made = {file_name(what): schema for what, schema in generate().items()}
    for path in where.glob("*.v1.json"):
        if path.name not in made:
            path.unlink()
    for name, schema in made.items():
        (where / name).write_text(json.dumps(schema, indent=1) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
