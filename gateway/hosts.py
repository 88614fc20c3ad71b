"""How the hosts that a vendor's adapter asks fare: for the health topic and status pages."""

from heapq import nlargest
from typing import Final

from vendors.api import Adapter, HasHosts, HostStanding

#: A building has a host for each opener, and a cell's heartbeat is to fit into a pipe in one piece
#: (4,096 bytes).
SHOWN_MAX: Final = 8
_CLOSED: Final = "closed"


def standing(adapter: Adapter) -> dict[str, object]:
    """Each host with its breaker, the worst first; nothing for an adapter that has none.

    Shape:
        {"hosts": [{"host": "192.0.2.30:8080", "breaker": "open", "opened": 3, "asked": 17,
        "refused": 4}, …], "hosts_open": how many are not closed, "hosts_more": how many are left
        out}
    """
    hosts = list(adapter.hosts()) if isinstance(adapter, HasHosts) else []
    if not hosts:
        return {}
    shown = nlargest(SHOWN_MAX, hosts, key=_trouble)
    return {
        "hosts": [host._asdict() for host in shown],
        "hosts_open": sum(host.breaker != _CLOSED for host in hosts),
        "hosts_more": len(hosts) - len(shown),
    }


def _trouble(host: HostStanding) -> tuple[bool, int, int]:
    return host.breaker != _CLOSED, host.opened, host.refused
