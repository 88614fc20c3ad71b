"""What an experiment does to a fleet, and takes back: for `method` and `rollbacks`."""

from collections.abc import Mapping
from typing import Any

from fleet_sim.chaostoolkit.leases import LEASE_S, LEASES
from fleet_sim.live import client

__all__ = ["break_vendor", "heal", "heal_all"]


def break_vendor(  # noqa: PLR0913, PLR0917 -- as Chaos Toolkit calls it
    vendor: str,
    fault: str,
    share: float = 1.0,
    for_s: float | None = None,
    settings: Mapping[str, Any] | None = None,
    at: str | None = None,
) -> dict[str, Any]:
    """Let a share of a vendor's devices fail; what the run says of it: id, struck, ends_in_s.

    Under `fleet_sim.chaostoolkit.controls` the fault ends with this process, however that ends.

    Raises:
        FleetError: the run refuses, or is not there.
    """
    run = client.at(at)
    wish: dict[str, Any] = {"vendor": vendor, "fault": fault, "share": share}
    wish |= {} if for_s is None else {"for_s": for_s}
    wish |= {"settings": dict(settings)} if settings else {}
    wish |= {"lease_s": LEASE_S} if LEASES.at_work else {}
    begun = run.begin(wish)
    if LEASES.at_work:
        LEASES.hold(str(begun["id"]), run)
    return begun


def heal(
    vendor: str | None = None,
    fault: str | None = None,
    id: str | None = None,  # noqa: A002 -- as the run calls it
    at: str | None = None,
) -> list[str]:
    """End what matches all that is said; the ids of what was ended. None there is no error.

    Raises:
        FleetError: the run is not there.
    """
    run = client.at(at)
    wanted = {"vendor": vendor, "fault": fault, "id": id}
    found = [
        str(each["id"])
        for each in run.faults()
        if all(value in (None, each[name]) for name, value in wanted.items())
    ]
    for number in found:
        run.heal(number)
    return found


def heal_all(at: str | None = None) -> None:
    """End everything that was broken by hand.

    Raises:
        FleetError: the run is not there.
    """
    client.at(at).heal()
