"""Our commands as RPC methods, and a device's refusals as our reasons; pure.

A cover's methods are absolute: they say where to, so a repeated one moves nothing new. A relay on
an opener's button is a toggle, and may leave only where one press can go one way.
Source: shelly-api-docs.shelly.cloud/gen2 ComponentsAndServices/Cover, Switch, and
General/CommonErrors; aioshelly for 404, -105 and -114.
"""

from collections.abc import Mapping
from typing import Any, Final

from devices.closure import MainState, Position
from devices.command import Command, Reason
from devices.errors import RefusedError, RejectedError
from devices.reading import FRESH
from devices.twin import Twin
from vendors.shelly.codec import VENDOR
from vendors.shelly.opener import Opener, rows

Call = tuple[str, Mapping[str, object]]

METHODS: Final[Mapping[str, str]] = {
    "MoveToFullyOpen": "Cover.Open",
    "MoveToFullyClosed": "Cover.Close",
    "MoveToPosition": "Cover.GoToPosition",
    "Stop": "Cover.Stop",
}
#: Where a door must rest for one press of the opener's button to be this command.
PRESSES: Final[Mapping[str, Position]] = {
    "MoveToFullyOpen": Position.FULLY_CLOSED,
    "MoveToFullyClosed": Position.FULLY_OPENED,
}
#: `error.code`; every other one is told as `vendor:<code>`.
REASONS: Final[Mapping[int, Reason]] = {
    401: Reason.NOT_AUTHORIZED,
    404: Reason.UNSUPPORTED,  # No handler for X: another firmware or profile
    -103: Reason.INVALID_ARGUMENT,
    -105: Reason.UNSUPPORTED,  # Argument 'id', value N not found!: it has no such component
    -108: Reason.BUSY,  # out of resources
    -109: Reason.PRECONDITION,
    -114: Reason.UNAVAILABLE,
}
# The code of this refusal is not settled (alexryd/homebridge-shelly-ng#45 shows its text only).
_NO_POSITION: Final = "position unknown"


def call_for(command: Command, twin: Twin | None, wiring: Opener | None) -> Call:
    """The method and parameters of a command.

    Raises:
        RefusedError: `unknown_device`; `unsupported`; `unknown_state`: a press could go either
            way.
    """
    if twin is None:
        raise RefusedError(Reason.UNKNOWN_DEVICE)
    if wiring is not None:
        return _press(command, twin, wiring)
    method = METHODS.get(command.name)
    if method is None:
        raise RefusedError(Reason.UNSUPPORTED)
    params: dict[str, object] = {"id": 0}
    if command.name == "MoveToPosition":
        pos = command.args.get("position_pct")
        if not isinstance(pos, int) or isinstance(pos, bool):
            raise RefusedError(Reason.INVALID_ARGUMENT)
        params["pos"] = pos
    return method, params


def _press(command: Command, twin: Twin, wiring: Opener) -> Call:
    start = PRESSES.get(command.name)
    if start is None:
        raise RefusedError(Reason.UNSUPPORTED)
    for axis, wanted in (("position", start), ("main_state", MainState.STOPPED)):
        known = twin.axes.get(axis)
        if known is None or known.provenance not in FRESH or known.value != wanted:
            raise RefusedError(Reason.UNKNOWN_STATE)
    # The device lets the button go by itself, whether or not its `auto_off` is set.
    return "Switch.Set", {
        "id": wiring.switch,
        "on": True,
        "toggle_after": wiring.pulse_ms / 1_000,
    }


def permit_press(command: Command, wiring: Opener, reply: Mapping[str, Any]) -> None:
    """Let a press leave only if the whole status that was just asked for shows the door at rest.

    Raises:
        RefusedError: `unknown_state`: it is not, or no longer, where one press can go one way.
    """
    status = reply.get("result")
    told = rows(wiring, status if isinstance(status, Mapping) else {}, full=True)
    seen = {axis: value for axis, value, _ in told}
    if (
        seen.get("position") != PRESSES.get(command.name)
        or seen.get("main_state") != MainState.STOPPED
    ):
        raise RefusedError(Reason.UNKNOWN_STATE)


def stirs(payload: bytes) -> bool:
    """Whether what a device tells by itself leaves something out that only a whole status tells.

    An error that is over, a position that was left, the reed at the other end.
    """
    return b'"state"' in payload or b'"source"' in payload


def outcome(reply: Mapping[str, Any]) -> None:
    """Take a reply to a command: a result is an acceptance, and no effect.

    Raises:
        RejectedError: the device said no.
    """
    error = reply.get("error")
    if error is not None:
        raise RejectedError(VENDOR, reason_of(error))
    result = reply.get("result")
    if isinstance(result, Mapping) and result.get("was_on") is True:
        # The button was held already, so this was no press.
        raise RejectedError(VENDOR, Reason.BUSY)


def reason_of(error: object) -> str:
    """Why a device refused."""
    code = error.get("code") if isinstance(error, Mapping) else None
    if not isinstance(code, int) or not isinstance(error, Mapping):
        return "vendor:unreadable"
    if _NO_POSITION in str(error.get("message")).lower():
        return Reason.NOT_CALIBRATED
    return REASONS.get(code, f"vendor:{code}")
