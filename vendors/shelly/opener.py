"""A relay that presses an opener's button, and reed contacts at the ends of the door; pure.

Such a device knows neither direction nor travel. What a reed says of its own end is all there is.
Source: the pattern of shelly-homekit and of a 1 Mini Gen4 (aioshelly ea7a88f, fixtures): `switch:0`
with `auto_off`, `input:0` with a reed.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from devices.closure import MainState, Position, TargetPosition
from vendors.shelly.cover import Row, unmapped

#: Nothing can tell it: there is no sensor between the ends.
NO_SENSOR: Final = "no_sensor"
_PLACE: Final = ("main_state", "position", "target_position")


class Opener(BaseModel):
    """How one device is wired to a garage-door opener."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    closed_input: int | None = Field(
        default=0,
        ge=0,
        le=9,
        description="Number of the input with the reed at the closed end; null: there is none.",
    )
    open_input: int | None = Field(
        default=None,
        ge=0,
        le=9,
        description="Number of the input with the reed at the open end; null: there is none.",
    )
    active: bool = Field(
        default=True, description="What an input says while the door is at its end."
    )
    switch: int = Field(
        default=0, ge=0, le=9, description="Number of the relay on the opener's button."
    )
    pulse_ms: int = Field(
        default=500,
        ge=100,
        le=2_000,
        description="How long the button is held. The device lets go by itself.",
    )

    @model_validator(mode="after")
    def _two_reeds_on_two_inputs(self) -> "Opener":
        if self.closed_input is not None and self.closed_input == self.open_input:
            raise ValueError("closed_input and open_input must be two inputs")
        return self


def rows(opener: Opener, components: Mapping[str, Any], *, full: bool) -> list[Row]:
    """What the reeds among these components tell; a reed that is absent says nothing.

    Args:
        opener: the wiring.
        components: by name (`input:0`).
        full: whether every component of the device is there.
    """
    closed = _reed(components, opener.closed_input, opener, full=full)
    opened = _reed(components, opener.open_input, opener, full=full)
    for reed in (closed, opened):
        if isinstance(reed, str):
            return _all(reed)
    if closed and opened:
        return _all("contradictory")
    if closed:
        return _at(Position.FULLY_CLOSED)
    if opened:
        return _at(Position.FULLY_OPENED)
    if closed is False or (opened is False and opener.closed_input is not None and not full):
        # It is not shut. How far it is open, and whether it moves, nobody knows.
        return [
            ("main_state", None, NO_SENSOR),
            ("position", Position.PARTIALLY_OPENED, None),
            ("target_position", None, NO_SENSOR),
        ]
    return _all(NO_SENSOR) if opened is False or full else []


def _reed(
    components: Mapping[str, Any], number: int | None, opener: Opener, *, full: bool
) -> bool | str | None:
    """Whether the door is at this end; None if nothing is said of it; a text if it is unknown."""
    if number is None:
        return None
    status = components.get(f"input:{number}")
    if status is None:
        return "no_report" if full else None
    if not isinstance(status, Mapping):
        return unmapped(status)
    if "state" not in status:
        return "no_report" if full else None
    state = status["state"]
    if state is None:
        return "no_report"
    return state is opener.active if isinstance(state, bool) else unmapped(state)


def _all(reason: str) -> list[Row]:
    return [(axis, None, reason) for axis in _PLACE]


def _at(end: Position) -> list[Row]:
    """At an end it rests, but for the moment in which it leaves it."""
    return [
        ("main_state", MainState.STOPPED, None),
        ("position", end, None),
        ("target_position", TargetPosition.NONE, None),
    ]
