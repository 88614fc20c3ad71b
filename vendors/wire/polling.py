"""Asking again and again, beside a vendor that also tells by itself.

What was asked for before a push arrived may be older than the push, though it comes later: an
answer is dropped for every device that told something since the question left, and asked anew.
So a lost push costs freshness, and a late answer costs nothing.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NoReturn

from vendors.api import Frame, Port
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.pause import pause

# A device that pushes all the time is believed; its answers would never be newer.
_ASKS_MAX: Final = 3

#: Asks once; gives the frames by device. Each frame's `received_at_ms` is the argument: the
#: moment at which the question left, which is all the age that its answer can claim.
Ask = Callable[[int], Awaitable[Mapping[str, Sequence[Frame]]]]


class Poller:
    """One target that is asked: a device, or a hub about all of its devices.

    Args:
        port: the cell.
        ask: see `Ask`; raises NotSentError or NoReplyError.
        interval_ms: called before each pause, so that it may follow what is known.
        told: called with None after an answer, and with the reason after a failure.
    """

    def __init__(
        self,
        port: Port,
        ask: Ask,
        *,
        interval_ms: Callable[[], int],
        told: Callable[[str | None], None],
    ) -> None:
        self._port = port
        self._ask = ask
        self._interval_ms = interval_ms
        self._told = told
        self._touched: set[str] = set()
        self._turn = asyncio.Lock()
        self._asked = 0
        self._failure: NotSentError | NoReplyError | None = None
        self._wake = asyncio.Event()

    def touched(self, device: str) -> None:
        """The device told something by itself: an answer under way is old."""
        self._touched.add(device)

    def soon(self) -> None:
        """Ask now instead of at the end of the pause."""
        self._wake.set()

    async def run(self) -> NoReturn:
        """Ask until cancelled; the first question is not everybody's at once."""
        wait_ms = round(self._port.rng.uniform(0, min(self._interval_ms(), 1_000)))
        while True:
            await pause(self._wake, wait_ms)
            with contextlib.suppress(NotSentError, NoReplyError):
                await self.once()
            wait_ms = self._interval_ms()

    async def once(self) -> None:
        """Ask now; who asks while a question waits to leave shares its answer.

        Raises:
            NotSentError, NoReplyError: as the question met.
        """
        wanted = self._asked + 1
        async with self._turn:
            if self._asked >= wanted:  # one that left after we came has been answered, or not
                if self._failure is not None:
                    raise type(self._failure)(str(self._failure))
                return
            for _ in range(_ASKS_MAX):
                self._asked += 1
                self._touched.clear()
                asked_ms = self._port.now_ms()
                self._failure = None
                try:
                    answers = await self._ask(asked_ms)
                except (NotSentError, NoReplyError) as failure:
                    self._failure = failure
                    self._told(str(failure))
                    raise
                self._told(None)
                old = self._touched & answers.keys()
                frames = [
                    frame for device, each in answers.items() if device not in old for frame in each
                ]
                if frames:
                    self._port.offer(frames, None)
                if not old:
                    return
