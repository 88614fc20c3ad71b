"""What we may be asked to do, when we refuse, and what proves that it was done.

*Ack is not effect*: a command has succeeded when the device was then seen to have done it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from devices.reading import Value


class Outcome(StrEnum):
    """How a command ended. `unknown`: it left us and may have happened."""

    SUCCEEDED = "succeeded"
    REJECTED = "rejected"  #: by us or by the device, before anything moved; says why
    FAILED = "failed"  #: the device tried and could not, or was seen not to; says why
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a command was rejected or failed; vendors may add `vendor:<code>`."""

    UNKNOWN_DEVICE = "unknown_device"
    UNSUPPORTED = "unsupported"
    INVALID_ARGUMENT = "invalid_argument"
    EXPIRED = "expired"
    RETAINED = "retained"
    STALE_STATE = "stale_state"  #: no fresh state to check the precondition against
    UNKNOWN_STATE = "unknown_state"  #: a toggle behind a guard could move the wrong way
    PRECONDITION = "precondition"
    OFFLINE = "offline"
    BUSY = "busy"
    JAMMED = "jammed"
    OBSTRUCTED = "obstructed"
    NOT_AUTHORIZED = "not_authorized"
    UNAVAILABLE = "unavailable"
    NOT_CALIBRATED = "not_calibrated"
    LOW_POWER = "low_power"
    OCCUPIED = "occupied"  #: the credential's slot is in use: clear it first
    RATE_LIMITED = "rate_limited"  #: the vendor's quota leaves no room for it now
    SUPERSEDED = "superseded"  #: a `Stop` came in between


class Command(NamedTuple):
    """One request for one device.

    `id` is the caller's idempotency key: the second command with the same id gets the first
    one's outcome and moves nothing. `deadline_ms` is Unix ms, gateway clock. `part` names a
    panel's door (`door.1`), empty for the device itself. `expect` is the caller's own
    precondition: axis values that must hold, freshly seen, before anything is sent.
    """

    id: str
    device: str
    name: str
    deadline_ms: int
    part: str = ""
    args: Mapping[str, Value] = MappingProxyType({})
    expect: Mapping[str, Value] = MappingProxyType({})


class Result(NamedTuple):
    """The one outcome of a command."""

    id: str
    outcome: Outcome
    reason: str | None
    finished_at_ms: int


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One row of the table. Axis names are relative to the command's part.

    Attributes:
        done: axis values that, seen after the command left, prove it.
        already: axis values that make it a success without sending anything.
        blocked: axis values under which it is rejected before it leaves, with the reason.
        failed: axis values that, seen after it left, prove that it failed, with the reason.
        lasting: values of `done` that are the beginning of it only: they prove it when they are
            still seen this many ms after it left.
        target: axis to the argument whose value it must come near (`NEAR_PCT`), beside `done`.
        known: axes that must be freshly known before it may leave (toggles behind a guard).
        sensed: likewise, but for a device that says of an axis that it has no sensor for it
            (`devices.reading.NO_SENSOR`): its adapter then guards against pressing twice.
        repeatable: may be sent again by itself after silence. Never true of what opens.
        timeout_ms: how long the effect may take when the caller gives no deadline.
        args: argument name to JSON Schema Draft-04 property schema; each must be given.
    """

    done: Mapping[str, tuple[str, ...]]
    already: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    blocked: Mapping[str, Mapping[str, Reason]] = field(default_factory=dict)
    failed: Mapping[str, Mapping[str, Reason]] = field(default_factory=dict)
    lasting: Mapping[str, int] = field(default_factory=dict)
    target: Mapping[str, str] = field(default_factory=dict)
    known: tuple[str, ...] = ()
    sensed: tuple[str, ...] = ()
    repeatable: bool = False
    timeout_ms: int = 30_000
    args: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


_JAM: Final = {
    "fault": {
        "LockJammed": Reason.JAMMED,
        "NotCalibrated": Reason.NOT_CALIBRATED,
        "ClutchFailure": Reason.JAMMED,
        "MotorPower": Reason.LOW_POWER,
    }
}
#: How near a position, in percent, is there: motors run on a little.
NEAR_PCT: Final = 3
_AT_REST: Final = {"main_state": ("Stopped",)}
# An opener's travel takes 10-32 s (meross traces; shelly-homekit#142): twice that is the limit.
_TRAVEL_MS: Final = 65_000
_LONGEST_TRAVEL_MS: Final = 32_000

#: Commands by kind of device; names are Matter's ClosureControl and Door Lock, ONVIF's Door
#: Control, ours where they have none (`Unlatch`, `LockAndGo`).
COMMANDS: Final[Mapping[str, Mapping[str, CommandSpec]]] = {
    "closure": {
        "MoveToFullyOpen": CommandSpec(
            # A contact sees the door leave its shut place, and that it did not come back.
            done={"position": ("FullyOpened", "NotFullyClosed")},
            lasting={"NotFullyClosed": _LONGEST_TRAVEL_MS},
            already={"position": ("FullyOpened",)},
            known=("position",),
            sensed=("main_state",),
            timeout_ms=_TRAVEL_MS,
        ),
        "MoveToFullyClosed": CommandSpec(
            done={"position": ("FullyClosed",)},
            already={"position": ("FullyClosed",)},
            blocked={"obstruction": {"BlockedBySensor": Reason.OBSTRUCTED}},
            failed={"obstruction": {"BlockedBySensor": Reason.OBSTRUCTED}},
            known=("position",),
            sensed=("main_state",),
            timeout_ms=_TRAVEL_MS,
        ),
        "MoveToPosition": CommandSpec(
            done=_AT_REST,
            target={"position_pct": "position_pct"},
            blocked={"obstruction": {"BlockedBySensor": Reason.OBSTRUCTED}},
            failed={"obstruction": {"BlockedBySensor": Reason.OBSTRUCTED}},
            known=("position_pct", "main_state"),
            timeout_ms=_TRAVEL_MS,
            args={"position_pct": {"type": "integer", "minimum": 0, "maximum": 100}},
        ),
        "Stop": CommandSpec(
            done=_AT_REST, already=_AT_REST, known=("main_state",), timeout_ms=10_000
        ),
    },
    "lock": {
        "LockDoor": CommandSpec(
            done={"lock_state": ("Locked",)},
            already={"lock_state": ("Locked",)},
            failed=_JAM,
            repeatable=True,
            timeout_ms=20_000,
        ),
        "UnlockDoor": CommandSpec(
            done={"lock_state": ("Unlocked", "Unlatched")},
            already={"lock_state": ("Unlocked", "Unlatched")},
            failed=_JAM,
            timeout_ms=20_000,
        ),
        "Unlatch": CommandSpec(
            done={"lock_state": ("Unlatched",)},
            already={"lock_state": ("Unlatched",)},
            failed=_JAM,
            timeout_ms=20_000,
        ),
        "LockAndGo": CommandSpec(
            done={"lock_state": ("Unlocked",)}, failed=_JAM, timeout_ms=20_000
        ),
        # On `credential.<slot>`. A slot in use is refused: that the old code is still there
        # could not be told from the new one.
        "SetCredential": CommandSpec(
            done={"status": ("OccupiedEnabled",)},
            blocked={
                "status": {"OccupiedEnabled": Reason.OCCUPIED, "OccupiedDisabled": Reason.OCCUPIED}
            },
            timeout_ms=70_000,  # SwitchBot gives its keypads a minute
            args={"pin": {"type": "string", "pattern": "^[0-9]{4,12}$"}},
        ),
        "ClearCredential": CommandSpec(
            done={"status": ("Available",)},
            already={"status": ("Available",)},
            repeatable=True,
            timeout_ms=70_000,
        ),
    },
    "panel": {
        "AccessDoor": CommandSpec(
            done={"lock_state": ("Unlocked",)},
            blocked={"mode": {"Blocked": Reason.PRECONDITION, "LockedDown": Reason.PRECONDITION}},
            timeout_ms=10_000,
        ),
        "UnlockDoor": CommandSpec(done={"mode": ("Unlocked",)}, timeout_ms=10_000),
        "LockDoor": CommandSpec(done={"mode": ("Locked",)}, repeatable=True, timeout_ms=10_000),
        "BlockDoor": CommandSpec(done={"mode": ("Blocked",)}, repeatable=True, timeout_ms=10_000),
    },
}

#: What people type.
ALIASES: Final[Mapping[str, Mapping[str, str]]] = {
    "closure": {
        "open": "MoveToFullyOpen",
        "close": "MoveToFullyClosed",
        "move": "MoveToPosition",
        "stop": "Stop",
    },
    "lock": {
        "lock": "LockDoor",
        "unlock": "UnlockDoor",
        "unlatch": "Unlatch",
        "lock-and-go": "LockAndGo",
        "set-pin": "SetCredential",
        "clear-pin": "ClearCredential",
    },
    "panel": {
        "access": "AccessDoor",
        "unlock": "UnlockDoor",
        "lock": "LockDoor",
        "block": "BlockDoor",
    },
}
