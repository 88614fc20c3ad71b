"""Breaking the fleet of a test on purpose, and proving who was hurt."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from devices.errors import ConfigError
from fleet_sim.demo import P99_FACTOR
from fleet_sim.testing.blast import Seen, harms

if TYPE_CHECKING:
    from fleet_sim.live.faults import LiveFault
    from fleet_sim.testing.scene import Scene

#: How long what is under way may take to arrive.
CONVERGE_S: Final = 10.0
#: Until the test is over.
_FOREVER_S: Final = 86_400.0


class Injection:
    """Something that fails. As a context, it fails within it; in any case not beyond the test."""

    def __init__(self, scene: "Scene", fault: "LiveFault") -> None:
        self._scene = scene
        self._fault = fault
        #: The devices that are struck, by name.
        self.struck: Sequence[str] = tuple(fault.struck)

    @property
    def over(self) -> bool:
        """Whether it is healed, by hand or because its time is over."""
        return self._fault.healed

    def heal(self) -> None:
        """Let it fail no more; nothing if it does not."""
        __tracebackhide__ = True
        self._scene.call(self._scene.heal, self._fault)

    def __enter__(self) -> Self:
        """It fails already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Heal it."""
        self.heal()

    def __str__(self) -> str:
        """For people."""
        return self._fault.words


class Chaos:
    """What the fixture `chaos` can do to a fleet.

    Args:
        scene: of this test.
        again: says the command that runs it again.
    """

    def __init__(self, scene: "Scene", again: Callable[[], str]) -> None:
        self._scene = scene
        self._again = again

    def inject(
        self,
        vendor: str,
        fault: str | None = None,
        /,
        *,
        share: float = 1.0,
        for_s: float | None = None,
        **settings: bool | float | str,
    ) -> Injection:
        """Let something fail from now on: `inject("nuki", "hang", share=0.5, for_s=3)`.

        The same devices are struck for the same seed, fault and share. What the gateway or its host
        suffers from has no vendor: `inject("bus_down")`.

        Args:
            vendor: whose devices, sessions or cell; or what fails, if it has none.
            fault: as `doorfleet-sim faults` lists them, or one of the vendor's own.
            share: the part of its devices.
            for_s: how long; absent, until it is healed or the test is over.
            settings: the fault's own: `latency_ms=300`.

        Raises:
            ConfigError: there is nothing like that, with every mistake.
            ClashError: it fails already.
        """
        __tracebackhide__ = True
        who = {"fault": vendor} if fault is None else {"vendor": vendor, "fault": fault}
        wish = {**who, "share": share, "for_s": for_s or _FOREVER_S, "settings": settings}
        return Injection(self._scene, self._scene.inject(wish))

    def heal(self) -> None:
        """Let nothing that was injected fail any more."""
        __tracebackhide__ = True
        self._scene.heal_all()

    def assert_blast_radius(
        self,
        only: Sequence[str] = (),
        *,
        p99_factor: float = P99_FACTOR,
        within_s: float = CONVERGE_S,
    ) -> Mapping[str, Mapping[str, Any]]:
        """Fail unless nobody but these was hurt by what was injected.

        Hurt is who has lost, doubled, reordered or invented anything, whose cell was not well, or
        who was slow: later than 5 s, or a p99 above its own from before the first injection, times
        `p99_factor` and 2 ms more. A p99 needs 100 events before and 100 during the injections;
        of fewer it is nobody's (`samples` in the answer).

        Args:
            only: the vendors that may be.
            p99_factor: how much slower the others may get.
            within_s: how long what is under way may take to arrive.

        Returns:
            Of each other vendor, `samples`, `baseline_p99_ms`, `p99_ms` and `allowed_ms`.

        Raises:
            AssertionError: somebody else was; with whom, which promise, figures, and the command
                that runs the test again.
        """
        __tracebackhide__ = True
        fleet = self._scene.groups()
        if strangers := [vendor for vendor in only if vendor not in fleet]:
            raise ConfigError(
                (f"only: no {', '.join(strangers)} in this fleet; there are {', '.join(fleet)}",)
            )
        seen = self._scene.seen(within_s)
        if found := list(harms(seen, only, p99_factor)):
            raise AssertionError(self._text(found, only, seen))
        return {vendor: seen.figures(vendor, p99_factor) for vendor in fleet if vendor not in only}

    async def assert_blast_radius_async(
        self,
        only: Sequence[str] = (),
        *,
        p99_factor: float = P99_FACTOR,
        within_s: float = CONVERGE_S,
    ) -> Mapping[str, Mapping[str, Any]]:
        """`assert_blast_radius` for an async test: its loop goes on meanwhile."""
        __tracebackhide__ = True
        return await asyncio.to_thread(
            self.assert_blast_radius, only, p99_factor=p99_factor, within_s=within_s
        )

    def _text(self, found: Sequence[str], only: Sequence[str], seen: Seen) -> str:
        who = f"others than {', '.join(only)} were hurt" if only else "somebody was hurt"
        lines = [f"{who}:", *(f"  {line}" for line in found), "what failed:"]
        lines += [f"  {each.what}" for each in seen.failed]
        return "\n".join([*lines, f"again: {self._again()}"])
