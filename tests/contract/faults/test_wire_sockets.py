"""Each kind that befalls a link, on real sockets: what goes over the wire, and that it heals.

board ──► tap ──► broker ──► stranger          the tap notes every byte, and how each link ends
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import pytest

from fleet_sim.broker.tcp import TcpBroker
from fleet_sim.faults import FAULTS, make
from fleet_sim.faults.kind import Family, Strikes
from fleet_sim.fleet import Population
from fleet_sim.ledger import Forgetful
from fleet_sim.unit import Unit
from fleet_sim.wire import WireFleet, Witness, wall_ms
from vendors.sim import Effects, Publish
from vendors.wire import mqtt311

KEEPALIVE_S: Final = 1
GIVEN_UP_S: Final = 1.5 * KEEPALIVE_S
#: Long enough to come in more than one piece.
BODY: Final = b'{"state":"open","at":1767571200,"words":"' + b"x" * 60 + b'","number":%d}'
CHUNK: Final = 65_536


@dataclass
class Link:
    """One connection, as a tap in the cable sees it; times of the loop."""

    began_s: float
    up: bytes = b""
    pieces: list[float] = field(default_factory=list)
    ended_s: float | None = None
    reset: bool = False

    @property
    def packets(self) -> list[mqtt311.Packet]:
        found, at = [], 0
        while (one := mqtt311.read(self.up, at, packet_max=CHUNK)) is not None:
            found.append(one[0])
            at += one[1]
        return found

    @property
    def rest(self) -> bytes:
        """What is behind the last whole packet."""
        return self.up[sum(len(mqtt311.encode(one)) for one in self.packets) :]


class Street:
    """One board, its broker, a stranger who hears all, and a tap in the board's cable."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.links: list[Link] = []
        self.heard: list[tuple[float, str, bytes]] = []
        self._said = 0

    def say(self, count: int = 1) -> list[bytes]:
        """Let the board say something of its own, so many times; what it was."""
        words = []
        for _ in range(count):
            self._said += 1
            words.append(BODY % self._said)
            self.unit.apply(Effects([Publish("home/probe", words[-1], 1)]), "probe")
        return words

    @property
    def words(self) -> list[bytes]:
        """What the stranger heard of that."""
        return [payload for _, topic, payload in self.heard if topic == "home/probe"]

    @property
    def wills(self) -> list[float]:
        return [at_s for at_s, _, payload in self.heard if payload == b"offline"]

    @property
    def connects(self) -> int:
        """Of whoever says that it is this board."""
        return sum(isinstance(link.packets[0], mqtt311.Connect) for link in self.links if link.up)

    async def pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        link = Link(loop.time())
        self.links.append(link)
        there, back = await asyncio.open_connection("127.0.0.1", self.broker_port)
        down = asyncio.create_task(_carry(there, writer))
        try:
            while data := await reader.read(CHUNK):
                link.up += data
                link.pieces.append(loop.time())
                back.write(data)
        except ConnectionResetError:
            link.reset = True
        link.ended_s = loop.time()
        back.close()
        down.cancel()
        writer.close()

    broker_port = 0


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK):
            writer.write(data)
        writer.close()


@contextlib.asynccontextmanager
async def street() -> AsyncIterator[Street]:
    loop = asyncio.get_running_loop()
    async with TcpBroker() as broker, contextlib.AsyncExitStack() as closing:
        population = Population("ratgdo", 1, 5, wall_ms())
        session = population.devices[0].session
        assert session is not None
        population.devices[0].session = replace(session, keepalive_s=KEEPALIVE_S, reconnect_s=0.1)
        fleet = WireFleet(
            [population], seed=5, pace=1e-9, broker=("127.0.0.1", 0), ledger=Forgetful()
        )
        it = Street(fleet.units[0])
        it.broker_port = broker.port
        tap = await asyncio.start_server(it.pipe, "127.0.0.1", 0)
        closing.callback(tap.close)
        fleet._broker = ("127.0.0.1", tap.sockets[0].getsockname()[1])  # noqa: SLF001 -- it is known only now
        _, stranger = await loop.create_connection(
            lambda: Witness(
                ("#",), lambda one: it.heard.append((loop.time(), one.topic, one.payload))
            ),
            "127.0.0.1",
            broker.port,
        )
        await stranger.ready
        closing.callback(stranger.close)
        closing.push_async_callback(fleet.stop)
        await fleet.connect()
        yield it


Until = Callable[..., Awaitable[None]]
Seen = Callable[[Street, Until], Awaitable[None]]


async def _late(it: Street, until: Until) -> None:
    began_s = asyncio.get_running_loop().time()
    words = it.say(3)
    await until(lambda: it.words == words)
    assert it.heard[-3][0] - began_s >= 0.15


async def _jittery(it: Street, until: Until) -> None:
    words = [word for _ in range(20) for word in it.say()]
    await until(lambda: it.words == words)


async def _fewer(it: Street, until: Until) -> None:
    words = [word for _ in range(60) for word in it.say()]
    it.unit.heal()
    last = it.say()
    await until(lambda: it.words[-1:] == last)
    assert 10 < len(it.words) < 50
    assert set(it.words) < {*words, *last}


async def _swapped(it: Street, until: Until) -> None:
    (first,) = it.say()
    it.unit.heal()
    (second,) = it.say()
    await until(lambda: it.words == [second, first])


async def _doubled(it: Street, until: Until) -> None:
    (word,) = it.say()
    await until(lambda: it.words == [word, word])


async def _garbage_first(it: Street, until: Until) -> None:
    (word,) = it.say()
    await until(lambda: len(it.words) == 2)
    assert it.words[1] == word
    assert not it.words[0].isascii()


async def _bits_flipped(it: Street, until: Until) -> None:
    (word,) = it.say()
    await until(lambda: len(it.words) == 1)
    assert it.words[0] != word
    assert len(it.words[0]) == len(word)
    assert not it.words[0].isascii()


async def _half_a_packet(it: Street, until: Until) -> None:
    link = it.links[-1]
    it.say()
    await until(lambda: link.ended_s is not None and it.wills)
    assert b"home/probe".startswith(link.rest[5:15])
    assert 0 < len(link.rest) < len(BODY) + 16
    assert it.words == []


async def _narrow(it: Street, until: Until) -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    words = [word for _ in range(3) for word in it.say()]
    await until(lambda: it.words == words)
    # 2,000 bytes a second: each word takes its 60 ms, one behind the other.
    times = [at_s for at_s, topic, _ in it.heard if topic == "home/probe"]
    size_s = (len(BODY) + len("home/probe") - 1) / 2_000
    assert times[0] - began_s >= size_s * 0.9
    assert times[2] - began_s >= 3 * size_s * 0.9


async def _in_pieces(it: Street, until: Until) -> None:
    link = it.links[-1]
    before, began_s = len(link.pieces), asyncio.get_running_loop().time()
    words = it.say()
    await until(lambda: it.words == words)
    assert len(link.pieces) - before >= 4
    assert link.pieces[-1] - began_s >= 0.2


async def _resets(it: Street, until: Until) -> None:
    await until(lambda: sum(link.reset for link in it.links) >= 3)
    await until(lambda: len(it.wills) >= 3)


async def _nothing_at_all(it: Street, until: Until) -> None:
    """Nothing, not even a ping or an end, until the broker has waited long enough."""
    link, began_s = it.links[-1], asyncio.get_running_loop().time()
    said = len(link.up)
    it.say()
    await until(lambda: it.wills)
    assert it.wills[0] - began_s >= GIVEN_UP_S - KEEPALIVE_S
    assert (len(link.up), link.reset, it.words, len(it.links)) == (said, False, [], 1)


async def _mute_and_alive(it: Street, until: Until) -> None:
    link = it.links[-1]
    it.say()
    await until(lambda: any(isinstance(one, mqtt311.PingReq) for one in link.packets))
    assert (it.words, it.wills, len(it.links)) == ([], [], 1)


async def _babbles(it: Street, until: Until) -> None:
    it.unit.act("leave")
    await until(lambda: len(it.heard) > 30)


async def _gone_at_once(it: Street, until: Until) -> None:
    began_s = asyncio.get_running_loop().time()
    await until(lambda: it.wills)
    assert it.wills[0] - began_s < GIVEN_UP_S
    assert mqtt311.Disconnect() not in it.links[0].packets
    await asyncio.sleep(0.3)  # it would be back by now, if it could
    assert len(it.links) == 1


async def _taken_over_again_and_again(it: Street, until: Until) -> None:
    await until(lambda: it.connects >= 6 and len(it.wills) >= 2)


async def _cut_again_and_again(it: Street, until: Until) -> None:
    await until(lambda: it.connects >= 4 and len(it.wills) >= 3)


CASES: Final[Mapping[str, tuple[Seen, Mapping[str, float]]]] = {
    "latency": (_late, {"latency_ms": 150}),
    "jitter": (_jittery, {"jitter_ms": 60}),
    "loss": (_fewer, {"probability": 0.5}),
    "reorder": (_swapped, {"probability": 1.0, "hold_ms": 100}),
    "duplicate": (_doubled, {}),
    "truncate": (_half_a_packet, {"probability": 1.0}),
    "corrupt": (_bits_flipped, {"probability": 1.0}),
    "malformed": (_garbage_first, {}),
    "bandwidth": (_narrow, {"kbit_per_s": 16.0}),
    "slow_drip": (_in_pieces, {"bytes_per_s": 400.0}),
    "reset": (_resets, {"every_ms": 150}),
    "half_open": (_nothing_at_all, {}),
    "partition": (_nothing_at_all, {"apart_ms": 100}),
    "silence": (_mute_and_alive, {}),
    "hang": (_mute_and_alive, {}),
    "flood": (_babbles, {"rate_factor": 1e6}),
    "power_cut": (_gone_at_once, {"return_ms": 100}),
    "will_storm": (_gone_at_once, {"return_ms": 100}),
    "reconnect_storm": (_cut_again_and_again, {"cut_every_ms": 300}),
    "duplicate_client_id": (_taken_over_again_and_again, {"every_ms": 300}),
}


def test_every_kind_that_befalls_a_link_has_a_case() -> None:
    assert set(CASES) == {
        name
        for name, kind in FAULTS.items()
        if kind.family in (Family.WIRE, Family.MQTT) and kind.strikes is Strikes.LINK
    }


@pytest.mark.parametrize("kind", CASES)
async def test_it_is_seen_on_the_wire_and_it_heals(kind: str, eventually: Until) -> None:
    seen, settings = CASES[kind]
    async with street() as it:
        await eventually(lambda: it.unit.up)
        words = it.say()
        await eventually(lambda: it.words == words)
        it.heard.clear()

        it.unit.strike(make(kind, settings))
        await seen(it, eventually)
        it.unit.heal()

        await eventually(lambda: it.unit.up and it.unit.waits is None)
        # What ends by a reconnect does so within a second: it is over when a word comes through.
        await eventually(lambda: _comes_through(it, eventually))
        it.heard.clear()
        words = it.say(3)
        await eventually(lambda: it.words == words)


async def _comes_through(it: Street, until: Until) -> bool:
    (word,) = it.say()
    with contextlib.suppress(pytest.fail.Exception):
        await until(lambda: it.words[-1:] == [word], within_s=0.2)
        return True
    return False
