"""The fault proxy before real servers that speak MQTT, HTTP and TLS, and their real clients."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import aiohttp
import aiomqtt
import pytest
import trustme
from aiohttp import web
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fleet_sim.proxy import orders
from fleet_sim.proxy.proxies import Proxies
from fleet_sim.proxy.proxy import Proxy

SOON_S: Final = 10.0
VERSIONS: Final = (aiomqtt.ProtocolVersion.V311, aiomqtt.ProtocolVersion.V5)


@pytest.fixture
async def events() -> list[dict[str, Any]]:
    """What the proxies tell."""
    return []


@pytest.fixture
async def before(events) -> AsyncIterator[Callable[..., Any]]:
    """`await before(port)` is a proxy before that port of loopback."""
    proxies = Proxies(1, lambda event, **more: events.append({"event": event, **more}))

    async def make(port: int | str, **more: Any) -> Proxy:
        name = f"p{len(proxies.all)}"
        fields = {"name": name, "upstream": f"127.0.0.1:{port}", **more}
        return await proxies.add(orders.proxy(fields))

    yield make
    await proxies.end()


def put(proxy: Proxy, kind: str, stream: str = "downstream", **settings: Any) -> str:
    """Add a toxic; its name."""
    placed = orders.toxic({"type": kind, "stream": stream, "attributes": settings})
    proxy.put(placed)
    return placed.name


def port_of(proxy: Proxy) -> int:
    return orders.address(proxy.fields.listen)[1]


# --- MQTT: both brokers, both versions, a client that is none of ours ----------------------------


@pytest.fixture
async def mqtt(before, broker_url: str) -> Proxy:
    """A proxy before a broker."""
    return await before(broker_url.rpartition(":")[2])


def client(proxy: Proxy, version: aiomqtt.ProtocolVersion = VERSIONS[0]) -> aiomqtt.Client:
    return aiomqtt.Client("127.0.0.1", port_of(proxy), protocol=version)


async def heard(at: aiomqtt.Client, count: int) -> list[bytes]:
    """The next payloads."""
    found: list[bytes] = []
    async with asyncio.timeout(SOON_S):
        async for message in at.messages:
            found.append(bytes(message.payload))
            if len(found) == count:
                break
    return found


@pytest.mark.parametrize("version", VERSIONS, ids=["3.1.1", "5"])
async def test_packets_are_struck_by_topic_on_a_connection_that_is_open(mqtt, version) -> None:
    async with client(mqtt, version) as one:
        await one.subscribe("#", qos=1)
        await one.publish("a/1", b"before", qos=1)
        assert await heard(one, 1) == [b"before"]

        drop = put(mqtt, "mqtt_drop", topic="a/#")
        twice = put(mqtt, "mqtt_duplicate", topic="b/#")
        for topic in ("a/1", "b/1", "c/1"):
            await one.publish(topic, topic.encode(), qos=1)
        assert await heard(one, 3) == [b"b/1", b"b/1", b"c/1"]

        mqtt.take_away((drop, twice), "the test")
        await one.publish("a/1", b"after", qos=1)
        assert await heard(one, 1) == [b"after"]


async def test_packets_come_late_and_in_another_order(mqtt) -> None:
    async with client(mqtt) as one:
        await one.subscribe("#")
        name = put(mqtt, "mqtt_reorder", topic="a/#", hold=5_000)
        for number in range(4):
            await one.publish("a/1", b"%d" % number)
        assert await heard(one, 4) == [b"1", b"0", b"3", b"2"]

        mqtt.take_away((name,), "the test")
        put(mqtt, "mqtt_delay", topic="a/#", delay=500)
        await one.publish("a/1", b"late")
        await one.publish("b/1", b"not late")
        assert await heard(one, 2) == [b"not late", b"late"]


async def test_a_corrupt_payload_still_arrives(mqtt) -> None:
    async with client(mqtt) as one:
        await one.subscribe("#")
        put(mqtt, "mqtt_corrupt", "upstream", bytes=2)
        await one.publish("a/1", bytes(50))

        (found,) = await heard(one, 1)

    assert len(found) == 50
    assert 1 <= sum(map(bool, found)) <= 2


async def test_a_lost_acknowledgement_makes_the_message_come_again(mqtt, eventually) -> None:
    async with client(mqtt) as one:
        await one.subscribe("#", qos=1)
        name = put(mqtt, "mqtt_drop", packets="puback")

        with pytest.raises(aiomqtt.MqttError):  # no acknowledgement came within its time
            await one.publish("a/1", b"once or more", qos=1, timeout=0.5)
        assert await heard(one, 1) == [b"once or more"]

        mqtt.take_away((name,), "the test")
        await one.publish("a/1", b"acknowledged", qos=1, timeout=SOON_S)


@pytest.mark.parametrize("version", VERSIONS, ids=["3.1.1", "5"])
async def test_a_subscription_is_refused_and_the_broker_never_hears_of_it(mqtt, version) -> None:
    async with client(mqtt, version) as one:
        put(mqtt, "mqtt_refuse_subscribe", "upstream", topic="a/#")

        refused = await one.subscribe([("a/1", 1), ("b/1", 1)])
        granted = await one.subscribe("b/2", qos=1)

        assert [getattr(code, "value", code) for code in refused] == [0x80, 0x80]
        assert [getattr(code, "value", code) for code in granted] == [1]
        for topic in ("a/1", "b/1", "b/2"):
            await one.publish(topic, topic.encode(), qos=1)
        assert await heard(one, 1) == [b"b/2"]


async def test_a_topic_alias_is_understood(before, mosquitto) -> None:
    proxy = await before(mosquitto().port)
    put(proxy, "mqtt_drop", "upstream", topic="a/#")
    alias = Properties(PacketTypes.PUBLISH)
    alias.TopicAlias = 1
    async with client(proxy, VERSIONS[1]) as one:
        await one.subscribe("#")
        await one.publish("a/1", b"dropped", properties=alias)
        await one.publish("b/1", b"heard")

        assert await heard(one, 1) == [b"heard"]


async def test_a_half_open_connection_lives_until_the_keepalive_finds_out(before, embedded) -> None:
    proxy = await before(embedded.port)

    async def listen() -> None:
        async with aiomqtt.Client("127.0.0.1", port_of(proxy), keepalive=1) as one:
            for stream in ("upstream", "downstream"):
                put(proxy, "half_open", stream)
            async with asyncio.timeout(SOON_S):
                await anext(aiter(one.messages))

    with pytest.raises(aiomqtt.MqttError):
        await listen()


# --- HTTP ----------------------------------------------------------------------------------------


class Server:
    """A real HTTP server, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        app = web.Application()
        app.router.add_route("*", "/ws", self._ws)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        await request.read()
        if request.path != "/chunked":
            return web.json_response({"state": 1, "name": "front door"})
        reply = web.StreamResponse()
        await reply.prepare(request)
        for part in (b'{"sta', b'te": 1}'):
            await reply.write(part)
        await reply.write_eof()
        return reply

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data[::-1])
        return socket

    async def start(self) -> int:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self) -> None:
        await self._runner.cleanup()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    yield made
    await made.stop()


@pytest.fixture
async def http(server, before) -> Proxy:
    """A proxy before an HTTP server."""
    return await before(await server.start())


@pytest.fixture
async def session(http) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the proxy, with one connection that is kept alive."""
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{port_of(http)}",
        connector=aiohttp.TCPConnector(limit=1),
        timeout=aiohttp.ClientTimeout(SOON_S),
    ) as made:
        yield made


async def test_a_server_is_never_asked_while_the_proxy_answers(
    http, server, session, events
) -> None:
    async with session.get("/state") as reply:
        assert reply.status == 200

    name = put(http, "http_answer", "upstream", status=429, retry_after=7, path="/state*")
    async with session.post("/state?id=1", data=b"x" * 100_000) as reply:
        assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
    async with session.head("/state") as reply:
        assert reply.status == 429
    async with session.get("/other") as reply:
        assert reply.status == 200
    http.take_away((name,), "the test")
    async with session.get("/state") as reply:
        assert await reply.json() == {"state": 1, "name": "front door"}

    assert server.asked == ["GET /state", "GET /other", "GET /state"]
    assert len([each for each in events if each["event"] == "link_opened"]) == 1


async def test_a_json_field_is_another_in_whole_and_chunked_bodies(http, session) -> None:
    put(http, "http_json", field="/state", value=254)

    async with session.get("/state") as reply:
        assert await reply.json() == {"state": 254, "name": "front door"}
    async with session.get("/chunked") as reply:
        assert await reply.json(content_type=None) == {"state": 254}


async def test_a_truncated_body_is_noticed_by_the_client(http, session) -> None:
    name = put(http, "http_truncate", bytes=5)
    with pytest.raises(aiohttp.ClientPayloadError):
        async with session.get("/state") as reply:
            await reply.read()

    http.take_away((name,), "the test")
    async with session.get("/state") as reply:
        assert (await reply.json())["state"] == 1


async def test_a_websocket_passes_a_proxy_that_reads_http(http, session) -> None:
    put(http, "http_json", field="/state", value=254)

    async with session.ws_connect("/ws") as socket:
        for text in ("abc", "GET / HTTP/1.1\r\n\r\n" * 100):
            await socket.send_str(text)
            assert await socket.receive_str(timeout=SOON_S) == text[::-1]


# --- TLS -----------------------------------------------------------------------------------------


async def test_tls_passes_with_its_own_certificate_and_shows_whom_it_asks_for(
    before, events, eventually
) -> None:
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("bridge.example").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1000):
                writer.write(data)
        writer.close()

    listening = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=theirs)
    proxy = await before(listening.sockets[0].getsockname()[1])
    put(proxy, "slicer", "upstream", average_size=50, size_variation=20)
    # What reads other protocols has nothing to read here.
    put(proxy, "mqtt_drop")
    put(proxy, "http_json")

    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port_of(proxy), ssl=ours, server_hostname="bridge.example"
    )
    writer.write(b"secret" * 1000)
    async with asyncio.timeout(SOON_S):
        assert await reader.readexactly(6000) == b"secret" * 1000
    writer.close()
    listening.close()

    (hello,) = [each for each in events if each["event"] == "tls_hello"]
    assert hello["server_name"] == "bridge.example"
    await eventually(lambda: [each for each in events if each["event"] == "link_closed"])
