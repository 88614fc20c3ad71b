"""uhppoted, the client library that people run against real panels, meets our simulated ones.

It shares no code with us. Real datagrams on loopback; every port is a free one.
"""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from uhppoted import encode
from uhppoted.errors import EventNotFound, EventOverwritten
from uhppoted.uhppote import Uhppote
from uhppoted.uhppote_async import UhppoteAsync

from fleet_sim.fleet import Population
from fleet_sim.unit import Unit
from fleet_sim.wire import WireFleet, wall_ms
from vendors.uhppote import packets

TIMEOUT_S = 5.0
LOOPBACK = ipaddress.IPv4Address("127.0.0.1")
#: One of each firmware: 6.62 pushes with another start byte.
NEW, OLD, SECOND = 405_000_003, 405_000_001, 405_000_002


class Panels:
    """The fleet, and a client that knows where it is."""

    def __init__(self, fleet: WireFleet, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.listen_port = free_udp_port()
        self.listen = f"127.0.0.1:{self.listen_port}"
        self.client = UhppoteAsync("127.0.0.1", self.address, self.listen)
        self._units = {unit.device.serial: unit for unit in fleet.units}

    def unit(self, serial: int) -> Unit:
        return self._units[serial]

    def at(self, serial: int) -> tuple[int, str, str]:
        return serial, self.address, "udp"


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def panels() -> AsyncIterator[Panels]:
    """Three panels whose people stay at home: what happens is what a test does."""
    population = Population("uhppote", 3, 3, wall_ms(), {"ring_records": 4})
    fleet = WireFleet([population], seed=3, pace=1e-9, broker=("127.0.0.1", 1))
    port = await fleet.open_datagrams()
    await fleet.start()
    yield Panels(fleet, port)
    await fleet.stop()


async def test_it_finds_every_panel_with_its_firmware(panels):
    found = await panels.client.get_all_controllers(timeout=1.0)

    assert {each.controller: each.version for each in found} == {
        OLD: "v8.92",
        SECOND: "v8.92",
        NEW: "v6.62",
    }


async def test_a_stranger_is_not_answered(panels):
    with pytest.raises(TimeoutError):
        await panels.client.get_controller(panels.at(123_456), timeout=0.3)


async def test_it_reads_a_status(panels):
    status = await panels.client.get_status_record(panels.at(OLD), timeout=TIMEOUT_S)

    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    assert abs(status.system.datetime - now) < dt.timedelta(seconds=3)
    assert status.system.error == 0
    assert not any(door.open or door.unlocked for door in status.doors.values())
    assert status.event is None


async def test_it_opens_a_door_which_relocks_without_a_record(panels, eventually):
    assert await panels.client.set_door_control(panels.at(OLD), 2, 3, 1, timeout=TIMEOUT_S)
    opened = await panels.client.open_door(panels.at(OLD), 2, timeout=TIMEOUT_S)
    status = await panels.client.get_status_record(panels.at(OLD), timeout=TIMEOUT_S)

    assert opened.opened
    assert [number for number, door in status.doors.items() if door.unlocked] == [2]
    assert (status.event.index, status.event.door, status.event.reason) == (1, 2, 44)
    assert status.event.access_granted

    async def relocked() -> bool:
        nonlocal status
        status = await panels.client.get_status_record(panels.at(OLD), timeout=TIMEOUT_S)
        return not status.doors[2].unlocked

    await eventually(relocked, within_s=10)
    assert status.event.index == 1


async def test_a_door_that_is_kept_closed_is_not_opened(panels):
    await panels.client.set_door_control(panels.at(OLD), 1, 2, 5, timeout=TIMEOUT_S)

    control = await panels.client.get_door_control(panels.at(OLD), 1, timeout=TIMEOUT_S)
    opened = await panels.client.open_door(panels.at(OLD), 1, timeout=TIMEOUT_S)

    assert (control.mode, control.delay) == (2, 5)
    assert not opened.opened


async def test_it_reads_the_ring_and_is_told_what_is_gone_and_what_is_not_there(panels):
    for _ in range(6):
        panels.unit(OLD).act("stranger")
    client, panel = panels.client, panels.at(OLD)

    newest = await client.get_event_record(panel, 0xFFFFFFFF, timeout=TIMEOUT_S)
    oldest = await client.get_event_record(panel, 0, timeout=TIMEOUT_S)
    third = await client.get_event_record(panel, 4, timeout=TIMEOUT_S)

    assert (oldest.index, third.index, newest.index) == (3, 4, 6)
    assert (newest.kind, newest.access_granted, newest.reason) == (1, False, 18)
    assert newest.card > 9_000_000
    with pytest.raises(EventOverwritten):
        await client.get_event_record(panel, 2, timeout=TIMEOUT_S)
    with pytest.raises(EventNotFound):
        await client.get_event_record(panel, 7, timeout=TIMEOUT_S)


@pytest.mark.parametrize("serial", [OLD, NEW])
async def test_it_hears_what_is_pushed_by_either_firmware(panels, eventually, serial):
    heard, errors = [], []
    listening = asyncio.create_task(panels.client.listen(heard.append, on_error=errors.append))
    client, panel = panels.client, panels.at(serial)
    try:
        answer = await client.set_listener(panel, LOOPBACK, panels.listen_port, timeout=TIMEOUT_S)
        await client.record_special_events(panel, True, timeout=TIMEOUT_S)
        told = await client.get_listener(panel, timeout=TIMEOUT_S)
        panels.unit(serial).act("exit_button")
        await eventually(lambda: len(heard) >= 3, within_s=20)
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening

    assert answer.ok
    assert (told.address, told.port) == (LOOPBACK, panels.listen_port)
    assert errors == []
    assert [event.controller for event in heard] == [serial] * 3
    assert [event.event_index for event in heard] == [1, 2, 3]
    assert [event.event_reason for event in heard] == [20, 23, 24]
    assert heard[0].relays == 1 << heard[0].event_door - 1
    door = f"door_{heard[0].event_door}_open"
    assert [getattr(event, door) for event in heard] == [False, True, False]


async def test_it_sets_the_clock_and_manages_cards(panels):
    client, panel = panels.client, panels.at(SECOND)
    then = dt.datetime(2031, 2, 3, 4, 5, 6)  # noqa: DTZ001 -- panels know no zone
    start, end = dt.date(2026, 1, 1), dt.date(2026, 12, 31)

    await client.set_time(panel, then, timeout=TIMEOUT_S)
    clock = await client.get_time(panel, timeout=TIMEOUT_S)
    cards = await client.get_cards(panel, timeout=TIMEOUT_S)
    stored = await client.put_card(panel, 123_456, start, end, 1, 0, 29, 1, 7531, timeout=TIMEOUT_S)
    card = await client.get_card(panel, 123_456, timeout=TIMEOUT_S)
    deleted = await client.delete_card(panel, 123_456, timeout=TIMEOUT_S)
    after = await client.get_cards(panel, timeout=TIMEOUT_S)

    assert dt.timedelta(0) <= clock.datetime - then < dt.timedelta(seconds=5)
    assert stored.stored
    assert (card.start_date, card.end_date, card.pin) == (start, end, 7531)
    assert (card.door_1, card.door_2, card.door_3, card.door_4) == (1, 0, 29, 1)
    assert deleted.deleted
    assert after.cards == cards.cards


async def test_its_blocking_client_reads_too(panels):
    client = Uhppote("127.0.0.1", panels.address, panels.listen)

    controller = await asyncio.to_thread(client.get_controller, panels.at(NEW), TIMEOUT_S)

    assert controller.controller == NEW


NOON = dt.datetime(2026, 11, 23, 12, 34, 56)  # noqa: DTZ001 -- likewise


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (lambda: encode.get_status_request(OLD), lambda: packets.request(packets.STATUS, OLD)),
        (lambda: encode.get_time_request(OLD), lambda: packets.request(packets.TIME, OLD)),
        (
            lambda: encode.set_time_request(OLD, NOON),
            lambda: packets.request(packets.SET_TIME, OLD, at=NOON),
        ),
        (
            lambda: encode.open_door_request(OLD, 3),
            lambda: packets.request(packets.OPEN_DOOR, OLD, door=3),
        ),
        (
            lambda: encode.get_door_control_request(OLD, 4),
            lambda: packets.request(packets.DOOR, OLD, door=4),
        ),
        (
            lambda: encode.set_door_control_request(OLD, 4, 2, 17),
            lambda: packets.request(packets.SET_DOOR, OLD, door=4, mode=2, delay_s=17),
        ),
        (
            lambda: encode.get_event_request(OLD, 123_456_789),
            lambda: packets.request(packets.EVENT, OLD, index=123_456_789),
        ),
        (
            lambda: encode.record_special_events_request(OLD, True),
            lambda: packets.request(packets.SPECIAL_EVENTS, OLD, enabled=True),
        ),
        (
            lambda: encode.set_listener_request(
                OLD, ipaddress.IPv4Address("192.168.1.2"), 60_001, 15
            ),
            lambda: packets.request(
                packets.SET_LISTENER, OLD, host="192.168.1.2", port=60_001, interval_s=15
            ),
        ),
    ],
    ids=lambda _: "",
)
def test_what_our_adapter_asks_is_byte_for_byte_what_it_would_ask(
    theirs: Callable[[], bytes], ours: Callable[[], bytes]
) -> None:
    assert bytes(theirs()) == ours()
