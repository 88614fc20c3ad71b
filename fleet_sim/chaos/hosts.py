"""What a gateway may keep, and how hard it may press a host that fails; pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from fleet_sim.act import Act
from vendors.wire.http import HostLimits

# No vendor's breaker leaves a host that goes on failing alone for less than this in the end.
_LIMITS: Final = HostLimits(open_ms_max=5_000)
#: The fault of a server that its breaker must open for.
_FAILS: Final = ("hang", "silence", "server_error")
# The usual limits of a cell (`gateway.config.Limits`), which no experiment loosens: frames that
# wait, and bytes of its outbox.
_MOST: Final[Mapping[str, int]] = {"waiting": 10_000, "outbox_bytes": 256 << 20}


def beyond(most: Mapping[str, int]) -> Iterator[str]:
    """Which of the maxima is beyond its limit."""
    for what, limit in _MOST.items():
        if most.get(what, 0) > limit:
            yield f"{most[what]:,} {what}, allowed are {limit:,}"


def unkept(torn: int, buried: int, kept: int, counted: int) -> Iterator[str]:
    """Bad frames that are no dead letters.

    Args:
        torn: how many came to the gateway at least, on topics that it listens to.
        buried: how many the cell says it found.
        kept: how many its store has.
        counted: how many it says it only counted, because they came too fast.
    """
    if torn and not kept + counted:
        yield f"{torn} torn frames, and not one dead letter"
    if buried != kept + counted:
        yield f"{buried} bad frames, and {kept} dead letters ({counted} more were counted)"


def probes(for_s: float) -> int:
    """How often one host may be asked that fails for so long: see `vendors.wire.breaker`."""
    count, pause_ms, left_ms = 0, _LIMITS.open_ms, for_s * 1000
    while left_ms > 0:
        left_ms -= pause_ms
        pause_ms = min(2 * pause_ms, _LIMITS.open_ms_max)
        count += 1
    return _LIMITS.failures_max + _LIMITS.concurrency_max + count


def hammered(acts: Sequence[Act], requests: Sequence[float], hosts: int) -> Iterator[str]:
    """Acts in which a vendor's hosts were asked more often than their breakers allow.

    Args:
        acts: those on the vendor.
        requests: seconds at which its hosts were asked.
        hosts: how many there are.
    """
    for act in acts:
        if act.fault not in _FAILS or act.share < 1:
            continue
        asked = sum(act.at_s <= at_s < act.until_s for at_s in requests)
        allowed = hosts * probes(act.for_s)
        if asked > allowed:
            yield f"asked {asked} times in {act.for_s:g} s of {act.fault}, allowed are {allowed}"
