"""What the models of a scenario share: a strict base, durations, names that must exist."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from vendors import registry

#: A run of more devices than this needs more machines than a scenario can know of.
DEVICES_MAX: Final = 1_000_000
#: Marks a vendor's name in a JSON Schema, until `scenario_schema` lists them.
A_VENDOR: Final = "doorfleet-vendor"
DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
#: The Monday on which a scenario begins that names a day of the week only, or nothing.
MONDAY: Final = datetime(2026, 1, 5)  # noqa: DTZ001 -- the local time of the fleet, in no zone
_DURATION: Final = re.compile(r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_DURATION_SHAPE: Final = r"^(?=\d)(\d+d)?(\d+h)?(\d+m)?(\d+s)?$"
_MOMENT: Final = re.compile(rf"({'|'.join(DAYS)})(?: (\d\d):(\d\d))?")


class Strict(BaseModel):
    """No unknown keys, and no change once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def known(name: str, among: Iterable[str], what: str) -> str:
    """The name, if it is one of these.

    Raises:
        ValueError: it is not; the nearest is named.
    """
    names = sorted(among)
    if name in names:
        return name
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"unknown {what}; {hint}known are {', '.join(names)}")


def _vendor(name: str) -> str:
    return known(name, registry.names(), "vendor")


def _seconds(given: object) -> object:
    """`1h30m`, `45s` or a number of seconds."""
    if isinstance(given, str):
        found = _DURATION.fullmatch(given.strip())
        if found is None:
            raise ValueError("no duration; write it like 90s, 20m, 1h30m, or as seconds")
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return days * 86_400 + hours * 3600 + minutes * 60 + seconds
    return given


def _share(given: object) -> object:
    """`10%`, or a number from 0 to 1."""
    if isinstance(given, str) and given.strip().endswith("%"):
        try:
            return float(given.strip()[:-1]) / 100
        except ValueError:
            raise ValueError("no share; write it like 10% or 0.1") from None
    return given


def _moment(given: object) -> object:
    """`monday 08:00`, `2026-02-14 06:30`, or a date that YAML has read already."""
    if not isinstance(given, str):
        return given
    found = _MOMENT.fullmatch(given.strip().lower())
    if found is not None:
        day, hour, minute = found.groups()
        return MONDAY + timedelta(
            days=DAYS.index(day), hours=int(hour or 0), minutes=int(minute or 0)
        )
    try:
        return datetime.fromisoformat(given.strip()).replace(tzinfo=None)
    except ValueError:
        raise ValueError(
            "no moment; write it like monday 08:00 or 2026-02-14 06:30, in the fleet's own time"
        ) from None


def _schema(**kinds: Any) -> WithJsonSchema:  # noqa: ANN401 -- JSON
    return WithJsonSchema(kinds)


Vendor = Annotated[str, AfterValidator(_vendor), _schema(type="string", format=A_VENDOR)]
Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(allow_inf_nan=False),
    _schema(
        anyOf=[{"type": "number", "minimum": 0}, {"type": "string", "pattern": _DURATION_SHAPE}],
        examples=["90s", "20m", "1h30m"],
    ),
]
Share = Annotated[
    float,
    BeforeValidator(_share),
    Field(ge=0, le=1),
    _schema(
        anyOf=[
            {"type": "number", "minimum": 0, "maximum": 1},
            {"type": "string", "pattern": r"^\d+(\.\d+)?%$"},
        ],
        examples=["10%", 0.1],
    ),
]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    _schema(
        type="string",
        pattern=rf"^(({'|'.join(DAYS)})( \d\d:\d\d)?|\d{{4}}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?)?)$",
        examples=["monday 08:00", "2026-02-14 06:30"],
    ),
]
Count = Annotated[int, Field(ge=1, le=DEVICES_MAX)]
#: A place where devices are: what a storm or a power cut strikes.
Site = Annotated[str, Field(min_length=1, max_length=64)]
