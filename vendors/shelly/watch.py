"""Asking one device for its whole status, again and again, and noticing its silence."""

from typing import Final

from vendors.api import Frame, Port
from vendors.shelly.settings import ShellySettings
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.polling import Ask, Poller

GET_STATUS: Final = "Shelly.GetStatus"


class Watch:
    """One device's questions. A delta tells what changed; only a whole status tells what is.

    Args:
        port: the cell.
        device: its name on our bus.
        settings: for the intervals.
        ask: see `vendors.wire.polling.Ask`.
    """

    def __init__(self, port: Port, device: str, settings: ShellySettings, ask: Ask) -> None:
        self._port = port
        self._device = device
        self._settings = settings
        self._missed = 0
        self._poller = Poller(
            port, ask, interval_ms=lambda: settings.poll_interval_ms, told=self._told
        )

    async def run(self) -> None:
        """Ask until cancelled."""
        await self._poller.run()

    async def once(self) -> None:
        """Ask now; that nobody answers shows in the device's silence."""
        try:
            await self._poller.once()
        except (NotSentError, NoReplyError):
            return

    def soon(self) -> None:
        """Something happened of which a delta tells a part only."""
        self._poller.soon()

    def heard(self) -> None:
        """It told something by itself: a reply that is under way by another path is old."""
        self._missed = 0
        self._poller.touched(self._device)

    @property
    def silent(self) -> bool:
        """Whether it is taken to be offline."""
        return self._missed >= self._settings.silent_after

    def _told(self, failure: str | None) -> None:
        if failure is None:
            self._missed = 0
            return
        self._missed += 1
        if self._missed == self._settings.silent_after:
            silence = Frame(f"silent/{self._device}", b"", self._port.now_ms())
            self._port.offer([silence], None)
