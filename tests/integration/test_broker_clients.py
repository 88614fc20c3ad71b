"""One suite over two brokers, ours on TCP and Mosquitto, as clients that we did not write see them.

`aiomqtt` (on paho) speaks both versions, and `mosquitto_sub` and `mosquitto_pub` are C. What they
cannot be made to say (a death without a word, an acknowledgement that never comes, rubbish) is
said over a plain socket.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiomqtt
import mqtt5
import pytest
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from fleet_sim.broker.limits import Limits
from fleet_sim.broker.tcp import TcpBroker
from vendors.wire import mqtt311

HOST = "127.0.0.1"
V311, V5 = aiomqtt.ProtocolVersion.V311, aiomqtt.ProtocolVersion.V5
BOTH_VERSIONS = pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
WITHIN_S = 10.0
# Before it panics over invalid UTF-8, the codec reports the UnicodeDecodeError as unraisable.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(params=["embedded", "mosquitto"])
async def port(request: pytest.FixtureRequest) -> AsyncIterator[int]:
    """Where a broker listens: ours, then the other one."""
    if request.param == "mosquitto":
        yield request.getfixturevalue("mosquitto")().port
        return
    async with TcpBroker() as broker:
        yield broker.port


@pytest.fixture
async def embedded() -> AsyncIterator[TcpBroker]:
    async with TcpBroker(limits=Limits(packet_max_bytes=100_000, out_max_bytes=200_000)) as broker:
        yield broker


def client(port: int, version: aiomqtt.ProtocolVersion = V5, **options: Any) -> aiomqtt.Client:
    return aiomqtt.Client(HOST, port, protocol=version, timeout=WITHIN_S, **options)


async def take(who: aiomqtt.Client, count: int) -> list[aiomqtt.Message]:
    """The next messages, of which there must be so many in time."""
    async with asyncio.timeout(WITHIN_S):
        return [await anext(who.messages) for _ in range(count)]


async def hush(who: aiomqtt.Client, port: int, last: str) -> list[bytes]:
    """What comes before a last word that we say ourselves: proof that nothing else does."""
    async with client(port) as other:
        await other.publish(last, b"last", qos=1)
    seen = []
    async with asyncio.timeout(WITHIN_S):
        async for message in who.messages:
            if message.payload == b"last":
                return seen
            seen.append(message.payload)
    raise AssertionError("the last word never came")


def properties(packet: int, **values: Any) -> Properties:
    made = Properties(packet)
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Wire:
    """A plain socket that speaks packets."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, port: int, hello: Any = None) -> AsyncIterator["Wire"]:
        wire = cls(4 if isinstance(hello, mqtt311.Connect) else 5)
        wire.reader, wire.writer = await asyncio.open_connection(HOST, port)
        try:
            if hello is not None:
                wire.send(hello)
                wire.greeting = await wire.next()
            yield wire
        finally:
            wire.die()
            with contextlib.suppress(ConnectionError):
                await wire.writer.wait_closed()

    def send(self, *packets: Any) -> None:
        for packet in packets:
            raw = packet if isinstance(packet, bytes) else None
            raw = raw or (packet.write() if self.version == 5 else mqtt311.encode(packet))
            self.writer.write(raw)

    async def next(self) -> Any:
        """The next packet, or None at the end."""
        async with asyncio.timeout(WITHIN_S):
            try:
                raw = await self.reader.readexactly(2)
                while raw[-1] & 0x80:
                    raw += await self.reader.readexactly(1)
                size = sum((byte & 0x7F) << 7 * at for at, byte in enumerate(raw[1:]))
                raw += await self.reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
        return mqtt5.read(memoryview(raw))[0] if self.version == 5 else mqtt311.read(raw)[0]

    async def end(self) -> list[Any]:
        """All that still comes before the broker closes."""
        packets = []
        while (packet := await self.next()) is not None:
            packets.append(packet)
        return packets

    def die(self) -> None:
        """Vanish without a word."""
        self.writer.transport.abort()


# Messages


@BOTH_VERSIONS
async def test_messages_of_every_quality_come_once_and_in_order(port, version):
    async with client(port, version) as hears, client(port, version) as says:
        await hears.subscribe("a/#", qos=2)
        for number in range(60):
            await says.publish(f"a/{number % 7}", b"%d" % number, qos=number % 3)

        got = await take(hears, 60)

    # Mosquitto lets QoS 0 overtake what waits for its window: order is promised per quality.
    for qos in range(3):
        numbers = [int(message.payload) for message in got if message.qos == qos]
        assert numbers == list(range(qos, 60, 3))


@BOTH_VERSIONS
async def test_retained_messages_wait_and_are_forgotten_on_demand(port, version):
    async with client(port, version) as says:
        await says.publish("kept", b"x", qos=1, retain=True)
        await says.publish("gone", b"x", qos=1, retain=True)
        await says.publish("gone", b"", qos=1, retain=True)
    async with client(port, version) as hears:
        await hears.subscribe("+", qos=1)
        (kept,) = await take(hears, 1)
        assert await hush(hears, port, "last") == []

    assert (kept.topic.value, kept.payload, kept.retain) == ("kept", b"x", True)


async def test_retain_options_are_kept(port):
    async with client(port) as says, client(port) as hears:
        await says.publish("r", b"old", qos=1, retain=True)
        await hears.subscribe(
            "r", options=SubscribeOptions(1, retainAsPublished=True, retainHandling=2)
        )
        await says.publish("r", b"new", qos=1, retain=True)
        (new,) = await take(hears, 1)

        await hears.subscribe("r", options=SubscribeOptions(1, retainHandling=1))
        assert await hush(hears, port, "r") == []

    assert (new.payload, new.retain) == (b"new", True)


async def test_request_and_response(port):
    async def serve(server: aiomqtt.Client) -> None:
        (request,) = await take(server, 1)
        asked = request.properties
        answer = properties(
            PacketTypes.PUBLISH,
            CorrelationData=asked.CorrelationData,
            ContentType=asked.ContentType,
            UserProperty=asked.UserProperty,
        )
        text = request.payload.upper()
        await server.publish(asked.ResponseTopic, text, qos=1, properties=answer)

    async with client(port) as server, client(port) as asker:
        await server.subscribe("service", qos=1)
        await asker.subscribe("answers/me", qos=1)
        serving = asyncio.create_task(serve(server))
        await asker.publish(
            "service",
            b"question",
            qos=1,
            properties=properties(
                PacketTypes.PUBLISH,
                ResponseTopic="answers/me",
                CorrelationData=b"\x00\x01\xff",
                ContentType="text/plain",
                UserProperty=[("a", "1"), ("a", "2")],
            ),
        )
        (answer,) = await take(asker, 1)
        await serving

    assert answer.payload == b"QUESTION"
    assert answer.properties.CorrelationData == b"\x00\x01\xff"
    assert answer.properties.ContentType == "text/plain"
    assert answer.properties.UserProperty == [("a", "1"), ("a", "2")]


async def test_no_local_and_subscription_identifiers(port):
    async with client(port) as both:
        await both.subscribe("mine", options=SubscribeOptions(1, noLocal=True))
        await both.subscribe(
            "all/#", qos=1, properties=properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=77)
        )
        await both.publish("mine", b"echo", qos=1)
        await both.publish("all/x", b"heard", qos=1)
        (heard,) = await take(both, 1)

    assert heard.payload == b"heard"
    assert heard.properties.SubscriptionIdentifier == [77]


async def test_a_topic_alias_of_a_publisher(port):
    async with client(port) as hears, client(port) as says:
        await hears.subscribe("long/topic", qos=1)
        alias = properties(PacketTypes.PUBLISH, TopicAlias=1)
        await says.publish("long/topic", b"1", qos=1, properties=alias)
        await says.publish("", b"2", qos=1, properties=alias)
        got = await take(hears, 2)

    assert [(message.topic.value, message.payload) for message in got] == [
        ("long/topic", b"1"),
        ("long/topic", b"2"),
    ]


async def test_a_shared_subscription_splits_the_work(port):
    async with client(port) as one, client(port) as two, client(port) as says:
        for member in (one, two):
            await member.subscribe("$share/group/work/#", qos=1)
        for number in range(40):
            await says.publish(f"work/{number % 3}", b"%d" % number, qos=1)

        for member in (one, two):
            await member.unsubscribe("$share/group/work/#")
            await member.subscribe("last", qos=1)
        shares = [[int(each) for each in await hush(member, port, "last")] for member in (one, two)]

    assert sorted(shares[0] + shares[1]) == list(range(40))
    assert shares[0]
    assert shares[1]
    assert all(share == sorted(share) for share in shares)


async def test_dollar_topics_are_not_for_wildcards(port):
    async with client(port) as hears, client(port) as named, client(port) as says:
        await hears.subscribe("#", qos=1)
        await named.subscribe("$odd/#", qos=1)
        await says.publish("$odd/x", b"x", qos=1)

        assert [message.payload for message in await take(named, 1)] == [b"x"]
        assert await hush(hears, port, "last") == []


# Sessions


async def comes_back(port: int, version: aiomqtt.ProtocolVersion, name: str) -> aiomqtt.Client:
    """A client that asks for the session of its name."""
    if version is V311:
        return client(port, version, identifier=name, clean_session=False)
    return client(
        port,
        version,
        identifier=name,
        clean_start=False,
        properties=properties(PacketTypes.CONNECT, SessionExpiryInterval=60),
    )


@BOTH_VERSIONS
async def test_a_session_keeps_what_was_said_meanwhile(port, version):
    name = f"keeper-{version}"
    async with await comes_back(port, version, name) as early:
        await early.subscribe("kept/#", qos=1)
    async with client(port, version) as says:
        for number in range(50):
            await says.publish("kept/x", b"%d" % number, qos=1)
    async with await comes_back(port, version, name) as late:
        got = await take(late, 50)

    assert [message.payload for message in got] == [b"%d" % number for number in range(50)]


async def test_a_clean_start_forgets_it(port):
    async with await comes_back(port, V5, "forgetful") as early:
        await early.subscribe("x", qos=1)
    async with client(port, identifier="forgetful", clean_start=MQTT_CLEAN_START_FIRST_ONLY):
        pass
    async with client(port) as says:
        await says.publish("x", b"lost", qos=1)
    async with await comes_back(port, V5, "forgetful") as late:
        await late.subscribe("y", qos=1)
        assert await hush(late, port, "y") == []


@pytest.mark.parametrize("version", [4, 5])
async def test_what_was_not_acknowledged_comes_again_marked(port, version):
    def hello() -> Any:
        if version == 4:
            return mqtt311.Connect("unsure", clean_session=False)
        return mqtt5.ConnectPacket("unsure", session_expiry_interval=60, receive_max=2)

    subscribe = {
        4: mqtt311.Subscribe(1, (("q", 1),)),
        5: mqtt5.SubscribePacket(1, [mqtt5.TopicFilter("q", max_qos=mqtt5.QoS(1))]),
    }[version]
    async with Wire.open(port, hello()) as wire, client(port) as says:
        wire.send(subscribe)
        await wire.next()
        for number in range(4):
            await says.publish("q", b"%d" % number, qos=1)
        first = [await wire.next() for _ in range(2)]
    async with Wire.open(port, hello()) as wire:
        again = []
        for _ in range(4):
            message = await wire.next()
            again.append(message)
            ack = mqtt311.PubAck if version == 4 else mqtt5.PubAckPacket
            wire.send(ack(message.packet_id))

    assert wire.greeting.session_present
    assert [message.payload for message in again] == [b"0", b"1", b"2", b"3"]
    assert [message.packet_id for message in again[:2]] == [each.packet_id for each in first]
    assert [message.duplicate for message in again[:2]] == [True, True]
    if version == 5:  # its receive maximum held the others back the first time
        assert [message.duplicate for message in again] == [True, True, False, False]


async def test_no_more_comes_at_once_than_the_receive_maximum(port):
    async with Wire.open(port, mqtt5.ConnectPacket("few", receive_max=2)) as wire:
        wire.send(mqtt5.SubscribePacket(1, [mqtt5.TopicFilter("q", max_qos=mqtt5.QoS(1))]))
        await wire.next()
        async with client(port) as says:
            for number in range(5):
                await says.publish("q", b"%d" % number, qos=1)
        got = [await wire.next() for _ in range(2)]
        wire.send(mqtt5.PingReqPacket())
        assert isinstance(await wire.next(), mqtt5.PingRespPacket)
        wire.send(mqtt5.PubAckPacket(got[0].packet_id))
        third = await wire.next()

    assert [message.payload for message in [*got, third]] == [b"0", b"1", b"2"]


async def test_the_size_that_a_client_takes_is_respected(port):
    async with Wire.open(port, mqtt5.ConnectPacket("small", max_packet_size=100)) as wire:
        wire.send(mqtt5.SubscribePacket(1, [mqtt5.TopicFilter("s")]))
        await wire.next()
        async with client(port) as says:
            await says.publish("s", b"x" * 200, qos=1)
            await says.publish("s", b"fits", qos=1)

        assert (await wire.next()).payload == b"fits"


async def test_what_expires_while_waiting_does_not_come(port):
    async with await comes_back(port, V5, "late") as early:
        await early.subscribe("e", qos=1)
    async with client(port) as says:
        for life_s, payload in ((1, b"stale"), (100, b"fresh")):
            await says.publish(
                "e",
                payload,
                qos=1,
                properties=properties(PacketTypes.PUBLISH, MessageExpiryInterval=life_s),
            )
    await asyncio.sleep(2.1)  # a whole second of life, counted in whole seconds
    async with await comes_back(port, V5, "late") as late:
        (fresh,) = await take(late, 1)

    assert fresh.payload == b"fresh"
    assert fresh.properties.MessageExpiryInterval < 100


async def test_the_second_of_one_name_takes_over(port, request):
    twin = mqtt5.ConnectPacket("twin", clean_start=True)
    async with Wire.open(port, twin) as first, Wire.open(port, twin) as second:
        goodbye = await first.end()
        second.send(mqtt5.PingReqPacket())
        assert isinstance(await second.next(), mqtt5.PingRespPacket)

    if "embedded" in request.node.callspec.id:  # Mosquitto 2.0.11 closes without a word
        assert [int(each.reason_code) for each in goodbye] == [0x8E]


# Wills


def mortal(version: int, **options: Any) -> Any:
    """CONNECT of one whose last words go to `wills`."""
    if version == 4:
        will = mqtt311.Will("wills", b"gone", 1)
        return mqtt311.Connect("mortal", keep_alive_s=options.get("keep_alive", 60), will=will)
    will = mqtt5.Will("wills", payload=b"gone", qos=mqtt5.QoS(1))
    return mqtt5.ConnectPacket("mortal", clean_start=True, will=will, **options)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("end", ["death", "silence", "rubbish", "takeover"])
async def test_a_will_is_said_for_those_who_could_not(port, version, end):
    async with client(port) as hears:
        await hears.subscribe("wills", qos=1)
        async with Wire.open(
            port, mortal(version, keep_alive=1 if end == "silence" else 60)
        ) as wire:
            if end == "death":
                wire.die()
            elif end == "rubbish":
                wire.send(b"\x00\x00")
            elif end == "takeover":
                async with client(port, identifier="mortal"):
                    pass
            (will,) = await take(hears, 1)

    assert (will.payload, will.qos) == (b"gone", 1)


@pytest.mark.parametrize("version", [4, 5])
async def test_a_polite_goodbye_says_no_will(port, version):
    async with client(port) as hears:
        await hears.subscribe("wills", qos=1)
        async with Wire.open(port, mortal(version)) as wire:
            wire.send(b"\xe0\x00")
            assert await wire.end() == []

        assert await hush(hears, port, "wills") == []


async def test_a_goodbye_may_ask_for_the_will(port):
    async with client(port) as hears:
        await hears.subscribe("wills", qos=1)
        async with Wire.open(port, mortal(5)) as wire:
            wire.send(b"\xe0\x01\x04")
            (will,) = await take(hears, 1)

    assert will.payload == b"gone"


# The command-line clients


async def run(*command: str, text: bytes = b"") -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            out, _ = await process.communicate(text)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out


@contextlib.asynccontextmanager
async def running(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
@pytest.mark.parametrize("qos", ["0", "1", "2"])
async def test_mosquittos_own_clients_hear_each_other(port, need, version, qos):
    base = ("-h", HOST, "-p", str(port), "-V", version, "-q", qos)
    publish = (need("mosquitto_pub"), *base)
    assert await run(*publish, "-t", "cli/first", "-m", "retained", "-r") == (0, b"")
    async with running(
        need("mosquitto_sub"), *base, "-t", "cli/#", "-C", "16", "-W", "9", "-v"
    ) as listening:
        async with asyncio.timeout(WITHIN_S):
            first = await listening.stdout.readline()  # so it has subscribed
        lines = b"".join(b"%d\n" % number for number in range(15))
        assert await run(*publish, "-t", "cli/rest", "-l", text=lines) == (0, b"")
        async with asyncio.timeout(WITHIN_S):
            rest = await listening.stdout.read()

    assert first == b"cli/first retained\n"
    assert rest.splitlines() == [b"cli/rest %d" % number for number in range(15)]


async def test_mosquittos_last_will(port, need):
    async with client(port) as hears:
        await hears.subscribe("will/#", qos=1)
        will = ("--will-topic", "will/cli", "--will-payload", "gone", "--will-qos", "1")
        async with running(
            need("mosquitto_sub"), "-h", HOST, "-p", str(port), "-t", "will/#", "-v", *will
        ) as dying:
            await hears.publish("will/first", b"x", qos=1, retain=True)
            async with asyncio.timeout(WITHIN_S):
                assert await dying.stdout.readline() == b"will/first x\n"
            dying.kill()
            got = await take(hears, 2)

    assert [message.payload for message in got] == [b"x", b"gone"]


# Hostile peers, beside others who go on undisturbed

INVALID_UTF8 = b"\x30\x05\x00\x02\xc3\x28\x00"
RUBBISH = {
    "invalid UTF-8": (INVALID_UTF8, 0x81),
    "a length without an end": (b"\x30\xff\xff\xff\xff\x7f", 0x81),
    "oversize": (b"\x30\xff\xff\xff\x7f" + b"x" * 1_000, 0x95),
    "wildcard in a topic": (b"\x30\x04\x00\x01#\x00", 0x90),
    "packet id 0": (b"\x32\x06\x00\x01a\x00\x00\x00", 0x81),
    "a second CONNECT": (mqtt5.ConnectPacket("hostile").write(), 0x82),
    "a server's packet": (b"\x20\x03\x00\x00\x00", 0x82),
}


@pytest.fixture
async def bystanders(port) -> AsyncIterator[Callable[[], Any]]:
    """Two clients who talk all the while; calling it proves that they still do."""
    async with client(port) as hears, client(port, V311) as says:
        await hears.subscribe("by/stander", qos=1)
        count = 0

        async def check() -> None:
            nonlocal count
            for _ in range(20):
                count += 1
                await says.publish("by/stander", b"%d" % count, qos=1)
            expected = [b"%d" % number for number in range(count - 19, count + 1)]
            assert [message.payload for message in await take(hears, 20)] == expected

        await check()
        yield check
        await check()


@pytest.mark.parametrize(("said", "reason"), RUBBISH.values(), ids=RUBBISH)
async def test_rubbish_ends_its_own_connection_alone(port, bystanders, request, said, reason):
    ours = "embedded" in request.node.callspec.id
    async with Wire.open(port, mqtt5.ConnectPacket("hostile", clean_start=True)) as wire:
        wire.send(said)
        # Mosquitto would wait for a quarter of a gigabyte, as it was told.
        goodbye = await wire.end() if ours or reason != 0x95 else []
    await bystanders()

    if ours:
        assert [int(each.reason_code) for each in goodbye] == [reason]


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\x30\x03\x00\x01a",
        b"\x00" * 64,
    ],
)
async def test_strangers_get_no_further(port, bystanders, said):
    async with Wire.open(port) as wire:
        wire.send(said)
        async with asyncio.timeout(WITHIN_S):
            with contextlib.suppress(ConnectionError):
                assert len(await wire.reader.read()) <= 5
    await bystanders()


async def test_a_hundred_half_open_strangers_cost_nobody_anything(port, bystanders):
    async with contextlib.AsyncExitStack() as strangers:
        for _ in range(100):
            wire = await strangers.enter_async_context(Wire.open(port))
            wire.send(b"\x10\x7f\x00\x04MQTT")
        await bystanders()


async def test_who_does_not_read_delays_nobody_and_costs_a_bounded_sum(embedded, eventually):
    async with Wire.open(embedded.port, mqtt5.ConnectPacket("deaf", clean_start=True)) as deaf:
        deaf.writer.transport.pause_reading()
        deaf.send(mqtt5.SubscribePacket(1, [mqtt5.TopicFilter("flood")]))
        async with client(embedded.port) as hears, client(embedded.port) as says:
            await hears.subscribe("flood", qos=1)
            await eventually(lambda: "flood" in embedded.core.sessions["deaf"].subscriptions)
            for number in range(600):
                await says.publish("flood", b"%d." % number + b"x" * 90_000, qos=1)
            got = await take(hears, 600)

        assert [int(each.payload.partition(b".")[0]) for each in got] == list(range(600))
        assert embedded.core.counters.dropped_full > 0
        assert embedded.core.sessions["deaf"].queued <= 16 * 1024 * 1024 // 90_000


async def test_who_floods_pings_and_never_reads_is_put_out(embedded, eventually):
    async with Wire.open(embedded.port, mqtt5.ConnectPacket("deaf", clean_start=True)) as deaf:
        deaf.writer.transport.pause_reading()
        async with client(embedded.port) as says, asyncio.timeout(60):
            while "deaf" in embedded.core.sessions:
                deaf.writer.write(b"\xc0\x00" * 100_000)
                with contextlib.suppress(ConnectionError):
                    await asyncio.wait_for(deaf.writer.drain(), 0.1)
                await says.publish("x", b"y", qos=1)


# The broker as a process


@contextlib.asynccontextmanager
async def broker_process(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    async with running(sys.executable, "-m", "fleet_sim.broker", *arguments) as process:
        yield process


async def listening_line(process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(WITHIN_S):
        return (await process.stdout.readline()).decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_process_says_where_it_listens_and_ends_when_told(number):
    async with broker_process("--port", "0") as process:
        line = await listening_line(process)
        port = int(line.rpartition(":")[2])
        async with client(port) as both:
            await both.subscribe("x", qos=1)
            await both.publish("x", b"y", qos=1)
            await take(both, 1)
        process.send_signal(number)
        async with asyncio.timeout(WITHIN_S):
            code = await process.wait()
            rest = await process.stderr.read()

    assert line == f"listening on mqtt://{HOST}:{port}\n"
    assert (code, rest) == (0, b"")


async def test_the_process_says_goodbye_to_its_clients():
    async with broker_process("--port", "0", "--json") as process:
        where = json.loads(await listening_line(process))
        async with Wire.open(where["port"], mqtt5.ConnectPacket("c")) as wire:
            process.terminate()
            (goodbye,) = await wire.end()
            async with asyncio.timeout(WITHIN_S):
                assert await process.wait() == 0

    assert where["url"] == f"mqtt://{HOST}:{where['port']}"
    assert goodbye.reason_code == mqtt5.DisconnectReasonCode.SERVER_SHUTTING_DOWN


async def test_a_taken_port_is_an_error_that_names_its_owner():
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        code, said = await run(sys.executable, "-m", "fleet_sim.broker", "--port", str(port))

    assert code == 1
    assert f"port {port} of {HOST} is taken" in said.decode()
    assert "--port" in said.decode()
    if sys.platform == "linux":
        assert f"pid {os.getpid()}" in said.decode()


@pytest.mark.parametrize("text", ["-1", "65536", "http"])
async def test_a_port_that_is_none_is_refused(text):
    code, said = await run(sys.executable, "-m", "fleet_sim.broker", f"--port={text}")

    assert code == 2
    assert f"'{text}' is no port" in said.decode()
