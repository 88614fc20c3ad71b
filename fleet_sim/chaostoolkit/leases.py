"""The dead man's switch: while this process lives, it says so for every fault that it began."""

import contextlib
import logging
import threading
from typing import Final

from devices.errors import FleetError
from fleet_sim.live.client import Client

#: A fault outlives its experiment by so much at most, whatever ended that.
LEASE_S: Final = 5.0
_RENEW_S: Final = 1.0
_LOG: Final = logging.getLogger("chaostoolkit")


class Leases:
    """Renews what it holds, in a thread of its own, from `begin` to `end`."""

    def __init__(self) -> None:
        self._held: dict[str, Client] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def at_work(self) -> bool:
        """Whether somebody renews."""
        return self._thread is not None

    def begin(self) -> None:
        """Renew from now on."""
        if self._thread is None:
            self._over.clear()
            self._thread = threading.Thread(target=self._renew, name="leases", daemon=True)
            self._thread.start()

    def hold(self, number: str, client: Client) -> None:
        """Renew the lease of this fault, too."""
        with self._lock:
            self._held[number] = client

    def end(self) -> None:
        """Renew nothing any more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._held.clear()

    def _renew(self) -> None:
        while not self._over.wait(_RENEW_S):
            with self._lock:
                held = dict(self._held)
            for number, client in held.items():
                self._renew_one(number, client)

    def _renew_one(self, number: str, client: Client) -> None:
        try:
            client.lease(number, LEASE_S)
        except FleetError as error:
            # Healed by somebody or by its own end, or the run is over: nothing to hold any more.
            _LOG.debug("lease of %s: %s", number, error)
            with self._lock, contextlib.suppress(KeyError):
                del self._held[number]


#: Of this process: Chaos Toolkit knows modules, and no objects of ours.
LEASES: Final = Leases()
