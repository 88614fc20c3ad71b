"""What a codec understood of one frame: states of axes, and things that took place.

NamedTuples, because one is made for every fact of every frame on the data plane.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

#: What an axis may hold. None is *unknown* and always comes with a reason.
Value = str | int | float | bool | None


class Provenance(StrEnum):
    """How a value reached us; only the first three are fresh enough to act upon."""

    REPORT = "report"  #: the device said so by itself, live
    POLL = "poll"  #: the device answered our question
    EVENT = "event"  #: read out of a live event that carries the state along
    RETAINED = "retained"  #: kept by a broker: true once, of unknown age
    CACHED = "cached"  #: kept by a bridge or cloud: true once, of unknown age
    OPTIMISTIC = "optimistic"  #: assumed from an accepted command, seen by nobody


#: The reason of an axis that this device can never tell: it has nothing to see it with.
NO_SENSOR: Final = "no_sensor"

#: Provenances that show what the device is now, not what it once was.
FRESH = frozenset({Provenance.REPORT, Provenance.POLL, Provenance.EVENT})


class Reading(NamedTuple):
    """The value of one axis of one device, as one frame told it.

    `axis` is a key of the kind's table (`devices/kinds.py`); a panel's doors are parts:
    `door.1.lock_state`. `value` None means unknown and `reason` says why: `boot`,
    `calibrating`, `uncalibrated`, `no_report`, `no_sensor`, `contradictory`, `unmapped:<raw>`.
    `observed_at_ms` is the device's own time (Unix ms), None if it gave none or none we trust.
    """

    device: str
    axis: str
    value: Value
    provenance: Provenance
    observed_at_ms: int | None = None
    reason: str | None = None


class Happening(NamedTuple):
    """Something that took place, as opposed to a state: it is never conflated or repeated away.

    `type` is a key of `devices.kinds.HAPPENINGS`, for example `access.granted`. `data` holds
    plain JSON values. `vendor_key` is the vendor's own identity of the occurrence (a ring
    index), by which a second sighting is recognised; None where the vendor has none.
    `buffered` marks what was recorded while nobody listened: news, but not the present.
    """

    device: str
    type: str
    data: Mapping[str, Value]
    observed_at_ms: int | None = None
    vendor_key: str | None = None
    buffered: bool = False
