"""One message of a `command` topic, read and checked against the tables; pure.

Shape: JSON {"id", "name", "part"?, "args"?, "deadline_ms"? (Unix ms), "expect"? {axis: value}}.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Final

import jsonschema_rs
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from devices.command import CommandSpec
from devices.kinds import Kind

#: Far above what a command needs; a larger one is somebody else's message.
PAYLOAD_MAX_BYTES: Final = 16_384

_Text = Annotated[str, Field(max_length=256)]
_Value = _Text | bool | int | float | None


class Unreadable(ValueError):  # noqa: N818 -- what the message is
    """The message is no command; says at which place."""


class Request(BaseModel):
    """What a caller asks for, still in the caller's words."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = Field(min_length=1, max_length=128, pattern=r"^[!-~]+$")
    name: str = Field(min_length=1, max_length=64)
    part: str = Field(default="", pattern=r"^([a-z_]+\.[1-9][0-9]{0,2})?$")
    args: Mapping[str, _Value] = Field(default={}, max_length=16)
    deadline_ms: int | None = Field(default=None, gt=0)
    expect: Mapping[str, _Value] = Field(default={}, max_length=16)


def read(payload: bytes) -> Request:
    """The request in a message.

    Raises:
        Unreadable: the first thing that is wrong, and where.
    """
    if len(payload) > PAYLOAD_MAX_BYTES:
        raise Unreadable(f"more than {PAYLOAD_MAX_BYTES} bytes")
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError as failure:
        raise Unreadable(f"not JSON at byte {failure.pos}") from failure
    if not isinstance(document, dict):
        raise Unreadable("not a JSON object")
    try:
        return Request.model_validate(document)
    except ValidationError as failure:
        first = failure.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])[:80]
        raise Unreadable(f"{place}: {first['msg']}") from failure


def argument_problem(spec: CommandSpec, args: Mapping[str, object]) -> str | None:
    """What is wrong with a command's arguments; None if nothing is."""
    if not spec.args:
        return f"args.{next(iter(args))}: not an argument of this command" if args else None
    properties = orjson.dumps({name: dict(schema) for name, schema in spec.args.items()})
    for error in _validator(properties).iter_errors(dict(args)):
        place = ".".join(["args", *(str(step) for step in error.instance_path)])
        return f"{place}: {error.message}"[:200]
    return None


@lru_cache(maxsize=64)
def _validator(properties: bytes) -> jsonschema_rs.Draft4Validator:
    return jsonschema_rs.Draft4Validator(
        {
            "type": "object",
            "properties": orjson.loads(properties),
            "additionalProperties": False,
            "required": list(orjson.loads(properties)),
        },
        mask="the value",  # it may be a PIN, and the reason goes onto the bus
    )


def axis_of(kind: Kind, part: str, name: str) -> str | None:
    """The axis that a name means for a command on this part; None if the kind has none such.

    A panel's door has `lock_state`; `tamper` is the panel's own, whichever door is meant.
    """
    for axis in (f"{part}.{name}", name) if part else (name,):
        if kind.axis(axis) is not None:
            return axis
    return None


def part_problem(kind: Kind, spec: CommandSpec, part: str) -> str | None:
    """Why a command cannot act on this part; None if it can."""
    axes = [*spec.done, *spec.known]
    if all(kind.axis(f"{part}.{axis}" if part else axis) is not None for axis in axes):
        return None
    if part:
        return f"part: {part} is nothing that this command acts on"
    return "part: say which, such as " + ", ".join(f"{each}.1" for each in kind.parts)
