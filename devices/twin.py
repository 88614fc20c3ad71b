"""What we hold to be true of one device, and what one frame changes about it."""

from collections.abc import Iterable
from typing import NamedTuple

from devices.kinds import Kind
from devices.reading import Provenance, Reading, Value


class Known(NamedTuple):
    """One axis as last known. Times are Unix ms; `since_ms` is when `value` was first received."""

    value: Value
    reason: str | None
    provenance: Provenance
    observed_at_ms: int | None
    received_at_ms: int
    since_ms: int


class Change(NamedTuple):
    """One axis that is now otherwise known than before. `jumped`: steps between were not seen."""

    axis: str
    known: Known
    was: Value
    jumped: bool


class Twin:
    """The device as we know it: a map from axis to `Known`, changed only by `fold`."""

    __slots__ = ("axes", "kind", "name")

    def __init__(self, name: str, kind: Kind, axes: dict[str, Known] | None = None) -> None:
        self.name = name
        self.kind = kind
        self.axes: dict[str, Known] = axes if axes is not None else {}

    def fold(self, readings: Iterable[Reading], received_at_ms: int) -> list[Change]:
        """Take in what one frame said of this device; a repeat refreshes its times only.

        A value outside the axis's table is a codec's bug and becomes unknown with its reason,
        because an unknown door is safe and an invented one is not. The last reading of an axis
        within a frame wins.

        Returns:
            The changes in the order of the readings; empty if nothing is otherwise than before.
        """
        changes = []
        axes = self.axes
        for _, axis, value, provenance, observed_at_ms, reason in readings:
            before = axes.get(axis)
            if before is None or before.value != value or before.reason != reason:
                # What is only said again was looked up when it was said first.
                spec = self.kind.axis(axis)
                if spec is None:
                    continue
                if value is None:
                    reason = reason or "no_report"  # noqa: PLW2901 -- unknown always says why
                elif not spec.holds(value):
                    value, reason = None, f"unmapped:{str(value)[:40]}"  # noqa: PLW2901
                if before is None or before.value != value or before.reason != reason:
                    known = Known(
                        value, reason, provenance, observed_at_ms, received_at_ms, received_at_ms
                    )
                    axes[axis] = known
                    was = before.value if before is not None else None
                    jumped = (
                        spec.walk is not None
                        and was is not None
                        and value is not None
                        and value not in spec.walk.get(str(was), ())
                    )
                    changes.append(Change(axis, known, was, jumped))
                    continue
            axes[axis] = Known(
                before.value, reason, provenance, observed_at_ms, received_at_ms, before.since_ms
            )
        return changes
