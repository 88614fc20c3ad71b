"""What is remembered of a door between frames, so that it is neither believed nor pressed wrongly.

An opener without Security+ has one button behind a guard on what its sensor says: `open` is
dropped unless that says closed, `close` unless it says open, and what is let through is a press,
after an alarm of 5.5 or 10.5 s. A second press while the door is on its way stops or turns it,
and no sensor tells that it is. So after a press of ours we press no more until the door was seen
at its end, or has had the time to get there.
Source: OpenGarage-Firmware bebb181, OpenGarage/main.cpp `performDoorAction`, `process_alarm`.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from devices.closure import MainState, Position, TargetPosition
from devices.command import Command, Reason
from devices.errors import RefusedError
from devices.reading import Value
from devices.twin import Twin
from vendors.api import Port
from vendors.opengarage import codec
from vendors.opengarage.settings import OpenerSettings


class Move(NamedTuple):
    """What a command asks of the opener, and where it takes the door."""

    word: str
    target: TargetPosition
    end: Position


MOVES: Final[Mapping[str, Move]] = {
    "MoveToFullyOpen": Move("open", TargetPosition.MOVE_TO_FULLY_OPEN, Position.FULLY_OPENED),
    "MoveToFullyClosed": Move("close", TargetPosition.MOVE_TO_FULLY_CLOSED, Position.FULLY_CLOSED),
}
# The longest alarm (21 half-seconds), and how late an opener looks at its door (two cycles).
_ALARM_MS: Final = 10_500
_LOOKS_MS: Final = 4_000
_SECURITY_PLUS_2: Final = 2
_LONG_AGO_MS: Final = 0


class Guard:
    """What must be remembered of a door, lest it be believed shut too early or pressed twice."""

    def __init__(self, opener: OpenerSettings, port: Port) -> None:
        self.opener = opener
        self.secv: int | None = None
        self._port = port
        self._met = False
        self._closed_since_ms: int | None = None
        self._pressed: tuple[Move, int] | None = None

    @property
    def device(self) -> str:
        """Its name on the bus."""
        return self.opener.device

    def seen(self, door: int | None, now_ms: int, secv: int | None = None) -> str:
        """Note what the opener says; gives what to add to the frame's source."""
        first, self._met = not self._met, True
        if secv is not None:
            self.secv = secv
        if door != 0:
            self._closed_since_ms = None
            return ""
        if self._closed_since_ms is None:
            # Of a door that was known to be shut before we were started, it is no news.
            known = _value(self._port.twin(self.device), "position") if first else None
            shut = known == Position.FULLY_CLOSED
            self._closed_since_ms = now_ms - self._closing_ms * shut
        settling = 0 <= now_ms - self._closed_since_ms < self._closing_ms
        if not settling:
            # It is shut for good: a clock that is set back does not open it again.
            self._closed_since_ms = _LONG_AGO_MS
        return codec.SETTLING if settling and not self.secv else ""

    def shuts(self, now_ms: int) -> None:
        """It was seen open until now, even if what told us so was lost."""
        self._closed_since_ms = now_ms

    @property
    def _closing_ms(self) -> int:
        return self.opener.closing_takes_s * 1_000

    def permit(self, command: Command) -> Move | None:
        """What may be sent now; None if the door is on its way there already.

        Raises:
            RefusedError: `unsupported`, `unknown_device`, `expired`, `unknown_state`; `busy` (it
                may still be under way from our last press), `precondition` (it moves the other
                way, and a press would only stop it).
        """
        move, twin = MOVES.get(command.name), self._port.twin(self.device)
        if move is None:
            raise RefusedError(Reason.UNSUPPORTED)
        if twin is None:
            raise RefusedError(Reason.UNKNOWN_DEVICE)
        if command.deadline_ms <= self._port.now_ms():
            raise RefusedError(Reason.EXPIRED)
        if _value(twin, "position") is None:
            raise RefusedError(Reason.UNKNOWN_STATE)
        # Security+ 2.0 has a word for each direction, so nothing can go the wrong way.
        return move if self.secv == _SECURITY_PLUS_2 else self._permit_press(move, twin)

    def _permit_press(self, move: Move, twin: Twin) -> Move | None:
        position = _value(twin, "position")
        if self.secv and _value(twin, "main_state") == MainState.MOVING:
            if _value(twin, "target_position") == move.target:
                return None
            raise RefusedError(Reason.PRECONDITION)
        if self._pressed is not None:
            last, until_ms = self._pressed
            if position != last.end and self._port.now_ms() < until_ms:
                raise RefusedError(Reason.BUSY)
        if position == Position.PARTIALLY_OPENED:
            # It rests half open, or is still closing: one press may take it either way.
            raise RefusedError(Reason.UNKNOWN_STATE)
        return move

    def pressed(self, move: Move) -> None:
        """It may be under way from now on."""
        takes_ms = _ALARM_MS + self._closing_ms + _LOOKS_MS
        self._pressed = (move, self._port.now_ms() + takes_ms)

    def not_pressed(self) -> None:
        """It was not pressed after all."""
        self._pressed = None


def _value(twin: Twin | None, axis: str) -> Value:
    known = twin.axes.get(axis) if twin is not None else None
    return known.value if known is not None else None
