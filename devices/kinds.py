"""The tables that say what each kind of device has and what can happen to it.

Everything else reads them: the twin, the event schemas, the command checks, the docs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from devices import access_panel, closure, health, lock
from devices.reading import Value

_PYTHON_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


# What every JSON reader holds exactly. Source: RFC 8259, section 6.
_INTEROPERABLE: Final = 2**53 - 1


class Weight(StrEnum):
    """What may be dropped when the outbox is full: telemetry may, decisions never."""

    TELEMETRY = "telemetry"
    DECISION = "decision"


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that can be known about a device.

    `values` is the closed set of an enumerated axis; for other axes `type` is the JSON type
    (`integer`, `number`, `boolean`) with `minimum` and `maximum`.
    """

    values: tuple[str, ...] = ()
    type: str = "string"
    minimum: int | None = None
    maximum: int | None = None
    weight: Weight = Weight.TELEMETRY
    walk: Mapping[str, frozenset[str]] | None = None

    def holds(self, value: Value) -> bool:
        """Whether this axis may have this value; unknown (None) is not asked about."""
        if self.values:
            return value in self.values
        if not isinstance(value, _PYTHON_TYPES[self.type]) or (
            isinstance(value, bool) and self.type != "boolean"
        ):
            return False
        if not isinstance(value, int | float):
            return True
        return (
            abs(value) <= _INTEROPERABLE  # and a number at all: no NaN is
            and (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
        )


def _enum(
    values: type[StrEnum],
    *,
    weight: Weight = Weight.TELEMETRY,
    walk: Mapping[str, frozenset[str]] | None = None,
) -> Axis:
    return Axis(tuple(v.value for v in values), weight=weight, walk=walk)


DECISION: Final = Weight.DECISION

#: Axes that any device may have.
COMMON: Final[Mapping[str, Axis]] = {
    "reachability": _enum(health.Reachability),
    "power_level": _enum(health.PowerLevel),
    "battery_pct": Axis(type="integer", minimum=0, maximum=100),
    "charging": Axis(type="boolean"),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of device: its axes, and those of each of its numbered parts.

    `parts` maps a part name to the axes under `<part>.<number>.`.
    """

    name: str
    axes: Mapping[str, Axis]
    parts: Mapping[str, Mapping[str, Axis]]

    def axis(self, name: str) -> Axis | None:
        """The table entry for an axis name such as `lock_state` or `door.2.alarm`."""
        return _axis(self.name, name)


CLOSURE: Final = Kind(
    "closure",
    {
        **COMMON,
        "main_state": _enum(closure.MainState),
        "position": _enum(closure.Position, walk=closure.WALK),
        "position_pct": Axis(type="integer", minimum=0, maximum=100),
        "target_position": _enum(closure.TargetPosition),
        "error": _enum(closure.ClosureError, weight=DECISION),
        "obstruction": _enum(closure.Obstruction, weight=DECISION),
        "light": _enum(closure.Light),
        "remote_lockout": _enum(closure.RemoteLockout),
    },
    {},
)

LOCK: Final = Kind(
    "lock",
    {
        **COMMON,
        "lock_state": _enum(lock.LockState),
        "motion": _enum(lock.Motion),
        "fault": _enum(lock.Fault, weight=DECISION),
        "door_state": _enum(lock.DoorState),
        "operating_mode": _enum(lock.OperatingMode),
        "keypad_power_level": _enum(health.PowerLevel),
        "door_sensor_power_level": _enum(health.PowerLevel),
        "door_sensor_tamper": _enum(access_panel.Tamper, weight=DECISION),
    },
    {"credential": {"status": _enum(lock.CredentialStatus)}},
)

PANEL: Final = Kind(
    "panel",
    {
        **COMMON,
        "tamper": _enum(access_panel.Tamper, weight=DECISION),
        "fault": _enum(access_panel.FaultState, weight=DECISION),
        "clock_skew_s": Axis(type="integer"),
    },
    {
        "door": {
            "mode": _enum(access_panel.DoorMode),
            "physical_state": _enum(access_panel.DoorPhysicalState),
            "lock_state": _enum(access_panel.LockPhysicalState),
            "alarm": _enum(access_panel.DoorAlarm, weight=DECISION),
        }
    },
)

KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in (CLOSURE, LOCK, PANEL)}

_PART = re.compile(r"([a-z_]+)\.([1-9][0-9]{0,2})\.([a-z_]+)")


@lru_cache(maxsize=4096)
def _axis(kind: str, name: str) -> Axis | None:
    table = KINDS[kind]
    if (found := table.axes.get(name)) is not None:
        return found
    if (part := _PART.fullmatch(name)) is None:
        return None
    return table.parts.get(part[1], {}).get(part[3])


@dataclass(frozen=True, slots=True)
class HappeningSpec:
    """What `Happening.data` must and may hold, as JSON Schema Draft-04 property schemas."""

    required: Mapping[str, Mapping[str, object]]
    optional: Mapping[str, Mapping[str, object]]
    weight: Weight = DECISION


_Schema = Mapping[str, object]
_DOOR: Final[_Schema] = {"type": "integer", "minimum": 1, "maximum": 999}
_TEXT: Final[_Schema] = {"type": "string", "maxLength": 256}
_COUNT: Final[_Schema] = {"type": "integer", "minimum": 0}
_CARD: Final[_Schema] = {"type": "integer", "minimum": 0, "maximum": 4294967295}
_ACCESS: Final[Mapping[str, _Schema]] = {
    "card": _CARD,
    "direction": {"enum": ["In", "Out"]},
    "code": {"type": "integer"},
}

#: Every occurrence that has a name. Lock operations are telemetry beside the lock's state;
#: access decisions, alarms and losses are never shed.
HAPPENINGS: Final[Mapping[str, HappeningSpec]] = {
    "lock.operation": HappeningSpec(
        {
            "operation": {"enum": [v.value for v in lock.LockOperationType]},
            "source": {"enum": [v.value for v in lock.OperationSource]},
        },
        {"user": _COUNT, "credential": _COUNT, "detail": _TEXT},
    ),
    "lock.operation_error": HappeningSpec(
        {
            "operation": {"enum": [v.value for v in lock.LockOperationType]},
            "source": {"enum": [v.value for v in lock.OperationSource]},
            "error": {"enum": [v.value for v in lock.OperationError]},
        },
        {"user": _COUNT, "credential": _COUNT, "detail": _TEXT},
    ),
    "credential.changed": HappeningSpec(
        {"operation": {"enum": [v.value for v in lock.DataOperation]}},
        {"credential": _COUNT, "detail": _TEXT},
    ),
    "lock.button": HappeningSpec(
        {"source": {"enum": [v.value for v in lock.OperationSource]}}, {"presses": _COUNT}
    ),
    "access.granted": HappeningSpec({"door": _DOOR}, _ACCESS),
    "access.denied": HappeningSpec(
        {"door": _DOOR, "reason": {"enum": [v.value for v in access_panel.DenyReason]}}, _ACCESS
    ),
    "access.request_to_exit": HappeningSpec({"door": _DOOR}, {"code": {"type": "integer"}}),
    "door.opened": HappeningSpec({"door": _DOOR}, {"code": {"type": "integer"}}),
    "door.closed": HappeningSpec({"door": _DOOR}, {"code": {"type": "integer"}}),
    "door.unlocked": HappeningSpec(
        {"door": _DOOR, "source": {"enum": ["command", "code", "schedule"]}},
        {"code": {"type": "integer"}, "card": _CARD},
    ),
    "door.alarm": HappeningSpec(
        {
            "door": _DOOR,
            "alarm": {
                "enum": [
                    "DoorForcedOpen",
                    "DoorOpenTooLong",
                    "ForcedClosed",
                    "Tamper",
                    "Fire",
                    "Zone24h",
                    "Emergency",
                    "Threat",
                ]
            },
        },
        {"code": {"type": "integer"}},
    ),
    "controller.power_on": HappeningSpec({}, {"code": {"type": "integer"}}),
    "controller.unmapped": HappeningSpec(
        {"code": {"type": "integer"}}, {"door": _DOOR, "card": _CARD}
    ),
    "controller.events_lost": HappeningSpec(
        {"count": _COUNT, "first": _COUNT, "last": _COUNT}, {"cause": _TEXT}
    ),
    "motion.detected": HappeningSpec({}, {}, weight=Weight.TELEMETRY),
    "gap": HappeningSpec(
        {
            "count": _COUNT,
            "cause": {"enum": ["outbox_full", "outbox_age", "rate_limit", "queue_full"]},
        },
        {"first_sequence": _COUNT, "last_sequence": _COUNT, "since_ms": _COUNT},
    ),
}
