"""What is heard on the bus of a test: into the ledger, and into the test's hands."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from devices.reading import Value
from fleet_sim.ledger import LOOSE
from fleet_sim.stage import BrokerAt, StageError
from fleet_sim.testing.blast import Health
from fleet_sim.testing.events import Event, Events
from fleet_sim.testing.wishes import SceneError
from fleet_sim.wire import WireFleet, Witness, listen
from fleet_sim.wiring import bus_topics
from vendors.wire import mqtt311


class Bus:
    """One test's ear. All methods are for the backstage.

    Args:
        broker: where the bus is.
        site: whose events are meant.
        events: takes each.
    """

    def __init__(self, broker: BrokerAt, site: str, events: Events) -> None:
        self._broker = broker
        self._site = site
        self._events = events
        self._fleet: WireFleet | None = None
        self._witness: Witness | None = None
        self._said: dict[str, int] = {}
        #: By cell, as each told its health last.
        self.cells: dict[str, Mapping[str, Any]] = {}
        #: Is told each of their words, too.
        self.feels: Callable[[Mapping[str, Any]], None] = lambda _: None
        #: What they said, whenever it was something else than before.
        self.health: list[Health] = []
        #: Devices (`vendor/name`) of which more was said than whether they can be reached.
        self.heard_of: set[str] = set()
        #: When the last event came, by the loop's clock.
        self.heard_s = 0.0

    async def listen(self, fleet: WireFleet) -> None:
        """Hear everything from now on; the fleet's ledger takes it.

        Raises:
            SceneError: the broker cannot be reached.
        """
        self._fleet = fleet
        try:
            self._witness = await listen(self._broker, bus_topics(self._site), self._heard)
        except StageError as error:
            raise SceneError(f"{error}; does it run?") from error

    @property
    def lost(self) -> bool:
        """Whether the broker closed the connection: then nothing more is heard."""
        return self._witness is not None and self._witness.lost

    def _heard(self, packet: mqtt311.Publish) -> None:
        if not packet.payload:
            return  # a retained message was swept
        body = orjson.loads(packet.payload)
        if packet.topic.endswith("/health"):
            self._feels(body)
        else:
            self._take(body)

    def _feels(self, body: Mapping[str, Any]) -> None:
        assert self._fleet is not None
        cell, state = body["cell"], body["state"]
        if self.cells.get(cell, {}).get("state") != state:
            now_ms = self._fleet.now_ms()
            self.health.append(Health(now_ms, cell, state, str(body.get("reason", ""))))
        self.cells[cell] = body
        self.feels(body)

    def _take(self, body: Mapping[str, Any]) -> None:
        assert self._fleet is not None
        now_ms = self._fleet.now_ms()
        self.heard_s = asyncio.get_running_loop().time()
        self._fleet.ledger.event(body, now_ms)
        event = Event.of(body, now_ms)
        if not event.changes or event.changes.keys() - LOOSE:
            self.heard_of.add(f"{event.vendor}/{event.device}")
        self._events.add(event)

    def said(self, device: str, changes: Mapping[str, Value]) -> None:
        """A gateway of the test's own announced this of `vendor/name`, wherever it did."""
        vendor, _, name = device.partition("/")
        number = self._said[device] = self._said.get(device, 0) + 1
        self._take(
            {
                "id": f"own-{device}-{number}",
                "type": "doorfleet.own.changed.v1",
                "sequence": str(number),
                "data": {
                    "vendor": vendor,
                    "device": name,
                    "changes": {axis: {"value": value} for axis, value in changes.items()},
                },
            }
        )

    def close(self) -> None:
        """Listen no longer."""
        if self._witness is not None:
            self._witness.close()
