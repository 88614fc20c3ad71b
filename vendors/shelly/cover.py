"""What a `cover:0` status means on our axes; pure.

A full status lacks what is not so; a delta lacks what did not change. So a field that is absent
from a delta says nothing, but for one: a cover whose `state` is told anew and whose `current_pos`
is not is no longer where it was last said to be.
Source: shelly-api-docs.shelly.cloud/gen2 ComponentsAndServices/Cover; status of a Plus 2PM and
a 2PM Gen3 (aioshelly ea7a88f and home-assistant/core 050838b, fixtures).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from devices.closure import ClosureError, MainState, Obstruction, Position, TargetPosition
from devices.reading import Value

#: (axis, value, reason) of one fact.
Row = tuple[str, Value, str | None]

_PLACE: Final = ("main_state", "position", "position_pct", "target_position")
_FULL_PCT: Final = 100
_UNMAPPED_MAX: Final = 40

#: `state` to main state, position, heading. Where it rests between the ends is `PartiallyOpened`.
STATES: Final[Mapping[str, tuple[MainState, Position | None, TargetPosition | None]]] = {
    "open": (MainState.STOPPED, Position.FULLY_OPENED, TargetPosition.NONE),
    "closed": (MainState.STOPPED, Position.FULLY_CLOSED, TargetPosition.NONE),
    "stopped": (MainState.STOPPED, Position.PARTIALLY_OPENED, TargetPosition.NONE),
    "opening": (
        MainState.MOVING,
        Position.PARTIALLY_OPENED,
        TargetPosition.MOVE_TO_FULLY_OPEN,
    ),
    "closing": (
        MainState.MOVING,
        Position.PARTIALLY_OPENED,
        TargetPosition.MOVE_TO_FULLY_CLOSED,
    ),
    # It runs to both ends, and tells neither which one nor where it is.
    "calibrating": (MainState.CALIBRATING, None, None),
}
#: What `current_pos` may be beside a state of rest. Anything else is a contradiction.
_ENDS: Final[Mapping[str, int]] = {"open": _FULL_PCT, "closed": 0}
_SOURCE_OF_AN_END: Final = "limit_switch"
_SOURCE_OF_A_GUESS: Final = "timeout"
_SOURCE_OF_A_START: Final = "init"

#: The first one that stands in `errors` is told. What a photo eye does is no defect, so it has an
#: axis of its own beside.
ERRORS: Final[Mapping[str, ClosureError]] = {
    "obstruction": ClosureError.PHYSICALLY_BLOCKED,
    "safety_switch": ClosureError.BLOCKED_BY_SENSOR,
    "overtemp": ClosureError.TEMPERATURE_LIMITED,
    "bad_feedback": ClosureError.MAINTENANCE_REQUIRED,
    "cal_abort": ClosureError.MAINTENANCE_REQUIRED,
    "overpower": ClosureError.UNSPECIFIED,
    "overcurrent": ClosureError.UNSPECIFIED,
    "overvoltage": ClosureError.UNSPECIFIED,
    "undervoltage": ClosureError.UNSPECIFIED,
}


def unmapped(raw: object) -> str:
    """The reason of a value that no table has, short enough and printable."""
    text = "".join(char if char.isprintable() else "?" for char in str(raw)[:_UNMAPPED_MAX])
    return f"unmapped:{text}"


def rows(status: Mapping[str, Any], *, full: bool) -> list[Row]:
    """What one status of a cover tells.

    Args:
        status: fields of the component.
        full: whether what is absent is not so; otherwise it did not change.
    """
    told: list[Row] = []
    if "state" in status:
        told += _placed(status)
    elif full:
        told += _unknown("no_report")
    elif "current_pos" in status:
        told.append(_pct(status["current_pos"]))
    elif status.get("pos_control") is False:
        told.append(("position_pct", None, "uncalibrated"))
    if "errors" in status:
        told += _errors(status["errors"])
    elif full:
        told += _errors([])
    return told


def missing() -> list[Row]:
    """A device that should have a cover and has none: it has another profile now."""
    why = "no_report"
    return [*_unknown(why), ("error", None, why), ("obstruction", None, why)]


def _unknown(reason: str) -> list[Row]:
    return [(axis, None, reason) for axis in _PLACE]


def _placed(status: Mapping[str, Any]) -> list[Row]:
    word = status["state"]
    found = STATES.get(word) if isinstance(word, str) else None
    if found is None:
        return _unknown(unmapped(word))
    main_state, position, target = found
    if position is None:
        return [("main_state", main_state, None), *_unknown("calibrating")[1:]]
    place: Row = ("position", position, None)
    heading: Row = ("target_position", target, None)
    pct = _pct_of(status, main_state)
    if main_state is MainState.MOVING:
        aim = status.get("target_pos")
        if aim is not None and aim != {"opening": _FULL_PCT, "closing": 0}[word]:
            heading = ("target_position", None, unmapped(aim))
    elif pct[1] is not None and not _agree(word, pct[1]):
        place, pct = ("position", None, "contradictory"), (pct[0], None, "contradictory")
    if word in _ENDS and not _seen_to_arrive(status, word, pct[1]):
        # The motor ran for as long as it may, or nobody says what ended it: a guess.
        bare = status.keys().isdisjoint({"source", "pos_control"})
        why = place[2] or ("no_report" if bare else "uncalibrated")
        place, pct = ("position", None, why), ("position_pct", None, pct[2] or why)
    if word == "stopped" and status.get("source") == _SOURCE_OF_A_START and pct[1] is None:
        place = ("position", None, "boot")  # it has not moved since, and knows of no position
    return [("main_state", main_state, None), place, pct, heading]


def _seen_to_arrive(status: Mapping[str, Any], word: str, pct: Value) -> bool:
    """Whether an end switch, or a position that is kept, stands behind `open` or `closed`."""
    source = status.get("source")
    return source == _SOURCE_OF_AN_END or (source != _SOURCE_OF_A_GUESS and pct == _ENDS[word])


def _agree(word: str, pct: Value) -> bool:
    """Whether a state of rest and a position can both be so."""
    if word in _ENDS:
        return pct == _ENDS[word]
    return pct not in _ENDS.values()


def _pct_of(status: Mapping[str, Any], main_state: MainState) -> Row:
    """Where a cover is that told its state; while it moves, nowhere for long."""
    if main_state is MainState.MOVING:
        return ("position_pct", None, "moving")
    if status.get("pos_control") is False:
        return ("position_pct", None, "uncalibrated")
    return _pct(status.get("current_pos"))


def _pct(pos: Any) -> Row:  # noqa: ANN401 -- whatever JSON holds
    if pos is None:
        return ("position_pct", None, "no_report")
    number = isinstance(pos, int) or (isinstance(pos, float) and pos.is_integer())
    if number and not isinstance(pos, bool) and 0 <= pos <= _FULL_PCT:
        return ("position_pct", int(pos), None)
    return ("position_pct", None, unmapped(pos))


def _errors(errors: object) -> Iterable[Row]:
    """`error`, and `obstruction`: the safety switch is a sensor, the motor's load is none."""
    if not isinstance(errors, list) or not all(isinstance(each, str) for each in errors):
        reason = unmapped(errors)
        return [("error", None, reason), ("obstruction", None, reason)]
    kinds = [each.partition(":")[0] for each in errors]
    eye = Obstruction.BLOCKED_BY_SENSOR if "safety_switch" in kinds else Obstruction.CLEAR
    known = next((error for kind, error in ERRORS.items() if kind in kinds), None)
    if known is None and errors:
        return [("error", None, unmapped(errors[0])), ("obstruction", eye, None)]
    return [("error", known or ClosureError.NONE, None), ("obstruction", eye, None)]
