"""The fault proxy on real sockets: bytes, its API, and the program."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web

from fleet_sim.proxy import orders
from fleet_sim.proxy.api import application
from fleet_sim.proxy.link import HELD_MAX, WRITE_MAX
from fleet_sim.proxy.proxies import Proxies
from fleet_sim.proxy.proxy import Proxy

PROGRAM: Final = Path(sys.executable).with_name("doorfleet-sim")
SOON_S: Final = 10.0
# What kernels keep for two connections on loopback is far below.
KERNEL_MAX: Final = 32 * 1024 * 1024
# What asyncio reads at a time.
READ_MAX: Final = 256 * 1024

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Upstream:
    """A TCP server: with `echo` it says everything back, else `connected` gives a connection."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Streams] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self.echo = False
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if not self.echo:
            self._waiting.put_nowait((reader, writer))
            return
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    async def connected(self) -> Streams:
        async with asyncio.timeout(SOON_S):
            return await self._waiting.get()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    server = Upstream()
    await server.start()
    yield server
    await server.stop()


class House:
    """Proxies, what they told, and clients that are closed in the end."""

    def __init__(self, **options: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.proxies = Proxies(1, self._tell, **options)
        self._writers: list[asyncio.StreamWriter] = []

    def _tell(self, event: str, **more: Any) -> None:
        self.events.append({"event": event, **more})

    def told(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["event"] == event]

    async def proxy(self, port: int, name: str = "one", **more: Any) -> Proxy:
        fields = {"name": name, "upstream": f"127.0.0.1:{port}", **more}
        return await self.proxies.add(orders.proxy(fields))

    async def client(self, proxy: Proxy) -> Streams:
        host, port = orders.address(proxy.fields.listen)
        async with asyncio.timeout(SOON_S):
            reader, writer = await asyncio.open_connection(host, port)
        self._writers.append(writer)
        return reader, writer

    async def end(self) -> None:
        await self.proxies.end()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    yield made
    await made.end()


def toxic(kind: str, stream: str = "downstream", **settings: Any) -> orders.Placed:
    more = {key: settings.pop(key) for key in ("for_s", "toxicity") if key in settings}
    return orders.toxic({"type": kind, "stream": stream, "attributes": settings, **more})


async def test_bytes_pass_both_ways_and_a_half_close_is_kept(house: House, upstream) -> None:
    reader, writer = await house.client(await house.proxy(upstream.port))
    asked, said = await upstream.connected()
    data = bytes(range(256)) * 4096

    writer.write(data)
    writer.write_eof()
    async with asyncio.timeout(SOON_S):
        assert await asked.read() == data
        said.write(data[::-1])
        said.write_eof()
        assert await reader.read() == data[::-1]


async def write_for_ever(writer: asyncio.StreamWriter, size: int) -> None:
    block = bytes(65_536)
    for _ in range(size // len(block)):
        writer.write(block)
        await writer.drain()


async def stuck(carried: Callable[[], int], writing: "asyncio.Task[None]") -> int:
    """How far it came, when it goes no further."""
    before = 0
    while not (before and before == carried()):
        before = carried()
        await asyncio.wait([writing], timeout=0.3)
    assert not writing.done()
    return before


async def test_who_does_not_read_stops_who_writes(house: House, upstream) -> None:
    proxy = await house.proxy(upstream.port)
    _, writer = await house.client(proxy)
    asked, _ = await upstream.connected()
    asked._transport.pause_reading()  # noqa: SLF001 -- streams read ahead, whoever asks them to

    writing = asyncio.create_task(write_for_ever(writer, 4 * KERNEL_MAX))
    assert await stuck(lambda: proxy.carried["upstream", "received"], writing) <= (
        KERNEL_MAX + WRITE_MAX
    )

    asked._transport.resume_reading()  # noqa: SLF001 -- likewise
    async with asyncio.timeout(SOON_S):
        await asked.readexactly(4 * KERNEL_MAX)
        await writing


async def test_a_toxic_that_holds_everything_stops_who_writes(house: House, upstream) -> None:
    proxy = await house.proxy(upstream.port)
    proxy.put(toxic("bandwidth", "upstream"))
    _, writer = await house.client(proxy)
    asked, _ = await upstream.connected()

    writing = asyncio.create_task(write_for_ever(writer, KERNEL_MAX))
    assert await stuck(lambda: proxy.carried["upstream", "received"], writing) <= (
        HELD_MAX + READ_MAX
    )

    proxy.take_away(("bandwidth_upstream",), "the test")
    async with asyncio.timeout(SOON_S):
        await asked.readexactly(KERNEL_MAX)
        await writing


async def test_latency_comes_and_goes_on_an_open_connection(house: House, upstream) -> None:
    upstream.echo = True
    proxy = await house.proxy(upstream.port)
    reader, writer = await house.client(proxy)
    loop = asyncio.get_running_loop()

    async def round_trip_s() -> float:
        began_s = loop.time()
        writer.write(b"x")
        async with asyncio.timeout(SOON_S):
            await reader.readexactly(1)
        return loop.time() - began_s

    await round_trip_s()
    proxy.put(toxic("latency", latency=300))
    proxy.put(toxic("latency", "upstream", latency=300))
    assert await round_trip_s() >= 0.6

    proxy.take_away(("latency_downstream", "latency_upstream"), "the test")
    assert await round_trip_s() < 0.6


async def test_what_a_toxic_holds_goes_on_when_it_ends_by_itself(house: House, upstream) -> None:
    upstream.echo = True
    proxy = await house.proxy(upstream.port)
    proxy.put(toxic("latency", latency=60_000, for_s=0.2))
    reader, writer = await house.client(proxy)

    writer.write(b"late")
    async with asyncio.timeout(SOON_S):
        assert await reader.readexactly(4) == b"late"

    assert proxy.toxics == {}
    assert house.told("toxic_removed")[0]["why"] == "its time was over"


async def test_reset_peer_is_a_reset_and_limit_data_a_close(house: House, upstream) -> None:
    upstream.echo = True
    proxy = await house.proxy(upstream.port)
    proxy.put(toxic("limit_data", bytes=3))
    reader, writer = await house.client(proxy)
    writer.write(b"abcdef")
    async with asyncio.timeout(SOON_S):
        assert await reader.read() == b"abc"

    proxy.take_away(("limit_data_downstream",), "the test")
    proxy.put(toxic("reset_peer"))
    reader, writer = await house.client(proxy)
    writer.write(b"abcdef")
    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(SOON_S):
            await reader.read()


async def test_a_reset_of_the_upstream_is_a_reset_for_the_client(house: House, upstream) -> None:
    reader, _ = await house.client(await house.proxy(upstream.port))
    _, said = await upstream.connected()

    said.transport.get_extra_info("socket").setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")
    said.transport.abort()

    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(SOON_S):
            await reader.read()


async def test_an_upstream_that_is_not_there_closes_the_client(
    house: House, free_port: int
) -> None:
    reader, _ = await house.client(await house.proxy(free_port))

    async with asyncio.timeout(SOON_S):
        assert await reader.read() == b""
    assert f"upstream 127.0.0.1:{free_port}" in house.told("link_closed")[0]["why"]


async def test_a_proxy_that_is_down_refuses_and_drops_and_comes_back(
    house: House, upstream
) -> None:
    proxy = await house.proxy(upstream.port)
    reader, _ = await house.client(proxy)
    await upstream.connected()
    listen = proxy.fields.listen

    await proxy.stop()

    async with asyncio.timeout(SOON_S):
        assert await reader.read() == b""
    with pytest.raises(ConnectionRefusedError):
        await house.client(proxy)

    await proxy.start()
    await house.client(proxy)
    await upstream.connected()
    assert proxy.fields.listen == listen


async def test_whoever_comes_while_it_goes_down_is_closed_too(house: House, upstream) -> None:
    proxy = await house.proxy(upstream.port)
    loop = asyncio.get_running_loop()
    for turns in range(10):
        await proxy.start()
        with socket.create_connection(orders.address(proxy.fields.listen)) as client:
            client.setblocking(False)
            for _ in range(turns):
                await asyncio.sleep(0)
            await proxy.stop()
            async with asyncio.timeout(SOON_S):
                with contextlib.suppress(ConnectionResetError):
                    assert await loop.sock_recv(client, 1) == b"", turns


async def test_toxicity_strikes_the_same_links_for_the_same_seed(house: House, upstream) -> None:
    upstream.echo = True
    struck = []
    for name in ("one", "two"):
        proxy = await house.proxy(upstream.port, name)
        numbers = range(1, 200)
        for share in (0.2, 0.6):
            proxy.put(toxic("limit_data", bytes=1, toxicity=share))
            struck.append({n for n in numbers if proxy.wanted(n)["downstream"]})
        proxy.put(toxic("limit_data", bytes=1, toxicity=0.6))
        for number in range(1, 9):
            reader, writer = await house.client(proxy)
            writer.write(b"abc")
            async with asyncio.timeout(SOON_S):
                hit = await reader.read(3) == b"a"
            assert hit == (number in struck[-1])

    assert struck[0] < struck[1]
    assert 15 < len(struck[0]) < 70
    assert struck[1] != struck[3]


async def test_all_heals_when_nobody_gives_orders_any_more(upstream, eventually) -> None:
    house = House(heal_after_s=0.3)
    proxy = await house.proxy(upstream.port)
    proxy.put(toxic("timeout"))
    await proxy.stop()

    house.proxies.alive()

    await eventually(lambda: proxy.fields.enabled and not proxy.toxics)
    assert house.told("toxic_removed")[0]["why"] == "nobody gave an order for 0.3 s"
    await house.end()


@pytest.fixture
async def api(house: House) -> AsyncIterator[Callable[..., Any]]:
    """`await api("POST", "/proxies", {...})` is the status, and the JSON if there is any."""
    runner = web.AppRunner(application(house.proxies), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:

        async def ask(method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            async with session.request(
                method, base + path, data=None if body is None else data, **more
            ) as reply:
                text = await reply.text()
                with contextlib.suppress(ValueError):
                    return reply.status, json.loads(text)
                return reply.status, text

        yield ask
    await runner.cleanup()


async def test_the_api_answers_as_toxiproxys_does(api, upstream) -> None:
    web_, toxics = "/proxies/web", "/proxies/web/toxics"
    latency = {"type": "latency", "attributes": {"latency": 100}}
    given = {"name": "web", "upstream": f"127.0.0.1:{upstream.port}"}

    statuses = [
        (await api(method, path, body))[0]
        for method, path, body in (
            ("GET", "/version", None),
            ("POST", "/proxies", given),
            ("POST", "/proxies", given),
            ("POST", "/proxies", {"name": "web"}),
            ("POST", "/proxies", b"{"),
            ("GET", "/proxies/db", None),
            ("POST", toxics, latency),
            ("POST", toxics, latency),
            ("POST", toxics, {"type": "nonsense"}),
            ("GET", toxics + "/latency_downstream", None),
            ("PATCH", toxics + "/latency_downstream", {"attributes": {"jitter": 5}}),
            ("POST", toxics + "/latency_downstream", {"toxicity": 0.5}),
            ("DELETE", toxics + "/nonsense", None),
            ("PATCH", web_, {"enabled": False}),
            ("POST", web_, {"enabled": True}),
        )
    ]

    assert statuses == [200, 201, 409, 400, 400, 404, 200, 409, 400, 200, 200, 200, 404, 200, 200]
    _, shown = await api("GET", "/proxies")
    (placed,) = shown["web"].pop("toxics")
    assert placed["attributes"] == {"latency": 100, "jitter": 5}
    assert (placed["toxicity"], shown["web"]["enabled"]) == (0.5, True)
    assert await api("DELETE", toxics + "/latency_downstream") == (204, "")
    assert await api("GET", toxics) == (200, [])
    assert await api("DELETE", web_) == (204, "")
    assert await api("GET", "/proxies") == (200, {})


async def test_populate_leaves_alone_what_is_there_and_reset_heals(
    api, house: House, upstream
) -> None:
    listed = [
        {"name": name, "listen": "localhost:0", "upstream": f"127.0.0.1:{upstream.port}"}
        for name in ("one", "two")
    ]
    assert (await api("POST", "/populate", listed))[0] == 201
    first = house.proxies.named("one")
    first.put(toxic("timeout"))
    await house.proxies.named("two").stop()

    status, said = await api("POST", "/populate", [*listed, {"name": "three"}])
    assert (status, said["error"]) == (400, "missing required field: upstream at proxy 3")
    assert (await api("POST", "/populate", listed))[0] == 201
    assert house.proxies.named("one") is first
    assert first.toxics

    assert (await api("POST", "/reset"))[0] == 204
    assert not first.toxics
    assert all(proxy.fields.enabled for proxy in house.proxies.all.values())


async def test_a_page_in_a_browser_may_not_give_orders(api) -> None:
    status, text = await api("GET", "/proxies", headers={"User-Agent": "Mozilla/5.0"})

    assert (status, text) == (403, "User agent not allowed\n")


async def test_bytes_are_counted_for_prometheus(api, house: House, upstream) -> None:
    upstream.echo = True
    proxy = await house.proxy(upstream.port)
    reader, writer = await house.client(proxy)
    writer.write(b"12345")
    async with asyncio.timeout(SOON_S):
        await reader.readexactly(5)

    _, text = await api("GET", "/metrics")

    labels = f'listener="{proxy.fields.listen}",upstream="{proxy.fields.upstream}"'
    for direction in ("upstream", "downstream"):
        for what in ("received", "sent"):
            name = f"toxiproxy_proxy_{what}_bytes_total"
            assert f'{name}{{direction="{direction}",proxy="one",{labels}}} 5' in text


async def test_an_address_that_is_taken_is_said_with_who_has_it(api, upstream) -> None:
    taken = f"127.0.0.1:{upstream.port}"

    status, said = await api(
        "POST", "/proxies", {"name": "x", "listen": taken, "upstream": "127.0.0.1:1"}
    )

    assert status == 500
    assert f"{taken} is taken" in said["error"]
    assert "0 for any that is free" in said["error"]


@pytest.fixture
async def program() -> AsyncIterator[Callable[..., Any]]:
    """`await program("--api", "0")` is a running `doorfleet-sim proxy --json`."""
    started: list[asyncio.subprocess.Process] = []

    async def start(*arguments: object) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            PROGRAM, "proxy", "--json", *map(str, arguments), stdout=pipe, stderr=pipe
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def event(process: asyncio.subprocess.Process, name: str) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(SOON_S):
        async for line in process.stdout:
            found: dict[str, Any] = json.loads(line)
            if found["event"] == name:
                return found
    raise AssertionError(f"it ended without {name}")


async def test_the_program_ends_every_connection_when_it_is_told_to_stop(program, upstream) -> None:
    process = await program(
        "--listen",
        0,
        "--upstream",
        f"127.0.0.1:{upstream.port}",
        "--toxic",
        "slicer:average_size=2",
    )
    up = await event(process, "proxy_up")
    reader, writer = await asyncio.open_connection(*orders.address(up["listen"]))
    asked, _ = await upstream.connected()

    process.send_signal(signal.SIGTERM)

    async with asyncio.timeout(SOON_S):
        assert await reader.read() == await asked.read() == b""
        out, err = await process.communicate()
    writer.transport.abort()
    assert (process.returncode, err) == (0, b"")
    assert b'"link_closed"' in out


async def test_the_program_takes_toxiproxys_file(program, upstream, tmp_path: Path) -> None:
    config = tmp_path / "proxies.json"
    listed = {"name": "web", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{upstream.port}"}
    config.write_text(json.dumps([{**listed, "toxics": [{"type": "latency"}]}]))

    process = await program("--api", 0, "--config", config)

    assert (await event(process, "toxic_added"))["name"] == "latency_downstream"
    url = (await event(process, "listening"))["url"]
    async with aiohttp.ClientSession() as session, session.get(f"{url}/proxies/web") as reply:
        assert (await reply.json())["enabled"]
