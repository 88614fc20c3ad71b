"""What a fleet on sockets needs of its machine, held against what there is before it starts.

A connection is an open file, and a port of its source address toward its broker. Where the broker
is on loopback there are sixteen million source addresses (on Linux); elsewhere there is one.
"""

import resource
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Final

from fleet_sim.stage import StageError

#: Files that a process has open beside its connections: its libraries, its loop, its log.
SPARE_FILES: Final = 128
#: Not every port of a range is free, and the kernel searches long for the last ones.
_PORT_SHARE: Final = 0.9
_FILES_ENOUGH: Final = 65_536
_RANGE_FILE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
# RFC 6335, where a system does not say otherwise (macOS).
_RANGE: Final = (49_152, 65_535)
_LOOPBACK: Final = int(IPv4Address("127.0.0.1"))
#: Linux: `bind` names the address, and the port is found when it is known whereto.
_BIND_ADDRESS_NO_PORT: Final = 24


class BudgetError(StageError):
    """The machine cannot carry the fleet; the message names limit, need and remedy."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one process is to hold open.

    `sessions` it connects to a broker, `listeners` it is asked at (two files each: one for whoever
    asks). `broker_sessions` is what a broker that we start has to hold, which inherits our limit.
    """

    sessions: int = 0
    listeners: int = 0
    broker_sessions: int = 0

    @property
    def files(self) -> int:
        """Open files of the process that needs the most."""
        ours = self.sessions + 2 * self.listeners
        return max(ours, self.broker_sessions) + SPARE_FILES


@dataclass(frozen=True, slots=True)
class Room:
    """What there is: open files for one process, ports for one source address.

    `spreads`: whether the fleet may come from more than one source address.
    """

    files: int
    ports: int
    spreads: bool

    @property
    def ports_used(self) -> int:
        """How many ports of an address are counted on."""
        return int(self.ports * _PORT_SHARE)


def room(broker: str = "127.0.0.1") -> Room:
    """What this process has toward a broker at this address."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = sys.maxsize if hard == resource.RLIM_INFINITY else hard
    try:
        first, last = (int(text) for text in _RANGE_FILE.read_text("ascii").split())
    except OSError:
        first, last = _RANGE
    return Room(files, last - first + 1, spreads(broker))


def spreads(broker: str) -> bool:
    """Whether a broker at this address may be met from many addresses of this machine."""
    try:
        address = ip_address(broker)
    except ValueError:
        return False
    return sys.platform == "linux" and address.version == 4 and address.is_loopback  # noqa: PLR2004 -- IPv4


def problems(need: Need, have: Room) -> Sequence[str]:
    """What is missing, each with its remedy; empty if the fleet fits."""
    found = []
    if need.files > have.files:
        who = "the broker" if need.broker_sessions > need.sessions + 2 * need.listeners else "we"
        found.append(
            f"open files: {who} would need {need.files:,}, and the hard limit is {have.files:,}"
            " (ulimit -Hn). Raise it (systemd: LimitNOFILE=, Docker: --ulimit nofile=,"
            " /etc/security/limits.conf), or run fewer devices, or spread them over machines"
        )
    if need.sessions > have.ports_used and not have.spreads:
        found.append(
            f"ports: {need.sessions:,} connections to one broker need as many source ports, and"
            f" one address has {have.ports_used:,} (nine tenths of net.ipv4.ip_local_port_range)."
            " Widen the range (sysctl -w net.ipv4.ip_local_port_range='1024 65535'), or spread"
            " the fleet over machines; toward a broker on 127.0.0.1 we use many source addresses"
        )
    if need.listeners > have.ports_used:
        found.append(
            f"ports: {need.listeners:,} HTTP hubs listen at a port each, and one address has"
            f" {have.ports_used:,}. Widen net.ipv4.ip_local_port_range, or run fewer of them"
        )
    return found


def raise_files() -> None:
    """Raise our soft limit of open files to the hard one; children that start later inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS calls its limit endless, and refuses to give it.
    wanted = _FILES_ENOUGH if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def claim(need: Need, broker: str = "127.0.0.1") -> None:
    """See that the fleet fits, and raise our soft limit of open files.

    Args:
        need: of this process.
        broker: address of whom its devices connect to.

    Raises:
        BudgetError: not even the hard limit is enough, or there are too few ports.
    """
    if found := problems(need, room(broker)):
        raise BudgetError("this machine cannot carry the fleet:\n  " + "\n  ".join(found))
    raise_files()


class Sources:
    """Source addresses of a fleet's connections, used in turns.

    Args:
        broker: address of the broker.
        sessions: how many connections there will be.
        per_address: how many of them one source address can have.
    """

    def __init__(self, broker: str, sessions: int, per_address: int) -> None:
        self._spreads = spreads(broker)
        self._count = max(1, -(-sessions // per_address)) if self._spreads else 1
        self._turn = 0

    @property
    def addresses(self) -> Sequence[str]:
        """All of them; a single one need not be bound."""
        return [str(IPv4Address(_LOOPBACK + number)) for number in range(self._count)]

    def widen(self) -> None:
        """An address ran out of ports, whoever else has them: use one more."""
        if self._spreads:
            self._count += 1

    def bind(self, connection: socket.socket) -> None:
        """Give a new socket its source address.

        Raises:
            OSError: the address cannot be had.
        """
        if self._count == 1:
            return
        self._turn = (self._turn + 1) % self._count
        connection.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        connection.bind((str(IPv4Address(_LOOPBACK + self._turn)), 0))
