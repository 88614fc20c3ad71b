"""All populations of a run, on sockets: their clock, their connections, their hubs."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fleet_sim.fleet import Agenda, Population, polled
from fleet_sim.hub import HubUnit, hubs_of
from fleet_sim.journal import Journal
from fleet_sim.ledger import Ledger
from fleet_sim.shared_socket import SharedSocket
from fleet_sim.unit import Unit
from fleet_sim.wire.budget import Need, claim
from fleet_sim.wire.switchboard import Switchboard
from fleet_sim.wire.traffic import Bag, Traffic
from vendors.sim import Addresses

if TYPE_CHECKING:
    from fleet_sim.hub_server import HubServer

_TURN_MS: Final = 1
# A socket that is cut loses what its peer has not read; a busy broker may be so far behind.
_IN_FLIGHT_MS: Final = 2_000.0
_DATAGRAM_BYTES: Final = 4 << 20
_CONNECTS_PER_S: Final = 500.0


def wall_ms() -> int:
    """Unix ms of this machine, which the gateway under test shares."""
    return time.time_ns() // 1_000_000


class WireFleet:
    """All populations of a run, on sockets.

    Args:
        populations: the devices; those of one shard are a fleet like any other.
        seed: of all chance.
        pace: how many times as often as in life people use their devices.
        broker: host and port of whom MQTT devices connect to.
        recalls: see `fleet_sim.around.Host`.
        ledger: gets the truths; absent, one of its own.
    """

    def __init__(  # noqa: PLR0913 -- by keyword; what a run is made of
        self,
        populations: Iterable[Population],
        *,
        seed: int,
        pace: float,
        broker: tuple[str, int],
        recalls: bool = True,
        ledger: Ledger | None = None,
    ) -> None:
        self.populations = list(populations)
        self.seed = seed
        self.pace = pace
        self.in_flight_ms = _IN_FLIGHT_MS
        self.recalls = recalls
        self.journal: Journal | None = None
        self.ledger = Ledger(polled(self.populations)) if ledger is None else ledger
        self.agenda = Agenda()
        #: The world stands still: no timer fires, no habit is followed; questions are answered.
        self.quiet = False
        self._broker = broker
        self._board: Switchboard | None = None
        self.units = [
            Unit(self, population, device, population.manner(place))
            for population in self.populations
            for place, device in enumerate(population.devices)
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._socket: asyncio.DatagramTransport | None = None
        self._panels = SharedSocket(self.units)
        self.hubs = hubs_of(self, self.units)
        self.server: HubServer | None = None
        for unit in self.units:
            self.ledger.tally(unit.vendor).devices += 1

    def now_ms(self) -> float:
        """Unix ms of this machine, with its fraction."""
        return time.time_ns() / 1e6

    async def open_datagrams(self, port: int = 0) -> int:
        """Bind the datagram devices' common socket, there if there is a wish; its port."""
        loop = asyncio.get_running_loop()
        self._socket, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self._panels.arrived), local_addr=("127.0.0.1", port)
        )
        # Thousands are asked in one breath; the kernel gives what its administrator allows.
        made = self._socket.get_extra_info("socket")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _DATAGRAM_BYTES)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _DATAGRAM_BYTES)
        return int(self._socket.get_extra_info("sockname")[1])

    async def open_hubs(self, folder: Path, ports: Mapping[str, int] | None = None) -> Addresses:
        """Let the hubs that are servers listen, powered; where they all are, without a broker.

        A server is there before anybody asks it, and a gateway that finds nobody backs off.

        Args:
            folder: certificates are there.
            ports: by name of the hub, where it is to listen if not anywhere.

        Raises:
            BudgetError: the machine cannot carry so many.
        """
        claim(self.need, self._broker[0])
        servers = [hub for hub in self.hubs if hub.session is None]
        if servers:
            # Only a fleet with such hubs needs an HTTP server.
            from fleet_sim.hub_server import HubServer  # noqa: PLC0415 -- see above

            self.server = HubServer(servers, folder, ports)
            await self.server.open()
            for hub in servers:
                hub.came_up()
            return Addresses(hubs=self.server.urls, ca_file=self.server.ca_file)
        return Addresses()

    @property
    def _connected(self) -> list[Unit | HubUnit]:
        """Who has a session of its own."""
        hubs: list[Unit | HubUnit] = [hub for hub in self.hubs if hub.session is not None]
        return hubs + [unit for unit in self.units if unit.session is not None]

    @property
    def need(self) -> Need:
        """What this fleet needs of the machine; a broker of its own needs no more."""
        sessions = len(self._connected)
        listeners = sum(hub.session is None for hub in self.hubs)
        return Need(sessions, listeners)

    @property
    def traffic(self) -> Traffic:
        """What went over its connections."""
        return self._board.traffic if self._board is not None else Traffic()

    @property
    def board(self) -> Switchboard | None:
        """Its connections, once it has begun to make them."""
        return self._board

    async def start(self, connects_per_s: float = _CONNECTS_PER_S) -> None:
        """Connect everybody, not all at once, and let people begin.

        Args:
            connects_per_s: how many connections are begun in a second, now and whenever many
                devices come back at once.

        Raises:
            BudgetError: the machine cannot carry so many.
            StageError: the broker's name is nobody's.
        """
        await self.connect(connects_per_s, people=True)

    async def connect(
        self,
        connects_per_s: float = _CONNECTS_PER_S,
        *,
        people: bool = False,
        bag: Bag | None = None,
    ) -> None:
        """Connect everybody; returns when each has tried once. Errors: see `start`.

        Args:
            connects_per_s: see `start`.
            people: let them begin at once; otherwise `live` does.
            bag: gets every message that is sent.
        """
        self._tasks.append(asyncio.create_task(self._clockwork()))
        claim(self.need, self._broker[0])
        self._board = Switchboard(self._broker, self._connected, connects_per_s)
        self._board.bag = bag
        for unit in self.units:
            if unit.session is None and unit.behind is None:
                unit.came_up()
        if people:
            self.live()
        await self._board.start()

    def live(self) -> None:
        """Let people begin."""
        for unit in self.units:
            unit.live()

    async def _clockwork(self) -> None:
        while True:
            if not self.quiet:
                self.agenda.run(wall_ms())
            next_ms = self.agenda.next_ms
            wait_ms = 20 if next_ms is None else next_ms - wall_ms()
            await asyncio.sleep(min(max(wait_ms, _TURN_MS), 20) / 1000)

    def of(self, vendor: str) -> list[Unit]:
        """One vendor's devices."""
        return [unit for unit in self.units if unit.vendor == vendor]

    def later(self, wait_ms: float, what: Callable[[], None]) -> None:
        """Have a link carry something on after so long."""
        asyncio.get_running_loop().call_later(wait_ms / 1000, what)

    def datagram(self, payload: bytes, address: tuple[str, int]) -> None:
        """Let one leave by the common socket."""
        if self._socket is not None:
            self._socket.sendto(payload, address)

    async def stop(self) -> None:
        """Disconnect everybody politely."""
        if self._board is not None:
            await self._board.stop()
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.server is not None:
            await self.server.close()
        if self._socket is not None:
            self._socket.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, arrived: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._arrived = arrived

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._arrived(data, (addr[0], addr[1]))
