"""The gateway of a test: a real process on the test's broker, that can be stopped and killed."""

import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fleet_sim.testing.events import Events

if TYPE_CHECKING:
    from fleet_sim.testing.scene import Scene


class Gateway:
    """`doorfleet-gateway run` for the test's fleet, with a cell for each vendor.

    What devices tell while it is away, or within 2 s before, the ledger does not hold against it:
    that may be known or not. All the rest is owed, whatever was killed.
    """

    def __init__(self, scene: "Scene") -> None:
        self._scene = scene

    @property
    def events(self) -> Events:
        """Everything that it said on the bus; `events.get(...)` waits for more."""
        return self._scene.events

    @property
    def running(self) -> bool:
        """Whether it runs."""
        process = self._scene.run.process
        return process is not None and not process.ended

    @property
    def pid(self) -> int | None:
        """Of its supervisor; None while it does not run."""
        process = self._scene.run.process
        return None if process is None else process.pid

    @property
    def site(self) -> str:
        """The level of its topics: `doorfleet/v1/<site>/…`."""
        return self._scene.site

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration that it was started with."""
        return self._scene.run.config

    @property
    def cells(self) -> Mapping[str, Mapping[str, Any]]:
        """How each cell fares, as it told last; by vendor."""
        return dict(self._scene.bus.cells)

    @property
    def said(self) -> Sequence[str]:
        """Its last lines on stdout and stderr."""
        process = self._scene.run.process
        return () if process is None else process.lines

    def start(self) -> None:
        """Run it until all its cells are up; nothing if it runs.

        Raises:
            SceneError: a cell did not come up. StageError: it refused its configuration.
        """
        __tracebackhide__ = True
        self._scene.start_gateway()

    def stop(self) -> None:
        """SIGTERM, and wait until it has gone; what it committed is kept for the next start."""
        __tracebackhide__ = True
        self._scene.stop_gateway()

    def kill(self, cell: str | None = None) -> None:
        """SIGKILL: all of it at once, as in a power cut; or one cell, until that is up again.

        Args:
            cell: a vendor of the fleet; its supervisor starts it again.

        Raises:
            SceneError: there is no such cell, or it did not come up.
        """
        __tracebackhide__ = True
        if cell is None:
            self._scene.stop_gateway(signal.SIGKILL)
        else:
            self._scene.kill_cell(cell)

    def restart(self) -> None:
        """`stop` and `start`."""
        __tracebackhide__ = True
        self.stop()
        self.start()
