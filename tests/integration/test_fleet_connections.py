"""Hundreds of devices on sockets of their own, against real brokers and against hostile ones."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fleet_sim.broker.tcp import TcpBroker
from fleet_sim.fleet import Population
from fleet_sim.ledger import Forgetful
from fleet_sim.unit import Unit
from fleet_sim.wire import Bag, WireFleet, Witness, verdict, wall_ms
from fleet_sim.wire.switchboard import Switchboard
from vendors.sim import Publish
from vendors.wire import mqtt311

Until = Callable[..., Awaitable[None]]
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CONNACK = mqtt311.encode(mqtt311.ConnAck())


def fleet_of(
    port: int, counts: dict[str, int], *, pace: float = 1e-9, keepalive_s: int = 0
) -> WireFleet:
    """A fleet whose people do nothing, unless they are hurried."""
    fleet = WireFleet(
        [Population(vendor, count, 5, wall_ms()) for vendor, count in counts.items()],
        seed=5,
        pace=pace,
        broker=("127.0.0.1", port),
        ledger=Forgetful(),
    )
    for unit in fleet.units:
        if keepalive_s and unit.session is not None:
            unit.device.session = replace(unit.session, keepalive_s=keepalive_s)
    return fleet


@contextlib.asynccontextmanager
async def hearing(port: int, bag: Bag) -> AsyncIterator[Witness]:
    """An independent subscriber of everything."""
    _, witness = await asyncio.get_running_loop().create_connection(
        lambda: Witness(("#",), lambda packet: bag.add(packet.topic, packet.payload)),
        "127.0.0.1",
        port,
    )
    await witness.ready
    try:
        yield witness
    finally:
        witness.close()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_every_message_of_300_devices_reaches_an_independent_subscriber(
    broker_url: str, eventually: Until
) -> None:
    heard, sent = Bag(), Bag()
    fleet = fleet_of(port_of(broker_url), {"ratgdo": 150, "nuki": 150}, pace=3_000)
    async with hearing(port_of(broker_url), heard):
        await fleet.connect(1_000, bag=sent)
        await eventually(lambda: fleet.board.connected == 300)
        fleet.live()
        before = fleet.traffic.sent
        await eventually(lambda: fleet.traffic.sent > before + 500)
        fleet.quiet = True
        await eventually(lambda: len(heard) == len(sent))
        await eventually(lambda: fleet.traffic.acknowledged == fleet.traffic.to_acknowledge)
        found = verdict.figures(fleet.board, 1.0, before)
        await fleet.stop()

    assert sent == heard
    assert found["connects"] == found["connected"] == 300
    assert verdict.problems(found) == []


@pytest.mark.mosquitto
async def test_idle_devices_keep_their_sessions_by_their_pings_and_mute_ones_lose_them(
    mosquitto: Callable[..., Any], eventually: Until
) -> None:
    port = mosquitto().port
    fleet = fleet_of(port, {"nuki": 100}, keepalive_s=1)
    mute_reader, mute = await asyncio.open_connection("127.0.0.1", port)
    mute.write(mqtt311.encode(mqtt311.Connect("mute", keep_alive_s=1)))
    await fleet.connect(1_000)
    await eventually(lambda: fleet.board.connected == 100)
    # Whoever says nothing has been thrown out by now: the broker does look.
    async with asyncio.timeout(15):
        assert await mute_reader.read() == CONNACK
    mute.close()
    traffic = fleet.traffic
    await fleet.stop()

    assert (traffic.connects, traffic.closed, traffic.keepalives_missed) == (100, 0, 0)
    assert traffic.pings >= 100
    assert traffic.worst_wait < 1


async def test_connects_come_no_faster_than_the_rate_at_the_start_and_after_a_power_cut(
    embedded: TcpBroker, eventually: Until
) -> None:
    fleet = fleet_of(embedded.port, {"nuki": 120})
    began_s = time.monotonic()
    await fleet.connect(100)
    await eventually(lambda: fleet.board.connected == 120)
    first_s = time.monotonic() - began_s
    for unit in fleet.units:
        unit.cut()
    assert fleet.board.connected == 0
    again_s = time.monotonic()
    await eventually(lambda: fleet.board.connected == 120)
    again_s = time.monotonic() - again_s
    traffic = fleet.traffic
    await fleet.stop()

    # The rate allows a tenth of a second's worth at once.
    assert first_s > 1.0
    assert again_s > 1.0
    assert (traffic.connects, traffic.reconnects, traffic.cut) == (240, 120, 120)


async def test_a_fleet_outlives_its_broker(eventually: Until) -> None:
    broker = TcpBroker()
    await broker.start()
    fleet = fleet_of(broker.port, {"nuki": 50})
    await fleet.connect(1_000)
    await eventually(lambda: fleet.board.connected == 50)
    port = broker.port
    await broker.stop()
    await eventually(lambda: fleet.board.connected == 0)
    assert not any(unit.up for unit in fleet.units)
    await eventually(lambda: fleet.traffic.unreached > 0)
    async with TcpBroker(port=port):
        await eventually(lambda: fleet.board.connected == 50)
        await fleet.stop()

    assert fleet.traffic.closed == 50
    assert fleet.traffic.reconnects == 50


# --- a broker that does what it should not --------------------------------------------------------


@contextlib.asynccontextmanager
async def hostile(behaviour: Behaviour) -> AsyncIterator[tuple[int, list[str]]]:
    """A TCP server that behaves so; its port, and where its peers came from."""
    peers: list[str] = []
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behaviour(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[0])
        running.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, backlog=512)
    try:
        yield server.sockets[0].getsockname()[1], peers
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running)
        await asyncio.sleep(0)  # aborted transports are closed in the next turn


async def test_however_many_leave_nobody_waits_for_the_broker_to_hang_up(
    eventually: Until,
) -> None:
    async def keeps_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(CONNACK)
        while await reader.read(4096):
            pass

    async with hostile(keeps_all) as (port, _):
        fleet = fleet_of(port, {"nuki": 60})
        await fleet.connect(1_000)
        await eventually(lambda: fleet.board.connected == 60)
        began_s = time.monotonic()

        await fleet.stop()

        assert time.monotonic() - began_s < 1.5  # whoever has not left is cut after 2 s


@contextlib.asynccontextmanager
async def board(
    port: int, devices: int, *, keepalive_s: int = 0, **how: Any
) -> AsyncIterator[tuple[Switchboard, Sequence[Unit]]]:
    """The connections of some Nuki locks, without their clock."""
    fleet = fleet_of(port, {"nuki": devices}, keepalive_s=keepalive_s)
    made = Switchboard(("127.0.0.1", port), fleet.units, 1_000.0, **how)
    await made.start()
    yield made, fleet.units
    await made.stop()


async def listens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As a broker should: say yes, and take in what comes."""
    writer.write(CONNACK)
    while await reader.read(65_536):
        pass


async def test_packets_in_pieces_are_packets(eventually: Until) -> None:
    told = mqtt311.encode(mqtt311.Publish("nuki/x/lockAction", b"2" * 300))

    async def crumbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for at in range(len(CONNACK)):
            writer.write(CONNACK[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0.005)
        for piece in (told[:1], told[1:150], told[150:] + told + told[:7], told[7:]):
            writer.write(piece)
            await asyncio.sleep(0.005)
        await reader.read()

    async with hostile(crumbles) as (port, _), board(port, 20) as (made, _units):
        await eventually(lambda: made.traffic.heard == 3 * 20)
        assert made.connected == 20
        assert made.traffic.garbled == 0


@pytest.mark.parametrize(
    ("says", "counted"),
    [
        (mqtt311.encode(mqtt311.ConnAck(code=5)), "refused"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "garbled"),
        (mqtt311.encode(mqtt311.PingResp()), "garbled"),
        (CONNACK + b"\x00\x00", "garbled"),
        (b"", "unreached"),
    ],
)
async def test_a_broker_that_sends_devices_away_is_asked_again(
    says: bytes, counted: str, eventually: Until
) -> None:
    asked = 0

    async def at_last(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked <= 10:
            writer.write(says)
            await writer.drain()
            writer.write_eof()
            await reader.read()
        else:
            await listens(reader, writer)

    async with hostile(at_last) as (port, _), board(port, 10) as (made, _units):
        await eventually(lambda: made.connected == 10)
        assert getattr(made.traffic, counted) == 10


async def test_a_broker_that_never_answers_is_given_up_and_holds_nobody_else_up(
    eventually: Until,
) -> None:
    asked = 0

    async def hangs_at_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked <= 110:  # more than may wait at once
            await reader.read()
        else:
            await listens(reader, writer)

    async with hostile(hangs_at_first) as (port, _), board(port, 200, patience_s=3.5) as (made, _u):
        await eventually(lambda: made.connected == 90, 5)
        assert made.traffic.unreached == 0
        await eventually(lambda: made.traffic.unreached == 110, 10)


async def test_what_a_slow_reader_does_not_take_waits_and_arrives_in_order(
    eventually: Until,
) -> None:
    go, got = asyncio.Event(), []

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CONNACK)
        await go.wait()
        data = b""
        while more := await reader.read(65_536):
            data, at = data + more, 0
            while (found := mqtt311.read(data, at)) is not None:
                at += found[1]
                if isinstance(found[0], mqtt311.Publish) and found[0].topic == "much":
                    got.append(int(found[0].payload[:4]))
            data = data[at:]

    async with hostile(slow) as (port, _), board(port, 1) as (made, (unit,)):
        await eventually(lambda: made.connected == 1)
        # More than a socket holds on the way, less than a board keeps.
        count = 0
        while unit.link.waiting < 100_000:
            unit.link.publish(Publish("much", b"%04d" % count + b"x" * 4_000))
            count += 1
            if count % 16 == 0:
                await asyncio.sleep(0)
        go.set()
        await eventually(lambda: len(got) == count)
        assert got == list(range(count))
        assert made.traffic.choked == 0


async def test_a_board_that_cannot_get_rid_of_its_words_hangs_up(eventually: Until) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        writer.write(CONNACK)
        await asyncio.Event().wait()

    async with hostile(deaf) as (port, _), board(port, 1) as (made, (unit,)):
        await eventually(lambda: made.connected == 1)
        for _ in range(2_000):
            if unit.link is None:
                break
            unit.link.publish(Publish("much", b"x" * 4_000))
            await asyncio.sleep(0)
        assert made.traffic.choked == 1
        await eventually(lambda: made.traffic.connects == 2)


async def test_a_broker_that_answers_no_ping_loses_its_devices(eventually: Until) -> None:
    async with hostile(listens) as (port, _), board(port, 5, keepalive_s=1) as (made, _units):
        await eventually(lambda: made.traffic.unanswered == 5)
        assert made.traffic.late == 0


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is there on Linux only")
async def test_when_an_address_has_no_more_ports_the_next_one_is_used(eventually: Until) -> None:
    async with hostile(listens) as (port, peers), board(port, 90, per_address=30) as (made, _units):
        await eventually(lambda: made.connected == 90)

    assert {peer: peers.count(peer) for peer in peers} == {
        "127.0.0.1": 30,
        "127.0.0.2": 30,
        "127.0.0.3": 30,
    }


# --- fleets that are no MQTT clients --------------------------------------------------------------


async def test_300_hubs_that_are_servers_answer_each_at_its_own_port(tmp_path: Path) -> None:
    fleet = fleet_of(1, {"opengarage": 300})
    at = await fleet.open_hubs(tmp_path)
    await fleet.start()
    try:
        async with aiohttp.ClientSession() as client:

            async def ask(url: str) -> int:
                async with client.get(f"{url}/jc") as response:
                    return response.status

            statuses = await asyncio.gather(*(ask(url) for url in at.hubs.values()))
    finally:
        await fleet.stop()

    assert len(set(at.hubs.values())) == 300
    assert set(statuses) == {200}


async def test_1000_panels_behind_one_socket_answer_each_with_its_own_serial(
    eventually: Until,
) -> None:
    fleet = fleet_of(1, {"uhppote": 1_000})
    port = await fleet.open_datagrams()
    await fleet.start()
    serials = {unit.device.serial for unit in fleet.units}
    answered: set[int] = set()

    class Asker(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _addr: object) -> None:
            answered.add(int.from_bytes(data[4:8], "little"))

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Asker, remote_addr=("127.0.0.1", port)
    )
    try:
        for number, serial in enumerate(sorted(serials)):
            transport.sendto(b"\x17\x94\x00\x00" + serial.to_bytes(4, "little") + bytes(56))
            if number % 50 == 0:
                await eventually(lambda due=number: len(answered) >= due)
        await eventually(lambda: answered == serials)
    finally:
        transport.close()
        await fleet.stop()


# --- what people see ------------------------------------------------------------------------------

SCENARIO = """\
hours: 1
pace: 100
connects_per_s: 400
fleet: {ratgdo: 100, nuki: 100}
"""


def cli(*arguments: str, files: int = 0) -> subprocess.CompletedProcess[str]:
    limit = f"ulimit -n {files} && " if files else ""
    program = Path(sys.executable).with_name("doorfleet-sim")
    return subprocess.run(
        ["sh", "-c", f'{limit}exec "$0" "$@"', str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_a_fleet_alone_tells_how_a_broker_fares(tmp_path: Path) -> None:
    scenario = tmp_path / "small.yaml"
    scenario.write_text(SCENARIO)
    run = ("run", str(scenario), "--time", "real", "--no-gateway", "--seconds", "2", "--no-ui")

    done = cli(*run)

    assert done.returncode == 0, done.stderr
    assert "200 of 200 MQTT devices connected" in done.stdout
    assert "0 keepalives missed; 0 reconnects" in done.stdout
    assert "verdict: pass" in done.stdout


def test_a_fleet_that_the_machine_cannot_carry_is_not_begun(tmp_path: Path) -> None:
    scenario = tmp_path / "large.yaml"
    scenario.write_text(SCENARIO)

    done = cli("run", str(scenario), "--time", "real", "--no-gateway", "--no-ui", files=300)

    assert done.returncode == 3
    assert "open files: we would need 328, and the hard limit is 300" in done.stderr
    assert "LimitNOFILE" in done.stderr


def test_a_broker_that_is_not_there_ends_a_fleet_alone(tmp_path: Path, free_port: int) -> None:
    scenario = tmp_path / "small.yaml"
    scenario.write_text(SCENARIO.replace("100, nuki: 100", "2"))
    broker = f"mqtt://127.0.0.1:{free_port}"

    done = cli(
        "run", str(scenario), "--time", "real", "--no-gateway", "--no-ui", "--broker", broker
    )

    assert done.returncode == 3
    assert f"broker {broker}: none of 2 devices could connect" in done.stderr
