"""A real cell, real datagrams on loopback, and a fleet of panels whose every record must arrive."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from fleet_sim.broker.tcp import TcpBroker
from fleet_sim.fleet import Population
from fleet_sim.wire import WireFleet, wall_ms
from gateway.app import Cell, make_cell, parse
from vendors.sim import Addresses

PANELS = 10
POLL_MS = 200


class Site:
    """A fleet, and where its gateway keeps and writes things."""

    def __init__(self, folder: Path, fleet: WireFleet, population: Population, port: int) -> None:
        self.fleet = fleet
        self.events = folder / "events.jsonl"
        self._population = population
        self._folder = folder
        self._port = port
        self._heard = 0

    @asynccontextmanager
    async def gateway(self, *more: dict[str, object]) -> AsyncIterator[Cell]:
        """The cell, from its start until it has stopped; the second one goes on with the store.

        `more` are sinks beside the file.
        """
        config = parse(
            {
                "site": "test",
                "state_dir": str(self._folder / "state"),
                "bus": [{"kind": "jsonl", "path": str(self.events), "fsync": False}, *more],
                "cells": [
                    {
                        "vendor": "uhppote",
                        "settings": {
                            **self._population.gateway_settings(
                                Addresses(datagrams=f"127.0.0.1:{self._port}")
                            ),
                            "poll_ms": POLL_MS,
                            "timeout_ms": 200,
                            "retry_max_ms": 500,
                        },
                    }
                ],
            }
        )
        cell = make_cell(config, config.cells[0])
        running = asyncio.create_task(cell.run())
        try:
            yield cell
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.events.read_text().splitlines()]

    def read(self) -> None:
        """What was written since goes into the ledger, with the event's own time as its moment."""
        lines = self.lines()
        for event in lines[self._heard :]:
            self.fleet.ledger.event(event, event["data"].get("received_at_ms", wall_ms()))
        self._heard = len(lines)

    def said(self) -> tuple[dict[tuple[str, str], object], int]:
        """The last word on each device's axes, and how many different records were told of."""
        last: dict[tuple[str, str], object] = {}
        records: set[tuple[str, str]] = set()
        for data in (line["data"] for line in self.lines()):
            for axis, change in data.get("changes", {}).items():
                last[data["device"], axis] = change["value"]
            if (key := data.get("vendor_key")) is not None:
                records.add((data["device"], key))
        return last, len(records)

    def happened(self, kind: str) -> list[dict]:
        if not self.events.exists():
            return []
        return [line for line in self.lines() if line["type"] == f"doorfleet.{kind}.v1"]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    population = Population("uhppote", PANELS, 7, wall_ms())
    fleet = WireFleet([population], seed=7, pace=20_000, broker=("127.0.0.1", 1))
    port = await fleet.open_datagrams()
    yield Site(tmp_path, fleet, population, port)
    await fleet.stop()


async def still(site: Site, eventually) -> None:
    """The world stops, its relays fall back, and all of that is on the bus."""
    fleet = site.fleet
    fleet.quiet = True

    def locked() -> bool:
        doors = [door for unit in fleet.units for door in unit.device.doors.values()]
        return not any(door.relay(wall_ms()) for door in doors)

    def all_is_said() -> bool:
        said, records = site.said()
        return records == sum(unit.device.ring.newest for unit in fleet.units) and all(
            said.get((unit.device.name, f"door.{number}.{axis}")) == value
            for unit in fleet.units
            for number, door in unit.device.doors.items()
            for axis, value in (
                ("lock_state", "Locked"),
                ("mode", "Locked"),  # as nobody set it otherwise; it is asked for last of all
                ("physical_state", "Open" if door.open else "Closed"),
            )
        )

    await eventually(locked, within_s=20)
    # A gateway that is stopped before it has looked again owes what it has not said. How many
    # polls that takes is the machine's matter.
    await eventually(all_is_said, within_s=30)
    # What is said twice is said at a later poll: a look at what does not come, so by the clock.
    await asyncio.sleep(3 * POLL_MS / 1000)


async def test_every_record_of_a_busy_fleet_arrives_once_and_in_order(site, eventually):
    def busy() -> bool:
        return len(site.happened("access.granted")) > 4 * PANELS and bool(
            site.happened("door.closed")
        )

    async with site.gateway() as cell:
        await cell.ready()
        await site.fleet.start()
        await eventually(busy, within_s=30)
        await still(site, eventually)
    site.read()

    tally = site.fleet.ledger.close()["uhppote"]

    assert tally.evidence == []
    assert (tally.lost, tally.duplicated, tally.reordered, tally.invented) == (0, 0, 0, 0)
    assert tally.latencies


async def test_an_outage_of_the_gateway_loses_no_record_and_repeats_none(site, eventually):
    async with site.gateway() as cell:
        await cell.ready()
        await site.fleet.start()
        await eventually(lambda: len(site.happened("access.granted")) >= 5, within_s=20)
    before = len(site.lines())
    told = sum(unit.device.ring.newest for unit in site.fleet.units)

    def much_happened() -> bool:
        return sum(unit.device.ring.newest for unit in site.fleet.units) > told + 30

    await eventually(much_happened, within_s=20)
    assert len(site.lines()) == before
    async with site.gateway() as cell:
        await cell.ready()
        await still(site, eventually)
    site.read()

    tally = site.fleet.ledger.close()["uhppote"]

    assert tally.evidence == []
    keys = [(line["data"]["device"], line["data"].get("vendor_key")) for line in site.lines()]
    records = [key for key in keys if key[1] is not None]
    assert len(records) == len(set(records))
    assert len(records) == sum(unit.device.ring.newest for unit in site.fleet.units)


async def test_lost_repeated_and_foreign_datagrams_cost_no_record(site, eventually):
    names = ("pushes_lost", "repeats", "strays")
    async with site.gateway() as cell:
        await cell.ready()
        await site.fleet.start()
        for number, unit in enumerate(site.fleet.units):
            unit.act(f"fault:{names[number % 3]}")
        await eventually(lambda: len(site.happened("access.granted")) >= 2 * PANELS, within_s=30)
        await still(site, eventually)
    site.read()

    assert site.fleet.ledger.close()["uhppote"].evidence == []


async def test_what_was_overwritten_while_nobody_read_is_owned_up_to(site, eventually):
    unit = site.fleet.units[0]
    async with site.gateway() as cell:
        await cell.ready()
        await eventually(lambda: len(site.happened("panel.changed")) >= PANELS, within_s=20)
        unit.act("stranger")
        await eventually(lambda: site.happened("access.denied"), within_s=20)
    for _ in range(5):
        unit.act("stranger")
    unit.act("fault:ring_full")  # a block of 2,048: all of them
    unit.act("stranger")
    async with site.gateway() as cell:
        await cell.ready()
        await eventually(lambda: len(site.happened("access.denied")) >= 2, within_s=20)

    (lost,) = [line["data"] for line in site.happened("controller.events_lost")]

    assert (lost["count"], lost["first"], lost["last"]) == (5, 2, 6)
    assert [
        line["data"]["vendor_key"].split("-")[0] for line in site.happened("access.denied")
    ] == [
        "1",
        "7",
    ]


async def test_an_erased_ring_is_told_of_and_read_from_its_new_beginning(site, eventually):
    unit = site.fleet.units[0]
    for _ in range(5):
        unit.act("stranger")
    async with site.gateway() as cell:
        await cell.ready()
        await eventually(lambda: len(site.happened("access.denied")) >= 5, within_s=20)
        # A key is index and second: an index cannot come again within the second in real life.
        last = unit.device.ring.last().at
        await eventually(lambda: unit.device.local(wall_ms()) > last)
        unit.act("fault:ring_erased")
        unit.act("stranger")
        unit.act("stranger")
        await eventually(lambda: len(site.happened("access.denied")) >= 7, within_s=20)

    (lost,) = [line["data"] for line in site.happened("controller.events_lost")]

    assert (lost["count"], lost["first"], lost["cause"]) == (0, 6, "ring_restarted")
    assert [
        line["data"]["vendor_key"].split("-")[0] for line in site.happened("access.denied")
    ] == [*"1234512"]


async def test_a_panel_without_power_is_offline_and_comes_back(site, eventually):
    unit = site.fleet.units[0]

    def reachability() -> list[str]:
        return [
            line["data"]["changes"]["reachability"]["value"]
            for line in site.happened("panel.changed")
            if line["data"]["device"] == unit.device.name
            and "reachability" in line["data"]["changes"]
        ]

    async with site.gateway() as cell:
        await cell.ready()
        await eventually(lambda: reachability() == ["Online"], within_s=20)
        unit.act("fault:power_failure")
        await eventually(lambda: reachability() == ["Online", "Offline"], within_s=20)
        unit.act("heal:power_failure")
        await eventually(lambda: reachability() == ["Online", "Offline", "Online"], within_s=20)
        await eventually(lambda: site.happened("controller.power_on"), within_s=20)


async def test_a_command_has_succeeded_when_the_panel_was_seen_to_do_it(site, eventually):
    site.fleet.units[1].act("fault:refuses")
    site.fleet.units[2].act("fault:dead_strike")
    devices = [unit.device.name for unit in site.fleet.units[:3]]
    asked = [
        (devices[0], "AccessDoor"),
        (devices[1], "AccessDoor"),
        (devices[2], "AccessDoor"),
        (devices[0], "UnlockDoor"),
        (devices[0], "BlockDoor"),
        (devices[0], "AccessDoor"),
    ]
    outcomes: list[tuple[str, str, str, str | None]] = []
    async with (
        TcpBroker() as broker,
        site.gateway({"kind": "mqtt", "url": f"mqtt://127.0.0.1:{broker.port}"}) as cell,
        aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5) as person,
    ):
        await cell.ready()
        await person.subscribe("doorfleet/v1/test/uhppote/+/result", qos=1)

        def known() -> bool:
            twins = [cell.twin(device) for device in devices]
            return all(twin is not None and "door.4.mode" in twin.axes for twin in twins)

        await eventually(known, within_s=20)
        for number, (device, name) in enumerate(asked):
            request = {
                "id": str(number),
                "name": name,
                "part": "door.3",
                "deadline_ms": wall_ms() + 3_000,
            }
            topic = f"doorfleet/v1/test/uhppote/{device}/command"
            await person.publish(topic, json.dumps(request), qos=1)
            async with asyncio.timeout(20):
                result = json.loads((await anext(aiter(person.messages))).payload)
            outcomes.append((device, name, result["outcome"], result["reason"]))

    assert outcomes == [
        (devices[0], "AccessDoor", "succeeded", None),
        (devices[1], "AccessDoor", "rejected", "vendor:refused"),
        (devices[2], "AccessDoor", "unknown", "deadline"),
        (devices[0], "UnlockDoor", "succeeded", None),
        (devices[0], "BlockDoor", "succeeded", None),
        (devices[0], "AccessDoor", "rejected", "precondition"),
    ]
    ring = site.fleet.units[2].device.ring
    assert ring.newest == 1, "a command whose effect was not seen is not sent again"
