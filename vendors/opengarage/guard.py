"""What is remembered of a door between frames, so that it is neither believed nor pressed wrongly.

An opener without Security+ has one button behind a guard on what its sensor says: `open` is
dropped unless that says closed, `close` unless it says open, and what is let through is a press,
after an alarm of 5.5 or 10.5 s. A second press while the door is on its way stops or turns it,
and no sensor tells that it is. So after a press of ours we press no more until the door was seen
at its end, or has had the time to get there.

A ceiling sensor says closed of every door that is not open, so its word is worth what was seen
before it. Shut is what was said to be so for as long as the door takes to shut, and without a gap
in which it could have been open unseen. All times but a command's own are of a clock that nobody
sets (the loop's): what is measured here are durations.
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
from vendors.opengarage.settings import OpenerSettings, Sensor


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
# In less than this no door that rested shut comes up to the ceiling and leaves it again: quick
# ones need 10 s for the way up alone (see `door`), and what an opener says may be 2 s old.
_OPENS_MS: Final = 8_000


class Guard:
    """What must be remembered of a door, lest it be believed shut too early or pressed twice.

    Args:
        opener: its settings.
        port: the cell.
        heard_every_ms: how far apart what it says is, if nothing is lost. That is never a gap:
            else a door that is seldom asked for would never be shut.
    """

    def __init__(self, opener: OpenerSettings, port: Port, heard_every_ms: int) -> None:
        self.opener = opener
        self.secv: int | None = None
        self._port = port
        self._gap_ms = max(heard_every_ms, min(self._closing_ms, _OPENS_MS))
        #: It was seen elsewhere, and not shut for good since then.
        self._elsewhere = False
        #: Since when it has been said shut without a gap, and when it was last said.
        self._shut_ms: tuple[int, int] | None = None
        self._pressed: tuple[Move, int] | None = None

    @property
    def device(self) -> str:
        """Its name on the bus."""
        return self.opener.device

    def seen(self, door: int | None, now_ms: int, secv: int | None = None) -> str:
        """Note what the opener says; gives what to add to the frame's source.

        `door` None could not be believed, and says of the door neither that nor this.
        """
        if secv is not None:
            self.secv = secv
        if door is None:
            return ""
        if door != codec.CLOSED:
            self._elsewhere, self._shut_ms = True, None
            return ""
        since_ms, last_ms = self._shut_ms or (now_ms, now_ms)
        if now_ms - last_ms >= self._gap_ms:
            since_ms = now_ms
        self._shut_ms = since_ms, now_ms
        if not self._settling(now_ms):
            self._elsewhere = False
            return ""
        return codec.SETTLING if self._left_the_sensor else codec.UNSURE

    def shuts(self, now_ms: int) -> None:
        """It was seen open until now, even if what told us so was lost."""
        self._elsewhere, self._shut_ms = True, (now_ms, now_ms)

    def _settling(self, now_ms: int) -> bool:
        """Whether it is said shut, and may be on its way still."""
        if self.secv or self.opener.sensor is not Sensor.CEILING or self._shut_ms is None:
            return False
        return now_ms - self._shut_ms[0] < self._closing_ms

    @property
    def _left_the_sensor(self) -> bool:
        """Whether it was not shut when it was last known; before our start too."""
        position = _value(self._port.twin(self.device), "position")
        return self._elsewhere or position not in {None, Position.FULLY_CLOSED}

    @property
    def _closing_ms(self) -> int:
        return self.opener.closing_takes_s * 1_000

    def permit(self, command: Command, now_ms: int) -> Move | None:
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
        return move if self.secv == _SECURITY_PLUS_2 else self._permit_press(move, twin, now_ms)

    def _permit_press(self, move: Move, twin: Twin, now_ms: int) -> Move | None:
        position = _value(twin, "position")
        if self.secv and _value(twin, "main_state") == MainState.MOVING:
            if _value(twin, "target_position") == move.target:
                return None
            raise RefusedError(Reason.PRECONDITION)
        if self._pressed is not None:
            last, until_ms = self._pressed
            if position != last.end and now_ms < until_ms:
                raise RefusedError(Reason.BUSY)
        if position == Position.PARTIALLY_OPENED or self._settling(now_ms):
            # It rests half open, or may still be closing: one press may take it either way.
            raise RefusedError(Reason.UNKNOWN_STATE)
        return move

    def pressed(self, move: Move, now_ms: int) -> None:
        """It may be under way from now on."""
        takes_ms = _ALARM_MS + self._closing_ms + _LOOKS_MS
        self._pressed = (move, now_ms + takes_ms)

    def not_pressed(self) -> None:
        """It was not pressed after all."""
        self._pressed = None


def _value(twin: Twin | None, axis: str) -> Value:
    known = twin.axes.get(axis) if twin is not None else None
    return known.value if known is not None else None
