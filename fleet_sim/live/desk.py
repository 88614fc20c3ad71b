"""Where those who may break a running fleet leave their wishes, until its own loop takes them."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

from devices.errors import FleetError

if TYPE_CHECKING:
    from fleet_sim.live.faults import LiveFaults

#: What is done in the run's loop, at so many seconds since it began.
Wish = Callable[["LiveFaults", float], Any]

NOT_YET: Final = "the run has not begun yet; ask again in a moment"
OVER: Final = "the run is over; start another one"
NEVER: Final = (
    "nothing can be broken by hand in this run; write it into the scenario's acts, or start one"
    " that can: doorfleet-sim run NAME --time real"
)


class ShutError(FleetError):
    """Nothing can be broken or healed now; says why, and what to do."""


class Desk:
    """Takes wishes from any thread; the run answers them in its own.

    Args:
        shut: why nobody can wish for anything until `answer` is first called.
    """

    def __init__(self, shut: str = NOT_YET) -> None:
        self._lock = threading.Lock()
        self._shut = shut
        self._left: list[tuple[Wish, Future[Any]]] = []

    def ask(self, wish: Wish) -> "Future[Any]":
        """Leave a wish; what comes of it.

        Raises:
            ShutError: nobody will answer.
        """
        with self._lock:
            if self._shut:
                raise ShutError(self._shut)
            answer: Future[Any] = Future()
            self._left.append((wish, answer))
            return answer

    def answer(self, faults: "LiveFaults", now_s: float) -> None:
        """Do what was wished for; from the first time on, more may be."""
        with self._lock:
            self._shut = ""
            left, self._left = self._left, []
        for wish, answer in left:
            if not answer.set_running_or_notify_cancel():
                continue  # whoever asked has gone
            try:
                answer.set_result(wish(faults, now_s))
            except Exception as error:  # noqa: BLE001 -- theirs who asked, and told to them
                answer.set_exception(error)

    def close(self) -> None:
        """Nobody answers from now on."""
        with self._lock:
            self._shut = OVER
            left, self._left = self._left, []
        for _, answer in left:
            if answer.set_running_or_notify_cancel():
                answer.set_exception(ShutError(OVER))
