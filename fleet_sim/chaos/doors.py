"""No command moves a door twice, late, or stale: what moved, held against what was asked; pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from devices.command import COMMANDS
from vendors import registry

# A command that left in time takes so long over the wire at most, be it asked anew for a token.
_UNDER_WAY_S: Final = 5.0
#: What is said of a closure that goes nowhere, or of which nobody knows.
_AT_REST: Final = (None, "Stopped", "None")

Command = Mapping[str, Any]


def wrong(
    commands: Sequence[Command],
    actuations: Sequence[Mapping[str, Any]],
    vendor: str,
    *,
    late_s: float = 0.0,
) -> Iterator[str]:
    """Each time when a door moved that nobody had asked to move, or had not asked then.

    Args:
        commands: see `fleet_sim.findings.Findings.plain`.
        actuations: likewise.
        vendor: whose devices.
        late_s: how late an act lets things arrive at the devices.
    """
    asked: dict[str, list[Command]] = {}
    for command in commands:
        if command["device"].startswith(f"{vendor}/"):
            asked.setdefault(command["device"], []).append(command)
            yield from _late(command)
    used: set[tuple[str, str]] = set()
    for moved in actuations:
        device, at_s = str(moved["device"]), float(moved["at_s"])
        if not device.startswith(f"{vendor}/") or not _moves(moved["changes"]):
            continue
        before = [one for one in asked.get(device, ()) if one["asked_s"] and _first(one) <= at_s]
        last = before[-1] if before else None
        if last is None:
            yield f"{device} moved at {at_s:.1f} s and nobody had asked: {moved['changes']}"
            continue
        again = (device, last["id"]) in used and not _repeatable(vendor, last)
        used.add((device, last["id"]))
        if again:
            yield f"{device} moved twice by {last['id']}, again at {at_s:.1f} s: {moved['changes']}"
        elif at_s > float(last["deadline_s"]) + _UNDER_WAY_S + late_s:
            yield f"{device} moved at {at_s:.1f} s by {last['id']}, due by {last['deadline_s']} s"
        elif (refused := _refused(last)) is not None:
            yield f"{device} moved at {at_s:.1f} s by {last['id']}, which was {refused}"


def _late(command: Command) -> Iterator[str]:
    """A success after its time, by the bus and by the gateway's own word: it was taken up late."""
    for result in command["results"]:
        done_s = min(result["at_s"], result["finished_s"])
        if result["outcome"] == "succeeded" and done_s > command["deadline_s"] + _UNDER_WAY_S:
            what = f"{command['device']}: {command['id']} succeeded at {done_s} s"
            yield f"{what}, due by {command['deadline_s']} s"


def _repeatable(vendor: str, command: Command) -> bool:
    """What closes may be said again after silence; nothing that opens may."""
    specs = COMMANDS[registry.vendor(vendor).kind.name]
    return command["name"] in specs and specs[command["name"]].repeatable


def _moves(changes: Mapping[str, Any]) -> bool:
    """Whether it begins to; a board that is asked may find that it rests, or that it cannot tell.

    `motion` is Idle or None again when a bolt has arrived.
    """
    arrived = changes.get("motion", "") in (None, "Idle")
    return not arrived and any(value not in _AT_REST for value in changes.values())


def _first(command: Command) -> float:
    return float(command["asked_s"][0])


def _refused(command: Command) -> str | None:
    """Why it may not have moved anything: the gateway said no to it before it left."""
    for result in command["results"]:
        if result["outcome"] == "rejected":
            return f"rejected: {result['reason']}"
    return None
