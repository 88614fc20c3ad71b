"""Each kind of the family mqtt that is no device's link: a cell's session, or the broker itself.

In simulated time with the gateway's own cell; and on sockets, where a broker of this process is
broken under plain clients. What befalls devices' own links is in `test_wire.py`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from fleet_sim.act import Act
from fleet_sim.broker.core import Broker
from fleet_sim.broker.tcp import TcpBroker
from fleet_sim.faults import mqtt
from fleet_sim.faults.kind import Strikes
from fleet_sim.ground.broker import BrokerFaults, devices_client
from gateway.app import make_cell, parse
from vendors.wire import mqtt311

BEGINS_S: Final = 120.0
ENDS_S: Final = 240.0
OVER_S: Final = 480.0
#: When the broker was looked at: before, at the end, and long after it.
BEFORE, MEANWHILE, AFTER = BEGINS_S - 1, ENDS_S - 1, OVER_S - 1
STRUCK: Final = "ratgdo"
TOPICS: Final = "home/garage/+/status/#"
#: What a cell says of itself that may not subscribe.
DEAF: Final = f"vendor: connected, but without {TOPICS} (SUBACK 0x87 not authorized)"
COMMANDS: Final = f"doorfleet/v1/home/{STRUCK}/+/command"
NO_COMMANDS: Final = f"sink mqtt: connected, but without {COMMANDS} (SUBACK 0x87 not authorized)"
#: The longest wait of its backoff, and a look at itself.
ASKS_WITHIN_S: Final = 32.0

Seen = Callable[[Any, Any], bool]


def look(core: Broker) -> Mapping[str, Any]:
    """What an operator of the broker sees of the cell."""
    session = core.sessions.get(devices_client(STRUCK))
    return {
        "retained": len(list(core.retained.find(TOPICS))),
        "connected": session is not None and session.link is not None,
        "subscribed": 0 if session is None else len(session.subscriptions),
        "queued": 0 if session is None else session.queued,
        "link": None if session is None else session.link,
    }


def events(life: Any, begins_s: float = BEGINS_S + 1, ends_s: float = ENDS_S) -> list[float]:
    return [at_s for at_s in life.events if begins_s <= at_s < ends_s]


def well(life: Any, unhurt: Any, *, at_s: float) -> bool:
    """Connected and subscribed, nothing queues, something is retained, and events come."""
    now = life.looks[at_s]
    tells = events(life, at_s - 100, at_s)
    return (
        all(now[each] for each in ("connected", "subscribed", "retained"))
        and not now["queued"]
        and len(tells) == len(events(unhurt, at_s - 100, at_s)) > 10
    )


def nothing_retained(life: Any, unhurt: Any) -> bool:
    now = life.looks[MEANWHILE]
    heard = events(life) == events(unhurt)  # whoever is subscribed hears all
    return heard and now["connected"] and not now["retained"]


def cut_off_and_forgotten(life: Any, unhurt: Any) -> bool:
    now = life.looks[MEANWHILE]
    return not (now["connected"] or now["subscribed"]) and not events(life) and bool(events(unhurt))


def deaf_until_it_is_let_hear_on_the_same_link(life: Any, unhurt: Any) -> bool:
    now, later = life.looks[MEANWHILE], life.looks[AFTER]
    deaf = now["connected"] and not now["subscribed"] and not events(life) and bool(events(unhurt))
    return deaf and now["link"] is later["link"] and knows_that_it_is_deaf(life)


def knows_that_it_is_deaf(life: Any) -> bool:
    """The cell says so, names the filter and the code, and says when it is over."""
    told = [
        (change["at_s"], change["state"], change["reason"])
        for change in life.result["health"]
        if change["cell"] == STRUCK and BEGINS_S <= change["at_s"] <= OVER_S
    ]
    begun_s, state, reason = told[0]
    healed_s, *healed = told[-1]
    return (
        len(told) == 2
        and begun_s - BEGINS_S <= 2
        and (state, reason) == ("degraded", DEAF)
        and 0 <= healed_s - ENDS_S <= ASKS_WITHIN_S
        and healed == ["up", ""]
    )


def queued_and_told_at_the_end(life: Any, unhurt: Any) -> bool:
    late = events(life, ENDS_S, ENDS_S + 1)
    return (
        life.looks[MEANWHILE]["queued"] > 10
        and not events(life)
        and len(late) >= len(events(unhurt, BEGINS_S, ENDS_S))
    )


def gone_and_back(*, knows: bool) -> Seen:
    def seen(life: Any, unhurt: Any) -> bool:
        (cut_s, _), (back_s, present) = life.cuts
        quiet = not [frame for frame in life.frames if BEGINS_S < frame.at_s < ENDS_S]
        return (
            cut_s == BEGINS_S
            and 0 <= back_s - ENDS_S <= 1
            and quiet
            and present is knows
            and bool(life.looks[MEANWHILE]["retained"]) is knows
            and bool(unhurt.within())
        )

    return seen


CASES: Final[Mapping[str, Seen]] = {
    "retained_lost": nothing_retained,
    "session_lost": cut_off_and_forgotten,
    "subscription_refused": deaf_until_it_is_let_hear_on_the_same_link,
    "slow_consumer": queued_and_told_at_the_end,
    "broker_restart": gone_and_back(knows=True),
    "broker_amnesia": gone_and_back(knows=False),
}


def test_every_kind_that_befalls_no_link_has_a_case() -> None:
    others = {name for name, kind in mqtt.KINDS.items() if kind.strikes is not Strikes.LINK}

    assert others == set(CASES)
    assert others == set(SOCKETS)


@pytest.mark.parametrize("kind", CASES)
def test_it_is_seen_while_it_lasts_and_it_heals(
    kind: str, live: Callable[..., Any], undisturbed: Any, sins: Callable[[Any], Any]
) -> None:
    life = live(kind, {}, look)

    assert CASES[kind](life, undisturbed)
    assert well(life, undisturbed, at_s=BEFORE)
    assert well(life, undisturbed, at_s=AFTER)
    assert life.healed == undisturbed.healed
    if mqtt.KINDS[kind].strikes is Strikes.VENDOR:
        assert life.beside == undisturbed.beside
    assert list(sins(life)) == []


# --- on sockets -----------------------------------------------------------------------------------


class Client:
    """A plain MQTT 3.1.1 client, by hand."""

    def __init__(self, name: str, port: int, *, clean: bool = False) -> None:
        self._name = name
        self._port = port
        self._clean = clean
        self._buffer = b""

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[mqtt311.ConnAck]:
        self._buffer = b""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.say(mqtt311.Connect(client_id=self._name, clean_session=self._clean, keep_alive_s=60))
        answer = await self.next()
        assert isinstance(answer, mqtt311.ConnAck)
        try:
            yield answer
        finally:
            self._writer.close()

    def say(self, packet: mqtt311.Packet) -> None:
        self._writer.write(mqtt311.encode(packet))

    async def next(self, within_s: float = 5.0) -> mqtt311.Packet | None:
        """The next packet; None if the broker hung up."""
        async with asyncio.timeout(within_s):
            while True:
                found = mqtt311.read(self._buffer, 0, packet_max=65_536)
                if found is not None:
                    self._buffer = self._buffer[found[1] :]
                    return found[0]
                try:
                    data = await self._reader.read(4_096)
                except ConnectionError:
                    return None  # with something of ours unread
                if not data:
                    return None
                self._buffer += data

    async def subscribe(self, topic: str) -> tuple[int, ...]:
        self.say(mqtt311.Subscribe(packet_id=1, filters=((topic, 1),)))
        answer = await self.next()
        assert isinstance(answer, mqtt311.SubAck)
        return answer.codes

    async def is_silent(self, for_s: float = 0.2) -> bool:
        try:
            return await self.next(for_s) is None
        except TimeoutError:
            return True


class Street:
    """A broker on a port with a board and a cell, which has heard of the board once."""

    def __init__(self, broker: TcpBroker) -> None:
        self.faults = BrokerFaults(broker, spared=("board",))
        self.board = Client("board", broker.port)
        self.cell = Client(devices_client(STRUCK), broker.port)
        self.late = Client("stranger", broker.port, clean=True)

    def tell(self, word: bytes) -> None:
        topic = "home/garage/d/status/door"
        self.board.say(mqtt311.Publish(topic, word, qos=1, retain=True, packet_id=7))

    async def hears(self, word: bytes) -> bool:
        packet = await self.cell.next()
        if isinstance(packet, mqtt311.Publish) and packet.qos:
            self.cell.say(mqtt311.PubAck(packet_id=packet.packet_id))
        return isinstance(packet, mqtt311.Publish) and packet.payload == word

    async def finds(self) -> mqtt311.Packet | None:
        """What a stranger finds retained."""
        async with self.late.connected():
            assert await self.late.subscribe(TOPICS) == (1,)
            with contextlib.suppress(TimeoutError):
                return await self.late.next(0.2)
            return None


async def _retained_is_lost(it: Street, act: Act) -> None:
    async with it.cell.connected():
        await it.cell.subscribe(TOPICS)
        assert await it.hears(b"open")
        it.faults.begin(act)
        assert await it.finds() is None
        it.tell(b"closed")
        assert await it.hears(b"closed")
        assert await it.finds() is None
        it.faults.end(act)
        it.tell(b"open")
        assert await it.hears(b"open")
        assert await it.finds() is not None


async def _session_is_lost(it: Street, act: Act) -> None:
    async with it.cell.connected():
        await it.cell.subscribe(TOPICS)
        assert await it.hears(b"open")
        it.faults.begin(act)
        assert await it.cell.next() is None
    async with it.cell.connected() as answer:
        assert answer.code
    it.faults.end(act)
    async with it.cell.connected() as answer:
        assert (answer.code, answer.session_present) == (0, False)
        it.tell(b"closed")
        assert await it.cell.is_silent()


async def _subscription_is_refused(it: Street, act: Act) -> None:
    async with it.cell.connected():
        await it.cell.subscribe(TOPICS)
        assert await it.hears(b"open")
        it.faults.begin(act)
        assert await it.cell.next() is None
    async with it.cell.connected() as answer:
        assert answer.code == 0
        assert await it.cell.subscribe(TOPICS) == (0x80,)
        it.tell(b"closed")
        assert await it.cell.is_silent()
        it.faults.end(act)
        assert await it.cell.is_silent()  # nobody tells it
        assert await it.cell.subscribe(TOPICS) == (1,)
        assert await it.hears(b"closed")


async def _consumer_is_slow(it: Street, act: Act) -> None:
    async with it.cell.connected():
        await it.cell.subscribe(TOPICS)
        assert await it.hears(b"open")
        it.faults.begin(act)
        for word in (b"1", b"2", b"3"):
            it.tell(word)
        assert await it.cell.is_silent()
        it.faults.end(act)
        assert [await it.hears(word) for word in (b"1", b"2", b"3")] == [True] * 3


async def _broker_restarts(it: Street, act: Act) -> None:
    await _goes_and_comes(it, act, knows=True)


async def _broker_forgets(it: Street, act: Act) -> None:
    await _goes_and_comes(it, act, knows=False)


async def _goes_and_comes(it: Street, act: Act, *, knows: bool) -> None:
    async with it.cell.connected():
        await it.cell.subscribe(TOPICS)
        assert await it.hears(b"open")
        it.faults.begin(act)
        assert await it.cell.next() is None
    async with it.late.connected() as answer:
        assert answer.code
    it.faults.end(act)
    async with it.cell.connected() as answer:
        assert (answer.code, answer.session_present) == (0, knows)
    assert (await it.finds() is not None) is knows


SOCKETS: Final = {
    "retained_lost": _retained_is_lost,
    "session_lost": _session_is_lost,
    "subscription_refused": _subscription_is_refused,
    "slow_consumer": _consumer_is_slow,
    "broker_restart": _broker_restarts,
    "broker_amnesia": _broker_forgets,
}


@pytest.mark.parametrize("kind", SOCKETS)
async def test_plain_clients_on_sockets_see_it_too(kind: str) -> None:
    whose = {"vendor": STRUCK} if mqtt.KINDS[kind].strikes is Strikes.VENDOR else {}
    act = Act.model_validate({"at": 0, "for": 1, "fault": kind, **whose})
    async with TcpBroker() as broker:
        it = Street(broker)
        async with it.board.connected():
            it.tell(b"open")
            assert isinstance(await it.board.next(), mqtt311.PubAck)
            await SOCKETS[kind](it, act)


# --- the cell on sockets --------------------------------------------------------------------------

HEALTH: Final = f"doorfleet/v1/home/gateway/{STRUCK}/health"
ITS_DEVICES: Final = devices_client(STRUCK)
ITS_BUS: Final = f"doorfleet-home-{STRUCK}"


def said(core: Broker, topic: str) -> Mapping[str, Any]:
    """The last that a cell of ours published there."""
    body = b"{}"
    for message in core.retained.find(topic):
        body = bytes(message.payload)
    document: Mapping[str, Any] = orjson.loads(body)
    return document


@contextlib.asynccontextmanager
async def cell_refused(folder: Path, client: str) -> AsyncIterator[TcpBroker]:
    """A broker that lets this one client of a cell subscribe to nothing, and the cell."""
    async with TcpBroker() as broker, asyncio.TaskGroup() as tasks:
        broker.core.unauthorized.add(client)
        link = {
            "url": f"mqtt://127.0.0.1:{broker.port}",
            "backoff_base_ms": 10,
            "backoff_max_ms": 200,
        }
        config = parse(
            {
                "site": "home",
                "state_dir": str(folder),
                "bus": [{"kind": "mqtt", **link}],
                "cells": [{"vendor": STRUCK, "settings": link}],
            }
        )
        running = tasks.create_task(make_cell(config, config.cells[0]).run())
        yield broker
        running.cancel()


@pytest.mark.parametrize(
    ("client", "trouble"),
    [
        pytest.param(ITS_DEVICES, DEAF, id="its devices"),
        pytest.param(ITS_BUS, NO_COMMANDS, id="commands"),
    ],
)
async def test_a_cell_on_sockets_says_what_it_is_not_let_hear(
    tmp_path: Path, eventually: Callable[..., Awaitable[None]], client: str, trouble: str
) -> None:
    """Refused from its start, and let in while it is connected; what it hears it tells."""
    async with cell_refused(tmp_path, client) as broker:
        core = broker.core
        await eventually(lambda: said(core, HEALTH).get("reason") == trouble)
        state, link = said(core, HEALTH)["state"], core.sessions[client].link
        board = Client("board", broker.port)
        async with board.connected():
            topic = "home/garage/d/status/door"
            board.say(mqtt311.Publish(topic, b"open", qos=1, retain=True, packet_id=7))
            await board.next()

        core.unauthorized.clear()

        await eventually(lambda: said(core, HEALTH)["state"] == "up")
        await eventually(lambda: said(core, f"doorfleet/v1/home/{STRUCK}/d/state").get("axes"))
        assert state == "degraded"
        assert core.sessions[client].link is link


async def test_a_cell_that_may_not_hear_commands_takes_back_its_will_all_the_same(
    tmp_path: Path, eventually: Callable[..., Awaitable[None]]
) -> None:
    """It is back before it has looked at itself, so that its health is no other than before."""
    async with cell_refused(tmp_path, ITS_BUS) as broker:
        core = broker.core
        await eventually(lambda: said(core, HEALTH).get("reason") == NO_COMMANDS)

        core.disconnect(asyncio.get_running_loop().time(), ITS_BUS)
        broker.kick()
        will = said(core, HEALTH)["state"]

        await eventually(lambda: said(core, HEALTH).get("reason") == NO_COMMANDS)
        assert will == "down"
