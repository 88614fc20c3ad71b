"""The ledger of a test: the bus held against what really happened to the devices."""

import asyncio
from typing import TYPE_CHECKING, Final

from devices.reading import Value
from fleet_sim.ledger import LATE_MS
from fleet_sim.testing.verdict import Verdict

if TYPE_CHECKING:
    from fleet_sim.testing.scene import Scene

#: How long news may be under way before it counts as lost.
PATIENCE_S: Final = LATE_MS / 1000


class Ledger:
    """What was lost, duplicated, reordered or invented since the fleet was made."""

    def __init__(self, scene: "Scene") -> None:
        self._scene = scene

    def verdict(self, within_s: float = PATIENCE_S) -> Verdict:
        """The verdict on all until now; with a `pace`, people stand still meanwhile.

        It comes as soon as nothing is missing, and takes so long only if something is. Devices that
        were healed are waited for until they are back. A test that asks is not judged again at its
        end.

        Args:
            within_s: how long news may be under way.

        Raises:
            SceneError: there is no fleet.
        """
        __tracebackhide__ = True
        return self._scene.settle(within_s)

    async def verdict_async(self, within_s: float = PATIENCE_S) -> Verdict:
        """`verdict` for an async test: its loop goes on meanwhile."""
        __tracebackhide__ = True
        return await asyncio.to_thread(self.verdict, within_s)

    def check(self, within_s: float = PATIENCE_S) -> None:
        """Fail unless every promise was kept.

        Raises:
            AssertionError: with what was lost, duplicated, reordered or invented.
        """
        __tracebackhide__ = True
        verdict = self.verdict(within_s)
        if not verdict:
            raise AssertionError(str(verdict))

    def said(self, device: object, **changes: Value) -> None:
        """A gateway of your own announced new values of a device: `said(door, position="…")`.

        So the ledger judges any gateway, whatever bus it speaks on.
        """
        self._scene.said(str(device), changes)
