"""What a fleet without a gateway finds out about a broker."""

from collections.abc import Mapping, Sequence
from typing import Any

from fleet_sim.wire.switchboard import Switchboard


def figures(board: Switchboard, seconds: float, sent_before: int) -> dict[str, Any]:
    """How many devices were connected, how fast, and what went over their connections.

    Args:
        board: of the fleet.
        seconds: how long people lived, once everybody was connected.
        sent_before: how many messages had been sent until then.
    """
    traffic, overdue = board.traffic, board.overdue
    took_s = max(board.all_up_s - board.began_s, 1e-9)
    return {
        "sessions": board.sessions,
        "connected": board.connected,
        "connects_per_s": round((traffic.connects - traffic.reconnects) / took_s, 1),
        "messages_per_s": round((traffic.sent - sent_before) / max(seconds, 1e-9), 1),
        **traffic.plain(),
        "late": traffic.late + overdue,
        "keepalives_missed": traffic.keepalives_missed + overdue,
    }


def judged(said: Sequence[str]) -> dict[str, Any]:
    """The verdict on a fleet alone, as a report says it, from its `problems`."""
    return {"problems": list(said), "verdict": "fail" if said else "pass"}


def problems(found: Mapping[str, Any]) -> Sequence[str]:
    """What a broker owes its devices and did not give; empty is a pass.

    Args:
        found: `figures`, when all was quiet again.
    """
    said = []
    if missing := found["sessions"] - found["connected"]:
        said.append(f"{missing:,} of {found['sessions']:,} devices are not connected in the end")
    for count, what in (
        (found["refused"], "connections were refused by the broker"),
        (found["closed"], "connections were closed by the broker"),
        (found["garbled"], "connections ended because the broker broke the protocol"),
        (found["choked"], "connections ended because the broker read too slowly"),
        (found["unanswered"], "keepalives of devices were not answered by the broker"),
        (found["late"], "keepalives were missed by devices: this machine is too slow for so many"),
    ):
        if count:
            said.append(f"{count:,} {what}")
    unacknowledged = found["to_acknowledge"] - found["acknowledged"]
    if unacknowledged and not (found["cut"] or found["closed"]):
        said.append(f"{unacknowledged:,} messages of QoS 1 were not acknowledged by the broker")
    return said
