"""What a gateway said, as a test reads it: the whole record, and a queue that waits."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, overload

from devices.reading import Value

#: How long `get` waits if it is not told.
PATIENCE_S: Final = 10.0
_SHOWN: Final = 10
_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the bus.

    `type` is `lock.changed` or `access.granted`; `at_ms`, Unix ms, when it was heard; `body`
    the whole CloudEvent.
    """

    type: str
    vendor: str
    device: str
    at_ms: float
    body: Mapping[str, Any]

    @classmethod
    def of(cls, body: Mapping[str, Any], at_ms: float) -> "Event":
        """The event in a message of the bus."""
        kind = str(body["type"]).removeprefix("doorfleet.").removesuffix(".v1")
        return cls(kind, body["data"]["vendor"], body["data"]["device"], at_ms, body)

    @property
    def data(self) -> Mapping[str, Any]:
        """What the event's type says of it, see `config/schemas`."""
        data: Mapping[str, Any] = self.body["data"]
        return data

    @property
    def changes(self) -> Mapping[str, Value]:
        """Axis to new value; empty of what is no change of state."""
        return {axis: one["value"] for axis, one in self.data.get("changes", {}).items()}

    def __str__(self) -> str:
        """For people: who, what, and the new values."""
        told = ", ".join(f"{axis}={value}" for axis, value in self.changes.items())
        return f"{self.vendor}/{self.device} {self.type} {told}".rstrip()


class Events(Sequence[Event]):
    """Everything that was heard so far, in order; `get` also waits for what is to come.

    Args:
        trouble: says why nothing more can come; None while all is well.
    """

    def __init__(self, trouble: Callable[[], str | None]) -> None:
        self._trouble = trouble
        self._all: list[Event] = []
        self._taken: set[int] = set()
        self._begun = 0
        self._news = threading.Condition()

    def add(self, event: Event) -> None:
        """One more was heard."""
        with self._news:
            self._all.append(event)
            self._news.notify_all()

    def begin(self) -> None:
        """`get` gives out nothing of what was heard until now; the record keeps it."""
        with self._news:
            self._begun = len(self._all)

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Event]: ...

    def __getitem__(self, index: int | slice) -> Event | Sequence[Event]:
        """The record, the oldest first."""
        with self._news:
            return self._all[index]

    def __len__(self) -> int:
        """How many were heard."""
        return len(self._all)

    def __iter__(self) -> Iterator[Event]:
        """Those that were heard until now."""
        with self._news:
            return iter(list(self._all))

    def get(
        self,
        type: str | None = None,  # noqa: A002 -- CloudEvents call it so
        /,
        *,
        device: object = None,
        vendor: str | None = None,
        where: Callable[[Event], bool] | None = None,
        within_s: float = PATIENCE_S,
        **changed: Value,
    ) -> Event:
        """The first event like this that `get` has not given out yet; waits for it if need be.

        Args:
            type: `lock.changed`; absent, any.
            device: one of the fleet's, or a name, with its vendor or without.
            vendor: whose.
            where: what else must hold.
            within_s: how long it may take to come.
            changed: the new value of each axis, such as `position="FullyOpened"`.

        Raises:
            AssertionError: none came in time, or none can come any more; with what came instead.
        """
        __tracebackhide__ = True
        wanted = _Wanted(type, None if device is None else str(device), vendor, where, changed)
        deadline_s = time.monotonic() + within_s
        with self._news:
            looked = self._begun
            while True:
                for at in range(looked, len(self._all)):
                    if at not in self._taken and wanted.fits(self._all[at]):
                        self._taken.add(at)
                        return self._all[at]
                looked = len(self._all)
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    raise AssertionError(f"no {wanted} within {within_s:g} s; {self._came()}")
                if (why := self._trouble()) is not None:
                    raise AssertionError(f"no {wanted} can come: {why}")
                self._news.wait(min(left_s, _LOOK_S))

    async def get_async(
        self,
        type: str | None = None,  # noqa: A002 -- as `get`
        /,
        *,
        device: object = None,
        vendor: str | None = None,
        where: Callable[[Event], bool] | None = None,
        within_s: float = PATIENCE_S,
        **changed: Value,
    ) -> Event:
        """`get` for an async test: its loop goes on meanwhile."""
        __tracebackhide__ = True

        def got() -> Event:
            return self.get(
                type, device=device, vendor=vendor, where=where, within_s=within_s, **changed
            )

        return await asyncio.to_thread(got)

    def _came(self) -> str:
        if not self._all:
            return "nothing came at all"
        shown = "".join(f"\n  {each}" for each in self._all[-_SHOWN:])
        return f"of {len(self._all)} events that came the last are:{shown}"


@dataclass(frozen=True, slots=True)
class _Wanted:
    type: str | None
    device: str | None
    vendor: str | None
    where: Callable[[Event], bool] | None
    changed: Mapping[str, Value]

    def fits(self, event: Event) -> bool:
        return (
            self.type in (None, event.type)
            and self.device in (None, event.device, f"{event.vendor}/{event.device}")
            and self.vendor in (None, event.vendor)
            and all(
                axis in event.changes and event.changes[axis] == value
                for axis, value in self.changed.items()
            )
            and (self.where is None or self.where(event))
        )

    def __str__(self) -> str:
        whose = self.device or self.vendor
        told = ", ".join(f"{axis}={value}" for axis, value in self.changed.items())
        parts = [
            self.type or "event",
            f"of {whose}" if whose else "",
            f"with {told}" if told else "",
        ]
        return " ".join(part for part in parts if part)
